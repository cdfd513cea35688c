//! Run 10: session affinity. Users keep their cookies; a version that somebody was given is the one that stays.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Figures;
use crate::apps::load::{Clients, Load, Running, Sample, Summary};
use crate::routes::{Held, Routes};
use crate::shares::{self, Judge, Step, TAKE_OVER};
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const CANARY: &str = "shop-version";
const PRIMARY: &str = "shop-stable";
const RELEASE: Duration = Duration::from_secs(300);
/// Regulars come from before the release until after it.
const REGULARS: Clients = Clients::Visitors { seats: 40, stay: u64::MAX };
/// Newcomers ask twice: as nobody, and with what they were given.
const NEWCOMERS: Clients = Clients::Visitors { seats: 30, stay: 2 };
/// Both are at work each second.
const RATES: (u32, u32) = (40, 60);

/// A good version: nobody who has it loses it, and at the end the cookie is taken back.
pub async fn good(world: Arc<World>) -> Figures {
    let (shop, mut canary) = open(&world, "shop-affinity").await?;
    let crowd = Crowd::come(&shop)?;
    let everybody = [&crowd.regulars, &crowd.newcomers];
    let new_users = Judge::new(everybody, &crowd.routes, |sample| sample.cookies.is_empty());
    canary["spec"]["analysis"]["webhooks"] = shop.hold_steps(new_users);
    shop.apply(&canary).await?;
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    crowd.wait_forgotten().await?;
    let cookie = remembered(&shop)?;
    let returning = returning(&shop, &cookie, "1.1.0").await?;

    let seen = crowd.leave(cookie).await;
    let none_lost = Summary::of(seen.all()).none_lost()?;
    // By the time that the routes change, the primary is the new version too.
    let on_canary = seen.holders_of_canary("1.1.0", Duration::MAX)?;
    let on_primary = seen.holders_of_primary()?;
    let stayed = seen.nobody_goes_back("1.1.0", Duration::MAX)?;
    seen.all_forget()?;
    let steps = seen.shares_of_new_users("1.1.0")?;
    ensure!(
        steps.iter().map(|step| step.weight).eq([20, 40, 60]),
        "the gateway saw other shares: {}",
        shares::show(&steps)
    );
    Ok(vec![
        format!(
            "{none_lost}; {stayed} of {} users were given the new version and none lost it",
            seen.users()
        ),
        format!(
            "{on_canary} requests with its cookie, all by the new version; {on_primary} with the primary's, all by the primary's pods"
        ),
        format!("share of the new version for users without a cookie: {}", shares::show(&steps)),
        format!("after the end all of {returning} requests with the old cookie were told to forget it"),
    ])
}

/// A bad version: who has it keeps it until the rollback, and then everybody is taken back.
pub async fn bad(world: Arc<World>) -> Figures {
    let (shop, mut canary) = open(&world, "shop-affinity-errors").await?;
    canary["spec"]["analysis"]["threshold"] = json!(2);
    shop.apply(&canary).await?;
    let crowd = Crowd::come(&shop)?;
    shop.deploy(&Version::good("2.0.0").with("ERROR_RATE", "20")).await?;
    shop.wait_release("Failed", RELEASE).await?;
    let halt = shop.expect_event("advancement success rate").await?;
    shop.expect_at_rest("1.0.0").await?;
    crowd.wait_forgotten().await?;
    let cookie = remembered(&shop)?;
    let returning = returning(&shop, &cookie, "1.0.0").await?;

    let seen = crowd.leave(cookie).await;
    let last = seen.held.iter().rev().find(|held| held.weight() > 0).context("it got no traffic")?.last;
    let on_canary = seen.holders_of_canary("2.0.0", last)?;
    let stayed = seen.nobody_goes_back("2.0.0", last)?;
    seen.holders_of_primary()?;
    seen.all_forget()?;
    let rest = seen.rest()? + TAKE_OVER;
    let after = Summary::of(seen.all().filter(|sample| sample.sent > rest));
    after.expect_none_lost()?;
    ensure!(after.versions.keys().eq(["1.0.0"]), "after the rollback users saw {:?}", after.versions);
    let all = Summary::of(seen.all());
    ensure!(!all.statuses.contains_key(&0), "requests without an answer: {:?}", all.reasons);
    Ok(vec![
        format!(
            "{stayed} of {} users were given the bad version and stayed with it for {on_canary} requests until the rollback",
            seen.users()
        ),
        format!("after it {} requests, 0 lost, all by the old version", after.requests),
        format!("all of {returning} requests with the old cookie were told to forget it"),
        halt,
    ])
}

async fn open(world: &Arc<World>, namespace: &str) -> Result<(Shop, Value)> {
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    let mut canary = shop::patient(shop::canary(namespace));
    let analysis = &mut canary["spec"]["analysis"];
    analysis["maxWeight"] = json!(60);
    analysis["stepWeight"] = json!(20);
    analysis["sessionAffinity"] =
        json!({"cookieName": CANARY, "primaryCookieName": PRIMARY, "maxAge": 3600, "path": "/"});
    shop.initialize(&canary).await?;
    Ok((shop, canary))
}

/// The canary's cookie of the run that has ended, as the status keeps it.
///
/// # Errors
/// There is none, or the run's cookie is still in force.
fn remembered(shop: &Shop) -> Result<String> {
    let status = &shop.canary()["status"];
    let pair = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    ensure!(pair("sessionAffinityCookie").is_empty(), "the status still says {status}");
    let value = pair("previousSessionAffinityCookie");
    let value = value.strip_prefix(&format!("{CANARY}=")).context("the status has forgotten the cookie")?;
    Ok(value.to_owned())
}

/// Somebody comes back with the cookie of a release that is over, again and again. Gives how often.
///
/// # Errors
/// An answer came from another version, or left the cookie where it was.
async fn returning(shop: &Shop, cookie: &str, version: &str) -> Result<usize> {
    let headers = [("cookie".to_owned(), format!("theme=dark; {CANARY}={cookie}"))].into();
    let users = Load { headers, ..shop.load(20) }.start()?;
    wait::until("users come back", Duration::from_secs(30), async || Ok(users.so_far().len() >= 20)).await?;
    let samples = users.stop().await;
    for Sample { note, given, .. } in &samples {
        ensure!(note == version, "a user that came back saw {note}");
        ensure!(given == &[farewell(cookie)], "a user that came back was given {given:?}");
    }
    Ok(samples.len())
}

fn farewell(cookie: &str) -> String {
    format!("{CANARY}={cookie}; Max-Age=-1; Path=/")
}

/// The users, and what the gateway does with them.
struct Crowd {
    routes: Routes,
    regulars: Running,
    newcomers: Running,
}

impl Crowd {
    fn come(shop: &Shop) -> Result<Crowd> {
        let start = Instant::now();
        Ok(Crowd {
            routes: Routes::watch(&shop.world, &shop.namespace, start),
            regulars: Load { clients: REGULARS, ..shop.load(RATES.0) }.start_at(start)?,
            newcomers: Load { clients: NEWCOMERS, ..shop.load(RATES.1) }.start_at(start)?,
        })
    }

    /// Waits until no regular holds the canary's cookie any more, and has come once more without it.
    async fn wait_forgotten(&self) -> Result<()> {
        wait::until("all regulars forget the cookie", Duration::from_secs(30), async || {
            let mut latest = BTreeMap::new();
            for sample in self.regulars.so_far() {
                latest.insert(sample.client, sample.cookies.contains_key(CANARY));
            }
            Ok(latest.values().all(|holds| !holds))
        })
        .await
    }

    async fn leave(self, cookie: String) -> Seen {
        let held = self.routes.stop();
        let (mut regulars, mut newcomers) = tokio::join!(self.regulars.stop(), self.newcomers.stop());
        for samples in [&mut regulars, &mut newcomers] {
            samples.sort_by_key(|sample| sample.sent);
        }
        Seen { cookie, held, regulars, newcomers }
    }
}

/// What they saw, in the order in which they asked.
struct Seen {
    /// The value of the canary's cookie.
    cookie: String,
    held: Vec<Held>,
    regulars: Vec<Sample>,
    newcomers: Vec<Sample>,
}

impl Seen {
    fn all(&self) -> impl Iterator<Item = &Sample> {
        self.regulars.iter().chain(&self.newcomers)
    }

    fn users(&self) -> usize {
        let clients = |samples: &[Sample]| samples.iter().map(|s| s.client).collect::<BTreeSet<_>>().len();
        clients(&self.regulars) + clients(&self.newcomers)
    }

    /// How many requests with the canary's cookie there were until then.
    ///
    /// # Errors
    /// Another version answered one, or a user holds a cookie that is not this release's.
    fn holders_of_canary(&self, version: &str, until: Duration) -> Result<usize> {
        let mut count = 0;
        for sample in self.all().filter(|sample| sample.done < until) {
            let Some(value) = sample.cookies.get(CANARY) else { continue };
            ensure!(*value == self.cookie, "a user holds {value} and not the release's {}", self.cookie);
            ensure!(
                sample.note == version,
                "a user with the canary's cookie saw {}: {sample:?}",
                sample.note
            );
            count += 1;
        }
        ensure!(count >= 100, "only {count} requests had the canary's cookie");
        Ok(count)
    }

    /// The same for those that hold the primary's alone: they meet none of the canary's pods, whatever versions there are.
    fn holders_of_primary(&self) -> Result<usize> {
        let holds = |s: &&Sample| s.cookies.contains_key(PRIMARY) && !s.cookies.contains_key(CANARY);
        let all: Vec<_> = self.all().filter(holds).collect();
        let strayed = all.iter().find(|sample| sample.by_canary());
        ensure!(strayed.is_none(), "a user with the primary's cookie was moved: {strayed:?}");
        ensure!(all.len() >= 100, "only {} requests had the primary's cookie", all.len());
        Ok(all.len())
    }

    /// How many users were given the new version by the canary until then. Those of the primary may meet both while its pods are
    /// replaced.
    ///
    /// # Errors
    /// One of them met another one later.
    fn nobody_goes_back(&self, version: &str, until: Duration) -> Result<usize> {
        let mut count = 0;
        for samples in [&self.regulars, &self.newcomers] {
            let mut moved = BTreeSet::new();
            for sample in samples.iter().filter(|sample| sample.done < until) {
                if sample.note == version && sample.by_canary() {
                    moved.insert(sample.client);
                }
                ensure!(
                    sample.note == version || !moved.contains(&sample.client),
                    "a user had {version} and then saw {}: {sample:?}",
                    sample.note
                );
            }
            count += moved.len();
        }
        ensure!(count > 0, "nobody was given {version}");
        Ok(count)
    }

    /// # Errors
    /// Once the gateway was at rest, somebody kept the canary's cookie, was told twice, or was given anything else.
    fn all_forget(&self) -> Result<()> {
        let rest = self.rest()? + TAKE_OVER;
        let farewell = farewell(&self.cookie);
        let mut told = BTreeSet::new();
        for sample in self.all().filter(|sample| sample.sent > rest) {
            let wanted: &[String] =
                if sample.cookies.contains_key(CANARY) { std::slice::from_ref(&farewell) } else { &[] };
            ensure!(sample.given == wanted, "at rest a user was given something else: {sample:?}");
        }
        for sample in self.regulars.iter().filter(|sample| sample.given.contains(&farewell)) {
            ensure!(told.insert(sample.client), "a user was told twice to forget the cookie: {sample:?}");
        }
        ensure!(!told.is_empty(), "nobody was told to forget the cookie");
        Ok(())
    }

    fn shares_of_new_users(&self, version: &str) -> Result<Vec<Step>> {
        let new: Vec<_> = self.all().filter(|sample| sample.cookies.is_empty()).cloned().collect();
        shares::by_step(&new, &self.held, version)
    }

    /// When the gateway gave the canary to nobody any more.
    fn rest(&self) -> Result<Duration> {
        let used = self.held.iter().rposition(|held| held.weights.iter().any(|weight| *weight > 0));
        let rest = used.and_then(|used| self.held.get(used + 1));
        Ok(rest.context("the gateway never came to rest")?.first)
    }
}
