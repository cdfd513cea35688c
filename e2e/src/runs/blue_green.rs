//! Run 5: no mesh at all. The apex Service is what users call; a release is checked beside it and then takes its place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Figures;
use crate::apps::load::{Running, Summary};
use crate::shop::{self, NAME, Shop, Version};
use crate::world::World;

const RELEASE: Duration = Duration::from_secs(300);

/// A new image.
pub async fn image(world: Arc<World>) -> Figures {
    let plain = Plain::open(&world, "shop-plain").await?;
    plain.shop.deploy(&Version::good("1.1.0")).await?;
    plain.shop.wait_release("Succeeded", RELEASE).await?;
    plain.shop.expect_at_rest("1.1.0").await?;
    plain.close().await
}

/// A new configuration of the same image.
pub async fn config_map(world: Arc<World>) -> Figures {
    let plain = Plain::open(&world, "shop-config").await?;
    plain.shop.apply(&config("goodbye")).await?;
    plain.shop.wait_release("Succeeded", RELEASE).await?;
    plain.shop.expect_at_rest("1.0.0").await?;
    let copy = plain.shop.get("v1", "ConfigMap", "frontend-config-primary").await?;
    let copy = copy.context("the primary has no copy of the ConfigMap")?;
    ensure!(copy.data["data"]["MESSAGE"] == "goodbye", "the primary's ConfigMap says {}", copy.data["data"]);
    plain.close().await
}

/// A shop without a mesh, its users, and testers of whatever is released.
struct Plain {
    shop: Shop,
    users: Running,
    testers: Running,
}

impl Plain {
    async fn open(world: &Arc<World>, namespace: &str) -> Result<Plain> {
        let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
        shop.apply(&config("hello")).await?;
        let mut canary = shop::patient(shop::canary(namespace));
        canary["spec"]["provider"] = json!("kubernetes");
        canary["spec"]["service"] = json!({"port": 80, "targetPort": "http"});
        canary["spec"]["analysis"] = json!({
            "interval": "10s", "threshold": canary["spec"]["analysis"]["threshold"], "iterations": 2,
            "metrics": canary["spec"]["analysis"]["metrics"],
        });
        shop.initialize(&canary).await?;
        let users = world.load(address(&shop, NAME).await?, NAME, 40)?;
        // Nobody but a test calls the canary here.
        let testers = world.load(address(&shop, &format!("{NAME}-canary")).await?, NAME, 20)?;
        Ok(Plain { shop, users, testers })
    }

    async fn close(self) -> Figures {
        let took = self.users.clock();
        let summary = Summary::of(&self.users.stop().await);
        self.testers.stop().await;
        Ok(vec![format!("released in {:.0} s; {}", took.as_secs_f64(), summary.none_lost()?)])
    }
}

fn config(message: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "frontend-config"}, "data": {"MESSAGE": message}})
}

async fn address(shop: &Shop, name: &str) -> Result<SocketAddr> {
    let service = shop.service(name).await?.with_context(|| format!("there is no service {name}"))?;
    let ip = service.spec.and_then(|spec| spec.cluster_ip).context("the service has no address")?;
    Ok(SocketAddr::new(ip.parse()?, 80))
}
