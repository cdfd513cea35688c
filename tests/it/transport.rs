//! The connection to a real API server, as the operating system sees it.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, WatchParams};
use kubesim::KubeSim;
use vexil::api::metric_template::MetricProvider;
use vexil::controller::calls::Calls;
use vexil::controller::client::{Layers, config, connect};
use vexil::controller::fence::{Claim, Fence};
use vexil::controller::telemetry::Telemetry;
use vexil::http::Client;
use vexil::metrics::{self, Asked, Measured};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The timer of the connection to `port` in `/proc/net/tcp`: its kind, and the hundredths of a second that it has left.
fn timer(port: u16) -> Option<(u8, u64)> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let peer = format!("0100007F:{port:04X}");
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let established = fields.get(2) == Some(&peer.as_str()) && fields.get(3) == Some(&"01");
        let (kind, left) = fields.get(5).filter(|_| established)?.split_once(':')?;
        Some((kind.parse().ok()?, u64::from_str_radix(left, 16).ok()?))
    })
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_watch_at_rest_is_asked_for_a_sign_of_life_by_the_operating_system() {
    const KEEP_ALIVE: u8 = 2;
    let sim = KubeSim::builder().build();
    let listening = sim.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a free port");
    let fence = Fence::new(Claim::Always);
    let telemetry = Arc::new(Telemetry::new("0.1.0", "istio", fence.clone()));
    let config = config("", &listening.url()).await.expect("an address");
    let client = connect(&config, Layers { fence, telemetry, limit: None }).expect("a client");
    let api: Api<ConfigMap> = Api::namespaced(client, "shop");
    let mut watch = std::pin::pin!(api.watch(&WatchParams::default(), "0").await.expect("a watch"));
    let object = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "shop"}});
    sim.put(object);
    watch.next().await.expect("it goes on").expect("an event");
    // Until what was received is acknowledged, another timer runs.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match timer(listening.addr().port()) {
            Some((KEEP_ALIVE, left)) => {
                assert!(left <= 1500, "first asked after {left} hundredths of a second");
                break;
            }
            other => assert!(tokio::time::Instant::now() < deadline, "{other:?}"),
        }
        tokio::task::yield_now().await;
    }
    listening.stop();
}

/// Asks a Graphite that only the proxy of the environment knows; for the process that the next test starts.
#[tokio::test]
#[ignore = "is run by the_proxy_of_the_environment_is_the_way_of_all_calls"]
async fn asking_through_the_proxy() {
    let address = Some("http://graphite.invalid".to_owned());
    let spec = MetricProvider { kind: "graphite".into(), address, ..MetricProvider::default() };
    let graphite = metrics::provider(&spec, None).expect("a provider");
    let now = vexil::controller::clock::Clock::system().now();
    let asked = Asked { query: "target=errors".into(), interval: std::time::Duration::from_secs(60), now };
    let measured = Calls::outside(Client::default()).measure(graphite.as_ref(), &asked).await;
    assert_eq!(Measured::Value(98.5), measured);
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_the_way_of_all_calls() {
    // spec: 04/PR-37
    let proxy = MockServer::start().await;
    let answer = r#"[{"target":"errors","datapoints":[[98.5,1792000000]]}]"#;
    Mock::given(path("/render"))
        .respond_with(ResponseTemplate::new(200).set_body_string(answer))
        .mount(&proxy)
        .await;
    let own = std::env::current_exe().expect("this program");
    let ended = tokio::process::Command::new(own)
        .args(["transport::asking_through_the_proxy", "--exact", "--ignored"])
        .env("HTTP_PROXY", proxy.uri())
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .await
        .expect("it runs");
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    let asked = proxy.received_requests().await.expect("recorded");
    assert_eq!(Some("graphite.invalid"), asked[0].headers.get("host").and_then(|host| host.to_str().ok()));
}
