//! Events reach the hooks of their Canary, whatever becomes of other receivers and of the controller; and whom alerts do
//! not reach is said.

use std::collections::BTreeSet;
use std::time::Duration;

use kubesim::Verb;
use rstest::rstest;
use serde_json::Value;
use vexil::model::release::Settings;
use vexil::sim::{Running, World};

use super::promises::a_step_costs_three_writes;

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const HOOKS: &str = "
    webhooks:
      - {name: story, type: event, url: http://story.test/, timeout: 2m}
      - {name: mirror, type: event, url: http://mirror.test/}
";

fn manifest(analysis: &str) -> String {
    QUARTERS.replace("  analysis:\n", &format!("  analysis:\n{}", analysis.trim_start_matches('\n')))
}

async fn created(world: &World, analysis: &str) -> Running {
    let controller = world.start_controller();
    world.apply(&manifest(analysis)).expect("a manifest that the cluster takes");
    reaches(world, "Initialized").await;
    controller
}

async fn reaches(world: &World, phase: &str) {
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase}: {:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
}

/// The condition of this type.
fn condition(world: &World, kind: &str) -> Option<Value> {
    let status = world.status("shop", "frontend");
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind)
}

/// What a receiver was told of events: time and text, in the order of their coming.
fn told(world: &World, host: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let calls = world.backend.hook_calls();
    let those = calls.iter().filter(|call| call.url.contains(host));
    those
        .map(|call| (text(&call.body["metadata"]["timestamp"]), text(&call.body["metadata"]["eventMessage"])))
        .collect()
}

/// Ten minutes at rest without a request, but for watches that are over and made anew.
async fn is_quiet(world: &World) {
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(10 * MINUTE).await;
    let mut requests = world.kube.requests_of("vexil");
    requests.retain(|request| request.verb != Verb::Watch);
    assert!(
        requests.is_empty(),
        "{}",
        requests.iter().map(|request| format!("{request}\n")).collect::<String>()
    );
}

#[rstest]
#[case::our_crds(World::builder().build())]
#[case::the_crds_of_flagger(World::builder().older_crds().build())]
#[tokio::test(start_paused = true)]
async fn the_events_that_a_crash_kept_from_a_hook_reach_it_after_the_restart(#[case] world: World) {
    // spec: 02/C41
    let controller = created(&world, HOOKS).await;
    assert!(world.until(MINUTE, |world| condition(world, "Events").is_none()).await);
    world.backend.hang("story.test");
    let before = told(&world, "story.test").len();
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let heard_by_the_other = told(&world, "mirror.test").split_off(before);
    assert!(heard_by_the_other.iter().any(|(_, text)| text.starts_with("Promotion completed")));
    assert_eq!(told(&world, "story.test").len(), before);
    let owed = condition(&world, "Events").expect("the events are on record");
    assert!(owed["message"].as_str().unwrap_or_default().contains("Promotion completed"), "{owed:#}");
    controller.kill();
    world.backend.recover("story.test");

    let controller = world.start_controller();
    assert!(world.until(MINUTE, |world| condition(world, "Events").is_none()).await);
    let heard = told(&world, "story.test").split_off(before);
    assert_eq!(heard, heard_by_the_other, "the same events, with the times at which they happened");
    is_quiet(&world).await;
    controller.stop().await;
    let controller = world.start_controller();
    is_quiet(&world).await;
    assert_eq!(told(&world, "story.test").len(), before + heard.len(), "what was told is not told again");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_away_for_half_an_hour_hears_everything_in_order_and_delays_no_release() {
    let world = World::builder().build();
    let controller = created(&world, HOOKS).await;
    let before = told(&world, "story.test").len();
    world.backend.hang("story.test");
    let began = world.now();
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    assert!((world.now() - began).num_seconds() < 600, "the release waited for its event hook");
    tokio::time::sleep(30 * MINUTE).await;
    world.backend.recover("story.test");
    assert!(world.until(HOUR, |world| condition(world, "Events").is_none()).await);
    assert_eq!(told(&world, "story.test").split_off(before), told(&world, "mirror.test").split_off(before));
    is_quiet(&world).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_answers_after_59_seconds_loses_nothing() {
    let world = World::builder().build();
    world.backend.slow("story.test", Duration::from_secs(59));
    let controller = created(&world, HOOKS).await;
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    assert!(world.until(HOUR, |world| condition(world, "Events").is_none()).await);
    assert_eq!(told(&world, "story.test"), told(&world, "mirror.test"));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_never_answers_is_given_up_and_the_record_goes() {
    let world = World::builder().build();
    world.backend.hang("story.test");
    let controller = created(&world, HOOKS).await;
    assert!(condition(&world, "Events").is_some());
    assert!(world.until(2 * HOUR, |world| condition(world, "Events").is_none()).await);
    is_quiet(&world).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_with_event_hooks_costs_no_further_write() {
    // spec: 02/C42
    let world = World::builder().build();
    let controller = created(&world, HOOKS).await;
    a_step_costs_three_writes(&world).await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_canary_owes_is_told_though_it_is_deleted_meanwhile() {
    let world = World::builder().build();
    let controller = created(&world, HOOKS).await;
    let before = told(&world, "story.test").len();
    world.backend.hang("story.test");
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    tokio::time::sleep(MINUTE).await;
    world.backend.recover("story.test");
    let heard = |world: &World| {
        told(world, "story.test").split_off(before) == told(world, "mirror.test").split_off(before)
    };
    assert!(world.until(HOUR, heard).await, "{:#?}", told(&world, "story.test"));
    is_quiet(&world).await;
    // Another one of the same name owes nothing of that.
    world.apply(&manifest(HOOKS)).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    assert!(world.until(MINUTE, |world| condition(world, "Events").is_none()).await);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn restarts_while_a_hook_is_away_lose_no_event_of_a_release() {
    let world = World::builder().build();
    let mut controller = created(&world, HOOKS).await;
    world.backend.hang("story.test");
    world.set_image("shop", "frontend", NEXT);
    while world.phase("shop", "frontend") != "Succeeded" {
        tokio::time::sleep(Duration::from_secs(17)).await;
        controller.kill();
        controller = world.start_controller();
    }
    world.backend.recover("story.test");
    assert!(world.until(HOUR, |world| condition(world, "Events").is_none()).await);
    let distinct = |host: &str| told(&world, host).into_iter().collect::<BTreeSet<_>>();
    let missing: Vec<_> = distinct("mirror.test").difference(&distinct("story.test")).cloned().collect();
    // Waits are told anew by each process, and stand nowhere.
    let steps: Vec<_> = missing.iter().filter(|(_, text)| !text.contains("not ready")).collect();
    assert_eq!(steps, Vec::<&(String, String)>::new());
    controller.stop().await;
}

/// Channels that cannot work, each with its own fault; `good` is well.
const CHANNELS: &str = "
apiVersion: v1
kind: Secret
metadata: {name: kept, namespace: shop}
data: {address: aHR0cHM6Ly9jaGF0LnRlc3QvczNjcjN0}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: bad-address, namespace: shop}
spec: {type: slack, address: 'chat.test/in'}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: no-secret, namespace: shop}
spec: {type: slack, secretRef: {name: nothing}}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: kept, namespace: shop}
spec: {type: slack, secretRef: {name: kept}}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: refuses, namespace: shop}
spec: {type: slack, address: 'https://refuses.test/in'}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: good, namespace: shop}
spec: {type: slack, address: 'https://good.test/in'}
";

const REPAIRED: &str = "
apiVersion: v1
kind: Secret
metadata: {name: nothing, namespace: shop, labels: {flagger.app/use-in: alerts}}
data: {address: aHR0cHM6Ly9jaGF0LnRlc3QvczNjcjN0}
---
apiVersion: v1
kind: Secret
metadata: {name: kept, namespace: shop, labels: {flagger.app/use-in: alerts}}
data: {address: aHR0cHM6Ly9jaGF0LnRlc3QvczNjcjN0}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: missing, namespace: shop}
spec: {type: slack, address: 'https://chat.test/in'}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: bad-address, namespace: shop}
spec: {type: slack, address: 'https://chat.test/in'}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: no-secret, namespace: shop, labels: {touched: again}}
spec: {type: slack, secretRef: {name: nothing}}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: kept, namespace: shop, labels: {touched: again}}
spec: {type: slack, secretRef: {name: kept}}
";

fn about_alerts(world: &World) -> Vec<String> {
    let events = world.events("shop", "frontend").into_iter();
    events.filter(|text| text.starts_with("Alerts are not delivered")).collect()
}

async fn with_channel(channel: &str) -> (World, Running) {
    let settings = Settings { require_secret_labels: true, ..Settings::default() };
    let world = World::builder().settings(settings).build();
    world.backend.close("refuses.test", true);
    let alerts = format!(
        "    alerts:\n      - {{name: a, providerRef: {{name: {channel}}}}}\n      - {{name: b, providerRef: {{name: good}}}}\n"
    );
    let controller = world.start_controller();
    world.apply(CHANNELS).expect("channels that the cluster takes");
    world.apply(&manifest(&alerts)).expect("a manifest that the cluster takes");
    reaches(&world, "Initialized").await;
    assert!(world.until(MINUTE, |world| condition(world, "Alerts").is_none()).await);
    (world, controller)
}

#[rstest]
#[case::missing("missing", "ProviderUnusable", "alertprovider.flagger.app \"missing\" not found")]
#[case::bad_address("bad-address", "ProviderUnusable", "invalid Slack hook URL")]
#[case::missing_secret("no-secret", "ProviderUnusable", "secrets \"nothing\" not found")]
#[case::not_released("kept", "ProviderUnusable", "its owner has to label it flagger.app/use-in=alerts")]
#[case::refused("refuses", "ReceiverRefused", "bad response 403")]
#[tokio::test(start_paused = true)]
async fn whom_alerts_do_not_reach_is_told_once_and_stands_in_the_status_until_they_do(
    #[case] channel: &str,
    #[case] reason: &str,
    #[case] why: &str,
) {
    let (world, controller) = with_channel(channel).await;
    let said = condition(&world, "AlertsDelivered").expect("a condition");
    assert_eq!((said["status"].as_str(), said["reason"].as_str()), (Some("False"), Some(reason)), "{said:#}");
    let message = said["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with(&format!("alert provider {channel}.shop ")) && message.contains(why),
        "{said:#}"
    );
    assert_eq!(about_alerts(&world), [format!("Alerts are not delivered: {message}")]);
    is_quiet(&world).await;

    controller.kill();
    let controller = world.start_controller();
    is_quiet(&world).await;
    assert_eq!(condition(&world, "AlertsDelivered").expect("still there")["reason"], reason);
    world.set_image("shop", "frontend", NEXT);
    reaches(&world, "Succeeded").await;
    is_quiet(&world).await;
    assert_eq!(condition(&world, "AlertsDelivered").expect("still there")["reason"], reason);
    assert_eq!(about_alerts(&world).len(), 1, "it is told once");

    if channel == "refuses" {
        world.backend.close("refuses.test", false);
        world.set_image("shop", "frontend", "registry.example.com/shop/frontend:3.0.0");
        reaches(&world, "Progressing").await;
    }
    world.apply(REPAIRED).expect("what was missing");
    let well = |world: &World| condition(world, "AlertsDelivered").is_none();
    assert!(world.until(10 * MINUTE, well).await, "{:#}", world.status("shop", "frontend"));
    reaches(&world, "Succeeded").await;
    is_quiet(&world).await;
    assert!(well(&world));
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_not_named_any_more_is_not_complained_of() {
    let (world, controller) = with_channel("missing").await;
    assert!(condition(&world, "AlertsDelivered").is_some());
    let alerts = "    alerts: [{name: b, providerRef: {name: good}}]\n";
    world.apply(&manifest(alerts)).expect("a manifest that the cluster takes");
    assert!(world.until(MINUTE, |world| condition(world, "AlertsDelivered").is_none()).await);
    is_quiet(&world).await;
    controller.stop().await;
}
