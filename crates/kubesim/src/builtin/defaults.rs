//! The defaults of built-in kinds, as far as a controller or a person would notice them.

use serde_json::{Value, json};

use super::{fields, items, set_default};
use crate::registry::Served;

/// Fills in the defaults of a stored object.
pub fn default(served: &Served, object: &mut Value) {
    match (served.kind.group.as_str(), served.kind.kind.as_str()) {
        ("", "Pod") => pod_spec(&mut object["spec"]),
        ("", "Service") => service(object),
        ("", "Secret") => secret(object),
        ("", "Namespace") => namespace(object),
        ("", "Event") => event(object),
        ("apps", "Deployment") => deployment(object),
        ("apps", "ReplicaSet") => replica_set(object),
        ("apps", "DaemonSet") => daemon_set(object),
        ("apps", "StatefulSet") => stateful_set(object),
        ("autoscaling", _) => autoscaler(object),
        ("batch", "Job") => job(&mut object["spec"]),
        ("batch", "CronJob") => cron_job(object),
        ("networking.k8s.io", "Ingress") => ingress(object),
        ("discovery.k8s.io", "EndpointSlice") => endpoint_slice(object),
        _ => {}
    }
}

fn deployment(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "progressDeadlineSeconds", 600);
    rolling_update(&mut spec["strategy"], json!("25%"), json!("25%"));
    // As Go writes it: false is absent.
    if spec["paused"] == false {
        spec.as_object_mut().map(|fields| fields.remove("paused"));
    }
    template(spec);
}

fn daemon_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "revisionHistoryLimit", 10);
    rolling_update(&mut spec["updateStrategy"], json!(0), json!(1));
    template(spec);
}

fn rolling_update(strategy: &mut Value, surge: Value, unavailable: Value) {
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        set_default(&mut strategy["rollingUpdate"], "maxSurge", surge);
        set_default(&mut strategy["rollingUpdate"], "maxUnavailable", unavailable);
    }
}

fn replica_set(object: &mut Value) {
    set_default(&mut object["spec"], "replicas", 1);
    template(&mut object["spec"]);
}

fn stateful_set(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "podManagementPolicy", "OrderedReady");
    set_default(&mut spec["updateStrategy"], "type", "RollingUpdate");
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        set_default(&mut spec["updateStrategy"]["rollingUpdate"], "partition", 0);
    }
    template(spec);
}

fn template(spec: &mut Value) {
    pod_spec(&mut spec["template"]["spec"]);
}

fn pod_spec(spec: &mut Value) {
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "securityContext", json!({}));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set_default(spec, "serviceAccount", account);
    }
    for list in ["initContainers", "containers"] {
        items(spec, list).for_each(container);
    }
    items(spec, "volumes").for_each(volume);
}

fn container(container: &mut Value) {
    let image = container["image"].as_str().unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let floats = name.ends_with(":latest") || !name.contains([':', '@']);
    set_default(container, "imagePullPolicy", if floats { "Always" } else { "IfNotPresent" });
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    items(container, "ports").for_each(|port| set_default(port, "protocol", "TCP"));
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = container.get_mut(field) {
            probe(found);
        }
    }
    for variable in items(container, "env") {
        if let Some(reference) = variable.get_mut("valueFrom").and_then(|v| v.get_mut("fieldRef")) {
            set_default(reference, "apiVersion", "v1");
        }
    }
}

fn probe(probe: &mut Value) {
    set_default(probe, "timeoutSeconds", 1);
    set_default(probe, "periodSeconds", 10);
    set_default(probe, "successThreshold", 1);
    set_default(probe, "failureThreshold", 3);
    if let Some(get) = probe.get_mut("httpGet") {
        set_default(get, "path", "/");
        set_default(get, "scheme", "HTTP");
    }
}

fn volume(volume: &mut Value) {
    for source in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(found) = volume.get_mut(source) {
            set_default(found, "defaultMode", 420);
        }
    }
    let given = volume.as_object().is_some_and(|v| v.len() > 1);
    if !given {
        set_default(volume, "emptyDir", json!({}));
    }
}

fn service(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "type", "ClusterIP");
    set_default(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "ClientIP" {
        set_default(&mut spec["sessionAffinityConfig"]["clientIP"], "timeoutSeconds", 10800);
    }
    if spec["type"] != "ExternalName" {
        set_default(spec, "internalTrafficPolicy", "Cluster");
        set_default(spec, "ipFamilies", json!(["IPv4"]));
        set_default(spec, "ipFamilyPolicy", "SingleStack");
    }
    if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if spec["type"] == "LoadBalancer" {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    for port in items(spec, "ports") {
        set_default(port, "protocol", "TCP");
        let number = port["port"].clone();
        if port["targetPort"].is_null() || port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = number;
        }
    }
    set_default(&mut object["status"], "loadBalancer", json!({}));
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    set_default(object, "type", "Opaque");
    let Some(plain) = object.as_object_mut().and_then(|o| o.remove("stringData")) else { return };
    let Some(data) = fields(&mut object["data"]) else { return };
    for (key, value) in plain.as_object().into_iter().flatten() {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        data.insert(key.clone(), json!(encoded));
    }
}

/// What a new object has from the server, beyond defaults: its first status, and what keeps a namespace.
pub fn complete(served: &Served, object: &mut Value) {
    let status = match (served.kind.group.as_str(), served.kind.kind.as_str()) {
        ("", "Namespace") => {
            set_default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            json!({"phase": "Active"})
        }
        ("", "Pod") => json!({"phase": "Pending", "qosClass": "BestEffort"}),
        ("apps", "Deployment") => json!({}),
        ("apps", "ReplicaSet" | "StatefulSet") => json!({"replicas": 0}),
        ("apps", "DaemonSet") => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        }),
        ("autoscaling", _) => json!({"desiredReplicas": 0}),
        _ => return,
    };
    set_default(object, "status", status);
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    set_default(&mut object["metadata"]["labels"], "kubernetes.io/metadata.name", name);
}

fn event(object: &mut Value) {
    set_default(object, "reportingComponent", "");
    set_default(object, "reportingInstance", "");
}

fn autoscaler(object: &mut Value) {
    let spec = &mut object["spec"];
    set_default(spec, "minReplicas", 1);
    if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
        spec["metrics"] = json!([{
            "type": "Resource",
            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
        }]);
    }
    if let Some(behavior) = spec.get_mut("behavior") {
        for (direction, policies) in [
            (
                "scaleUp",
                json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]),
            ),
            ("scaleDown", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}])),
        ] {
            if let Some(rules) = behavior.get_mut(direction) {
                set_default(rules, "selectPolicy", "Max");
                set_default(rules, "policies", policies);
                if direction == "scaleUp" {
                    set_default(rules, "stabilizationWindowSeconds", 0);
                }
            }
        }
    }
}

fn job(spec: &mut Value) {
    for (field, value) in [
        ("parallelism", json!(1)),
        ("backoffLimit", json!(6)),
        ("completions", json!(1)),
        ("completionMode", json!("NonIndexed")),
        ("suspend", json!(false)),
    ] {
        set_default(spec, field, value);
    }
    template(spec);
}

fn cron_job(object: &mut Value) {
    let spec = &mut object["spec"];
    for (field, value) in [
        ("concurrencyPolicy", json!("Allow")),
        ("suspend", json!(false)),
        ("successfulJobsHistoryLimit", json!(3)),
        ("failedJobsHistoryLimit", json!(1)),
    ] {
        set_default(spec, field, value);
    }
    template(&mut spec["jobTemplate"]["spec"]);
}

fn ingress(object: &mut Value) {
    set_default(&mut object["status"], "loadBalancer", json!({}));
}

fn endpoint_slice(object: &mut Value) {
    for port in items(object, "ports") {
        set_default(port, "name", "");
        set_default(port, "protocol", "TCP");
    }
}
