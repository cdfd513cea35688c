//! The controller's own program, which can be killed and started again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::Mutex;
use vexil_e2e::wait;

use crate::parts::{Part, free_port};

const UP: Duration = Duration::from_secs(60);

/// The controller of the cluster.
pub struct Controller {
    program: PathBuf,
    arguments: Vec<String>,
    port: u16,
    folder: PathBuf,
    process: Mutex<Option<Part>>,
}

impl Controller {
    /// One that works on this cluster and asks this Prometheus; it is not started yet.
    ///
    /// # Errors
    /// There is no port for it.
    pub fn new(program: &Path, kubeconfig: &Path, prometheus: &str, folder: &Path) -> Result<Controller> {
        let port = free_port()?;
        let arguments = [
            "controller".to_owned(),
            format!("-kubeconfig={}", kubeconfig.display()),
            "-mesh-provider=kubernetes".to_owned(),
            format!("-metrics-server={prometheus}"),
            format!("-port={port}"),
        ];
        Ok(Controller {
            program: program.to_owned(),
            arguments: arguments.into(),
            port,
            folder: folder.to_owned(),
            process: Mutex::new(None),
        })
    }

    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// It does not become ready.
    pub async fn start(&self) -> Result<()> {
        let part = Part::start("controller", &self.program, &self.arguments, &self.folder)?;
        let mut process = self.process.lock().await;
        let part = process.insert(part);
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        let client = reqwest::Client::builder().no_proxy().build().context("no HTTP client")?;
        wait::until("the controller is ready", UP, async || {
            ensure!(!part.ended(), "the controller ended, see controller.log");
            Ok(client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()))
        })
        .await
    }

    /// Kills it, as the machine under it would by going away.
    pub async fn kill(&self) {
        drop(self.process.lock().await.take());
    }
}
