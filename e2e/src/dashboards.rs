//! The dashboards of the chart `grafana`: each of their queries has to find something in what the runs have left in
//! Prometheus.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;

use crate::install::{self, SYSTEM};
use crate::runs::Figures;
use crate::wait;
use crate::world::World;

/// The dashboards whose series exist here: Vexil's own, and Istio's.
const FILES: [&str; 2] = ["vexil.json", "istio.json"];
/// What nobody tells here: there are no containers, and only the gateway has a proxy.
const UNTOLD: [&str; 2] = ["container_", "reporter=\"source\""];

// spec: 04/MO-04
/// Asks every query of the dashboards for what it would have shown of the last hour.
pub async fn answer(world: &World) -> Figures {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), SYSTEM);
    let found =
        wait::calmly(async || Ok(pods.list(&ListParams::default().labels("app=prometheus")).await?)).await?;
    let address = found.items.into_iter().find_map(|pod| pod.status?.pod_ip).context("no Prometheus")?;
    let prometheus = Prometheus {
        http: reqwest::Client::builder().no_proxy().build()?,
        url: format!("http://{address}:9090"),
    };
    let mut asked = 0;
    let mut silent = Vec::new();
    for file in FILES {
        let path = install::root().join("deploy/charts/grafana/dashboards").join(file);
        for (panel, query) in queries(&path)? {
            if UNTOLD.iter().any(|untold| query.contains(untold)) {
                continue;
            }
            asked += 1;
            let query = filled(&query);
            if !prometheus.has_anything(&query).await? {
                silent.push(format!("{file}, {panel}: {query}"));
            }
        }
    }
    ensure!(asked > 0, "the dashboards ask nothing");
    if !silent.is_empty() {
        bail!("queries of dashboards that find nothing:\n{}", silent.join("\n"));
    }
    Ok(vec![format!("{asked} queries of {} find something", FILES.join(" and "))])
}

/// The queries of a dashboard, with the titles of their panels.
fn queries(path: &Path) -> Result<BTreeSet<(String, String)>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let dashboard: Value = serde_json::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| {
        let title = panel["title"].as_str().unwrap_or_default();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.filter_map(move |target| Some((title.to_owned(), target["expr"].as_str()?.to_owned())))
    });
    Ok(targets.collect())
}

/// The query as Grafana would send it for a release of the runs.
fn filled(query: &str) -> String {
    // Dashboards that want one namespace are shown that of the first run.
    let any = |name: &str| format!("=~\"${name}\"");
    query
        .replace("$__rate_interval", "5m")
        .replace("=\"$namespace\"", "=~\"shop-.*\"")
        .replace(&any("namespace"), "=~\"shop-.*\"")
        .replace(&any("target"), "=~\".*\"")
        .replace(&any("primary"), "=~\".*-primary\"")
        .replace(&any("canary"), "=~\"[^-]+\"")
}

struct Prometheus {
    http: reqwest::Client,
    url: String,
}

impl Prometheus {
    async fn has_anything(&self, query: &str) -> Result<bool> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let parameters = [
            ("query", query.to_owned()),
            ("start", (now - HOUR.as_secs()).to_string()),
            ("end", now.to_string()),
            ("step", "10".to_owned()),
        ];
        let answer =
            self.http.get(format!("{}/api/v1/query_range", self.url)).query(&parameters).send().await?;
        let answer: Value = answer.json().await.with_context(|| format!("no answer to {query}"))?;
        ensure!(answer["status"] == "success", "{query}: {}", answer["error"]);
        // Without users there is no rate of success: 0 / 0 is no value.
        let series = answer["data"]["result"].as_array().into_iter().flatten();
        let mut values = series.flat_map(|series| series["values"].as_array().into_iter().flatten());
        Ok(values.any(|value| value[1].as_str().is_some_and(|text| text != "NaN")))
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variable_is_left_in_a_query() {
        for file in FILES {
            let path = install::root().join("deploy/charts/grafana/dashboards").join(file);
            for (panel, query) in queries(&path).expect("a dashboard") {
                let asked = filled(&query);
                assert!(
                    UNTOLD.iter().any(|untold| query.contains(untold)) || !asked.contains('$'),
                    "{panel}: {asked}"
                );
            }
        }
    }
}
