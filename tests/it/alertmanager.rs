//! Alertmanager as a check, in a whole release with the template that we ship: no alert lets it pass, one that fires ends
//! it, one that somebody has silenced does not.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use regex::Regex;
use rstest::rstest;
use serde_json::{Value, json};
use vexil::http::{Cause, Request, Response, Transport};
use vexil::sim::World;

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const TEMPLATE: &str = include_str!("../../metric-templates/alertmanager/firing-alerts.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// An alert as Alertmanager has it: its labels, and whether somebody has silenced it.
#[derive(Clone, Copy)]
struct Alert {
    labels: &'static [(&'static str, &'static str)],
    silenced: bool,
}

/// Answers `GET /api/v2/alerts` as Alertmanager 0.25 does: with the alerts that all filters and switches let through.
struct Alertmanager(Vec<Alert>);

impl Alertmanager {
    fn answer(&self, request: &Request) -> Response {
        if !request.url.ends_with("/api/v2/alerts") {
            return Response::new(
                200,
                r#"{"cluster":{"status":"ready"},"versionInfo":{"version":"0.25.0"}}"#,
            );
        }
        let wanted = |name: &str| request.query.iter().any(|(key, value)| key == name && value == "true");
        let filters = request.query.iter().filter(|(name, _)| name == "filter").map(|(_, value)| value);
        let filters: Vec<&String> = filters.collect();
        let shown = self.0.iter().filter(|alert| {
            (!alert.silenced || wanted("silenced")) && filters.iter().all(|filter| alert.matches(filter))
        });
        Response::new(200, Value::from(shown.map(Alert::json).collect::<Vec<_>>()).to_string())
    }
}

impl Alert {
    fn matches(&self, filter: &str) -> bool {
        let (name, value) = filter.split_once('=').expect("a matcher");
        let (value, pattern) = match value.strip_prefix('~') {
            Some(pattern) => (pattern, true),
            None => (value, false),
        };
        let value = value.trim_matches('"');
        let found = self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value);
        match pattern {
            true => Regex::new(&format!("^(?:{value})$")).expect("a pattern").is_match(found),
            false => value == found,
        }
    }

    fn json(&self) -> Value {
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let silences = if self.silenced { vec!["9f2c"] } else { vec![] };
        json!({
            "annotations": {"summary": "it is on fire"}, "fingerprint": "6a1c", "generatorURL": "",
            "startsAt": "2026-01-01T09:00:00.000Z", "updatedAt": "2026-01-01T09:00:00.000Z", "endsAt": "2026-01-01T09:05:00.000Z",
            "receivers": [{"name": "duty"}], "labels": labels,
            "status": {"state": if self.silenced { "suppressed" } else { "active" }, "silencedBy": silences, "inhibitedBy": []},
        })
    }
}

impl Transport for Alertmanager {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async move { Ok(self.answer(&request)) }.boxed()
    }
}

const FIRING: Alert = Alert {
    labels: &[
        ("alertname", "ErrorBudgetBurn"),
        ("namespace", "shop"),
        ("service", "frontend-canary"),
        ("severity", "critical"),
    ],
    silenced: false,
};
/// One for nobody, one of another service, one of another namespace.
const OF_OTHERS: [Alert; 3] = [
    Alert {
        labels: &[("namespace", "shop"), ("service", "frontend"), ("severity", "info")],
        silenced: false,
    },
    Alert {
        labels: &[("namespace", "shop"), ("service", "cart"), ("severity", "critical")],
        silenced: false,
    },
    Alert {
        labels: &[("namespace", "bank"), ("service", "frontend"), ("severity", "critical")],
        silenced: false,
    },
];

#[rstest]
#[case::no_alert(&OF_OTHERS, "Succeeded")]
#[case::it_fires(&[OF_OTHERS[0], FIRING, OF_OTHERS[2]], "Failed")]
#[case::it_is_silenced(&[OF_OTHERS[1], Alert { silenced: true, ..FIRING }], "Succeeded")]
#[tokio::test(start_paused = true)]
async fn an_alert_that_fires_ends_a_release_and_a_silenced_one_does_not(
    #[case] alerts: &[Alert],
    #[case] phase: &str,
) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.backend.serve("alertmanager.monitoring", Arc::new(Alertmanager(alerts.to_vec())));
    world
        .apply(&TEMPLATE.replace("name: firing-alerts\nspec", "name: firing-alerts\n  namespace: shop\nspec"))
        .expect("a template");
    // The check is the line that the file shows.
    let check = TEMPLATE.lines().find_map(|line| line.strip_prefix("# In a Canary: ")).expect("a check");
    let (rest, _) = QUARTERS.split_once("    metrics:\n").expect("metrics");
    world
        .apply(&format!("{rest}    metrics:\n      - {check}\n"))
        .expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    let ended =
        world.until(HOUR, |world| ["Succeeded", "Failed"].contains(&&*world.phase("shop", "frontend"))).await;
    let (status, told) = (world.status("shop", "frontend"), world.events("shop", "frontend").join("\n"));
    controller.stop().await;
    assert!(ended && status["phase"] == phase, "{status:#}\n{told}");
    let said = told.contains("Halt frontend.shop advancement firing-alerts 1.00 > 0");
    assert_eq!(phase == "Failed", said, "{told}");
    let found = &status["measurements"][0];
    let (verdict, value) = if phase == "Failed" { ("Failed", 1.0) } else { ("Passed", 0.0) };
    assert_eq!(
        ("firing-alerts", verdict),
        (found["name"].as_str().unwrap_or(""), found["verdict"].as_str().unwrap_or(""))
    );
    assert_eq!(Some(value), found["value"].as_f64(), "{found}");
}
