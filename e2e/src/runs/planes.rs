//! Routers whose own control plane and proxy are there: what Vexil writes has to reach real requests through them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::story::{self, Gap};
use super::{Figures, ab_testing};
use crate::planes::{self, Front};
use crate::routes::Routes;
use crate::shop::{self, NAME, Shop, Version};
use crate::world::World;

/// An apiVersion and a kind.
type Kind = (&'static str, &'static str);

const HTTP_ROUTE: Kind = ("gateway.networking.k8s.io/v1", "HTTPRoute");
const HTTP_PROXY: Kind = ("projectcontour.io/v1", "HTTPProxy");
const TRAEFIK_SERVICE: Kind = ("traefik.io/v1alpha1", "TraefikService");

/// Contour tells Envoy of a route and of the cluster that it leads to by separate streams, in no order: where a route leads to a
/// Service that none led to before, Envoy may look for the cluster a moment too early, and answers without a word.
const NO_CLUSTER: Gap = Gap {
    name: "found no cluster yet",
    chapters: &["take-over", "deletion"],
    is: |sample| sample.status == 503 && sample.note.is_empty() && sample.pod.is_empty(),
};

/// A shop that is served, before there is a Canary.
pub struct Stage {
    pub shop: Shop,
    pub canary: Value,
    pub front: Front,
    /// The kind of the route that Vexil takes over, and the part of it that is the user's.
    route: Kind,
    own: &'static str,
}

pub async fn contour(world: Arc<World>) -> Figures {
    behind_contour(&world, "shop-contour").await?.lives(Some(NO_CLUSTER)).await
}

pub async fn envoy_gateway(world: Arc<World>) -> Figures {
    behind_envoy_gateway(&world, "shop-envoygateway", NAME, &everything()).await?.lives(None).await
}

pub async fn traefik(world: Arc<World>) -> Figures {
    behind_traefik(&world, "shop-traefik").await?.lives(None).await
}

/// Contour divides users by a header and by a cookie.
pub async fn contour_ab(world: Arc<World>) -> Figures {
    let Stage { shop, front, canary: plain, .. } = behind_contour(&world, "shop-contour-ab").await?;
    let mut canary = ab_testing::canary(&shop.namespace);
    canary["spec"]["provider"] = plain["spec"]["provider"].clone();
    canary["spec"]["service"] = plain["spec"]["service"].clone();
    // Contour looks whether the header holds this text.
    canary["spec"]["analysis"]["match"][1] = json!({"headers": {"cookie": {"prefix": "canary=always"}}});
    ab_testing::promoted(&shop, &front.proxy, canary).await
}

/// A shop behind each of them, for a release beside another story.
pub async fn all(world: &Arc<World>) -> Result<Vec<Stage>> {
    let rules = everything();
    let (contour, envoy_gateway, traefik) = futures::try_join!(
        behind_contour(world, "shop-crash-contour"),
        behind_envoy_gateway(world, "shop-crash-envoygateway", NAME, &rules),
        behind_traefik(world, "shop-crash-traefik"),
    )?;
    Ok(vec![contour, envoy_gateway, traefik])
}

/// An HTTPProxy of the user's with the host name includes the one that Vexil takes over.
async fn behind_contour(world: &Arc<World>, namespace: &str) -> Result<Stage> {
    let object = |name: &str, spec: Value| of(HTTP_PROXY, name, spec);
    let objects = [
        object(
            "shop",
            json!({
                "virtualhost": {"fqdn": format!("{namespace}.example.com")},
                "includes": [{"name": NAME, "conditions": [{"prefix": "/"}]}],
            }),
        ),
        object(NAME, json!({"routes": [{"services": [{"name": NAME, "port": 80}]}]})),
    ];
    let front = planes::contour(world).await?;
    let canary = canary(namespace, "contour");
    Stage::open(world, canary, front, HTTP_PROXY, "/spec/routes", &objects).await
}

/// Rules of an HTTPRoute that lead all to the apex Service.
fn everything() -> Value {
    json!([{"backendRefs": [{"name": NAME, "port": 80}]}])
}

/// An HTTPRoute of the user's at a Gateway of Envoy Gateway.
pub async fn behind_envoy_gateway(
    world: &Arc<World>,
    namespace: &str,
    name: &'static str,
    rules: &Value,
) -> Result<Stage> {
    let (gateway, host) = (planes::shops(), format!("{namespace}.example.com"));
    let spec = json!({"parentRefs": [gateway], "hostnames": [host], "rules": rules});
    let front = planes::envoy_gateway(world).await?;
    let mut canary = canary(namespace, "gatewayapi:v1");
    canary["spec"]["service"]["gatewayRefs"] = json!([gateway]);
    canary["spec"]["service"]["hosts"] = json!([host]);
    Stage::open(world, canary, front, HTTP_ROUTE, "/spec/rules", &[of(HTTP_ROUTE, name, spec)]).await
}

/// An IngressRoute of the user's leads to the TraefikService that Vexil takes over.
async fn behind_traefik(world: &Arc<World>, namespace: &str) -> Result<Stage> {
    let objects = [
        of(
            (TRAEFIK_SERVICE.0, "IngressRoute"),
            "shop",
            json!({
                "entryPoints": ["web"],
                "routes": [{
                    "kind": "Rule", "match": format!("Host(`{namespace}.example.com`)"),
                    "services": [{"name": NAME, "kind": TRAEFIK_SERVICE.1}],
                }],
            }),
        ),
        of(
            TRAEFIK_SERVICE,
            NAME,
            json!({"weighted": {"services": [{"name": NAME, "port": 80, "weight": 1}]}}),
        ),
    ];
    let front = planes::traefik(world).await?;
    let canary = canary(namespace, "traefik");
    Stage::open(world, canary, front, TRAEFIK_SERVICE, "/spec/weighted", &objects).await
}

impl Stage {
    async fn open(
        world: &Arc<World>,
        canary: Value,
        front: Front,
        route: Kind,
        own: &'static str,
        objects: &[Value],
    ) -> Result<Stage> {
        world.remember([route]);
        let namespace = canary["metadata"]["namespace"].as_str().unwrap_or_default();
        let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
        let shop = shop.routed_by(route.1, NAME).behind(front.gateway);
        shop.apply(&shop::plain_service()).await?;
        try_join_all(objects.iter().map(|object| shop.apply(object))).await?;
        shop.wait_served().await?;
        Ok(Stage { shop, canary, front, route, own })
    }

    /// The whole story, at whose end the user's route says again what it said before.
    async fn lives(self, gap: Option<Gap>) -> Figures {
        let shop = &self.shop;
        let before = self.said().await?;
        let users = shop.users(story::RATE)?;
        let routes = Routes::watch_at(&self.front.proxy, &shop.namespace, users.started());
        let mut figures = story::tell(shop, self.canary.clone(), users, routes, gap).await?;
        let (after, kind) = (self.said().await?, self.route.1);
        ensure!(after == before, "{kind} {NAME} said {before} and says {after}");
        figures.push(format!("{kind} {NAME} is the user's again"));
        Ok(figures)
    }

    /// What is the user's in the route.
    async fn said(&self) -> Result<Value> {
        let (api_version, kind) = self.route;
        let route = self.shop.get(api_version, kind, NAME).await?;
        let route = route.with_context(|| format!("{kind} {NAME} is gone"))?;
        Ok(route.data.pointer(self.own).cloned().unwrap_or_default())
    }
}

/// Steps of 25 up to 50, and the built-in checks of the provider.
fn canary(namespace: &str, provider: &str) -> Value {
    let mut canary = shop::patient(shop::canary(namespace));
    canary["metadata"]["namespace"] = json!(namespace);
    let spec = &mut canary["spec"];
    spec["provider"] = json!(provider);
    spec["revertOnDeletion"] = json!(true);
    spec["service"] = json!({"port": 80, "targetPort": "http"});
    spec["analysis"]["stepWeight"] = json!(25);
    canary
}

fn of((api_version, kind): Kind, name: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}
