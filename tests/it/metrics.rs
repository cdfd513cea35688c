//! Checks of MetricTemplates in a whole release: whose Secret is read, and what the events say.

use std::time::Duration;

use vexil::sim::World;

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// A template of another namespace, with the token `ops-token` beside it; `shop-token` lies beside the Canary.
const TEMPLATE: &str = "
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: errors, namespace: ops}
spec:
  provider: {type: dynatrace, address: 'http://dynatrace.test', secretRef: {name: dynatrace}}
  query: 'builtin:service.errors:filter(eq(name,{{ target }}))'
---
apiVersion: v1
kind: Secret
metadata: {name: dynatrace, namespace: ops}
data: {dynatrace_token: b3BzLXRva2Vu}
---
apiVersion: v1
kind: Secret
metadata: {name: dynatrace, namespace: shop}
data: {dynatrace_token: c2hvcC10b2tlbg==}
";

const CHECK: &str = "
    metrics:
      - name: failures
        templateRef: {name: errors, namespace: ops}
        thresholdRange: {max: 1}
";

// spec: 04/PR-02
#[tokio::test(start_paused = true)]
async fn a_template_is_asked_with_the_secret_beside_it_and_named_when_that_fails() {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(TEMPLATE).expect("objects that the cluster takes");
    let check = format!("{}      - name: request", CHECK.trim_start_matches('\n'));
    let canary = QUARTERS.replacen("    metrics:\n      - name: request", &check, 1);
    world.apply(&canary).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    // The simulated network answers with nothing where nobody has a number.
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    controller.stop().await;

    let calls = world.backend.hook_calls();
    let tokens: Vec<&str> = calls
        .iter()
        .filter(|call| call.url.contains("dynatrace.test"))
        .flat_map(|call| &call.headers)
        .filter(|(name, _)| name == "Authorization")
        .map(|(_, value)| value.as_str())
        .collect();
    assert!(!tokens.is_empty() && tokens.iter().all(|token| *token == "Api-Token ops-token"), "{tokens:?}");
    let told = world.events("shop", "frontend").join("\n");
    let expected =
        "Metric query failed for failures: metric template errors.ops: dynatrace: the answer is empty";
    assert!(told.contains(expected) && !told.contains("token"), "{told}");
}

// spec: 04/TH-06
#[tokio::test(start_paused = true)]
async fn what_was_measured_is_a_series_also_where_it_ends_the_release() {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.backend.query("request_duration", 1515.0);
    world.backend.query("requests_total", 99.5);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    let text = controller.telemetry.render();
    let series = |metric: &str| {
        let start = format!(
            "flagger_canary_metric_analysis{{metric=\"{metric}\",name=\"frontend\",namespace=\"shop\"}} "
        );
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok())
    };
    // A duration in seconds, whatever its bounds are written in; anything else as it came.
    assert_eq!(Some(1.515), series("request-duration"), "{text}");
    assert_eq!(Some(99.5), series("request-success-rate"), "{text}");
    controller.stop().await;
}
