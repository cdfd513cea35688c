//! The Gateway API with istiod behind it: a route that Vexil writes, and one of the user's own that it only weighs.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Figures, story};
use crate::routes::Routes;
use crate::shop::{self, NAME, Shop, Version};
use crate::world::World;

const API: &str = "gateway.networking.k8s.io/v1";
const KIND: &str = "HTTPRoute";

/// From a shop that runs, through a good version and a bad one, to a shop that runs without a Canary.
pub async fn written(world: Arc<World>) -> Figures {
    let namespace = "shop-gatewayapi";
    let shop = open(&world, namespace).await?.routed_by(KIND, NAME);
    let plain = route(namespace, NAME, &[]);
    shop.apply(&plain).await?;
    shop.wait_served().await?;

    let users = shop.users(story::RATE)?;
    let routes = Routes::watch(&world, namespace, users.started());
    shop.apply(&template()).await?;
    let figures = story::tell(&shop, canary(namespace), users, routes, None).await?;

    let left = shop.get(API, KIND, NAME).await?.context("the route is gone")?;
    let backends = &left.data["spec"]["rules"][0]["backendRefs"];
    ensure!(
        backends.as_array().is_some_and(|all| all.len() == 1) && backends[0]["name"] == NAME,
        "the route that was given back leads to {backends}"
    );
    Ok(figures)
}

/// The same with a route of the user's, of which Vexil sets the weights of one rule.
pub async fn adopted(world: Arc<World>) -> Figures {
    let namespace = "shop-adopted";
    let shop = open(&world, namespace).await?.routed_by(KIND, "shop");
    let other = json!({
        "matches": [{"path": {"type": "PathPrefix", "value": "/static"}}],
        "backendRefs": [{"name": NAME, "port": 80}],
    });
    let tagged = json!({
        "name": "shop",
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "x-shop", "value": "open"}]}}],
        "backendRefs": [{"name": NAME, "port": 80}],
    });
    let plain = route(namespace, "shop", &[other.clone(), tagged]);
    shop.apply(&plain).await?;
    shop.wait_served().await?;
    let before = rules(&shop, "shop").await?;

    let users = shop.users(story::RATE)?;
    let routes = Routes::watch(&world, namespace, users.started());
    let mut canary = canary(namespace);
    let spec = canary["spec"].as_object_mut().context("no spec")?;
    spec["service"] = json!({"port": 80, "targetPort": "http"});
    spec.insert(
        "routeRefs".into(),
        json!([{"apiVersion": API, "kind": KIND, "name": "shop", "rules": ["shop"]}]),
    );
    shop.apply(&template()).await?;
    let figures = story::tell(&shop, canary, users, routes, None).await?;

    let after = rules(&shop, "shop").await?;
    ensure!(after == before, "the user's rules were {before} and are {after}");
    ensure!(shop.get(API, KIND, NAME).await?.is_none(), "a route of its own was made beside the user's");
    Ok(figures)
}

/// A shop behind the Gateway `shops`.
async fn open(world: &Arc<World>, namespace: &str) -> Result<Shop> {
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    shop.apply(&shop::plain_service()).await?;
    Ok(shop)
}

fn canary(namespace: &str) -> Value {
    let mut canary = shop::patient(shop::canary(namespace));
    let spec = &mut canary["spec"];
    spec["provider"] = json!("gatewayapi:v1");
    spec["revertOnDeletion"] = json!(true);
    spec["service"] = json!({
        "port": 80, "targetPort": "http",
        "gatewayRefs": [{"name": "shops", "namespace": "istio-system"}],
        "hosts": [format!("{namespace}.example.com")],
    });
    spec["analysis"]["stepWeight"] = json!(25);
    spec["analysis"]["metrics"] = json!([{
        "name": "success rate", "templateRef": {"name": "success-rate"}, "thresholdRange": {"min": 95}, "interval": "20s",
    }]);
    canary
}

/// What users of the Gateway API with Istio ask: the proxy's own word.
fn template() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": {"name": "success-rate"},
        "spec": {
            "provider": {"type": "prometheus", "address": "http://prometheus.istio-system:9090"},
            "query": "sum(rate(istio_requests_total{destination_workload_namespace=\"{{ namespace }}\",\
                      destination_workload=\"{{ target }}\",response_code!~\"5.*\"}[{{ interval }}])) \
                      / sum(rate(istio_requests_total{destination_workload_namespace=\"{{ namespace }}\",\
                      destination_workload=\"{{ target }}\"}[{{ interval }}])) * 100",
        },
    })
}

/// An HTTPRoute as a user has it; by default everything to the apex Service.
fn route(namespace: &str, name: &str, rules: &[Value]) -> Value {
    let everything = json!([{"backendRefs": [{"name": NAME, "port": 80}]}]);
    json!({
        "apiVersion": API, "kind": KIND,
        "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "shops", "namespace": "istio-system"}],
            "hostnames": [format!("{namespace}.example.com")],
            "rules": if rules.is_empty() { everything } else { json!(rules) },
        },
    })
}

async fn rules(shop: &Shop, name: &str) -> Result<Value> {
    let route = shop.get(API, KIND, name).await?.with_context(|| format!("there is no route {name}"))?;
    Ok(route.data["spec"]["rules"].clone())
}
