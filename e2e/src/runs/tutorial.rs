//! Run 12: the first tutorial. Nobody uses the shop: all of its traffic is the load tester's, which is installed by its chart,
//! tries the new version before any share of the traffic, and keeps the gate that a person opens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use super::tester::{self, Tester};
use super::{Figures, NotApplicable};
use crate::shop::{self, Shop, Version};
use crate::world::World;

const NAMESPACE: &str = "shop-tutorial";
const RELEASE: Duration = Duration::from_secs(400);

pub async fn run(world: Arc<World>) -> Figures {
    if !world.has_node {
        return Err(NotApplicable("it needs the image of the load tester".into()).into());
    }
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    let tasks = json!({"acceptance": {"metadata": {
        "type": "bash", "cmd": "curl -sf http://$CANARY_NAME-canary.$CANARY_NAMESPACE/ > /dev/null",
    }}});
    tester::install(&shop, &[&format!("tasks={tasks}")]).await?;
    let tester = Tester::of(&shop).await?;

    let mut canary = shop::patient(shop::canary(NAMESPACE));
    let hooks = tester::address(&shop);
    let analysis = &mut canary["spec"]["analysis"];
    analysis["stepWeight"] = json!(25);
    analysis["webhooks"] = json!([
        {"name": "approval", "type": "confirm-rollout", "url": format!("{hooks}/gate/check")},
        {
            "name": "acceptance-test", "type": "pre-rollout", "url": format!("{hooks}/"), "timeout": "30s",
            "metadata": {"task": "acceptance"},
        },
        {
            "name": "load-test", "type": "rollout", "url": format!("{hooks}/"), "timeout": "5s",
            "metadata": {
                "type": "load", "url": tester::GATEWAY, "header.Host": shop.host(),
                "duration": "15s", "qps": "20",
            },
        },
    ]);
    shop.initialize(&canary).await?;

    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_phase("Waiting", Duration::from_secs(60)).await?;
    shop.expect_event("waiting for approval approval").await?;
    ensure!(shop.replicas(shop::NAME).await? == Some(0), "the new version has pods before its approval");
    ensure!(tester.requests().await? == 0.0, "there was load before the approval");

    // What a person does: curl -d '{"name": …}' http://flagger-loadtester.shop-tutorial/gate/open
    ensure!(tester.post("/gate/open", None).await? == 202, "the gate does not open");
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    shop.expect_event("Pre-rollout check acceptance-test passed").await?;
    for weight in [25, 50] {
        shop.expect_event(&format!("Advance frontend.{NAMESPACE} canary weight {weight}")).await?;
    }
    let requests = tester.requests().await?;
    let p99 = tester.series(&format!("load_latency_seconds{{{OF},quantile=\"0.99\"}}")).await?;
    let succeeded = tester.series(&format!("load_success_percent{{{OF}}}")).await?;
    ensure!(requests > 0.0, "no load was made");
    ensure!(succeeded == 100.0, "{succeeded} % of the last load succeeded");

    // A gate stays open, and is kept by the cluster: another pod of the load tester knows of it.
    tester.replace().await?;
    ensure!(tester.post("/gate/check", None).await? == 200, "after a restart the gate is closed");
    Ok(vec![
        format!("promoted by {requests} requests of the load tester, p99 {:.0} ms", p99 * 1000.0),
        "no pod of the new version before a person opened the gate; the gate outlives its pod".into(),
    ])
}

/// What the load tester says of the shop's Canary.
const OF: &str = "name=\"frontend\",namespace=\"shop-tutorial\"";
