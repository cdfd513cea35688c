//! The CRD files: that they are what the program says, and that they mean what Flagger's mean, apart from what
//! `docs/differences.md` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use vexil::api::crds;

#[test]
fn the_files_are_what_the_program_writes() {
    for crd in crds::crds() {
        let path = root().join("crds").join(crds::file_name(&crd));
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(file, crds::to_yaml(&crd), "{} is out of date: run `vexil crds`", path.display());
    }
}

#[test]
fn no_other_file_stands_beside_them() {
    let known: BTreeSet<String> = crds::crds().iter().map(crds::file_name).collect();
    let present: BTreeSet<String> = std::fs::read_dir(root().join("crds"))
        .expect("the folder is checked in")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(present, known);
}

/// Field by field, keyword by keyword.
#[test]
fn the_schemas_mean_what_flaggers_mean_but_for_the_listed_differences() {
    let reference = reference();
    let mut found = BTreeSet::new();
    // Flagger has no routers in files.
    for crd in crds::crds().into_iter().filter(|crd| crd.spec.names.kind != "RouteTemplate") {
        let ours = serde_json::to_value(&crd).expect("a CRD is JSON");
        let kind = crd.spec.names.kind.as_str();
        let theirs = &reference[kind];
        for field in ["/metadata/name", "/metadata/annotations", "/spec/group", "/spec/names", "/spec/scope"]
        {
            assert_eq!(ours.pointer(field), theirs.pointer(field), "{kind} {field}");
        }
        let columns = |crd: &Value| {
            crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().cloned().unwrap_or_default()
        };
        // More columns may follow where scripts do not look for theirs.
        let (our_columns, their_columns) = (columns(&ours), columns(theirs));
        let (same, more) = our_columns.split_at(their_columns.len().min(our_columns.len()));
        assert_eq!(same, their_columns, "{kind}");
        assert!(more.iter().all(|column| column["priority"] == 1), "{kind}: {more:?}");
        for field in ["name", "served", "storage", "subresources"] {
            assert_eq!(
                ours["spec"]["versions"][0][field], theirs["spec"]["versions"][0][field],
                "{kind} {field}"
            );
        }
        let schema = |crd: &Value| crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone();
        compare(kind, &schema(&ours), &schema(theirs), &mut found);
    }
    let listed: BTreeSet<String> = INTENDED.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(found, listed);
}

/// What is meant to differ.
const INTENDED: &[&str] = &[
    // Both an address and a Secret may be given, as documented examples do.
    "AlertProvider.spec: anyOf added",
    "AlertProvider.spec: oneOf missing",
    // A receiver of one's own.
    "AlertProvider.spec.type: enum differs",
    "AlertProvider.spec.template: field added",
    "AlertProvider.spec.threads: field added",
    // Alerts of Alertmanager.
    "MetricTemplate.spec.provider.type: enum differs",
    // Rules of a metric.
    "Canary.spec.analysis.metrics[].consecutiveErrorLimit: field added",
    "Canary.spec.analysis.metrics[].dryRun: field added",
    "Canary.spec.analysis.metrics[].failureLimit: field added",
    "Canary.spec.analysis.metrics[].minSamples: field added",
    "Canary.spec.analysis.metrics[].severity: field added",
    // CloudEvents.
    "Canary.spec.analysis.webhooks[].cloudEvents: field added",
    // Old manifests.
    "Canary.spec.canaryAnalysis: field added",
    "Canary.spec: anyOf added",
    "Canary.spec: required differs",
    // The same, said in words; and what can never run.
    "Canary.spec.analysis: oneOf missing",
    "Canary.spec.analysis: required added",
    "Canary.spec.analysis: x-kubernetes-validations added",
    "Canary.spec: x-kubernetes-validations added",
    "Canary.spec.analysis.maxWeight: x-kubernetes-validations added",
    "Canary.spec.analysis.sessionAffinity.maxAge: x-kubernetes-validations added",
    "Canary.spec.analysis.threshold: x-kubernetes-validations added",
    "Canary.spec.service.hosts: maxItems added",
    "Canary.spec.service.hosts[]: maxLength added",
    "Canary.spec.service.hosts[]: x-kubernetes-validations added",
    "Canary.spec.service.name: maxLength added",
    "Canary.spec.service.name: x-kubernetes-validations added",
    // What an unreadable metric means.
    "Canary.spec.analysis.onMetricError: field added",
    "Canary.spec.analysis.onNoData: field added",
    "Canary.spec.routeRefs: field added",
    // A router in a file.
    "Canary.spec.routeTemplateRef: field added",
    // Load balancers of AWS.
    "Canary.spec.provider: enum differs",
    // `required` stood on the list, where it means nothing.
    "Canary.spec.service.mirror: required missing",
    "Canary.spec.service.mirror[]: required added",
    // What a release needs to survive a restart at any point.
    "Canary.status.appliedTarget: field added",
    "Canary.status.lastCheckTime: field added",
    "Canary.status.observedGeneration: field added",
    // Who calls.
    "Canary.spec.analysis.webhooks[].headersFrom: field added",
    "Canary.spec.analysis.webhooks[].signature: field added",
    // What people want to know of a release.
    "Canary.status.blockers: field added",
    "Canary.status.measurements: field added",
    "Canary.status.promoted: field added",
    "Canary.status.releasing: field added",
];

/// Notes where two schemas differ in meaning.
fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut BTreeSet<String>) {
    let (ours, theirs) = (meaning(ours), meaning(theirs));
    let keywords: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    for keyword in keywords {
        let (Some(our), Some(their)) = (ours.get(keyword), theirs.get(keyword)) else {
            let which = if ours.contains_key(keyword) { "added" } else { "missing" };
            found.insert(format!("{path}: {keyword} {which}"));
            continue;
        };
        match keyword.as_str() {
            "properties" => compare_properties(path, our, their, found),
            "items" => compare(&format!("{path}[]"), our, their, found),
            "additionalProperties" => compare(&format!("{path}.*"), our, their, found),
            _ if our == their || our.as_f64().is_some_and(|number| Some(number) == their.as_f64()) => {}
            _ => {
                found.insert(format!("{path}: {keyword} differs"));
            }
        }
    }
}

fn compare_properties(path: &str, ours: &Value, theirs: &Value, found: &mut BTreeSet<String>) {
    let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) else { panic!("{path}: properties") };
    for name in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        match (ours.get(name), theirs.get(name)) {
            (Some(our), Some(their)) => compare(&format!("{path}.{name}"), our, their, found),
            (Some(_), None) => {
                found.insert(format!("{path}.{name}: field added"));
            }
            _ => {
                found.insert(format!("{path}.{name}: field missing"));
            }
        }
    }
}

/// A schema without what has no effect: descriptions, formats that the API server does not know, orders.
fn meaning(schema: &Value) -> BTreeMap<String, Value> {
    let mut kept = BTreeMap::new();
    for (keyword, value) in schema.as_object().expect("a schema is an object") {
        let value = match (keyword.as_str(), value) {
            ("description", _) => continue,
            ("format", format) if format == "string" || format == "url" => continue,
            ("required" | "enum" | "oneOf" | "anyOf", Value::Array(items)) => sorted(items),
            ("x-kubernetes-validations", rules) => {
                serde_json::from_str(&rules.to_string().replace("\\n ", " ")).expect("still JSON")
            }
            _ => value.clone(),
        };
        kept.insert(keyword.clone(), value);
    }
    kept
}

/// Members of `required`, `enum` and the like, whose order means nothing, at any depth.
fn sorted(items: &[Value]) -> Value {
    let mut items: Vec<Value> = items
        .iter()
        .map(|item| match item {
            Value::Object(_) => {
                meaning(item).into_iter().map(|(key, value)| (key, deep_meaning(value))).collect::<Value>()
            }
            other => other.clone(),
        })
        .collect();
    items.sort_by_key(Value::to_string);
    items.into()
}

fn deep_meaning(value: Value) -> Value {
    match value {
        Value::Object(_) => {
            meaning(&value).into_iter().map(|(key, value)| (key, deep_meaning(value))).collect()
        }
        other => other,
    }
}

/// Flagger's CRDs by kind.
fn reference() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(root().join("tests/data/crds/flagger.yaml")).expect("Flagger's CRDs");
    let documents = vexil::lint::value(&text).expect("the reference is YAML");
    documents
        .into_iter()
        .map(|crd| (crd["spec"]["names"]["kind"].as_str().expect("a kind").to_owned(), crd))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
