//! Runs about the kinds around a release: a DaemonSet, an autoscaler, Secrets and ConfigMaps, a DestinationRule.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::Figures;
use crate::apps::load::Summary;
use crate::shop::{self, NAME, Shop, Version};
use crate::wait;
use crate::world::World;

const RELEASE: Duration = Duration::from_secs(300);
const PRIMARY: &str = "frontend-primary";
/// Of requests at a time, before and after a change. Both are above what the users ever have under way, so that a slow machine
/// does not run into them.
const LIMITS: [i64; 2] = [1000, 2000];

/// A DaemonSet that reads a Secret and a ConfigMap. Its first release changes the Secret alone, its second reads neither
/// any more. A limit of the Canary's traffic policy changes in between.
pub async fn daemon_set(world: Arc<World>) -> Figures {
    let namespace = "shop-daemon";
    let shop = Shop::open_empty(&world, namespace).await?;
    shop.apply(&token("first")).await?;
    shop.apply(&greeting()).await?;
    shop.apply(&daemon(&Version::good("1.0.0"), true)).await?;
    let mut canary = quick(namespace);
    canary["spec"]["targetRef"]["kind"] = json!("DaemonSet");
    canary["spec"]["service"]["trafficPolicy"] = requests(LIMITS[0]);
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;

    shop.apply(&token("second")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    let copies = ["Secret", "ConfigMap"].map(|kind| (kind, format!("{}-primary", name_of(kind))));
    for (kind, copy) in &copies {
        ensure!(shop.get("v1", kind, copy).await?.is_some(), "the primary has no copy of the {kind}");
    }
    let secret = shop.get("v1", "Secret", &copies[0].1).await?.context("no copy")?;
    // base64 of `second`
    ensure!(secret.data["data"]["TOKEN"] == "c2Vjb25k", "the primary's Secret is not the new one");

    canary["spec"]["service"]["trafficPolicy"] = requests(LIMITS[1]);
    shop.apply(&canary).await?;
    for side in ["primary", "canary"] {
        wait::until(
            &format!("the limit of the {side} is the new one"),
            Duration::from_secs(30),
            async || {
                let rule = shop
                    .get("networking.istio.io/v1beta1", "DestinationRule", &format!("{NAME}-{side}"))
                    .await?;
                let rule = rule.with_context(|| format!("there is no rule for the {side}"))?;
                Ok(rule.data["spec"]["trafficPolicy"] == requests(LIMITS[1]))
            },
        )
        .await?;
    }

    shop.apply(&daemon(&Version::good("1.1.0"), false)).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    for (kind, copy) in &copies {
        wait::until(&format!("{kind} {copy} is gone"), Duration::from_secs(30), async || {
            Ok(shop.get("v1", kind, copy).await?.is_none())
        })
        .await?;
    }
    let primary = shop.get("apps/v1", "DaemonSet", PRIMARY).await?.context("there is no primary")?;
    let image = &primary.data["spec"]["template"]["spec"]["containers"][0]["image"];
    ensure!(image.as_str().is_some_and(|image| image.ends_with(":1.1.0")), "the primary runs {image}");
    ensure!(shop.shares_now().await? == [(100, 0)], "the shares are {:?}", shop.shares_now().await?);
    Ok(vec![format!("{}; two releases", Summary::of(&users.stop().await).none_lost()?)])
}

/// A Deployment with an autoscaler, whose limits the release changes: the primary's autoscaler follows with the promotion,
/// and the target's pods stay away after it.
pub async fn autoscaler(world: Arc<World>) -> Figures {
    let namespace = "shop-autoscaler";
    let shop = Shop::open(&world, namespace, &Version::good("1.0.0")).await?;
    shop.apply(&scaler(2, 3)).await?;
    let mut canary = quick(namespace);
    canary["spec"]["autoscalerRef"] =
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": NAME});
    shop.initialize(&canary).await?;
    let users = shop.users(40)?;
    shop.apply(&scaler(2, 5)).await?;
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    let of_primary = shop.get("autoscaling/v2", "HorizontalPodAutoscaler", PRIMARY).await?;
    let spec = of_primary.context("the primary has no autoscaler")?.data["spec"].clone();
    ensure!(spec["scaleTargetRef"]["name"] == PRIMARY, "it scales {}", spec["scaleTargetRef"]);
    ensure!(
        (&spec["minReplicas"], &spec["maxReplicas"]) == (&json!(2), &json!(5)),
        "the limits of the primary's autoscaler are {} and {}",
        spec["minReplicas"],
        spec["maxReplicas"]
    );
    ensure!(shop.replicas(PRIMARY).await? >= Some(2), "the primary has fewer pods than its autoscaler wants");
    Ok(vec![Summary::of(&users.stop().await).none_lost()?])
}

/// A Canary in one step, for good versions.
fn quick(namespace: &str) -> Value {
    let mut canary = shop::patient(shop::canary(namespace));
    canary["spec"]["analysis"]["stepWeight"] = json!(50);
    canary
}

/// The frontend as a DaemonSet. Its pods are replaced one after the other, each once its successor is ready.
fn daemon(version: &Version, reads: bool) -> Value {
    let mut daemon = shop::deployment(version);
    daemon["kind"] = json!("DaemonSet");
    let spec = &mut daemon["spec"];
    spec.as_object_mut().map(|spec| spec.remove("progressDeadlineSeconds"));
    spec["updateStrategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    let container = &mut spec["template"]["spec"]["containers"][0];
    container["envFrom"] = match reads {
        true => json!([
            {"secretRef": {"name": name_of("Secret")}},
            {"configMapRef": {"name": name_of("ConfigMap")}},
        ]),
        false => json!([]),
    };
    daemon
}

fn name_of(kind: &str) -> &'static str {
    if kind == "Secret" { "frontend-token" } else { "frontend-greeting" }
}

fn token(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name_of("Secret")}, "stringData": {"TOKEN": value}})
}

fn greeting() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name_of("ConfigMap")}, "data": {"MESSAGE": "hello"}})
}

fn requests(most: i64) -> Value {
    json!({"connectionPool": {"http": {"http2MaxRequests": most}}})
}

fn scaler(least: i64, most: i64) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": least, "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    })
}
