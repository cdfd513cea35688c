//! Run 2: bad versions are found by what users feel, and few users feel it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;

use super::Figures;
use crate::apps::load::Summary;
use crate::shop::{self, Shop, Version};
use crate::world::World;

/// 5 % errors.
pub async fn errors(world: Arc<World>) -> Figures {
    let bad = Version::good("2.0.0").with("ERROR_RATE", "5");
    rolled_back(world, "shop-errors", bad, "advancement success rate").await
}

/// 600 ms for every request.
pub async fn latency(world: Arc<World>) -> Figures {
    let bad = Version::good("2.0.0").with("LATENCY_MS", "600");
    rolled_back(world, "shop-latency", bad, "advancement request duration").await
}

async fn rolled_back(world: Arc<World>, namespace: &str, bad: Version, reason: &str) -> Figures {
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    shop.initialize(&shop::canary(namespace)).await?;
    let users = shop.users(60)?;
    shop.deploy(&bad).await?;
    shop.wait_release("Failed", Duration::from_secs(300)).await?;
    let halt = shop.expect_event(reason).await?;
    shop.expect_event("failed checks threshold reached").await?;
    shop.expect_at_rest("1.0.0").await?;
    let took = users.clock();
    let summary = Summary::of(&users.stop().await);
    let served = summary.versions.get(&bad.tag).copied().unwrap_or(0);
    ensure!(served > 0, "the bad version served nobody: the rollback had another reason");
    ensure!(!summary.statuses.contains_key(&0), "requests without an answer: {:?}", summary.reasons);
    Ok(vec![
        format!(
            "rolled back after {:.0} s; the bad version served {served} of {} requests ({:.1} %); by status: {:?}",
            took.as_secs_f64(),
            summary.requests,
            summary.share(&bad.tag),
            summary.statuses
        ),
        halt,
    ])
}
