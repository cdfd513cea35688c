//! Run 1: the whole story of a good version, under constant load from before the Canary exists.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Figures;
use crate::apps::load::Summary;
use crate::routes::Routes;
use crate::shares::{self, Judge};
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const NAMESPACE: &str = "shop-good";
const RATE: u32 = 100;

pub async fn run(world: Arc<World>) -> Figures {
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    shop.apply(&shop::plain_service()).await?;
    shop.apply(&shop::plain_route(NAMESPACE)).await?;
    shop.wait_served().await?;

    let users = shop.users(RATE)?;
    let routes = Routes::watch(&world, NAMESPACE, users.started());
    let judge = Judge::new([&users], &routes, |_| true);
    let mut canary = shop::patient(shop::canary(NAMESPACE));
    canary["spec"]["analysis"]["webhooks"] = shop.hold_steps(judge);
    shop.initialize(&canary).await?;
    // The target's pods have to be gone before anybody can say that nothing was lost when they went.
    wait_gone(&shop).await?;
    let initialized = users.clock();
    let init = Summary::of(&users.so_far());
    ensure!(
        init.lost == 0,
        "{} of {} requests were lost during init: {:?}",
        init.lost,
        init.requests,
        init.reasons
    );

    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_release("Succeeded", Duration::from_secs(300)).await?;
    shop.expect_at_rest("1.1.0").await?;
    wait_gone(&shop).await?;
    let released = users.clock();
    let samples = users.stop().await;
    let held = routes.stop();

    let all = Summary::of(&samples);
    let none_lost = all.none_lost()?;
    // Before that the canary's pods were those that everybody used.
    let released_to: Vec<_> = samples.iter().filter(|sample| sample.sent > initialized).cloned().collect();
    let steps = shares::by_step(&released_to, &held, "1.1.0")?;
    let wanted: Vec<i64> = vec![10, 20, 30, 40, 50];
    let seen: Vec<i64> = steps.iter().map(|step| step.weight).collect();
    ensure!(seen == wanted, "the gateway saw the shares {seen:?} and not {wanted:?}");
    let mut figures = vec![format!(
        "{none_lost}; init {:.0} s, release {:.0} s; p50 {} ms, p99 {} ms",
        initialized.as_secs_f64(),
        (released - initialized).as_secs_f64(),
        all.p50_ms,
        all.p99_ms
    )];
    figures.push(format!("share of the new version by step: {}", shares::show(&steps)));
    // A check that failed by chance costs an interval, and so does a step that had to wait for enough users.
    let halts = shop.events().await?.into_iter().filter(|event| event.contains("Halt")).count();
    figures.push(format!("held up by {halts} sorts of halts"));
    Ok(figures)
}

async fn wait_gone(shop: &Shop) -> Result<()> {
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(shop.world.client.clone(), &shop.namespace);
    wait::until("the target's pods are gone", Duration::from_secs(60), async || {
        let all = pods.list(&kube::api::ListParams::default().labels("app=frontend")).await?;
        Ok(all.items.is_empty())
    })
    .await
}
