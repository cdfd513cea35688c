//! The chart of the application for first releases.

use std::process::Command;

use assert_cmd::assert::OutputAssertExt;
use rstest::rstest;
use serde_json::{Value, json};

use super::pod_security::violations;
use super::{documents, helm, names, object, output, root};

fn template(values: &[&str]) -> Command {
    let mut command = Command::new(helm());
    command
        .args(["template", "frontend"])
        .arg(root().join("deploy/charts/demo-app"))
        .args(["--namespace", "shop"])
        .args(values.iter().flat_map(|value| ["--set", value]));
    command
}

fn chart(values: &[&str]) -> Vec<Value> {
    let image = ["image.repository=registry.example.com/vexil"];
    documents(&output(&mut template(&[&image, values].concat())))
}

#[test]
fn another_version_is_another_pod_template_and_nothing_else() {
    let [first, second] = ["version=1.0", "version=3.0-broken"].map(|version| chart(&[version]));
    let deployment = |objects: &[Value]| object(objects, "Deployment frontend")["spec"].clone();
    let (first, second) = (deployment(&first), deployment(&second));
    assert_eq!(first["template"]["spec"]["containers"][0]["args"][1], "--app-version=1.0");
    assert_eq!(second["template"]["spec"]["containers"][0]["args"][1], "--app-version=3.0-broken");
    assert_eq!(first["selector"], second["selector"]);
    assert_eq!(Vec::<String>::new(), violations(&first["template"]["spec"]));
}

#[test]
fn there_is_no_image_that_nobody_named() {
    let output = template(&[]).output().expect("Helm");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("image.repository"), "{text}");
}

#[test]
fn the_canary_says_what_its_values_say() {
    let objects = chart(&[
        "autoscaler.enabled=true",
        "canary.provider=istio",
        "canary.service.hosts={shop.example.com}",
        "canary.service.port=8080",
        "canary.loadtester=http://loadtester.shop",
    ]);
    let spec = &object(&objects, "Canary frontend")["spec"];
    assert_eq!(spec["provider"], "istio");
    assert_eq!(spec["autoscalerRef"]["name"], "frontend");
    assert_eq!(spec["service"], json!({"hosts": ["shop.example.com"], "port": 8080, "targetPort": "http"}));
    let load = &spec["analysis"]["webhooks"][0];
    assert_eq!((&load["type"], &load["url"]), (&json!("rollout"), &json!("http://loadtester.shop")));
    assert_eq!(load["metadata"]["url"], "http://frontend-canary.shop/");
    assert!(
        object(&objects, "Deployment frontend")["spec"].get("replicas").is_none(),
        "the autoscaler decides"
    );
}

#[test]
fn without_a_canary_there_is_a_service() {
    assert_eq!(names(&chart(&["canary.enabled=false"])), ["Service frontend", "Deployment frontend"]);
}

#[rstest]
#[case::as_it_is(&[])]
#[case::with_everything(&["autoscaler.enabled=true", "canary.provider=istio", "canary.loadtester=http://loadtester.shop"])]
fn lint_finds_nothing_in_what_it_renders(#[case] values: &[&str]) {
    let image = ["image.repository=registry.example.com/vexil"];
    let rendered = output(&mut template(&[&image, values].concat()));
    let mut lint = assert_cmd::Command::new(env!("CARGO_BIN_EXE_vexil"));
    let found = lint.args(["lint", "--mesh-provider", "istio", "-"]).write_stdin(rendered).output();
    let found = found.expect("it runs");
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    found.clone().assert().success();
    assert!(!text.contains("warning"), "{text}");
}
