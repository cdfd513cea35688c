//! How the traffic moves, and what a provider can do.

use proptest::prelude::{Just, any, prop_assert, prop_oneof, proptest};

use super::*;
use crate::model::release::{Steps, Strategy};

fn analysis(fields: Value) -> Value {
    let mut manifest = frontend();
    let mut analysis = json!({"interval": "1m", "threshold": 5});
    analysis.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    manifest["spec"]["analysis"] = analysis;
    manifest
}

fn matching() -> Value {
    json!([{"headers": {"x-canary": {"exact": "insider"}}}])
}

// spec: 02/C43 02/C44 02/C45 01/API-061
#[rstest]
#[case(json!({"stepWeight": 20, "maxWeight": 50}), Steps::By { step: 20, max: 50 })]
#[case(json!({"stepWeight": 20}), Steps::By { step: 20, max: 100 })]
#[case(json!({"stepWeight": 20, "maxWeight": 0}), Steps::By { step: 20, max: 100 })]
#[case(json!({"stepWeight": 20, "maxWeight": 150}), Steps::By { step: 20, max: 100 })]
#[case(json!({"stepWeights": [1, 2, 10, 80]}), Steps::List(vec![1, 2, 10, 80]))]
#[case(json!({"stepWeights": [1, 2, 10, 200]}), Steps::List(vec![1, 2, 10, 100]))]
#[case(json!({"stepWeights": [50, 100, 300]}), Steps::List(vec![50, 100]))]
#[case(json!({"stepWeight": 0, "stepWeights": [5, 50]}), Steps::List(vec![5, 50]))]
#[case(json!({"stepWeight": 20, "stepWeights": [5, 60], "maxWeight": 90}), Steps::By { step: 20, max: 60 })]
#[case(json!({"stepWeight": 20, "iterations": 0, "match": matching()}), Steps::By { step: 20, max: 100 })]
fn steps_are_weighted(#[case] fields: Value, #[case] steps: Steps) {
    assert_eq!(accepted(&analysis(fields)).analysis.strategy, Strategy::Weighted(steps));
}

#[rstest]
#[case(json!({"iterations": 3}), Strategy::BlueGreen { iterations: 3 })]
#[case(json!({"iterations": 3, "match": []}), Strategy::BlueGreen { iterations: 3 })]
#[case(json!({"iterations": 3, "stepWeight": 10, "maxWeight": 50}), Strategy::BlueGreen { iterations: 3 })]
#[case(json!({"iterations": 3, "match": matching()}), Strategy::AbTesting { iterations: 3 })]
#[case(json!({"iterations": 9e15}), Strategy::BlueGreen { iterations: 1_000_000 })]
fn iterations_are_blue_green_or_with_a_match_ab(#[case] fields: Value, #[case] strategy: Strategy) {
    assert_eq!(accepted(&analysis(fields)).analysis.strategy, strategy);
}

// spec: 02/C45 01/API-062
#[rstest]
#[case(json!({"stepWeight": 0}), "spec.analysis.stepWeight: 0 moves no traffic: write a weight from 1 to 100, or use stepWeights or iterations instead")]
#[case(json!({"stepWeight": -5}), "spec.analysis.stepWeight: -5 moves no traffic: write a weight from 1 to 100, or use stepWeights or iterations instead")]
#[case(json!({"stepWeight": 101}), "spec.analysis.stepWeight: 101 is more than all of the traffic: write a weight from 1 to 100")]
#[case(json!({"stepWeights": []}), "spec.analysis.stepWeights: is empty: list the weight of each step, like 5, 20, 50, or use stepWeight or iterations instead")]
#[case(json!({"stepWeights": [0, 10]}), "spec.analysis.stepWeights[0]: 0 moves no traffic: begin with a weight from 1 to 100")]
#[case(json!({"stepWeights": [30, 10, 50]}), "spec.analysis.stepWeights[1]: 10 does not rise over 30, the step before: write the weights in rising order")]
#[case(json!({"stepWeights": [30, 30]}), "spec.analysis.stepWeights[1]: 30 does not rise over 30, the step before: write the weights in rising order")]
#[case(json!({"iterations": 0}), "spec.analysis.iterations: 0 checks nothing: write 1 or more, or use stepWeight or stepWeights instead")]
#[case(json!({}), "spec.analysis: has no steps: write stepWeight, stepWeights or iterations")]
fn steps_that_lead_nowhere_are_refused(#[case] fields: Value, #[case] message: &str) {
    assert_eq!(refusals(read(&analysis(fields.clone()))), [message]);

    // Nobody walks the steps of a release that is not analysed.
    let mut skipped = analysis(fields);
    skipped["spec"]["skipAnalysis"] = json!(true);
    assert_eq!(warnings(&skipped), [message]);
}

#[rstest]
#[case(json!({"stepWeight": 20, "maxWeight": 150}), "spec.analysis.maxWeight: 150 is more than all of the traffic, 100 is used")]
#[case(json!({"stepWeights": [1, 200]}), "spec.analysis.stepWeights: 200 is more than all of the traffic, 100 is used")]
fn more_than_all_of_the_traffic_is_all_of_it(#[case] fields: Value, #[case] warning: &str) {
    assert_eq!(warnings(&analysis(fields)), [warning]);
}

const NO_AB: &str = "spec.analysis: A/B testing is not supported when using the kubernetes provider";
const NO_WEIGHTS: &str =
    "spec.analysis: Progressive traffic is not supported when using the kubernetes provider";
const ITERATIONS: &str = "spec.analysis: Setting canaryAnalysis.iterations: 10";

// spec: 03/NOP-02 03/NOP-03
#[rstest]
#[case(json!({"iterations": 3}), 3, &[])]
#[case(json!({"iterations": 3, "match": matching()}), 3, &[NO_AB])]
#[case(json!({"stepWeight": 10}), 10, &[NO_WEIGHTS, ITERATIONS])]
#[case(json!({"stepWeight": 0}), 10, &[NO_WEIGHTS, ITERATIONS])]
#[case(json!({"iterations": 0, "match": matching()}), 10, &[NO_AB, NO_WEIGHTS, ITERATIONS])]
fn without_weights_every_release_is_blue_green(
    #[case] fields: Value,
    #[case] iterations: u32,
    #[case] expected: &[&str],
) {
    let mut manifest = analysis(fields);
    manifest["spec"]["provider"] = json!("kubernetes");
    let plan = accepted(&manifest).analysis;
    assert_eq!((plan.strategy, plan.matches), (Strategy::BlueGreen { iterations }, vec![]));
    assert_eq!(warnings(&manifest), expected);
}

// spec: 02/C47 01/API-137 03/SA-13
#[rstest]
#[case(json!({"stepWeight": 10, "mirror": true}), "spec.analysis.mirror: is ignored: provider nginx cannot copy requests in a canary release")]
#[case(json!({"iterations": 2, "mirror": true}), "spec.analysis.mirror: is ignored: provider nginx cannot copy requests in a blue-green release")]
#[case(json!({"stepWeight": 10, "match": matching()}), "spec.analysis.match: is ignored: provider nginx cannot tell requests apart")]
#[case(json!({"stepWeight": 10, "sessionAffinity": {"cookieName": "side"}}), "spec.analysis.sessionAffinity: is ignored: provider nginx cannot keep clients on a side")]
fn what_the_provider_cannot_do_is_left_out_with_a_warning(#[case] fields: Value, #[case] warning: &str) {
    let mut manifest = analysis(fields);
    manifest["spec"]["provider"] = json!("nginx");
    assert_eq!(warnings(&manifest), [warning]);
    let plan = accepted(&manifest).analysis;
    assert!(!plan.mirror && plan.matches.is_empty() && plan.session_affinity.is_none());
}

#[test]
fn ab_testing_is_refused_where_every_request_would_match() {
    let mut manifest = analysis(json!({"iterations": 2, "match": matching()}));
    manifest["spec"]["provider"] = json!("nginx");
    let message = "spec.analysis.match: provider nginx cannot tell requests apart: remove match or use another provider";
    assert_eq!(refusals(read(&manifest)), [message]);
}

#[test]
fn what_the_provider_can_do_is_kept() {
    let fields = json!({"stepWeight": 10, "mirror": true, "mirrorWeight": 20, "match": matching()});
    let plan = accepted(&analysis(fields)).analysis;
    assert!(plan.mirror);
    assert_eq!((plan.mirror_weight, plan.matches.len()), (Some(20), 1));
}

proptest! {
    #[test]
    fn whatever_numbers_are_written_the_weights_rise_from_1_to_100(
        step in proptest::option::of(-200..400_i64),
        list in proptest::option::of(proptest::collection::vec(-10..250_i64, 0..5)),
        max in proptest::option::of(any::<i32>()),
        iterations in proptest::option::of(-2..3_i64),
        provider in prop_oneof![Just("istio"), Just("nginx"), Just("kubernetes")],
    ) {
        let mut manifest = frontend();
        manifest["spec"]["provider"] = json!(provider);
        manifest["spec"]["analysis"] =
            json!({"stepWeight": step, "stepWeights": list, "maxWeight": max, "iterations": iterations});
        match read(&manifest).release.map(|release| release.analysis.strategy) {
            Ok(Strategy::Weighted(Steps::By { step, max })) => {
                prop_assert!((1..=100).contains(&step) && (1..=100).contains(&max));
            }
            Ok(Strategy::Weighted(Steps::List(weights))) => {
                prop_assert!(!weights.is_empty() && weights.iter().all(|weight| (1..=100).contains(weight)));
                prop_assert!(weights.is_sorted_by(|a, b| a < b));
            }
            Ok(Strategy::BlueGreen { iterations } | Strategy::AbTesting { iterations }) => prop_assert!(iterations > 0),
            Err(problems) => prop_assert!(problems.iter().all(|problem| problem.field.starts_with("spec.analysis"))),
        }
    }
}
