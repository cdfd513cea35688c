//! The rights that chart and overlays give: what the registry of routers needs, as far as it is switched on.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;
use serde_json::Value;
use vexil::router::{Access, Mesh, registry};

use super::{chart, helm_template, holds_between, names, object, root};

#[test]
fn chart_and_overlays_give_the_rights_that_the_routers_need() {
    // spec: 01/API-109
    let template = "deploy/charts/vexil/templates/rbac.yaml";
    let blocks = |scope: Scope| registry::all().map(|mesh| mesh_block(mesh, scope)).collect::<String>();
    holds_between(template, "  # meshes: begin", "  # meshes: end", &blocks(Scope::Namespaced));
    holds_between(template, "  # cluster meshes: begin", "  # cluster meshes: end", &blocks(Scope::Cluster));
    let metrics = METRICS.iter().filter(|(name, _)| vexil::metrics::known().contains(name));
    let block = |(name, rules): &(&str, &str)| {
        format!("  {{{{- if has \"{name}\" .Values.rbac.metricProviders }}}}\n{rules}  {{{{- end }}}}\n")
    };
    let metrics: String = metrics.map(block).collect();
    holds_between(template, "  # metrics: begin", "  # metrics: end", &metrics);
    the_overlays_give_the_rights_of_a_chart_with_everything_on();
    for right in registry::MESHES.iter().flat_map(|mesh| mesh.rights) {
        let collected = scope_of(right.kind.group, right.kind.plural) == Scope::Namespaced;
        assert!(right.access != Access::Make || collected, "nobody deletes {}", right.kind.plural);
    }
}

/// The rights of metric providers that ask the cluster's API.
const METRICS: [(&str, &str); 2] = [
    (
        "externalmetrics",
        "  # Read by the name of the metric, which the API counts as a list.\n  - apiGroups: [external.metrics.k8s.io]\n    \
         resources: [\"*\"]\n    verbs: [list]\n",
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
        (Access::Make, "list, watch, create, patch"),
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
    let uses = format!("include \"vexil.uses\" (list . (list {}))", names.join(" "));
    let condition = if names.is_empty() { format!("or .Values.rbac.routeRefs ({uses})") } else { uses };
    format!("  {{{{- if {condition} }}}}\n  # {}\n{rules}  {{{{- end }}}}\n", mesh.title)
}

/// As the CRD of the kind says. Kinds without one are Kubernetes' own, and those that meshes use are in namespaces.
/// Looked up in the text, since parsing all of these files takes long.
fn scope_of(group: &str, plural: &str) -> Scope {
    let name = format!("\n  name: {plural}.{group}\n");
    let files = std::fs::read_dir(root().join("tests/data/crds")).expect("CRDs").flatten();
    let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let is_cluster = |text: String| {
        let mut crds = text.split("\n---");
        crds.any(|crd| crd.contains(&name) && crd.contains("\n  scope: Cluster\n"))
    };
    if texts.into_iter().any(is_cluster) { Scope::Cluster } else { Scope::Namespaced }
}

/// An overlay cannot ask for values: it gives all the rights that the chart can give, written out.
fn the_overlays_give_the_rights_of_a_chart_with_everything_on() {
    let objects = chart(&["rbac.meshes={all}"]);
    let rules = object(&objects, "ClusterRole vexil")["rules"].as_array().expect("rules").clone();
    let list = |value: &Value| {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        let quoted = items
            .map(|text| if text.is_empty() || text == "*" { format!("\"{text}\"") } else { text.to_owned() });
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
        value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for role in objects
        .iter()
        .filter(|object| ["Role", "ClusterRole"].contains(&object["kind"].as_str().unwrap_or("")))
    {
        for rule in role["rules"].as_array().into_iter().flatten() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    let everywhere = role["kind"] == "ClusterRole";
                    found.extend(
                        texts(&rule["verbs"])
                            .into_iter()
                            .map(|verb| (verb, group.clone(), resource.clone(), everywhere)),
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
#[case::adopted_routes(&["meshProvider=kubernetes", "rbac.routeRefs=true"], &["httpproxies", "virtualservices"])]
#[case::several(&["meshProvider=kubernetes", "rbac.meshes={contour,istio}"], &["destinationrules", "httpproxies", "virtualservices"])]
#[case::in_one_text(&["meshProvider=kubernetes", "rbac.meshes=contour"], &["httpproxies"])]
#[case::all(&["meshProvider=kubernetes", "rbac.meshes={all}"], &["destinationrules", "httpproxies", "virtualservices"])]
fn a_controller_may_write_the_objects_of_its_meshes_alone(
    #[case] values: &[&str],
    #[case] expected: &[&str],
) {
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
fn the_objects_of_route_templates_may_be_written_where_the_chart_names_them() {
    let listed = [
        "meshProvider=kubernetes",
        "namespace=shop",
        "rbac.routeTemplates[0].group=mesh.example.com",
        "rbac.routeTemplates[0].resources={lanes,roads}",
        "rbac.routeTemplates[1].group=mesh.example.com",
        "rbac.routeTemplates[1].resources={bridges}",
        "rbac.routeTemplates[1].clusterWide=true",
    ];
    let of_theirs = |values: &[&str]| -> BTreeSet<(String, String, bool)> {
        let all = rights(&chart(values)).into_iter();
        let theirs = all.filter(|(_, group, ..)| group == "mesh.example.com");
        theirs.map(|(verb, _, resource, everywhere)| (verb, resource, everywhere)).collect()
    };
    let right = |resource: &str, everywhere: bool| {
        let verbs = ["create", "delete", "list", "patch", "watch"];
        verbs.map(|verb| (verb.to_owned(), resource.to_owned(), everywhere))
    };
    let expected = [right("lanes", false), right("roads", false), right("bridges", true)];
    assert_eq!(of_theirs(&listed), expected.into_iter().flatten().collect());
    assert_eq!(of_theirs(&listed[..2]), BTreeSet::new(), "nothing is given by itself");
}

#[test]
fn a_mesh_that_is_none_stops_the_installation() {
    for value in ["meshProvider=itsio", "rbac.meshes={contour,envoy}"] {
        let refused = helm_template(&[value]).output().expect("Helm");
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success()
                && text.contains("is no mesh: there are all, ")
                && text.contains(", contour, "),
            "{text}"
        );
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

#[rstest]
#[case::everywhere(&["shadow=true"])]
#[case::in_one_namespace(&["shadow=true", "namespace=shop", "leaderElection.enabled=true"])]
fn a_shadow_may_look_at_all_that_a_controller_looks_at_and_do_nothing(#[case] values: &[&str]) {
    let looks = |values: &[&str]| -> BTreeSet<_> {
        let rights = rights(&chart(&[values, &["rbac.meshes={all}"]].concat()));
        rights.into_iter().filter(|(verb, ..)| ["get", "list", "watch"].contains(&verb.as_str())).collect()
    };
    let all = rights(&chart(&[values, &["rbac.meshes={all}"]].concat()));
    assert_eq!(all, looks(values), "a shadow has no other right");
    let working: Vec<&str> = values.iter().copied().filter(|value| *value != "shadow=true").collect();
    let leases: BTreeSet<_> = looks(&working).into_iter().filter(|right| right.2 != "leases").collect();
    assert_eq!(all, leases, "nor does it look at less");
    assert!(all.len() > 20, "{all:?}");
}

#[test]
fn kinds_that_are_not_released_need_no_rights() {
    let rights =
        rights(&chart(&["rbac.targets={Deployment}", "rbac.autoscalers=null", "rbac.metricProviders=null"]));
    let has = |resource: &str| rights.iter().any(|(_, _, found, _)| found == resource);
    assert!(has("deployments") && !has("daemonsets"), "{rights:?}");
    assert!(!has("horizontalpodautoscalers") && !has("scaledobjects") && !has("analyses"), "{rights:?}");
}

#[test]
fn in_one_namespace_no_right_goes_beyond_it() {
    let objects = chart(&["namespace=shop", "leaderElection.enabled=true", "rbac.meshes={all}"]);
    let role = object(&objects, "Role vexil");
    let (binding, account) =
        (object(&objects, "RoleBinding vexil"), &object(&objects, "RoleBinding vexil")["subjects"][0]);
    assert_eq!(
        (&role["metadata"]["namespace"], &binding["metadata"]["namespace"]),
        (&"shop".into(), &"shop".into())
    );
    assert_eq!(
        (&binding["roleRef"]["kind"], &account["namespace"]),
        (&"Role".into(), &"istio-system".into())
    );
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
    let named = rule(&["get", "update", "watch"]);
    assert_eq!(named[0]["resourceNames"], serde_json::json!([vexil::controller::lease::NAME]));
    assert_eq!((named.len(), rule(&["create"]).len()), (1, 1));
    assert!(!names(&chart(&[])).iter().any(|name| name.contains("leader-election")));
}

#[test]
fn no_right_goes_beyond_what_flaggers_role_names() {
    // spec: 01/API-109
    for (verb, group, resource, _) in &rights(&chart(&["leaderElection.enabled=true"])) {
        let resource = resource.as_str();
        assert!(
            !["pods", "namespaces", "nodes"].contains(&resource) && !resource.ends_with("/scale"),
            "{resource}"
        );
        assert!(group != "events.k8s.io" && !group.contains("rbac"), "{group}");
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete"];
        assert!(verbs.contains(&verb.as_str()), "{verb} {resource}");
    }
}
