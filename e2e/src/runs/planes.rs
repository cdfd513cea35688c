//! Routers whose own control plane and proxy are there: what Vexil writes has to reach real requests through them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Figures, story};
use crate::planes::{self, Front};
use crate::routes::Routes;
use crate::shop::{self, NAME, Shop, Version};
use crate::world::World;

const HTTP_PROXY: (&str, &str) = ("projectcontour.io/v1", "HTTPProxy");
const TRAEFIK_SERVICE: (&str, &str) = ("traefik.io/v1alpha1", "TraefikService");

/// An HTTPProxy of the user's with the host name includes the one that Vexil takes over.
pub async fn contour(world: Arc<World>) -> Figures {
    let front = planes::contour(&world).await?;
    let namespace = "shop-contour";
    let shop = open(&world, namespace, &front, HTTP_PROXY).await?;
    for object in proxies(namespace) {
        shop.apply(&object).await?;
    }
    released(&shop, &front, "contour", HTTP_PROXY, "/spec/routes").await
}

/// An IngressRoute of the user's leads to the TraefikService that Vexil takes over.
pub async fn traefik(world: Arc<World>) -> Figures {
    let front = planes::traefik(&world).await?;
    let namespace = "shop-traefik";
    let shop = open(&world, namespace, &front, TRAEFIK_SERVICE).await?;
    for object in ingress(namespace) {
        shop.apply(&object).await?;
    }
    released(&shop, &front, "traefik", TRAEFIK_SERVICE, "/spec/weighted").await
}

async fn open(
    world: &Arc<World>,
    namespace: &str,
    front: &Front,
    route: (&'static str, &'static str),
) -> Result<Shop> {
    world.remember([route]);
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    shop.apply(&shop::plain_service()).await?;
    Ok(shop.routed_by(route.1, NAME).behind(front.gateway))
}

/// The whole story, at whose end the user's route says again what it said before.
async fn released(
    shop: &Shop,
    front: &Front,
    provider: &str,
    (api_version, kind): (&'static str, &'static str),
    own: &str,
) -> Figures {
    shop.wait_served().await?;
    let said = async || {
        let route =
            shop.get(api_version, kind, NAME).await?.with_context(|| format!("{kind} {NAME} is gone"))?;
        Ok::<_, anyhow::Error>(route.data.pointer(own).cloned().unwrap_or_default())
    };
    let before = said().await?;
    let users = shop.users(story::RATE)?;
    let routes = Routes::watch_at(&front.proxy, &shop.namespace, users.started());
    let mut figures = story::tell(shop, canary(&shop.namespace, provider), users, routes).await?;
    let after = said().await?;
    ensure!(after == before, "{kind} {NAME} said {before} and says {after}");
    figures.push(format!("{kind} {NAME} is the user's again"));
    Ok(figures)
}

/// Steps of 25 up to 50, and the built-in checks of the provider.
fn canary(namespace: &str, provider: &str) -> Value {
    let mut canary = shop::patient(shop::canary(namespace));
    let spec = &mut canary["spec"];
    spec["provider"] = json!(provider);
    spec["revertOnDeletion"] = json!(true);
    spec["service"] = json!({"port": 80, "targetPort": "http"});
    spec["analysis"]["stepWeight"] = json!(25);
    canary
}

fn proxies(namespace: &str) -> [Value; 2] {
    let proxy = |name: &str, spec: Value| json!({"apiVersion": HTTP_PROXY.0, "kind": HTTP_PROXY.1, "metadata": {"name": name}, "spec": spec});
    [
        proxy(
            "shop",
            json!({
                "virtualhost": {"fqdn": format!("{namespace}.example.com")},
                "includes": [{"name": NAME, "conditions": [{"prefix": "/"}]}],
            }),
        ),
        proxy(NAME, json!({"routes": [{"services": [{"name": NAME, "port": 80}]}]})),
    ]
}

fn ingress(namespace: &str) -> [Value; 2] {
    let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": TRAEFIK_SERVICE.0, "kind": kind, "metadata": {"name": name}, "spec": spec});
    [
        object(
            "IngressRoute",
            "shop",
            json!({
                "entryPoints": ["web"],
                "routes": [{
                    "kind": "Rule", "match": format!("Host(`{namespace}.example.com`)"),
                    "services": [{"name": NAME, "kind": TRAEFIK_SERVICE.1}],
                }],
            }),
        ),
        object(
            TRAEFIK_SERVICE.1,
            NAME,
            json!({"weighted": {"services": [{"name": NAME, "port": 80, "weight": 1}]}}),
        ),
    ]
}
