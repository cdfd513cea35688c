//! Run 12: the first tutorial. Nobody uses the shop: all of its traffic is the load tester's, which is installed by its chart,
//! tries the new version before any share of the traffic, and keeps the gate that a person opens.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Figures, NotApplicable};
use crate::install;
use crate::shop::{self, Shop, Version};
use crate::wait;
use crate::world::World;

const NAMESPACE: &str = "shop-tutorial";
const TESTER: &str = "flagger-loadtester";
const RELEASE: Duration = Duration::from_secs(400);

pub async fn run(world: Arc<World>) -> Figures {
    if !world.has_node {
        return Err(NotApplicable("it needs the image of the load tester".into()).into());
    }
    let shop = Shop::open(&world, NAMESPACE, &Version::good("1.0.0")).await?;
    install_tester(&world).await?;
    let tester = Tester::of(&shop).await?;

    let mut canary = shop::patient(shop::canary(NAMESPACE));
    let hooks = format!("http://{TESTER}.{NAMESPACE}");
    let analysis = &mut canary["spec"]["analysis"];
    analysis["stepWeight"] = json!(25);
    analysis["webhooks"] = json!([
        {"name": "approval", "type": "confirm-rollout", "url": format!("{hooks}/gate/check")},
        {
            "name": "acceptance-test", "type": "pre-rollout", "url": format!("{hooks}/"), "timeout": "30s",
            "metadata": {"task": "acceptance"},
        },
        {
            "name": "load-test", "type": "rollout", "url": format!("{hooks}/"), "timeout": "5s",
            "metadata": {
                "type": "load", "url": "http://istio-ingressgateway.istio-system/", "header.Host": shop.host(),
                "duration": "15s", "qps": "20",
            },
        },
    ]);
    shop.initialize(&canary).await?;

    shop.deploy(&Version::good("1.1.0")).await?;
    shop.wait_phase("Waiting", Duration::from_secs(60)).await?;
    shop.expect_event("waiting for approval approval").await?;
    ensure!(shop.replicas(shop::NAME).await? == Some(0), "the new version has pods before its approval");
    ensure!(tester.requests().await? == 0.0, "there was load before the approval");

    // What a person does: curl -d '{"name": …}' http://flagger-loadtester.shop-tutorial/gate/open
    tester.open().await?;
    shop.wait_phase("Succeeded", RELEASE).await?;
    shop.expect_at_rest("1.1.0").await?;
    shop.expect_event("Pre-rollout check acceptance-test passed").await?;
    for weight in [25, 50] {
        shop.expect_event(&format!("Advance frontend.{NAMESPACE} canary weight {weight}")).await?;
    }
    let requests = tester.requests().await?;
    let p99 = tester.series(&format!("load_latency_seconds{{{OF},quantile=\"0.99\"}}")).await?;
    let succeeded = tester.series(&format!("load_success_percent{{{OF}}}")).await?;
    ensure!(requests > 0.0, "no load was made");
    ensure!(succeeded == 100.0, "{succeeded} % of the last load succeeded");

    // A gate stays open, and is kept by the cluster: another pod of the load tester knows of it.
    tester.replace().await?;
    ensure!(tester.check().await? == 200, "after a restart the gate is closed");
    Ok(vec![
        format!("promoted by {requests} requests of the load tester, p99 {:.0} ms", p99 * 1000.0),
        "no pod of the new version before a person opened the gate; the gate outlives its pod".into(),
    ])
}

/// What the load tester says of the shop's Canary.
const OF: &str = "name=\"frontend\",namespace=\"shop-tutorial\"";

/// Installs the load tester as its users do.
async fn install_tester(world: &World) -> Result<()> {
    let place = world.place.clone();
    let tasks = json!({"acceptance": {"metadata": {
        "type": "bash", "cmd": "curl -sf http://$CANARY_NAME-canary.$CANARY_NAMESPACE/ > /dev/null",
    }}});
    let chart = install::root().join("deploy/charts/loadtester");
    tokio::task::spawn_blocking(move || {
        let chart = chart.to_str().context("the folder's name is not UTF-8")?;
        let tasks = format!("tasks={tasks}");
        install::helm(
            &place,
            &[
                "upgrade",
                "--install",
                TESTER,
                chart,
                "--namespace",
                NAMESPACE,
                "--set",
                "image.repository=vexil-loadtester,fullnameOverride=flagger-loadtester",
                "--set",
                "load.hosts={istio-ingressgateway.istio-system}",
                "--set-json",
                &tasks,
            ],
        )
    })
    .await??;
    Ok(())
}

/// The load tester, as a person beside it reaches it.
struct Tester<'a> {
    shop: &'a Shop,
    url: String,
    http: reqwest::Client,
}

impl Tester<'_> {
    async fn of(shop: &Shop) -> Result<Tester<'_>> {
        shop.wait_rolled_out(TESTER).await?;
        let service = shop.service(TESTER).await?.context("the load tester has no Service")?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("its Service has no address")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Tester { shop, url: format!("http://{address}"), http })
    }

    /// Asks until there is an answer: the status.
    async fn post(&self, path: &str) -> Result<u16> {
        let body = json!({"name": shop::NAME, "namespace": NAMESPACE}).to_string();
        wait::some(&format!("{path} of the load tester answers"), Duration::from_secs(60), async || {
            let sent = self.http.post(format!("{}{path}", self.url)).body(body.clone()).send().await;
            Ok(sent.ok().map(|answer| answer.status().as_u16()))
        })
        .await
    }

    async fn open(&self) -> Result<()> {
        let status = self.post("/gate/open").await?;
        ensure!(status == 202, "the gate's answer is {status}");
        Ok(())
    }

    async fn check(&self) -> Result<u16> {
        self.post("/gate/check").await
    }

    /// The value of a series; zero if there is none.
    async fn series(&self, name: &str) -> Result<f64> {
        let text = wait::some("the load tester shows its metrics", Duration::from_secs(60), async || {
            let Ok(answer) = self.http.get(format!("{}/metrics", self.url)).send().await else {
                return Ok(None);
            };
            Ok(answer.text().await.ok())
        })
        .await?;
        let wanted = format!("vexil_loadtester_{name} ");
        let found = text.lines().find_map(|line| line.strip_prefix(&wanted)?.trim().parse().ok());
        Ok(found.unwrap_or_default())
    }

    /// Requests that were answered well.
    async fn requests(&self) -> Result<f64> {
        self.series(&format!("requests_total{{code=\"200\",{OF}}}")).await
    }

    /// Puts another pod in the place of the one that runs.
    async fn replace(&self) -> Result<()> {
        let place = self.shop.world.place.clone();
        tokio::task::spawn_blocking(move || {
            install::kubectl(
                &place,
                &["-n", NAMESPACE, "rollout", "restart", &format!("deployment/{TESTER}")],
            )
        })
        .await??;
        self.shop.wait_rolled_out(TESTER).await
    }
}
