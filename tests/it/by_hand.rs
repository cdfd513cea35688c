//! Requests by hand: by annotation, as kubectl sets it, and by the subcommands that set it.

use std::process::Output;
use std::time::Duration;

use kubesim::KubeSim;
use serde_json::{Value, json};
use vexil::sim::{Running, Version, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// A release that has reached its first weight.
async fn under_way(world: World) -> (World, Running) {
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    (world, controller)
}

fn revision(world: &World) -> String {
    world.status("shop", "frontend")["releasing"]["name"].as_str().unwrap_or_default().to_owned()
}

fn annotate(kube: &KubeSim, text: &str) {
    let metadata =
        json!({"name": "frontend", "namespace": "shop", "annotations": {"flagger.app/request": text}});
    let canary = json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": metadata});
    kube.apply("kubectl-annotate", canary).expect("an annotation that the cluster takes");
}

fn answer(world: &World) -> Option<(String, String)> {
    let status = world.status("shop", "frontend");
    let conditions = status["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == "Request")?;
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    Some((text("reason"), text("message")))
}

#[tokio::test(start_paused = true)]
async fn an_annotation_pauses_a_release_and_another_lets_it_go_on() {
    let (world, controller) = under_way(World::builder().build()).await;
    annotate(&world.kube, &format!("pause {} by=alice", revision(&world)));
    assert!(world.until(HOUR, |world| answer(world).is_some()).await);
    assert!(!world.until(HOUR, |world| world.weights("shop", "frontend") != Some((75, 25))).await);
    let status = world.status("shop", "frontend");
    assert_eq!(status["blockers"][0]["type"], "Paused");
    let told = world.events("shop", "frontend").pop().unwrap_or_default();
    assert!(told.contains(" by alice (kubectl-annotate, "), "{told}");
    assert!(told.ends_with("traffic stays at weight 25"), "{told}");

    annotate(&world.kube, &format!("resume {}", revision(&world)));
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_survives_a_restart_of_the_controller_under_the_crds_of_flagger() {
    let world = World::builder().older_crds().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    let status = world.status("shop", "frontend");
    annotate(&world.kube, &format!("pause {}", status["lastAppliedSpec"].as_str().unwrap_or_default()));
    assert!(world.until(HOUR, |world| answer(world).is_some()).await);
    controller.kill();
    let controller = world.start_controller();
    assert!(!world.until(HOUR, |world| world.weights("shop", "frontend") != Some((75, 25))).await);
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.kube.clear_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.kube.requests_of("vexil").len(), 0, "a paused release is quiet");
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_rolls_back_and_the_annotation_that_stays_aborts_nothing_else() {
    let (world, controller) = under_way(World::builder().build()).await;
    annotate(&world.kube, &format!("abort {}", revision(&world)));
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    assert_eq!(world.weights("shop", "frontend"), Some((100, 0)));
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:3.0.0");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_failed_is_released_again_on_request() {
    let world = World::builder().build();
    world.backend.version("2.0.0", Version { success_rate: 50.0, p99_millis: 50.0 });
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Failed").await);
    world.backend.version("2.0.0", Version { success_rate: 100.0, p99_millis: 50.0 });
    let status = world.status("shop", "frontend");
    annotate(&world.kube, &format!("retry {}", status["lastAppliedSpec"].as_str().unwrap_or_default()));
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await);
    controller.stop().await;
}

/// Runs `vexil` against the cluster, which goes on meanwhile.
async fn vexil(kube: &KubeSim, arguments: &[&str], name: &str) -> Output {
    let listening = kube.listen(([127, 0, 0, 1], 0).into()).await.expect("a free loopback port");
    let home = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("by-hand-{name}"));
    std::fs::create_dir_all(&home).expect("a directory for the kubeconfig");
    std::fs::write(home.join("config"), listening.kubeconfig()).expect("the kubeconfig is written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vexil"));
    command.args(arguments).env("KUBECONFIG", home.join("config"));
    tokio::task::spawn_blocking(move || command.output().expect("vexil runs")).await.expect("no panic")
}

/// A cluster with one Canary whose `status` somebody has written.
fn cluster(status: &Value) -> World {
    let world = World::builder().build();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    world
        .kube
        .patch_status("test", "canaries.flagger.app", "shop", "frontend", json!({"status": status}))
        .expect("a status that the cluster takes");
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subcommand_asks_for_the_revision_under_release_and_reports_the_refusal() {
    let world = cluster(&json!({"phase": "Progressing", "releasing": {"name": "vx1-5f6a1b2c3d4e5f60"}}));
    // Whoever answers: no controller runs here.
    let kube = world.kube.clone();
    let refusing = tokio::spawn(async move {
        loop {
            let canary = kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
            if let Some(text) = canary["metadata"]["annotations"]["flagger.app/request"].as_str() {
                let message = format!("{text}: it is paused already");
                let condition =
                    json!({"type": "Request", "status": "False", "reason": "Refused", "message": message});
                kube.patch_status(
                    "test",
                    "canaries.flagger.app",
                    "shop",
                    "frontend",
                    json!({"status": {"conditions": [condition]}}),
                )
                .expect("a status that the cluster takes");
                return text.to_owned();
            }
            tokio::task::yield_now().await;
        }
    });
    let output = vexil(&world.kube, &["pause", "frontend", "-n", "shop", "--by", "alice"], "refused").await;
    let asked = refusing.await.expect("no panic");
    assert!(asked.starts_with("pause vx1-5f6a1b2c3d4e5f60 by=alice at="), "{asked}");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert_eq!(error.trim(), "vexil: Canary frontend.shop: refused: it is paused already");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subcommand_says_when_there_is_nothing_to_do_and_asks_nothing() {
    let world = cluster(&json!({"phase": "Succeeded", "lastAppliedSpec": "vx1-5f6a1b2c3d4e5f60"}));
    let output = vexil(&world.kube, &["abort", "frontend", "-n", "shop"], "nothing").await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = "vexil: Canary frontend.shop: nothing was asked: nothing is being released in phase Succeeded";
    assert_eq!(error.lines().next(), Some(why));
    assert_eq!(output.status.code(), Some(3));
    let canary = world.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    assert!(canary["metadata"]["annotations"]["flagger.app/request"].is_null());
}
