//! Run 1: the whole story of a good version, under constant load from before the Canary exists.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Figures;
use crate::apps::load::{Sample, Summary};
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const NAMESPACE: &str = "shop-good";
const RATE: u32 = 100;
/// A share may be off by this many standard deviations: one false alarm in 15,000 steps.
const DEVIATIONS: f64 = 4.0;
/// Requests this close to a change of the routes are counted on neither side.
const AROUND_CHANGE: Duration = Duration::from_millis(600);

pub async fn run(world: Arc<World>) -> Figures {
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    shop.apply(&shop::plain_service()).await?;
    shop.apply(&shop::plain_route(NAMESPACE)).await?;
    wait_for_answers(&shop).await?;

    let users = shop.users(RATE)?;
    let start = Instant::now();
    let routes = Routes::watch(&world, NAMESPACE, start);
    shop.initialize(&shop::canary(NAMESPACE)).await?;
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
    let promoting = shop.first_seen("Promoting").map_or(Duration::MAX, |at| at.duration_since(start));
    let changes = routes.stop();

    let all = Summary::of(&samples);
    ensure!(
        all.lost == 0,
        "{} of {} requests were lost: {:?} {:?}",
        all.lost,
        all.requests,
        all.reasons,
        all.statuses
    );
    let steps = shares_by_step(&samples, &changes, promoting, "1.1.0")?;
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
fn shares_by_step(
    samples: &[Sample],
    changes: &[(Duration, i64)],
    end: Duration,
    version: &str,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    for (index, (from, weight)) in changes.iter().enumerate() {
        let until = changes.get(index + 1).map_or(end, |(at, _)| end.min(*at));
        let inside =
            |sample: &&Sample| sample.sent > *from + AROUND_CHANGE && sample.done + AROUND_CHANGE < until;
        let summary = Summary::of(samples.iter().filter(inside));
        let step = Step { weight: *weight, requests: summary.requests, share: summary.share(version) };
        if *weight > 0 {
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
    }
    Ok(steps)
}

/// What the gateway itself has as the canary's weight, and since when.
struct Routes {
    changes: Arc<Mutex<Vec<(Duration, i64)>>>,
    task: JoinHandle<()>,
}

impl Routes {
    fn watch(world: &Arc<World>, namespace: &str, start: Instant) -> Routes {
        let changes: Arc<Mutex<Vec<(Duration, i64)>>> = Arc::default();
        let url = format!("http://{}:15000/config_dump?resource=dynamic_route_configs", world.gateway.ip());
        let task =
            tokio::spawn(follow(url, format!("{namespace}.svc.cluster.local"), start, changes.clone()));
        Routes { changes, task }
    }

    fn stop(self) -> Vec<(Duration, i64)> {
        self.task.abort();
        self.changes.lock().map(|changes| changes.clone()).unwrap_or_default()
    }
}

async fn follow(url: String, suffix: String, start: Instant, changes: Arc<Mutex<Vec<(Duration, i64)>>>) {
    let client =
        reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build().unwrap_or_default();
    loop {
        if let Ok(answer) = client.get(&url).send().await
            && let Ok(dump) = answer.json::<Value>().await
            && let Some(weight) = canary_weight(&dump, &suffix)
            && let Ok(mut changes) = changes.lock()
            && changes.last().is_none_or(|(_, last)| *last != weight)
        {
            changes.push((start.elapsed(), weight));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The canary's weight in the gateway's routes; 0 when all goes elsewhere.
fn canary_weight(dump: &Value, suffix: &str) -> Option<i64> {
    let mut found = None;
    for config in dump["configs"].as_array()? {
        for host in config["route_config"]["virtual_hosts"].as_array().into_iter().flatten() {
            for route in host["routes"].as_array().into_iter().flatten() {
                let single = route["route"]["cluster"].as_str().unwrap_or_default();
                if single.ends_with(suffix) {
                    found = Some(if single.contains("-canary.") { 100 } else { 0 });
                }
                for cluster in
                    route["route"]["weighted_clusters"]["clusters"].as_array().into_iter().flatten()
                {
                    let name = cluster["name"].as_str().unwrap_or_default();
                    if name.ends_with(suffix) {
                        let weight = cluster["weight"].as_i64().unwrap_or(0);
                        found = Some(found.unwrap_or(0) + if name.contains("-canary.") { weight } else { 0 });
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        let changes = [(Duration::from_secs(1), 10), (Duration::from_secs(9), 0)];
        assert!(shares_by_step(&samples(105, 895), &changes, Duration::MAX, "1.1.0").is_ok());
        assert!(shares_by_step(&samples(160, 840), &changes, Duration::MAX, "1.1.0").is_err());
    }

    #[test]
    fn the_weight_is_read_from_the_routes_of_the_gateway() {
        let dump = json!({"configs": [{"route_config": {"virtual_hosts": [{"routes": [{"route": {"weighted_clusters": {"clusters": [
            {"name": "outbound|80||frontend-primary.shop.svc.cluster.local", "weight": 70},
            {"name": "outbound|80||frontend-canary.shop.svc.cluster.local", "weight": 30},
        ]}}}]}]}}]});
        assert_eq!(canary_weight(&dump, ".shop.svc.cluster.local"), Some(30));
        assert_eq!(canary_weight(&dump, ".other.svc.cluster.local"), None);
    }
}
