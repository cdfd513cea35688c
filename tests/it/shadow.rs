//! A shadow beside another controller: it decides, says where the two differ, and writes nothing. The log of the embedded
//! cluster's requests is what shows the last.

use std::time::Duration;

use serde_json::{Value, json};
use vexil::controller::shadow::Shadow;
use vexil::sim::Version;

use crate::flagger::{FIRST_HASH, Flagger, NEXT, NEXT_HASH};

/// The page of the shadow for the frontend.
fn page(shadow: &Shadow) -> Value {
    let report = serde_json::to_value(shadow.report()).expect("JSON");
    report["canaries"][0].clone()
}

fn compared(shadow: &Shadow) -> Value {
    page(shadow)["compared"].clone()
}

/// Lets an interval of the analysis pass.
async fn interval() {
    tokio::time::sleep(Duration::from_secs(30)).await;
}

/// A moment in which a shadow looks.
async fn moment() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// What the program wrote: nothing, if it was a shadow.
fn writes(flagger: &Flagger) -> Vec<String> {
    let all = flagger.world.kube.requests().into_iter();
    all.filter(|request| request.caller == "vexil" && request.is_write())
        .map(|request| request.to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_shadow_writes_nothing_and_says_the_same_where_the_other_does_the_same() {
    let flagger = Flagger::initialised().await;
    let (running, shadow) = flagger.world.start_shadow();
    moment().await;
    assert_eq!(page(&shadow)["does"], json!(null), "{:#}", page(&shadow));
    assert_eq!(page(&shadow)["next"]["does"], "rest", "{:#}", page(&shadow));

    flagger.world.set_image("shop", "frontend", NEXT);
    moment().await;
    let next = page(&shadow)["next"].clone();
    assert_eq!((&next["does"], &next["to"]["phase"]), (&json!("step"), &json!("Progressing")), "{next:#}");
    flagger.begins().await;
    for weight in [25, 50] {
        interval().await;
        let next = page(&shadow)["next"].clone();
        assert_eq!(next["to"]["weight"], weight, "{next:#}");
        let said = next["says"].as_array().and_then(|said| said.last()).cloned().unwrap_or_default();
        assert_eq!(said, format!("Advance frontend.shop canary weight {weight}"), "{next:#}");
        flagger.advances(weight);
        moment().await;
    }
    assert_eq!(compared(&shadow), json!({"same": 3, "different": 0, "uncompared": 0}), "{:#}", page(&shadow));
    assert_eq!(writes(&flagger), Vec::<String>::new());
    assert!(flagger.world.events("shop", "frontend").is_empty());
    assert!(!flagger.world.backend.asked().is_empty(), "the metrics were asked");
    running.stop().await;
    assert_eq!(writes(&flagger), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_shadow_says_why_it_would_have_held_where_the_other_went_on() {
    let flagger = Flagger::initialised().await;
    flagger.world.backend.version("2.0.0", Version { success_rate: 90.0, p99_millis: 95.0 });
    let (running, shadow) = flagger.world.start_shadow();
    moment().await;
    flagger.begins().await;
    interval().await;
    flagger.advances(25);
    moment().await;
    interval().await;
    flagger.advances(50);
    moment().await;
    let page = page(&shadow);
    let newest = page["differences"][0]["says"].as_str().unwrap_or_default().to_owned();
    assert!(
        newest.starts_with(
            "the other went from Progressing, weight 25 to Progressing, weight 50; I would have gone to \
             Progressing, weight 25, 1 failed check, because: Halt frontend.shop advancement success rate 90.00% < 99%"
        ),
        "{page:#}"
    );
    let metrics = running.telemetry.render();
    let series = r#"vexil_shadow_steps_total{name="frontend",namespace="shop",verdict="different"}"#;
    assert!(metrics.contains(series), "{metrics}");
    // Series of Flagger's names are the other controller's, and it is not this one that leads.
    assert!(!metrics.contains("flagger_canary_") && metrics.contains("\nvexil_leader 0\n"), "{metrics}");
    assert_eq!(writes(&flagger), Vec::<String>::new());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shadow_says_that_the_other_stays_where_it_would_go_on() {
    let flagger = Flagger::initialised().await;
    let (running, shadow) = flagger.world.start_shadow();
    flagger.begins().await;
    moment().await;
    for _ in 0..6 {
        interval().await;
    }
    let page = page(&shadow);
    let newest = page["differences"][0]["says"].as_str().unwrap_or_default().to_owned();
    assert!(newest.starts_with("the other stays at Progressing, weight 0 for 3 intervals"), "{page:#}");
    assert!(newest.contains("weight 25"), "{newest}");
    assert_eq!(page["differences"].as_array().map(Vec::len), Some(1), "it is said once: {page:#}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shadow_says_that_the_other_releases_what_the_primary_runs_already() {
    let flagger = Flagger::initialised().await;
    let (running, shadow) = flagger.world.start_shadow();
    moment().await;
    // What an upgrade of Flagger itself does: its hash of the same template is another one.
    flagger.scale_target(2);
    moment().await;
    flagger.status("Progressing", 0, 0, NEXT_HASH, FIRST_HASH);
    moment().await;
    let page = page(&shadow);
    let newest = page["differences"][0]["says"].as_str().unwrap_or_default().to_owned();
    assert!(newest.ends_with("I would have done nothing: there is no new revision"), "{page:#}");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shadow_calls_no_hook_and_names_those_that_it_takes_for_passed() {
    let flagger = Flagger::initialised().await;
    let mut canary = flagger.world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    canary["spec"]["analysis"]["webhooks"] = json!([
        {"name": "acceptance", "type": "pre-rollout", "url": "http://tests.shop/"},
        {"name": "load", "url": "http://load.shop/"},
        {"name": "undo", "type": "rollback", "url": "http://undo.shop/"},
        {"name": "told", "type": "event", "url": "http://events.shop/"},
    ]);
    canary["spec"]["analysis"]["alerts"] =
        json!([{"name": "on-call", "severity": "info", "providerRef": {"name": "slack"}}]);
    flagger.world.kube.put(canary);
    flagger.world.kube.put(json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider",
        "metadata": {"name": "slack", "namespace": "shop"},
        "spec": {"type": "slack", "address": "http://slack.shop/hook"},
    }));
    let (running, shadow) = flagger.world.start_shadow();
    flagger.begins().await;
    interval().await;
    let next = page(&shadow)["next"].clone();
    assert_eq!(next["to"]["weight"], 25, "{next:#}");
    assert_eq!(next["assumes"], json!(["hook acceptance"]), "{next:#}");
    flagger.advances(25);
    interval().await;
    let next = page(&shadow)["next"].clone();
    assert_eq!((&next["to"]["weight"], &next["assumes"]), (&json!(50), &json!(["hook load"])), "{next:#}");
    assert!(flagger.world.backend.hook_calls().is_empty(), "{:#?}", flagger.world.backend.hook_calls());
    assert!(!flagger.world.backend.asked().iter().any(|url| url.contains("slack")));
    assert_eq!(writes(&flagger), Vec::<String>::new());
    running.stop().await;
}
