//! What a user would install: Istio, a gateway, Prometheus, and the chart under test, by the tools that a user has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::place::Place;
use crate::process;
use crate::tools::{self, Tool};

const GATEWAY: &str = include_str!("../manifests/gateway.yaml");
const PROMETHEUS: &str = include_str!("../manifests/prometheus.yaml");

/// The namespace of the mesh, of Prometheus and of the controller.
pub const SYSTEM: &str = "istio-system";
/// The release and the Deployment of the controller.
pub const CONTROLLER: &str = "vexil";

/// How long a deployment may take to become available on a busy machine.
const PATIENCE: &str = "--timeout=240s";

/// Istio with a stock Envoy as gateway, and Prometheus.
pub fn mesh(place: &Place) -> Result<()> {
    let started = Instant::now();
    let charts = tools::istio_charts();
    let crds = charts.join("base/files/crd-all.gen.yaml");
    kubectl(place, &["apply", "--server-side", "-f", path(&crds)?])?;
    kubectl_apply(place, &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {SYSTEM}}}\n"))?;
    let chart = charts.join("istiod");
    helm(
        place,
        &[
            "upgrade",
            "--install",
            "istiod",
            path(&chart)?,
            "--namespace",
            SYSTEM,
            "--set",
            "hub=harness,tag=1.31,autoscaleEnabled=false",
            // What a stock Envoy cannot do: keys from istiod's own agent, and Istio's exchange of peer metadata.
            "--set",
            "meshConfig.enableAutoMtls=false",
            "--set-string",
            "env.PILOT_ENABLE_METADATA_EXCHANGE=false",
        ],
    )?;
    kubectl_apply(place, PROMETHEUS)?;
    kubectl(place, &["-n", SYSTEM, "rollout", "status", "deployment/istiod", PATIENCE])?;
    // The Gateway object is checked by istiod's webhook, so istiod comes first.
    kubectl_apply(place, GATEWAY)?;
    for name in ["istio-ingressgateway", "prometheus"] {
        kubectl(place, &["-n", SYSTEM, "rollout", "status", &format!("deployment/{name}"), PATIENCE])?;
    }
    println!("istio, gateway, prometheus: up in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The controller by its chart, with the values that a user of a mesh sets.
pub fn controller(place: &Place, program: &Path, replicas: u32) -> Result<()> {
    let started = Instant::now();
    ensure!(
        program.is_file(),
        "there is no controller at {}: build it, or name one with --controller",
        program.display()
    );
    let name = program.file_name().context("the controller has no file name")?;
    let copy = place.root().join("programs").join(name);
    if let Some(folder) = copy.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Removed first: a program that runs cannot be written to.
    let _ = std::fs::remove_file(&copy);
    std::fs::copy(program, &copy)?;
    std::fs::write(place.controller(), path(&copy)?)?;
    install_chart(place, replicas)?;
    println!("{}: up in {:.1} s", name.display(), started.elapsed().as_secs_f64());
    Ok(())
}

fn install_chart(place: &Place, replicas: u32) -> Result<()> {
    let chart = root().join("deploy/charts/vexil");
    let leader = format!("leaderElection.enabled={},leaderElection.replicaCount={replicas}", replicas > 1);
    // The controller's pods have to come up under the strictest Pod Security Standard. What else lives in this
    // namespace is not ours, so that the rule holds for this while alone.
    let restricted = |label: &str| kubectl(place, &["label", "--overwrite", "namespace", SYSTEM, label]);
    restricted("pod-security.kubernetes.io/enforce=restricted")?;
    helm(
        place,
        &[
            "upgrade",
            "--install",
            CONTROLLER,
            path(&chart)?,
            "--namespace",
            SYSTEM,
            "--set",
            "meshProvider=istio",
            "--set",
            "metricsServer=http://prometheus.istio-system:9090",
            "--set",
            &leader,
            "--set",
            "logLevel=debug",
        ],
    )?;
    kubectl(place, &["-n", SYSTEM, "rollout", "status", &format!("deployment/{CONTROLLER}"), PATIENCE])?;
    restricted("pod-security.kubernetes.io/enforce-")?;
    Ok(())
}

/// Changes how many replicas the controller has; more than one elect a leader.
pub fn scale_controller(place: &Place, replicas: u32) -> Result<()> {
    ensure!(place.controller().is_file(), "the controller has not been installed");
    install_chart(place, replicas)
}

/// The controller's program: as told, or where a release build puts it.
pub fn program(told: Option<PathBuf>) -> PathBuf {
    told.or_else(|| std::env::var_os("E2E_CONTROLLER").map(PathBuf::from)).unwrap_or_else(|| {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        target.join("release/vexil")
    })
}

/// The top folder of the project.
pub fn root() -> PathBuf {
    std::env::var_os("E2E_ROOT")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), PathBuf::from)
}

pub fn kubectl(place: &Place, arguments: &[&str]) -> Result<String> {
    process::run_command(tool(place, Tool::Kubectl).args(arguments), None)
}

pub fn kubectl_apply(place: &Place, manifest: &str) -> Result<String> {
    process::run_command(
        tool(place, Tool::Kubectl).args(["apply", "--server-side", "-f", "-"]),
        Some(manifest),
    )
}

pub fn helm(place: &Place, arguments: &[&str]) -> Result<String> {
    process::run_command(tool(place, Tool::Helm).args(arguments), None)
}

fn tool(place: &Place, tool: Tool) -> Command {
    let mut command = Command::new(tool.path());
    command.env("KUBECONFIG", place.kubeconfig());
    command
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}
