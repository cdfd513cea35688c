//! What a metric may say of itself (severity, samples, dry runs, limits of its own), from the manifest to the stored status,
//! in whole releases.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use vexil::sim::{Fault, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const FLAGGERS: &str = include_str!("../data/crds/flagger.yaml");
const HOUR: Duration = Duration::from_secs(3600);

const METRICS: &str = "    onMetricError: hold
    metrics:
      - name: errors
        query: shop_errors
        thresholdRange: {max: 1}
        severity: critical
        minSamples: {count: 100, query: shop_samples, within: 2m}
      - name: latency
        query: shop_latency
        thresholdRange: {max: 500}
        severity: fail
        failureLimit: 3
        consecutiveErrorLimit: 4
      - name: lag
        query: shop_lag
        thresholdRange: {max: 10}
        severity: warn
      - name: next
        query: shop_next
        thresholdRange: {max: 1}
        dryRun: true
";

/// A release of the frontend that has begun. Of a hundred samples there are forty, the lag is what it must not be, and so is
/// what is only tried.
async fn begun(world: &World) {
    world.apply(&manifest()).expect("a manifest that the cluster takes");
    pushed(world).await;
}

fn manifest() -> String {
    let (rest, _) = QUARTERS.split_once("    metrics:\n").expect("metrics");
    format!("{rest}{METRICS}")
}

async fn pushed(world: &World) {
    for (query, value) in
        [("errors", 0.5), ("samples", 40.0), ("latency", 480.0), ("lag", 99.0), ("next", 7.0)]
    {
        world.backend.query(&format!("shop_{query}"), value);
    }
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
}

fn measurements(world: &World) -> Value {
    world.status("shop", "frontend")["measurements"].clone()
}

/// Waits until the measurement of this place says so of itself.
async fn judged(world: &World, place: usize, field: &str, value: Value) {
    let there = world.until(HOUR, |world| measurements(world)[place][field] == value).await;
    assert!(
        there,
        "{place} {field} {value}: {:#}\n{:#?}",
        measurements(world),
        world.events("shop", "frontend")
    );
}

async fn ends(world: &World, phase: &str) -> String {
    let ended = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    let told = world.events("shop", "frontend").join("\n");
    assert!(ended, "not {phase}: {:#}\n{told}", world.status("shop", "frontend"));
    told
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_all_of_each_metric_while_a_release_runs_and_at_its_end() {
    let world = World::builder().build();
    let controller = world.start_controller();
    begun(&world).await;
    judged(&world, 0, "verdict", json!("NotYet")).await;
    let since = measurements(&world)[0]["since"].clone();
    assert!(since.is_string(), "{since}");
    let lag = json!({"name": "lag", "verdict": "Failed", "value": 99.0, "max": 10.0, "severity": "warn", "history": [99.0]});
    let next = json!({"name": "next", "verdict": "Failed", "value": 7.0, "max": 1.0, "dryRun": true, "history": [7.0]});
    assert_eq!(
        json!([
            {
                "name": "errors", "verdict": "NotYet", "value": 0.5, "max": 1.0, "severity": "critical",
                "message": "40 of 100 samples", "samples": 40.0, "since": since, "history": [0.5],
            },
            {
                "name": "latency", "verdict": "Passed", "value": 480.0, "max": 500.0, "failures": 0, "errors": 0,
                "history": [480.0],
            },
            lag, next,
        ]),
        measurements(&world)
    );
    // The step waits for its samples, and another metric fails meanwhile.
    assert_eq!(Some((75, 25)), world.weights("shop", "frontend"));
    world.backend.query("shop_latency", 900.0);
    judged(&world, 1, "failures", json!(1)).await;
    world.backend.query("shop_latency", 480.0);
    world.backend.query("shop_samples", 250.0);
    let told = ends(&world, "Succeeded").await;
    let measured = measurements(&world);
    controller.stop().await;
    let history = |place: usize| measured[place]["history"].clone();
    assert_eq!(
        json!([
            {
                "name": "errors", "verdict": "Passed", "value": 0.5, "max": 1.0, "severity": "critical", "samples": 250.0,
                "history": history(0),
            },
            {
                "name": "latency", "verdict": "Passed", "value": 480.0, "max": 500.0, "failures": 1, "errors": 0,
                "history": history(1),
            },
            {"name": "lag", "verdict": "Failed", "value": 99.0, "max": 10.0, "severity": "warn", "history": history(2)},
            {"name": "next", "verdict": "Failed", "value": 7.0, "max": 1.0, "dryRun": true, "history": history(3)},
        ]),
        measured
    );
    let seen = history(1).as_array().expect("values").iter().filter(|value| **value == 900.0).count();
    assert_eq!(1, seen, "{measured:#}");
    // What only warns says so, and what is only tried says nothing.
    assert!(told.contains("40 of 100 samples") && told.contains("lag 99.00 > 10"), "{told}");
    assert!(!told.contains("next 7.00"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn samples_that_never_come_are_missing_data_after_their_time() {
    let world = World::builder().build();
    let controller = world.start_controller();
    begun(&world).await;
    judged(&world, 0, "verdict", json!("NotYet")).await;
    judged(&world, 0, "verdict", json!("Failed")).await;
    let found = measurements(&world)[0].clone();
    let why = "no values found that count: 40 of 100 samples within 2m0s";
    assert_eq!((json!(why), json!(40.0)), (found["message"].clone(), found["samples"].clone()), "{found:#}");
    let since: DateTime<Utc> = found["since"].as_str().and_then(|since| since.parse().ok()).expect("a time");
    let waited = world.now() - since;
    assert!(waited >= TimeDelta::minutes(2), "{waited}");
    // It is critical, and yet only a value that is out of bounds ends a release at once.
    assert_eq!("Progressing", world.phase("shop", "frontend"));
    ends(&world, "Failed").await;
    assert_eq!(json!("Failed"), measurements(&world)[0]["verdict"]);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_limit_ends_a_release_and_the_status_says_how_far_it_was_used() {
    for (limit, text) in [
        ("critical", "critical metric errors is out of bounds"),
        ("failureLimit", "metric latency has failed 3 times (failureLimit 3)"),
        (
            "consecutiveErrorLimit",
            "metric latency could not be read 4 times in a row (consecutiveErrorLimit 4)",
        ),
    ] {
        let world = World::builder().build();
        let controller = world.start_controller();
        begun(&world).await;
        world.backend.query("shop_samples", 250.0);
        judged(&world, 1, "verdict", json!("Passed")).await;
        match limit {
            "critical" => world.backend.query("shop_errors", 1.5),
            "failureLimit" => world.backend.query("shop_latency", 900.0),
            _ => world.backend.fault(Some(Fault::Unreachable)),
        }
        let told = ends(&world, "Failed").await;
        let measured = measurements(&world);
        controller.stop().await;
        assert!(told.contains(text), "{limit}: {told}");
        let (errors, latency) = (&measured[0], &measured[1]);
        let counted = (latency["failures"].clone(), latency["errors"].clone());
        match limit {
            "critical" => assert_eq!(
                (json!("Failed"), json!(1.5)),
                (errors["verdict"].clone(), errors["value"].clone())
            ),
            "failureLimit" => assert_eq!((json!(3), json!(0)), counted, "{latency:#}"),
            _ => assert_eq!((json!(0), json!(4)), counted, "{latency:#}"),
        }
    }
}

/// They know none of these fields: who applies them is told so, and of who writes them all the same the cluster forgets them.
/// Each check is a plain one then, and the release has its end.
#[tokio::test(start_paused = true)]
async fn with_the_crds_of_flagger_each_check_is_a_plain_one() {
    for (lag, next, phase) in [(5.0, 0.5, "Succeeded"), (99.0, 0.5, "Failed"), (5.0, 7.0, "Failed")] {
        let world = World::builder().older_crds().build();
        for crd in vexil::lint::value(FLAGGERS).expect("YAML") {
            world.kube.put(crd);
        }
        let controller = world.start_controller();
        let refused = world.apply(&manifest()).expect_err("unknown fields");
        for field in
            ["[0].severity", "[0].minSamples", "[1].failureLimit", "[1].consecutiveErrorLimit", "[3].dryRun"]
        {
            assert!(refused.contains(&format!("{field}: field not declared")), "{field}: {refused}");
        }
        for object in vexil::lint::value(&manifest()).expect("YAML") {
            world.kube.put(object);
        }
        pushed(&world).await;
        world.backend.query("shop_lag", lag);
        world.backend.query("shop_next", next);
        let told = ends(&world, phase).await;
        let canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
        controller.stop().await;
        let checks = canary["spec"]["analysis"]["metrics"].as_array().expect("metrics");
        let kept = |check: &Value| check.as_object().expect("a check").keys().cloned().collect::<Vec<_>>();
        assert!(checks.iter().all(|check| kept(check) == ["name", "query", "thresholdRange"]), "{checks:#?}");
        assert!(canary["status"]["measurements"].is_null(), "{:#}", canary["status"]);
        assert_eq!(lag > 10.0, told.contains("lag 99.00 > 10"), "{told}");
        assert_eq!(next > 1.0, told.contains("next 7.00 > 1"), "{told}");
    }
}
