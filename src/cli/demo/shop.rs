//! The world of the demo: an online shop on an embedded cluster, and how the versions of its frontend behave.

use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::sim::{Version, World};
use kubesim::{PodBehaviour, PodRules};

/// The objects of the shop, as a user would apply them.
pub(super) const MANIFEST: &str = include_str!("shop.yaml");
pub(super) const NAMESPACE: &str = "shop";
/// Name of the Deployment, the autoscaler and the Canary.
pub(super) const APP: &str = "frontend";
/// The version that the manifest has.
pub(super) const FIRST: &str = "1.0";
pub(super) const GOOD: &str = "2.0";
pub(super) const BROKEN: &str = "3.0-broken";

pub(super) const SLOW: &str = "4.0-slow";
pub(super) const STUCK: &str = "5.0-stuck";

/// A tag of the image, and how it behaves.
struct Tag {
    name: &'static str,
    behaviour: Version,
    /// Whether its pods become ready.
    ready: bool,
}

/// All others are good.
const TAGS: [Tag; 5] = [
    Tag { name: FIRST, behaviour: version(99.8, 104.0), ready: true },
    Tag { name: GOOD, behaviour: version(99.9, 92.0), ready: true },
    Tag { name: BROKEN, behaviour: version(93.1, 118.0), ready: true },
    Tag { name: SLOW, behaviour: version(99.8, 1400.0), ready: true },
    Tag { name: STUCK, behaviour: version(99.8, 95.0), ready: false },
];

const fn version(success_rate: f64, p99_millis: f64) -> Version {
    Version { success_rate, p99_millis }
}

/// A cluster on which the shop was just applied; its pods are ready after `startup`.
pub(super) fn open(start: Option<DateTime<Utc>>, startup: Duration) -> anyhow::Result<World> {
    let builder = World::builder();
    let world = match start {
        Some(start) => builder.start(start).build(),
        None => builder.build(),
    };
    let rules = PodRules::default().otherwise(PodBehaviour::ready_after(startup));
    let rules = TAGS
        .iter()
        .filter(|tag| !tag.ready)
        .fold(rules, |rules, tag| rules.image(&format!(":{}", tag.name), PodBehaviour::never_ready()));
    world.kube.set_pod_rules(rules);
    weather(&world, 0);
    world.apply(MANIFEST).map_err(|why| anyhow!("the shop cannot be applied: {why}"))?;
    Ok(world)
}

/// Checks come so often from now on.
pub(super) fn set_interval(world: &World, interval: &str) -> anyhow::Result<()> {
    let patch = json!({"spec": {"analysis": {"interval": interval}}});
    world
        .kube
        .patch("kubectl", "canaries.flagger.app", NAMESPACE, APP, patch)
        .map(drop)
        .map_err(|why| anyhow!("the interval cannot be set: {why}"))
}

/// No two measurements of a real application are the same: a little more or less at each step.
pub(super) fn weather(world: &World, step: usize) {
    for (index, tag) in TAGS.iter().enumerate() {
        let gust = GUSTS[(step + index) % GUSTS.len()];
        let Version { success_rate, p99_millis } = tag.behaviour;
        let today = Version {
            success_rate: success_rate + gust * (0.4 * (100.0 - success_rate)).min(0.6),
            p99_millis: p99_millis * (1.0 - 0.1 * gust),
        };
        world.backend.version(&format!(":{}", tag.name), today);
    }
}

/// The image of the frontend with this tag.
pub(super) fn image(tag: &str) -> String {
    format!("shop/{APP}:{tag}")
}

const GUSTS: [f64; 7] = [0.1, -0.5, 0.3, 0.8, -0.2, -0.9, 0.5];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_shop_can_be_applied() {
        let world = open(None, Duration::ZERO).expect("a good manifest");
        let image_of = |world: &World| {
            let deployment = world.kube.get("deployments.apps", NAMESPACE, APP).expect("applied");
            deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().map(str::to_owned)
        };
        assert_eq!(Some(image(FIRST)), image_of(&world));
        assert!(world.kube.get("canaries.flagger.app", NAMESPACE, APP).is_some());
        set_interval(&world, "10s").expect("it is there");
    }
}
