//! The chart of the dashboards.

use std::process::Command;

use serde_json::Value;

use super::{documents, helm, name, names, object, output, root};

fn chart(values: &[&str]) -> Vec<Value> {
    let mut command = Command::new(helm());
    command.args(["template", "grafana"]).arg(root().join("deploy/charts/grafana"));
    for value in values {
        command.args(["--set", value]);
    }
    documents(&output(&mut command))
}

fn environment<'a>(objects: &'a [Value], variable: &str) -> &'a Value {
    let container = &object(objects, "Deployment grafana")["spec"]["template"]["spec"]["containers"][0];
    let all = container["env"].as_array().expect("variables");
    all.iter().find(|entry| entry["name"] == variable).map_or(&Value::Null, |entry| entry)
}

#[test]
fn the_dashboards_are_those_that_users_have_links_to() {
    // spec: 01/API-113
    let objects = chart(&[]);
    assert_eq!(
        names(&objects),
        [
            "Secret grafana-datasources",
            "ConfigMap grafana-dashboards",
            "ConfigMap grafana-providers",
            "Service grafana",
            "Deployment grafana"
        ]
    );
    let files = object(&objects, "ConfigMap grafana-dashboards")["data"].as_object().expect("files");
    let dashboards: Vec<Value> = files
        .values()
        .map(|text| serde_json::from_str(text.as_str().expect("text")).expect("JSON"))
        .collect();
    let titles: Vec<(&str, &str)> = dashboards
        .iter()
        .map(|board| (board["uid"].as_str().expect("a uid"), board["title"].as_str().expect("a title")))
        .collect();
    assert_eq!(
        titles,
        [
            ("flagger-appmesh", "AppMesh Canary"),
            ("flagger-envoy", "Envoy Canary"),
            ("flagger-istio", "Istio Canary"),
            ("vexil-releases", "Vexil releases")
        ]
    );
    for board in &dashboards {
        let variables: Vec<&str> = board["templating"]["list"]
            .as_array()
            .expect("variables")
            .iter()
            .filter_map(|variable| variable["name"].as_str())
            .collect();
        let text = board["panels"].to_string();
        assert!(
            variables.iter().all(|name| text.contains(&format!("${name}"))),
            "{}: {variables:?}",
            board["uid"]
        );
    }
}

#[test]
fn without_a_password_everybody_may_look_and_nobody_may_change() {
    let open = chart(&[]);
    assert_eq!(environment(&open, "GF_AUTH_ANONYMOUS_ORG_ROLE")["value"], "Viewer");
    assert_eq!(environment(&open, "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION")["value"], "true");
    let closed = chart(&["user=ops", "password=secret"]);
    assert_eq!(environment(&closed, "GF_AUTH_ANONYMOUS_ENABLED"), &Value::Null);
    let login = &environment(&closed, "GF_SECURITY_ADMIN_PASSWORD")["valueFrom"]["secretKeyRef"];
    assert_eq!((&login["name"], &login["key"]), (&"grafana".into(), &"password".into()));
    assert_eq!(object(&closed, "Secret grafana")["stringData"]["user"], "ops");
    let theirs = chart(&["existingSecret=login", "password=ignored"]);
    assert!(!theirs.iter().any(|object| name(object) == "Secret grafana"));
}

#[test]
fn a_token_of_the_metrics_server_is_a_secret() {
    let objects = chart(&["url=https://metrics.example.com", "token=s3cret"]);
    let with_token: Vec<String> =
        objects.iter().filter(|object| object.to_string().contains("s3cret")).map(name).collect();
    assert_eq!(with_token, ["Secret grafana-datasources"]);
}
