//! The columns of the built-in kinds.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::kinds::ResourceKind;
use super::age::since;

mod cells;
mod pod;

use cells::{
    addresses, autoscaler_targets, claims, containers, count, endpoint_addresses, endpoints, external_ip,
    host_names, images, ingress_class, ingress_ports, labels, node_address, node_roles, node_status, number,
    or_none, ports_of_service, selector, slice_ports, subjects, text,
};

/// One column: its head, and its cell of an object.
pub(super) struct Column {
    pub name: &'static str,
    pub type_: &'static str,
    pub priority: i32,
    pub cell: fn(&Value, DateTime<Utc>) -> Value,
}

type Cell = fn(&Value, DateTime<Utc>) -> Value;

const fn col(name: &'static str, cell: Cell) -> Column {
    Column { name, type_: "string", priority: 0, cell }
}

const fn int(name: &'static str, cell: Cell) -> Column {
    Column { name, type_: "integer", priority: 0, cell }
}

const fn wide(name: &'static str, cell: Cell) -> Column {
    Column { name, type_: "string", priority: 1, cell }
}

const NAME: Column = col("Name", |o, _| o["metadata"]["name"].clone());
const AGE: Column = col("Age", |o, now| json!(since(&o["metadata"]["creationTimestamp"], now)));
const CREATED: Column = Column {
    name: "Created At",
    type_: "date",
    priority: 0,
    cell: |o, _| o["metadata"]["creationTimestamp"].clone(),
};
const CONTAINERS: Column = wide("Containers", |o, _| containers(&o["spec"]["template"]["spec"]));
const IMAGES: Column = wide("Images", |o, _| images(&o["spec"]["template"]["spec"]));
const SELECTOR: Column = wide("Selector", |o, _| json!(selector(&o["spec"]["selector"])));

/// The columns of a kind; those without any of their own show name and age.
pub(super) fn columns(kind: &ResourceKind) -> &'static [Column] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => POD,
        ("", "Service") => SERVICE,
        ("", "Endpoints") => ENDPOINTS,
        ("", "ConfigMap") => CONFIG_MAP,
        ("", "Secret") => SECRET,
        ("", "ServiceAccount") => SERVICE_ACCOUNT,
        ("", "Namespace") => NAMESPACE,
        ("", "Node") => NODE,
        ("" | "events.k8s.io", "Event") => EVENT,
        ("apps", "Deployment") => DEPLOYMENT,
        ("apps", "ReplicaSet") => REPLICA_SET,
        ("apps", "DaemonSet") => DAEMON_SET,
        ("apps", "StatefulSet") => STATEFUL_SET,
        ("apps", "ControllerRevision") => CONTROLLER_REVISION,
        ("autoscaling", _) => AUTOSCALER,
        ("batch", "Job") => JOB,
        ("batch", "CronJob") => CRON_JOB,
        ("networking.k8s.io", "Ingress") => INGRESS,
        ("networking.k8s.io", "IngressClass") => INGRESS_CLASS,
        ("discovery.k8s.io", "EndpointSlice") => ENDPOINT_SLICE,
        ("coordination.k8s.io", "Lease") => LEASE,
        ("policy", "PodDisruptionBudget") => DISRUPTION_BUDGET,
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => ROLE,
        ("rbac.authorization.k8s.io", _) => ROLE_BINDING,
        ("apiextensions.k8s.io", _) => DEFINITION,
        _ => PLAIN,
    }
}

const PLAIN: &[Column] = &[NAME, AGE];
const ROLE: &[Column] = &[NAME, CREATED];
const DEFINITION: &[Column] = &[NAME, CREATED];

const POD: &[Column] = &[
    NAME,
    col("Ready", |o, _| pod::ready(o)),
    col("Status", |o, _| pod::status(o)),
    col("Restarts", pod::restarts),
    AGE,
    wide("IP", |o, _| or_none(&o["status"]["podIP"])),
    wide("Node", |o, _| or_none(&o["spec"]["nodeName"])),
    wide("Nominated Node", |o, _| or_none(&o["status"]["nominatedNodeName"])),
    wide("Readiness Gates", |o, _| pod::gates(o)),
];

const SERVICE: &[Column] = &[
    NAME,
    col("Type", |o, _| o["spec"]["type"].clone()),
    col("Cluster-IP", |o, _| or_none(&o["spec"]["clusterIP"])),
    col("External-IP", |o, _| external_ip(o)),
    col("Port(s)", |o, _| ports_of_service(o)),
    AGE,
    wide("Selector", |o, _| json!(labels(&o["spec"]["selector"]))),
];

const ENDPOINTS: &[Column] = &[NAME, col("Endpoints", |o, _| endpoints(o)), AGE];

const CONFIG_MAP: &[Column] =
    &[NAME, int("Data", |o, _| json!(count(&o["data"]) + count(&o["binaryData"]))), AGE];

const SECRET: &[Column] =
    &[NAME, col("Type", |o, _| o["type"].clone()), int("Data", |o, _| json!(count(&o["data"]))), AGE];

const SERVICE_ACCOUNT: &[Column] = &[NAME, int("Secrets", |o, _| json!(count(&o["secrets"]))), AGE];

const NAMESPACE: &[Column] = &[NAME, col("Status", |o, _| o["status"]["phase"].clone()), AGE];

const NODE: &[Column] = &[
    NAME,
    col("Status", |o, _| node_status(o)),
    col("Roles", |o, _| node_roles(o)),
    AGE,
    col("Version", |o, _| o["status"]["nodeInfo"]["kubeletVersion"].clone()),
    wide("Internal-IP", |o, _| node_address(o, "InternalIP")),
    wide("External-IP", |o, _| node_address(o, "ExternalIP")),
    wide("OS-Image", |o, _| or_unknown(&o["status"]["nodeInfo"]["osImage"])),
    wide("Kernel-Version", |o, _| or_unknown(&o["status"]["nodeInfo"]["kernelVersion"])),
    wide("Container-Runtime", |o, _| or_unknown(&o["status"]["nodeInfo"]["containerRuntimeVersion"])),
];

/// The two groups name the same fields differently.
const EVENT: &[Column] = &[
    col("Last Seen", |o, now| json!(since(event_last(o), now))),
    col("Type", |o, _| o["type"].clone()),
    col("Reason", |o, _| o["reason"].clone()),
    col("Object", |o, _| event_object(o)),
    wide("Subobject", |o, _| either(o, "involvedObject", "regarding")["fieldPath"].clone()),
    wide("Source", |o, _| event_source(o)),
    col("Message", |o, _| json!(text(either(o, "message", "note")).trim())),
    wide("First Seen", |o, now| json!(since(event_first(o), now))),
    Column { name: "Count", type_: "integer", priority: 1, cell: |o, _| event_count(o) },
    wide("Name", |o, _| o["metadata"]["name"].clone()),
];

const DEPLOYMENT: &[Column] = &[
    NAME,
    col("Ready", |o, _| ready_of(&o["status"]["readyReplicas"], &o["spec"]["replicas"])),
    int("Up-to-date", |o, _| number(&o["status"]["updatedReplicas"])),
    int("Available", |o, _| number(&o["status"]["availableReplicas"])),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const REPLICA_SET: &[Column] = &[
    NAME,
    int("Desired", |o, _| number(&o["spec"]["replicas"])),
    int("Current", |o, _| number(&o["status"]["replicas"])),
    int("Ready", |o, _| number(&o["status"]["readyReplicas"])),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const DAEMON_SET: &[Column] = &[
    NAME,
    int("Desired", |o, _| number(&o["status"]["desiredNumberScheduled"])),
    int("Current", |o, _| number(&o["status"]["currentNumberScheduled"])),
    int("Ready", |o, _| number(&o["status"]["numberReady"])),
    int("Up-to-date", |o, _| number(&o["status"]["updatedNumberScheduled"])),
    int("Available", |o, _| number(&o["status"]["numberAvailable"])),
    col("Node Selector", |o, _| json!(labels(&o["spec"]["template"]["spec"]["nodeSelector"]))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const STATEFUL_SET: &[Column] = &[
    NAME,
    col("Ready", |o, _| ready_of(&o["status"]["readyReplicas"], &o["spec"]["replicas"])),
    AGE,
    CONTAINERS,
    IMAGES,
];

const CONTROLLER_REVISION: &[Column] = &[
    NAME,
    col("Controller", |o, _| cells::controller(o)),
    int("Revision", |o, _| number(&o["revision"])),
    AGE,
];

const AUTOSCALER: &[Column] = &[
    NAME,
    col("Reference", |o, _| {
        let target = &o["spec"]["scaleTargetRef"];
        json!(format!("{}/{}", text(&target["kind"]), text(&target["name"])))
    }),
    col("Targets", |o, _| autoscaler_targets(o)),
    col("MinPods", |o, _| match &o["spec"]["minReplicas"] {
        Value::Null => json!("<unset>"),
        pods => json!(pods.to_string()),
    }),
    int("MaxPods", |o, _| number(&o["spec"]["maxReplicas"])),
    int("Replicas", |o, _| number(&o["status"]["currentReplicas"])),
    AGE,
];

const JOB: &[Column] = &[
    NAME,
    col("Status", |o, _| cells::job_status(o)),
    col("Completions", |o, _| {
        let wanted = o["spec"]["completions"].as_i64().unwrap_or(1);
        json!(format!("{}/{wanted}", o["status"]["succeeded"].as_i64().unwrap_or(0)))
    }),
    col("Duration", cells::job_duration),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const CRON_JOB: &[Column] = &[
    NAME,
    col("Schedule", |o, _| o["spec"]["schedule"].clone()),
    col("Timezone", |o, _| or_none(&o["spec"]["timeZone"])),
    col("Suspend", |o, _| json!(if o["spec"]["suspend"] == true { "True" } else { "False" })),
    int("Active", |o, _| json!(count(&o["status"]["active"]))),
    col("Last Schedule", |o, now| match &o["status"]["lastScheduleTime"] {
        Value::Null => json!("<none>"),
        time => json!(since(time, now)),
    }),
    AGE,
    wide("Containers", |o, _| containers(&o["spec"]["jobTemplate"]["spec"]["template"]["spec"])),
    wide("Images", |o, _| images(&o["spec"]["jobTemplate"]["spec"]["template"]["spec"])),
    wide("Selector", |o, _| json!(selector(&o["spec"]["jobTemplate"]["spec"]["selector"]))),
];

const INGRESS: &[Column] = &[
    NAME,
    col("Class", |o, _| ingress_class(o)),
    col("Hosts", |o, _| host_names(o)),
    col("Address", |o, _| addresses(o)),
    col("Ports", |o, _| ingress_ports(o)),
    AGE,
];

const INGRESS_CLASS: &[Column] = &[
    NAME,
    col("Controller", |o, _| o["spec"]["controller"].clone()),
    col("Parameters", |o, _| match &o["spec"]["parameters"] {
        Value::Null => json!("<none>"),
        reference => {
            let group = text(&reference["apiGroup"]);
            let dot = if group.is_empty() { "" } else { "." };
            json!(format!("{}{dot}{group}/{}", text(&reference["kind"]), text(&reference["name"])))
        }
    }),
    AGE,
];

const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    col("AddressType", |o, _| o["addressType"].clone()),
    col("Ports", |o, _| slice_ports(o)),
    col("Endpoints", |o, _| endpoint_addresses(o)),
    AGE,
];

const LEASE: &[Column] = &[NAME, col("Holder", |o, _| json!(text(&o["spec"]["holderIdentity"]))), AGE];

const DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    col("Min Available", |o, _| claims(&o["spec"]["minAvailable"])),
    col("Max Unavailable", |o, _| claims(&o["spec"]["maxUnavailable"])),
    int("Allowed Disruptions", |o, _| number(&o["status"]["disruptionsAllowed"])),
    AGE,
];

const ROLE_BINDING: &[Column] = &[
    NAME,
    col("Role", |o, _| {
        let role = &o["roleRef"];
        json!(format!("{}/{}", text(&role["kind"]), text(&role["name"])))
    }),
    AGE,
    wide("Users", |o, _| subjects(o, "User")),
    wide("Groups", |o, _| subjects(o, "Group")),
    wide("ServiceAccounts", |o, _| subjects(o, "ServiceAccount")),
];

fn ready_of(ready: &Value, wanted: &Value) -> Value {
    json!(format!("{}/{}", ready.as_i64().unwrap_or(0), wanted.as_i64().unwrap_or(0)))
}

fn or_unknown(value: &Value) -> Value {
    json!(value.as_str().filter(|t| !t.is_empty()).unwrap_or("<unknown>"))
}

fn either<'a>(object: &'a Value, first: &str, second: &str) -> &'a Value {
    object.get(first).filter(|v| !v.is_null()).unwrap_or(&object[second])
}

fn event_first(event: &Value) -> &Value {
    match either(event, "firstTimestamp", "deprecatedFirstTimestamp") {
        Value::Null => &event["eventTime"],
        time => time,
    }
}

fn event_last(event: &Value) -> &Value {
    if !event["series"].is_null() {
        return &event["series"]["lastObservedTime"];
    }
    match either(event, "lastTimestamp", "deprecatedLastTimestamp") {
        Value::Null => event_first(event),
        time => time,
    }
}

fn event_count(event: &Value) -> Value {
    let counts = [&event["series"]["count"], either(event, "count", "deprecatedCount")];
    json!(counts.iter().find_map(|c| c.as_i64().filter(|n| *n > 0)).unwrap_or(1))
}

fn event_object(event: &Value) -> Value {
    let about = either(event, "involvedObject", "regarding");
    let kind = text(&about["kind"]).to_lowercase();
    match text(&about["name"]) {
        "" => json!(kind),
        name => json!(format!("{kind}/{name}")),
    }
}

fn event_source(event: &Value) -> Value {
    let source = either(event, "source", "deprecatedSource");
    let component = match text(&source["component"]) {
        "" => text(either(event, "reportingComponent", "reportingController")),
        component => component,
    };
    match text(&source["host"]) {
        "" => json!(component),
        host => json!(format!("{component}, {host}")),
    }
}
