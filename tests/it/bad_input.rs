//! Whatever is wrong, it is said in an event and in a condition, and nothing is lost.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use vexil::sim::{Fault, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const MINUTES: Duration = Duration::from_secs(600);

fn condition(world: &World, kind: &str) -> Option<Value> {
    let status = world.status("shop", "frontend");
    status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind).cloned()
}

fn edit(world: &World, edit: impl FnOnce(&mut Value)) {
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    edit(&mut canary["spec"]);
    world.kube.put(canary);
}

// spec: 01/API-075
#[rstest]
#[case::no_step(json!({"stepWeight": 0}), "stepWeight")]
#[case::no_duration(json!({"metrics": [{"name": "request-duration", "interval": "5minutes"}]}), "interval")]
#[case::falling_steps(json!({"stepWeight": null, "stepWeights": [30, 10]}), "stepWeights")]
#[tokio::test(start_paused = true)]
async fn a_spec_that_cannot_work_is_refused_with_its_field_and_the_traffic_stays(
    #[case] analysis: Value,
    #[case] field: &str,
) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(MINUTES, |world| world.phase("shop", "frontend") == "Initialized").await);
    let before = world.status("shop", "frontend")["lastAppliedSpec"].clone();
    let mut canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("a Canary");
    for (key, value) in analysis.as_object().expect("an object") {
        match value {
            Value::Null => {
                canary["spec"]["analysis"].as_object_mut().expect("an object").remove(key);
            }
            value => canary["spec"]["analysis"][key] = value.clone(),
        }
    }
    world.kube.try_put(canary).expect("the schema takes it");
    assert!(
        world.until(MINUTES, |world| condition(world, "Stalled").is_some()).await,
        "{:#}",
        world.status("shop", "frontend")
    );
    let stalled = condition(&world, "Stalled").expect("a condition");
    assert!(stalled["message"].as_str().is_some_and(|text| text.contains(field)), "{stalled:#}");
    let told = |event: &Value| event["type"] == "Warning" && event["message"].to_string().contains(field);
    assert!(
        world.kube.list("events", Some("shop")).iter().any(told),
        "{:#?}",
        world.events("shop", "frontend")
    );
    assert_eq!(world.status("shop", "frontend")["lastAppliedSpec"], before);
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_schema_refuses_never_arrives_and_names_its_field() {
    let world = World::builder().build();
    let refused = world.apply(&QUARTERS.replace("interval: 1m", "interval: 1x")).expect_err("no duration");
    assert!(
        refused.contains("spec.analysis.metrics[0].interval") || refused.contains("interval"),
        "{refused}"
    );
    assert!(world.kube.get("canaries.flagger.app", "shop", "frontend").is_none());
}

#[rstest]
#[case::missing_target(true)]
#[case::unusable_spec(false)]
#[tokio::test(start_paused = true)]
async fn what_cannot_go_on_is_told_once_and_is_quiet_also_with_the_crds_of_flagger(#[case] missing: bool) {
    let world = World::builder().older_crds().build();
    let controller = world.start_controller();
    let manifest = if missing {
        QUARTERS.split("\n---\n").last().expect("a Canary").to_owned()
    } else {
        QUARTERS.replace("stepWeight: 25", "stepWeight: 0")
    };
    world.apply(&manifest).expect("the schema takes it");
    assert!(world.until(MINUTES, |world| condition(world, "Stalled").is_some()).await);
    assert_eq!(world.phase("shop", "frontend"), "Initializing");
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(300)).await;
    let requests = world.kube.requests_of("vexil");
    assert!(requests.is_empty(), "{} requests, the first: {}", requests.len(), requests[0]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_whose_target_comes_later_is_initialized_when_it_comes() {
    let world = World::builder().build();
    let controller = world.start_controller();
    let documents: Vec<&str> = QUARTERS.split("\n---\n").collect();
    world.apply(documents[2]).expect("a Canary");
    assert!(world.until(MINUTES, |world| condition(world, "Stalled").is_some()).await);
    let text = "deployment frontend.shop get query error: deployments.apps \"frontend\" not found";
    assert_eq!(condition(&world, "Stalled").expect("a condition")["message"], text);
    assert!(world.events("shop", "frontend").contains(&text.to_owned()));
    world.apply(documents[0]).expect("a Deployment");
    world.apply(documents[1]).expect("an autoscaler");
    assert!(world.until(MINUTES, |world| world.phase("shop", "frontend") == "Initialized").await);
    assert_eq!(condition(&world, "Stalled"), None);
    controller.stop().await;
}

#[rstest]
#[case::not_json(Fault::NotJson, "Prometheus query failed: ")]
#[case::ten_megabytes(Fault::Huge, "longer than")]
#[case::never_ends(Fault::Hangs, "no complete answer within")]
#[case::no_data(Fault::NoData, "no values found")]
#[case::not_a_number(Fault::NotANumber, "no values found")]
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_is_a_failed_check_with_its_reason(#[case] fault: Fault, #[case] said: &str) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(MINUTES, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0");
    assert!(world.until(MINUTES, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    world.backend.fault(Some(fault));
    assert!(
        world.until(MINUTES, |world| world.status("shop", "frontend")["failedChecks"] == 1).await,
        "{:#?}",
        world.events("shop", "frontend")
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let events = world.events("shop", "frontend");
    assert!(events.iter().any(|text| text.contains(said)), "{events:#?}");
    assert_eq!(world.weights("shop", "frontend"), Some((75, 25)), "nothing is lost");
    world.backend.fault(None);
    assert!(world.until(MINUTES, |world| world.phase("shop", "frontend") == "Succeeded").await);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_blocks_neither_another_canary_nor_a_new_revision() {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    world.apply(&QUARTERS.replace("frontend", "catalog")).expect("another one");
    assert!(world.until(MINUTES, |world| world.phase("shop", "frontend") == "Initialized").await);
    assert!(world.until(MINUTES, |world| world.phase("shop", "catalog") == "Initialized").await);
    world.backend.hang("slow.example.com");
    edit(&world, |spec| {
        spec["analysis"]["webhooks"] =
            json!([{"name": "load", "type": "rollout", "url": "http://slow.example.com/", "timeout": "59m"}]);
    });
    for name in ["frontend", "catalog"] {
        world.set_image("shop", name, "registry.example.com/shop/any:2.0.0");
    }
    assert!(world.until(MINUTES, |world| world.phase("shop", "catalog") == "Succeeded").await);
    assert_eq!(world.weights("shop", "frontend"), Some((75, 25)), "the hook has not answered");
    world.set_image("shop", "frontend", "registry.example.com/shop/any:3.0.0");
    assert!(
        world
            .until(Duration::from_secs(5), |world| world.weights("shop", "frontend") == Some((100, 0)))
            .await,
        "the new revision restarts the analysis in spite of the hook"
    );
    controller.stop().await;
}

// spec: 02/C111
#[tokio::test(start_paused = true)]
async fn the_later_of_two_canaries_with_one_target_is_refused_until_the_other_is_gone() {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(MINUTES, |world| world.phase("shop", "frontend") == "Initialized").await);
    let documents: Vec<&str> = QUARTERS.split("\n---\n").collect();
    let second = documents[2].replacen("name: frontend", "name: another", 1);
    world.apply(&second).expect("a second Canary");
    let text = "invalid canary spec: spec.targetRef: Deployment frontend.shop belongs to the older Canary frontend: \
                delete one of the two";
    let met = world.until(MINUTES, |world| world.events("shop", "another").contains(&text.to_owned())).await;
    assert!(met, "{:#?}", world.events("shop", "another"));
    assert_eq!(world.phase("shop", "another"), "Initializing", "what it waits for, and not an empty column");
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    assert!(
        world.until(MINUTES, |world| world.phase("shop", "another") == "Initialized").await,
        "{:#}",
        world.status("shop", "another")
    );
    controller.stop().await;
}

// spec: 02/C7 01/API-056
#[tokio::test(start_paused = true)]
async fn a_canary_that_cannot_be_decoded_says_which_field_and_disturbs_nobody() {
    let world = World::builder().build();
    let controller = world.start_controller();
    let broken = QUARTERS.replace("frontend", "broken").replace("stepWeight: 25", "stepWeight: 5.5");
    world.apply(&broken).expect("the schema takes a fraction");
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(MINUTES, |world| world.phase("shop", "frontend") == "Initialized").await);
    let events = world.events("shop", "broken");
    assert!(
        events.iter().any(|text| text.contains("spec.analysis.stepWeight") && text.contains("5.5")),
        "{events:#?}"
    );
    controller.stop().await;
}
