use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::sync::Mutex;

use ::http as wire;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::Full;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::alert::Channel;
use crate::api::hooks::AlertRef;
use crate::api::reference::CrossRef;
use crate::controller::caches::lock;
use crate::controller::clock::Clock;
use crate::controller::lanes::{GRACE, MOST_IN_LANE, PATIENCE};
use crate::controller::logging;
use crate::http::{Auth, Cause, Limits, Request, Response, Transport};
use crate::manifest::read::{self, Providers};
use crate::model::release::ProviderFacts;
use crate::model::traffic::Capabilities;

/// A cluster that has these objects, by path, and a network that answers as told. Clones are the same.
#[derive(Clone)]
struct World(Arc<Mutex<Inside>>);

struct Inside {
    objects: BTreeMap<String, Value>,
    /// How long a list takes.
    listing: Duration,
    /// Answers of the API before it is well again.
    refusals: VecDeque<u16>,
    answers: BTreeMap<String, VecDeque<Answer>>,
    calls: Vec<(Request, Duration)>,
    count: watch::Sender<usize>,
    log: Vec<u8>,
    begin: Instant,
}

#[derive(Clone)]
enum Answer {
    Status(u16, &'static str),
    Breaks,
    /// Nothing, for ever.
    Silence,
    After(Duration),
}

impl World {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Inside {
            objects: BTreeMap::new(),
            listing: Duration::ZERO,
            refusals: VecDeque::new(),
            answers: BTreeMap::new(),
            calls: Vec::new(),
            count: watch::Sender::new(0),
            log: Vec::new(),
            begin: Instant::now(),
        })))
    }

    fn provider(self, namespace: &str, name: &str, spec: Value) -> Self {
        let path = format!("/apis/flagger.app/v1beta1/namespaces/{namespace}/alertproviders/{name}");
        let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
        lock(&self.0).objects.insert(path, object);
        self
    }

    /// A provider of type `slack` at `https://<host>/s3cr3t-path`.
    fn slack(self, namespace: &str, name: &str, host: &str) -> Self {
        self.provider(
            namespace,
            name,
            json!({"type": "slack", "address": format!("https://{host}/s3cr3t-path")}),
        )
    }

    fn secret(self, namespace: &str, name: &str, data: &[(&str, &str)]) -> Self {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        let data: BTreeMap<&str, k8s_openapi::ByteString> = data
            .iter()
            .map(|(key, value)| (*key, k8s_openapi::ByteString(value.as_bytes().to_vec())))
            .collect();
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data});
        lock(&self.0).objects.insert(path, object);
        self
    }

    /// Labels a Secret.
    fn labelled(self, namespace: &str, name: &str, label: (&str, &str)) -> Self {
        let path = format!("/api/v1/namespaces/{namespace}/secrets/{name}");
        if let Some(secret) = lock(&self.0).objects.get_mut(&path) {
            secret["metadata"]["labels"][label.0] = json!(label.1);
        }
        self
    }

    /// The next answers of `host`; the last one for good.
    fn answers(self, host: &str, answers: &[Answer]) -> Self {
        lock(&self.0).answers.insert(host.to_owned(), answers.iter().cloned().collect());
        self
    }

    /// A started worker, with a Slack notifier of its own if `global` names a host.
    async fn start(&self, global: &str) -> Running {
        self.start_with(global, false).await
    }

    /// As [`World::start`]; `labelled` wants Secrets that are released for alerts.
    async fn start_with(&self, global: &str, labelled: bool) -> Running {
        let world = self.clone();
        let service = tower::service_fn(move |request: wire::Request<kube::client::Body>| {
            let world = world.clone();
            let uri = request.uri().clone();
            async move { Ok::<_, tower::BoxError>(world.api(&uri).await) }
        });
        let client = kube::Client::new(service, "default");
        let (noticed, mut heard) = mpsc::unbounded_channel();
        let caches = Arc::new(Caches::new(client.clone(), client.clone(), "", noticed));
        let lists_at_once = lock(&self.0).listing.is_zero();
        for kind in [Kind::CANARY, ALERT_PROVIDER] {
            caches.state(kind);
            while lists_at_once && caches.state(kind) == State::Loading {
                heard.recv().await.expect("the watch goes on");
            }
        }
        let slack = Channel {
            address: if global.is_empty() { String::new() } else { format!("https://{global}/s3cr3t-path") },
            token: "xoxb-t0ken".into(),
            channel: "ops".into(),
            ..Channel::default()
        };
        let settings =
            alert::Settings { cluster: "prod".into(), slack, labelled, ..alert::Settings::default() };
        let http = http::Client::over(Arc::new(self.clone()), Limits::default());
        let (outbox, worker) =
            super::outbox(client, http, Arc::clone(&caches), &settings, mpsc::unbounded_channel().0);
        Running { world: self.clone(), outbox, caches, task: tokio::spawn(worker.run()) }
    }

    async fn api(&self, uri: &wire::Uri) -> wire::Response<Full<Bytes>> {
        if uri.query().is_some_and(|query| query.contains("watch=true")) {
            std::future::pending::<()>().await;
        }
        let path = uri.path().to_owned();
        let object = lock(&self.0).objects.get(&path).cloned();
        let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
        let (status, body) = match object {
            Some(object) => match lock(&self.0).refusals.pop_front() {
                Some(code) => (code, refusal(code, "try again")),
                None => (200, object),
            },
            None if matches!(kind.as_str(), "canaries" | "alertproviders") => {
                let listing = lock(&self.0).listing;
                sleep(listing).await;
                (200, self.list(&kind))
            }
            None => (404, refusal(404, &format!("secrets \"{kind}\" not found"))),
        };
        let body = Full::new(Bytes::from(body.to_string()));
        wire::Response::builder().status(status).body(body).expect("a response")
    }

    fn list(&self, kind: &str) -> Value {
        let inside = lock(&self.0);
        let items: Vec<&Value> = inside
            .objects
            .iter()
            .filter(|(path, _)| path.contains(&format!("/{kind}/")))
            .map(|(_, object)| object)
            .collect();
        json!({"apiVersion": "flagger.app/v1beta1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items})
    }

    /// Notes down what is logged on this thread from now on.
    fn listen(&self) -> DefaultGuard {
        let world = self.clone();
        let log = logging::subscriber(
            logging::Verbosity::Debug,
            logging::Encoding::Json,
            Clock::starting_at("2026-07-21T12:00:00Z".parse().expect("a time")),
            move || world.clone(),
        );
        tracing::subscriber::set_default(log)
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0).log).into_owned()
    }

    /// The messages of the log lines that are errors.
    fn errors(&self) -> Vec<String> {
        let log = self.log();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines
            .filter(|line| line["level"] == "error")
            .map(|line| line["msg"].as_str().expect("a text").to_owned())
            .collect()
    }
}

fn refusal(code: u16, message: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message, "reason": "", "code": code})
}

impl Write for World {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Transport for World {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        let host =
            url::Url::parse(&request.url).expect("an address").host_str().unwrap_or_default().to_owned();
        let mut inside = lock(&self.0);
        let at = inside.begin.elapsed();
        inside.calls.push((request, at));
        inside.count.send_modify(|count| *count += 1);
        let answer = inside.answers.get_mut(&host).map_or(Answer::Status(200, "ok"), |answers| {
            if answers.len() > 1 { answers.pop_front().expect("more than one") } else { answers[0].clone() }
        });
        async move {
            match answer {
                Answer::Status(status, body) => Ok(Response::new(status, body)),
                Answer::Breaks => Err(Cause::Connect("connection refused".into())),
                Answer::Silence => std::future::pending().await,
                Answer::After(time) => {
                    sleep(time).await;
                    Ok(Response::new(200, "ok"))
                }
            }
        }
        .boxed()
    }
}

struct Running {
    world: World,
    outbox: Outbox,
    caches: Arc<Caches>,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits until `count` calls were made.
    async fn made(&self, count: usize) {
        let mut made = lock(&self.world.0).count.subscribe();
        made.wait_for(|made| *made >= count).await.expect("the world stays");
    }

    /// What was sent, and where to, once all is delivered.
    async fn finish(self) -> Vec<Sent> {
        self.outbox.close();
        self.task.await.expect("no panic");
        self.caches.stop();
        let calls = lock(&self.world.0).calls.clone();
        calls.into_iter().map(Sent::of).collect()
    }
}

#[derive(Debug)]
struct Sent {
    host: String,
    text: String,
    severity_color: String,
    fields: Vec<(String, String)>,
    request: Request,
    at: Duration,
}

impl Sent {
    fn of((request, at): (Request, Duration)) -> Self {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let attachment = &body["attachments"][0];
        let fields = attachment["fields"].as_array().cloned().unwrap_or_default();
        Self {
            host: url::Url::parse(&request.url)
                .expect("an address")
                .host_str()
                .unwrap_or_default()
                .to_owned(),
            text: text(&attachment["text"]),
            severity_color: text(&attachment["color"]),
            fields: fields.iter().map(|field| (text(&field["title"]), text(&field["value"]))).collect(),
            request,
            at,
        }
    }
}

fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(|sent| format!("{} {}", sent.host, sent.text)).collect()
}

fn manifest() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"},
            "service": {"port": 80},
            "analysis": {"interval": "1m", "threshold": 5, "stepWeights": [1, 2, 10]},
        },
    })
}

fn release() -> Release {
    let all = Capabilities {
        weights: true,
        matching: true,
        mirror_weighted: true,
        mirror_blue_green: true,
        session_affinity: true,
    };
    let facts = |_: &Release| Some(ProviderFacts { capabilities: all, ..ProviderFacts::default() });
    let providers = Providers { known: "istio", facts: &facts };
    let canary = decode::canary(&manifest()).expect("a Canary");
    *read::release(&canary, &Default::default(), &providers).release.expect("valid")
}

/// The release with these providers, each `severity name.namespace`.
fn with_alerts(alerts: &[(Severity, &str, &str)]) -> Release {
    let mut release = release();
    release.analysis.alerts = alerts
        .iter()
        .map(|(severity, name, namespace)| AlertRef {
            name: "chat".into(),
            severity: Some(*severity),
            provider_ref: CrossRef { name: (*name).into(), namespace: Some((*namespace).into()) },
        })
        .collect();
    release
}

fn alert(severity: Severity, message: &str) -> Alert {
    Alert { severity, message: message.into(), metadata: false, moment: None }
}

#[tokio::test(start_paused = true)]
async fn an_alert_of_a_plain_canary_goes_to_the_controllers_notifier() {
    // spec: 02/C101 02/C103 04/AL-14 04/AL-15 01/API-073
    let world = World::new();
    let path = "/apis/flagger.app/v1beta1/namespaces/test/canaries/podinfo";
    lock(&world.0).objects.insert(path.into(), manifest());
    let running = world.start("global.test").await;
    let started = Alert { metadata: true, ..alert(Severity::Info, "New revision detected") };
    running.outbox.tell(&release(), &started);
    running.outbox.tell(&release(), &alert(Severity::Error, "Failed checks threshold reached 5"));
    let sent = running.finish().await;
    assert_eq!(
        vec!["global.test New revision detected", "global.test Failed checks threshold reached 5"],
        lines(&sent)
    );
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        vec![
            field("Cluster", "prod"),
            field("Target", "Deployment/podinfo.test"),
            field("Failed checks threshold", "5"),
            field("Progress deadline", "600s"),
            field("Traffic routing", "Weight steps: 1,2,10 max: 0"),
        ],
        sent[0].fields
    );
    assert_eq!(
        ("danger", vec![field("Cluster", "prod")]),
        (sent[1].severity_color.as_str(), sent[1].fields.clone())
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_is_json_with_a_short_deadline_and_the_token() {
    // spec: 04/AL-07 04/AL-20
    let spec = json!({"type": "slack", "proxy": "proxy.test:3128", "secretRef": {"name": "chat"}});
    let secret = [("address", "https://chat.test/x\n"), ("token", "xoxb-1")];
    let world = World::new().provider("ops", "chat", spec).secret("ops", "chat", &secret);
    let running = world.start("").await;
    running.outbox.tell(&with_alerts(&[(Severity::Info, "chat", "ops")]), &alert(Severity::Info, "hi"));
    let sent = running.finish().await;
    let request = &sent[0].request;
    assert_eq!(("https://chat.test/x", http::Method::POST), (request.url.as_str(), request.method.clone()));
    assert_eq!(vec![("Content-Type".to_owned(), "application/json".to_owned())], request.headers);
    assert_eq!(Duration::from_secs(5), request.timeout);
    assert_eq!(Some("http://proxy.test:3128"), request.proxy.as_deref());
    assert!(request.auth == Auth::Bearer("xoxb-1".into()));
}

#[tokio::test(start_paused = true)]
async fn alerts_of_a_canary_replace_the_controllers_notifier() {
    // spec: 02/C102 02/C103 04/AL-02 04/AL-18 01/API-071 01/API-072
    let world = World::new().slack("test", "dev", "dev.test").slack("ops", "duty", "duty.test");
    let running = world.start("global.test").await;
    let release = with_alerts(&[(Severity::Info, "dev", "test"), (Severity::Error, "duty", "ops")]);
    running.outbox.tell(&release, &alert(Severity::Warn, "careful"));
    running.outbox.tell(&release, &alert(Severity::Error, "failed"));
    let mut sent = lines(&running.finish().await);
    sent.sort();
    assert_eq!(vec!["dev.test careful", "dev.test failed", "duty.test failed"], sent);
}

#[tokio::test(start_paused = true)]
async fn without_any_notifier_nothing_is_sent() {
    let running = World::new().start("").await;
    running.outbox.tell(&release(), &alert(Severity::Error, "failed"));
    assert!(running.finish().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_secret_is_that_of_the_providers_namespace() {
    // spec: 04/AL-05 02/C104 01/API-070
    let world = World::new()
        .provider(
            "ops",
            "chat",
            json!({"type": "slack", "address": "https://spec.test/", "secretRef": {"name": "chat"}}),
        )
        .secret("test", "chat", &[("address", "https://wrong.test/")])
        .secret("ops", "chat", &[("address", "https://right.test/")]);
    let running = world.start("").await;
    running.outbox.tell(&with_alerts(&[(Severity::Info, "chat", "ops")]), &alert(Severity::Info, "hi"));
    assert_eq!(vec!["right.test hi"], lines(&running.finish().await));
}

#[tokio::test(start_paused = true)]
async fn where_secrets_need_a_label_only_a_released_one_is_used() {
    let spec = |secret: &str| json!({"type": "slack", "secretRef": {"name": secret}});
    let address = [("address", "https://right.test/"), ("password", "pa55word")];
    let world = World::new()
        .provider("ops", "free", spec("free"))
        .secret("ops", "free", &address)
        .labelled("ops", "free", ("flagger.app/use-in", "alerts"))
        .provider("ops", "kept", spec("kept"))
        .secret("ops", "kept", &address);
    let release = with_alerts(&[(Severity::Info, "kept", "ops"), (Severity::Info, "free", "ops")]);
    let _log = world.listen();
    let running = world.start_with("", true).await;
    running.outbox.tell(&release, &alert(Severity::Info, "hi"));
    assert_eq!(vec!["right.test hi"], lines(&running.finish().await));
    let why = "alert provider kept.ops secretRef error: secret kept is not released for this: its owner has to label it \
               flagger.app/use-in=alerts";
    assert_eq!(vec![why], world.errors());
}

#[rstest]
#[case::missing_provider(
    "gone",
    "alert provider gone.ops error: alertprovider.flagger.app \"gone\" not found"
)]
#[case::missing_secret(
    "no-secret",
    "alert provider no-secret.ops secretRef error: secrets \"nothing\" not found"
)]
#[case::no_address("no-address", "alert provider no-address.ops secret does not contain an address")]
#[case::bad_address(
    "bad",
    "alert provider bad.ops error: invalid Slack hook URL: relative URL without a base"
)]
#[case::bad_proxy(
    "proxied",
    "alert provider proxied.ops error: unable to parse proxy URL 'proxy.test:port', error: invalid port number"
)]
#[case::unknown_type(
    "irc",
    &format!("alert provider irc.ops error: provider irc not supported (known are: {})", alert::known().join(", "))
)]
#[case::unreadable(
    "odd",
    "alert provider odd.ops error: spec.channel: invalid type: integer `1`, expected a string"
)]
#[case::refused(
    "refused",
    "alert provider refused.ops send error: postMessage failed: sending notification bad response 404: nothing at xxxxx"
)]
#[case::unreachable(
    "unreachable",
    "alert provider unreachable.ops send error: postMessage failed: sending notification failed to send: cannot connect: connection refused"
)]
#[tokio::test(start_paused = true)]
async fn a_channel_that_does_not_work_is_logged_and_the_next_one_gets_the_message(
    #[case] broken: &str,
    #[case] expected: &str,
) {
    // spec: 04/AL-05 04/AL-19 04/AL-23
    let at = |address: &str| json!({"type": "slack", "address": address});
    let world = World::new()
        .provider("ops", "no-secret", json!({"type": "slack", "secretRef": {"name": "nothing"}}))
        .provider("ops", "no-address", json!({"type": "slack", "secretRef": {"name": "empty"}}))
        .secret("ops", "empty", &[("token", "xoxb-1")])
        .provider("ops", "bad", at("refused.test/s3cr3t-path"))
        .provider("ops", "proxied", json!({"type": "slack", "address": "https://a.test/", "proxy": "http://bob:s3cr3t@proxy.test:port"}))
        .provider("ops", "irc", json!({"type": "irc", "address": "https://a.test/"}))
        .provider("ops", "odd", json!({"type": "slack", "address": "https://a.test/", "channel": 1}))
        .slack("ops", "refused", "refused.test")
        .answers("refused.test", &[Answer::Status(404, "nothing at /s3cr3t-path")])
        .slack("ops", "unreachable", "unreachable.test")
        .answers("unreachable.test", &[Answer::Breaks])
        .slack("ops", "good", "good.test");
    let _log = world.listen();
    let running = world.start("").await;
    let release = with_alerts(&[(Severity::Info, broken, "ops"), (Severity::Info, "good", "ops")]);
    running.outbox.tell(&release, &alert(Severity::Warn, "careful"));
    running.made(1).await;
    // Long enough for all attempts.
    sleep(2 * PATIENCE).await;
    let sent = running.finish().await;
    assert!(lines(&sent).contains(&"good.test careful".to_owned()), "{sent:?}");
    assert_eq!(vec![expected.to_owned()], world.errors());
    assert!(!world.log().contains("s3cr3t"), "{}", world.log());
}

#[rstest]
#[case::busy(&[Answer::Status(429, ""), Answer::Status(200, "")], &[0, 1])]
#[case::broken_server(&[Answer::Status(503, ""), Answer::Status(500, ""), Answer::Status(202, "")], &[0, 1, 3])]
#[case::connection(&[Answer::Breaks, Answer::Status(204, "")], &[0, 1])]
#[case::time_out(&[Answer::Silence, Answer::Status(200, "")], &[0, 6])]
#[case::not_for_ever(&[Answer::Status(502, "")], &[0, 1, 3, 7])]
#[case::pointless(&[Answer::Status(400, "")], &[0])]
#[tokio::test(start_paused = true)]
async fn an_alert_is_sent_again_where_that_can_help(#[case] answers: &[Answer], #[case] seconds: &[u64]) {
    let world = World::new().answers("global.test", answers);
    let running = world.start("global.test").await;
    running.outbox.tell(&release(), &alert(Severity::Error, "failed"));
    sleep(Duration::from_secs(60)).await;
    let at: Vec<u64> = running.finish().await.iter().map(|sent| sent.at.as_secs()).collect();
    assert_eq!(seconds, at);
}

#[tokio::test(start_paused = true)]
async fn the_controllers_own_notifier_fails_in_its_own_words() {
    let world = World::new().answers("global.test", &[Answer::Status(403, "invalid_token xoxb-t0ken")]);
    let _log = world.listen();
    let running = world.start("global.test").await;
    running.outbox.tell(&release(), &alert(Severity::Error, "failed"));
    running.finish().await;
    assert_eq!(
        vec![
            "alert can't be sent: postMessage failed: sending notification bad response 403: invalid_token xxxxx"
        ],
        world.errors()
    );
    assert!(world.log().contains("Notifications enabled for global.test"), "{}", world.log());
    assert!(!world.log().contains("s3cr3t"), "{}", world.log());
}

#[tokio::test(start_paused = true)]
async fn a_slow_channel_delays_no_other_and_keeps_its_order() {
    // spec: 04/AL-19
    let world = World::new()
        .slack("ops", "slow", "slow.test")
        .slack("ops", "quick", "quick.test")
        .answers("slow.test", &[Answer::After(Duration::from_secs(4))]);
    let running = world.start("").await;
    let release = with_alerts(&[(Severity::Info, "slow", "ops"), (Severity::Info, "quick", "ops")]);
    for text in ["one", "two", "three"] {
        running.outbox.tell(&release, &alert(Severity::Info, text));
    }
    running.made(6).await;
    let sent = running.finish().await;
    let of = |host: &str| {
        let sent = sent.iter().filter(|sent| sent.host == host);
        sent.map(|sent| format!("{} {}", sent.at.as_secs(), sent.text)).collect::<Vec<_>>()
    };
    assert_eq!(vec!["0 one", "0 two", "0 three"], of("quick.test"));
    assert_eq!(vec!["0 one", "4 two", "8 three"], of("slow.test"));
}

#[tokio::test(start_paused = true)]
async fn an_alert_waits_until_the_providers_are_known() {
    let world = World::new().slack("ops", "chat", "chat.test");
    lock(&world.0).listing = Duration::from_secs(2);
    let running = world.start("").await;
    running.outbox.tell(&with_alerts(&[(Severity::Info, "chat", "ops")]), &alert(Severity::Info, "hi"));
    running.made(1).await;
    assert_eq!(vec!["chat.test hi"], lines(&running.finish().await));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_for_a_moment_loses_no_alert() {
    let world = World::new()
        .provider("ops", "chat", json!({"type": "slack", "secretRef": {"name": "chat"}}))
        .secret("ops", "chat", &[("address", "https://chat.test/")]);
    let running = world.start("").await;
    lock(&world.0).refusals.extend([500, 429]);
    running.outbox.tell(&with_alerts(&[(Severity::Info, "chat", "ops")]), &alert(Severity::Info, "hi"));
    running.made(1).await;
    assert_eq!(vec!["chat.test hi"], lines(&running.finish().await));
}

#[tokio::test(start_paused = true)]
async fn of_too_many_alerts_the_newest_are_kept() {
    let world = World::new().answers("global.test", &[Answer::Silence, Answer::Status(200, "ok")]);
    let running = world.start("global.test").await;
    for number in 0..MOST_IN_LANE + 10 {
        running.outbox.tell(&release(), &alert(Severity::Info, &number.to_string()));
    }
    running.made(MOST_IN_LANE).await;
    let sent = lines(&running.finish().await);
    assert_eq!(Some("global.test 10"), sent.first().map(String::as_str));
    assert_eq!(Some(format!("global.test {}", MOST_IN_LANE + 9)), sent.last().cloned());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_delivers_what_is_left_but_waits_for_nobody_who_is_silent() {
    let world = World::new()
        .slack("ops", "silent", "silent.test")
        .slack("ops", "good", "good.test")
        .answers("silent.test", &[Answer::Silence]);
    let _log = world.listen();
    let running = world.start("").await;
    let release = with_alerts(&[(Severity::Info, "silent", "ops"), (Severity::Info, "good", "ops")]);
    running.outbox.tell(&release, &alert(Severity::Info, "one"));
    running.outbox.tell(&release, &alert(Severity::Info, "two"));
    let start = Instant::now();
    let sent = lines(&running.finish().await);
    assert_eq!(GRACE, start.elapsed());
    assert_eq!(vec!["silent.test one", "good.test one", "good.test two"], sent);
    assert_eq!(vec!["2 alert(s) could not be sent before the end"], world.errors());
}

#[rstest]
#[case::none(Channel::default(), "")]
#[case::slack(
    slack("https://hooks.slack.com/services/s3cr3t", "ops"),
    "info Notifications enabled for hooks.slack.com"
)]
#[case::short(slack("https://a.io/x", "ops"), "info Notifications enabled for a.io")]
#[case::without_channel(
    slack("https://a.io/x", ""),
    "info Notifications enabled for a.io\nwarn -slack-channel is not set: alerts go to the channel general"
)]
#[case::not_fatal(
    slack("hooks.slack.com/s3cr3t", "ops"),
    "error Notifier invalid Slack hook URL: relative URL without a base"
)]
#[tokio::test(start_paused = true)]
async fn the_log_says_at_the_start_whether_there_is_a_notifier(
    #[case] slack: Channel,
    #[case] expected: &str,
) {
    // spec: 01/API-091 04/AL-23
    let world = World::new();
    let _log = world.listen();
    greet(&alert::Settings { slack, ..alert::Settings::default() });
    let log = world.log();
    let said: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| {
            format!(
                "{} {}",
                line["level"].as_str().unwrap_or_default(),
                line["msg"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(expected, said.join("\n"));
}

fn slack(address: &str, channel: &str) -> Channel {
    Channel { address: address.into(), channel: channel.into(), ..Channel::default() }
}
