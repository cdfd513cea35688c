//! What the alert channels hear of a release, from the manifests to the call.

use std::time::Duration;

use serde_json::Value;
use vexil::sim::{Running, Version, World};

mod sockets;
mod thread;

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
    let controller = created(&world);
    reaches(&world, "Initialized").await;
    (world, controller)
}

fn created(world: &World) -> Running {
    created_with(world, ALERTS)
}

fn created_with(world: &World, alerts: &str) -> Running {
    let controller = world.start_controller();
    world.apply(CHANNELS).expect("channels that the cluster takes");
    let analysis = "  analysis:\n";
    assert!(QUARTERS.contains(analysis));
    let manifest = QUARTERS.replace(analysis, &format!("{analysis}{}", alerts.trim_start_matches('\n')));
    world.apply(&manifest).expect("a manifest that the cluster takes");
    controller
}

fn owes_alerts(world: &World) -> bool {
    let status = world.status("shop", "frontend");
    status["conditions"].as_array().into_iter().flatten().any(|condition| condition["type"] == "Alerts")
}

/// Ten minutes at rest without a request.
async fn is_quiet(world: &World) -> bool {
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.kube.requests_of("vexil").is_empty()
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

#[rstest::rstest]
#[case::our_crds(World::builder().build())]
#[case::the_crds_of_flagger(World::builder().older_crds().build())]
#[tokio::test(start_paused = true)]
async fn an_alert_that_a_crash_kept_from_being_sent_is_sent_after_the_restart(#[case] world: World) {
    // spec: 02/C41
    world.backend.hang("chat.test");
    let controller = created(&world);
    reaches(&world, "Initialized").await;
    assert!(owes_alerts(&world), "{:#}", world.status("shop", "frontend"));
    controller.kill();
    world.backend.recover("chat.test");
    assert_eq!(heard(&world), Vec::<String>::new());

    let controller = world.start_controller();
    assert!(world.until(Duration::from_secs(60), |world| !owes_alerts(world)).await);
    assert_eq!(heard(&world), ["chat.test: New Deployment detected, initialization completed."]);
    assert!(is_quiet(&world).await);
    controller.stop().await;
    let controller = world.start_controller();
    assert!(is_quiet(&world).await);
    assert_eq!(heard(&world).len(), 1, "what is delivered is not sent again");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_down_for_ten_minutes_hears_everything_in_order_and_delays_no_release() {
    let (world, controller) = initialized().await;
    world.backend.hang("chat.test");
    let began = world.now();
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    assert!((world.now() - began).num_seconds() < 600, "the release waited for its alerts");
    tokio::time::sleep(Duration::from_secs(600)).await;
    world.backend.recover("chat.test");
    assert!(world.until(Duration::from_secs(3600), |world| !owes_alerts(world)).await);
    assert_eq!(
        heard(&world)[1..],
        [
            "chat.test: New revision detected, progressing canary analysis.",
            "chat.test: Canary analysis completed successfully, promotion finished.",
        ]
    );
    assert!(is_quiet(&world).await);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_refuses_is_given_up_and_the_record_goes() {
    let world = World::builder().build();
    world.backend.close("chat.test", true);
    let controller = created(&world);
    reaches(&world, "Initialized").await;
    assert!(world.until(Duration::from_secs(60), |world| !owes_alerts(world)).await);
    assert!(is_quiet(&world).await);
    controller.stop().await;
}

const TEMPLATED: &str = r#"
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: duty, namespace: shop}
spec:
  type: webhook
  address: https://duty.test/in
  template: '{"release": "{{ release }}", "phase": "{{ phase }}", "id": "{{ id }}", "message": "{{ message }}"}'
"#;

/// The texts of member `name` in what `duty.test` was sent, in order.
fn told(world: &World, name: &str) -> Vec<String> {
    let calls = world.backend.hook_calls();
    let calls = calls.iter().filter(|call| call.url.contains("duty.test"));
    calls.map(|call| call.body[name].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn alerts_say_which_release_they_speak_of_and_how_it_stands() {
    let world = World::builder().build();
    let all = ALERTS.replace("        severity: error\n", "");
    let controller = created_with(&world, &all);
    world.apply(TEMPLATED).expect("a channel that the cluster takes");
    reaches(&world, "Initialized").await;
    world.backend.version("2.0.0", Version { success_rate: 93.0, p99_millis: 100.0 });
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Failed").await;
    controller.stop().await;
    assert_eq!(told(&world, "phase"), ["Initialized", "Progressing", "Failed"]);
    let releases = told(&world, "release");
    assert!(releases[0] != releases[1] && releases[1] == releases[2], "{releases:?}");
    let ids = told(&world, "id");
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids.iter().all(|id| id.len() == 32), "{ids:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_a_message_twice_can_tell_by_its_id() {
    let world = World::builder().build();
    let all = ALERTS.replace("        severity: error\n", "");
    world.backend.hang("chat.test");
    let controller = created_with(&world, &all);
    world.apply(TEMPLATED).expect("a channel that the cluster takes");
    // The other channel has the message, and the status still owes it to this one.
    assert!(world.until(Duration::from_secs(600), |world| told(world, "id").len() == 1).await);
    assert!(owes_alerts(&world));
    controller.kill();
    world.backend.recover("chat.test");
    let controller = world.start_controller();
    assert!(world.until(Duration::from_secs(60), |world| !owes_alerts(world)).await);
    controller.stop().await;
    let ids = told(&world, "id");
    assert!(ids.len() == 2 && ids[0] == ids[1], "{ids:?}");
}
