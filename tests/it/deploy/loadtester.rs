//! The chart and the overlay of the load tester.

use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};

use super::pod_security::violations;
use super::rights::rights;
use super::{documents, helm, names, object, output, root};

const NAME: &str = "flagger-loadtester";
const IMAGE: &str = "image.repository=registry.example.com/vexil";

/// The chart as a user of Flagger's installs it, with these values.
fn chart(values: &[&str]) -> Vec<Value> {
    documents(&output(&mut helm_template(values)))
}

fn helm_template(values: &[&str]) -> Command {
    let mut command = Command::new(helm());
    command
        .args(["template", NAME])
        .arg(root().join("deploy/charts/loadtester"))
        .args(["--namespace", "test", "--set", IMAGE])
        .args(values.iter().flat_map(|value| ["--set", value]));
    command
}

#[rstest]
#[case::none(
    "image.repository=",
    "image.repository is empty: set image.repository and image.tag to the image of Vexil"
)]
#[case::flaggers("image.repository=ghcr.io/fluxcd/flagger-loadtester", "is an image of Flagger")]
fn an_image_that_cannot_run_stops_the_installation(#[case] value: &str, #[case] why: &str) {
    let refused = helm_template(&[value]).output().expect("Helm");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains(why), "{text}");
}

/// What the chart starts is a command line that the controller's image understands too: its program is `/vexil`, and the
/// load tester's image gives the subcommand once more.
#[rstest]
#[case::the_controllers(&["/vexil"])]
#[case::the_load_testers(&["vexil", "loadtester"])]
fn either_image_serves(#[case] entrypoint: &[&str]) {
    let arguments = arguments(&chart(&["cmd.allow=true"]));
    let line: Vec<String> = entrypoint.iter().map(|word| (*word).to_owned()).chain(arguments).collect();
    assert_eq!(Ok(()), vexil::cli::check(&line), "{line:?}");
}

fn pod(objects: &[Value]) -> &Value {
    &object(objects, &format!("Deployment {NAME}"))["spec"]["template"]
}

fn arguments(objects: &[Value]) -> Vec<String> {
    let arguments = pod(objects)["spec"]["containers"][0]["args"].as_array().expect("arguments").iter();
    arguments.map(|argument| argument.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn the_chart_renders_what_a_user_of_flaggers_chart_expects() {
    // spec: 04/LT-19 01/API-112
    let objects = chart(&[]);
    let mut found = names(&objects);
    found.sort();
    let expected = [
        "ConfigMap flagger-loadtester-gates",
        "Deployment flagger-loadtester",
        "Role flagger-loadtester-gates",
        "RoleBinding flagger-loadtester-gates",
        "Service flagger-loadtester",
        "ServiceAccount flagger-loadtester",
    ];
    assert_eq!(found, expected);
    let service = &object(&objects, "Service flagger-loadtester")["spec"];
    assert_eq!(
        (&service["ports"][0]["port"], &service["ports"][0]["targetPort"], &service["ports"][0]["name"]),
        (&json!(80), &json!("http"), &json!("http"))
    );
    let pod = pod(&objects);
    assert_eq!(service["selector"], json!({"app": "loadtester"}));
    assert_eq!(pod["metadata"]["labels"]["app"], "loadtester");
    let annotations = &pod["metadata"]["annotations"];
    for (key, value) in [
        ("prometheus.io/scrape", "true"),
        ("prometheus.io/port", "8080"),
        ("appmesh.k8s.aws/ports", "444"),
        ("openservicemesh.io/inbound-port-exclusion-list", "80, 8080"),
    ] {
        assert_eq!(annotations[key], value, "{key}");
    }
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["ports"][0], json!({"name": "http", "containerPort": 8080}));
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        assert_eq!(
            (&container[probe]["httpGet"]["path"], &container[probe]["timeoutSeconds"]),
            (&json!(path), &json!(5))
        );
    }
    assert_eq!(
        arguments(&objects),
        [
            "loadtester",
            "-port=8080",
            "-log-level=info",
            "-timeout=1h",
            "-namespace-regexp=",
            "-load-max-qps=1000",
            "-load-max-connections=100",
            "-gates-configmap=flagger-loadtester-gates",
        ]
    );
}

#[rstest]
#[case("logLevel=debug", "-log-level=debug")]
#[case("cmd.timeout=30m", "-timeout=30m")]
#[case("cmd.namespaceRegexp=^test$", "-namespace-regexp=^test$")]
#[case("cmd.namespaces={shop,test}", "-namespaces=shop,test")]
#[case("cmd.allow=true", "-allow-commands=true")]
#[case("tasks.smoke.metadata.cmd=x", "-tasks=/etc/loadtester/tasks/tasks.yaml")]
#[case("load.hosts={*.example.com,localhost}", "-load-hosts=*.example.com,localhost")]
#[case("load.maxQPS=1000000", "-load-max-qps=1000000")]
#[case("load.maxConnections=7", "-load-max-connections=7")]
#[case("auth.hmac.secretName=keys", "-hmac-keys=/etc/loadtester/keys")]
#[case("auth.tokenReview.enabled=true", "-token-review=true")]
fn a_value_becomes_its_flag(#[case] value: &str, #[case] flag: &str) {
    // spec: 04/LT-19
    let arguments = arguments(&chart(&[value]));
    assert!(arguments.iter().any(|argument| argument == flag), "{arguments:?}");
}

/// Each value of the reference's chart does what it did there.
#[rstest]
#[case("replicaCount=3", "Deployment flagger-loadtester", "/spec/replicas", json!(3))]
#[case("image.repository=x/y", "Deployment flagger-loadtester", "/spec/template/spec/containers/0/image", json!("x/y:0.1.0"))]
#[case("image.tag=7", "Deployment flagger-loadtester", "/spec/template/spec/containers/0/image", json!("registry.example.com/vexil:7"))]
#[case("image.pullPolicy=Always", "Deployment flagger-loadtester", "/spec/template/spec/containers/0/imagePullPolicy", json!("Always"))]
#[case("image.pullSecret=reg", "Deployment flagger-loadtester", "/spec/template/spec/imagePullSecrets/0/name", json!("reg"))]
#[case("podAnnotations.a=b", "Deployment flagger-loadtester", "/spec/template/metadata/annotations/a", json!("b"))]
#[case("podLabels.a=b", "Deployment flagger-loadtester", "/spec/template/metadata/labels/a", json!("b"))]
#[case("podPriorityClassName=high", "Deployment flagger-loadtester", "/spec/template/spec/priorityClassName", json!("high"))]
#[case("env[0].name=A", "Deployment flagger-loadtester", "/spec/template/spec/containers/0/env/2/name", json!("A"))]
#[case("service.type=NodePort", "Service flagger-loadtester", "/spec/type", json!("NodePort"))]
#[case("service.port=8081", "Service flagger-loadtester", "/spec/ports/0/port", json!(8081))]
#[case("resources.limits.cpu=1", "Deployment flagger-loadtester", "/spec/template/spec/containers/0/resources/limits/cpu", json!(1))]
#[case("volumes[0].name=v", "Deployment flagger-loadtester", "/spec/template/spec/volumes/1/name", json!("v"))]
#[case("volumeMounts[0].name=v", "Deployment flagger-loadtester", "/spec/template/spec/containers/0/volumeMounts/1/name", json!("v"))]
#[case("nodeSelector.a=b", "Deployment flagger-loadtester", "/spec/template/spec/nodeSelector/a", json!("b"))]
#[case("tolerations[0].key=a", "Deployment flagger-loadtester", "/spec/template/spec/tolerations/0/key", json!("a"))]
#[case("affinity.nodeAffinity.a=b", "Deployment flagger-loadtester", "/spec/template/spec/affinity/nodeAffinity/a", json!("b"))]
#[case("serviceAccountName=mine", "Deployment flagger-loadtester", "/spec/template/spec/serviceAccountName", json!("mine"))]
#[case("podDisruptionBudget.enabled=true", "PodDisruptionBudget flagger-loadtester", "/spec/minAvailable", json!(1))]
#[case("podSecurityContext.enabled=true", "Deployment flagger-loadtester", "/spec/template/spec/securityContext/fsGroup", json!(101))]
#[case("securityContext.context.runAsUser=100", "Deployment flagger-loadtester", "/spec/template/spec/containers/0/securityContext/runAsUser", json!(100))]
#[case("fullnameOverride=lt", "Service lt", "/spec/selector/app", json!("loadtester"))]
#[case("nameOverride=lt", "Service flagger-loadtester-lt", "/spec/selector/app", json!("lt"))]
#[case("meshName=global", "VirtualNode flagger-loadtester", "/spec/meshName", json!("global"))]
#[case("appmesh.enabled=true", "VirtualNode flagger-loadtester", "/spec/backends/1/virtualService/virtualServiceRef/name", json!("podinfo-canary"))]
#[case("istio.enabled=true", "VirtualService flagger-loadtester", "/spec/hosts/0", json!("flagger-loadtester.flagger"))]
#[case("networkPolicy.enabled=true", "NetworkPolicy flagger-loadtester", "/spec/ingress/0/from/0/podSelector", json!({}))]
fn a_value_has_the_effect_that_it_had(
    #[case] value: &str,
    #[case] wanted: &str,
    #[case] path: &str,
    #[case] expected: Value,
) {
    // spec: 04/LT-19 01/API-112
    let objects = chart(&[value]);
    let found = object(&objects, wanted);
    assert_eq!(Some(&expected), found.pointer(path), "{found}");
}

#[rstest]
#[case::of_the_namespace(&["rbac.create=true", "rbac.rules[0].verbs={get}", "rbac.rules[0].resources={pods}", "rbac.rules[0].apiGroups={apps}"], "Role", "RoleBinding")]
#[case::of_the_cluster(&["rbac.create=true", "rbac.scope=cluster", "rbac.rules[0].verbs={get}", "rbac.rules[0].resources={pods}", "rbac.rules[0].apiGroups={apps}"], "ClusterRole", "ClusterRoleBinding")]
fn rights_of_commands_are_those_that_are_asked_for(
    #[case] values: &[&str],
    #[case] role: &str,
    #[case] binding: &str,
) {
    // spec: 04/LT-19 01/API-112
    let objects = chart(values);
    assert_eq!(object(&objects, &format!("{role} {NAME}"))["rules"][0]["resources"], json!(["pods"]));
    assert_eq!(object(&objects, &format!("{binding} {NAME}"))["subjects"][0]["name"], NAME);
    object(&objects, &format!("ServiceAccount {NAME}"));
}

#[test]
fn the_load_tester_itself_may_write_its_gates_and_nothing_else() {
    let objects = chart(&[]);
    let all: Vec<_> = rights(&objects)
        .into_iter()
        .map(|(verb, _, resource, everywhere)| (verb, resource, everywhere))
        .collect();
    let of = |verb: &str| (verb.to_owned(), "configmaps".to_owned(), false);
    assert_eq!(all, [of("get"), of("update")]);
    let role = object(&objects, "Role flagger-loadtester-gates");
    assert_eq!(role["rules"][0]["resourceNames"], json!(["flagger-loadtester-gates"]));
    // Tokens are nobody's namespace.
    let objects = chart(&["auth.tokenReview.enabled=true", "gates.persist=false"]);
    let all: Vec<_> = rights(&objects).into_iter().collect();
    let review = ("create".to_owned(), "authentication.k8s.io".to_owned(), "tokenreviews".to_owned(), true);
    assert_eq!(all, [review]);
    // And with neither there is no token in the pod at all.
    let objects = chart(&["gates.persist=false"]);
    assert!(rights(&objects).is_empty());
    assert_eq!(pod(&objects)["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn declared_tasks_are_what_the_load_tester_reads() {
    let objects =
        chart(&["tasks.smoke.metadata.cmd=echo", "tasks.smoke.timeout=3m", "tasks.smoke.namespaces={shop}"]);
    let text = object(&objects, "ConfigMap flagger-loadtester-tasks")["data"]["tasks.yaml"]
        .as_str()
        .expect("a file");
    let declared = vexil::loadtester::Declared::read(text).expect("tasks");
    let metadata = [("task".to_owned(), "smoke".to_owned())].into();
    let found = declared.find(&metadata, "shop").expect("no error").expect("a task");
    assert_eq!(found.metadata["cmd"], "echo");
    assert!(declared.find(&metadata, "bank").is_err());
}

#[rstest]
#[case::default(&[])]
#[case::as_flaggers_users_write_it(&["securityContext.enabled=true", "securityContext.context.readOnlyRootFilesystem=true", "securityContext.context.runAsUser=100", "securityContext.context.runAsGroup=101"])]
#[case::with_everything(&["auth.hmac.secretName=x", "tasks.a.metadata.cmd=x", "podSecurityContext.enabled=true", "cmd.allow=true"])]
fn a_namespace_of_restricted_pods_takes_it(#[case] values: &[&str]) {
    assert_eq!(Vec::<String>::new(), violations(&pod(&chart(values))["spec"]));
}

#[test]
fn the_overlay_has_the_names_of_flaggers() {
    // spec: 01/API-110
    let folder = root().join("deploy/kustomize/tester");
    let objects = documents(&output(Command::new("kubectl").arg("kustomize").arg(folder)));
    let service = object(&objects, "Service flagger-loadtester");
    assert_eq!(
        (&service["metadata"]["namespace"], &service["spec"]["ports"][0]["port"]),
        (&json!("test"), &json!(80))
    );
    let pod = pod(&objects);
    assert_eq!(pod["metadata"]["labels"], service["spec"]["selector"]);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"], json!({"cpu": "1000m", "memory": "512Mi"}));
    assert_eq!(container["args"][1], "-port=8080");
    assert_eq!(Vec::<String>::new(), violations(&pod["spec"]));
    assert_eq!(object(&objects, "RoleBinding flagger-loadtester-gates")["subjects"][0]["namespace"], "test");
    assert_eq!(rights(&objects).len(), 2);
}

#[test]
fn the_image_has_the_programs_that_hooks_call() {
    // spec: 04/LT-20
    let recipe = std::fs::read_to_string(root().join("deploy/Dockerfile.loadtester"))
        .expect("the recipe of the image");
    let (tools, image) = recipe.rsplit_once("FROM debian:").expect("the last stage");
    let packages = image.split("--no-install-recommends ").nth(1).and_then(|rest| rest.lines().next());
    let packages: Vec<&str> = packages.expect("packages").trim_end_matches(" \\").split(' ').collect();
    // dash, the shell `sh`, is in every Debian; kubectl is in kubernetes-client.
    for package in ["bash", "bats", "curl", "git", "hey", "jq", "kubernetes-client", "wrk"] {
        assert!(packages.contains(&package), "{package}: {packages:?}");
    }
    for tool in ["/cmd/ghz@", "/grpc-health-probe@", "/cmd/helm@", "/tools/grpc_health_probe"] {
        assert!(tools.contains(tool), "{tool}: {tools}");
    }
    assert!(image.contains("COPY --from=tools /tools/ /usr/local/bin/"), "{image}");
    assert!(image.contains("COPY deploy/health.proto /tmp/ghz/health.proto"), "{image}");
    assert!(root().join("deploy/health.proto").is_file());
}
