//! Run 6, first part: the controller is killed without warning, in every phase, and as one of two.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::Figures;
use crate::apps::load::Summary;
use crate::install::{self, SYSTEM};
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const RELEASE: Duration = Duration::from_secs(400);
const LEASE: &str = "flagger-leader-election";

/// Killed in each phase of a release; beside it, in the middle of a rollback.
pub async fn every_phase(world: Arc<World>) -> Figures {
    let good = Shop::open(&world, "shop-crash", &Version::good("1.0.0")).await?;
    let bad = Shop::open(&world, "shop-crash-bad", &Version::good("1.0.0")).await?;
    let gate = "/hooks/crash-gate";
    // Kills cost intervals, and an interval without enough data is no failure of the version.
    let mut canary = shop::patient(shop::canary("shop-crash"));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    canary["spec"]["analysis"]["webhooks"] =
        json!([{"name": "gate", "type": "confirm-promotion", "url": world.inbox.url(gate)}]);
    let mut kills: Vec<String> = Vec::new();

    good.apply(&canary).await?;
    bad.apply(&shop::canary("shop-crash-bad")).await?;
    kill_in(&good, "Initializing", &mut kills).await?;
    good.wait_phase("Initialized", RELEASE).await?;
    bad.wait_phase("Initialized", RELEASE).await?;
    kill_in(&good, "Initialized", &mut kills).await?;

    let users = good.users(60)?;
    let victims = bad.users(60)?;
    world.inbox.answer(gate, 403);
    good.deploy(&Version::good("1.1.0")).await?;
    bad.deploy(&Version::good("2.0.0").with("ERROR_RATE", "30")).await?;
    kill_in(&good, "Progressing", &mut kills).await?;
    good.wait_weight(25, Duration::from_secs(180)).await?;
    world.crash_controllers().await?;
    kills.push("Progressing with a share".into());
    kill_in(&good, "WaitingPromotion", &mut kills).await?;
    world.inbox.answer(gate, 200);
    kill_in(&good, "Promoting", &mut kills).await?;
    kill_in(&good, "Finalising", &mut kills).await?;
    good.wait_phase("Succeeded", RELEASE).await?;
    kill_in(&good, "Succeeded", &mut kills).await?;
    good.expect_at_rest("1.1.0").await?;
    bad.wait_phase("Failed", RELEASE).await?;
    bad.expect_at_rest("1.0.0").await?;

    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    let harmed = Summary::of(&victims.stop().await);
    Ok(vec![
        format!("killed {} times: {}", kills.len(), kills.join(", ")),
        format!("promoted with {none_lost}"),
        format!(
            "the bad version beside it was rolled back; it served {:.1} % of {}",
            harmed.share("2.0.0"),
            harmed.requests
        ),
    ])
}

/// Kills it once the Canary has come to a phase; on a busy machine that may be over by then, which is noted.
async fn kill_in(shop: &Shop, phase: &str, kills: &mut Vec<String>) -> Result<()> {
    shop.wait_phase(phase, RELEASE).await?;
    let now = shop.phase();
    shop.world.crash_controllers().await?;
    kills.push(if now == phase { now } else { format!("{now} (just after {phase})") });
    Ok(())
}

/// Two replicas; the one that leads is killed, the other takes over.
pub async fn leader(world: Arc<World>) -> Figures {
    scale(&world, 2).await?;
    let figures = taken_over(&world).await;
    // Also after a failure: what comes next counts on one.
    scale(&world, 1).await?;
    figures
}

async fn scale(world: &Arc<World>, replicas: u32) -> Result<()> {
    let place = world.place.clone();
    tokio::task::spawn_blocking(move || install::scale_controller(&place, replicas)).await?
}

async fn taken_over(world: &Arc<World>) -> Figures {
    wait::until("two controllers are ready", Duration::from_secs(120), async || {
        Ok(world.controllers().await?.iter().filter(|pod| crate::world::is_ready(pod)).count() == 2)
    })
    .await?;
    let shop = Shop::open(world, "shop-leader", &Version::good("1.0.0")).await?;
    let mut canary = shop::patient(shop::canary("shop-leader"));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    shop.initialize(&canary).await?;
    let users = shop.users(60)?;
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_weight(25, Duration::from_secs(180)).await?;
    let first = holder(world).await?.context("nobody leads")?;
    let pods = world.controllers().await?;
    let leader = pods.iter().find(|pod| first.contains(&pod.name_any())).with_context(|| {
        format!(
            "the leader {first} is none of {:?}",
            pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
        )
    })?;
    let killed = tokio::time::Instant::now();
    world.crash(leader).await?;
    wait::until("another one leads", Duration::from_secs(180), async || {
        Ok(holder(world).await?.is_some_and(|now| now != first))
    })
    .await?;
    let takeover = killed.elapsed();
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    Ok(vec![format!("taken over after {:.0} s; promoted with {none_lost}", takeover.as_secs_f64())])
}

async fn holder(world: &World) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), SYSTEM);
    Ok(leases.get_opt(LEASE).await?.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity))
}
