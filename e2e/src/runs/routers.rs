//! Every router on the real API server, under the CRDs that its project publishes: the objects that it writes are taken
//! without a loss, carry the weights that the release is at, and go with the Canary. No proxy reads them here.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::Figures;
use crate::install;
use crate::shop::{NAME, Shop, Version};
use crate::wait;
use crate::world::{Seen, World, resource};

/// How many releases go on side by side.
const TOGETHER: usize = 5;
const RELEASE: Duration = Duration::from_secs(240);
/// A router whose objects lose something at each write would write them again and again.
const MOST_VERSIONS: usize = 16;

/// An example of `examples/`, and the kinds whose objects its router writes.
struct Example {
    file: &'static str,
    kinds: &'static [(&'static str, &'static str)],
}

const APISIX: &[(&str, &str)] = &[("apisix.apache.org/v2", "ApisixRoute")];
const APP_MESH: &[(&str, &str)] = &[
    ("appmesh.k8s.aws/v1beta2", "VirtualRouter"),
    ("appmesh.k8s.aws/v1beta2", "VirtualNode"),
    ("appmesh.k8s.aws/v1beta2", "VirtualService"),
];
const CONTOUR: &[(&str, &str)] = &[("projectcontour.io/v1", "HTTPProxy")];
const GATEWAY_API: &[(&str, &str)] = &[("gateway.networking.k8s.io/v1", "HTTPRoute")];
const GLOO: &[(&str, &str)] = &[("gateway.solo.io/v1", "RouteTable"), ("gloo.solo.io/v1", "Upstream")];
const INGRESS: &[(&str, &str)] = &[("networking.k8s.io/v1", "Ingress")];
const KUMA: &[(&str, &str)] = &[("kuma.io/v1alpha1", "TrafficRoute")];
const SMI: &[(&str, &str)] = &[("split.smi-spec.io/v1alpha2", "TrafficSplit")];
const TRAEFIK: &[(&str, &str)] = &[("traefik.io/v1alpha1", "TraefikService")];

const EXAMPLES: &[Example] = &[
    Example { file: "alb/weighted", kinds: INGRESS },
    Example { file: "alb/ab", kinds: INGRESS },
    Example { file: "apisix/weighted", kinds: APISIX },
    Example { file: "appmesh/weighted", kinds: APP_MESH },
    Example { file: "appmesh/ab", kinds: APP_MESH },
    Example { file: "contour/weighted", kinds: CONTOUR },
    Example { file: "contour/ab", kinds: CONTOUR },
    Example { file: "gatewayapi/ab", kinds: GATEWAY_API },
    Example { file: "gatewayapi/mirroring", kinds: GATEWAY_API },
    Example { file: "gatewayapi/session-affinity", kinds: GATEWAY_API },
    Example { file: "gloo/weighted", kinds: GLOO },
    Example { file: "gloo/ab", kinds: GLOO },
    Example { file: "kuma/weighted", kinds: KUMA },
    Example { file: "linkerd/weighted", kinds: SMI },
    Example { file: "nginx/weighted", kinds: INGRESS },
    Example { file: "nginx/ab", kinds: INGRESS },
    Example { file: "osm/weighted", kinds: SMI },
    Example { file: "skipper/weighted", kinds: INGRESS },
    Example { file: "smi/weighted", kinds: SMI },
    Example { file: "traefik/weighted", kinds: TRAEFIK },
];

/// A release from start to end by each example.
pub async fn run(world: Arc<World>) -> Figures {
    // Those of the Gateway API are remembered anyway.
    let kinds: BTreeSet<_> = EXAMPLES.iter().flat_map(|example| example.kinds).copied().collect();
    world.remember(kinds.into_iter().filter(|kind| !GATEWAY_API.contains(kind)));
    let contour = tokio::spawn(stand_in_for_contour(world.clone()));
    let figures: Vec<String> = stream::iter(EXAMPLES)
        .map(|example| {
            let world = world.clone();
            async move {
                release(&world, example).await.with_context(|| format!("examples/{}.yaml", example.file))
            }
        })
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await?;
    contour.abort();
    Ok(vec![format!("{} examples released: {}", figures.len(), figures.join("; "))])
}

async fn release(world: &Arc<World>, example: &Example) -> Result<String> {
    let namespace = format!("router-{}", example.file.replace('/', "-"));
    let shop = Shop::open(world, &namespace, &Version::good("1.0.0")).await?;
    let mut canary = Value::Null;
    for mut object in objects(example)? {
        object["metadata"]["namespace"] = json!(namespace);
        match object["kind"].as_str() {
            Some("Deployment") => {}
            Some("Canary") => canary = quick(object, &namespace),
            // It leads from Gloo's gateway to the RouteTable, and concerns no router.
            Some("VirtualService") if object["apiVersion"] == "gateway.solo.io/v1" => {}
            _ => shop.apply(&object).await?,
        }
    }
    // Requests that match, and users who have seen the new version, all go to the canary.
    let analysis = &canary["spec"]["analysis"];
    let is_matched = analysis["match"].is_array() || analysis["sessionAffinity"].is_object();
    shop.initialize(&canary).await?;
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_release("Succeeded", RELEASE).await?;
    let image = shop.image(&format!("{NAME}-primary")).await?;
    ensure!(image.ends_with(":1.1.0"), "the primary runs {image}");
    let troubles: Vec<String> = shop.events().await?.into_iter().filter(|event| is_trouble(event)).collect();
    ensure!(troubles.is_empty(), "{}", troubles.join(" | "));

    let seen: Vec<i64> = shares(&shop, example);
    let wanted: &[i64] = if is_matched { &[100, 0] } else { &[20, 40, 0] };
    ensure!(
        is_subsequence(wanted, &seen),
        "the canary's shares in the objects were {seen:?}, and not {wanted:?}"
    );
    for (_, kind) in example.kinds {
        for (name, versions) in histories(&shop, kind) {
            ensure!(versions.len() <= MOST_VERSIONS, "{kind} {name} was written {} times", versions.len());
        }
    }

    put_right(&shop, example).await?;

    shop.delete("flagger.app/v1beta1", "Canary", NAME).await?;
    wait::until("what the release needed is gone", Duration::from_secs(120), async || {
        let primary = shop.deployment(&format!("{NAME}-primary")).await?;
        Ok(primary.is_none() && example.kinds.iter().all(|(_, kind)| leads_nowhere(&shop, kind)))
    })
    .await?;
    Ok(format!("{} {seen:?}", example.file))
}

/// The objects of an example, in order.
fn objects(example: &Example) -> Result<Vec<Value>> {
    let path = install::root().join(format!("examples/{}.yaml", example.file));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", shown(&path)))?;
    let documents = text.split("\n---\n").map(serde_saphyr::from_str::<Value>);
    documents.collect::<Result<_, _>>().with_context(|| shown(&path))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The example's Canary as it is, but quick, and without checks: no proxy counts requests here.
fn quick(mut canary: Value, namespace: &str) -> Value {
    if canary["spec"]["service"]["gatewayRefs"].is_array() {
        canary["spec"]["service"]["gatewayRefs"] = json!([{"name": "shops", "namespace": "istio-system"}]);
        canary["spec"]["service"]["hosts"] = json!([format!("{namespace}.example.com")]);
    }
    let analysis = &mut canary["spec"]["analysis"];
    analysis["interval"] = json!("10s");
    analysis["metrics"] = json!([]);
    analysis["webhooks"] = json!([]);
    if analysis["iterations"].is_number() {
        analysis["iterations"] = json!(2);
    } else {
        analysis["stepWeight"] = json!(20);
        analysis["maxWeight"] = json!(40);
    }
    canary["spec"]["progressDeadlineSeconds"] = json!(600);
    canary["spec"]["revertOnDeletion"] = json!(true);
    canary
}

/// Objects that no release changes: somebody else does, and it is put right.
fn strayed(namespace: &str, example: &Example) -> Vec<(&'static str, &'static str, String, Value)> {
    let (node, service, upstream) = (APP_MESH[1], APP_MESH[2], GLOO[1]);
    match example.file {
        "appmesh/weighted" => vec![
            (
                node.0,
                node.1,
                format!("{NAME}-primary"),
                json!({"serviceDiscovery": {"dns": {"hostname": "elsewhere"}}}),
            ),
            (
                service.0,
                service.1,
                NAME.to_owned(),
                json!({"provider": {"virtualRouter": {"virtualRouterRef": {"name": "elsewhere"}}}}),
            ),
        ],
        "gloo/weighted" => {
            let name = format!("{namespace}-{NAME}-primaryupstream-80");
            vec![(upstream.0, upstream.1, name, json!({"kube": {"serviceName": "elsewhere"}}))]
        }
        _ => Vec::new(),
    }
}

async fn put_right(shop: &Shop, example: &Example) -> Result<()> {
    for (api_version, kind, name, spec) in strayed(&shop.namespace, example) {
        let api = shop.world.api(api_version, kind, &shop.namespace);
        let patch = Patch::Merge(json!({"spec": spec}));
        api.patch(&name, &PatchParams::default(), &patch).await.with_context(|| format!("{kind} {name}"))?;
        wait::until(&format!("{kind} {name} is put right"), Duration::from_secs(60), async || {
            let object = shop
                .get(api_version, kind, &name)
                .await?
                .with_context(|| format!("{kind} {name} is gone"))?;
            Ok(!object.data["spec"].to_string().contains("elsewhere"))
        })
        .await?;
    }
    Ok(())
}

/// Contour says of each HTTPProxy whether it is valid, and a release waits for it.
async fn stand_in_for_contour(world: Arc<World>) {
    let all = Api::<DynamicObject>::all_with(world.client.clone(), &resource(CONTOUR[0].0, CONTOUR[0].1));
    loop {
        let proxies = all.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
        for proxy in proxies.iter().filter(|proxy| proxy.data["status"]["currentStatus"] != "valid") {
            let one = world.api(CONTOUR[0].0, CONTOUR[0].1, &proxy.namespace().unwrap_or_default());
            let valid = json!({"status": {"currentStatus": "valid", "description": "Valid HTTPProxy"}});
            // One that has just gone or been written is looked at again.
            let _ = one.patch_status(&proxy.name_any(), &PatchParams::default(), &Patch::Merge(valid)).await;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Whether an event tells of a write that was not taken as it is. In the first seconds after its CRD was made the API server
/// has not heard of the Canary's kind everywhere, and asks to be asked again.
fn is_trouble(event: &str) -> bool {
    let troubles = ["invalid", "refuses", "forbidden", "unknown field", "cannot be written", "denied"];
    troubles.iter().any(|word| event.contains(word)) && !event.contains("cannot find RESTMapping")
}

/// The shares that the canary had in the objects since the release began, each named once.
fn shares(shop: &Shop, example: &Example) -> Vec<i64> {
    let mut seen: Vec<_> = example
        .kinds
        .iter()
        .flat_map(|(_, kind)| histories(shop, kind))
        .flat_map(|(_, versions)| versions)
        .collect();
    seen.sort_by_key(|seen| seen.at);
    let mut shares: Vec<i64> =
        seen.iter().filter_map(|seen| share(seen.object.as_ref()?)).map(|share| share.min(100)).collect();
    shares.dedup();
    shares
}

fn histories(shop: &Shop, kind: &'static str) -> Vec<(String, Vec<Arc<Seen>>)> {
    // Kuma's routes are in no namespace; theirs is in the name of the Services.
    let namespace = if kind == "TrafficRoute" { "" } else { &shop.namespace };
    shop.world.histories(kind, namespace).into_iter().collect()
}

fn leads_nowhere(shop: &Shop, kind: &'static str) -> bool {
    let last = |versions: &[Arc<Seen>]| versions.last().and_then(|seen| seen.object.clone());
    histories(shop, kind)
        .iter()
        .filter_map(|(_, versions)| last(versions))
        .all(|object| share(&object).is_none_or(|share| share == 0))
}

/// The canary's share in an object of any mesh; `None` if it says nothing of one.
fn share(object: &Value) -> Option<i64> {
    let annotations = &object["metadata"]["annotations"];
    let nginx = "nginx.ingress.kubernetes.io/";
    if object["kind"] == "Ingress" && annotations[format!("{nginx}canary")] == "true" {
        let by_header = annotations.get(format!("{nginx}canary-by-header")).is_some();
        let weight = annotations[format!("{nginx}canary-weight")].as_str().and_then(|text| text.parse().ok());
        return weight.or(by_header.then_some(100)).or(Some(0));
    }
    if let Some(text) = annotations["zalando.org/backend-weights"].as_str() {
        let weights: Value = serde_json::from_str(text).ok()?;
        return weights.as_object()?.iter().find(|(name, _)| is_canary(name))?.1.as_i64();
    }
    let actions: Vec<Value> = ["frontend-match", "frontend"]
        .iter()
        .filter_map(|action| {
            let text = annotations[format!("alb.ingress.kubernetes.io/actions.{action}")].as_str()?;
            serde_json::from_str(text).ok()
        })
        .collect();
    if !actions.is_empty() {
        return actions.iter().flat_map(weights).max().or(Some(0));
    }
    let spec = object.get("spec")?;
    // Some routers take the canary out where it gets nothing.
    let primary_alone = || spec.to_string().contains("frontend-primary").then_some(0);
    weights(spec).into_iter().max().or_else(primary_alone)
}

/// The weights of everything in `value` that leads to the canary. What leads there without a weight gets all.
fn weights(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(items) => items.iter().flat_map(weights).collect(),
        // The first version of SMI writes quantities.
        Value::Object(fields) => match fields
            .get("weight")
            .and_then(|weight| weight.as_i64().or_else(|| weight.as_str()?.parse().ok()))
        {
            Some(weight) if mentions(value) => vec![weight],
            Some(_) => Vec::new(),
            None => fields.values().flat_map(weights).collect(),
        },
        _ => Vec::new(),
    }
}

fn mentions(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(mentions),
        Value::Object(fields) => fields.values().any(mentions),
        Value::String(text) => is_canary(text),
        _ => false,
    }
}

fn is_canary(name: &str) -> bool {
    name.contains("frontend-canary")
}

fn is_subsequence(wanted: &[i64], seen: &[i64]) -> bool {
    let mut seen = seen.iter();
    wanted.iter().all(|share| seen.any(|other| other == share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_there_and_has_a_canary() {
        for example in EXAMPLES {
            let objects = objects(example).expect("an example that can be read");
            assert!(objects.iter().any(|object| object["kind"] == "Canary"), "{}", example.file);
        }
    }

    #[test]
    fn a_share_is_read_wherever_a_weight_stands_beside_the_canarys_name() {
        let split = json!({"spec": {"backends": [
            {"service": "frontend-primary", "weight": 80}, {"service": "frontend-canary", "weight": 20},
        ]}});
        assert_eq!(share(&split), Some(20));
        let nested = json!({"spec": {"routes": [{"routeAction": {"multi": {"destinations": [
            {"destination": {"upstream": {"name": "shop-frontend-canaryupstream-80"}}, "weight": 5},
        ]}}}]}});
        assert_eq!(share(&nested), Some(5));
        assert_eq!(share(&json!({"spec": {"backends": [{"service": "other", "weight": 1}]}})), None);
        let ingress = json!({"kind": "Ingress", "metadata": {"annotations": {
            "nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "40",
        }}});
        assert_eq!(share(&ingress), Some(40));
        let action = json!({"type": "forward", "forwardConfig": {"targetGroups": [
            {"serviceName": "frontend-primary", "weight": 70}, {"serviceName": "frontend-canary", "weight": 30},
        ]}});
        let key = "alb.ingress.kubernetes.io/actions.frontend";
        let balanced = json!({"kind": "Ingress", "metadata": {"annotations": {key: action.to_string()}}});
        assert_eq!(share(&balanced), Some(30));
    }
}
