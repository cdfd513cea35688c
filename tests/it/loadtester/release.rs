//! A release on the embedded cluster whose gate and load are the load tester's. The cluster lives in virtual time, the load
//! tester in real time, on a thread of its own: while a hook waits for it, the cluster's clock stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::runtime::Runtime;
use vexil::http::{Cause, Egress, Request, ReqwestTransport, Response, Transport};
use vexil::loadtester::{Declared, LoadTester, Rules, Settings};
use vexil::sim::{Running, World};

use super::careful;

const QUARTERS: &str = include_str!("../../data/shop/frontend-quarters.yaml");
const HOUR: Duration = Duration::from_secs(3600);

/// As a user writes them, but for the length of the load.
const HOOKS: &str = "
    webhooks:
      - name: may-start
        type: confirm-rollout
        url: http://flagger-loadtester.shop/gate/check
      - name: load
        type: rollout
        url: http://flagger-loadtester.shop/
        timeout: 30s
        metadata: {task: load}
";

/// The way from the cluster to the load tester.
struct Road {
    real: Arc<Runtime>,
    to: SocketAddr,
}

impl Transport for Road {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        let url = request.url.replace("flagger-loadtester.shop", &self.to.to_string());
        let (real, request) = (Arc::clone(&self.real), Request { url, ..request });
        async move {
            let call =
                move || real.block_on(async { ReqwestTransport::new(Egress::default()).send(request).await });
            tokio::task::spawn_blocking(call).await.expect("no panic")
        }
        .boxed()
    }
}

impl Road {
    /// As a person with curl.
    async fn post(&self, path: &str) -> u16 {
        let mut request =
            Request::new(vexil::http::Method::POST, format!("http://flagger-loadtester.shop{path}"));
        request.body = json!({"name": "frontend", "namespace": "shop"}).to_string().into();
        self.send(request).await.expect("an answer").status
    }

    async fn metrics(&self) -> String {
        let request = Request::new(vexil::http::Method::GET, "http://flagger-loadtester.shop/metrics");
        let answer = self.send(request).await.expect("an answer");
        String::from_utf8_lossy(&answer.body).into_owned()
    }
}

/// An application that works, or does not, and a load tester that loads it.
fn surroundings(broken: &Arc<AtomicBool>) -> Road {
    let real = Arc::new(Runtime::new().expect("a runtime"));
    let broken = Arc::clone(broken);
    let to = real.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let application = listener.local_addr().expect("an address");
        let pages = Router::new().fallback(move || {
            let broken = broken.load(Ordering::Relaxed);
            std::future::ready(if broken { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK })
        });
        tokio::spawn(async { axum::serve(listener, pages).await });
        let careful = careful();
        let declared = Declared::read(&format!(
            "tasks: {{load: {{metadata: {{type: load, url: 'http://{application}/', duration: 100ms, qps: '200', \
             wait: 'true', minSuccessRate: '99'}}}}}}"
        ));
        let rules = Rules { declared: declared.expect("a file"), ..careful.rules };
        let tester = LoadTester::bind(Settings { rules, ..careful }).await.expect("a load tester");
        let port = tester.address().port();
        tokio::spawn(tester.run(std::future::pending()));
        SocketAddr::from(([127, 0, 0, 1], port))
    });
    Road { real, to }
}

async fn initialized(road: &Road) -> (World, Running) {
    let world = World::builder().build();
    world
        .backend
        .serve("flagger-loadtester.shop", Arc::new(Road { real: Arc::clone(&road.real), to: road.to }));
    let controller = world.start_controller();
    let analysis = "  analysis:\n";
    let hooks = format!("{analysis}{}", HOOKS.trim_start_matches('\n'));
    world.apply(&QUARTERS.replace(analysis, &hooks)).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    (world, controller)
}

#[tokio::test(start_paused = true)]
async fn a_person_opens_the_gate_of_a_release_and_its_load_decides_how_it_ends() {
    let broken = Arc::new(AtomicBool::new(false));
    let building = Arc::clone(&broken);
    let road = tokio::task::spawn_blocking(move || surroundings(&building)).await.expect("no panic");
    let (world, controller) = initialized(&road).await;
    let phase = |wanted: &'static str| {
        let world = world.clone();
        async move {
            assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == wanted).await, "{wanted}")
        }
    };

    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0");
    phase("Waiting").await;
    let events = world.events("shop", "frontend");
    let waits = "Halt frontend.shop advancement waiting for approval may-start";
    assert!(events.iter().any(|event| event.starts_with(waits)), "{events:#?}");
    assert_eq!(202, road.post("/gate/open").await);
    phase("Succeeded").await;
    let metrics = road.metrics().await;
    let of = "name=\"frontend\",namespace=\"shop\"";
    for series in [
        format!("vexil_loadtester_requests_total{{code=\"200\",{of}}} "),
        format!("vexil_loadtester_load_latency_seconds{{{of},quantile=\"0.99\"}} "),
    ] {
        assert!(metrics.contains(&series), "{series}: {metrics}");
    }

    // The next one passes the gate, which nobody has closed, and fails under load.
    broken.store(true, Ordering::Relaxed);
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:3.0.0");
    phase("Failed").await;
    controller.stop().await;
    let events = world.events("shop", "frontend");
    let failed = "Halt frontend.shop advancement external check load failed POST http://flagger-loadtester.shop/ giving up after 1 \
                  attempt(s): load failed: success rate 0.00 % is below 99 %";
    assert!(events.iter().any(|event| event.starts_with(failed)), "{events:#?}");
    // A runtime cannot be ended from within another.
    tokio::task::spawn_blocking(move || drop((road, world))).await.expect("no panic");
}
