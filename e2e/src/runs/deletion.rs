//! Run 7: the Canary is deleted; what is left behind depends on `revertOnDeletion`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::Figures;
use crate::apps::load::Summary;
use crate::shop::{self, NAME, Shop, Version};
use crate::wait;
use crate::world::World;

pub async fn run(world: Arc<World>) -> Figures {
    let (reverted, left) = futures::try_join!(revert(&world), leave(&world))?;
    Ok(vec![reverted, left])
}

/// The shop is as it was before the Canary, and users notice nothing.
async fn revert(world: &Arc<World>) -> Result<String> {
    let namespace = "shop-revert";
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    shop.apply(&shop::plain_service()).await?;
    shop.apply(&shop::plain_route(namespace)).await?;
    let mut canary = shop::canary(namespace);
    canary["spec"]["revertOnDeletion"] = json!(true);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;
    shop.delete("flagger.app/v1beta1", "Canary", NAME).await?;
    shop.wait_rolled_out(NAME).await?;
    ensure!(
        shop.replicas(NAME).await? == Some(1),
        "the target has {:?} replicas",
        shop.replicas(NAME).await?
    );
    let selector =
        shop.service(NAME).await?.and_then(|s| s.spec).and_then(|s| s.selector).unwrap_or_default();
    ensure!(selector.get("app").map(String::as_str) == Some(NAME), "the apex Service selects {selector:?}");
    let route = shop.get("networking.istio.io/v1beta1", "VirtualService", NAME).await?;
    let destination =
        route.map(|route| route.data["spec"]["http"][0]["route"][0]["destination"]["host"].clone());
    ensure!(destination == Some(json!(NAME)), "the route leads to {destination:?}");
    wait_for_primary_to_go(&shop).await?;
    Ok(format!("reverted: {}", Summary::of(&users.stop().await).none_lost()?))
}

/// As Flagger without it: what the Canary owned goes, the target stays parked.
async fn leave(world: &Arc<World>) -> Result<String> {
    let namespace = "shop-delete";
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    shop.initialize(&shop::canary(namespace)).await?;
    let finalizers = shop.canary()["metadata"]["finalizers"].clone();
    ensure!(finalizers.is_null(), "the Canary has finalizers: {finalizers}");
    shop.delete("flagger.app/v1beta1", "Canary", NAME).await?;
    wait_for_primary_to_go(&shop).await?;
    wait::until("what the Canary owned is gone", Duration::from_secs(120), async || {
        Ok(shop.service(NAME).await?.is_none()
            && shop.service(&format!("{NAME}-canary")).await?.is_none()
            && shop.get("networking.istio.io/v1beta1", "VirtualService", NAME).await?.is_none())
    })
    .await?;
    ensure!(
        shop.replicas(NAME).await? == Some(0),
        "the target has {:?} replicas",
        shop.replicas(NAME).await?
    );
    Ok("left: owned objects collected, target parked".into())
}

async fn wait_for_primary_to_go(shop: &Shop) -> Result<()> {
    wait::until("the primary is gone", Duration::from_secs(120), async || {
        Ok(shop.deployment(&format!("{NAME}-primary")).await?.is_none())
    })
    .await
}
