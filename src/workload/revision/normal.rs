//! One form for all the ways in which the API server may write a pod template: defaults left out, amounts in one
//! unit, nothing empty.

use serde_json::{Map, Value, json};

use crate::model::quantity;
use crate::workload::config::MARK;

/// The normalised pod template, without the annotations that this controller writes on pods.
pub(super) fn template(template: &Value) -> Value {
    let mut template = template.clone();
    remove_annotation(&mut template, "flagger-id");
    remove_annotation(&mut template, MARK);
    if let Some(metadata) = object(&mut template, "metadata") {
        metadata.remove("creationTimestamp");
    }
    if let Some(spec) = object(&mut template, "spec") {
        pod_spec(spec);
    }
    pruned(&template)
}

pub(super) fn remove_annotation(template: &mut Value, key: &str) {
    if let Some(annotations) =
        object(template, "metadata").and_then(|metadata| field(metadata, "annotations"))
    {
        annotations.remove(key);
        if annotations.is_empty() {
            object(template, "metadata").and_then(|metadata| metadata.remove("annotations"));
        }
    }
}

/// Removes nulls and what an API server may or may not write: empty lists and objects, empty strings.
/// Elements of lists stay, since their places count; so do empty values that are a user's data or that mean
/// something (an empty selector matches everything, an absent one nothing).
pub(super) fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| {
                    let keeps = DATA.contains(&key.as_str());
                    (key, if keeps { without_nulls(value) } else { pruned(value) })
                })
                .filter(|(key, value)| {
                    SELECTORS.contains(&key.as_str()) && value.is_object() || !is_empty(value)
                })
                .map(|(key, value)| (key.clone(), value))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(pruned).collect()),
        scalar => scalar.clone(),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn pod_spec(spec: &mut Map<String, Value>) {
    drop_defaults(
        spec,
        &[
            ("restartPolicy", json!("Always")),
            ("dnsPolicy", json!("ClusterFirst")),
            ("schedulerName", json!("default-scheduler")),
            ("terminationGracePeriodSeconds", json!(30)),
            ("enableServiceLinks", json!(true)),
            ("preemptionPolicy", json!("PreemptLowerPriority")),
            ("hostPID", json!(false)),
            ("hostIPC", json!(false)),
            ("hostNetwork", json!(false)),
        ],
    );
    // The deprecated name of the same field; servers write both.
    if let Some(account) = spec.remove("serviceAccount")
        && spec.get("serviceAccountName").is_none_or(is_empty)
    {
        spec.insert("serviceAccountName".into(), account);
    }
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for fields in objects(spec.get_mut(list)) {
            container(fields, host_network);
        }
    }
    for fields in objects(spec.get_mut("volumes")) {
        volume(fields);
    }
    amounts(field(spec, "overhead"));
    if let Some(resources) = field(spec, "resources") {
        resource_requirements(resources);
    }
}

fn container(container: &mut Map<String, Value>, host_network: bool) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let pull_policy = json!(default_pull_policy(image));
    drop_defaults(
        container,
        &[
            ("imagePullPolicy", pull_policy),
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
            ("stdin", json!(false)),
            ("stdinOnce", json!(false)),
            ("tty", json!(false)),
        ],
    );
    for port in objects(container.get_mut("ports")) {
        drop_defaults(port, &[("protocol", json!("TCP")), ("hostPort", json!(0))]);
        // On the host's network the port of the host is the container's.
        if host_network && port.get("hostPort") == port.get("containerPort") {
            port.remove("hostPort");
        }
    }
    for mount in objects(container.get_mut("volumeMounts")) {
        drop_defaults(mount, &[("readOnly", json!(false))]);
    }
    for variable in objects(container.get_mut("env")) {
        if let Some(source) = field(variable, "valueFrom") {
            field_references(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = field(container, name) {
            drop_defaults(
                probe,
                &[
                    ("initialDelaySeconds", json!(0)),
                    ("timeoutSeconds", json!(1)),
                    ("periodSeconds", json!(10)),
                    ("successThreshold", json!(1)),
                    ("failureThreshold", json!(3)),
                ],
            );
            http_get(probe);
        }
    }
    if let Some(lifecycle) = field(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = field(lifecycle, name) {
                http_get(handler);
            }
        }
    }
    if let Some(resources) = field(container, "resources") {
        resource_requirements(resources);
    }
    if let Some(context) = field(container, "securityContext") {
        drop_defaults(context, &[("procMount", json!("Default"))]);
    }
}

/// The pull policy that the API server fills in: `Always` for an image without a fixed tag or digest.
fn default_pull_policy(image: &str) -> &'static str {
    let (name, digest) = image.split_once('@').map_or((image, false), |(name, _)| (name, true));
    let tag = match name.rsplit_once(':') {
        // A colon before a slash is that of a registry's port.
        Some((_, tag)) if !tag.contains('/') => Some(tag),
        _ => None,
    };
    match tag {
        Some("latest") => "Always",
        None if !digest => "Always",
        _ => "IfNotPresent",
    }
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = field(handler, "httpGet") {
        drop_defaults(get, &[("scheme", json!("HTTP")), ("path", json!("/"))]);
    }
}

fn field_references(source: &mut Map<String, Value>) {
    if let Some(reference) = field(source, "fieldRef") {
        drop_defaults(reference, &[("apiVersion", json!("v1"))]);
    }
    if let Some(divisor) =
        field(source, "resourceFieldRef").and_then(|reference| reference.get_mut("divisor"))
    {
        *divisor = quantity::canonical(divisor);
    }
    if let Some(reference) = field(source, "resourceFieldRef") {
        drop_defaults(reference, &[("divisor", json!("0n"))]);
    }
    for name in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(reference) = field(source, name) {
            drop_defaults(reference, &[("optional", json!(false))]);
        }
    }
}

fn resource_requirements(resources: &mut Map<String, Value>) {
    amounts(field(resources, "limits"));
    amounts(field(resources, "requests"));
}

fn amounts(map: Option<&mut Map<String, Value>>) {
    for value in map.into_iter().flat_map(Map::values_mut) {
        *value = quantity::canonical(value);
    }
}

fn volume(volume: &mut Map<String, Value>) {
    let mode = ("defaultMode", json!(0o644));
    for name in ["configMap", "secret", "downwardAPI", "projected"] {
        if let Some(source) = field(volume, name) {
            drop_defaults(source, &[mode.clone(), ("optional", json!(false))]);
            downward_items(source);
        }
    }
    for source in
        field(volume, "projected").into_iter().flat_map(|projected| objects(projected.get_mut("sources")))
    {
        if let Some(token) = field(source, "serviceAccountToken") {
            drop_defaults(token, &[("expirationSeconds", json!(3600))]);
        }
        for name in ["configMap", "secret"] {
            if let Some(source) = field(source, name) {
                drop_defaults(source, &[("optional", json!(false))]);
            }
        }
        if let Some(source) = field(source, "downwardAPI") {
            downward_items(source);
        }
    }
    if let Some(limit) = field(volume, "emptyDir").and_then(|source| source.get_mut("sizeLimit")) {
        *limit = quantity::canonical(limit);
    }
    if let Some(claim) = field(volume, "ephemeral")
        .and_then(|source| field(source, "volumeClaimTemplate"))
        .and_then(|template| field(template, "spec"))
    {
        drop_defaults(claim, &[("volumeMode", json!("Filesystem"))]);
        if let Some(resources) = field(claim, "resources") {
            resource_requirements(resources);
        }
    }
}

fn downward_items(source: &mut Map<String, Value>) {
    for item in objects(source.get_mut("items")) {
        field_references(item);
    }
}

/// Removes each field that has its default value.
fn drop_defaults(fields: &mut Map<String, Value>, defaults: &[(&str, Value)]) {
    for (name, default) in defaults {
        if fields.get(*name) == Some(default) {
            fields.remove(*name);
        }
    }
}

fn object<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    value.get_mut(name)?.as_object_mut()
}

fn field<'a>(fields: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    fields.get_mut(name)?.as_object_mut()
}

/// The objects of a list.
fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Fields that hold a user's own keys and values, where an empty value means something.
const DATA: [&str; 10] = [
    "labels",
    "annotations",
    "nodeSelector",
    "matchLabels",
    "volumeAttributes",
    "options",
    "limits",
    "requests",
    "overhead",
    "parameters",
];

/// Fields that hold a selector: an empty one matches everything, an absent one nothing.
const SELECTORS: [&str; 3] = ["labelSelector", "namespaceSelector", "selector"];
