//! A cluster that listens, with an API in front of it that can be told to answer otherwise, and the program that looks
//! at it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response};
use kubesim::KubeSim;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use vexil::api::Provider;
use vexil::controller::clock::Clock;

const CONTROLLER: &str = include_str!("../../data/check/controller.yaml");
const SHOP: &str = include_str!("../../data/check/shop.yaml");
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is answered in place of the cluster, by method and path.
#[derive(Clone, Default)]
struct Orders {
    answers: Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    /// Verbs and resources that nobody may do.
    denied: Arc<Mutex<Vec<String>>>,
    /// The rights of another account that were asked for: verb, group, resource.
    asked: Arc<Mutex<BTreeSet<Right>>>,
}

type Right = (String, String, String);

/// A cluster in which all is well, until a test changes it.
pub struct Bench {
    pub kube: KubeSim,
    orders: Orders,
    pub home: PathBuf,
    pub url: String,
    task: tokio::task::AbortHandle,
}

impl Bench {
    /// With a controller and a Canary whose first revision serves.
    pub async fn open(name: &str) -> Self {
        let bench = Self::bare(name).await;
        bench.apply(&CONTROLLER.replace("NOW", &now()).replace("VERSION", VERSION));
        bench.apply(SHOP);
        for pod in ["vexil-1", "vexil-2"] {
            let leads = i32::from(pod == "vexil-1");
            bench.answer(&page(pod, "/readyz"), 200, "OK");
            bench.metrics(pod, &format!("vexil_leader {leads}\n"));
        }
        bench
    }

    /// With our CRDs, a mesh and a Prometheus alone.
    pub async fn bare(name: &str) -> Self {
        let kube = KubeSim::builder().without_workloads().build();
        for crd in vexil::api::crds::crds() {
            kube.put(serde_json::to_value(crd).expect("JSON"));
        }
        for crd in vexil::sim::crds(Provider::Istio) {
            kube.put(crd);
        }
        let orders = Orders::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (cluster, own) = (kube.clone(), orders.clone());
        let front = axum::Router::new()
            .fallback(move |request: Request<Body>| answer(cluster.clone(), own.clone(), request));
        let task = tokio::spawn(async move { drop(axum::serve(listener, front).await) }).abort_handle();
        let home =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a directory for the kubeconfig");
        let bench = Self { kube, orders, home, url, task };
        std::fs::write(bench.home.join("config"), kubeconfig(&bench.url)).expect("written");
        bench.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "vexil-system"}}));
        bench.put(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "prometheus", "namespace": "monitoring"},
            "spec": {"ports": [{"port": 9090}]},
        }));
        bench.prometheus("1");
        bench
    }

    fn apply(&self, yaml: &str) {
        for document in yaml.split("\n---\n") {
            self.put(serde_saphyr::from_str(document).expect("YAML"));
        }
    }

    pub fn put(&self, object: Value) {
        self.kube.put(object);
    }

    pub fn patch(&self, kind: &str, namespace: &str, name: &str, patch: Value) {
        let mut object = self.kube.get(kind, namespace, name).expect("an object to change");
        json_patch::merge(&mut object, &patch);
        self.kube.put(object);
    }

    pub fn patch_canary(&self, patch: Value) {
        self.patch("canaries.flagger.app", "shop", "frontend", patch);
    }

    pub fn patch_controller(&self, patch: Value) {
        self.patch("deploy", "vexil-system", "vexil", patch);
    }

    /// Changes the container of the controller.
    pub fn patch_container(&self, patch: &Value) {
        let mut object = self.kube.get("deploy", "vexil-system", "vexil").expect("the controller");
        json_patch::merge(&mut object["spec"]["template"]["spec"]["containers"][0], patch);
        self.kube.put(object);
    }

    pub fn patch_lease(&self, spec: Value) {
        self.patch("leases", "vexil-system", "flagger-leader-election", json!({"spec": spec}));
    }

    pub fn delete(&self, kind: &str, namespace: &str, name: &str) {
        assert!(self.kube.delete(kind, namespace, name), "{kind} {name} is there");
    }

    /// From now on a GET of `path` is answered so.
    pub fn answer(&self, path: &str, status: u16, body: &str) {
        let mut answers = self.orders.answers.lock().expect("no panic");
        answers.insert(path.to_owned(), (status, body.to_owned()));
    }

    /// As the API server answers itself.
    pub fn refuse(&self, path: &str, code: u16, message: &str) {
        let reason = if code == 404 { "NotFound" } else { "Forbidden" };
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "code": code,
        });
        self.answer(path, code, &status.to_string());
    }

    /// A list of objects, of a kind that the embedded cluster does not have.
    pub fn list(&self, path: &str, items: Value) {
        self.answer(
            path,
            200,
            &json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}).to_string(),
        );
    }

    /// Nobody may do this any more, `patch services`.
    pub fn deny(&self, right: &str) {
        self.orders.denied.lock().expect("no panic").push(right.to_owned());
    }

    /// Every query is answered with this value.
    pub fn prometheus(&self, value: &str) {
        let body = json!({
            "status": "success",
            "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1_767_225_600, value]}]},
        });
        self.answer(PROMETHEUS, 200, &body.to_string());
    }

    /// A pod shows these series beside those that are well.
    pub fn metrics(&self, pod: &str, more: &str) {
        let text = format!(
            "# TYPE x counter\nflagger_info{{mesh_provider=\"istio\",version=\"{VERSION}\"}} 1\n\
             vexil_api_requests_total{{code=\"200\",resource=\"canaries\",verb=\"watch\"}} 3\n\
             vexil_watch_up{{resource=\"canaries.flagger.app\"}} 1\n\
             vexil_events_total{{fate=\"written\"}} 2\n{more}"
        );
        self.answer(&page(pod, "/metrics"), 200, &text);
    }

    /// The rights of the controller's account that were asked for.
    pub fn asked(&self) -> BTreeSet<Right> {
        self.orders.asked.lock().expect("no panic").clone()
    }

    /// Runs the program with these arguments.
    pub fn vexil(&self, line: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vexil"));
        command.args(line.split(' ').filter(|word| !word.is_empty()));
        command.env("KUBECONFIG", self.home.join("config")).env("HOME", &self.home);
        command.env_remove("KUBERNETES_SERVICE_HOST");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        tokio::task::block_in_place(|| command.output().expect("vexil runs")).into()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

pub const PROMETHEUS: &str = "/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query";

/// The path of a pod's page behind the proxy.
pub fn page(pod: &str, path: &str) -> String {
    format!("/api/v1/namespaces/vexil-system/pods/{pod}:8080/proxy{path}")
}

/// The path of a CRD.
pub fn crd(name: &str) -> String {
    format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")
}

fn now() -> String {
    Clock::system().now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

pub fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: bench\nclusters: [{{name: c, cluster: {{server: '{url}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: bench, context: {{cluster: c, user: u}}}}]\n"
    )
}

async fn answer(kube: KubeSim, orders: Orders, request: Request<Body>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let json_answer = |status: u16, body: String| {
        let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
        Response::builder()
            .status(status)
            .header("content-type", kind)
            .body(Body::from(body))
            .expect("an answer")
    };
    let ordered = orders.answers.lock().expect("no panic").get(&path).cloned();
    if let Some((status, body)) = ordered {
        return json_answer(status, body);
    }
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.expect("a small request");
    if path.ends_with("accessreviews") {
        let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
        let asked = &review["spec"]["resourceAttributes"];
        let text = |field: &str| asked[field].as_str().unwrap_or_default();
        let right = format!("{} {}", text("verb"), text("resource"));
        if path.ends_with("/subjectaccessreviews") {
            let part = if text("subresource").is_empty() {
                String::new()
            } else {
                format!("/{}", text("subresource"))
            };
            let asked =
                (text("verb").to_owned(), text("group").to_owned(), text("resource").to_owned() + &part);
            orders.asked.lock().expect("no panic").insert(asked);
        }
        if orders.denied.lock().expect("no panic").contains(&right) {
            review["status"] = json!({"allowed": false});
            return json_answer(201, review.to_string());
        }
    }
    let request = Request::from_parts(parts, Body::from(body));
    match kube.service("vexil").oneshot(request).await {
        Ok(answer) => answer.map(Body::new),
        Err(_) => json_answer(502, String::new()),
    }
}

/// How the program ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The lines of the first finding with this mark and title: its own, and those below it.
    pub fn finding(&self, mark: &str, title: &str) -> Option<String> {
        let head = format!("{mark} {title}");
        let mut lines = self.out.lines().skip_while(|line| {
            !line.strip_prefix(&head).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ' ']))
        });
        let mut found = lines.next()?.to_owned();
        for line in lines.take_while(|line| line.starts_with("  ")) {
            found += "\n";
            found += line;
        }
        Some(found)
    }
}
