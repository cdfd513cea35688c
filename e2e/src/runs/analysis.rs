//! Run 4: what happens when the analysis has no data, no server, its own metric, or a hook that says no.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Figures;
use crate::apps::load::Summary;
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const PROMETHEUS: &str = include_str!("../../manifests/prometheus.yaml");
const RELEASE: Duration = Duration::from_secs(300);

/// Nobody uses the shop: there is nothing to judge a version by.
pub async fn no_traffic(world: Arc<World>) -> Figures {
    let namespace = "shop-silent";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    shop.initialize(&shop::canary(namespace)).await?;
    shop.deploy(&Version::good("2.0.0")).await?;
    shop.wait_release("Failed", RELEASE).await?;
    let event = shop.expect_event("no values found").await?;
    shop.expect_at_rest("1.0.0").await?;
    Ok(vec!["not promoted".into(), event])
}

// spec: 04/OB-19
/// Prometheus goes away in the middle and comes back. It is the shop's own, so that other runs keep theirs.
pub async fn prometheus_stops(world: Arc<World>) -> Figures {
    let namespace = "shop-blind";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    own_prometheus(&shop).await?;
    let mut canary = shop::patient(shop::canary(namespace));
    canary["spec"]["metricsServer"] = json!(format!("http://prometheus.{namespace}:9090"));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    // Nothing moves while Prometheus goes away, however long that takes; what happens then is its absence alone.
    let gate = format!("/{namespace}/confirm-traffic-increase");
    canary["spec"]["analysis"]["webhooks"] = json!([{"name": "quiet", "type": "confirm-traffic-increase", "url": world.inbox.url(&gate), "timeout": "30s"}]);
    world.inbox.answer(&gate, 403);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;
    shop.deploy(&Version::good("2.0.0")).await?;
    shop.pass(&gate, 25).await?;

    scale(&shop, "prometheus", 0).await?;
    let failed = || shop.canary()["status"]["failedChecks"].as_i64().unwrap_or(0);
    let (before, since) = (failed(), shop.history().len());
    world.inbox.answer(&gate, 200);
    wait::until("three checks have failed", Duration::from_secs(120), async || Ok(failed() >= before + 3))
        .await?;
    let history = shop.history();
    for seen in history.get(since..).unwrap_or_default() {
        let (phase, blind) = (shop::phase_of(seen), shop::weight_of(seen));
        ensure!(
            phase == "Progressing" && blind == 25,
            "without a measurement it became {phase} with a share of {blind}"
        );
    }
    let checks = failed();

    scale(&shop, "prometheus", 1).await?;
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("2.0.0").await?;

    let held = rides_out(&shop, canary).await?;
    let none_lost = Summary::of(&users.stop().await).none_lost()?;
    Ok(vec![format!("held at 25 % for {checks} failed checks, then promoted; {none_lost}"), held])
}

/// The same outage with `onMetricError: hold` and a threshold that one failed check would reach.
async fn rides_out(shop: &Shop, mut canary: Value) -> Result<String> {
    let gate = "/shop-blind/confirm-traffic-increase";
    shop.world.inbox.answer(gate, 403);
    canary["spec"]["analysis"]["threshold"] = json!(1);
    canary["spec"]["analysis"]["onMetricError"] = json!("hold");
    shop.apply(&canary).await?;
    shop.deploy(&Version::good("3.0.0")).await?;
    shop.wait_phase("Progressing", Duration::from_secs(60)).await?;
    shop.pass(gate, 25).await?;

    scale(shop, "prometheus", 0).await?;
    let since = shop.history().len();
    shop.world.inbox.answer(gate, 200);
    let held = |canary: &Value| {
        let all = canary["status"]["measurements"].as_array();
        all.is_some_and(|all| all.iter().any(|one| one["verdict"] == "Held"))
    };
    wait::until("a check is held", Duration::from_secs(120), async || Ok(held(&shop.canary()))).await?;
    scale(shop, "prometheus", 1).await?;
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("3.0.0").await?;
    let history = shop.history();
    let statuses = history[since..].iter().filter_map(|seen| Some(&seen.object.as_ref()?["status"]));
    let most = statuses.filter_map(|status| status["failedChecks"].as_i64()).max().unwrap_or(0);
    ensure!(most == 0, "{most} checks have failed while metrics could not be asked");
    Ok("with onMetricError: hold and a threshold of 1 no check failed, and it was promoted".into())
}

/// A metric of the shop's own decides.
pub async fn custom_metric(world: Arc<World>) -> Figures {
    let namespace = "shop-custom";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    shop.apply(&json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": {"name": "server-errors"},
        "spec": {
            "provider": {"type": "prometheus", "address": "http://prometheus.istio-system:9090"},
            "query": "sum(rate(http_request_duration_seconds_count{kubernetes_namespace=\"{{ namespace }}\",\
                      kubernetes_pod_name=~\"{{ target }}-[0-9a-z]+-[0-9a-z]+\",status=~\"5.*\"}[{{ interval }}])) \
                      / sum(rate(http_request_duration_seconds_count{kubernetes_namespace=\"{{ namespace }}\",\
                      kubernetes_pod_name=~\"{{ target }}-[0-9a-z]+-[0-9a-z]+\"}[{{ interval }}])) * 100 or vector(0)",
        },
    }))
    .await?;
    let mut canary = shop::patient(shop::canary(namespace));
    canary["spec"]["analysis"]["stepWeight"] = json!(25);
    canary["spec"]["analysis"]["metrics"] = json!([{
        "name": "server errors", "templateRef": {"name": "server-errors"}, "thresholdRange": {"max": 1}, "interval": "20s",
    }]);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    canary["spec"]["analysis"]["threshold"] = json!(2);
    shop.apply(&canary).await?;
    shop.deploy(&Version::good("1.2.0").with("ERROR_RATE", "20")).await?;
    shop.wait_release("Failed", RELEASE).await?;
    let event = shop.expect_event("advancement server errors").await?;
    shop.expect_at_rest("1.1.0").await?;
    let summary = Summary::of(&users.stop().await);
    Ok(vec![
        format!(
            "good promoted, bad rolled back; the bad version served {:.1} % of {}",
            summary.share("1.2.0"),
            summary.requests
        ),
        event,
    ])
}

/// The hook says no.
pub async fn failing_webhook(world: Arc<World>) -> Figures {
    let namespace = "shop-hook";
    let path = "/hooks/acceptance";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    let mut canary = shop::canary(namespace);
    canary["spec"]["analysis"]["threshold"] = json!(2);
    canary["spec"]["analysis"]["metrics"] = json!([]);
    canary["spec"]["analysis"]["webhooks"] =
        json!([{"name": "acceptance", "type": "rollout", "url": world.inbox.url(path), "timeout": "30s"}]);
    shop.initialize(&canary).await?;
    world.inbox.answer(path, 500);
    shop.deploy(&Version::good("2.0.0")).await?;
    shop.wait_release("Failed", RELEASE).await?;
    let event = shop.expect_event("external check acceptance failed").await?;
    shop.expect_at_rest("1.0.0").await?;
    let letters = world.inbox.letters(path);
    ensure!(letters.len() >= 2, "the hook was called {} times", letters.len());
    ensure!(
        letters[0].body["name"] == "frontend" && letters[0].body["namespace"] == namespace,
        "{:?}",
        letters[0].body
    );
    Ok(vec![format!("rolled back after {} calls", letters.len()), event])
}

async fn own_prometheus(shop: &Shop) -> Result<()> {
    for document in PROMETHEUS.split("\n---\n") {
        let mut object: Value = serde_saphyr::from_str(document)?;
        object["metadata"]["namespace"] = json!(shop.namespace);
        shop.apply(&object).await?;
    }
    shop.wait_rolled_out("prometheus").await
}

async fn scale(shop: &Shop, name: &str, replicas: i32) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(shop.world.client.clone(), &shop.namespace);
    api.patch_scale(name, &PatchParams::default(), &Patch::Merge(json!({"spec": {"replicas": replicas}})))
        .await?;
    shop.wait_rolled_out(name).await
}
