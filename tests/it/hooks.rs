//! Hooks whose receivers want to know who calls: headers and a signature with the contents of Secrets.

use std::time::Duration;

use vexil::sim::{Running, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// `Authorization: Bearer t0ken`, and the key `s3cr3t`.
const SECRETS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: gate, namespace: shop, labels: {flagger.app/use-in: hooks}}
data: {Authorization: QmVhcmVyIHQwa2Vu, key: czNjcjN0}
---
apiVersion: v1
kind: Secret
metadata: {name: headers, namespace: shop, labels: {flagger.app/use-in: metrics.hooks}}
data: {Authorization: QmVhcmVyIHQwa2Vu}
";

const HOOKS: &str = "
    webhooks:
      - name: acceptance
        type: pre-rollout
        url: https://gate.test/
        headersFrom: {secretRef: {name: headers}}
        signature: {secretRef: {name: gate}}
      - name: story
        type: event
        url: http://story.test/
        signature: {secretRef: {name: gate, key: key}}
";

async fn initialized(secrets: &str) -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    let analysis = "  analysis:\n";
    let hooks = format!("{analysis}{}", HOOKS.trim_start_matches('\n'));
    world.apply(&QUARTERS.replace(analysis, &hooks)).expect("a manifest that the cluster takes");
    if !secrets.is_empty() {
        world.apply(secrets).expect("Secrets that the cluster takes");
    }
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    (world, controller)
}

#[tokio::test(start_paused = true)]
async fn a_receiver_gets_the_headers_of_a_secret_and_a_signature_of_the_moment() {
    let (world, controller) = initialized(SECRETS).await;
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await);
    controller.stop().await;
    let calls = world.backend.hook_calls();
    let header = |url: &str, name: &str| {
        let call = calls.iter().rfind(|call| call.url.contains(url)).expect("a call");
        call.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    };
    assert_eq!(header("gate.test", "Authorization").as_deref(), Some("Bearer t0ken"));
    assert_eq!(header("story.test", "Authorization"), None);
    for url in ["gate.test", "story.test"] {
        let signature = header(url, "X-Vexil-Signature").unwrap_or_default();
        assert!(signature.len() == 71 && signature.starts_with("sha256="), "{url}: {signature}");
        let time = header(url, "X-Vexil-Timestamp").and_then(|time| time.parse::<i64>().ok());
        assert!(time.is_some_and(|time| time <= world.now().timestamp() && time > 0), "{url}: {time:?}");
    }
    let told = world.events("shop", "frontend").join(" ");
    assert!(!told.contains("t0ken") && !told.contains("s3cr3t"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_a_failed_hook_that_names_it_and_nothing_is_called() {
    let (world, controller) = initialized("").await;
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    controller.stop().await;
    assert!(world.backend.hook_calls().iter().all(|call| !call.url.contains("gate.test")));
    let events = world.events("shop", "frontend");
    let text = "Halt frontend.shop advancement pre-rollout check acceptance failed secret headers.shop error: \
                secrets \"headers\" not found";
    assert!(events.contains(&text.to_owned()), "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_secret_whose_owner_has_not_released_it_stays_where_it_is() {
    for label in ["", ", labels: {flagger.app/use-in: metrics}"] {
        let secrets = SECRETS.replace(", labels: {flagger.app/use-in: metrics.hooks}", label);
        assert_ne!(secrets, SECRETS);
        let (world, controller) = initialized(&secrets).await;
        world.set_image("shop", "frontend", NEXT);
        assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
        controller.stop().await;
        assert!(world.backend.hook_calls().iter().all(|call| !call.url.contains("gate.test")));
        let events = world.events("shop", "frontend");
        let text = "Halt frontend.shop advancement pre-rollout check acceptance failed secret headers.shop error: is not \
                    released for this: its owner has to label it flagger.app/use-in=hooks";
        assert!(events.contains(&text.to_owned()), "{events:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_with_a_long_timeout_is_cut_and_the_user_is_told() {
    let world = World::builder().build();
    let controller = world.start_controller();
    let hook = "  analysis:\n    webhooks: [{name: slow, url: http://slow.test/, timeout: 6000m}]\n";
    world.apply(&QUARTERS.replace("  analysis:\n", hook)).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    controller.stop().await;
    let events = world.events("shop", "frontend");
    let text = "spec.analysis.webhooks[0].timeout: \"6000m\" is too long, 10m0s is used: the controller's flag \
                -max-webhook-timeout allows no more";
    assert!(events.iter().any(|event| event == text), "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_event_hook_gets_cloud_events_if_it_asks_for_them() {
    let world = World::builder().build();
    let controller = world.start_controller();
    let hook = "  analysis:\n    webhooks:\n      - {name: bus, type: event, url: 'http://bus.test/', cloudEvents: structured}\n";
    world.apply(&QUARTERS.replace("  analysis:\n", hook)).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await);
    controller.stop().await;
    let calls = world.backend.hook_calls();
    let events: Vec<_> =
        calls.iter().filter(|call| call.url.contains("bus.test")).map(|call| &call.body).collect();
    assert!(events.len() > 3, "{events:?}");
    for event in &events {
        assert_eq!(
            (&event["specversion"], &event["subject"]),
            (&"1.0".into(), &"shop/frontend".into()),
            "{event}"
        );
        assert_eq!(event["release"], event["data"]["checksum"], "{event}");
        assert!(event["data"]["metadata"]["eventMessage"].is_string(), "{event}");
    }
    let ids: std::collections::BTreeSet<String> =
        events.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), events.len(), "each event has an id of its own");
}
