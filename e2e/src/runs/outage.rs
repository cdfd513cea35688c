//! Run 6, second part: the control plane itself fails in the middle of a release.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::Figures;
use crate::apps::load::Summary;
use crate::cluster::control_plane;
use crate::process;
use crate::shop::{self, Shop, Version};
use crate::world::World;

const NAMESPACE: &str = "shop-outage";
/// How long etcd stands still: this is the test, not a wait for something.
const PAUSE: Duration = Duration::from_secs(20);
const RELEASE: Duration = Duration::from_secs(400);

pub async fn run(world: Arc<World>) -> Figures {
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    let mut canary = shop::patient(shop::canary(NAMESPACE));
    canary["spec"]["analysis"]["stepWeight"] = json!(20);
    canary["spec"]["analysis"]["maxWeight"] = json!(60);
    shop.initialize(&canary).await?;
    let users = shop.users(60)?;
    shop.deploy(&Version::good("1.1.0")).await?;

    shop.wait_weight(20, Duration::from_secs(180)).await?;
    let restart = restart_api_server(&world).await?;

    shop.wait_weight(40, Duration::from_secs(180)).await?;
    let etcd = world.component("etcd")?;
    process::signal(etcd, Signal::STOP)?;
    sleep(PAUSE).await;
    process::signal(etcd, Signal::CONT)?;

    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    Ok(vec![format!(
        "API server away for {:.1} s, etcd for {} s; promoted with {none_lost}",
        restart.as_secs_f64(),
        PAUSE.as_secs(),
    )])
}

/// Ends the API server; the supervisor starts it again.
async fn restart_api_server(world: &World) -> Result<Duration> {
    let pid = world.component("kube-apiserver")?;
    let started = Instant::now();
    process::signal(pid, Signal::TERM)?;
    let gone = tokio::task::spawn_blocking(move || process::wait_gone(pid, Duration::from_secs(5))).await?;
    if !gone {
        process::signal(pid, Signal::KILL)?;
    }
    control_plane::wait_until_serving(&world.client).await?;
    Ok(started.elapsed())
}
