//! Run 1: the whole story of a good version, under constant load from before the Canary exists.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep};

use super::Figures;
use crate::apps::load::{Sample, Summary};
use crate::routes::{Held, Routes};
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const NAMESPACE: &str = "shop-good";
const RATE: u32 = 100;
/// A share may be off by this many standard deviations: one false alarm in 15,000 steps.
const DEVIATIONS: f64 = 4.0;
/// The gateway's threads take over new routes within this.
const TAKE_OVER: Duration = Duration::from_millis(200);
/// The primary changes a moment before its Canary is seen to be promoting.
const BEFORE_PROMOTION: Duration = Duration::from_secs(2);

pub async fn run(world: Arc<World>) -> Figures {
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    shop.apply(&shop::plain_service()).await?;
    shop.apply(&shop::plain_route(NAMESPACE)).await?;
    wait_for_answers(&shop).await?;

    let users = shop.users(RATE)?;
    let start = Instant::now();
    let routes = Routes::watch(&world, NAMESPACE, start);
    shop.initialize(&shop::patient(shop::canary(NAMESPACE))).await?;
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
    // From the promotion on the primary has the new version too, and shares say nothing any more.
    let promoting = shop.first_seen("Promoting").context("it was never promoting")?.duration_since(start);
    let held = routes.stop();

    let all = Summary::of(&samples);
    ensure!(
        all.lost == 0,
        "{} of {} requests were lost: {:?} {:?}",
        all.lost,
        all.requests,
        all.reasons,
        all.statuses
    );
    let steps = shares_by_step(&samples, &held, promoting.saturating_sub(BEFORE_PROMOTION), "1.1.0")?;
    let wanted: Vec<i64> = vec![10, 20, 30, 40, 50];
    let seen: Vec<i64> = steps.iter().map(|step| step.weight).filter(|weight| *weight > 0).collect();
    ensure!(seen == wanted, "the gateway saw the shares {seen:?} and not {wanted:?}");
    let mut figures = vec![format!(
        "{} requests, 0 lost; init {:.0} s, release {:.0} s; p50 {} ms, p99 {} ms",
        all.requests,
        initialized.as_secs_f64(),
        (released - initialized).as_secs_f64(),
        all.p50_ms,
        all.p99_ms
    )];
    figures.push(format!(
        "share of the new version by step: {}",
        steps.iter().map(Step::show).collect::<Vec<_>>().join(", ")
    ));
    // A check that failed by chance costs an interval; too many of them would be the machine's fault.
    let halts = shop.events().await?.into_iter().filter(|event| event.contains("Halt"));
    figures.extend(halts.map(|halt| format!("held up once by: {halt}")));
    Ok(figures)
}

async fn wait_for_answers(shop: &Shop) -> Result<()> {
    wait::until("the gateway serves the shop", Duration::from_secs(60), async || {
        let users = shop.users(20)?;
        sleep(Duration::from_millis(500)).await;
        let summary = Summary::of(&users.stop().await);
        Ok(summary.requests > 0 && summary.statuses.keys().eq([&200]))
    })
    .await
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

/// What a step's weight was, and what it came to.
struct Step {
    weight: i64,
    requests: usize,
    share: f64,
}

impl Step {
    fn show(&self) -> String {
        format!("{} % → {:.1} % of {}", self.weight, self.share, self.requests)
    }
}

/// # Errors
/// A step's share is further from its weight than chance allows.
fn shares_by_step(samples: &[Sample], held: &[Held], end: Duration, version: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for Held { weight, first, last } in held.iter().filter(|held| held.weight > 0) {
        let inside = |sample: &&Sample| sample.sent > *first + TAKE_OVER && sample.done < end.min(*last);
        let summary = Summary::of(samples.iter().filter(inside));
        let step = Step { weight: *weight, requests: summary.requests, share: summary.share(version) };
        let p = *weight as f64 / 100.0;
        let deviation = 100.0 * (p * (1.0 - p) / (step.requests.max(1) as f64)).sqrt();
        ensure!(step.requests >= 100, "only {} requests at a weight of {weight}", step.requests);
        ensure!(
            (step.share - *weight as f64).abs() <= DEVIATIONS * deviation,
            "at a weight of {weight} the new version served {:.2} % of {} requests (one deviation is {deviation:.2} %)",
            step.share,
            step.requests
        );
        steps.push(step);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(new: usize, old: usize) -> Vec<Sample> {
        (0..new + old)
            .map(|n| Sample {
                sent: Duration::from_secs(5),
                done: Duration::from_secs(5),
                status: 200,
                note: if n < new { "1.1.0".into() } else { "1.0.0".into() },
            })
            .collect()
    }

    #[test]
    fn a_share_near_its_weight_passes_and_one_far_off_does_not() {
        let held = [Held { weight: 10, first: Duration::from_secs(1), last: Duration::from_secs(9) }];
        assert!(shares_by_step(&samples(105, 895), &held, Duration::MAX, "1.1.0").is_ok());
        assert!(shares_by_step(&samples(160, 840), &held, Duration::MAX, "1.1.0").is_err());
    }
}
