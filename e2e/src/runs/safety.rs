//! Run 13: what once ended in an outage. Users come all the time, and each story has a way out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Figures;
use crate::apps::load::{Running, Summary};
use crate::node::images;
use crate::routes::Routes;
use crate::shares::TAKE_OVER;
use crate::shop::{self, NAME, Shop, Version};
use crate::world::{Seen, World};
use crate::{pace, wait};

const RELEASE: Duration = Duration::from_secs(300);
const PRIMARY: &str = "frontend-primary";
/// How long a side that has lost its last ready pod may keep its share, on a machine with nothing else to do.
const SOON: Duration = Duration::from_secs(2);

/// The version whose image is withdrawn. All runs have one registry, so that no other run may want it.
const WITHDRAWN: &str = "2.9.0";

/// The image is taken out of the registry between the analysis and the promotion: the primary's rollout sticks while its old
/// pods serve. A fix is pushed, analysed and promoted.
pub async fn stuck(world: Arc<World>) -> Figures {
    let namespace = "shop-stuck";
    let gate = format!("/{namespace}/confirm-promotion");
    world.inbox.answer(&gate, 403);
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    let mut canary = quick(namespace);
    canary["spec"]["analysis"]["webhooks"] =
        json!([{"name": "qa", "type": "confirm-promotion", "url": world.inbox.url(&gate), "timeout": "30s"}]);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;

    shop.deploy(&Version::good(WITHDRAWN)).await?;
    shop.wait_phase("WaitingPromotion", RELEASE).await?;
    let image = images::file_of(&shop.image(NAME).await?);
    std::fs::write(world.place.withdrawn().join(image), "")?;
    let mut hasty = canary.clone();
    hasty["spec"]["progressDeadlineSeconds"] = json!(20);
    shop.apply(&hasty).await?;
    world.inbox.answer(&gate, 200);
    shop.wait_phase("Failed", RELEASE).await?;
    let failed = shop.expect_event("failed, primary not ready").await?;
    let stuck = shop.shares_now().await?;

    shop.apply(&canary).await?;
    let pushed = Instant::now();
    shop.deploy(&Version::good("2.9.1")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("2.9.1").await?;
    // Nobody had analysed the fix when it was pushed: the old pods served until somebody had.
    let weights = weights_since(&shop, pushed);
    let analysed = weights.iter().position(|weight| *weight == 0).map(|at| weights[at..].to_vec());
    ensure!(
        analysed.as_deref().is_some_and(|weights| weights.starts_with(&[0, 25, 50])),
        "after the fix the canary's shares were {weights:?}"
    );
    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    Ok(vec![format!("{none_lost}; stuck at the shares {stuck:?}, then by the fix {weights:?}"), failed])
}

/// The target is deleted and created again with another selector label, as when its chart is renamed.
pub async fn new_selector(world: Arc<World>) -> Figures {
    let namespace = "shop-selector";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    shop.initialize(&quick(namespace)).await?;
    let users = shop.users(40)?;
    let since = Instant::now();
    shop.delete("apps/v1", "Deployment", NAME).await?;
    let mut target = shop::deployment(&Version::good("1.1.0"));
    target["spec"]["selector"]["matchLabels"] = json!({"app": "storefront"});
    target["spec"]["template"]["metadata"]["labels"] = json!({"app": "storefront"});
    shop.apply(&target).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    for service in [NAME, PRIMARY] {
        let ready = ready_since(&shop, service, since);
        ensure!(ready.iter().all(|(_, ready)| *ready > 0), "{service} had no endpoints: {ready:?}");
    }
    Ok(vec![format!("{}; no Service without endpoints", Summary::of(&users.stop().await).none_lost()?)])
}

/// All pods of the canary stop being ready while nobody may touch the release, or its manifest cannot be used.
pub async fn canary_dies(world: Arc<World>) -> Figures {
    let suspend = |canary: &mut Value| canary["spec"]["suspend"] = json!(true);
    // Both cookies have the same name.
    let refuse = |canary: &mut Value| {
        canary["spec"]["analysis"]["sessionAffinity"] =
            json!({"cookieName": "side", "primaryCookieName": "side"});
    };
    let (suspended, refused) =
        futures::try_join!(dies(&world, "shop-suspended", suspend), dies(&world, "shop-refused", refuse))?;
    Ok(vec![format!("suspended: {suspended}"), format!("refused: {refused}")])
}

async fn dies(world: &Arc<World>, namespace: &str, trouble: impl FnOnce(&mut Value)) -> Result<String> {
    let gate = format!("/{namespace}/confirm-traffic-increase");
    world.inbox.answer(&gate, 403);
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    let mut canary = quick(namespace);
    canary["spec"]["analysis"]["webhooks"] = json!([{"name": "hold", "type": "confirm-traffic-increase", "url": world.inbox.url(&gate), "timeout": "30s"}]);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;
    let routes = Routes::watch(world, namespace, users.started());
    shop.deploy(&Version::good("2.0.0")).await?;
    shop.pass(&gate, 25).await?;

    let mut troubled = canary.clone();
    trouble(&mut troubled);
    shop.apply(&troubled).await?;
    let dead = Instant::now();
    shop.set_ready("frontend-", PRIMARY, false).await?;
    wait::until("the canary's share is off", Duration::from_secs(60), async || {
        Ok(shop.shares_now().await? == [(100, 0)])
    })
    .await?;
    wait::until("the news have come", Duration::from_secs(20), async || {
        Ok(gone_at(&shop, dead).is_some() && off_at(&shop, dead).is_some())
    })
    .await?;
    let gone = gone_at(&shop, dead).context("the canary kept endpoints")?;
    let took = off_at(&shop, dead).context("the canary kept its share")?.saturating_duration_since(gone);
    let limit = SOON.mul_f64(pace::factor() / 2.0);
    ensure!(took <= limit, "the share was off {:.1} s after the last ready pod", took.as_secs_f64());
    // The gateway hears of both at nearly the same time.
    wait::until("the gateway follows", Duration::from_secs(30), async || {
        Ok(routes.so_far().last().is_some_and(|held| held.weight() == 0 && held.last > held.first))
    })
    .await?;

    shop.set_ready("frontend-", PRIMARY, true).await?;
    world.inbox.answer(&gate, 200);
    shop.apply(&canary).await?;
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("2.0.0").await?;
    let lost = lost_elsewhere(users, routes, dead).await?;
    Ok(format!("off {:.1} s after the last ready pod; {lost}", took.as_secs_f64()))
}

/// Nobody can take a share off pods before they are gone: what is sent to them until the gateway knows is lost. Nothing
/// else may be.
async fn lost_elsewhere(users: Running, routes: Routes, dead: Instant) -> Result<String> {
    let dead = dead.saturating_duration_since(users.started());
    let held = routes.stop();
    let back = held.iter().find(|held| held.weight() == 0 && held.first > dead);
    let back = back.context("the gateway never took the share off")?.first + TAKE_OVER;
    let samples = users.stop().await;
    let (between, other): (Vec<_>, Vec<_>) =
        samples.iter().partition(|sample| sample.done > dead && sample.sent < back);
    let elsewhere = Summary::of(other).none_lost()?;
    let between = Summary::of(between);
    Ok(format!(
        "{elsewhere}; {} of {} between the end of the pods and the gateway's news of it",
        between.lost, between.requests
    ))
}

/// Pods are not replaced one by one but all at once: the share leaves the primary before they go.
pub async fn recreate(world: Arc<World>) -> Figures {
    let namespace = "shop-recreate";
    let with_strategy = |version: &Version| {
        let mut deployment = shop::deployment(version);
        deployment["spec"]["strategy"] = json!({"type": "Recreate"});
        deployment
    };
    let shop = Shop::open_as(&world, namespace, &with_strategy(&Version::good("1.0.0"))).await?;
    shop.initialize(&quick(namespace)).await?;
    let users = shop.users(40)?;
    let since = Instant::now();
    shop.apply(&with_strategy(&Version::good("1.1.0"))).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    let ready = ready_since(&shop, PRIMARY, since);
    ensure!(
        ready.iter().any(|(_, ready)| *ready == 0),
        "the primary's pods were not replaced at once: {ready:?}"
    );
    let weights = weights_since(&shop, since);
    ensure!(weights.contains(&100), "the share stayed with the primary: {weights:?}");
    Ok(vec![format!("{}; shares {weights:?}", Summary::of(&users.stop().await).none_lost()?)])
}

/// One of four pods of the primary is ready: a rollback must not give it everything before there are enough.
pub async fn capacity(world: Arc<World>) -> Figures {
    let namespace = "shop-capacity";
    let [gate, acceptance] = ["confirm-promotion", "rollout"].map(|kind| format!("/{namespace}/{kind}"));
    world.inbox.answer(&gate, 403);
    let four = |version: &Version| {
        let mut deployment = shop::deployment(version);
        deployment["spec"]["replicas"] = json!(4);
        deployment
    };
    let shop = Shop::open_as(&world, namespace, &four(&Version::good("1.0.0"))).await?;
    let mut canary = quick(namespace);
    let hook = |name: &str, kind: &str, path: &str| json!({"name": name, "type": kind, "url": world.inbox.url(path), "timeout": "30s"});
    canary["spec"]["analysis"]["stepWeight"] = json!(50);
    canary["spec"]["analysis"]["webhooks"] =
        json!([hook("qa", "confirm-promotion", &gate), hook("acceptance", "rollout", &acceptance)]);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;
    shop.apply(&four(&Version::good("2.0.0"))).await?;
    shop.wait_phase("WaitingPromotion", RELEASE).await?;

    shop.set_ready_but_one(PRIMARY).await?;
    wait::until("one pod of the primary is ready", Duration::from_secs(60), async || {
        Ok(ready_since(&shop, PRIMARY, Instant::now()).last().is_some_and(|(_, ready)| *ready == 1))
    })
    .await?;
    // The version is good to its users; its own acceptance test says no.
    canary["spec"]["analysis"]["threshold"] = json!(2);
    shop.apply(&canary).await?;
    let since = Instant::now();
    world.inbox.answer(&acceptance, 500);
    let numbers =
        shop.expect_event_within("has 1 of 4 pods ready and needs 2", Duration::from_secs(90)).await?;
    ensure!(shop.shares_now().await? == [(50, 50)], "the shares are {:?}", shop.shares_now().await?);
    let weights = weights_since(&shop, since);
    ensure!(weights == [50], "while the primary could not carry it the canary's shares were {weights:?}");
    shop.set_ready(PRIMARY, "", true).await?;
    shop.wait_phase("Failed", RELEASE).await?;
    shop.expect_at_rest("1.0.0").await?;
    Ok(vec![Summary::of(&users.stop().await).none_lost()?, numbers])
}

/// A Canary in two steps, for good versions.
fn quick(namespace: &str) -> Value {
    let mut canary = shop::patient(shop::canary(namespace));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    canary
}

/// The canary's shares by the route, from what was in force at a time on; each as long as it lasted.
fn weights_since(shop: &Shop, since: Instant) -> Vec<i64> {
    let history = shop.world.history("VirtualService", &shop.namespace, NAME);
    let from = history.iter().rposition(|seen| seen.at <= since).unwrap_or(0);
    let mut weights: Vec<i64> = history.iter().skip(from).filter_map(|seen| canary_share(seen)).collect();
    weights.dedup();
    weights
}

fn canary_share(seen: &Seen) -> Option<i64> {
    shop::shares(seen.object.as_ref()?).map(|(_, canary)| canary)
}

/// How many ready endpoints a Service had, from what was so at a time on.
fn ready_since(shop: &Shop, service: &str, since: Instant) -> Vec<(Instant, usize)> {
    let histories = shop.world.histories("EndpointSlice", &shop.namespace);
    let mut news: Vec<(Instant, &String, usize)> = Vec::new();
    for (name, history) in &histories {
        let own = |seen: &&Arc<Seen>| {
            let labels = seen.object.as_ref().map(|object| &object["metadata"]["labels"]);
            labels.is_some_and(|labels| labels["kubernetes.io/service-name"] == service)
        };
        if history.iter().any(|seen| own(&seen)) {
            news.extend(history.iter().map(|seen| (seen.at, name, ready_in(seen))));
        }
    }
    news.sort_by_key(|(at, ..)| *at);
    let mut now: BTreeMap<&String, usize> = BTreeMap::new();
    let mut all: Vec<(Instant, usize)> = Vec::new();
    for (at, name, ready) in news {
        now.insert(name, ready);
        all.push((at, now.values().sum()));
    }
    let from = all.iter().rposition(|(at, _)| *at <= since).unwrap_or(0);
    all.split_off(from.min(all.len()))
}

fn ready_in(seen: &Seen) -> usize {
    let endpoints = seen.object.as_ref().and_then(|object| object["endpoints"].as_array());
    endpoints.map_or(0, |all| all.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true).count())
}

/// When the canary's Service had no ready endpoint any more.
fn gone_at(shop: &Shop, since: Instant) -> Option<Instant> {
    let ready = ready_since(shop, "frontend-canary", since);
    ready.into_iter().find(|(at, ready)| *at > since && *ready == 0).map(|(at, _)| at)
}

/// When the route gave the canary nothing any more.
fn off_at(shop: &Shop, since: Instant) -> Option<Instant> {
    let history = shop.world.history("VirtualService", &shop.namespace, NAME);
    history.iter().find(|seen| seen.at > since && canary_share(seen) == Some(0)).map(|seen| seen.at)
}
