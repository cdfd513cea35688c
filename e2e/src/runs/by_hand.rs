//! Run 12: people pause, approve, abort and retry with kubectl, while GitOps goes on applying what is in Git.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Figures;
use crate::apps::load::Summary;
use crate::install;
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const SOON: Duration = Duration::from_secs(30);

/// A release that is paused, approved, aborted, and released again.
pub async fn run(world: Arc<World>) -> Figures {
    let namespace = "shop-by-hand";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    let gate = format!("/{namespace}/confirm-promotion");
    world.inbox.answer(&gate, 403);
    let mut canary = shop::patient(shop::canary(namespace));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    canary["spec"]["analysis"]["webhooks"] = json!([
        {"name": "qa", "type": "confirm-promotion", "url": world.inbox.url(&gate), "timeout": "30s"},
    ]);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;

    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_weight(25, Duration::from_secs(60)).await?;
    let revision = releasing(&shop)?;
    annotate(&world, namespace, &format!("pause {revision} by=alice")).await?;
    let paused =
        shop.expect_event(&format!("Request to pause {revision} by alice (kubectl-annotate")).await?;
    wait::until("the status names the pause", SOON, async || {
        Ok(shop.status_now().await?["blockers"][0]["type"] == "Paused")
    })
    .await?;
    // On a slow machine the release may have taken another step before somebody has typed that.
    let kept = shop.shares_now().await?;
    // Two intervals with the pause, and Git applied over it.
    for _ in 0..4 {
        shop.apply(&canary).await?;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let now = shop.shares_now().await?;
        ensure!(now == kept, "paused at {kept:?}, and the shares are {now:?}");
    }
    annotate(&world, namespace, &format!("resume {revision}")).await?;
    shop.wait_phase("WaitingPromotion", Duration::from_secs(120)).await?;
    wait::until("the status names the gate", SOON, async || {
        Ok(shop.canary()["status"]["blockers"][0]["name"] == "qa")
    })
    .await?;

    annotate(&world, namespace, &format!("abort {revision} by=bob")).await?;
    shop.wait_phase("Failed", SOON).await?;
    let aborted = shop.expect_event(&format!("Request to abort {revision} by bob")).await?;
    shop.expect_at_rest("1.0.0").await?;

    annotate(&world, namespace, &format!("retry {revision}")).await?;
    shop.wait_phase("WaitingPromotion", Duration::from_secs(180)).await?;
    wait::until("the status names the gate", SOON, async || {
        Ok(shop.canary()["status"]["blockers"][0]["name"] == "qa")
    })
    .await?;
    annotate(&world, namespace, &format!("approve {revision} by=carol")).await?;
    shop.wait_phase("Succeeded", Duration::from_secs(120)).await?;
    shop.expect_at_rest("1.1.0").await?;

    shop.deploy(&Version::good("1.2.0")).await?;
    shop.wait_weight(25, Duration::from_secs(60)).await?;
    annotate(&world, namespace, &format!("abort {revision} late")).await?;
    let late = shop.expect_event("refused: it is for revision").await?;
    // The late request ended nothing: the release goes on until its own gate, and is let through.
    shop.wait_phase("WaitingPromotion", Duration::from_secs(120)).await?;
    world.inbox.answer(&gate, 200);
    shop.wait_phase("Succeeded", Duration::from_secs(120)).await?;
    shop.expect_at_rest("1.2.0").await?;

    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    Ok(vec![none_lost, paused, aborted, late])
}

/// The revision under release, as a user reads it.
fn releasing(shop: &Shop) -> Result<String> {
    let canary: Value = shop.canary();
    let name = canary["status"]["releasing"]["name"].as_str();
    name.map(str::to_owned).with_context(|| format!("no revision under release in {}", canary["status"]))
}

/// Again while the API server cannot be reached, as a person would.
async fn annotate(world: &World, namespace: &str, request: &str) -> Result<()> {
    let annotation = format!("flagger.app/request={request}");
    wait::until(&format!("kubectl asks to {request}"), SOON, async || {
        let (place, namespace, annotation) = (world.place.clone(), namespace.to_owned(), annotation.clone());
        let typed = tokio::task::spawn_blocking(move || {
            let command = ["-n", &namespace, "annotate", "canary", shop::NAME, "--overwrite", &annotation];
            install::kubectl(&place, &command)
        });
        Ok(typed.await?.is_ok())
    })
    .await
}
