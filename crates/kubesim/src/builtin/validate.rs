//! The validation of built-in kinds, in the words of a real API server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::names;
use crate::error::FieldError;
use crate::kinds::names as words;
use crate::registry::Served;
use crate::select::LabelSelector;
use crate::store::string_map;

/// All that is wrong with a stored object.
pub fn validate(served: &Served, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Errors::default();
    let spec = &object["spec"];
    match (served.kind.group.as_str(), served.kind.kind.as_str()) {
        ("", "Pod") => pod_spec(&mut errors, "spec", spec),
        ("", "Service") => service(&mut errors, spec, old.map(|old| &old["spec"])),
        ("", "ConfigMap") => config_map(&mut errors, object, old),
        ("", "Secret") => secret(&mut errors, object, old),
        ("apps", "Deployment") => {
            replicated(&mut errors, object, old);
            let (minimum, deadline) =
                (number(&spec["minReadySeconds"]), number(&spec["progressDeadlineSeconds"]));
            if spec["progressDeadlineSeconds"].is_i64() && deadline <= minimum {
                errors.invalid(
                    "spec.progressDeadlineSeconds",
                    &json!(deadline),
                    "must be greater than minReadySeconds",
                );
            }
            rolling_update(&mut errors, "spec.strategy", &spec["strategy"]);
        }
        ("apps", "ReplicaSet" | "StatefulSet" | "DaemonSet") => replicated(&mut errors, object, old),
        ("autoscaling", _) => autoscaler(&mut errors, spec),
        ("networking.k8s.io", "Ingress") => ingress(&mut errors, spec),
        ("coordination.k8s.io", "Lease") => lease(&mut errors, spec),
        _ => {}
    }
    errors.0
}

#[derive(Default)]
struct Errors(Vec<FieldError>);

impl Errors {
    fn required(&mut self, path: &str, why: &str) {
        self.0.push(FieldError::required(path, why));
    }

    fn invalid(&mut self, path: &str, value: &Value, why: &str) {
        self.0.push(FieldError::invalid(path, value, why));
    }

    fn word(&mut self, path: &str, text: &str, rule: fn(&str) -> Option<String>) {
        if let Some(why) = rule(text) {
            self.invalid(path, &json!(text), &why);
        }
    }

    fn not_negative(&mut self, path: &str, value: &Value) {
        if value.as_i64().is_some_and(|n| n < 0) {
            self.invalid(path, value, "must be greater than or equal to 0");
        }
    }

    fn immutable(&mut self, path: &str, value: &Value) {
        self.invalid(path, value, "field is immutable");
    }

    fn one_of(&mut self, path: &str, value: &Value, known: &[&str]) {
        if value.as_str().is_some_and(|text| !known.contains(&text)) {
            self.0.push(FieldError::not_supported(path, value, known));
        }
    }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn list(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate()
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_none_or(str::is_empty)
}

/// What Deployments, ReplicaSets, DaemonSets and StatefulSets have in common.
fn replicated(errors: &mut Errors, object: &Value, old: Option<&Value>) {
    let spec = &object["spec"];
    errors.not_negative("spec.replicas", &spec["replicas"]);
    errors.not_negative("spec.minReadySeconds", &spec["minReadySeconds"]);
    errors.not_negative("spec.revisionHistoryLimit", &spec["revisionHistoryLimit"]);
    let selector = &spec["selector"];
    let labels = &spec["template"]["metadata"]["labels"];
    if selector.is_null() {
        errors.required("spec.selector", "");
    } else if selector.as_object().is_some_and(|s| {
        s.values()
            .all(|v| v.as_object().is_none_or(|m| m.is_empty()) && v.as_array().is_none_or(Vec::is_empty))
    }) {
        errors.invalid("spec.selector", selector, "empty selector is invalid for deployment");
    } else {
        match LabelSelector::from_object(selector) {
            Err(why) => errors.invalid("spec.selector", selector, &why),
            Ok(parsed) if !parsed.matches(&string_map(labels)) => {
                let labels = if labels.is_null() { json!({}) } else { labels.clone() };
                errors.invalid(
                    "spec.template.metadata.labels",
                    &labels,
                    "`selector` does not match template `labels`",
                );
            }
            Ok(_) => {}
        }
    }
    if old.is_some_and(|old| old["spec"]["selector"] != *selector) {
        errors.immutable("spec.selector", selector);
    }
    errors.0.extend(names::check_labels("spec.template.metadata.labels", labels));
    pod_spec(errors, "spec.template.spec", &spec["template"]["spec"]);
    let restart = &spec["template"]["spec"]["restartPolicy"];
    errors.one_of("spec.template.spec.restartPolicy", restart, &["Always"]);
}

fn rolling_update(errors: &mut Errors, path: &str, strategy: &Value) {
    errors.one_of(&format!("{path}.type"), &strategy["type"], &["Recreate", "RollingUpdate"]);
    if strategy["type"] == "Recreate" && !strategy["rollingUpdate"].is_null() {
        let why = "may not be specified when strategy `type` is 'Recreate'";
        errors.0.push(FieldError::forbidden(format!("{path}.rollingUpdate"), why));
    }
    let rolling = &strategy["rollingUpdate"];
    for field in ["maxSurge", "maxUnavailable"] {
        let value = &rolling[field];
        let path = format!("{path}.rollingUpdate.{field}");
        errors.not_negative(&path, value);
        let percent = |text: &str| text.strip_suffix('%').is_some_and(|n| n.parse::<u32>().is_ok());
        if value.as_str().is_some_and(|text| !percent(text)) {
            errors.invalid(&path, value, PERCENT);
        }
    }
    let zero = |value: &Value| *value == 0 || *value == "0%";
    if zero(&rolling["maxSurge"]) && zero(&rolling["maxUnavailable"]) {
        errors.invalid(
            &format!("{path}.rollingUpdate.maxUnavailable"),
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        );
    }
}

const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' \
                       (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

fn pod_spec(errors: &mut Errors, path: &str, spec: &Value) {
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        errors.required(&format!("{path}.containers"), "");
    }
    let mut seen = BTreeSet::new();
    for field in ["initContainers", "containers"] {
        for (i, container) in list(&spec[field]) {
            let at = format!("{path}.{field}[{i}]");
            let name = &container["name"];
            match name.as_str().unwrap_or_default() {
                "" => errors.required(&format!("{at}.name"), ""),
                text => {
                    errors.word(&format!("{at}.name"), text, words::dns_label);
                    if !seen.insert(text) {
                        errors.0.push(FieldError::duplicate(format!("{at}.name"), name));
                    }
                }
            }
            if is_blank(&container["image"]) {
                errors.required(&format!("{at}.image"), "");
            }
            errors.one_of(
                &format!("{at}.imagePullPolicy"),
                &container["imagePullPolicy"],
                &["Always", "IfNotPresent", "Never"],
            );
            for (p, port) in list(&container["ports"]) {
                if let Some(name) = port["name"].as_str().filter(|name| !name.is_empty()) {
                    errors.word(&format!("{at}.ports[{p}].name"), name, words::port_name);
                }
                port_number(errors, &format!("{at}.ports[{p}].containerPort"), &port["containerPort"]);
            }
        }
    }
    let volumes: BTreeSet<&str> = list(&spec["volumes"]).filter_map(|(_, v)| v["name"].as_str()).collect();
    for (i, container) in list(&spec["containers"]) {
        for (m, mount) in list(&container["volumeMounts"]) {
            if mount["name"].as_str().is_none_or(|name| !volumes.contains(name)) {
                errors.0.push(FieldError::not_found(
                    format!("{path}.containers[{i}].volumeMounts[{m}].name"),
                    &mount["name"],
                ));
            }
        }
    }
    errors.one_of(
        &format!("{path}.restartPolicy"),
        &spec["restartPolicy"],
        &["Always", "OnFailure", "Never"],
    );
}

fn port_number(errors: &mut Errors, path: &str, port: &Value) {
    match port.as_i64() {
        None | Some(0) => errors.required(path, ""),
        Some(number) => {
            if let Some(why) = words::port_number(number) {
                errors.invalid(path, port, &why);
            }
        }
    }
}

fn service(errors: &mut Errors, spec: &Value, old: Option<&Value>) {
    errors.one_of("spec.type", &spec["type"], &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    errors.one_of("spec.sessionAffinity", &spec["sessionAffinity"], &["ClientIP", "None"]);
    let headless = spec["clusterIP"] == "None";
    let ports = spec["ports"].as_array().map_or(0, Vec::len);
    if ports == 0 && !headless && spec["type"] != "ExternalName" {
        errors.required("spec.ports", "");
    }
    if spec["type"] == "ExternalName" && is_blank(&spec["externalName"]) {
        errors.required("spec.externalName", "");
    }
    let (mut named, mut numbered) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in list(&spec["ports"]) {
        let at = format!("spec.ports[{i}]");
        match port["name"].as_str().unwrap_or_default() {
            "" if ports > 1 => errors.required(&format!("{at}.name"), ""),
            "" => {}
            name => {
                errors.word(&format!("{at}.name"), name, words::dns_label);
                if !named.insert(name) {
                    errors.0.push(FieldError::duplicate(format!("{at}.name"), &port["name"]));
                }
            }
        }
        port_range(errors, &format!("{at}.port"), &port["port"]);
        errors.one_of(&format!("{at}.protocol"), &port["protocol"], &["SCTP", "TCP", "UDP"]);
        match port["targetPort"].as_str() {
            Some(name) => errors.word(&format!("{at}.targetPort"), name, words::port_name),
            None => port_range(errors, &format!("{at}.targetPort"), &port["targetPort"]),
        }
        let key = (port["protocol"].as_str().unwrap_or_default(), number(&port["port"]));
        if !numbered.insert(key) {
            errors.0.push(FieldError::duplicate(
                at,
                &json!({"port": port["port"], "protocol": port["protocol"]}),
            ));
        }
    }
    errors.0.extend(names::check_labels("spec.selector", &spec["selector"]));
    if let Some(old) = old {
        let (was, is) = (&old["clusterIP"], &spec["clusterIP"]);
        let given = !is_blank(is);
        if given && !is_blank(was) && was != is && old["type"] != "ExternalName" {
            errors.invalid("spec.clusterIPs[0]", &json!([is]), "may not change once set");
        }
    }
}

fn port_range(errors: &mut Errors, path: &str, port: &Value) {
    if let Some(why) = words::port_number(number(port)) {
        errors.invalid(path, &json!(number(port)), &why);
    }
}

fn config_map(errors: &mut Errors, object: &Value, old: Option<&Value>) {
    data(errors, object, &["data", "binaryData"]);
    immutable_data(errors, object, old);
}

/// The keys and the size of a ConfigMap's or Secret's data.
fn data(errors: &mut Errors, object: &Value, fields: &[&str]) {
    const MOST: usize = 1024 * 1024;
    for field in fields {
        for key in object[*field].as_object().into_iter().flat_map(|map| map.keys()) {
            errors.word(&format!("{field}[{key}]"), key, words::config_key);
        }
    }
    let size: usize = fields
        .iter()
        .flat_map(|field| object[*field].as_object().into_iter().flatten())
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > MOST {
        errors.0.push(FieldError::too_long(fields.first().copied().unwrap_or_default(), MOST));
    }
}

fn secret(errors: &mut Errors, object: &Value, old: Option<&Value>) {
    data(errors, object, &["data"]);
    immutable_data(errors, object, old);
    if old.is_some_and(|old| old["type"] != object["type"]) {
        errors.immutable("type", &object["type"]);
    }
}

fn immutable_data(errors: &mut Errors, object: &Value, old: Option<&Value>) {
    let Some(old) = old.filter(|old| old["immutable"] == true) else { return };
    let why = "field is immutable when `immutable` is set";
    for field in ["immutable", "data", "binaryData"] {
        if old[field] != object[field] {
            errors.0.push(FieldError::forbidden(field, why));
        }
    }
}

fn autoscaler(errors: &mut Errors, spec: &Value) {
    let (minimum, maximum) = (number(&spec["minReplicas"]), number(&spec["maxReplicas"]));
    if minimum < 1 {
        errors.invalid("spec.minReplicas", &json!(minimum), "must be greater than or equal to 1");
    }
    if maximum < 1 {
        errors.required("spec.maxReplicas", "must be set and greater than 0");
    } else if maximum < minimum {
        errors.invalid("spec.maxReplicas", &json!(maximum), "must be greater than or equal to `minReplicas`");
    }
    for field in ["kind", "name"] {
        if is_blank(&spec["scaleTargetRef"][field]) {
            errors.required(&format!("spec.scaleTargetRef.{field}"), "");
        }
    }
    let api_version = &spec["scaleTargetRef"]["apiVersion"];
    if is_blank(api_version) && spec["scaleTargetRef"]["kind"] != "ReplicationController" {
        errors.invalid("spec.scaleTargetRef.apiVersion", &json!(""), "apiVersion must specify API group");
    }
}

fn ingress(errors: &mut Errors, spec: &Value) {
    if spec["defaultBackend"].is_null() && spec["rules"].as_array().is_none_or(Vec::is_empty) {
        errors.invalid("spec", &spec.clone(), "either `defaultBackend` or `rules` must be specified");
    }
    for (r, rule) in list(&spec["rules"]) {
        for (p, path) in list(&rule["http"]["paths"]) {
            let at = format!("spec.rules[{r}].http.paths[{p}]");
            if is_blank(&path["pathType"]) {
                errors.required(&format!("{at}.pathType"), "pathType must be specified");
            }
            errors.one_of(
                &format!("{at}.pathType"),
                &path["pathType"],
                &["Exact", "ImplementationSpecific", "Prefix"],
            );
            let service = &path["backend"]["service"];
            if !service.is_null() {
                let name = service["name"].as_str().unwrap_or_default();
                errors.word(&format!("{at}.backend.service.name"), name, words::dns_1035_label);
            }
        }
    }
}

fn lease(errors: &mut Errors, spec: &Value) {
    let duration = &spec["leaseDurationSeconds"];
    if duration.as_i64().is_some_and(|n| n <= 0) {
        errors.invalid("spec.leaseDurationSeconds", duration, "must be greater than 0");
    }
    errors.not_negative("spec.leaseTransitions", &spec["leaseTransitions"]);
}
