//! What is fuzzed: a function for each kind of thing that strangers send. Each panics if the input does, or if what comes
//! out breaks a promise.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use vexil::api::CanaryStatus;
use vexil::api::metric_template::MetricProvider;
use vexil::loadtester::{Declared, Limits, Rules, understand};
use vexil::manifest::{decode, read};
use vexil::metrics::{self, Asked, Heard, Measured, Next, Template, Variables};
use vexil::model::answer::Verdict;
use vexil::model::by_hand::Request;
use vexil::model::call::{Answer, What};
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
    let secret = ["token", "username", "password", "datadog_api_key", "datadog_application_key"]
        .map(|key| (key.to_owned(), b"s3cret".to_vec()));
    let secret = BTreeMap::from(secret);
    for name in metrics::known() {
        let spec = MetricProvider {
            kind: name.to_owned(),
            address: Some("http://backend:9090".into()),
            ..MetricProvider::default()
        };
        let Ok(provider) = metrics::provider(&spec, Some(&secret)) else { continue };
        let asked = Asked {
            query: "up".into(),
            interval: Duration::from_secs(60),
            now: chrono::DateTime::UNIX_EPOCH,
        };
        let heard = || Heard {
            after: Duration::from_secs(1),
            what: What::Answer(Answer::new(status, body.to_vec())),
        };
        let mut past = Vec::new();
        let measured = loop {
            match provider.next(&asked, &past) {
                Next::Done(measured) => break measured,
                Next::Send(_) => past.push(heard()),
                Next::Wait(_) => past.push(Heard { after: Duration::from_secs(1), what: What::Waited }),
            }
            assert!(past.len() < 100, "{name} does not end");
        };
        match measured {
            Measured::Value(value) => assert!(value.is_finite(), "{name}"),
            Measured::NoData(why) | Measured::Failed(why) => is_fit_for_an_event(&why),
            Measured::NotANumber => {}
        }
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
