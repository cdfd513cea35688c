//! Run 12, second part: hooks with commands, as users of Flagger's load tester have them. All load is that of `hey` and `wrk`,
//! `helm` and `kubectl` ask the cluster with the load tester's own rights, and in the end only who shows a token may call.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use super::tester::{self, Tester};
use super::{Figures, NotApplicable};
use crate::shop::{self, Shop, Version};
use crate::world::World;

const NAMESPACE: &str = "shop-commands";
const RELEASE: Duration = Duration::from_secs(400);

pub async fn run(world: Arc<World>) -> Figures {
    if !world.has_node {
        return Err(NotApplicable("it needs the image of the load tester".into()).into());
    }
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    let rules = json!([
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
    ]);
    let rights = format!("rbac={}", json!({"create": true, "rules": rules}));
    tester::install(&shop, &["cmd.allow=true", &rights]).await?;
    let tester = Tester::of(&shop).await?;

    let mut canary = shop::patient(shop::canary(NAMESPACE));
    let url = format!("{}/", tester::address(&shop));
    let (gateway, host) = (tester::GATEWAY, shop.host());
    let hook = |name: &str, when: &str, metadata| json!({"name": name, "type": when, "url": url, "timeout": "60s", "metadata": metadata});
    let analysis = &mut canary["spec"]["analysis"];
    analysis["stepWeight"] = json!(25);
    analysis["webhooks"] = json!([
        hook(
            "charts",
            "pre-rollout",
            json!({"type": "helm", "cmd": format!("list --short --namespace {NAMESPACE}")})
        ),
        hook(
            "target",
            "pre-rollout",
            json!({"type": "kubectl", "cmd": format!("get deployment frontend --namespace {NAMESPACE}")})
        ),
        hook(
            "hey",
            "rollout",
            json!({"cmd": format!("hey -z 15s -q 10 -c 2 -host {host} {gateway}"), "logCmdOutput": "true"})
        ),
        hook(
            "wrk",
            "rollout",
            json!({"type": "cmd", "cmd": format!("wrk -t1 -c2 -d10s -H 'Host: {host}' {gateway}")})
        ),
    ]);
    shop.initialize(&canary).await?;
    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    for hook in ["charts", "target"] {
        shop.expect_event(&format!("Pre-rollout check {hook} passed")).await?;
    }
    let ended = async |kind: &str| {
        tester.series(&format!("tasks_total{{outcome=\"succeeded\",type=\"{kind}\"}}")).await
    };
    let (loads, charts, targets) = (ended("cmd").await?, ended("helm").await?, ended("kubectl").await?);
    ensure!(
        loads >= 2.0 && charts == 1.0 && targets == 1.0,
        "{loads} loads, helm {charts}, kubectl {targets}"
    );

    let callers = callers(&shop).await?;
    Ok(vec![format!("promoted by {loads} loads of hey and wrk; helm and kubectl asked the cluster"), callers])
}

/// The load tester asks the API server whose token it is shown: its own namespace's is enough, another's or none is not.
async fn callers(shop: &Shop) -> Result<String> {
    tester::install(shop, &["auth.tokenReview.enabled=true"]).await?;
    let tester = Tester::of(shop).await?;
    let own = tester::kubectl(shop, &["create", "token", "default"]).await?;
    let other = tester::kubectl(shop, &["create", "token", "default", "-n", "default"]).await?;
    let open = async |token: Option<&str>| tester.post("/gate/open", token).await;
    let answers = (open(Some(own.trim())).await?, open(Some(other.trim())).await?, open(None).await?);
    let forged = open(Some("not.a.token")).await?;
    ensure!(answers == (202, 403, 401), "own token, another namespace's, none: {answers:?}");
    ensure!(forged == 401, "a forged token: {forged}");
    Ok("the API server's word on tokens: own namespace 202, another's 403, none 401".into())
}
