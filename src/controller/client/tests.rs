use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Service as KubeService};
use kube::api::{Api, ObjectMeta, PostParams};
use rstest::rstest;

use super::*;
use crate::controller::fake_api::{FakeApi, Fault};
use crate::controller::fence::Claim;

struct Setup {
    api: FakeApi,
    fence: Fence,
    telemetry: Arc<Telemetry>,
    client: kube::Client,
}

fn setup(limit: Option<Limit>) -> Setup {
    behind(Fence::new(Claim::Always), limit)
}

fn behind(fence: Fence, limit: Option<Limit>) -> Setup {
    let api = FakeApi::default();
    let telemetry = Arc::new(Telemetry::new("0.1.0", "istio", fence.clone()));
    let layers = Layers { fence: fence.clone(), telemetry: Arc::clone(&telemetry), limit };
    let client = layered(api.service(), "default", layers);
    Setup { api, fence, telemetry, client }
}

fn config_map() -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some("c".into()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("key".into(), "value".into())])),
        ..ConfigMap::default()
    }
}

async fn write(setup: &Setup) -> Result<ConfigMap, kube::Error> {
    Api::namespaced(setup.client.clone(), "shop").create(&PostParams::default(), &config_map()).await
}

async fn read(setup: &Setup) -> Result<KubeService, kube::Error> {
    Api::namespaced(setup.client.clone(), "shop").get("s").await
}

#[tokio::test(start_paused = true)]
async fn without_a_valid_claim_writes_are_refused_and_reads_are_not() {
    let setup = setup(None);
    setup.fence.publish(Claim::Until(Instant::now() + Duration::from_secs(15)));
    write(&setup).await.expect("we lead");
    tokio::time::advance(Duration::from_secs(15)).await;
    let refused = write(&setup).await.expect_err("the claim has ended");
    assert_eq!(Some(&CallError::NotLeading(NotLeading)), CallError::find(&refused));
    read(&setup).await.expect_err("there is no such service");
    assert_eq!(
        vec!["POST /api/v1/namespaces/shop/configmaps", "GET /api/v1/namespaces/shop/services/s"],
        setup.api.lines()
    );
}

#[tokio::test(start_paused = true)]
async fn events_are_written_by_followers_too() {
    let setup = setup(None);
    setup.fence.publish(Claim::None);
    let event = Event {
        metadata: ObjectMeta { name: Some("e".into()), ..ObjectMeta::default() },
        ..Event::default()
    };
    let events: Api<Event> = Api::namespaced(setup.client.clone(), "shop");
    events.create(&PostParams::default(), &event).await.expect("allowed");
}

/// A request of every kind that a controller makes, and some that none does.
#[rstest]
#[case::event("POST", "/api/v1/namespaces/shop/events")]
#[case::lease("PUT", "/apis/coordination.k8s.io/v1/namespaces/x/leases/flagger-leader-election")]
#[case::status("PATCH", "/apis/flagger.app/v1beta1/namespaces/shop/canaries/c/status")]
#[case::route("PATCH", "/apis/networking.istio.io/v1beta1/namespaces/shop/virtualservices/v")]
#[case::delete("DELETE", "/api/v1/namespaces/shop/configmaps/c")]
#[case::analysis("POST", "/apis/metrics.keptn.sh/v1beta1/namespaces/shop/analyses")]
#[case::review("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")]
#[case::odd("OPTIONS", "/api/v1/pods")]
#[tokio::test(start_paused = true)]
async fn no_write_of_a_shadow_reaches_the_api_whatever_the_claim(#[case] method: &str, #[case] path: &str) {
    let setup = behind(Fence::shadow(), None);
    setup.fence.publish(Claim::Always);
    let request = Request::builder().method(method).uri(path).body(Vec::new()).expect("a request");
    let refused = setup.client.request_text(request).await.expect_err("it is a shadow");
    assert_eq!(Some(&CallError::Shadowed(Shadowed)), CallError::find(&refused));
    assert_eq!(Vec::<String>::new(), setup.api.lines());
    read(&setup).await.expect_err("there is no such service");
    assert_eq!(1, setup.api.lines().len(), "it may look");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_ends_while_a_write_waits_for_its_turn_refuses_it() {
    let setup = setup(Some(Limit { per_second: 1, burst: 1 }));
    setup.fence.publish(Claim::Until(Instant::now() + Duration::from_millis(500)));
    read(&setup).await.expect_err("there is no such service");
    let refused = write(&setup).await.expect_err("its turn comes after a second");
    assert_eq!(Some(&CallError::NotLeading(NotLeading)), CallError::find(&refused));
    assert_eq!(1, setup.api.lines().len());
}

#[rstest]
#[case::throttled(429, 5)]
#[case::unavailable(503, 5)]
#[case::refused(403, 1)]
#[case::broken(500, 1)]
#[case::perhaps_done(504, 1)]
#[tokio::test(start_paused = true)]
async fn a_write_is_tried_again_when_the_api_says_that_it_was_not_done(
    #[case] status: u16,
    #[case] tries: usize,
) {
    let setup = setup(None);
    setup.api.fault(move |_| Fault::Status(status));
    let error = write(&setup).await.expect_err("always refused");
    assert!(matches!(error, kube::Error::Api(answer) if answer.code == status));
    assert_eq!(tries, setup.api.lines().len());
    assert!(setup.api.calls().iter().all(|call| call.body["data"]["key"] == "value"), "each try is whole");
}

#[tokio::test(start_paused = true)]
async fn the_pause_that_the_api_asks_for_is_kept() {
    let setup = setup(None);
    let mut calls = 0;
    setup.api.fault(move |_| {
        calls += 1;
        if calls == 1 { Fault::StatusWith(429, "retry-after", "7") } else { Fault::None }
    });
    let started = Instant::now();
    write(&setup).await.expect("the second try is taken");
    assert_eq!(7, started.elapsed().as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_pause_beyond_the_limit_is_not_waited_for() {
    let setup = setup(None);
    setup.api.fault(|_| Fault::StatusWith(429, "retry-after", "600"));
    let started = Instant::now();
    write(&setup).await.expect_err("refused");
    assert_eq!(0, started.elapsed().as_secs());
}

fn bounded(bounds: Bounds) -> Request<Body> {
    Request::get("/apis/metrics.test/v1/errors").extension(bounds).body(Body::empty()).expect("a request")
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_asks_for_a_pause_beyond_the_bounds_of_a_call_is_given_back() {
    let setup = setup(None);
    setup.api.fault(|_| Fault::StatusWith(429, "retry-after", "2"));
    let started = Instant::now();
    let bounds = Bounds { time: Duration::from_secs(5), bytes: 1000 };
    let answer = setup.client.send(bounded(bounds)).await.expect("an answer");
    assert_eq!((429, "2"), (answer.status().as_u16(), answer.headers()[RETRY_AFTER].to_str().expect("text")));
    assert_eq!((4, 3), (started.elapsed().as_secs(), setup.api.lines().len()));
}

#[tokio::test(start_paused = true)]
async fn no_more_of_an_answer_is_read_than_the_bounds_of_a_call_allow() {
    let endless = tower::service_fn(|_| async {
        Ok::<_, BoxError>(Response::new(Box::pin(pieces(Duration::from_millis(1), u32::MAX))))
    });
    let fence = Fence::new(Claim::Always);
    let telemetry = Arc::new(Telemetry::new("0.1.0", "istio", fence.clone()));
    let client = layered(endless, "default", Layers { fence, telemetry, limit: None });
    let started = Instant::now();
    let bounds = Bounds { time: Duration::from_secs(5), bytes: 1000 };
    let error = client.send(bounded(bounds)).await.expect_err("too long");
    assert!(error.to_string().contains("length limit exceeded"), "{error}");
    assert_eq!(1, started.elapsed().as_secs());
}

#[rstest]
#[case::no_answer(|| Fault::Silence)]
#[case::one_that_comes_too_late(|| Fault::Slow(Duration::from_secs(31)))]
#[tokio::test(start_paused = true)]
async fn no_request_takes_longer_than_30_seconds(#[case] fault: fn() -> Fault) {
    let setup = setup(None);
    setup.api.fault(move |_| fault());
    let started = Instant::now();
    let error = write(&setup).await.expect_err("no answer");
    assert_eq!(30, started.elapsed().as_secs());
    assert_eq!(
        "no answer to create configmaps within 30 s",
        CallError::find(&error).expect("ours").to_string()
    );
    setup.fence.drained().await;
}

async fn watch(setup: &Setup) -> Result<String, kube::Error> {
    let request = Request::get("/api/v1/services?watch=true").body(Vec::new()).expect("a request");
    setup.client.request_text(request).await
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_not_answered_is_given_up_after_30_seconds() {
    let setup = setup(None);
    setup.api.fault(|_| Fault::Silence);
    let started = Instant::now();
    let error = watch(&setup).await.expect_err("no answer");
    assert_eq!(30, started.elapsed().as_secs());
    assert_eq!("no answer to watch services within 30 s", CallError::find(&error).expect("ours").to_string());
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_begun_once_a_second() {
    let setup = setup(None);
    let started = Instant::now();
    for _ in 0..61 {
        watch(&setup).await.expect_err("the fake knows no watches");
    }
    assert_eq!(60, started.elapsed().as_secs());
}

/// A body that comes in pieces, and after these is silent.
fn pieces(each: Duration, number: u32) -> impl http_body::Body<Data = Bytes, Error = BoxError> {
    let piece = move |sent| async move {
        if sent == number {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(each).await;
        Some((Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(b"x"))), sent + 1))
    };
    http_body_util::StreamBody::new(futures::stream::unfold(0, piece))
}

#[rstest]
#[case::each_minute(60, 120, 7200 + 70)]
#[case::too_late(71, 120, 70)]
#[case::never(1, 0, 70)]
#[tokio::test(start_paused = true)]
async fn a_watch_lasts_for_as_long_as_it_says_something(
    #[case] each: u64,
    #[case] number: u32,
    #[case] lasts: u64,
) {
    let body = Watched::new(pieces(Duration::from_secs(each), number), "services".to_owned());
    let started = Instant::now();
    body.collect().await.expect("it ends as if the server had ended it");
    assert_eq!(lasts, started.elapsed().as_secs());
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_burst_wait_for_their_turn() {
    let setup = setup(Some(Limit { per_second: 10, burst: 5 }));
    let started = Instant::now();
    for _ in 0..15 {
        read(&setup).await.expect_err("there is no such service");
    }
    assert_eq!(1000, started.elapsed().as_millis());
}

#[tokio::test(start_paused = true)]
async fn those_who_gave_up_waiting_cost_no_turn() {
    let setup = setup(Some(Limit { per_second: 1, burst: 1 }));
    let asked: Vec<_> = (0..1000).map(|_| read(&setup)).collect();
    let answers = futures::future::join_all(asked).await;
    let given_up = |error: &kube::Error| matches!(CallError::find(error), Some(CallError::TimedOut { .. }));
    let late = answers.iter().filter(|answer| answer.as_ref().is_err_and(given_up)).count();
    assert!((960..1000).contains(&late), "{late} of a thousand cannot be sent within 30 s");
    let started = Instant::now();
    let error = read(&setup).await.expect_err("there is no such service");
    assert!(!given_up(&error) && started.elapsed().as_secs() < 3, "{error} after {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn every_try_is_counted_and_says_who_we_are() {
    let setup = setup(None);
    setup.api.fault(|call| if call.method == "GET" { Fault::Broken } else { Fault::None });
    write(&setup).await.expect("written");
    read(&setup).await.expect_err("broken");
    let metrics = setup.telemetry.render();
    for line in [
        r#"vexil_api_requests_total{code="201",resource="configmaps",verb="create"} 1"#,
        r#"vexil_api_requests_total{code="error",resource="services",verb="get"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let agent = format!("vexil/{}", env!("CARGO_PKG_VERSION"));
    assert!(setup.api.calls().iter().all(|call| call.headers["user-agent"] == agent.as_str()));
}

const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: shop}}]
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: u, user: {token: secret}}]
"#;

#[tokio::test]
async fn the_flags_name_the_cluster() {
    let path = std::env::temp_dir().join(format!("vexil-kubeconfig-{}", std::process::id()));
    std::fs::write(&path, KUBECONFIG).expect("a temporary file");
    let path = path.to_str().expect("a plain path");

    let from_file = config(path, "").await.expect("a good file");
    assert_eq!(
        ("https://10.0.0.1:6443/", "shop"),
        (from_file.cluster_url.to_string().as_str(), from_file.default_namespace.as_str())
    );
    let overridden = config(path, "https://10.0.0.2").await.expect("a good file");
    assert_eq!("https://10.0.0.2/", overridden.cluster_url.to_string());
    let address_alone = config("", "http://127.0.0.1:8001").await.expect("an address");
    assert_eq!("http://127.0.0.1:8001/", address_alone.cluster_url.to_string());
    std::fs::remove_file(path).expect("our file");

    let missing = config(path, "").await.expect_err("it is gone").to_string();
    assert!(missing.starts_with(&format!("-kubeconfig {path}: ")), "{missing}");
    let nonsense = config("", "no address").await.expect_err("blank in it").to_string();
    assert!(nonsense.contains("\"no address\"") && nonsense.contains("https://host:port"), "{nonsense}");
}
