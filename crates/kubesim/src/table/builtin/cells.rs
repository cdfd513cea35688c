//! Cells that take more than a field.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::super::select::LabelSelector;
use super::super::age::human_duration;

const NONE: &str = "<none>";

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn number(value: &Value) -> Value {
    json!(value.as_i64().unwrap_or(0))
}

pub(super) fn or_none(value: &Value) -> Value {
    json!(value.as_str().filter(|t| !t.is_empty()).unwrap_or(NONE))
}

/// A number or a percentage, or that there is none.
pub(super) fn claims(value: &Value) -> Value {
    match value {
        Value::Null => json!("N/A"),
        Value::String(text) => json!(text),
        other => json!(other.to_string()),
    }
}

pub(super) fn count(value: &Value) -> usize {
    value.as_object().map_or_else(|| value.as_array().map_or(0, Vec::len), serde_json::Map::len)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn joined<'a>(parts: impl Iterator<Item = &'a str>, empty: &str) -> Value {
    let parts: Vec<&str> = parts.filter(|p| !p.is_empty()).collect();
    json!(if parts.is_empty() { empty.to_string() } else { parts.join(",") })
}

/// The first of a list, and how many more there are.
fn first_of(parts: &[String], most: usize, empty: &str) -> Value {
    match parts {
        [] => json!(empty),
        _ if parts.len() <= most => json!(parts.join(",")),
        _ => json!(format!("{} + {} more...", parts[..most].join(","), parts.len() - most)),
    }
}

pub(super) fn containers(pod: &Value) -> Value {
    joined(items(&pod["containers"]).map(|c| text(&c["name"])), "")
}

pub(super) fn images(pod: &Value) -> Value {
    joined(items(&pod["containers"]).map(|c| text(&c["image"])), "")
}

pub(super) fn labels(labels: &Value) -> String {
    let pairs: Vec<String> =
        labels.as_object().into_iter().flatten().map(|(k, v)| format!("{k}={}", text(v))).collect();
    if pairs.is_empty() { NONE.into() } else { pairs.join(",") }
}

/// A workload's selector in the form of `-l`.
pub(super) fn selector(selector: &Value) -> String {
    match LabelSelector::from_object(selector) {
        Err(_) => "<error>".into(),
        Ok(parsed) if parsed.is_everything() || selector.is_null() => NONE.into(),
        Ok(_) => {
            let mut parts: Vec<String> = selector["matchLabels"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, v)| format!("{k}={}", text(v)))
                .collect();
            parts.extend(items(&selector["matchExpressions"]).map(expression));
            parts.join(",")
        }
    }
}

fn expression(item: &Value) -> String {
    let key = text(&item["key"]);
    let values: Vec<&str> = items(&item["values"]).map(text).collect();
    match text(&item["operator"]) {
        "In" => format!("{key} in ({})", values.join(",")),
        "NotIn" => format!("{key} notin ({})", values.join(",")),
        "DoesNotExist" => format!("!{key}"),
        _ => key.into(),
    }
}

pub(super) fn external_ip(service: &Value) -> Value {
    let spec = &service["spec"];
    let fixed = || items(&spec["externalIPs"]).map(text);
    match text(&spec["type"]) {
        "ExternalName" => or_none(&spec["externalName"]),
        "LoadBalancer" => {
            let given = items(&service["status"]["loadBalancer"]["ingress"]);
            joined(given.map(address).chain(fixed()), "<pending>")
        }
        _ => joined(fixed(), NONE),
    }
}

fn address(ingress: &Value) -> &str {
    match text(&ingress["ip"]) {
        "" => text(&ingress["hostname"]),
        ip => ip,
    }
}

pub(super) fn ports_of_service(service: &Value) -> Value {
    let port = |p: &Value| {
        let protocol = p["protocol"].as_str().unwrap_or("TCP");
        match p["nodePort"].as_i64().filter(|n| *n > 0) {
            Some(node) => format!("{}:{node}/{protocol}", p["port"]),
            None => format!("{}/{protocol}", p["port"]),
        }
    };
    let ports: Vec<String> = items(&service["spec"]["ports"]).map(port).collect();
    json!(if ports.is_empty() { NONE.to_string() } else { ports.join(",") })
}

pub(super) fn endpoints(endpoints: &Value) -> Value {
    let mut all = Vec::new();
    for subset in items(&endpoints["subsets"]) {
        for address in items(&subset["addresses"]) {
            let ip = text(&address["ip"]);
            match items(&subset["ports"]).count() {
                0 => all.push(ip.to_string()),
                _ => all.extend(items(&subset["ports"]).map(|p| format!("{ip}:{}", p["port"]))),
            }
        }
    }
    first_of(&all, 3, NONE)
}

pub(super) fn slice_ports(slice: &Value) -> Value {
    let ports: Vec<String> = items(&slice["ports"])
        .map(|p| p["port"].as_i64().map_or_else(|| "*".into(), |n| n.to_string()))
        .collect();
    first_of(&ports, 3, "<unset>")
}

pub(super) fn endpoint_addresses(slice: &Value) -> Value {
    let all: Vec<String> = items(&slice["endpoints"])
        .flat_map(|e| items(&e["addresses"]))
        .map(|a| text(a).to_string())
        .collect();
    first_of(&all, 3, "<unset>")
}

pub(super) fn ingress_class(ingress: &Value) -> Value {
    match &ingress["spec"]["ingressClassName"] {
        Value::Null => or_none(&ingress["metadata"]["annotations"]["kubernetes.io/ingress.class"]),
        name => name.clone(),
    }
}

pub(super) fn host_names(ingress: &Value) -> Value {
    let hosts: Vec<String> = items(&ingress["spec"]["rules"])
        .map(|r| text(&r["host"]).to_string())
        .filter(|h| !h.is_empty())
        .collect();
    first_of(&hosts, 3, "*")
}

pub(super) fn addresses(ingress: &Value) -> Value {
    joined(items(&ingress["status"]["loadBalancer"]["ingress"]).map(address), "")
}

pub(super) fn ingress_ports(ingress: &Value) -> Value {
    json!(if count(&ingress["spec"]["tls"]) > 0 { "80, 443" } else { "80" })
}

pub(super) fn node_status(node: &Value) -> Value {
    let ready = items(&node["status"]["conditions"]).find(|c| c["type"] == "Ready");
    let mut status = match ready.map(|c| text(&c["status"])) {
        Some("True") => "Ready".to_string(),
        Some(_) => "NotReady".to_string(),
        None => "Unknown".to_string(),
    };
    if node["spec"]["unschedulable"] == true {
        status += ",SchedulingDisabled";
    }
    json!(status)
}

pub(super) fn node_roles(node: &Value) -> Value {
    let labels = node["metadata"]["labels"].as_object();
    let role = |(key, value): (&'static str, &str)| -> String { format!("{key}{value}") };
    let roles = labels.into_iter().flatten().filter_map(|(key, value)| {
        match key.strip_prefix("node-role.kubernetes.io/") {
            Some(name) => Some(role(("", name))),
            None => (key == "kubernetes.io/role").then(|| role(("", text(value)))),
        }
    });
    let roles: Vec<String> = roles.collect();
    joined(roles.iter().map(String::as_str), NONE)
}

pub(super) fn node_address(node: &Value, type_: &str) -> Value {
    let found = items(&node["status"]["addresses"]).find(|a| a["type"] == type_);
    found.map_or_else(|| json!(NONE), |a| a["address"].clone())
}

pub(super) fn controller(object: &Value) -> Value {
    let owner = items(&object["metadata"]["ownerReferences"]).find(|o| o["controller"] == true);
    owner.map_or_else(
        || json!(NONE),
        |o| {
            let (group, _) = text(&o["apiVersion"]).rsplit_once('/').unwrap_or_default();
            let dot = if group.is_empty() { "" } else { "." };
            json!(format!("{}{dot}{group}/{}", text(&o["kind"]).to_lowercase(), text(&o["name"])))
        },
    )
}

pub(super) fn job_status(job: &Value) -> Value {
    let holds =
        |kind: &str| items(&job["status"]["conditions"]).any(|c| c["type"] == kind && c["status"] == "True");
    let known = [("Complete", "Complete"), ("Failed", "Failed")];
    let ended = known.iter().find(|(kind, _)| holds(kind)).map(|(_, word)| *word);
    json!(ended.unwrap_or_else(|| {
        if !job["metadata"]["deletionTimestamp"].is_null() {
            "Terminating"
        } else if holds("Suspended") {
            "Suspended"
        } else if holds("FailureTarget") {
            "FailureTarget"
        } else if holds("SuccessCriteriaMet") {
            "SuccessCriteriaMet"
        } else {
            "Running"
        }
    }))
}

pub(super) fn job_duration(job: &Value, now: DateTime<Utc>) -> Value {
    let time = |field: &str| text(&job["status"][field]).parse::<DateTime<Utc>>().ok();
    let Some(start) = time("startTime") else { return json!("") };
    json!(human_duration(time("completionTime").unwrap_or(now) - start))
}

pub(super) fn subjects(binding: &Value, kind: &str) -> Value {
    let name = |s: &Value| match kind {
        "ServiceAccount" => format!("{}/{}", text(&s["namespace"]), text(&s["name"])),
        _ => text(&s["name"]).to_string(),
    };
    let names: Vec<String> = items(&binding["subjects"]).filter(|s| s["kind"] == kind).map(name).collect();
    json!(names.join(", "))
}

/// What an autoscaler looks at: current and wished-for values, `cpu: 12%/80%`.
pub(super) fn autoscaler_targets(autoscaler: &Value) -> Value {
    let spec = &autoscaler["spec"];
    // autoscaling/v1 knows the processor alone.
    if let Some(wanted) = spec["targetCPUUtilizationPercentage"].as_i64() {
        let current = autoscaler["status"]["currentCPUUtilizationPercentage"].as_i64();
        let current = current.map_or_else(|| "<unknown>".into(), |c| format!("{c}%"));
        return json!(format!("cpu: {current}/{wanted}%"));
    }
    let current: Vec<&Value> = items(&autoscaler["status"]["currentMetrics"]).collect();
    let all: Vec<String> = items(&spec["metrics"])
        .enumerate()
        .map(|(i, metric)| target(metric, current.get(i).copied().unwrap_or(&Value::Null)))
        .collect();
    match all.len() {
        0 => json!(NONE),
        1 | 2 => json!(all.join(", ")),
        many => json!(format!("{} + {} more...", all[..2].join(", "), many - 2)),
    }
}

fn target(metric: &Value, current: &Value) -> String {
    let (field, prefix) = match text(&metric["type"]) {
        "Resource" => ("resource", format!("{}: ", text(&metric["resource"]["name"]))),
        "ContainerResource" => {
            ("containerResource", format!("{}: ", text(&metric["containerResource"]["name"])))
        }
        "Pods" => ("pods", String::new()),
        "Object" => ("object", String::new()),
        "External" => ("external", String::new()),
        _ => return "<unknown type>".into(),
    };
    let (wanted, found) = (&metric[field]["target"], &current[field]["current"]);
    if let Some(percent) = wanted["averageUtilization"].as_i64() {
        let found = found["averageUtilization"].as_i64();
        let found = found.map_or_else(|| "<unknown>".into(), |f| format!("{f}%"));
        return format!("{prefix}{found}/{percent}%");
    }
    let average = !wanted["averageValue"].is_null();
    let quantity = if average { "averageValue" } else { "value" };
    let shown = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "<unknown>".into(),
        other => other.to_string(),
    };
    let mark = if average && matches!(field, "object" | "external") { " (avg)" } else { "" };
    format!("{prefix}{}/{}{mark}", shown(&found[quantity]), shown(&wanted[quantity]))
}
