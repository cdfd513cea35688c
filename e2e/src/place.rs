//! Where a cluster keeps its files: one folder that holds everything a person may want to look at.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// `E2E_DIR`, or `/tmp/vexil-e2e`.
    pub fn from_env() -> Place {
        Place::at(std::env::var_os("E2E_DIR").map_or_else(|| PathBuf::from("/tmp/vexil-e2e"), PathBuf::from))
    }

    pub fn at(root: impl Into<PathBuf>) -> Place {
        Place { root: root.into() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folders.
    pub fn create(&self) -> Result<()> {
        for folder in
            [self.pki(), self.logs(), self.pids(), self.pods(), self.etcd(), self.work(), self.withdrawn()]
        {
            std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(())
    }

    pub fn pki(&self) -> PathBuf {
        self.root.join("pki")
    }

    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// One file a control-plane process, with its pid as seen inside.
    pub fn pids(&self) -> PathBuf {
        self.root.join("pids")
    }

    pub fn pid_of(&self, component: &str) -> PathBuf {
        self.pids().join(component)
    }

    /// What each pod has on disk: volumes and the roots of its containers.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    pub fn etcd(&self) -> PathBuf {
        self.root.join("etcd")
    }

    /// Files that the harness writes for tools (charts' values, rendered manifests).
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Which program stands for the controller's image.
    pub fn controller(&self) -> PathBuf {
        self.root.join("controller")
    }

    /// How the controller was installed.
    pub fn controller_note(&self) -> PathBuf {
        self.root.join("controller.json")
    }

    /// One file an image that the registry does not have any more, named as [`crate::node::images::file_of`] says.
    pub fn withdrawn(&self) -> PathBuf {
        self.root.join("withdrawn")
    }

    pub fn audit_log(&self) -> PathBuf {
        self.logs().join("audit.log")
    }

    /// The administrator's kubeconfig; only usable inside the namespace.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// Exists once the control plane serves; holds nothing.
    pub fn ready(&self) -> PathBuf {
        self.root.join("ready")
    }

    /// Exists once Istio, the gateway, Prometheus and the controller are installed.
    pub fn installed(&self) -> PathBuf {
        self.root.join("installed")
    }

    /// The pid, as seen from outside, of the process whose death ends the cluster.
    pub fn supervisor_pid(&self) -> PathBuf {
        self.root.join("supervisor.pid")
    }

    /// The log of the supervisor, which is also the progress that people see.
    pub fn supervisor_log(&self) -> PathBuf {
        self.logs().join("supervisor.log")
    }
}
