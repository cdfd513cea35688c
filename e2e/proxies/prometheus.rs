//! The Prometheus that scrapes Traefik.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use vexil_e2e::wait;

use crate::parts::{Part, free_port};

const UP: Duration = Duration::from_secs(60);

/// A Prometheus of its own.
pub struct Prometheus {
    port: u16,
    process: Part,
}

impl Prometheus {
    /// Starts one that asks these every second.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn start(program: &Path, folder: &Path, targets: &[SocketAddr]) -> Result<Prometheus> {
        let port = free_port()?;
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "traefik", "static_configs": [{"targets": targets}]}],
        });
        // JSON is YAML.
        std::fs::write(folder.join("prometheus.yml"), config.to_string())?;
        let arguments = [
            format!("--config.file={}", folder.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.join("prometheus-data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let process = Part::start("prometheus", program, &arguments, folder)?;
        let mut prometheus = Prometheus { port, process };
        let ready = format!("{}/-/ready", prometheus.url());
        wait::until("Prometheus is ready", UP, async || {
            ensure!(!prometheus.process.ended(), "Prometheus ended, see prometheus.log");
            Ok(reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()))
        })
        .await?;
        Ok(prometheus)
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The values of a label in what a query finds.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn labels(&self, query: &str, label: &str) -> Result<Vec<String>> {
        let url = format!("{}/api/v1/query", self.url());
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer: Value = client.get(url).query(&[("query", query)]).send().await?.json().await?;
        let found = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        Ok(found.iter().filter_map(|one| one["metric"][label].as_str().map(str::to_owned)).collect())
    }
}
