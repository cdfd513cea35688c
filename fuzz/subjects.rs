//! What is fuzzed: a function for each kind of thing that strangers send. Each panics if the input does, or if what comes
//! out breaks a promise.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use vexil::alert::{self, Message};
use vexil::api::hooks::Severity;
use vexil::api::metric_template::MetricProvider;
use vexil::api::{AlertProviderSpec, CanaryStatus, Phase};
use vexil::loadtester::{Declared, Limits, Rules, concord, ngrinder, opens, understand};
use vexil::manifest::{decode, read};
use vexil::metrics::{self, Asked, Heard, Measured, Next, Template, Variables};
use vexil::model::answer::Verdict;
use vexil::model::by_hand::Request;
use vexil::model::call::{Address, Answer, Method, What};
use vexil::model::moment::Moment;
use vexil::model::release::{Release, Settings};
use vexil::router::registry;
use vexil::webhook;

/// A Canary object as the API server hands it over: manifest and status.
pub fn canary(data: &[u8]) {
    let Ok(object) = serde_json::from_slice::<Value>(data) else { return };
    let status: CanaryStatus = serde_json::from_value(object["status"].clone()).unwrap_or_default();
    let written = serde_json::to_value(&status).expect("a status becomes JSON");
    let again: CanaryStatus = serde_json::from_value(written).expect("what we write we can read");
    assert_eq!(status, again);

    let settings = Settings { no_cross_namespace_refs: true, ..Settings::default() };
    let facts = |release: &Release| registry::facts(release, &settings);
    let providers = read::Providers { known: "istio", facts: &facts };
    let Ok(canary) = decode::canary(&object) else { return };
    let reading = read::release(&canary, &settings, &providers);
    for problem in reading.warnings.iter().chain(reading.release.as_ref().err().into_iter().flatten()) {
        assert!(!problem.field.is_empty() && !problem.message.is_empty());
    }
    let Ok(release) = reading.release else { return };
    let plan = &release.analysis;
    assert!(plan.interval >= Duration::from_secs(10) && plan.threshold >= 1);
    assert!(plan.primary_ready_threshold <= 100 && plan.canary_ready_threshold <= 100);
    for hook in &plan.hooks {
        assert!(hook.timeout <= settings.max_webhook_timeout && hook.timeout > Duration::ZERO);
    }
}

/// The query of a MetricTemplate.
pub fn template(data: &[u8]) {
    let Ok(source) = str::from_utf8(data) else { return };
    let variables = Variables {
        name: "frontend".into(),
        namespace: "shop".into(),
        target: "frontend".into(),
        interval: "1m".into(),
        variables: BTreeMap::from([("a".to_owned(), "x".repeat(100))]),
        ..Variables::default()
    };
    match Template::parse(source).and_then(|template| template.render(&variables)) {
        Ok(query) => assert!(query.len() <= 64 * 1024, "{} bytes of {source:?}", query.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The answer of a metrics backend: a status in two bytes, and the body. All backends get it.
pub fn metrics(data: &[u8]) {
    let (status, body) = answer(data);
    let keys = [
        "token",
        "org",
        "username",
        "password",
        "datadog_api_key",
        "datadog_application_key",
        "newrelic_account_id",
        "newrelic_query_key",
        "dynatrace_token",
        "sf_token_key",
        "project",
        "aws_access_key_id",
        "aws_secret_access_key",
    ];
    let secret = BTreeMap::from(keys.map(|key| (key.to_owned(), b"1234567".to_vec())));
    for (spec, query) in backends() {
        let name = spec.kind.as_str();
        let provider = metrics::provider(&spec, Some(&secret)).unwrap_or_else(|why| panic!("{name}: {why}"));
        let asked = Asked {
            query: query.into(),
            interval: Duration::from_secs(60),
            now: chrono::DateTime::UNIX_EPOCH,
        };
        let mut after = Duration::from_secs(1);
        let mut past = Vec::new();
        let measured = loop {
            let what = match provider.next(&asked, &past) {
                Next::Done(measured) => break measured,
                // Without the object that is created there would be nothing to look at.
                Next::Send(call)
                    if matches!((&call.to, call.method), (Address::Cluster(_), Method::Post)) =>
                {
                    What::Answer(Answer::new(201, ""))
                }
                Next::Send(_) => What::Answer(Answer::new(status, body.to_vec())),
                Next::Wait(pause) => {
                    after += pause;
                    What::Waited
                }
            };
            past.push(Heard { after, what });
            assert!(past.len() < 100, "{name} does not end");
        };
        assert!(!past.is_empty(), "{name} asks nothing");
        match measured {
            Measured::Value(value) => assert!(value.is_finite(), "{name}"),
            Measured::NoData(why) | Measured::Failed(why) => is_fit_for_an_event(&why),
            Measured::NotANumber => {}
        }
    }
}

/// Each backend, and those that answer in several ways in each of them, with a query that it takes.
fn backends() -> Vec<(MetricProvider, &'static str)> {
    let of = |kind: &str, address: Option<&str>, region: Option<&str>| MetricProvider {
        kind: kind.to_owned(),
        address: address.map(str::to_owned),
        region: region.map(str::to_owned),
        ..MetricProvider::default()
    };
    let plain = |kind: &'static str| {
        let query = match kind {
            "alertmanager" => "severity=\"critical\"",
            "cloudwatch" => r#"[{"id":"e1","expression":"SUM(METRICS())"}]"#,
            "externalmetrics" => "shop/queue_length",
            "graphite" => "target=errors",
            "keptn" => "keptnmetric/shop/errors",
            _ => "up",
        };
        match kind {
            "cloudwatch" => (of(kind, None, Some("eu-west-1")), query),
            _ => (of(kind, Some("http://backend:9090"), None), query),
        }
    };
    let others = [
        (of("newrelic", Some("http://backend/graphql"), None), "SELECT count(*) FROM T"),
        (of("keptn", None, None), "analysis/shop/release/10m/workload=frontend"),
        (of("externalmetrics", None, None), "shop/queue_length?labelSelector=app%3Dfrontend"),
        (of("prometheus", Some("http://backend:9090"), Some("eu-west-1")), "up"),
    ];
    metrics::known().into_iter().map(plain).chain(others).collect()
}

/// The answer of a receiver of alerts: a status in two bytes, and the body. All receivers get it.
pub fn receiver(data: &[u8]) {
    let (status, body) = answer(data);
    let secret = [("address", "https://chat.test/acme/shop"), ("token", "t0ken")];
    let secret = BTreeMap::from(secret.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec())));
    let mut mail = secret.clone();
    mail.insert("address".to_owned(), b"smtps://mail.test".to_vec());
    for name in alert::known() {
        let spec = AlertProviderSpec {
            kind: Some((*name).to_owned()),
            channel: Some(match *name {
                "matrix" => "!room:chat.test".to_owned(),
                "email" => "team@chat.test".to_owned(),
                _ => "C0123456789".to_owned(),
            }),
            username: (*name == "email").then(|| "releases@chat.test".to_owned()),
            threads: Some(true),
            ..AlertProviderSpec::default()
        };
        let secret = if *name == "email" { &mail } else { &secret };
        let made = alert::notifier(&spec, Some(secret)).unwrap_or_else(|why| panic!("{name}: {why}"));
        let notifier = made.expect("an address");
        let mut past = Vec::new();
        let outcome = loop {
            match notifier.next(&told(), &past) {
                Next::Done(outcome) => break outcome,
                Next::Send(_) => past.push(Heard {
                    after: Duration::from_secs(1),
                    what: What::Answer(Answer::new(status, body.to_vec())),
                }),
                Next::Wait(_) => past.push(Heard { after: Duration::from_secs(1), what: What::Waited }),
            }
            assert!(past.len() < 20, "{name} does not end");
        };
        match outcome {
            Ok(()) => assert!((200..300).contains(&status), "{name} is happy with {status}"),
            Err(refused) => is_fit_for_an_event(&refused.why),
        }
    }
}

/// A message of a release whose commit is known.
fn told() -> Message {
    Message {
        name: "frontend".to_owned(),
        namespace: "shop".to_owned(),
        severity: Severity::Error,
        text: "failed checks threshold reached 5".to_owned(),
        good_end: false,
        fields: Vec::new(),
        moment: Some(Moment {
            release: "7c9d467496".to_owned(),
            phase: Phase::Failed,
            at: chrono::DateTime::UNIX_EPOCH,
        }),
        commit: Some("4f2c1d9".to_owned()),
    }
}

/// The answer of a hook: a status in two bytes, and the body.
pub fn hook(data: &[u8]) {
    let (status, body) = answer(data);
    match webhook::answered("http://gate/", 1, status, body) {
        Verdict::Passed => assert!((200..=202).contains(&status)),
        Verdict::Failed(why) => is_fit_for_an_event(&why),
    }
}

/// The annotation by which people operate a release.
pub fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let canary = json!({"metadata": {"annotations": {"flagger.app/request": text}, "managedFields": [
        {"manager": text, "time": text}, {"manager": "kubectl", "time": "2026-01-01T00:00:00Z"},
    ]}});
    let Some(request) = Request::of(&canary) else { return };
    is_fit_for_an_event(&request.text);
    if let Ok(wish) = &request.wish {
        assert!(wish.revision.len() >= 8, "a revision of {:?}", wish.revision);
        assert!(!wish.is_for(""));
    }
    let _ = request.origin();
}

fn answer(data: &[u8]) -> (u16, &[u8]) {
    match data {
        [high, low, body @ ..] => (u16::from_be_bytes([*high, *low]) % 1000, body),
        _ => (200, data),
    }
}

/// One line that is not too long for where it goes.
fn is_fit_for_an_event(text: &str) {
    assert!(text.chars().count() <= 1100, "{} characters", text.chars().count());
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// The body of a call of the load tester.
pub fn loadtester(data: &[u8]) {
    let load = Limits { qps: 1000, connections: 100, hosts: Vec::new() };
    let (declared, timeout) = (Declared::default(), Duration::from_secs(3600));
    let careful = Rules { allow_commands: false, declared, load, timeout };
    let open = Rules { allow_commands: true, ..careful.clone() };
    for rules in [&careful, &open] {
        if let Err(why) = understand(data, rules) {
            assert!(!why.is_empty() && why.len() < 2000, "{why}");
        }
    }
    // Without a flag nothing but a load of the own namespace is run.
    if understand(data, &careful).is_ok() {
        let payload: Value = serde_json::from_slice(data).expect("what was understood is JSON");
        assert_eq!(payload["metadata"]["type"], "load");
        let namespace = payload["namespace"].as_str().expect("a namespace");
        let url = payload["metadata"]["url"].as_str().expect("a URL").to_ascii_lowercase();
        assert!(url.contains(&format!(".{namespace}")), "{url}");
    }
}

/// The body of a call that opens a gate.
pub fn gate(data: &[u8]) {
    let now = chrono::DateTime::UNIX_EPOCH;
    match opens(data, now) {
        Ok(Some(until)) => assert!(now < until && until - now <= chrono::TimeDelta::hours(8760), "{until}"),
        Ok(None) => {}
        Err(why) => assert!(!why.is_empty() && why.len() < 2000, "{why}"),
    }
}

/// The answer of Concord, to the start of a process and to a look at it: a status in two bytes, and the body.
pub fn concord(data: &[u8]) {
    let (status, body) = answer(data);
    match concord::started(status, body) {
        // It becomes a part of a URL.
        Ok(id) => assert!(!id.is_empty() && !id.contains(['/', '.', '?', '#', '%']), "{id:?}"),
        Err(why) => is_fit_for_an_event(&why),
    }
    if let Err(why) = concord::ended(status, body) {
        is_fit_for_an_event(&why);
    }
}

/// The answer of nGrinder, to the start of a test and to a look at it: a status in two bytes, and the body.
pub fn ngrinder(data: &[u8]) {
    let (status, body) = answer(data);
    match ngrinder::read(status, body) {
        Ok(said) => {
            if let Err(why) = ngrinder::started(&said) {
                is_fit_for_an_event(&why);
            }
            assert!(ngrinder::ended(&said).is_none_or(|end| end.len() < 20));
        }
        Err(why) => is_fit_for_an_event(&why),
    }
}
