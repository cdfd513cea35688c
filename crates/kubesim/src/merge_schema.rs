//! How the fields of a kind merge: which lists are sets or maps and by which keys, which objects are one value.
//!
//! Two questions are answered from one table: *who owns what* (server-side apply, see `apply`) and *what does
//! a strategic merge patch mean* (see `patch`). The two differ in places: a container's ports are owned by
//! port and protocol, but patched by port alone. What the table does not name follows the default:
//! objects merge field by field, lists are one value.

mod builtin;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// How the fields of one kind merge.
#[derive(Clone, Debug, PartialEq)]
pub struct MergeSchema {
    root: Arc<Node>,
    status_subresource: bool,
    /// The API's own types have no null: a field that is null is not there.
    nulls: bool,
}

impl MergeSchema {
    /// For a built-in kind; kinds without special fields get the default.
    pub fn for_builtin(group: &str, kind: &str) -> Self {
        builtin::schema(group, kind)
    }

    /// For a custom kind, from `openAPIV3Schema` of one version. Call [`Self::with_status_subresource`] if
    /// the version has one.
    pub fn from_crd_schema(schema: &Value) -> Self {
        let mut root = Node::from_open_api(schema);
        root.fields.insert("metadata".into(), Arc::new(builtin::object_meta()));
        Self { root: Arc::new(root), status_subresource: false, nulls: true }
    }

    /// Whether `status` belongs to the status subresource, so that main writes neither change nor own it.
    pub fn with_status_subresource(mut self, yes: bool) -> Self {
        self.status_subresource = yes;
        self
    }

    /// See [`Self::with_status_subresource`].
    pub fn has_status_subresource(&self) -> bool {
        self.status_subresource
    }

    /// Whether null is a value of its own, rather than the absence of one.
    pub fn has_nulls(&self) -> bool {
        self.nulls
    }

    /// The whole object.
    pub fn root(&self) -> &Node {
        &self.root
    }
}

/// How one field merges, and those within it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    fields: BTreeMap<String, Arc<Node>>,
    /// The items of a list, or the values of a map.
    each: Option<Arc<Node>>,
    list: ListType,
    atomic: bool,
    implied: bool,
    patch: PatchStrategy,
    retain_keys: bool,
}

/// What a list is to server-side apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ListType {
    /// One value: the manager that writes it owns all of it.
    #[default]
    Atomic,
    /// Each value is owned by itself.
    Set,
    /// Each item is known by these fields and owned field by field.
    Map(Vec<ListKey>),
}

/// A field that tells the items of a list apart.
#[derive(Clone, Debug, PartialEq)]
pub struct ListKey {
    pub name: String,
    /// What an item means that does not have the field.
    pub default: Option<Value>,
}

/// What a list is to a strategic merge patch.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PatchStrategy {
    /// The patch's list takes the place of the other.
    #[default]
    Replace,
    /// Values of the patch are added unless they are there.
    MergeValues,
    /// Items merge with those of the same key.
    MergeBy(String),
}

static DEFAULT: Node = Node {
    fields: BTreeMap::new(),
    each: None,
    list: ListType::Atomic,
    atomic: false,
    implied: false,
    patch: PatchStrategy::Replace,
    retain_keys: false,
};

impl Node {
    /// How a field of this object merges.
    pub fn field(&self, name: &str) -> &Node {
        self.fields.get(name).map_or_else(|| self.item(), Arc::as_ref)
    }

    /// How an item of this list, or a value of this map, merges.
    pub fn item(&self) -> &Node {
        self.each.as_deref().unwrap_or(&DEFAULT)
    }

    /// The named fields that do not follow the default.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.fields.iter().map(|(name, node)| (name.as_str(), node.as_ref()))
    }

    /// What this is if it is a list.
    pub fn list(&self) -> &ListType {
        &self.list
    }

    /// Whether an object here is one value.
    pub fn is_atomic(&self) -> bool {
        self.atomic
    }

    /// Whether the API has this object even if nobody wrote it, so that nobody owns its existence.
    pub fn is_implied(&self) -> bool {
        self.implied
    }

    /// How a strategic merge patch treats a list here.
    pub fn patch_strategy(&self) -> &PatchStrategy {
        &self.patch
    }

    /// Whether a strategic merge patch names in `$retainKeys` the only fields to keep.
    pub fn retains_keys(&self) -> bool {
        self.retain_keys
    }

    fn from_open_api(schema: &Value) -> Self {
        let mut node = Node::default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let child = Self::from_open_api(property);
            if child != DEFAULT {
                node.fields.insert(name.clone(), Arc::new(child));
            }
        }
        let each = match (&schema["items"], &schema["additionalProperties"]) {
            (items @ Value::Object(_), _) => Some(items),
            (_, values @ Value::Object(_)) => Some(values),
            _ => None,
        };
        node.each = each.map(Self::from_open_api).filter(|n| *n != DEFAULT).map(Arc::new);
        node.atomic = schema["x-kubernetes-map-type"] == "atomic";
        node.list = match schema["x-kubernetes-list-type"].as_str() {
            Some("set") => ListType::Set,
            Some("map") => ListType::Map(list_keys(schema)),
            _ => ListType::Atomic,
        };
        if schema["x-kubernetes-embedded-resource"] == true {
            node.fields.insert("metadata".into(), Arc::new(builtin::object_meta()));
        }
        node
    }
}

fn list_keys(schema: &Value) -> Vec<ListKey> {
    let mut keys: Vec<ListKey> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| ListKey {
            name: name.into(),
            default: schema["items"]["properties"][name].get("default").cloned(),
        })
        .collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    keys
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn at<'a>(node: &'a Node, path: &str) -> &'a Node {
        path.split('.').fold(node, |node, step| match step {
            "*" => node.item(),
            name => node.field(name),
        })
    }

    fn keys(list: &ListType) -> Vec<&str> {
        match list {
            ListType::Map(keys) => keys.iter().map(|k| k.name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    #[rstest]
    #[case("apps", "Deployment", "spec.template.spec.containers", &["name"], Some("name"))]
    #[case("apps", "Deployment", "spec.template.spec.containers.*.ports", &["containerPort", "protocol"], Some("containerPort"))]
    #[case("apps", "Deployment", "spec.template.spec.containers.*.env", &["name"], Some("name"))]
    #[case("apps", "Deployment", "spec.template.spec.containers.*.volumeMounts", &["mountPath"], Some("mountPath"))]
    #[case("apps", "DaemonSet", "spec.template.spec.volumes", &["name"], Some("name"))]
    #[case("apps", "Deployment", "spec.template.spec.topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"], Some("topologyKey"))]
    #[case("apps", "Deployment", "status.conditions", &["type"], Some("type"))]
    #[case("apps", "Deployment", "spec.template.spec.tolerations", &[], None)]
    #[case("", "Pod", "spec.imagePullSecrets", &["name"], Some("name"))]
    #[case("", "Service", "spec.ports", &["port", "protocol"], Some("port"))]
    #[case("", "ConfigMap", "metadata.ownerReferences", &["uid"], Some("uid"))]
    #[case("autoscaling", "HorizontalPodAutoscaler", "spec.metrics", &[], None)]
    #[case("networking.k8s.io", "Ingress", "spec.rules", &[], None)]
    #[case("batch", "CronJob", "spec.jobTemplate.spec.template.spec.containers", &["name"], Some("name"))]
    #[case("shop.example", "Unknown", "spec.containers", &[], None)]
    fn lists_of_built_in_kinds_have_their_keys(
        #[case] group: &str,
        #[case] kind: &str,
        #[case] path: &str,
        #[case] owned_by: &[&str],
        #[case] patched_by: Option<&str>,
    ) {
        let schema = MergeSchema::for_builtin(group, kind);
        let node = at(schema.root(), path);
        assert_eq!(owned_by, keys(node.list()));
        let patch = match node.patch_strategy() {
            PatchStrategy::MergeBy(key) => Some(key.as_str()),
            _ => None,
        };
        assert_eq!(patched_by, patch);
    }

    #[rstest]
    #[case("apps", "Deployment", "spec.selector", true)]
    #[case("apps", "Deployment", "spec.template.spec.nodeSelector", true)]
    #[case("", "Service", "spec.selector", true)]
    #[case("", "ConfigMap", "data", false)]
    #[case("apps", "Deployment", "metadata.labels", false)]
    fn some_objects_are_one_value(
        #[case] group: &str,
        #[case] kind: &str,
        #[case] path: &str,
        #[case] atomic: bool,
    ) {
        assert_eq!(atomic, at(MergeSchema::for_builtin(group, kind).root(), path).is_atomic());
    }

    #[test]
    fn the_status_of_built_in_kinds_is_a_subresource_where_the_kind_has_one() {
        assert!(MergeSchema::for_builtin("apps", "Deployment").has_status_subresource());
        assert!(!MergeSchema::for_builtin("", "ConfigMap").has_status_subresource());
    }

    #[test]
    fn a_custom_kind_merges_as_its_schema_says() {
        let schema = MergeSchema::from_crd_schema(&json!({
            "type": "object",
            "properties": {"spec": {"type": "object", "properties": {
                "plain": {"type": "array", "items": {"type": "string"}},
                "hosts": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "ports": {
                    "type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["port", "name"],
                    "items": {"type": "object", "properties": {
                        "name": {"type": "string", "default": "main"}, "port": {"type": "integer"},
                    }},
                },
                "ref": {"type": "object", "x-kubernetes-map-type": "atomic"},
                "byName": {"type": "object", "additionalProperties": {
                    "type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"},
                }},
            }}},
        }));
        let root = schema.root();
        assert_eq!(&ListType::Atomic, at(root, "spec.plain").list());
        assert_eq!(&ListType::Set, at(root, "spec.hosts").list());
        assert_eq!(vec!["name", "port"], keys(at(root, "spec.ports").list()));
        assert!(
            matches!(at(root, "spec.ports").list(), ListType::Map(keys) if keys[0].default == Some(json!("main")))
        );
        assert!(at(root, "spec.ref").is_atomic());
        assert_eq!(&ListType::Set, at(root, "spec.byName.any").list());
        assert_eq!(vec!["uid"], keys(at(root, "metadata.ownerReferences").list()));
    }
}
