//! What clients ask first: which groups, versions and resources there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kinds::ResourceKind;

/// The version that this API speaks.
const MINOR: &str = "37";

/// Which of the two trees of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `/api`: the core group.
    Core,
    /// `/apis`: all others.
    Groups,
}

impl Root {
    fn has(self, kind: &ResourceKind) -> bool {
        (self == Self::Core) == kind.group.is_empty()
    }
}

/// `/version`
pub fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "emulationMajor": "1",
        "emulationMinor": MINOR,
        "gitVersion": format!("v1.{MINOR}.0+kubesim"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// `/api`
pub fn api_versions() -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    })
}

/// `/apis`
pub fn api_groups(kinds: &[ResourceKind]) -> Value {
    let groups: Vec<Value> =
        groups(kinds, Root::Groups).iter().map(|(name, versions)| group_object(name, versions)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/{group}`
pub fn api_group(kinds: &[ResourceKind], group: &str) -> Option<Value> {
    let all = groups(kinds, Root::Groups);
    let (name, versions) = all.iter().find(|(name, _)| *name == group)?;
    let mut object = group_object(name, versions);
    object["kind"] = json!("APIGroup");
    object["apiVersion"] = json!("v1");
    Some(object)
}

/// `/apis/{group}/{version}`, or `/api/{version}` for the empty group.
pub fn api_resources(kinds: &[ResourceKind], group: &str, version: &str) -> Option<Value> {
    let served: Vec<&ResourceKind> =
        kinds.iter().filter(|k| k.group == group && k.version == version).collect();
    let first = served.first()?;
    let resources: Vec<Value> = served.iter().flat_map(|kind| resource_objects(kind)).collect();
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": first.api_version(),
        "resources": resources,
    }))
}

/// All of one tree at once, in the form `apidiscovery.k8s.io/v2`.
pub fn aggregated(kinds: &[ResourceKind], root: Root) -> Value {
    let items: Vec<Value> = groups(kinds, root)
        .into_iter()
        .map(|(name, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| {
                    let served = kinds.iter().filter(|k| k.group == name && k.version == version);
                    let resources: Vec<Value> = served.map(aggregated_resource).collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            json!({"metadata": {"name": name}, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

/// Groups in the order in which they first occur, each with its versions, the preferred one first.
fn groups(kinds: &[ResourceKind], root: Root) -> Vec<(&str, Vec<&str>)> {
    let mut order = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for kind in kinds.iter().filter(|k| root.has(k)) {
        let known = versions.entry(&kind.group).or_insert_with(|| {
            order.push(kind.group.as_str());
            Vec::new()
        });
        if !known.contains(&kind.version.as_str()) {
            known.push(&kind.version);
        }
    }
    for known in versions.values_mut() {
        known.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    order.into_iter().map(|name| (name, versions.remove(name).unwrap_or_default())).collect()
}

/// `v2` before `v1` before `v1beta2` before `v1alpha1` before everything else.
fn priority(version: &str) -> (u8, u32, u32) {
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let Ok(major) = rest[..digits].parse() else { return (0, 0, 0) };
    let stage = |word: &str| rest[digits..].strip_prefix(word).and_then(|n| n.parse().ok());
    match (rest[digits..].is_empty(), stage("beta"), stage("alpha")) {
        (true, ..) => (3, major, 0),
        (_, Some(minor), _) => (2, major, minor),
        (_, _, Some(minor)) => (1, major, minor),
        _ => (0, 0, 0),
    }
}

fn group_object(name: &str, versions: &[&str]) -> Value {
    let version = |v: &&str| json!({"groupVersion": format!("{name}/{v}"), "version": v});
    json!({
        "name": name,
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(version),
    })
}

fn resource_objects(kind: &ResourceKind) -> Vec<Value> {
    let mut main = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        main["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        main["categories"] = json!(kind.categories);
    }
    let mut all = vec![main];
    for sub in subresources(kind) {
        let mut object = json!({
            "name": format!("{}/{}", kind.plural, sub.name),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": sub.kind,
            "verbs": sub.verbs,
        });
        if (sub.group, sub.version) != (kind.group.as_str(), kind.version.as_str()) {
            object["group"] = json!(sub.group);
            object["version"] = json!(sub.version);
        }
        all.push(object);
    }
    all
}

fn aggregated_resource(kind: &ResourceKind) -> Value {
    let mut object = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        object["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        object["categories"] = json!(kind.categories);
    }
    let subs: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subs.is_empty() {
        object["subresources"] = json!(subs);
    }
    object
}

struct Subresource<'a> {
    name: &'static str,
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    verbs: &'static [&'static str],
}

fn subresources(kind: &ResourceKind) -> Vec<Subresource<'_>> {
    const VERBS: &[&str] = &["get", "patch", "update"];
    let mut all = Vec::new();
    if kind.has_scale {
        all.push(Subresource {
            name: "scale",
            group: "autoscaling",
            version: "v1",
            kind: "Scale",
            verbs: VERBS,
        });
    }
    if kind.has_status {
        let (group, version) = (kind.group.as_str(), kind.version.as_str());
        all.push(Subresource { name: "status", group, version, kind: &kind.kind, verbs: VERBS });
    }
    if kind.group.is_empty() && kind.kind == "Pod" {
        all.push(Subresource {
            name: "eviction",
            group: "policy",
            version: "v1",
            kind: "Eviction",
            verbs: &["create"],
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::kinds;

    fn custom(version: &str) -> ResourceKind {
        let mut kind = kinds::find("", "ConfigMap").expect("built in");
        kind.group = "flagger.app".into();
        kind.version = version.into();
        kind.kind = "Canary".into();
        kind.plural = "canaries".into();
        kind
    }

    #[test]
    fn groups_name_their_versions_the_preferred_one_first() {
        let groups = api_groups(&kinds::builtin());
        let group = groups["groups"]
            .as_array()
            .and_then(|all| all.iter().find(|g| g["name"] == "autoscaling"))
            .cloned()
            .unwrap_or_default();
        assert_eq!(
            json!({
                "name": "autoscaling",
                "versions": [
                    {"groupVersion": "autoscaling/v2", "version": "v2"},
                    {"groupVersion": "autoscaling/v1", "version": "v1"},
                ],
                "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
            }),
            group
        );
    }

    #[test]
    fn versions_are_preferred_by_their_maturity() {
        let kinds: Vec<_> = ["v1alpha3", "odd", "v1beta1", "v1", "v1beta2", "v2alpha1"].map(custom).into();
        let group = api_group(&kinds, "flagger.app").expect("the group");
        let names: Vec<_> =
            group["versions"].as_array().expect("a list").iter().map(|v| v["version"].clone()).collect();
        assert_eq!(json!(["v1", "v1beta2", "v1beta1", "v2alpha1", "v1alpha3", "odd"]), json!(names));
        assert_eq!(None, api_group(&kinds, "nowhere"));
    }

    #[test]
    fn a_version_lists_its_resources_and_their_subresources() {
        let list = api_resources(&kinds::builtin(), "apps", "v1").expect("the version");
        assert_eq!("apps/v1", list["groupVersion"]);
        let find = |name: &str| {
            list["resources"].as_array().and_then(|all| all.iter().find(|r| r["name"] == name)).cloned()
        };
        assert_eq!(
            Some(json!({
                "name": "deployments", "singularName": "deployment", "namespaced": true, "kind": "Deployment",
                "verbs": kinds::ALL_VERBS, "shortNames": ["deploy"], "categories": ["all"],
            })),
            find("deployments")
        );
        assert_eq!(
            Some(json!({
                "name": "deployments/scale", "singularName": "", "namespaced": true, "kind": "Scale",
                "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"],
            })),
            find("deployments/scale")
        );
        assert_eq!(Some(json!("Deployment")), find("deployments/status").map(|r| r["kind"].clone()));
        assert_eq!(None, find("daemonsets/scale"));
        assert_eq!(None, api_resources(&kinds::builtin(), "apps", "v2"));
    }

    #[rstest]
    #[case(Root::Core, 1, "pods")]
    #[case(Root::Groups, 13, "deployments")]
    fn aggregated_discovery_has_a_whole_tree(
        #[case] root: Root,
        #[case] groups: usize,
        #[case] resource: &str,
    ) {
        let list = aggregated(&kinds::builtin(), root);
        let items = list["items"].as_array().expect("a list");
        assert_eq!(groups, items.len());
        let resources: Vec<&Value> = items
            .iter()
            .flat_map(|g| g["versions"].as_array().expect("versions"))
            .flat_map(|v| v["resources"].as_array().expect("resources"))
            .collect();
        let found = resources.iter().find(|r| r["resource"] == resource).expect("the resource");
        assert_eq!("Namespaced", found["scope"]);
        assert!(
            found["subresources"].as_array().is_some_and(|s| s.iter().any(|s| s["subresource"] == "status"))
        );
    }

    #[test]
    fn the_version_can_be_read_as_a_number() {
        assert_eq!(Some(37), version()["minor"].as_str().and_then(|m| m.parse::<u32>().ok()));
    }
}
