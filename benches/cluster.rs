//! The controller as users run it, in a process of its own, over a socket, beside thousands of Canaries on the embedded
//! cluster: what it costs to take them in, to do nothing, to bear with other people's objects, to notice a push.
//!
//! ```console
//! make bench-cluster CANARIES=1000 FOREIGN=5000
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kubesim::{KubeSim, PodRules};
use serde_json::{Value, json};
use tokio::time::Instant;
use vexil::controller::clock::Clock;
use vexil::sim::World;

/// Canaries in one namespace.
const PER_NAMESPACE: usize = 50;
const PATIENCE: Duration = Duration::from_secs(1800);

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let (canaries, foreign) = (number("CANARIES", 1000), number("FOREIGN", 5000));
    vexil::http::install_tls_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(canaries, foreign));
}

async fn measure(canaries: usize, foreign: usize) {
    let world = World::builder().start(Clock::system().now()).build();
    world.kube.set_pod_rules(PodRules::default());
    for namespace in 0..canaries.div_ceil(PER_NAMESPACE) {
        let name = format!("team-{namespace}");
        world.kube.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
    println!("{canaries} Canaries, {foreign} objects of others");
    let listening = world.kube.listen(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let folder = std::env::temp_dir().join(format!("vexil-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let kubeconfig = folder.join("kubeconfig");
    std::fs::write(&kubeconfig, listening.kubeconfig()).expect("a file");

    let started = Instant::now();
    let mut controller = Process::start(&kubeconfig, &folder.join("first.log"));
    controller.until_ready().await;
    println!("{:<52} {:>9.2} s", "start, with an empty cluster", started.elapsed().as_secs_f64());
    let empty = controller.cost().await;

    for n in 0..canaries {
        for object in application(n) {
            world.kube.put(object);
        }
    }
    until(&world.kube, canaries, |canary| canary["status"]["phase"] == "Initialized").await;
    settled(&mut controller).await;
    let taken_in = controller.cost().await;
    per(&taken_in.since(&empty), canaries, "initialise");
    println!("{:<52} {:>9.1} MiB", "resident", taken_in.resident);

    tokio::time::sleep(Duration::from_secs(30)).await;
    let rested = controller.cost().await;
    println!("{:<52} {:>9}", "requests of all at rest in 30 s", rested.since(&taken_in).requests);
    println!("{:<52} {:>9.2} s", "CPU of all at rest in 30 s", rested.since(&taken_in).cpu);

    let pushed = Instant::now();
    let at = canaries / 2;
    let (namespace, name) = names(at);
    world.set_image(&namespace, &name, "registry.example.com/app:2");
    while world.phase(&namespace, &name) != "Progressing" && pushed.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!("{:<52} {:>9.3} s", "push to \"New revision detected\"", pushed.elapsed().as_secs_f64());
    settled(&mut controller).await;

    let before = controller.cost().await;
    for n in 0..foreign {
        world.kube.put(others(n, 0));
    }
    settled(&mut controller).await;
    let after = controller.cost().await;
    let grown = after.resident - before.resident;
    println!("{:<52} {:>9.1} MiB", format!("{foreign} objects of others take"), grown);
    for n in 0..10_000 {
        world.kube.put(others(n % foreign.max(1), n + 1));
    }
    settled(&mut controller).await;
    let churned = controller.cost().await;
    println!("{:<52} {:>9.2} s", "CPU for 10,000 changes of others", churned.since(&after).cpu);
    println!("{:<52} {:>9}", "requests for them", churned.since(&after).requests);
    println!("{:<52} {:>9.1} MiB", "resident", churned.resident);
    drop(controller);

    let started = Instant::now();
    let mut controller = Process::start(&kubeconfig, &folder.join("second.log"));
    controller.until_ready().await;
    while controller.metric("flagger_canary_status").await < canaries as f64 && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let all = started.elapsed();
    let cost = controller.cost().await;
    println!("{:<52} {:>9.2} s", "cold start until all are looked at", all.as_secs_f64());
    println!("{:<52} {:>9.2} s", "its CPU", cost.cpu);
    println!("{:<52} {:>9}", "its requests", cost.requests);
    settled(&mut controller).await;
    let cost = controller.cost().await;
    println!("{:<52} {:>9.1} MiB", "resident after it", cost.resident);
    println!("{:<52} {:>9.1} MiB", "most at any time", cost.peak);
    drop(controller);
    // What is left is small.
    let _ = std::fs::remove_dir_all(&folder);
}

fn per(cost: &Cost, canaries: usize, what: &str) {
    let each = |value: f64| value / canaries.max(1) as f64;
    println!("{:<52} {:>9.2} ms", format!("CPU to {what} a Canary"), each(cost.cpu) * 1000.0);
    println!("{:<52} {:>9.2}", format!("requests to {what} a Canary"), each(cost.requests as f64));
    println!("{:<52} {:>9}", "conflicts among them", cost.conflicts);
}

fn names(n: usize) -> (String, String) {
    (format!("team-{}", n / PER_NAMESPACE), format!("app-{n}"))
}

/// A Deployment of some 7 KB, as charts make them, and its Canary.
fn application(n: usize) -> [Value; 2] {
    let (namespace, name) = names(n);
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "service": {"port": 80, "targetPort": 8080, "hosts": [format!("{name}.example.com")]},
            "analysis": {"interval": "1m", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        },
    });
    [deployment(&namespace, &name, 1), canary]
}

fn deployment(namespace: &str, name: &str, version: usize) -> Value {
    let env: Vec<Value> = (0..60)
        .map(|n| json!({"name": format!("SETTING_{n}"), "value": format!("https://{name}.example.com/settings/{n}")}))
        .collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "app", "image": format!("registry.example.com/app:{version}"),
                    "ports": [{"name": "http", "containerPort": 8080}],
                    "env": env,
                    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
                }]},
            },
        },
    })
}

/// One of the objects that are of no interest: a quarter each are Deployments, Services, ConfigMaps and Secrets.
fn others(n: usize, change: usize) -> Value {
    let name = format!("other-{n}");
    let annotations = json!({"changed": change.to_string()});
    let mut object = match n % 4 {
        0 => {
            let mut object = deployment("others", &name, 1);
            object["spec"]["replicas"] = 0.into();
            object
        }
        1 => {
            json!({"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": name}, "ports": [{"port": 80}]}})
        }
        2 => json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"settings": "a: 1\n".repeat(100)}}),
        _ => json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": "c2VjcmV0".repeat(40)}}),
    };
    object["metadata"] = json!({"name": name, "namespace": "others", "annotations": annotations});
    object
}

async fn until(kube: &KubeSim, number: usize, met: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let done = kube.list("canaries.flagger.app", None).iter().filter(|canary| met(canary)).count();
        if done >= number {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{done} of {number} Canaries after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until the controller has had nothing to do for a while.
async fn settled(controller: &mut Process) {
    let began = Instant::now();
    let mut before = controller.cost().await;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = controller.cost().await;
        let idle = now.since(&before);
        if idle.requests == 0 && idle.cpu < 0.05 || began.elapsed() > PATIENCE {
            return;
        }
        before = now;
    }
}

/// What a process has used so far.
#[derive(Clone, Debug)]
struct Cost {
    /// Seconds.
    cpu: f64,
    /// MiB.
    resident: f64,
    peak: f64,
    requests: u64,
    conflicts: u64,
}

impl Cost {
    fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            requests: self.requests - before.requests,
            conflicts: self.conflicts - before.conflicts,
            ..self.clone()
        }
    }
}

/// A controller in a process of its own.
struct Process {
    child: Child,
    port: u16,
    http: reqwest::Client,
}

impl Process {
    fn start(kubeconfig: &Path, log: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let program = std::env::var("VEXIL").unwrap_or_else(|_| env!("CARGO_BIN_EXE_vexil").to_owned());
        let log = std::fs::File::create(log).expect("a file");
        let child = Command::new(program)
            .args(["controller", "-log-level=info", "-kubeconfig-qps=1000", "-kubeconfig-burst=2000"])
            .arg(format!("-port={port}"))
            .arg(format!("-kubeconfig={}", kubeconfig.display()))
            .stdout(Stdio::from(log.try_clone().expect("a file")))
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the controller");
        Self { child, port, http: reqwest::Client::builder().no_proxy().build().expect("a client") }
    }

    async fn get(&self, path: &str) -> Option<String> {
        let answer = self.http.get(format!("http://127.0.0.1:{}{path}", self.port)).send().await.ok()?;
        answer.error_for_status().ok()?.text().await.ok()
    }

    async fn until_ready(&mut self) {
        let began = Instant::now();
        while self.get("/readyz").await.is_none() {
            assert!(
                began.elapsed() < PATIENCE && matches!(self.child.try_wait(), Ok(None)),
                "it does not start"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The number of series of this name, which says how many Canaries were looked at.
    async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.unwrap_or_default();
        text.lines().filter(|line| line.starts_with(name)).count() as f64
    }

    async fn cost(&self) -> Cost {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = std::fs::read_to_string(proc.join("stat")).unwrap_or_default();
        // Behind the name, which is in brackets: user time is field 14, system time 15, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: f64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kib.unwrap_or_default() / 1024.0
        };
        let metrics = self.get("/metrics").await.unwrap_or_default();
        let count = |having: &str| {
            let lines = metrics
                .lines()
                .filter(|line| line.starts_with("vexil_api_requests_total{") && line.contains(having));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        Cost {
            cpu: ticks / 100.0,
            resident: mib("VmRSS:"),
            peak: mib("VmHWM:"),
            requests: count(""),
            conflicts: count("409"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
