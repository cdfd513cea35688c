//! The chart in the place of Flagger's: as the release `flagger`, with a values file that has every name of docs/spec/01-api.md
//! §7.1. What dashboards, policies and monitors select by has to be there under the names that it had.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};

use super::{documents, helm, names, object, output, read, root};

const VALUES: &str = "tests/data/flagger/values.yaml";

/// The chart as this release, with the values file and these values.
fn release(name: &str, values: &[&str]) -> Vec<Value> {
    let mut command = Command::new(helm());
    command
        .args(["template", name])
        .arg(root().join("deploy/charts/vexil"))
        .args([
            "--namespace",
            "istio-system",
            "--api-versions",
            "policy/v1beta1/PodSecurityPolicy",
            "--values",
        ])
        .arg(root().join(VALUES))
        .args(values.iter().flat_map(|value| ["--set", value]));
    documents(&output(&mut command))
}

/// The rows of the chapter's table of values: `a.b`, and `.c` beside it for `a.c`.
fn values_of_flagger() -> BTreeSet<String> {
    let spec = read("docs/spec/01-api.md");
    let section = spec.split("### 7.1 ").nth(1).and_then(|rest| rest.split("Rendered objects").next());
    let rows = section.expect("the section of the chart").lines().filter(|line| line.starts_with("| `"));
    let mut all = BTreeSet::new();
    for row in rows {
        let cell = row.split(" | ").next().expect("a first cell");
        let mut above = String::new();
        for name in cell.split('`').skip(1).step_by(2) {
            let name = name.strip_prefix('.').map_or(name.to_owned(), |rest| format!("{above}.{rest}"));
            above = name.rsplit_once('.').map_or(String::new(), |(above, _)| above.to_owned());
            all.insert(name);
        }
    }
    all
}

#[test]
fn the_values_file_has_every_name_that_flaggers_chart_has() {
    // spec: 01/API-105
    let names = values_of_flagger();
    assert!(names.len() > 60 && names.contains("prometheus.securityContext.context"), "{names:?}");
    let values: Value = serde_saphyr::from_str(&read(VALUES)).expect("YAML");
    for name in &names {
        assert!(
            values.pointer(&format!("/{}", name.replace('.', "/"))).is_some(),
            "{VALUES} does not say {name}"
        );
    }
}

#[test]
fn the_objects_have_the_names_that_flaggers_had() {
    // spec: 01/API-106 01/API-108
    let objects = release("flagger", &[]);
    let mut found = names(&objects);
    found.sort();
    let expected = [
        "AuthorizationPolicy prometheus-admin-flagger",
        "ClusterRole flagger",
        "ClusterRole flagger-prometheus",
        "ClusterRole flagger-psp",
        "ClusterRoleBinding flagger",
        "ClusterRoleBinding flagger-prometheus",
        "ConfigMap flagger-prometheus",
        "CustomResourceDefinition alertproviders.flagger.app",
        "CustomResourceDefinition canaries.flagger.app",
        "CustomResourceDefinition metrictemplates.flagger.app",
        // Ours: routers in files.
        "CustomResourceDefinition routetemplates.flagger.app",
        "Deployment flagger",
        "Deployment flagger-prometheus",
        "PodDisruptionBudget flagger",
        "PodMonitor flagger",
        "PodSecurityPolicy flagger",
        // Ours: Flagger's chart gives the lease to the ClusterRole.
        "Role flagger-leader-election",
        "RoleBinding flagger-leader-election",
        "RoleBinding flagger-psp",
        "Service flagger",
        "Service flagger-prometheus",
        "ServiceAccount flagger",
        "ServiceAccount flagger-prometheus",
        "ServiceMonitor flagger",
    ];
    assert_eq!(expected.as_slice(), found);
}

#[test]
fn the_labels_and_selectors_are_those_that_flaggers_had() {
    let objects = release("flagger", &[]);
    let selected = json!({"app.kubernetes.io/name": "flagger", "app.kubernetes.io/instance": "flagger"});
    let selected = selected.as_object().expect("labels");
    for it in objects.iter().filter(|it| it["kind"] != "CustomResourceDefinition") {
        let labels = &it["metadata"]["labels"];
        for (key, value) in selected {
            assert_eq!(&labels[key], value, "{key} of {} {}", it["kind"], it["metadata"]["name"]);
        }
        assert_eq!(labels["app.kubernetes.io/managed-by"], "Helm");
        assert!(labels["helm.sh/chart"].is_string());
    }
    let deployment = object(&objects, "Deployment flagger");
    assert_eq!(deployment["metadata"]["labels"]["app.kubernetes.io/version"], "0.1.0");
    // The selector of a Deployment cannot be changed: with another one the upgrade of the release would be refused.
    assert_eq!(deployment["spec"]["selector"], json!({"matchLabels": selected}));
    let pod = &deployment["spec"]["template"]["metadata"]["labels"];
    for (key, value) in selected {
        assert_eq!(&pod[key], value);
    }
    for kind in ["ServiceMonitor", "PodMonitor"] {
        let monitor = &object(&objects, &format!("{kind} flagger"))["spec"];
        assert_eq!(monitor["selector"], json!({"matchLabels": selected}), "{kind}");
        assert_eq!(monitor["namespaceSelector"]["matchNames"], json!(["istio-system"]), "{kind}");
    }
    assert_eq!(object(&objects, "Service flagger")["spec"]["selector"], json!(selected));
    let budget = &object(&objects, "PodDisruptionBudget flagger")["spec"]["selector"]["matchLabels"];
    assert_eq!(budget["app.kubernetes.io/name"], "flagger");
}

#[test]
fn ports_account_and_container_are_those_that_flaggers_had() {
    let objects = release("flagger", &[]);
    let pod = &object(&objects, "Deployment flagger")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!((&pod["serviceAccountName"], &container["name"]), (&json!("flagger"), &json!("flagger")));
    assert_eq!(container["ports"], json!([{"name": "http", "containerPort": 8080}]));
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["timeoutSeconds"], 5, "{probe}");
    }
    let service = &object(&objects, "Service flagger")["spec"]["ports"][0];
    assert_eq!(
        (&service["name"], &service["port"], &service["targetPort"]),
        (&json!("http"), &json!(8080), &json!("http"))
    );
    assert_eq!(object(&objects, "Service flagger-prometheus")["spec"]["ports"][0]["port"], 9090);
    for role in ["ClusterRoleBinding flagger", "RoleBinding flagger-psp"] {
        let subject = &object(&objects, role)["subjects"][0];
        assert_eq!(subject["name"], "flagger", "{role}");
        assert_eq!(subject["namespace"], "istio-system", "{role}");
    }
    let policy = object(&objects, "AuthorizationPolicy prometheus-admin-flagger");
    assert_eq!(policy["spec"]["requiredAuthenticationRefs"][0]["name"], "flagger");
    let volume = pod["volumes"].as_array().into_iter().flatten().find(|it| it["name"] == "kubeconfig");
    assert_eq!(volume.map(|it| &it["secret"]["secretName"]), Some(&json!("remote")));
}

#[test]
fn the_controller_gets_the_flags_that_flagger_got() {
    // spec: 01/API-105
    let objects = release("flagger", &[]);
    let container = &object(&objects, "Deployment flagger")["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().expect("arguments");
    let arguments: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
    let mut flags: BTreeMap<&str, &str> =
        arguments.iter().filter_map(|argument| argument.split_once('=')).collect();
    for (flag, value) in [
        ("-log-level", "debug"),
        ("-mesh-provider", "istio"),
        ("-metrics-server", "http://flagger-prometheus:9090"),
        ("-selector-labels", "app,tier"),
        ("-enable-config-tracking", "true"),
        ("-ingress-annotations-prefix", "custom.ingress.kubernetes.io"),
        ("-ingress-class", "nginx"),
        ("-include-label-prefix", "app.kubernetes.io"),
        ("-threadiness", "4"),
        ("-event-webhook", "http://events.example.com/"),
        ("-cluster-name", "staging"),
        ("-no-cross-namespace-refs", "true"),
        ("-kubeconfig-qps", "50"),
        ("-kubeconfig-burst", "100"),
        ("-slack-user", "releases"),
        ("-slack-channel", "general"),
        ("-slack-url", "https://hooks.slack.example/services/x"),
        ("-slack-proxy-url", "http://proxy.example.com:3128"),
        ("-msteams-url", "https://teams.example.com/x"),
        ("-msteams-proxy-url", "http://proxy.example.com:3128"),
        ("-enable-leader-election", "true"),
        ("-leader-election-namespace", "istio-system"),
        ("-kubeconfig-service-mesh", "/tmp/controlplane/kubeconfig"),
    ] {
        assert_eq!(flags.remove(flag), Some(value), "{flag}");
    }
    assert!(flags.is_empty(), "and nothing else: {flags:?}");
    assert_eq!(arguments[0], "controller");
    assert!(
        vexil::cli::go_flags::parse(
            &arguments[1..].iter().map(ToString::to_string).collect::<Vec<_>>(),
            |_| None
        )
        .is_ok()
    );
}

/// As Flagger's chart names them: the release if its name contains the chart's, else both; overrides win.
#[rstest]
#[case::its_own("flagger", &[], "flagger")]
#[case::longer("my-flagger", &[], "my-flagger")]
#[case::another("canaries", &["nameOverride=flagger"], "canaries-flagger")]
#[case::overridden("flagger", &["fullnameOverride=release-controller"], "release-controller")]
#[case::renamed("flagger", &["nameOverride=controller"], "flagger-controller")]
#[case::ours("vexil", &[], "vexil")]
#[case::ours_under_another_name("releases", &[], "releases-vexil")]
fn a_release_is_named_as_flaggers_chart_names_it(
    #[case] name: &str,
    #[case] values: &[&str],
    #[case] expected: &str,
) {
    let objects = release(name, values);
    let deployment = object(&objects, &format!("Deployment {expected}"));
    let account = &deployment["spec"]["template"]["spec"]["serviceAccountName"];
    assert_eq!(account, expected);
    object(&objects, &format!("ServiceAccount {expected}"));
}
