//! Run 3: pods that never become ready cost nobody anything but the deadline.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::Figures;
use crate::apps::load::Summary;
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const NAMESPACE: &str = "shop-unready";
const ALERTS: &str = "/alerts/never-ready";

pub async fn run(world: Arc<World>) -> Figures {
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    shop.apply(&json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "chat"},
        "spec": {"type": "slack", "channel": "shop", "username": "flagger", "address": world.inbox.url(ALERTS)},
    }))
    .await?;
    let mut canary = shop::canary(NAMESPACE);
    canary["spec"]["analysis"]["alerts"] =
        json!([{"name": "chat", "severity": "info", "providerRef": {"name": "chat"}}]);
    shop.initialize(&canary).await?;
    // Not before: a busy machine may need longer for the first pods.
    canary["spec"]["progressDeadlineSeconds"] = json!(20);
    shop.apply(&canary).await?;
    let users = shop.users(40)?;
    // The image does not exist: the pods wait for it for ever.
    shop.deploy(&Version::good("missing-2.0.0")).await?;
    shop.wait_release("Failed", Duration::from_secs(240)).await?;
    let event = shop.expect_event(&format!("canary deployment frontend.{NAMESPACE} not ready")).await?;
    shop.expect_event("Canary failed! Scaling down").await?;
    shop.expect_at_rest("1.0.0").await?;
    let took = users.clock();
    let summary = Summary::of(&users.stop().await);
    let none_lost = summary.none_lost()?;
    ensure!(summary.versions.keys().eq(["1.0.0"]), "users saw {:?}", summary.versions);
    let alert = wait::some("an alert about the failure", Duration::from_secs(20), async || {
        Ok(world.inbox.letters(ALERTS).into_iter().map(|letter| letter.body["attachments"][0].clone()).find(
            |attachment| {
                attachment["color"] == "danger"
                    && attachment["author_name"] == format!("frontend.{NAMESPACE}")
            },
        ))
    })
    .await?;
    Ok(vec![
        format!("rolled back after {:.0} s; {none_lost}", took.as_secs_f64()),
        event,
        format!("alert: {}", alert["text"].as_str().unwrap_or_default()),
    ])
}
