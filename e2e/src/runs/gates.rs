//! Run 11: gates that people open and close while users come.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Figures;
use crate::apps::load::Summary;
use crate::routes::Routes;
use crate::shares::{self, Judge};
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const RELEASE: Duration = Duration::from_secs(300);

/// All three gates are closed, and open one after the other.
pub async fn opened(world: Arc<World>) -> Figures {
    let namespace = "shop-gates";
    let gates = ["confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollout"]
        .map(|kind| Gate::new(&world, namespace, kind));
    let [rollout, traffic, promotion, acceptance] = &gates;
    let shop = open(&world, namespace, &gates, 25).await?;
    for gate in [rollout, traffic, promotion] {
        gate.close();
    }
    let users = shop.users(60)?;
    let routes = Routes::watch(&world, namespace, users.started());
    let judge = Judge::new([&users], &routes, |_| true);

    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_phase("Waiting", Duration::from_secs(60)).await?;
    rollout.wait_asked(1).await?;
    shop.wait_step("Waiting", 0).await?;
    ensure!(shop.replicas(shop::NAME).await? == Some(0), "the new version has pods before its approval");
    rollout.open();
    shop.wait_phase("Progressing", Duration::from_secs(60)).await?;
    traffic.wait_asked(1).await?;
    shop.wait_step("Progressing", 0).await?;
    let until = Summary::of(&users.so_far());
    ensure!(until.versions.keys().eq(["1.0.0"]), "before the approval users saw {:?}", until.versions);

    let passes = shop.pass(&traffic.path, 25).await?;
    traffic.wait_asked(1).await?;
    shop.wait_step("Progressing", 25).await?;
    wait_enough(&judge, 25).await?;
    traffic.open();
    shop.wait_phase("WaitingPromotion", Duration::from_secs(120)).await?;
    let checks = acceptance.asked();
    promotion.wait_asked(2).await?;
    ensure!(acceptance.asked() > checks, "nothing was checked while the promotion waited");
    shop.wait_step("WaitingPromotion", 50).await?;
    wait_enough(&judge, 50).await?;
    let image = shop.image("frontend-primary").await?;
    ensure!(image.ends_with(":1.0.0"), "the primary runs {image} before the approval");
    promotion.open();
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;

    let samples = users.stop().await;
    let held = routes.stop();
    let none_lost = Summary::of(&samples).none_lost()?;
    let steps = shares::by_step(&samples, &held, "1.1.0")?;
    ensure!(
        steps.iter().map(|step| step.weight).eq([25, 50]),
        "the gateway saw the shares {}",
        shares::show(&steps)
    );
    for (gate, text) in [
        (rollout, "advancement waiting for approval"),
        (traffic, "advancement waiting for traffic increase approval"),
        (promotion, "advancement waiting for promotion approval"),
    ] {
        shop.expect_event(&format!("Halt frontend.{namespace} {text} {}", gate.kind)).await?;
    }
    for (text, wanted) in [
        ("Canary is waiting for approval.", 1..=1),
        // It was closed at first, and again after each time that it had opened.
        ("Canary traffic increase is waiting for approval.", 2..=1 + passes),
        ("Canary promotion is waiting for approval.", 1..=1),
    ] {
        let found = alerts(&world, namespace).into_iter().filter(|alert| alert == text).count();
        ensure!(wanted.contains(&found), "{found} alerts and not {wanted:?} say {text:?}");
    }
    Ok(vec![
        format!("{none_lost}; {} of them before the first approval, all by the old version", until.requests),
        format!("share of the new version at closed gates: {}", shares::show(&steps)),
        format!(
            "asked: {}; one alert each time that one closed",
            gates.iter().map(|gate| format!("{} {}", gate.kind, gate.asked())).collect::<Vec<_>>().join(", ")
        ),
    ])
}

/// The promotion gate never opens: a new revision has to start over, and then a hook ends it.
pub async fn rolled_back(world: Arc<World>) -> Figures {
    let namespace = "shop-gates-rollback";
    let gates = ["confirm-promotion", "rollback"].map(|kind| Gate::new(&world, namespace, kind));
    let [promotion, rollback] = &gates;
    let shop = open(&world, namespace, &gates, 50).await?;
    promotion.close();
    rollback.close();
    let users = shop.users(40)?;
    let routes = Routes::watch(&world, namespace, users.started());
    let judge = Judge::new([&users], &routes, |_| true);

    shop.deploy(&Version::good("2.0.0")).await?;
    shop.wait_phase("WaitingPromotion", Duration::from_secs(120)).await?;
    promotion.wait_asked(1).await?;
    shop.wait_step("WaitingPromotion", 50).await?;
    wait_enough(&judge, 50).await?;
    shop.deploy(&Version::good("2.1.0")).await?;
    shop.wait_phase("Progressing", Duration::from_secs(60)).await?;
    shop.expect_event("New revision detected! Restarting analysis").await?;
    shop.expect_share_falls_to(0).await?;
    shop.wait_phase("WaitingPromotion", Duration::from_secs(120)).await?;
    promotion.wait_asked(1).await?;
    shop.wait_step("WaitingPromotion", 50).await?;
    wait_enough(&judge, 50).await?;
    rollback.open();
    shop.wait_phase("Failed", Duration::from_secs(60)).await?;
    let event = shop.expect_event("manual webhook invoked").await?;
    shop.expect_at_rest("1.0.0").await?;

    let samples = users.stop().await;
    let held = routes.stop();
    let all = Summary::of(&samples);
    let none_lost = all.none_lost()?;
    let seen: Vec<i64> = held.iter().map(|held| held.weight()).collect();
    let from_first = seen.iter().skip_while(|weight| **weight == 0);
    ensure!(from_first.eq(&[50, 0, 50, 0]), "the gateway held the shares {seen:?}");
    for version in ["2.0.0", "2.1.0"] {
        ensure!(all.share(version) > 0.0, "nobody saw {version}: {:?}", all.versions);
    }
    Ok(vec![format!("{none_lost}; shares {seen:?}; by version: {:?}", all.versions), event])
}

/// A hook of one type, answered by the harness as people tell it.
struct Gate {
    world: Arc<World>,
    kind: &'static str,
    path: String,
}

impl Gate {
    fn new(world: &Arc<World>, namespace: &str, kind: &'static str) -> Gate {
        Gate { world: world.clone(), kind, path: format!("/{namespace}/{kind}") }
    }

    fn hook(&self) -> Value {
        json!({"name": self.kind, "type": self.kind, "url": self.world.inbox.url(&self.path), "timeout": "30s"})
    }

    fn open(&self) {
        self.world.inbox.answer(&self.path, 200);
    }

    fn close(&self) {
        self.world.inbox.answer(&self.path, 403);
    }

    fn asked(&self) -> usize {
        self.world.inbox.letters(&self.path).len()
    }

    /// Waits until it has been asked so often again.
    async fn wait_asked(&self, times: usize) -> Result<()> {
        let wanted = self.asked() + times;
        wait::until(&format!("{} is asked again", self.path), Duration::from_secs(90), async || {
            Ok(self.asked() >= wanted)
        })
        .await
    }
}

/// A shop whose releases go by one step size up to 50 and through these gates.
async fn open(world: &Arc<World>, namespace: &str, gates: &[Gate], step: u32) -> Result<Shop> {
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    shop.apply(&json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "chat"},
        "spec": {"type": "slack", "channel": "shop", "username": "flagger", "address": world.inbox.url(&mailbox(namespace))},
    }))
    .await?;
    let mut canary = shop::patient(shop::canary(namespace));
    let analysis = &mut canary["spec"]["analysis"];
    analysis["stepWeight"] = json!(step);
    analysis["webhooks"] = gates.iter().map(Gate::hook).collect();
    analysis["alerts"] = json!([{"name": "chat", "severity": "info", "providerRef": {"name": "chat"}}]);
    shop.initialize(&canary).await?;
    Ok(shop)
}

fn mailbox(namespace: &str) -> String {
    format!("/{namespace}/alerts")
}

/// The texts of the alerts that came.
fn alerts(world: &World, namespace: &str) -> Vec<String> {
    let letters = world.inbox.letters(&mailbox(namespace));
    let text = |body: &Value| body["attachments"][0]["text"].as_str().unwrap_or_default().to_owned();
    letters.iter().map(|letter| text(&letter.body)).collect()
}

/// Waits until the gateway has served enough requests at a weight to judge it by.
async fn wait_enough(judge: &Judge, weight: i64) -> Result<()> {
    let what = format!("enough users come while the canary has {weight}");
    wait::until(&what, Duration::from_secs(60), async || Ok(judge.has_enough(weight))).await
}
