//! The load tester of a shop, as its users install it and people reach it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::install;
use crate::shop::{self, Shop};
use crate::wait;

const NAME: &str = "flagger-loadtester";
/// Where its load goes to.
pub const GATEWAY: &str = "http://istio-ingressgateway.istio-system/";

/// Where hooks find it.
pub fn address(shop: &Shop) -> String {
    format!("http://{NAME}.{}", shop.namespace)
}

/// Installs the load tester by its chart, or changes it. Each of `values` is one value as JSON, for `--set-json`.
pub async fn install(shop: &Shop, values: &[&str]) -> Result<()> {
    let place = shop.world.place.clone();
    let namespace = shop.namespace.clone();
    let chart = install::root().join("deploy/charts/loadtester");
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let chart = chart.to_str().context("the folder's name is not UTF-8")?;
        let mut arguments = vec!["upgrade", "--install", NAME, chart, "--namespace", &namespace];
        arguments.extend(["--set", "image.repository=vexil-loadtester,fullnameOverride=flagger-loadtester"]);
        arguments.extend(["--set", "load.hosts={istio-ingressgateway.istio-system}"]);
        for value in &values {
            arguments.extend(["--set-json", value]);
        }
        install::helm(&place, &arguments)
    })
    .await??;
    Ok(())
}

/// The load tester, as a person beside it reaches it.
pub struct Tester<'a> {
    shop: &'a Shop,
    url: String,
    http: reqwest::Client,
}

impl Tester<'_> {
    pub async fn of(shop: &Shop) -> Result<Tester<'_>> {
        shop.wait_rolled_out(NAME).await?;
        let service = shop.service(NAME).await?.context("the load tester has no Service")?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).context("its Service has no address")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Tester { shop, url: format!("http://{address}"), http })
    }

    /// Asks for the shop's Canary until there is an answer: the status.
    pub async fn post(&self, path: &str, token: Option<&str>) -> Result<u16> {
        let body = json!({"name": shop::NAME, "namespace": self.shop.namespace}).to_string();
        wait::some(&format!("{path} of the load tester answers"), Duration::from_secs(60), async || {
            let request = self.http.post(format!("{}{path}", self.url)).body(body.clone());
            let request = token.iter().fold(request, |request, token| request.bearer_auth(token));
            Ok(request.send().await.ok().map(|answer| answer.status().as_u16()))
        })
        .await
    }

    /// The value of a series; zero if there is none.
    pub async fn series(&self, name: &str) -> Result<f64> {
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
    pub async fn requests(&self) -> Result<f64> {
        let of = format!("name=\"{}\",namespace=\"{}\"", shop::NAME, self.shop.namespace);
        self.series(&format!("requests_total{{code=\"200\",{of}}}")).await
    }

    /// Puts another pod in the place of the one that runs.
    pub async fn replace(&self) -> Result<()> {
        kubectl(self.shop, &["rollout", "restart", &format!("deployment/{NAME}")]).await?;
        self.shop.wait_rolled_out(NAME).await
    }
}

/// What `kubectl` says in the shop's namespace.
pub async fn kubectl(shop: &Shop, arguments: &[&str]) -> Result<String> {
    let place = shop.world.place.clone();
    let mut all = vec!["-n".to_owned(), shop.namespace.clone()];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    tokio::task::spawn_blocking(move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        install::kubectl(&place, &all)
    })
    .await?
}
