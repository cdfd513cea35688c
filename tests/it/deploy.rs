//! What is installed: that the copies of the CRDs and of the rights agree, and what the chart and the overlays render.
//! Helm (`HELM`, the PATH, or the harness's tool cache) and kubectl render.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::Value;
use vexil::router::{Access, Mesh, registry};

#[test]
fn the_copies_of_the_crds_are_up_to_date() {
    let read = |name: &str| read(&format!("crds/{name}.yaml"));
    let all = ["alertprovider", "canary", "metrictemplate"].map(read);
    holds("deploy/kustomize/base/vexil/crds.yaml", &all.join("---\n"));
    for (name, text) in ["alertprovider", "canary", "metrictemplate"].iter().zip(&all) {
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
fn the_rights_are_those_that_the_routers_need() {
    // spec: 01/API-109
    let template = "deploy/charts/vexil/templates/rbac.yaml";
    let blocks = |scope: Scope| registry::MESHES.iter().map(|mesh| mesh_block(mesh, scope)).collect::<String>();
    holds_between(template, "  # meshes: begin", "  # meshes: end", &blocks(Scope::Namespaced));
    holds_between(template, "  # cluster meshes: begin", "  # cluster meshes: end", &blocks(Scope::Cluster));
    let metrics = METRICS.iter().filter(|(name, _)| vexil::metrics::known().contains(name));
    let block = |(name, rules): &(&str, &str)| {
        format!("  {{{{- if has \"{name}\" .Values.rbac.metricProviders }}}}\n{rules}  {{{{- end }}}}\n")
    };
    let metrics: String = metrics.map(block).collect();
    holds_between(template, "  # metrics: begin", "  # metrics: end", &metrics);
}

/// The rights of metric providers that ask the cluster's API.
const METRICS: [(&str, &str); 2] = [
    (
        "externalmetrics",
        "  # Read by the name of the metric, which the API counts as a list.\n  - apiGroups: [external.metrics.k8s.io]\n    \
         resources: [\"*\"]\n    verbs: [get, list]\n",
    ),
    (
        "keptn",
        "  - apiGroups: [metrics.keptn.sh]\n    resources: [keptnmetrics]\n    verbs: [get]\n  \
         - apiGroups: [metrics.keptn.sh]\n    resources: [analyses]\n    verbs: [get, create, delete]\n",
    ),
];

/// Whether objects are in a namespace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Namespaced,
    Cluster,
}

/// The rules of a mesh for its kinds of this scope, under the condition that it is to be used; empty if it has none.
fn mesh_block(mesh: &Mesh, scope: Scope) -> String {
    let mut rules = String::new();
    for (access, verbs) in [
        (Access::Own, "list, watch, create, patch, delete"),
        (Access::Change, "list, watch, patch"),
        (Access::Read, "list, watch"),
    ] {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for right in mesh.rights.iter().filter(|right| right.access == access) {
            if scope_of(right.kind.group, right.kind.plural) == scope {
                groups.entry(right.kind.group).or_default().insert(right.kind.plural);
            }
        }
        for (group, plurals) in groups {
            let plurals = Vec::from_iter(plurals).join(", ");
            let group = if group.is_empty() { "\"\"" } else { group };
            rules += &format!("  - apiGroups: [{group}]\n    resources: [{plurals}]\n    verbs: [{verbs}]\n");
        }
    }
    if rules.is_empty() {
        return rules;
    }
    let names: Vec<String> = mesh.providers.iter().map(|provider| format!("\"{provider}\"")).collect();
    format!(
        "  {{{{- if include \"vexil.uses\" (list . (list {})) }}}}\n  # {}\n{rules}  {{{{- end }}}}\n",
        names.join(" "),
        mesh.title
    )
}

/// As the CRD of the kind says. Kinds without one are Kubernetes' own, and those that meshes use are in namespaces.
fn scope_of(group: &str, plural: &str) -> Scope {
    let name = format!("{plural}.{group}");
    let files = std::fs::read_dir(root().join("tests/data/crds")).expect("CRDs").flatten();
    let texts = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let mut objects = texts.flat_map(|path| documents(&std::fs::read_to_string(path).expect("text")));
    match objects.find(|object| object["metadata"]["name"] == name.as_str()) {
        Some(crd) if crd["spec"]["scope"] == "Cluster" => Scope::Cluster,
        _ => Scope::Namespaced,
    }
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
/// `UPDATE_DEPLOY=1`.
fn holds_between(path: &str, begin: &str, end: &str, expected: &str) {
    let text = read(path);
    let start = text.find(begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let start = start + text[start..].find('\n').expect("a line") + 1;
    let stop = start + text[start..].find(end).unwrap_or_else(|| panic!("{path} has no {end}"));
    let whole = format!("{}{expected}{}", &text[..start], &text[stop..]);
    if std::env::var_os("UPDATE_DEPLOY").is_some() {
        std::fs::write(root().join(path), &whole).expect("writable");
    }
    let found = read(path);
    assert!(
        found == whole,
        "{path} differs from the registry of routers: run the tests once with UPDATE_DEPLOY=1"
    );
}

/// An overlay cannot ask for values: it gives all the rights that the chart can give, written out.
#[test]
fn the_overlays_give_the_rights_of_a_chart_with_everything_on() {
    let objects = chart(&["rbac.meshes={all}"]);
    let rules = object(&objects, "ClusterRole vexil")["rules"].as_array().expect("rules").clone();
    let list = |value: &Value| {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        let quoted = items.map(|text| if text.is_empty() || text == "*" { format!("\"{text}\"") } else { text.to_owned() });
        quoted.collect::<Vec<_>>().join(", ")
    };
    let mut text = String::new();
    for rule in &rules {
        let mut start = "- ";
        for field in ["apiGroups", "resources", "nonResourceURLs", "verbs"] {
            if !rule[field].is_null() {
                text += &format!("  {start}{field}: [{}]\n", list(&rule[field]));
                start = "  ";
            }
        }
    }
    holds_between("deploy/kustomize/base/vexil/account.yaml", "  # rights: begin", "  # rights: end", &text);
}

/// The rights that a rendered chart gives in all: verb, group and resource, and whether in all namespaces.
pub(crate) fn rights(objects: &[Value]) -> BTreeSet<(String, String, String, bool)> {
    let mut found = BTreeSet::new();
    let texts = |value: &Value| {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    for role in objects.iter().filter(|object| ["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap_or(""))) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    let everywhere = role["kind"] == "ClusterRole";
                    found.extend(
                        texts(&rule["verbs"]).into_iter().map(|verb| (verb, group.clone(), resource.clone(), everywhere)),
                    );
                }
            }
        }
    }
    found
}

#[rstest]
#[case::nothing_said_is_all(&[], &["destinationrules", "httpproxies", "virtualservices"])]
#[case::one(&["meshProvider=istio"], &["destinationrules", "virtualservices"])]
#[case::another(&["meshProvider=contour"], &["httpproxies"])]
#[case::none_needed(&["meshProvider=kubernetes"], &[])]
#[case::several(&["meshProvider=kubernetes", "rbac.meshes={contour,istio}"], &["destinationrules", "httpproxies", "virtualservices"])]
#[case::in_one_text(&["meshProvider=kubernetes", "rbac.meshes=contour"], &["httpproxies"])]
#[case::all(&["meshProvider=kubernetes", "rbac.meshes={all}"], &["destinationrules", "httpproxies", "virtualservices"])]
fn a_controller_may_write_the_objects_of_its_meshes_alone(#[case] values: &[&str], #[case] expected: &[&str]) {
    let rights = rights(&chart(values));
    let of_interest = ["destinationrules", "httpproxies", "virtualservices"];
    let found: BTreeSet<&str> = rights
        .iter()
        .map(|(_, _, resource, _)| resource.as_str())
        .filter(|resource| of_interest.contains(resource))
        .collect();
    assert_eq!(found, expected.iter().copied().collect());
}

#[test]
fn a_mesh_that_is_none_stops_the_installation() {
    for value in ["meshProvider=itsio", "rbac.meshes={contour,envoy}"] {
        let refused = helm_template(&[value]).output().expect("Helm");
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && text.contains("is no mesh: there are all, contour, "), "{text}");
    }
}

#[rstest]
#[case::tracking_off(&["configTracking.enabled=false"], &[("get", "secrets")])]
#[case::tracking_on(&[], &[
    ("create", "configmaps"), ("create", "secrets"), ("delete", "configmaps"), ("delete", "secrets"), ("get", "configmaps"),
    ("get", "secrets"), ("list", "configmaps"), ("list", "secrets"), ("patch", "configmaps"), ("patch", "secrets"),
    ("watch", "configmaps"), ("watch", "secrets"),
])]
fn without_config_tracking_no_secret_can_be_listed_or_written(
    #[case] values: &[&str],
    #[case] expected: &[(&str, &str)],
) {
    let rights = rights(&chart(values));
    let found: Vec<(&str, &str)> = rights
        .iter()
        .map(|(verb, _, resource, _)| (verb.as_str(), resource.as_str()))
        .filter(|(_, resource)| ["configmaps", "secrets"].contains(resource))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn kinds_that_are_not_released_need_no_rights() {
    let rights = rights(&chart(&["rbac.targets={Deployment}", "rbac.autoscalers=null", "rbac.metricProviders=null"]));
    let has = |resource: &str| rights.iter().any(|(_, _, found, _)| found == resource);
    assert!(has("deployments") && !has("daemonsets"), "{rights:?}");
    assert!(!has("horizontalpodautoscalers") && !has("scaledobjects") && !has("analyses"), "{rights:?}");
}

#[test]
fn in_one_namespace_no_right_goes_beyond_it() {
    let objects = chart(&["namespace=shop", "leaderElection.enabled=true", "rbac.meshes={all}"]);
    let role = object(&objects, "Role vexil");
    let (binding, account) = (object(&objects, "RoleBinding vexil"), &object(&objects, "RoleBinding vexil")["subjects"][0]);
    assert_eq!((&role["metadata"]["namespace"], &binding["metadata"]["namespace"]), (&"shop".into(), &"shop".into()));
    assert_eq!((&binding["roleRef"]["kind"], &account["namespace"]), (&"Role".into(), &"istio-system".into()));
    // What is in no namespace at all.
    for (verb, group, resource, _) in rights(&objects).iter().filter(|right| right.3) {
        assert!(scope_of(group, resource) == Scope::Cluster, "{verb} {group} {resource}");
    }
    let rules = &object(&objects, "ClusterRole vexil")["rules"];
    assert_eq!(rules[0], serde_json::json!({"nonResourceURLs": ["/version"], "verbs": ["get"]}));
}

#[rstest]
#[case::all_namespaces(&["leaderElection.enabled=true"], "istio-system")]
#[case::one_namespace(&["leaderElection.enabled=true", "namespace=shop"], "shop")]
fn the_lease_is_the_only_one_that_can_be_written(#[case] values: &[&str], #[case] namespace: &str) {
    let objects = chart(values);
    assert!(!rights(&objects).iter().any(|(_, _, resource, everywhere)| resource == "leases" && *everywhere));
    let role = object(&objects, "Role vexil-leader-election");
    assert_eq!(role["metadata"]["namespace"], namespace);
    let rule = |verbs: &[&str]| {
        let rules = role["rules"].as_array().into_iter().flatten();
        rules.filter(|rule| rule["verbs"] == serde_json::json!(verbs)).cloned().collect::<Vec<_>>()
    };
    let named = rule(&["get", "update"]);
    assert_eq!(named[0]["resourceNames"], serde_json::json!([vexil::controller::lease::NAME]));
    assert_eq!((named.len(), rule(&["create"]).len()), (1, 1));
    assert!(!names(&chart(&[])).iter().any(|name| name.contains("leader-election")));
}

#[test]
fn no_right_goes_beyond_what_flaggers_role_names() {
    // spec: 01/API-109
    for (verb, group, resource, _) in &rights(&chart(&["leaderElection.enabled=true"])) {
        let resource = resource.as_str();
        assert!(!["pods", "namespaces", "nodes"].contains(&resource) && !resource.ends_with("/scale"), "{resource}");
        assert!(group != "events.k8s.io" && !group.contains("rbac"), "{group}");
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
        assert!(verbs.contains(&verb.as_str()), "{verb} {resource}");
    }
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
#[case("namespace=shop", &["Role vexil", "RoleBinding vexil"])]
#[case("crd.create=true", &[
    "CustomResourceDefinition alertproviders.flagger.app",
    "CustomResourceDefinition canaries.flagger.app",
    "CustomResourceDefinition metrictemplates.flagger.app",
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

#[rstest]
#[case("istio", "istio-system", "-mesh-provider=istio", "-metrics-server=http://prometheus:9090")]
#[case(
    "kubernetes",
    "flagger-system",
    "-mesh-provider=kubernetes",
    "-metrics-server=http://flagger-prometheus:9090"
)]
fn an_overlay_has_the_namespace_and_arguments_of_flaggers(
    #[case] overlay: &str,
    #[case] namespace: &str,
    #[case] provider: &str,
    #[case] metrics: &str,
) {
    // spec: 01/API-110
    let folder = root().join("deploy/kustomize").join(overlay);
    let text = output(Command::new("kubectl").arg("kustomize").arg(folder));
    let objects = documents(&text);
    let deployment = object(&objects, "Deployment flagger");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&deployment["metadata"]["namespace"], &container["name"]),
        (&namespace.into(), &"flagger".into())
    );
    let expected = ["-log-level=info", "-include-label-prefix=app.kubernetes.io", provider, metrics];
    assert_eq!(container["args"], Value::from(expected.to_vec()));
    let subject = &object(&objects, "ClusterRoleBinding flagger")["subjects"][0];
    assert_eq!(subject["namespace"], namespace);
}

// Each rule of the Pod Security Standard "restricted".

#[rstest]
#[case::chart(&["prometheus.install=true"], 2)]
#[case::with_another_user(&["securityContext.context.runAsUser=20001"], 1)]
#[case::as_flaggers_users_write_it(&["securityContext.enabled=true", "securityContext.context.readOnlyRootFilesystem=true"], 1)]
#[case::with_another_cluster(&["controlplane.kubeconfig.secretName=x"], 1)]
fn a_namespace_of_restricted_pods_takes_those_of_the_chart(#[case] values: &[&str], #[case] deployments: usize) {
    let objects = chart(values);
    let all: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Deployment").collect();
    assert_eq!(deployments, all.len());
    for deployment in all {
        assert_eq!(Vec::<String>::new(), violations(&deployment["spec"]["template"]["spec"]));
    }
}

#[rstest]
fn a_namespace_of_restricted_pods_takes_those_of_the_overlays(#[values("istio", "kubernetes")] overlay: &str) {
    let folder = root().join("deploy/kustomize").join(overlay);
    for object in documents(&output(Command::new("kubectl").arg("kustomize").arg(folder))) {
        if object["kind"] == "Deployment" {
            assert_eq!(Vec::<String>::new(), violations(&object["spec"]["template"]["spec"]), "{}", name(&object));
        }
    }
}

#[test]
fn each_rule_of_restricted_is_looked_at() {
    let good = object(&chart(&[]), "Deployment vexil")["spec"]["template"]["spec"].clone();
    for (path, bad) in [
        ("/hostNetwork", serde_json::json!(true)),
        ("/hostPID", serde_json::json!(true)),
        ("/hostIPC", serde_json::json!(true)),
        ("/volumes", serde_json::json!([{"name": "x", "hostPath": {"path": "/"}}])),
        ("/securityContext", serde_json::json!({"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}, {"name": "net.core.somaxconn", "value": "9"}]})),
        ("/securityContext", serde_json::json!({"runAsUser": 0})),
        ("/containers/0/ports/0/hostPort", serde_json::json!(80)),
        ("/containers/0/securityContext/privileged", serde_json::json!(true)),
        ("/containers/0/securityContext/procMount", serde_json::json!("Unmasked")),
        ("/containers/0/securityContext/seLinuxOptions", serde_json::json!({"type": "spc_t"})),
        ("/containers/0/securityContext/appArmorProfile", serde_json::json!({"type": "Unconfined"})),
        ("/containers/0/securityContext/allowPrivilegeEscalation", Value::Null),
        ("/containers/0/securityContext/runAsNonRoot", Value::Null),
        ("/containers/0/securityContext/runAsUser", serde_json::json!(0)),
        ("/containers/0/securityContext/seccompProfile", Value::Null),
        ("/containers/0/securityContext/capabilities", serde_json::json!({"drop": ["NET_RAW"]})),
        ("/containers/0/securityContext/capabilities", serde_json::json!({"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
    ] {
        let mut pod = good.clone();
        let (parent, field) = path.rsplit_once('/').expect("a path");
        pod.pointer_mut(parent).expect("a place")[field] = bad;
        assert_eq!(1, violations(&pod).len(), "{path}: {:?}", violations(&pod));
    }
}

/// What the Pod Security Standard "restricted" refuses in a pod, in its own order.
fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut refuse = |rule: &str, broken: bool| {
        if broken {
            found.push(rule.to_owned());
        }
    };
    let all = ["containers", "initContainers", "ephemeralContainers"];
    let containers: Vec<&Value> = all.iter().flat_map(|kind| pod[*kind].as_array().into_iter().flatten()).collect();
    let contexts: Vec<&Value> = containers.iter().map(|container| &container["securityContext"]).collect();
    let whole = &pod["securityContext"];
    let both = || contexts.iter().copied().chain([whole]);
    let within = |value: &Value, allowed: &[&str]| value.is_null() || allowed.iter().any(|name| value == name);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    // What a container does not say, its pod says for it.
    let said = |context: &Value, field: &str| match &context[field] {
        Value::Null => whole[field].clone(),
        value => value.clone(),
    };

    refuse("host namespaces", ["hostNetwork", "hostPID", "hostIPC"].iter().any(|field| pod[*field] == true));
    refuse("privileged", contexts.iter().any(|context| context["privileged"] == true));
    refuse("hostPath", list(&pod["volumes"]).iter().any(|volume| !volume["hostPath"].is_null()));
    let ports = containers.iter().flat_map(|container| list(&container["ports"]));
    refuse("host ports", ports.into_iter().any(|port| port["hostPort"].as_i64().unwrap_or_default() != 0));
    refuse("AppArmor", both().any(|context| context["appArmorProfile"]["type"] == "Unconfined"));
    let types = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    refuse("SELinux", both().any(|context| {
        let options = &context["seLinuxOptions"];
        !within(&options["type"], &types) || !options["user"].is_null() || !options["role"].is_null()
    }));
    refuse("/proc", contexts.iter().any(|context| !within(&context["procMount"], &["Default"])));
    let sysctls = ["kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"];
    refuse("sysctls", list(&whole["sysctls"]).iter().any(|sysctl| !within(&sysctl["name"], &sysctls)));
    let kinds = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "hostPath", "persistentVolumeClaim", "projected", "secret"];
    refuse("kinds of volumes", list(&pod["volumes"]).iter().any(|volume| {
        volume.as_object().is_some_and(|fields| fields.keys().any(|key| key != "name" && !kinds.contains(&key.as_str())))
    }));
    refuse("privilege escalation", contexts.iter().any(|context| context["allowPrivilegeEscalation"] != false));
    let not_root = |context: &&Value| said(context, "runAsNonRoot") == true;
    refuse("runAsNonRoot", !contexts.iter().all(not_root));
    refuse("runAsUser", both().any(|context| context["runAsUser"] == 0));
    let seccomp = |context: &&Value| ["RuntimeDefault", "Localhost"].iter().any(|kind| said(context, "seccompProfile")["type"] == *kind);
    refuse("seccomp", !contexts.iter().all(seccomp));
    refuse("capabilities", contexts.iter().any(|context| {
        let capabilities = &context["capabilities"];
        !list(&capabilities["drop"]).contains(&"ALL".into())
            || list(&capabilities["add"]).iter().any(|added| added != "NET_BIND_SERVICE")
    }));
    // Not one of them, and ours all the same.
    refuse("read-only root", contexts.iter().any(|context| context["readOnlyRootFilesystem"] != true));
    found
}

#[test]
fn a_network_policy_lets_out_what_the_controller_may_call() {
    let objects = chart(&["networkPolicy.enabled=true", "egress.deny={203.0.113.0/24,2001:db8::1}", "egress.allow={169.254.7.7}"]);
    let spec = &object(&objects, "NetworkPolicy vexil")["spec"];
    let pod = &object(&objects, "Deployment vexil")["spec"]["template"]["metadata"]["labels"];
    for (key, value) in spec["podSelector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(&pod[key], value);
    }
    let blocks: Vec<&Value> = spec["egress"][1]["to"].as_array().expect("peers").iter().map(|peer| &peer["ipBlock"]).collect();
    let except = |cidr: &str| {
        let block = blocks.iter().find(|block| block["cidr"] == cidr).unwrap_or_else(|| panic!("no {cidr} in {spec}"));
        block["except"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (four, six) = (except("0.0.0.0/0"), except("::/0"));
    for network in vexil::http::Egress::ALWAYS_DENIED.iter().copied().chain(["203.0.113.0/24", "2001:db8::1/128"]) {
        assert!(if network.contains(':') { six.contains(network) } else { four.contains(network) }, "{network}");
    }
    assert!(except("169.254.7.7/32").is_empty());
    assert_eq!(spec["ingress"][0]["ports"][0]["port"], "http");

    let closed = chart(&["networkPolicy.enabled=true", "egress.deny={0.0.0.0/0,::/0}", "egress.allow={10.0.0.0/8}"]);
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
    for value in values {
        command.args(["--set", value]);
    }
    command
}

fn helm() -> PathBuf {
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
