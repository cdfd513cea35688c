//! The lines of detail below a message (spec 02 §8.2).

use crate::api::analysis::Analysis;
use crate::model::release::{Release, Steps, Strategy};

use super::Field;

/// The cluster's name, if it has one, then what describes `release`, if that is wanted. `written` is the analysis as
/// it stands in the manifest: some of it is shown as written.
pub fn fields(cluster: &str, release: Option<&Release>, written: Option<&Analysis>) -> Vec<Field> {
    let field = |name: &str, value: String| Field { name: name.to_owned(), value };
    let mut fields = Vec::new();
    if !cluster.is_empty() {
        fields.push(field("Cluster", cluster.to_owned()));
    }
    let Some(release) = release else { return fields };
    fields.push(field("Target", format!("{}/{}", release.target.kind.as_str(), release.target_title())));
    fields.push(field("Failed checks threshold", release.analysis.threshold.to_string()));
    fields.push(field("Progress deadline", format!("{}s", release.progress_deadline.as_secs())));
    fields.extend(routing(release, written).map(|text| field("Traffic routing", text)));
    fields
}

/// How the traffic is going to move; none if there are no steps.
fn routing(release: &Release, written: Option<&Analysis>) -> Option<String> {
    let steps = match &release.analysis.strategy {
        Strategy::AbTesting { .. } => return Some("A/B Testing".to_owned()),
        Strategy::BlueGreen { .. } => return Some("Blue/Green".to_owned()),
        Strategy::Weighted(steps) => steps,
    };
    let written = written?;
    // As written, and zero if it is not: receivers know it that way.
    let max = written.max_weight.unwrap_or_default();
    match steps {
        Steps::By { step, .. } => {
            written.step_weight.filter(|step| *step > 0)?;
            Some(format!("Weight step: {step} max: {max}"))
        }
        Steps::List(weights) => {
            let weights: Vec<String> = weights.iter().map(u32::to_string).collect();
            Some(format!("Weight steps: {} max: {max}", weights.join(",")))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::testing::podinfo;
    use crate::model::release::{Target, TargetKind};

    fn pairs(fields: &[Field]) -> Vec<(&str, &str)> {
        fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect()
    }

    fn by(step: u32) -> Strategy {
        Strategy::Weighted(Steps::By { step, max: 50 })
    }

    fn list(weights: &[u32]) -> Strategy {
        Strategy::Weighted(Steps::List(weights.to_vec()))
    }

    fn written(step_weight: Option<i64>, max_weight: Option<i64>) -> Analysis {
        Analysis { step_weight, max_weight, ..Analysis::default() }
    }

    #[rstest]
    #[case::ab_testing(Strategy::AbTesting { iterations: 10 }, written(None, None), Some("A/B Testing"))]
    #[case::blue_green(Strategy::BlueGreen { iterations: 10 }, written(None, None), Some("Blue/Green"))]
    #[case::steps(by(10), written(Some(10), Some(50)), Some("Weight step: 10 max: 50"))]
    #[case::steps_without_maximum(by(10), written(Some(10), None), Some("Weight step: 10 max: 0"))]
    #[case::list(list(&[1, 2, 10]), written(None, Some(60)), Some("Weight steps: 1,2,10 max: 60"))]
    #[case::list_without_maximum(list(&[1, 2, 10, 80]), written(None, None), Some("Weight steps: 1,2,10,80 max: 0"))]
    #[case::one_weight(list(&[5]), written(None, None), Some("Weight steps: 5 max: 0"))]
    #[case::no_steps(by(100), written(None, Some(50)), None)]
    fn an_announced_release_says_what_it_will_do(
        #[case] strategy: Strategy,
        #[case] written: Analysis,
        #[case] routing: Option<&str>,
    ) {
        // spec: 02/C101 04/AL-15 01/API-073
        let mut release = podinfo();
        release.analysis.strategy = strategy;
        let mut expected = vec![
            ("Target", "Deployment/podinfo.test"),
            ("Failed checks threshold", "5"),
            ("Progress deadline", "600s"),
        ];
        expected.extend(routing.map(|text| ("Traffic routing", text)));
        assert_eq!(expected, pairs(&fields("", Some(&release), Some(&written))));
    }

    #[test]
    fn a_canary_without_analysis_has_no_routing() {
        let mut release = podinfo();
        release.analysis.strategy = by(100);
        assert_eq!(3, fields("", Some(&release), None).len());
    }

    #[rstest]
    #[case(TargetKind::DaemonSet, "DaemonSet/podinfo.test")]
    #[case(TargetKind::Service, "Service/podinfo.test")]
    #[case(TargetKind::Knative, "Service/podinfo.test")]
    fn the_target_is_named_with_its_kind(#[case] kind: TargetKind, #[case] expected: &str) {
        // spec: 02/C101
        let release = Release { target: Target { kind, name: "podinfo".into() }, ..podinfo() };
        assert_eq!(("Target", expected), pairs(&fields("", Some(&release), None))[0]);
    }

    #[test]
    fn the_cluster_comes_first_and_with_every_alert() {
        // spec: 02/C101 04/AL-14 01/API-073
        assert_eq!(vec![("Cluster", "prod")], pairs(&fields("prod", None, None)));
        assert_eq!(("Cluster", "prod"), pairs(&fields("prod", Some(&podinfo()), None))[0]);
        assert!(fields("", None, None).is_empty());
    }
}
