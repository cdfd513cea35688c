//! Traefik: how it is started, and which weights its traffic follows, as its own API tells.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use vexil_e2e::routes::{self, Held};
use vexil_e2e::wait;

use crate::parts::{Part, free_port};

/// How often Traefik is asked what it does.
const LOOK: Duration = Duration::from_millis(200);
const UP: Duration = Duration::from_secs(30);

/// A Traefik that serves routes of the cluster.
pub struct Traefik {
    /// Where users' requests go.
    pub web: SocketAddr,
    /// Where its API and its metrics are.
    pub admin: SocketAddr,
    held: Arc<Mutex<BTreeMap<String, Vec<Held>>>>,
    process: Mutex<Part>,
}

impl Traefik {
    /// Starts one on these ports with these providers, and waits until it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn start(
        name: &str,
        program: &Path,
        folder: &Path,
        web: u16,
        providers: &[String],
    ) -> Result<Traefik> {
        let local = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let (web, admin) = (local(web), local(free_port()?));
        let mut arguments = vec![
            format!("--entrypoints.web.address={web}"),
            format!("--entrypoints.traefik.address={admin}"),
        ];
        let always = [
            "--api.insecure=true",
            "--metrics.prometheus=true",
            "--global.checknewversion=false",
            "--global.sendanonymoususage=false",
            "--log.level=INFO",
            "--log.nocolor=true",
        ];
        arguments.extend(always.map(str::to_owned));
        arguments.extend_from_slice(providers);
        let process = Mutex::new(Part::start(name, program, &arguments, folder)?);
        let traefik = Traefik { web, admin, held: Arc::default(), process };
        wait::until(&format!("{name} answers"), UP, async || {
            ensure!(!traefik.ended(), "{name} ended, see {name}.log");
            Ok(traefik.services().await.is_ok())
        })
        .await?;
        Ok(traefik)
    }

    fn ended(&self) -> bool {
        self.process.lock().is_ok_and(|mut process| process.ended())
    }

    async fn services(&self) -> Result<Vec<Value>> {
        services(&client(), self.admin).await
    }

    /// Follows the weights from now on; times count from `start`. `namespaces` are those of which something is asked later.
    pub fn follow(&self, namespaces: Vec<String>, start: Instant) {
        let (held, admin) = (self.held.clone(), self.admin);
        tokio::spawn(async move {
            let client = client();
            loop {
                let asked = start.elapsed();
                if let Ok(services) = services(&client, admin).await {
                    let answered = start.elapsed();
                    let Ok(mut held) = held.lock() else { return };
                    for namespace in &namespaces {
                        let weights = routes::traefik_weights(&services, namespace);
                        routes::note(held.entry(namespace.clone()).or_default(), weights, asked, answered);
                    }
                }
                sleep(LOOK).await;
            }
        });
    }

    /// The weights of a namespace's canary so far.
    pub fn held(&self, namespace: &str) -> Vec<Held> {
        self.held.lock().ok().and_then(|held| held.get(namespace).cloned()).unwrap_or_default()
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap_or_default()
}

async fn services(client: &reqwest::Client, admin: SocketAddr) -> Result<Vec<Value>> {
    let answer = client.get(format!("http://{admin}/api/http/services?per_page=10000")).send().await?;
    answer
        .error_for_status()?
        .json()
        .await
        .context("Traefik's API gave something else than a list of services")
}
