//! What the alert channels hear of a release, from the manifests to the call.

use std::time::Duration;

use serde_json::Value;
use vexil::sim::{Running, Version, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");

const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";

const CHANNELS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: ops}
---
apiVersion: v1
kind: Secret
metadata: {name: chat, namespace: ops}
data: {address: aHR0cHM6Ly9jaGF0LnRlc3QvczNjcjN0}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: chat, namespace: ops}
spec: {type: slack, secretRef: {name: chat}}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: duty, namespace: shop}
spec: {type: webhook, address: 'https://duty.test/in'}
";

const ALERTS: &str = "
    alerts:
      - name: everything
        providerRef: {name: chat, namespace: ops}
      - name: only what hurts
        severity: error
        providerRef: {name: duty}
";

async fn reaches(world: &World, phase: &str) {
    let met = world.until(Duration::from_secs(3600), |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase}: {:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
}

async fn initialized() -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(CHANNELS).expect("channels that the cluster takes");
    let analysis = "  analysis:\n";
    assert!(QUARTERS.contains(analysis));
    let manifest = QUARTERS.replace(analysis, &format!("{analysis}{}", ALERTS.trim_start_matches('\n')));
    world.apply(&manifest).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    (world, controller)
}

/// `host: text` of what was sent, in order.
fn heard(world: &World) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let calls = world.backend.hook_calls();
    let of = |host: &str| {
        let calls = calls.iter().filter(|call| call.url.contains(host));
        calls
            .map(|call| {
                format!(
                    "{host}: {}{}",
                    text(&call.body["attachments"][0]["text"]),
                    text(&call.body["message"])
                )
            })
            .collect::<Vec<_>>()
    };
    [of("chat.test"), of("duty.test")].concat()
}

#[tokio::test(start_paused = true)]
async fn the_channels_of_a_canary_hear_of_a_good_release() {
    // spec: 02/C101 04/AL-16
    let (world, controller) = initialized().await;
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    controller.stop().await;
    assert_eq!(
        heard(&world),
        [
            "chat.test: New Deployment detected, initialization completed.",
            "chat.test: New revision detected, progressing canary analysis.",
            "chat.test: Canary analysis completed successfully, promotion finished.",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_for_errors_hears_of_a_rollback() {
    // spec: 02/C102 04/AL-02 04/AL-03 04/AL-16
    let (world, controller) = initialized().await;
    world.backend.version("2.0.0", Version { success_rate: 93.0, p99_millis: 100.0 });
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Failed").await;
    controller.stop().await;
    assert_eq!(
        heard(&world),
        [
            "chat.test: New Deployment detected, initialization completed.",
            "chat.test: New revision detected, progressing canary analysis.",
            "chat.test: Failed checks threshold reached 5",
            "duty.test: Failed checks threshold reached 5",
        ]
    );
}
