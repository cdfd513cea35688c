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
        {"name": "qa", "type": "confirm-promotion", "url": world.inbox.url(&gate), "timeout": "5s"},
    ]);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;

    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_weight(25, Duration::from_secs(60)).await?;
    let revision = releasing(&shop)?;
    annotate(&world, namespace, &format!("pause {revision} by=alice"))?;
    let paused =
        shop.expect_event(&format!("Request to pause {revision} by alice (kubectl-annotate")).await?;
    // Two intervals with the pause, and Git applied over it.
    for _ in 0..4 {
        shop.apply(&canary).await?;
        tokio::time::sleep(Duration::from_secs(6)).await;
        ensure!(shop.shares() == Some((75, 25)), "paused at 25, and the shares are {:?}", shop.shares());
    }
    let blocker = shop.canary()["status"]["blockers"][0]["type"].clone();
    ensure!(blocker == "Paused", "the status says that it waits for {blocker}");
    annotate(&world, namespace, &format!("resume {revision}"))?;
    shop.wait_phase("WaitingPromotion", Duration::from_secs(120)).await?;
    wait::until("the status names the gate", SOON, async || {
        Ok(shop.canary()["status"]["blockers"][0]["name"] == "qa")
    })
    .await?;

    annotate(&world, namespace, &format!("abort {revision} by=bob"))?;
    shop.wait_phase("Failed", SOON).await?;
    let aborted = shop.expect_event(&format!("Request to abort {revision} by bob")).await?;
    shop.expect_at_rest("1.0.0").await?;

    annotate(&world, namespace, &format!("retry {revision}"))?;
    shop.wait_phase("WaitingPromotion", Duration::from_secs(180)).await?;
    wait::until("the status names the gate", SOON, async || {
        Ok(shop.canary()["status"]["blockers"][0]["name"] == "qa")
    })
    .await?;
    annotate(&world, namespace, &format!("approve {revision} by=carol"))?;
    shop.wait_phase("Succeeded", Duration::from_secs(120)).await?;
    shop.expect_at_rest("1.1.0").await?;

    shop.deploy(&Version::good("1.2.0")).await?;
    shop.wait_weight(25, Duration::from_secs(60)).await?;
    annotate(&world, namespace, &format!("abort {revision} late"))?;
    let late = shop.expect_event("refused: it is for revision").await?;
    ensure!(shop.phase() == "Progressing", "a late request ended the next release: {}", shop.phase());

    let samples = users.stop().await;
    let all = Summary::of(&samples);
    all.expect_none_lost()?;
    Ok(vec![format!("{} requests, 0 lost", all.requests), paused, aborted, late])
}

/// The revision under release, as a user reads it.
fn releasing(shop: &Shop) -> Result<String> {
    let canary: Value = shop.canary();
    let name = canary["status"]["releasing"]["name"].as_str();
    name.map(str::to_owned).with_context(|| format!("no revision under release in {}", canary["status"]))
}

fn annotate(world: &World, namespace: &str, request: &str) -> Result<String> {
    let annotation = format!("flagger.app/request={request}");
    install::kubectl(
        &world.place,
        &["-n", namespace, "annotate", "canary", shop::NAME, "--overwrite", &annotation],
    )
}
