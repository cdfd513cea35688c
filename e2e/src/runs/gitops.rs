//! Run 8: somebody else applies the same manifests again and again, as a GitOps controller does.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::Figures;
use crate::apps::load::Summary;
use crate::shop::{self, NAME, Shop, Version};
use crate::world::World;

const NAMESPACE: &str = "shop-gitops";
const MANAGER: &str = "kustomize-controller";
const EVERY: Duration = Duration::from_secs(3);

pub async fn run(world: Arc<World>) -> Figures {
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    shop.apply(&shop::plain_service()).await?;
    let mut canary = shop::patient(shop::canary(NAMESPACE));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    canary["metadata"]["labels"] = json!({"owner": "gitops"});
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;
    let release = [with_label(shop::deployment(&Version::good("1.1.0"))), canary, with_label(apex())];
    let (stop, stopped) = watch::channel(false);
    let applied = apply_again_and_again(&shop, &release, stopped);
    let released = async {
        let result = shop.wait_release("Succeeded", Duration::from_secs(300)).await;
        stop.send_replace(true);
        result
    };
    let (times, released) = tokio::join!(applied, released);
    released?;
    let times = times?;

    // One more time at rest, and nobody may answer to it.
    let before = versions(&shop).await?;
    for object in &release {
        shop.apply_as(MANAGER, object).await?;
    }
    tokio::time::sleep(EVERY).await;
    let after = versions(&shop).await?;
    ensure!(before == after, "applying the same at rest changed {before:?} to {after:?}");

    shop.expect_at_rest("1.1.0").await?;
    let events = shop.events().await?;
    let restarts = events.iter().filter(|event| event.contains("Restarting analysis")).count();
    ensure!(restarts == 0, "the release was restarted {restarts} times");
    for (api_version, kind) in
        [("apps/v1", "Deployment"), ("v1", "Service"), ("flagger.app/v1beta1", "Canary")]
    {
        let object = shop.get(api_version, kind, NAME).await?.with_context(|| format!("{kind} is gone"))?;
        let owner = object.metadata.labels.unwrap_or_default().get("owner").cloned();
        ensure!(owner.as_deref() == Some("gitops"), "the label of {kind} is lost");
    }
    let selector =
        shop.service(NAME).await?.and_then(|s| s.spec).and_then(|s| s.selector).unwrap_or_default();
    ensure!(
        selector.get("app").is_some_and(|app| app == "frontend-primary"),
        "the apex Service selects {selector:?}"
    );
    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    Ok(vec![format!("applied {times} times during the release; {none_lost}, nothing fought over")])
}

/// The apex Service as a repository has it beside a Canary: without what the controller decides.
fn apex() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}

fn with_label(mut object: Value) -> Value {
    object["metadata"]["labels"]["owner"] = json!("gitops");
    object
}

async fn apply_again_and_again(
    shop: &Shop,
    objects: &[Value],
    mut stop: watch::Receiver<bool>,
) -> Result<usize> {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = 0;
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => return Ok(times),
            _ = tick.tick() => {}
        }
        for object in objects {
            shop.apply_as(MANAGER, object).await?;
        }
        times += 1;
    }
}

/// The resource versions of what both sides write.
async fn versions(shop: &Shop) -> Result<Vec<Option<String>>> {
    let mut out = Vec::new();
    for (api_version, kind, name) in [
        ("apps/v1", "Deployment", "frontend-primary"),
        ("v1", "Service", NAME),
        ("networking.istio.io/v1beta1", "VirtualService", NAME),
        ("flagger.app/v1beta1", "Canary", NAME),
    ] {
        let object = shop.get(api_version, kind, name).await?;
        out.push(object.and_then(|object| {
            object.metadata.generation.map(|g| g.to_string()).or(object.metadata.resource_version)
        }));
    }
    Ok(out)
}
