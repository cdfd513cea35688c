//! Session persistence of the Gateway API, in a rule of the user's own whose weights Vexil sets: Envoy Gateway keeps a client on the
//! pod that its cookie names as long as that has any weight. Nobody may stay on a bad version that was rolled back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Figures;
use super::planes::{self, Stage};
use crate::apps::load::{Clients, Load, Sample};
use crate::routes::Held;
use crate::routes::Routes;
use crate::shares::TAKE_OVER;
use crate::shop::{NAME, Version};
use crate::wait;
use crate::world::World;

const COOKIE: &str = "shop-session";
const BAD: &str = "2.0.0";
/// They come when the bad version has a share, and stay.
const REGULARS: Clients = Clients::Visitors { seats: 40, stay: u64::MAX };
/// Of users without a cookie, and of those.
const RATES: (u32, u32) = (30, 40);
const RELEASE: Duration = Duration::from_secs(300);

/// A rule that leads to the apex Service, and one that names both sides at rest too.
pub async fn run(world: Arc<World>) -> Figures {
    let one = json!([{"name": NAME, "port": 80}]);
    let (single, both) = tokio::join!(
        rolled_back(&world, "shop-session", one.clone(), one),
        rolled_back(
            &world,
            "shop-session-both",
            json!([{"name": NAME, "port": 80}]),
            json!([
                {"name": format!("{NAME}-primary"), "port": 80, "weight": 100},
                {"name": format!("{NAME}-canary"), "port": 80, "weight": 0},
            ]),
        ),
    );
    Ok(vec![
        format!("a rule with the apex Service: {}", single.context("the apex Service")?),
        format!("a rule with both sides: {}", both.context("both sides")?),
    ])
}

/// What users with a cookie saw of a bad version, when their rule had these backends before the Canary and at rest.
async fn rolled_back(world: &Arc<World>, namespace: &str, before: Value, at_rest: Value) -> Result<String> {
    let stage = planes::behind_envoy_gateway(world, namespace, "shop", &rule(&before)).await?;
    let Stage { shop, canary, front, .. } = &stage;
    let mut canary = canary.clone();
    canary["spec"]["service"] = json!({"port": 80, "targetPort": "http"});
    canary["spec"]["routeRefs"] =
        json!([{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "shop"}]);
    canary["spec"]["analysis"]["threshold"] = json!(2);
    shop.initialize(&canary).await?;
    let mut route =
        shop.get("gateway.networking.k8s.io/v1", "HTTPRoute", "shop").await?.context("no route")?;
    route.data["spec"]["rules"] = rule(&at_rest);
    shop.apply(&json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"},
        "spec": route.data["spec"],
    }))
    .await?;
    shop.wait_served().await?;

    let strangers = shop.users(RATES.0)?;
    let start = strangers.started();
    let routes = Routes::watch_at(&front.proxy, namespace, start);
    shop.deploy(&Version::good(BAD).with("ERROR_RATE", "30")).await?;
    wait::until("the proxy gives the canary a share", RELEASE, async || {
        Ok(routes.so_far().last().is_some_and(|held| held.weight() > 0))
    })
    .await?;
    let regulars = Load { clients: REGULARS, ..shop.load(RATES.1) }.start_at(start)?;
    shop.wait_release("Failed", RELEASE).await?;
    shop.expect_event("advancement success rate").await?;
    wait::until("the canary's pods are gone", Duration::from_secs(60), async || {
        Ok(shop.deployment(NAME).await?.is_some_and(|target| {
            target.status.as_ref().is_none_or(|status| status.replicas.unwrap_or(0) == 0)
        }))
    })
    .await?;
    let gone = regulars.clock();
    wait::until("some more requests", Duration::from_secs(30), async || {
        Ok(regulars.samples().count(|sample| sample.sent > gone) > 100)
    })
    .await?;
    let held = routes.stop();
    let (strangers, regulars) = tokio::join!(strangers.stop(), regulars.stop());
    seen(&strangers, &regulars, &held)
}

fn rule(backends: &Value) -> Value {
    json!([{"backendRefs": backends, "sessionPersistence": {"sessionName": COOKIE, "type": "Cookie"}}])
}

/// # Errors
/// No regular was on the canary while it had a share, somebody met it afterwards, with a cookie or without, or a request was
/// lost otherwise than by the bad version's own errors.
fn seen(strangers: &[Sample], regulars: &[Sample], held: &[Held]) -> Result<String> {
    let given = held.iter().rfind(|held| held.weight() > 0).context("the canary never had a share")?;
    let taken = held.iter().find(|held| held.first > given.last).context("its share was never taken back")?;
    let since = taken.first + TAKE_OVER;
    let own = |sample: &&Sample| sample.by_canary() && sample.note == BAD;
    let lost = strangers.iter().chain(regulars).find(|sample| sample.lost() && !own(sample));
    ensure!(lost.is_none(), "lost: {lost:?}");
    let led = |sample: &&Sample| own(sample) && sample.cookies.contains_key(COOKIE);
    let before = regulars.iter().filter(led).count();
    ensure!(before > 0, "no cookie led to the canary");
    for (who, samples) in [("a cookie", regulars), ("none", strangers)] {
        let late: Vec<_> =
            samples.iter().filter(own).map(|sample| sample.sent).filter(|sent| *sent > since).collect();
        let last = late.iter().max().map_or(Duration::ZERO, |last| *last - taken.first).as_secs_f64();
        let late = late.len();
        ensure!(
            late == 0,
            "users with {who} met the canary {late} times after its share was taken back, the last time {last:.1} s after"
        );
    }
    let all = regulars.len();
    let after = regulars.iter().filter(|sample| sample.sent > since).count();
    Ok(format!(
        "cookies led {before} of {all} requests to the bad version; of the {after} after its share was taken back none"
    ))
}
