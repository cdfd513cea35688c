//! The table of the built-in kinds: their keyed lists and one-value objects, as the API's own types declare them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::json;

use super::super::kinds;
use super::{ListKey, ListType, MergeSchema, Node, PatchStrategy};

/// The schema of a built-in kind, or one that only knows `metadata`.
pub(super) fn schema(group: &str, kind: &str) -> MergeSchema {
    static ALL: LazyLock<BTreeMap<(String, String), MergeSchema>> = LazyLock::new(|| {
        kinds::builtin()
            .into_iter()
            .map(|k| {
                let root = Arc::new(root(&k.group, &k.kind));
                ((k.group, k.kind), MergeSchema { root, status_subresource: k.has_status, nulls: false })
            })
            .collect()
    });
    ALL.get(&(group.to_string(), kind.to_string())).cloned().unwrap_or_else(|| MergeSchema {
        root: Arc::new(fields([("metadata", object_meta())])),
        status_subresource: false,
        nulls: false,
    })
}

fn root(group: &str, kind: &str) -> Node {
    let own = match (group, kind) {
        ("", "Pod") => fields([("spec", pod_spec()), ("status", pod_status())]),
        ("", "Service") => service(),
        ("", "ServiceAccount") => fields([("secrets", keyed(&["name"], "name", atomic()))]),
        ("", "Node") => node(),
        ("", "Namespace") => fields([("status", conditions())]),
        ("", "Event") => fields([("involvedObject", atomic()), ("related", atomic())]),
        ("events.k8s.io", "Event") => fields([("regarding", atomic()), ("related", atomic())]),
        ("apps", "Deployment") => workload([("strategy", implied(retain_keys(Node::default())))]),
        ("apps", "DaemonSet" | "StatefulSet") => workload([("updateStrategy", implied(Node::default()))]),
        ("apps", "ReplicaSet") => workload([]),
        ("autoscaling", _) => fields([
            ("spec", fields([("scaleTargetRef", implied(Node::default()))])),
            ("status", conditions()),
        ]),
        ("batch", "Job") => fields([("spec", job_spec()), ("status", job_status())]),
        ("batch", "CronJob") => {
            let job = implied(fields([("metadata", object_meta()), ("spec", implied(job_spec()))]));
            fields([("spec", fields([("jobTemplate", job)]))])
        }
        ("networking.k8s.io", "Ingress") => {
            let backend = fields([("resource", atomic())]);
            fields([("spec", fields([("defaultBackend", backend)]))])
        }
        ("policy", "PodDisruptionBudget") => {
            fields([("spec", fields([("selector", atomic())])), ("status", conditions())])
        }
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => fields([("webhooks", keyed(&["name"], "name", Node::default()))]),
        ("rbac.authorization.k8s.io", _) => fields([("roleRef", atomic())]),
        ("apiextensions.k8s.io", _) => {
            let conditions = Node { list: map(&["type"]), ..Node::default() };
            fields([("status", fields([("conditions", conditions)]))])
        }
        _ => Node::default(),
    };
    let mut root = own;
    root.fields.insert("metadata".into(), Arc::new(object_meta()));
    for name in ["spec", "status"] {
        let node = root.fields.get(name).map(|n| Node::clone(n)).unwrap_or_default();
        root.fields.insert(name.into(), Arc::new(implied(node)));
    }
    root
}

/// `metadata` of every object.
pub(super) fn object_meta() -> Node {
    let finalizers = Node { list: ListType::Set, patch: PatchStrategy::MergeValues, ..Node::default() };
    implied(fields([("ownerReferences", keyed(&["uid"], "uid", atomic())), ("finalizers", finalizers)]))
}

fn workload<const N: usize>(own: [(&str, Node); N]) -> Node {
    let mut spec = fields([("selector", atomic()), ("template", pod_template())]);
    spec.fields.extend(own.map(|(name, node)| (name.to_string(), Arc::new(node))));
    fields([("spec", spec), ("status", conditions())])
}

fn pod_template() -> Node {
    implied(fields([("metadata", object_meta()), ("spec", implied(pod_spec()))]))
}

fn pod_spec() -> Node {
    let containers = || keyed(&["name"], "name", container());
    let spread = fields([("labelSelector", atomic())]);
    let affinity =
        fields([("nodeAffinity", fields([("requiredDuringSchedulingIgnoredDuringExecution", atomic())]))]);
    fields([
        ("volumes", retain_keys(keyed(&["name"], "name", volume()))),
        ("containers", implied(containers())),
        ("initContainers", containers()),
        ("ephemeralContainers", containers()),
        ("nodeSelector", atomic()),
        ("imagePullSecrets", keyed(&["name"], "name", atomic())),
        ("affinity", affinity),
        ("hostAliases", keyed(&["ip"], "ip", Node::default())),
        ("topologySpreadConstraints", keyed(&["topologyKey", "whenUnsatisfiable"], "topologyKey", spread)),
        ("schedulingGates", keyed(&["name"], "name", Node::default())),
        ("resourceClaims", retain_keys(keyed(&["name"], "name", Node::default()))),
    ])
}

fn container() -> Node {
    let value_from = fields([
        ("fieldRef", atomic()),
        ("resourceFieldRef", atomic()),
        ("configMapKeyRef", atomic()),
        ("secretKeyRef", atomic()),
        ("fileKeyRef", atomic()),
    ]);
    let claims = Node { list: map(&["name"]), ..Node::default() };
    fields([
        ("ports", keyed(&["containerPort", "protocol"], "containerPort", Node::default())),
        ("env", keyed(&["name"], "name", fields([("valueFrom", value_from)]))),
        ("volumeMounts", keyed(&["mountPath"], "mountPath", Node::default())),
        ("volumeDevices", keyed(&["devicePath"], "devicePath", Node::default())),
        ("resources", fields([("claims", claims)])),
    ])
}

fn volume() -> Node {
    let secret = || fields([("secretRef", atomic())]);
    let claim = fields([("selector", atomic()), ("dataSource", atomic())]);
    let ephemeral = fields([("volumeClaimTemplate", fields([("spec", claim)]))]);
    fields([
        ("csi", fields([("nodePublishSecretRef", atomic())])),
        ("cephfs", secret()),
        ("cinder", secret()),
        ("flexVolume", secret()),
        ("iscsi", secret()),
        ("rbd", secret()),
        ("scaleIO", secret()),
        ("storageos", secret()),
        ("ephemeral", ephemeral),
    ])
}

fn pod_status() -> Node {
    let host_ips = Node { patch: PatchStrategy::MergeBy("ip".into()), ..Node::default() };
    let mut status = conditions();
    status.fields.insert("podIPs".into(), Arc::new(keyed(&["ip"], "ip", Node::default())));
    status.fields.insert("hostIPs".into(), Arc::new(host_ips));
    status
}

fn service() -> Node {
    fields([
        (
            "spec",
            fields([
                ("ports", keyed(&["port", "protocol"], "port", Node::default())),
                ("selector", atomic()),
            ]),
        ),
        ("status", conditions()),
    ])
}

fn node() -> Node {
    let cidrs = Node { list: ListType::Set, patch: PatchStrategy::MergeValues, ..Node::default() };
    let mut status = conditions();
    status.fields.insert("addresses".into(), Arc::new(keyed(&["type"], "type", Node::default())));
    fields([("spec", fields([("podCIDRs", cidrs)])), ("status", status)])
}

fn job_spec() -> Node {
    fields([("selector", atomic()), ("template", pod_template())])
}

/// A Job's conditions are patched one by one, but owned as a whole.
fn job_status() -> Node {
    let conditions = Node { patch: PatchStrategy::MergeBy("type".into()), ..Node::default() };
    fields([("conditions", conditions)])
}

/// A status whose only special field is its conditions.
fn conditions() -> Node {
    fields([("conditions", keyed(&["type"], "type", Node::default()))])
}

fn fields<const N: usize>(named: [(&str, Node); N]) -> Node {
    Node {
        fields: named.into_iter().map(|(name, node)| (name.to_string(), Arc::new(node))).collect(),
        ..Node::default()
    }
}

fn keyed(owned_by: &[&str], patched_by: &str, item: Node) -> Node {
    Node {
        list: map(owned_by),
        patch: PatchStrategy::MergeBy(patched_by.into()),
        each: Some(Arc::new(item)),
        ..Node::default()
    }
}

fn map(keys: &[&str]) -> ListType {
    let key = |name: &&str| ListKey {
        name: name.to_string(),
        // The only key that the API fills in.
        default: (*name == "protocol").then(|| json!("TCP")),
    };
    ListType::Map(keys.iter().map(key).collect())
}

fn atomic() -> Node {
    Node { atomic: true, ..Node::default() }
}

fn implied(node: Node) -> Node {
    Node { implied: true, ..node }
}

fn retain_keys(node: Node) -> Node {
    Node { retain_keys: true, ..node }
}
