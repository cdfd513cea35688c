//! The table and the tree in many states: the real controller on the embedded cluster has brought each about, in
//! virtual time. `UPDATE=1` rewrites the expected texts in tests/data/ask.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kubesim::{PodBehaviour, PodRules};
use serde_json::{Value, json};

use crate::cli::picture::lines;
use crate::cli::print::Line;
use crate::model::object::Kind;
use crate::router::endpoints::ENDPOINT_SLICE;
use crate::sim::{Running, Version, World};

use super::get::{Columns, table};
use super::known::Known;
use super::news::news;
use super::seen::{Around, EVENT, Seen, settings};
use super::sight::Sight;
use super::tree;

const QUARTERS: &str = include_str!("../../../tests/data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

fn resource(kind: Kind) -> String {
    if kind.group.is_empty() { kind.plural.to_owned() } else { format!("{}.{}", kind.plural, kind.group) }
}

/// What a user sees who may read everything.
fn seen(world: &World) -> Seen {
    let canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    let around = Around::of(&canary, settings(None), &Default::default());
    let ids = around.as_ref().map(|around| around.ids.clone()).unwrap_or_default();
    let mut seen = Seen::new(canary, around);
    for id in ids {
        let object = world.kube.get(&resource(id.kind), &id.namespace, &id.name);
        seen.objects.extend(object.map(|object| (id, Arc::new(object))));
    }
    let all = |kind: Kind| {
        let named =
            |object: Value| (object["metadata"]["name"].as_str().unwrap_or_default().to_owned(), object);
        world.kube.list(&resource(kind), Some("shop")).into_iter().map(named)
    };
    seen.slices = all(ENDPOINT_SLICE).collect();
    seen.events = all(EVENT).filter(|(_, event)| event["involvedObject"]["kind"] == "Canary").collect();
    seen
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text() + "\n").collect()
}

fn expect(name: &str, found: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/ask").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, found).expect("the expected text is written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, found, "UPDATE=1 rewrites {}", path.display());
}

/// Compares the tree, and the row of the table, with what is expected.
fn expect_state(name: &str, world: &World) {
    let seen = seen(world);
    let tree = tree::draw(&Sight::of(&seen), world.now(), 100, 8);
    let row = table(&[Known::of(&seen.canary)], Columns { namespace: true, wide: true }, world.now());
    expect(name, &format!("{}\n{}", text(&row), text(&tree)));
}

/// A world in which the frontend is initialized.
async fn initialized(manifest: &str) -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(manifest).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    (world, controller)
}

async fn at_weight(world: &World, canary: i64) {
    assert!(
        world.until(HOUR, |world| world.weights("shop", "frontend") == Some((100 - canary, canary))).await
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn initializing_says_which_pods_are_waited_for() {
    let world = World::builder().build();
    world.kube.set_pod_rules(PodRules::default().otherwise(PodBehaviour::never_ready()));
    let _controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    tokio::time::sleep(Duration::from_secs(40)).await;
    expect_state("initializing", &world);
}

#[tokio::test(start_paused = true)]
async fn progressing_shows_shares_measurements_and_the_next_step() {
    let (world, _controller) = initialized(QUARTERS).await;
    world.backend.version("2.0.0", Version { success_rate: 99.6, p99_millis: 120.0 });
    world.set_image("shop", "frontend", NEXT);
    at_weight(&world, 50).await;
    expect_state("progressing", &world);
    for columns in [60, 40] {
        let lines = tree::draw(&Sight::of(&seen(&world)), world.now(), columns, 4);
        assert!(lines.iter().all(|line| line.width() <= columns), "{}", text(&lines));
        expect(&format!("progressing-{columns}"), &text(&lines));
    }
}

#[tokio::test(start_paused = true)]
async fn failing_checks_are_told_with_value_and_bound() {
    let (world, _controller) = initialized(QUARTERS).await;
    world.backend.version("2.0.0", Version { success_rate: 93.1, p99_millis: 120.0 });
    world.set_image("shop", "frontend", NEXT);
    at_weight(&world, 25).await;
    tokio::time::sleep(Duration::from_secs(70)).await;
    expect_state("failing", &world);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    tokio::time::sleep(Duration::from_secs(30)).await;
    expect_state("failed", &world);
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_is_told_with_the_command_that_opens_it() {
    let (world, _controller) = initialized(QUARTERS).await;
    let hook = json!({"name": "qa", "type": "confirm-rollout", "url": "http://me:secret@nobody.example.com/gate?t=x"});
    let patch = json!({"spec": {"analysis": {"webhooks": [hook]}}});
    world.backend.close("nobody.example.com", true);
    world.kube.patch("kubectl", "canaries.flagger.app", "shop", "frontend", patch).expect("a hook");
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Waiting").await);
    tokio::time::sleep(Duration::from_secs(100)).await;
    expect_state("gate", &world);
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_refused_says_what_to_mend_and_what_the_mesh_is_still_told() {
    let (world, _controller) = initialized(QUARTERS).await;
    world.set_image("shop", "frontend", NEXT);
    at_weight(&world, 25).await;
    let patch =
        json!({"spec": {"analysis": {"stepWeight": null, "maxWeight": null, "stepWeights": [50, 20]}}});
    world
        .kube
        .patch("kubectl", "canaries.flagger.app", "shop", "frontend", patch)
        .expect("what the CRD takes");
    tokio::time::sleep(Duration::from_secs(5)).await;
    expect_state("refused", &world);
}

#[tokio::test(start_paused = true)]
async fn a_paused_release_says_who_paused_it_and_how_it_goes_on() {
    let (world, _controller) = initialized(QUARTERS).await;
    world.set_image("shop", "frontend", NEXT);
    at_weight(&world, 25).await;
    let revision =
        world.status("shop", "frontend")["releasing"]["name"].as_str().unwrap_or_default().to_owned();
    let annotations = json!({"flagger.app/request": format!("pause {revision} by=alice")});
    let metadata = json!({"name": "frontend", "namespace": "shop", "annotations": annotations});
    let canary = json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": metadata});
    world.kube.apply("kubectl-annotate", canary).expect("an annotation");
    tokio::time::sleep(Duration::from_secs(120)).await;
    expect_state("paused", &world);
    // As docs/ask.md shows it.
    let canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    let narrow = Columns { namespace: false, wide: false };
    expect("get", &text(&table(&[Known::of(&canary)], narrow, world.now())));
}

#[tokio::test(start_paused = true)]
async fn a_release_is_told_line_by_line() {
    let (world, _controller) = initialized(QUARTERS).await;
    let mut before: Option<Sight> = None;
    let mut told = String::new();
    world.set_image("shop", "frontend", NEXT);
    let end = world.now() + chrono::TimeDelta::minutes(10);
    while world.now() < end && world.phase("shop", "frontend") != "Succeeded" {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let sight = Sight::of(&seen(&world));
        for news in news(before.as_ref(), &sight) {
            told += &(lines::line(world.now(), &news) + "\n");
        }
        before = Some(sight);
    }
    expect("lines", &told);
}

#[test]
fn what_a_cluster_says_cannot_write_to_the_terminal() {
    let canary = json!({
        "metadata": {"name": "a\u{1b}[2J", "namespace": "b"},
        "status": {"phase": "Failed", "failedChecks": 0, "canaryWeight": 0, "iterations": 0, "conditions": [
            {"type": "Stalled", "status": "True", "reason": "x", "message": "\u{1b}]0;owned\u{7}\nrm -rf"},
        ]},
    });
    let sight = Sight::of(&Seen::new(canary, None));
    let lines = tree::draw(&sight, "2026-01-01T12:00:00Z".parse().expect("a time"), 100, 8);
    assert!(lines.iter().all(|line| !line.text().contains(char::is_control)), "{lines:?}");
}
