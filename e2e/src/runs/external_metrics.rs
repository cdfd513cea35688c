//! A check that asks an adapter of external metrics through the aggregation layer of the real API server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

use super::Figures;
use crate::adapter::{Adapter, GROUP, METRIC, VERSION};
use crate::cluster::network::NODE;
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::{World, resource};

const RELEASE: Duration = Duration::from_secs(300);

/// A queue that stays short lets a version through, and one that grows stops the next.
pub async fn run(world: Arc<World>) -> Figures {
    let adapter = Adapter::open(&world.place, SocketAddr::from((NODE, 0))).await?;
    let services = Api::<DynamicObject>::all_with(
        world.client.clone(),
        &resource("apiregistration.k8s.io/v1", "APIService"),
    );
    let name = format!("{VERSION}.{GROUP}");
    let outcome = releases(&world, &adapter, &services, &name).await;
    // Namespaces cannot be cleared while an API that is registered does not answer.
    wait::calmly(async || Ok(services.delete(&name, &DeleteParams::default()).await.map(drop)?)).await?;
    outcome
}

async fn releases(
    world: &Arc<World>,
    adapter: &Adapter,
    services: &Api<DynamicObject>,
    name: &str,
) -> Figures {
    let namespace = "shop-external";
    let shop = Shop::open(world, namespace, &Version::good("1.0.0")).await?;
    register(&shop, adapter, services, name).await?;
    shop.apply(&json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": {"name": "lag"},
        "spec": {"provider": {"type": "externalmetrics"}, "query": format!("{{{{ namespace }}}}/{METRIC}?labelSelector=app%3D{{{{ target }}}}")},
    }))
    .await?;
    let mut canary = shop::patient(shop::canary(namespace));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    canary["spec"]["analysis"]["metrics"] = json!([{"name": "queue lag", "templateRef": {"name": "lag"}, "thresholdRange": {"max": 10}, "interval": "20s"}]);
    shop.initialize(&canary).await?;
    adapter.set(3);
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    canary["spec"]["analysis"]["threshold"] = json!(2);
    shop.apply(&canary).await?;
    adapter.set(2500);
    shop.deploy(&Version::good("1.2.0")).await?;
    shop.wait_release("Failed", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    let event = shop.expect_event("advancement queue lag 2500").await?;
    ensure!(adapter.asked() >= 4, "the adapter was asked {} times", adapter.asked());
    Ok(vec![format!("promoted at a lag of 3, rolled back at 2500; asked {} times", adapter.asked()), event])
}

/// Tells the API server where the adapter is: a Service without pods, whose one endpoint is this program.
async fn register(shop: &Shop, adapter: &Adapter, services: &Api<DynamicObject>, name: &str) -> Result<()> {
    let port = adapter.address.port();
    shop.apply(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "adapter"},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
    }))
    .await?;
    shop.apply(&json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "adapter", "labels": {"kubernetes.io/service-name": "adapter"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [adapter.address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }))
    .await?;
    let service: Value = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": name},
        "spec": {
            "group": GROUP, "version": VERSION, "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true,
            "service": {"name": "adapter", "namespace": shop.namespace, "port": 443},
        },
    });
    let parameters = PatchParams::apply("shop-team").force();
    wait::calmly(async || Ok(services.patch(name, &parameters, &Patch::Apply(&service)).await?)).await?;
    wait::until("the API server reaches the adapter", Duration::from_secs(60), async || {
        let service = services.get(name).await?;
        let conditions = service.data["status"]["conditions"].as_array();
        Ok(conditions
            .is_some_and(|all| all.iter().any(|it| it["type"] == "Available" && it["status"] == "True")))
    })
    .await
}
