//! What is installed: that the copies of the CRDs and of the rights agree, and what the chart and the overlays render.
//! Helm (`HELM`, the PATH, or the harness's tool cache) and kubectl render.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::Value;
use vexil::router::registry;

mod backends;
mod demo_app;
mod grafana;
mod image;
mod in_place_of_flagger;
mod loadtester;
mod pod_security;
pub(crate) mod rights;

#[test]
fn the_copies_of_the_crds_are_up_to_date() {
    let read = |name: &str| read(&format!("crds/{name}.yaml"));
    let names = ["alertprovider", "canary", "metrictemplate", "routetemplate"];
    let all = names.map(read);
    holds("deploy/kustomize/base/vexil/crds.yaml", &all.join("---\n"));
    for (name, text) in names.iter().zip(&all) {
        holds(&format!("deploy/charts/vexil/crds/{name}.yaml"), text);
    }
}

// What follows from the registry of routers stands between two marks.

/// The words of all meshes, and the networks that are always denied, for the templates.
#[test]
fn the_templates_know_the_meshes_and_the_denied_networks() {
    let helpers = "deploy/charts/vexil/templates/_helpers.tpl";
    let line = |words: Vec<&str>| format!("{{{{- /* */ -}}}}{}\n", words.join(" "));
    holds_between(helpers, "{{- /* providers: begin", "{{- /* providers: end", &line(registry::known()));
    let denied = vexil::http::Egress::ALWAYS_DENIED.to_vec();
    holds_between(helpers, "{{- /* egress: begin", "{{- /* egress: end", &line(denied));
}

#[test]
fn the_providers_are_listed_for_users_of_the_chart_and_readers_of_the_readme() {
    let names: Vec<String> = registry::known().iter().map(|name| format!("#   {name}\n")).collect();
    holds_between("deploy/charts/vexil/values.yaml", "# meshes: begin", "# meshes: end", &names.concat());

    let mut table = String::from(
        "\n| `spec.provider`, `--mesh-provider` | mesh or ingress | weighted | A/B | mirroring | session affinity |\n\
         |---|---|---|---|---|---|\n",
    );
    for mesh in registry::MESHES {
        let names: Vec<String> = mesh.providers.iter().map(|name| format!("`{name}`")).collect();
        let can = mesh.abilities;
        let mark = |able: bool| if able { "yes" } else { "" };
        table += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            names.join(", "),
            mesh.title,
            mark(can.weights),
            mark(can.matching),
            mark(can.mirror_weighted || can.mirror_blue_green),
            mark(can.session_affinity),
        );
    }
    holds_between("README.md", "<!-- meshes: begin", "<!-- meshes: end", &(table + "\n"));
}

#[test]
fn the_readme_lists_the_metric_providers_and_the_receivers() {
    let line = |title: &str, names: Vec<String>| format!("- {title}: {}\n", names.join(", "));
    let providers = vexil::metrics::registered().map(|entry| format!("`{}` ({})", entry.name, entry.about));
    let receivers = vexil::alert::known().iter().map(|name| format!("`{name}`"));
    let text = format!(
        "\n{}{}\n",
        line("`spec.provider.type` of a MetricTemplate", providers.collect()),
        line("`spec.type` of an AlertProvider", receivers.collect()),
    );
    holds_between("README.md", "<!-- backends: begin", "<!-- backends: end", &text);
}

/// Fails unless `expected` stands in the file between the lines that begin with these marks; writes it with
/// `UPDATE_DEPLOY=1`, or with the `UPDATE=1` of the documentation.
pub(crate) fn holds_between(path: &str, begin: &str, end: &str, expected: &str) {
    let text = read(path);
    let start = text.find(begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let start = start + text[start..].find('\n').expect("a line") + 1;
    let stop = start + text[start..].find(end).unwrap_or_else(|| panic!("{path} has no {end}"));
    let whole = format!("{}{expected}{}", &text[..start], &text[stop..]);
    if ["UPDATE_DEPLOY", "UPDATE"].iter().any(|name| std::env::var_os(name).is_some()) {
        std::fs::write(root().join(path), &whole).expect("writable");
    }
    let found = read(path);
    assert!(found == whole, "{path} is not up to date: run the tests once with UPDATE_DEPLOY=1");
}

#[test]
fn the_chart_renders_what_a_user_of_flaggers_chart_expects() {
    // spec: 01/API-106
    let objects = chart(&["meshProvider=istio", "metricsServer=http://prometheus.istio-system:9090"]);
    assert_eq!(
        vec!["ServiceAccount vexil", "ClusterRole vexil", "ClusterRoleBinding vexil", "Deployment vexil",],
        names(&objects)
    );
    let deployment = object(&objects, "Deployment vexil");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["name"], "flagger");
    assert_eq!(
        arguments(&objects),
        [
            "controller",
            "-log-level=info",
            "-mesh-provider=istio",
            "-metrics-server=http://prometheus.istio-system:9090",
            "-enable-config-tracking=true",
            "-slack-user=flagger",
        ]
    );
    let probes = [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")];
    assert!(probes.iter().all(|(probe, path)| container[probe]["httpGet"]["path"] == *path), "{container}");
    assert_eq!(
        (&container["securityContext"]["runAsUser"], &container["securityContext"]["readOnlyRootFilesystem"]),
        (&10001.into(), &true.into())
    );
}

#[rstest]
#[case("logLevel=debug", "-log-level=debug")]
#[case("namespace=shop", "-namespace=shop")]
#[case("selectorLabels=app\\,tier", "-selector-labels=app,tier")]
#[case("configTracking.enabled=false", "-enable-config-tracking=false")]
#[case("ingressAnnotationsPrefix=x", "-ingress-annotations-prefix=x")]
#[case("ingressClass=contour", "-ingress-class=contour")]
#[case("includeLabelPrefix=app.kubernetes.io", "-include-label-prefix=app.kubernetes.io")]
#[case("threadiness=4", "-threadiness=4")]
#[case("eventWebhook=http://events", "-event-webhook=http://events")]
#[case("clusterName=staging", "-cluster-name=staging")]
#[case("noCrossNamespaceRefs=true", "-no-cross-namespace-refs=true")]
#[case("egress.deny={10.0.0.0/8,fd00::/8}", "-egress-deny=10.0.0.0/8,fd00::/8")]
#[case("egress.allow={169.254.169.254}", "-egress-allow=169.254.169.254")]
#[case("maxConcurrentRollouts=20", "-max-concurrent-rollouts=20")]
#[case("maxConcurrentRolloutsPerNamespace=2", "-max-concurrent-rollouts-per-namespace=2")]
#[case("maxWebhookTimeout=30m", "-max-webhook-timeout=30m")]
#[case("requireSecretLabels=true", "-require-secret-labels=true")]
#[case("allowInsecureCredentials=true", "-allow-insecure-credentials=true")]
#[case("sharedGatewayNamespaces={ingress,istio-system}", "-shared-gateway-namespaces=ingress,istio-system")]
#[case("kubeconfigQPS=50", "-kubeconfig-qps=50")]
#[case("kubeconfigBurst=1000000", "-kubeconfig-burst=1000000")]
#[case("slack.user=bot", "-slack-user=bot")]
#[case("slack.channel=#releases", "-slack-channel=#releases")]
#[case("slack.url=https://slack", "-slack-url=https://slack")]
#[case("slack.proxy=http://proxy", "-slack-proxy-url=http://proxy")]
#[case("slack.proxyUrl=http://proxy", "-slack-proxy-url=http://proxy")]
#[case("msteams.url=https://teams", "-msteams-url=https://teams")]
#[case("msteams.proxyUrl=http://proxy", "-msteams-proxy-url=http://proxy")]
#[case("leaderElection.enabled=true", "-enable-leader-election=true")]
#[case("leaderElection.enabled=true", "-leader-election-namespace=istio-system")]
#[case("shadow=true", "-shadow=true")]
#[case("prometheus.install=true", "-metrics-server=http://vexil-prometheus:9090")]
#[case("controlplane.kubeconfig.secretName=x", "-kubeconfig-service-mesh=/tmp/controlplane/kubeconfig")]
fn a_value_becomes_its_flag(#[case] value: &str, #[case] flag: &str) {
    // spec: 01/API-105
    let objects = chart(&[value]);
    assert!(arguments(&objects).contains(&flag.to_owned()), "{:?}", arguments(&objects));
    // A flag that the controller does not know would end it.
    let parsed = vexil::cli::go_flags::parse(&arguments(&objects)[1..], |_| None);
    assert!(parsed.is_ok(), "{parsed:?}");
}

#[rstest]
#[case::alone(&[], 1, "Recreate")]
#[case::many_without_election(&["leaderElection.replicaCount=3"], 1, "Recreate")]
#[case::many_with_election(&["leaderElection.replicaCount=3", "leaderElection.enabled=true"], 3, "RollingUpdate")]
fn several_replicas_run_only_with_leader_election(
    #[case] values: &[&str],
    #[case] replicas: u64,
    #[case] strategy: &str,
) {
    // spec: 01/API-107
    let objects = chart(values);
    let spec = &object(&objects, "Deployment vexil")["spec"];
    assert_eq!(
        (spec["replicas"].as_u64(), spec["strategy"]["type"].as_str().unwrap_or_default()),
        (Some(replicas), strategy)
    );
}

#[rstest]
#[case("serviceMonitor.enabled=true", &["Service vexil", "ServiceMonitor vexil"])]
#[case("podMonitor.enabled=true", &["PodMonitor vexil"])]
#[case("podDisruptionBudget.enabled=true", &["PodDisruptionBudget vexil"])]
#[case("linkerdAuthPolicy.create=true", &["AuthorizationPolicy prometheus-admin-flagger"])]
#[case("rbac.pspEnabled=true", &[])]
#[case("networkPolicy.enabled=true", &["NetworkPolicy vexil"])]
#[case("leaderElection.enabled=true", &["Role vexil-leader-election", "RoleBinding vexil-leader-election"])]
#[case("shadow=true,leaderElection.enabled=true", &[])]
#[case("namespace=shop", &["Role vexil", "RoleBinding vexil"])]
#[case("crd.create=true", &[
    "CustomResourceDefinition alertproviders.flagger.app",
    "CustomResourceDefinition canaries.flagger.app",
    "CustomResourceDefinition metrictemplates.flagger.app",
    "CustomResourceDefinition routetemplates.flagger.app",
])]
#[case("prometheus.install=true", &[
    "ServiceAccount vexil-prometheus", "ConfigMap vexil-prometheus", "ClusterRole vexil-prometheus",
    "ClusterRoleBinding vexil-prometheus", "Service vexil-prometheus", "Deployment vexil-prometheus",
])]
fn optional_objects_come_when_they_are_asked_for(#[case] value: &str, #[case] added: &[&str]) {
    // spec: 01/API-108
    let objects = chart(&[value]);
    let always =
        ["ServiceAccount vexil", "ClusterRole vexil", "ClusterRoleBinding vexil", "Deployment vexil"];
    let mut found: Vec<String> =
        names(&objects).into_iter().filter(|name| !always.contains(&name.as_str())).collect();
    let mut added = added.to_vec();
    found.sort();
    added.sort_unstable();
    assert_eq!(added, found);
}

#[test]
fn a_service_monitor_stands_where_it_is_told_to() {
    let objects = chart(&["serviceMonitor.enabled=true", "serviceMonitor.namespace=monitoring"]);
    let monitor = object(&objects, "ServiceMonitor vexil");
    assert_eq!(monitor["metadata"]["namespace"], "monitoring");
    assert_eq!(monitor["spec"]["namespaceSelector"]["matchNames"][0], "istio-system");
}

#[test]
fn the_bundled_prometheus_sets_the_labels_that_built_in_checks_ask_for() {
    // spec: 01/API-111
    let overlay = read("deploy/kustomize/base/prometheus/prometheus.yml");
    for label in ["kubernetes_namespace", "kubernetes_pod_name"] {
        assert_eq!(2, overlay.matches(&format!("target_label: {label}\n")).count());
    }
    let objects = chart(&["prometheus.install=true"]);
    let config = &object(&objects, "ConfigMap vexil-prometheus")["data"]["prometheus.yml"];
    assert_eq!(config.as_str().map(str::trim_end), Some(overlay.trim_end()));
}

/// An overlay, its namespace, what it says of the mesh, and the address of its metrics server.
type Overlay = (&'static str, &'static str, &'static [&'static str], &'static str);

const OVERLAYS: &[Overlay] = &[
    ("alb", "flagger-system", &["-mesh-provider=alb"], "flagger-prometheus:9090"),
    ("apisix", "flagger-system", &["-mesh-provider=apisix"], "flagger-prometheus:9090"),
    ("appmesh", "appmesh-system", &["-mesh-provider=appmesh"], "appmesh-prometheus:9090"),
    (
        "contour",
        "projectcontour",
        &["-mesh-provider=contour", "-ingress-class=contour"],
        "flagger-prometheus:9090",
    ),
    ("gatewayapi", "flagger-system", &["-mesh-provider=gatewayapi:v1"], "flagger-prometheus:9090"),
    ("gloo", "gloo-system", &["-mesh-provider=gloo"], "flagger-prometheus:9090"),
    ("istio", "istio-system", &["-mesh-provider=istio"], "prometheus:9090"),
    ("knative", "flagger-system", &["-mesh-provider=knative"], "flagger-prometheus:9090"),
    ("kubernetes", "flagger-system", &["-mesh-provider=kubernetes"], "flagger-prometheus:9090"),
    ("kuma", "kong-mesh-system", &["-mesh-provider=kuma"], "prometheus-server.mesh-observability:80"),
    ("linkerd", "flagger-system", &["-mesh-provider=gatewayapi:v1beta1"], "prometheus.linkerd-viz:9090"),
    ("nginx", "ingress-nginx", &["-mesh-provider=nginx"], "flagger-prometheus:9090"),
    ("osm", "osm-system", &["-mesh-provider=osm"], "osm-prometheus:7070"),
    ("skipper", "flagger-system", &["-mesh-provider=skipper"], "flagger-prometheus:9090"),
    ("traefik", "traefik", &["-mesh-provider=traefik"], "flagger-prometheus:9090"),
];

#[test]
fn the_overlays_have_the_namespaces_and_arguments_of_flaggers() {
    // spec: 01/API-110
    for (overlay, namespace, mesh, metrics) in OVERLAYS {
        let folder = root().join("deploy/kustomize").join(overlay);
        let text = output(Command::new("kubectl").arg("kustomize").arg(folder));
        let objects = documents(&text);
        let deployment = object(&objects, "Deployment flagger");
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            (&deployment["metadata"]["namespace"], &container["name"]),
            (&Value::from(*namespace), &"flagger".into()),
            "{overlay}"
        );
        let metrics = format!("-metrics-server=http://{metrics}");
        let mut expected = vec!["-log-level=info", "-include-label-prefix=app.kubernetes.io"];
        expected.extend(*mesh);
        expected.push(&metrics);
        assert_eq!(container["args"], Value::from(expected), "{overlay}");
        let subject = &object(&objects, "ClusterRoleBinding flagger")["subjects"][0];
        assert_eq!(subject["namespace"], *namespace, "{overlay}");
    }
}

#[test]
fn every_mesh_has_an_overlay() {
    let meant: Vec<&str> = OVERLAYS.iter().map(|(overlay, ..)| *overlay).collect();
    for name in vexil::router::registry::known() {
        let family = name.split(':').next().unwrap_or(name);
        // Meshes that speak SMI are named by themselves.
        assert!(family == "smi" || meant.contains(&family), "there is no deploy/kustomize/{family}");
    }
}

#[test]
fn a_network_policy_lets_out_what_the_controller_may_call() {
    let objects = chart(&[
        "networkPolicy.enabled=true",
        "egress.deny={203.0.113.0/24,2001:db8::1}",
        "egress.allow={169.254.7.7}",
    ]);
    let spec = &object(&objects, "NetworkPolicy vexil")["spec"];
    let pod = &object(&objects, "Deployment vexil")["spec"]["template"]["metadata"]["labels"];
    for (key, value) in spec["podSelector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(&pod[key], value);
    }
    let blocks: Vec<&Value> =
        spec["egress"][1]["to"].as_array().expect("peers").iter().map(|peer| &peer["ipBlock"]).collect();
    let except = |cidr: &str| {
        let block = blocks
            .iter()
            .find(|block| block["cidr"] == cidr)
            .unwrap_or_else(|| panic!("no {cidr} in {spec}"));
        block["except"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<BTreeSet<_>>()
    };
    let (four, six) = (except("0.0.0.0/0"), except("::/0"));
    for network in
        vexil::http::Egress::ALWAYS_DENIED.iter().copied().chain(["203.0.113.0/24", "2001:db8::1/128"])
    {
        assert!(
            if network.contains(':') { six.contains(network) } else { four.contains(network) },
            "{network}"
        );
    }
    assert!(except("169.254.7.7/32").is_empty());
    assert_eq!(spec["ingress"][0]["ports"][0]["port"], "http");

    let closed =
        chart(&["networkPolicy.enabled=true", "egress.deny={0.0.0.0/0,::/0}", "egress.allow={10.0.0.0/8}"]);
    let peers = &object(&closed, "NetworkPolicy vexil")["spec"]["egress"][1]["to"];
    assert_eq!(peers, &serde_json::json!([{"namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]));
}

/// The chart as `helm template` renders it with these values.
pub(crate) fn chart(values: &[&str]) -> Vec<Value> {
    documents(&output(&mut helm_template(values)))
}

fn helm_template(values: &[&str]) -> Command {
    let mut command = Command::new(helm());
    command
        .args(["template", "vexil"])
        .arg(root().join("deploy/charts/vexil"))
        .args(["--namespace", "istio-system"]);
    for value in ["image.repository=registry.example.com/vexil"].iter().chain(values) {
        command.args(["--set", value]);
    }
    command
}

#[rstest]
#[case::none("image.repository=", "image.repository is empty: build the image (make image)")]
#[case::flaggers("image.repository=registry.example.com/fluxcd/flagger", "is the image of Flagger")]
fn an_image_that_cannot_run_stops_the_installation(#[case] value: &str, #[case] why: &str) {
    let refused = helm_template(&[value]).output().expect("Helm");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains(why), "{text}");
}

#[rstest]
#[case::chart_version("image.tag=", "registry.example.com/vexil:0.1.0")]
#[case::tag("image.tag=0.1.0-7", "registry.example.com/vexil:0.1.0-7")]
#[case::number("image.tag=7", "registry.example.com/vexil:7")]
fn the_image_is_the_one_that_was_named(#[case] value: &str, #[case] image: &str) {
    let objects = chart(&[value]);
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").expect("a Deployment");
    assert_eq!(deployment["spec"]["template"]["spec"]["containers"][0]["image"], image);
}

pub(crate) fn helm() -> PathBuf {
    let named = std::env::var_os("HELM").map(PathBuf::from);
    let on_path = || Command::new("helm").arg("version").output().is_ok().then(|| PathBuf::from("helm"));
    let built = || {
        let cache = PathBuf::from(std::env::var_os("HOME")?).join(".cache/vexil-e2e");
        let tools = std::fs::read_dir(cache).ok()?.flatten();
        tools.map(|tool| tool.path().join("helm")).find(|path| path.is_file())
    };
    let found = named.or_else(on_path).or_else(built);
    found.expect(
        "the chart is rendered by Helm, which is not here (HELM, the PATH, the tool cache): run make setup",
    )
}

/// What a command prints.
fn output(command: &mut Command) -> String {
    let done = command.output();
    let done = done.unwrap_or_else(|why| panic!("{:?}: {why}: run make setup", command.get_program()));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("manifests are text")
}

fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).expect("YAML");
    all.into_iter().filter(|object| !object.is_null()).collect()
}

fn name(object: &Value) -> String {
    format!(
        "{} {}",
        object["kind"].as_str().unwrap_or_default(),
        object["metadata"]["name"].as_str().unwrap_or_default()
    )
}

fn names(objects: &[Value]) -> Vec<String> {
    objects.iter().map(name).collect()
}

fn object<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| name(object) == wanted)
        .unwrap_or_else(|| panic!("no {wanted} in {:?}", names(objects)))
}

fn arguments(objects: &[Value]) -> Vec<String> {
    let container = &object(objects, "Deployment vexil")["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().expect("arguments");
    arguments.iter().map(|argument| argument.as_str().expect("a text").to_owned()).collect()
}

/// Fails unless the file holds `expected`; writes it with `UPDATE_DEPLOY=1`.
fn holds(path: &str, expected: &str) {
    if std::env::var_os("UPDATE_DEPLOY").is_some() {
        std::fs::write(root().join(path), expected).expect("writable");
    }
    assert!(read(path) == expected, "{path} differs from crds/: run the tests once with UPDATE_DEPLOY=1");
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|problem| panic!("{path}: {problem}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
