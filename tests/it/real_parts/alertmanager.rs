//! The shipped check for alerts against a real Alertmanager: an alert fires, somebody silences it.

use chrono::TimeDelta;
use serde_json::{Value, json};
use vexil::http::{Method, Request};

use super::{Calls, Client, Clock, Measured, MetricProvider, asked, metrics, part};

async fn post(path: &str, body: Value) {
    let mut request = Request::new(Method::POST, format!("{}/api/v2/{path}", part("PROOF_ALERTMANAGER")));
    request.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    request.body = body.to_string().into();
    let answer = Client::default().send(request).await.expect("an answer");
    assert_eq!(200, answer.status, "{path}: {}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn an_alert_counts_while_it_fires_and_nobody_has_silenced_it() {
    let shipped = include_str!("../../../metric-templates/alertmanager/firing-alerts.yaml");
    let template: Value = serde_saphyr::from_str(shipped).expect("YAML");
    let query = template["spec"]["query"].as_str().expect("a query");
    let query = query
        .replace("{{ namespace }}", "shop")
        .replace("{{ service }}", "frontend")
        .replace("{{ target }}", "frontend");
    let spec = MetricProvider {
        kind: "alertmanager".into(),
        address: Some(part("PROOF_ALERTMANAGER")),
        ..MetricProvider::default()
    };
    let alertmanager = metrics::provider(&spec, None).expect("a provider");
    let calls = Calls::outside(Client::default());
    assert_eq!(Ok(()), calls.online(alertmanager.as_ref(), &asked("")).await);
    let firing = async || calls.measure(alertmanager.as_ref(), &asked(&query)).await;
    assert_eq!(Measured::Value(0.0), firing().await);

    let alert = |namespace: &str, service: &str, severity: &str| {
        json!({"labels": {
            "alertname": "ErrorBudgetBurn", "namespace": namespace, "service": service, "severity": severity,
        }})
    };
    let of_others = [
        alert("bank", "frontend", "critical"),
        alert("shop", "frontend", "info"),
        alert("shop", "cart", "critical"),
    ];
    post("alerts", json!(of_others)).await;
    assert_eq!(Measured::Value(0.0), firing().await);
    post("alerts", json!([alert("shop", "frontend-canary", "critical")])).await;
    assert_eq!(Measured::Value(1.0), firing().await);

    let now = Clock::system().now();
    let matcher = json!({"name": "service", "value": "frontend-canary", "isRegex": false, "isEqual": true});
    let silence = json!({
        "matchers": [matcher], "startsAt": now.to_rfc3339(), "endsAt": (now + TimeDelta::hours(1)).to_rfc3339(),
        "createdBy": "duty", "comment": "known",
    });
    post("silences", silence).await;
    assert_eq!(Measured::Value(0.0), firing().await);
    // What Alertmanager cannot read is its word.
    let why = calls.measure(alertmanager.as_ref(), &asked("service=~\"(\"")).await;
    assert!(matches!(&why, Measured::Failed(why) if why.contains("400")), "{why:?}");
}
