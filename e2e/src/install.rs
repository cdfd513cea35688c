//! What a user would install: Istio, a gateway, Prometheus, and the chart under test, by the tools that a user has.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::tools::{self, Tool};
use crate::{pace, process};

const GATEWAY: &str = include_str!("../manifests/gateway.yaml");
const GATEWAY_API: &str = include_str!("../manifests/gateway-api.yaml");
const PROMETHEUS: &str = include_str!("../manifests/prometheus.yaml");

/// The meshes, beside Istio and Contour, whose kinds the cluster serves: their CRDs as their projects publish them, from
/// `tests/data/crds`. The Gateway API is served by istiod as well; its HTTPRoutes can have session persistence.
const MESHES: [&str; 8] =
    ["apisix", "appmesh", "gateway-api", "gateway-api-experimental", "gloo", "kuma", "smi", "traefik"];

/// The namespace of the mesh, of Prometheus and of the controller.
pub const SYSTEM: &str = "istio-system";
/// The release and the Deployment of the controller.
pub const CONTROLLER: &str = "vexil";

/// How long a deployment may take to become available.
const PATIENCE: Duration = Duration::from_secs(120);

/// Istio with a stock Envoy as gateway, and Prometheus.
pub fn mesh(place: &Place) -> Result<()> {
    let started = Instant::now();
    let charts = tools::istio_charts();
    let crds = charts.join("base/files/crd-all.gen.yaml");
    kubectl(place, &["apply", "--server-side", "-f", path(&crds)?])?;
    let meshes = MESHES.map(|mesh| root().join("tests/data/crds").join(format!("{mesh}.yaml")));
    for crds in meshes.into_iter().chain([tools::contour_manifests().join("01-crds.yaml")]) {
        // The experimental channel's HTTPRoute takes the place of the standard one's.
        kubectl(place, &["apply", "--server-side", "--force-conflicts", "-f", path(&crds)?])?;
    }
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
    let patience = format!("--timeout={}s", pace::stretched(PATIENCE).as_secs());
    kubectl(place, &["-n", SYSTEM, "rollout", "status", "deployment/istiod", &patience])?;
    // The Gateway object is checked by istiod's webhook, so istiod comes first.
    kubectl_apply(place, GATEWAY)?;
    kubectl_apply(place, GATEWAY_API)?;
    for name in ["istio-ingressgateway", "prometheus"] {
        kubectl(place, &["-n", SYSTEM, "rollout", "status", &format!("deployment/{name}"), &patience])?;
    }
    println!("istio, gateway, prometheus: up in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// A controller and how it is installed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Controller {
    pub program: PathBuf,
    /// Its own chart; ours if there is none.
    pub chart: Option<PathBuf>,
    /// Values for the chart, as `helm --set` takes them.
    pub values: Vec<String>,
    /// Files or folders of CRDs to apply before.
    pub crds: Vec<PathBuf>,
    /// The program says that it is Vexil.
    #[serde(default)]
    ours: bool,
}

impl Controller {
    /// A program that our chart installs.
    pub fn new(program: PathBuf) -> Controller {
        Controller { program, chart: None, values: Vec::new(), crds: Vec::new(), ours: false }
    }
}

/// The controller by its chart, with the values that a user of a mesh sets.
pub fn controller(place: &Place, controller: &Controller) -> Result<()> {
    let started = Instant::now();
    let program = expect_program(&controller.program)?;
    let name = program.file_name().context("the controller has no file name")?;
    let copy = place.root().join("programs").join(name);
    std::fs::create_dir_all(place.root().join("programs"))?;
    // Removed first: a program that runs cannot be written to.
    let _ = std::fs::remove_file(&copy);
    let _ = std::fs::remove_dir_all(&copy);
    process::run_command(Command::new("cp").arg("--archive").arg(program).arg(&copy), None)?;
    std::fs::write(place.controller(), path(&copy)?)?;
    let controller = Controller { ours: says_vexil(program), ..controller.clone() };
    std::fs::write(place.controller_note(), serde_json::to_string(&controller)?)?;
    for crds in &controller.crds {
        kubectl(place, &["apply", "--server-side", "--force-conflicts", "-f", path(crds)?])?;
    }
    install_chart(place, &controller, 1)?;
    println!("{}: up in {:.1} s", name.display(), started.elapsed().as_secs_f64());
    Ok(())
}

/// Whether the controller under test is Vexil. What is Vexil's alone is asked of no other.
pub fn is_ours(place: &Place) -> bool {
    installed(place).is_ok_and(|controller| controller.ours)
}

fn installed(place: &Place) -> Result<Controller> {
    let note =
        std::fs::read_to_string(place.controller_note()).context("the controller has not been installed")?;
    Ok(serde_json::from_str(&note)?)
}

fn says_vexil(program: &Path) -> bool {
    // A program that does not know the flag may go on for ever.
    let mut ask = Command::new("timeout");
    let program = if program.is_dir() { program.join("root/vexil") } else { program.to_owned() };
    ask.args(["--signal=KILL", "10"]).arg(program).arg("--version");
    process::run_command(&mut ask, None).is_ok_and(|text| text.starts_with("vexil "))
}

fn install_chart(place: &Place, controller: &Controller, replicas: u32) -> Result<()> {
    let chart = controller.chart.clone().unwrap_or_else(|| root().join("deploy/charts/vexil"));
    let mut values = vec![
        "image.repository=vexil".to_owned(),
        "meshProvider=istio".to_owned(),
        "metricsServer=http://prometheus.istio-system:9090".to_owned(),
        format!("leaderElection.enabled={},leaderElection.replicaCount={replicas}", replicas > 1),
        "logLevel=debug".to_owned(),
        // No right that no run needs: this cluster has neither KEDA nor Keptn.
        "rbac.autoscalers={HorizontalPodAutoscaler}".to_owned(),
        "rbac.metricProviders={externalmetrics}".to_owned(),
        // Those that a run is about: all but Knative.
        "rbac.meshes={alb,apisix,appmesh:v1beta2,contour,gatewayapi:v1,gloo,linkerd,kuma,nginx,osm,skipper,smi:v1alpha2,traefik}"
            .to_owned(),
    ];
    values.extend(controller.values.iter().cloned());
    let mut arguments = vec!["upgrade", "--install", CONTROLLER, path(&chart)?, "--namespace", SYSTEM];
    for value in &values {
        arguments.extend(["--set", value]);
    }
    // Our pods have to come up under the strictest Pod Security Standard. What else lives in this namespace is not ours, so
    // that the rule holds for this while alone.
    let label = "pod-security.kubernetes.io/enforce";
    let enforce = |value: &str| {
        kubectl(place, &["label", "--overwrite", "namespace", SYSTEM, &format!("{label}{value}")])
    };
    if controller.ours {
        enforce("=restricted")?;
    }
    helm(place, &arguments)?;
    let deployment = deployment(place)?;
    if !controller.ours && controller.chart.is_none() {
        // Nobody but Vexil answers there.
        let probe = r#"[{"op": "replace", "path": "/spec/template/spec/containers/0/readinessProbe/httpGet/path", "value": "/healthz"}]"#;
        kubectl(place, &["-n", SYSTEM, "patch", &deployment, "--type=json", "--patch", probe])?;
    }
    let patience = format!("--timeout={}s", pace::stretched(PATIENCE).as_secs());
    kubectl(place, &["-n", SYSTEM, "rollout", "status", &deployment, &patience])
        .with_context(|| format!("the controller does not come up; {}", what_pods_say(place)))?;
    if controller.ours {
        enforce("-")?;
    }
    Ok(())
}

/// The controller's Deployment, whatever its chart calls it.
fn deployment(place: &Place) -> Result<String> {
    let label = format!("app.kubernetes.io/instance={CONTROLLER}");
    let names = kubectl(place, &["-n", SYSTEM, "get", "deployments", "--selector", &label, "--output=name"])?;
    let first = names
        .lines()
        .next()
        .with_context(|| format!("the chart made no Deployment with the label {label}"))?;
    Ok(first.to_owned())
}

/// Why pods of the controller are not ready: warnings about them, and the ends of their logs.
fn what_pods_say(place: &Place) -> String {
    let only = "--output=custom-columns=ABOUT:.involvedObject.name,WHY:.message";
    let warnings = kubectl(
        place,
        &["-n", SYSTEM, "get", "events", "--field-selector=type=Warning", "--no-headers", only],
    );
    let mut said: Vec<String> =
        warnings.unwrap_or_default().lines().rev().take(3).map(str::to_owned).collect();
    let folders = std::fs::read_dir(place.logs().join("pods").join(SYSTEM)).into_iter().flatten().flatten();
    for folder in folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(CONTROLLER)) {
        for log in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let text = std::fs::read_to_string(log.path()).unwrap_or_default();
            let end: Vec<&str> = text.lines().rev().take(3).collect();
            said.push(format!(
                "{}: {}",
                log.path().display(),
                end.into_iter().rev().collect::<Vec<_>>().join(" / ")
            ));
        }
    }
    said.join("; ")
}

/// Changes how many replicas the controller has; more than one elect a leader.
pub fn scale_controller(place: &Place, replicas: u32) -> Result<()> {
    install_chart(place, &installed(place)?, replicas)
}

/// Makes sure that there is a controller: a program, or an image as `deploy/image/build` leaves it.
///
/// # Errors
/// There is neither.
pub fn expect_program(program: &Path) -> Result<&Path> {
    ensure!(
        program.is_file() || program.join("config.json").is_file() && program.join("root").is_dir(),
        "there is no controller at {}: build it, or name one with --controller",
        program.display()
    );
    Ok(program)
}

/// The controller: as told, or where a release build puts its program.
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

/// A path as an argument.
pub fn path(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}
