//! Run 6, first part: the controller is killed without warning, in every phase, and as one of two.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::Figures;
use super::planes::{self, Stage};
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
    // Behind every other proxy goes the same release, which is in the middle whenever this one is.
    let beside = planes::all(&world).await?;
    let webhooks = canary["spec"]["analysis"]["webhooks"].clone();
    try_join_all(beside.iter().map(async |Stage { shop, canary: own, .. }| {
        let mut own = own.clone();
        own["spec"]["analysis"]["webhooks"] = webhooks.clone();
        shop.initialize(&own).await
    }))
    .await?;

    good.apply(&canary).await?;
    bad.apply(&shop::canary("shop-crash-bad")).await?;
    kill_in(&good, "Initializing", &mut kills).await?;
    good.wait_phase("Initialized", RELEASE).await?;
    bad.wait_phase("Initialized", RELEASE).await?;
    kill_in(&good, "Initialized", &mut kills).await?;

    let users = good.users(60)?;
    let victims = bad.users(60)?;
    let others: Vec<_> = beside.iter().map(|stage| stage.shop.users(20)).collect::<Result<_>>()?;
    world.inbox.answer(gate, 403);
    good.deploy(&Version::good("1.1.0")).await?;
    bad.deploy(&Version::good("2.0.0").with("ERROR_RATE", "30")).await?;
    for stage in &beside {
        stage.shop.deploy(&Version::good("1.1.0")).await?;
    }
    kill_in(&good, "Progressing", &mut kills).await?;
    for shop in shops(&good, &beside) {
        shop.wait_weight(25, Duration::from_secs(180)).await?;
    }
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
    let mut figures = Vec::new();
    for (stage, users) in beside.iter().zip(others) {
        let namespace = &stage.shop.namespace;
        stage.shop.wait_phase("Succeeded", RELEASE).await?;
        stage.shop.expect_at_rest("1.1.0").await?;
        let none_lost = Summary::of(&users.stop().await).none_lost();
        figures
            .push(format!("{namespace} was promoted with {}", none_lost.with_context(|| namespace.clone())?));
    }
    let harmed = Summary::of(&victims.stop().await);
    let mut all = vec![
        format!("killed {} times: {}", kills.len(), kills.join(", ")),
        format!("promoted with {none_lost}"),
        format!(
            "the bad version beside it was rolled back; it served {:.1} % of {}",
            harmed.share("2.0.0"),
            harmed.requests
        ),
    ];
    all.extend(figures);
    Ok(all)
}

fn shops<'a>(first: &'a Shop, others: &'a [Stage]) -> impl Iterator<Item = &'a Shop> {
    std::iter::once(first).chain(others.iter().map(|stage| &stage.shop))
}

/// Kills it once the Canary has come to a phase; on a busy machine that may be over by then, which is noted.
async fn kill_in(shop: &Shop, phase: &str, kills: &mut Vec<String>) -> Result<()> {
    shop.wait_phase(phase, RELEASE).await?;
    let now = shop.phase();
    shop.world.crash_controllers().await?;
    kills.push(if now == phase { now } else { format!("{now} (just after {phase})") });
    Ok(())
}

/// Two replicas: the one that leads is killed, and the other takes over; then that one is told to end, and hands over.
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
    let (first, leader) = leading(world).await?;
    let killed = tokio::time::Instant::now();
    world.kill(&leader)?;
    let second = followed(world, &first).await?;
    let takeover = killed.elapsed();

    let (_, leader) = leading(world).await?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), SYSTEM);
    let told = tokio::time::Instant::now();
    pods.delete(&leader.name_any(), &DeleteParams::default()).await?;
    followed(world, &second).await?;
    let handover = told.elapsed();

    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    Ok(vec![format!(
        "killed, it was followed after {:.1} s; told to end, after {:.1} s; promoted with {none_lost}",
        takeover.as_secs_f64(),
        handover.as_secs_f64()
    )])
}

/// Who holds the lease, and the pod that it runs in.
async fn leading(world: &World) -> Result<(String, Pod)> {
    let holder = holder(world).await?.context("nobody leads")?;
    let pods = world.controllers().await?;
    let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    let pod = pods.into_iter().find(|pod| holder.contains(&pod.name_any()));
    Ok((holder.clone(), pod.with_context(|| format!("the leader {holder} is none of {names:?}"))?))
}

/// Waits until another one than `first` holds the lease.
async fn followed(world: &World, first: &str) -> Result<String> {
    wait::some("another one leads", Duration::from_secs(180), async || {
        Ok(holder(world).await?.filter(|now| !now.is_empty() && now != first))
    })
    .await
}

async fn holder(world: &World) -> Result<Option<String>> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), SYSTEM);
    Ok(leases.get_opt(LEASE).await?.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity))
}
