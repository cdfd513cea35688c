//! The tutorials, run: the manifests of a page are applied to a cluster of its mesh, a good version is released and then
//! a bad one, and what the page says about the events is what was told. The first block of plain text after the
//! manifests is the good release, the second one the bad; `UPDATE=1` writes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use vexil::api::Provider;
use vexil::router::registry;
use vexil::sim::{Version, World};

use super::markdown::Page;
use super::{holds, manifests, pages};

const GOOD: &str = "2.0.0";
const BAD: &str = "3.0.0-broken";
const HOURS: Duration = Duration::from_secs(6 * 3600);

#[tokio::test(start_paused = true)]
async fn each_tutorial_happens_as_it_is_told() {
    let tutorials: Vec<Page> =
        pages().into_iter().filter(|page| page.path.starts_with("docs/tutorials/")).collect();
    assert!(tutorials.len() >= 7, "there is a tutorial for each strategy");
    for page in &tutorials {
        tutorial(page).await;
    }
}

async fn tutorial(page: &Page) {
    let blocks = page.blocks(&["yaml"]);
    let whole: Vec<&str> =
        blocks.iter().map(|block| block.text.as_str()).filter(|text| text.contains("kind:")).collect();
    let mut whole = whole.join("---\n");
    let objects = manifests::documents(&whole).expect("YAML");
    if objects.iter().all(|object| object["kind"] != "Deployment") {
        whole = format!("{}---\n{whole}", deployment());
    }
    let canary = objects.iter().find(|object| object["kind"] == "Canary").expect("a Canary");
    let provider = canary["spec"]["provider"].as_str().expect("tutorials name their provider");
    let mesh = Provider::parse(provider).expect("a known provider");

    let world = crate::examples::world(mesh);
    world.backend.version("broken", Version { success_rate: 80.0, p99_millis: 95.0 });
    let told = Arc::new(Mutex::new(Vec::new()));
    let scribe = Arc::clone(&told);
    world.kube.observe(move |change| {
        let event = change.object.value();
        let text = event["message"].as_str().unwrap_or_default();
        if event["involvedObject"]["kind"] == "Canary" && worth_telling(text) {
            open(&scribe).push(text.to_owned());
        }
    });
    let controller = world.start_controller();
    world.apply(&whole).unwrap_or_else(|why| panic!("{}: {why}", page.path));
    reaches(&world, page, &["Initialized"]).await;

    let blocks = page.blocks(&["text"]);
    let [good, bad, ..] = blocks.as_slice() else {
        panic!("{}: two blocks of text are the good release and the bad one", page.path)
    };
    let mut text = page.text.clone();
    for (version, block) in [(GOOD, good), (BAD, bad)] {
        // Whatever the last release still had to do.
        tokio::time::sleep(Duration::from_secs(120)).await;
        open(&told).clear();
        world.set_image("shop", "frontend", &format!("registry.example.com/shop/frontend:{version}"));
        tokio::time::sleep(Duration::from_secs(2)).await;
        reaches(&world, page, &["Succeeded", "Failed"]).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        let told: String = open(&told).iter().map(|line| format!("{line}\n")).collect();
        text = text.replacen(&format!("```text\n{}```", block.text), &format!("```text\n{told}```"), 1);
    }
    controller.stop().await;
    if mesh != Provider::Kubernetes && registry::mesh(mesh).is_some_and(|mesh| mesh.abilities.weights) {
        assert_eq!(world.weights("shop", "frontend"), Some((100, 0)), "{}", page.path);
    }
    holds(&page.path, &text);
}

/// The Deployment that other tutorials refer to.
fn deployment() -> String {
    let page = Page::read(&super::root().join("docs/tutorials/weighted.md"));
    let blocks = page.blocks(&["yaml"]);
    let (deployment, _) = blocks[0].text.split_once("---\n").expect("a Deployment before the Canary");
    deployment.to_owned()
}

async fn reaches(world: &World, page: &Page, phases: &[&str]) {
    let ended = |world: &World| phases.contains(&world.phase("shop", "frontend").as_str());
    let met = world.until(HOURS, ended).await;
    let status: Value = world.status("shop", "frontend");
    assert!(met, "{}: {phases:?} never came: {:#?}\n{status:#}", page.path, world.events("shop", "frontend"));
}

/// How many pods are missing when is the cluster's affair.
fn worth_telling(line: &str) -> bool {
    !["canary deployment ", "frontend-primary.shop not ready"].iter().any(|start| line.starts_with(start))
}

fn open(told: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}
