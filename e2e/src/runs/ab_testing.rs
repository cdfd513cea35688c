//! Run 9: A/B testing at the gateway. Some users carry a header, some a cookie, most carry neither.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Figures;
use crate::apps::load::{Load, Running, Sample, Summary};
use crate::routes::{Held, Proxy, Routes};
use crate::shares::TAKE_OVER;
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const HEADER: (&str, &str) = ("x-canary", "insider");
const COOKIE: (&str, &str) = ("cookie", "canary=always; theme=dark");
/// Nearly what the canary's rules ask for.
const NEITHER: (&str, &str) = ("cookie", "canary=never; theme=dark");
const ITERATIONS: usize = 3;
const RELEASE: Duration = Duration::from_secs(300);

/// A good version is promoted once those who asked for it have tried it.
pub async fn good(world: Arc<World>) -> Figures {
    let namespace = "shop-ab";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    promoted(&shop, &Proxy::Istio(world.gateway.ip()), canary(namespace)).await
}

/// The same at any proxy.
pub async fn promoted(shop: &Shop, proxy: &Proxy, canary: Value) -> Figures {
    let inbox = &shop.world.inbox;
    let (gate, last) =
        (&*format!("/{}/promotion", shop.namespace), &*format!("/{}/post-rollout", shop.namespace));
    let mut canary = shop::patient(canary);
    canary["spec"]["analysis"]["webhooks"] = json!([
        {"name": "approval", "type": "confirm-promotion", "url": inbox.url(gate), "timeout": "30s"},
        {"name": "goodbye", "type": "post-rollout", "url": inbox.url(last), "timeout": "30s"},
    ]);
    shop.initialize(&canary).await?;
    let crowd = Crowd::come(shop, proxy).await?;
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    for count in 1..=ITERATIONS {
        shop.expect_event(&format!("canary iteration {count}/{ITERATIONS}")).await?;
    }
    shop.expect_event("Confirm-promotion check approval passed").await?;
    shop.expect_event("Post-rollout check goodbye passed").await?;
    ensure!(!inbox.letters(gate).is_empty(), "nobody asked for the approval");
    ensure!(
        inbox.letters(last).iter().any(|letter| letter.body["phase"] == "Succeeded"),
        "the post-rollout hook heard nothing of the end"
    );

    let seen = crowd.leave().await?;
    let tested = seen.tested()?;
    let mut figures = Vec::new();
    for (sort, samples) in seen.sorts() {
        let retried = Summary::of(samples).none_lost().with_context(|| format!("users with {sort}"))?;
        figures.push(format!("with {sort}: {retried}"));
    }
    for (sort, samples) in seen.insiders() {
        // The primary has the new version by the time that they are taken back to it.
        let since = tested.first + TAKE_OVER;
        let after = Summary::of(samples.iter().filter(|sample| sample.sent > since));
        ensure!(after.versions.keys().eq(["1.1.0"]), "users with {sort} saw {:?}", after.versions);
        let before = Summary::of(samples.iter().filter(|sample| sample.done < tested.first));
        figures.push(format!(
            "with {sort}: {} by the old version, then {} of {} by the new one",
            before.requests,
            after.versions.values().sum::<usize>(),
            after.requests
        ));
    }
    seen.others_stay()?;
    let old = seen.others.iter().filter(|sample| sample.note == "1.0.0").count();
    figures.push(format!(
        "with neither: all {} by the primary's pods, {old} by the old version until its promotion",
        seen.others.len()
    ));
    Ok(figures)
}

/// A bad version is found by those who asked for it, and by nobody else.
pub async fn bad(world: Arc<World>) -> Figures {
    let namespace = "shop-ab-errors";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    shop.initialize(&canary(namespace)).await?;
    let crowd = Crowd::come(&shop, &Proxy::Istio(world.gateway.ip())).await?;
    // Header and cookie take turns: every twentieth request would always be the cookie's.
    shop.deploy(&Version::good("2.0.0").with("ERROR_RATE", "7")).await?;
    shop.wait_release("Failed", RELEASE).await?;
    let halt = shop.expect_event("advancement success rate").await?;
    shop.expect_at_rest("1.0.0").await?;
    crowd.wait_taken_back().await?;

    let seen = crowd.leave().await?;
    let tested = seen.tested()?;
    let others = Summary::of(&seen.others);
    let none_lost = others.none_lost().context("users with neither")?;
    seen.others_stay()?;
    ensure!(others.versions.keys().eq(["1.0.0"]), "users with neither saw {:?}", others.versions);
    let mut figures = Vec::new();
    for (sort, samples) in seen.insiders() {
        let inside = |sample: &&Sample| sample.sent > tested.first + TAKE_OVER && sample.done < tested.last;
        let during = Summary::of(samples.iter().filter(inside));
        ensure!(during.versions.keys().eq(["2.0.0"]), "users with {sort} saw {:?}", during.versions);
        let rest = seen.rest()? + TAKE_OVER;
        let after = Summary::of(samples.iter().filter(|sample| sample.sent > rest));
        after.expect_none_lost().with_context(|| format!("users with {sort} after the rollback"))?;
        ensure!(after.versions.keys().eq(["1.0.0"]), "later users with {sort} saw {:?}", after.versions);
        let all = Summary::of(samples);
        ensure!(!all.statuses.contains_key(&0), "requests with {sort} without an answer: {:?}", all.reasons);
        figures.push(format!(
            "with {sort}: {} by the bad version, {} of them lost; after the rollback {} of {} by the old one",
            during.requests,
            during.lost,
            after.versions.values().sum::<usize>(),
            after.requests
        ));
    }
    figures.push(format!("with neither: {none_lost}, 0 by the bad version"));
    figures.push(halt);
    Ok(figures)
}

/// A Canary for those with the header or the cookie.
pub fn canary(namespace: &str) -> Value {
    let mut canary = shop::canary(namespace);
    canary["spec"]["analysis"] = json!({
        "interval": "10s", "threshold": 2, "iterations": ITERATIONS,
        "match": [
            {"headers": {HEADER.0: {"exact": HEADER.1}}},
            {"headers": {"cookie": {"regex": "^(.*?;)?(canary=always)(;.*)?$"}}},
        ],
        "metrics": canary["spec"]["analysis"]["metrics"].take(),
    });
    canary
}

/// The three sorts of users, and what the gateway does with them.
struct Crowd {
    routes: Routes,
    header: Running,
    cookie: Running,
    others: Running,
}

impl Crowd {
    async fn come(shop: &Shop, proxy: &Proxy) -> Result<Crowd> {
        let start = Instant::now();
        let with = |(name, value): (&str, &str), rate| {
            let headers = [(name.to_owned(), value.to_owned())].into();
            Load { headers, ..shop.load(rate) }.start_at(start)
        };
        let crowd = Crowd {
            routes: Routes::watch_at(proxy, &shop.namespace, start),
            header: with(HEADER, 20)?,
            cookie: with(COOKIE, 20)?,
            others: with(NEITHER, 30)?,
        };
        // Everybody has seen the old version before there is a new one.
        wait::until("all sorts of users are served", Duration::from_secs(30), async || {
            let all = [&crowd.header, &crowd.cookie, &crowd.others];
            Ok(all.into_iter().all(|users| users.so_far().len() >= 10))
        })
        .await?;
        Ok(crowd)
    }

    /// Waits until the gateway gives nobody the canary, and some users have noticed.
    async fn wait_taken_back(&self) -> Result<()> {
        wait::until("the gateway takes everybody back", Duration::from_secs(30), async || {
            let held = self.routes.so_far();
            Ok(held.last().is_some_and(|last| {
                last.weights.iter().all(|weight| *weight == 0)
                    && last.last.saturating_sub(last.first) > Duration::from_secs(2)
            }))
        })
        .await
    }

    async fn leave(self) -> Result<Seen> {
        let held = self.routes.stop();
        let (header, cookie, others) =
            tokio::join!(self.header.stop(), self.cookie.stop(), self.others.stop());
        Ok(Seen { held, header, cookie, others })
    }
}

/// What they saw.
struct Seen {
    held: Vec<Held>,
    header: Vec<Sample>,
    cookie: Vec<Sample>,
    others: Vec<Sample>,
}

impl Seen {
    fn insiders(&self) -> [(&'static str, &Vec<Sample>); 2] {
        [("the header", &self.header), ("the cookie", &self.cookie)]
    }

    fn sorts(&self) -> impl Iterator<Item = (&'static str, &Vec<Sample>)> {
        self.insiders().into_iter().chain([("neither", &self.others)])
    }

    /// # Errors
    /// Somebody who had not asked for it met a pod of the canary, whatever its version.
    fn others_stay(&self) -> Result<()> {
        let moved = self.others.iter().find(|sample| sample.by_canary());
        ensure!(moved.is_none(), "a user with neither was given the canary: {moved:?}");
        Ok(())
    }

    /// While the gateway gave the canary to those who asked for it.
    ///
    /// # Errors
    /// It never did, or it gave it to others too.
    fn tested(&self) -> Result<&Held> {
        let given: Vec<_> = self.held.iter().filter(|held| held.weights.iter().any(|w| *w > 0)).collect();
        let [held] = given[..] else {
            anyhow::bail!("the gateway held {:?}", self.held);
        };
        ensure!(held.weights == [100, 100, 0], "the gateway's rules gave the canary {:?}", held.weights);
        Ok(held)
    }

    /// When the gateway gave it to nobody any more.
    fn rest(&self) -> Result<Duration> {
        let tested = self.tested()?;
        let after = self.held.iter().find(|held| held.first > tested.last);
        Ok(after.context("the gateway never took them back")?.first)
    }
}
