//! Knative Serving in the simulated world, as far as a release sees it: a Revision for each template of a Service, ready
//! after a while unless its image cannot be pulled, and the traffic as the Service asks for it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kubesim::{Controller, ControllerApi, Object, ObjectId};
use serde_json::{Value, json};

/// Knative's controller.
pub(super) struct Serving;

impl Controller for Serving {
    fn watches(&self, object: &Object) -> bool {
        let value = object.value();
        value["apiVersion"] == SERVING && (value["kind"] == "Service" || value["kind"] == "Revision")
    }

    fn sync(&mut self, api: &mut ControllerApi<'_>, id: &ObjectId) -> Option<Duration> {
        let object = api.object(id).filter(|object| !object.is_terminating())?.clone();
        let value = object.value();
        if value["kind"] == "Service" {
            serve(api, id, value);
            return None;
        }
        match start(api, id, value) {
            Some(pause) => Some(pause),
            None => {
                let service = text(&value["metadata"]["labels"][SERVICE_LABEL]);
                let id = api.id(SERVICE, &id.key.namespace, service)?;
                let service = api.object(&id)?.clone();
                serve(api, &id, service.value());
                None
            }
        }
    }
}

/// Creates the Revision of a Service's template, and writes the Service's status.
fn serve(api: &mut ControllerApi<'_>, id: &ObjectId, service: &Value) {
    let (namespace, status) = (&*id.key.namespace, &service["status"]);
    let template = &service["spec"]["template"];
    let latest = text(&status["latestCreatedRevisionName"]);
    let known = api.find(REVISION, namespace, latest);
    let annotations =
        |object: &Value| object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    let is_of_template = |revision: &Value| {
        revision["spec"] == template["spec"] && annotations(revision) == annotations(template)
    };
    let created = match known.is_some_and(|known| is_of_template(known.value())) {
        true => latest.to_owned(),
        false => {
            let number = latest.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0) + 1;
            let revision = revision(service, number, api.now());
            let name = text(&revision["metadata"]["name"]).to_owned();
            api.create(REVISION, namespace, revision);
            name
        }
    };
    let is_ready = |name: &str| {
        let found = api.find(REVISION, namespace, name).map(|revision| ready(revision.value()).0 == "True");
        found.unwrap_or(false)
    };
    let served = if is_ready(&created) { created.as_str() } else { text(&status["latestReadyRevisionName"]) };
    let all = [json!({"latestRevision": true, "percent": 100})];
    let wanted = service["spec"]["traffic"].as_array().map_or(&all[..], Vec::as_slice);
    let traffic: Vec<Value> = wanted
        .iter()
        .map(|entry| {
            let mut entry = entry.clone();
            if entry["latestRevision"] == true {
                entry["revisionName"] = json!(served);
            }
            entry
        })
        .collect();
    let routed = traffic.iter().all(|entry| is_ready(text(&entry["revisionName"])));
    let (revision, whole) = (state(is_ready(&created)), state(routed && is_ready(&created)));
    let status = json!({
        "observedGeneration": service["metadata"]["generation"],
        "latestCreatedRevisionName": created,
        "latestReadyRevisionName": served,
        "traffic": traffic,
        "url": format!("http://{}.{namespace}.example.test", id.key.name),
        "conditions": [
            {"type": "ConfigurationsReady", "status": revision},
            {"type": "Ready", "status": whole},
            {"type": "RoutesReady", "status": state(routed)},
        ],
    });
    api.update_status(id, status);
}

/// The Revision number `number` of a Service.
fn revision(service: &Value, number: u32, now: DateTime<Utc>) -> Value {
    let (meta, template) = (&service["metadata"], &service["spec"]["template"]);
    let name = text(&meta["name"]);
    let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(SERVICE_LABEL.to_owned(), meta["name"].clone());
    json!({
        "apiVersion": SERVING,
        "kind": "Revision",
        "metadata": {
            "name": format!("{name}-{number:05}"),
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": template["metadata"]["annotations"].as_object().cloned().unwrap_or_default(),
            "ownerReferences": [{
                "apiVersion": SERVING, "kind": "Service", "name": name, "uid": meta["uid"],
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": template["spec"],
        "status": {
            "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Deploying"}],
            // Created times are whole seconds; this one is not.
            "startedAt": now.to_rfc3339(),
        },
    })
}

/// Makes a Revision ready, or says why it cannot be; the time until then if it has not had its time to start.
fn start(api: &mut ControllerApi<'_>, id: &ObjectId, revision: &Value) -> Option<Duration> {
    if ready(revision).0 != "Unknown" {
        return None;
    }
    let started = DateTime::parse_from_rfc3339(text(&revision["status"]["startedAt"])).ok()?;
    let left = started.to_utc() + STARTUP - api.now();
    if let Some(pause) = left.to_std().ok().filter(|pause| !pause.is_zero()) {
        return Some(pause);
    }
    let image = text(&revision["spec"]["containers"][0]["image"]);
    let condition = match image.contains("bad-image") {
        true => json!({
            "type": "Ready", "status": "False", "reason": "ContainerMissing",
            "message": format!("Unable to fetch image {image:?}: not found"),
        }),
        false => json!({"type": "Ready", "status": "True"}),
    };
    let mut status = revision["status"].clone();
    status["conditions"] = json!([condition]);
    api.update_status(id, status);
    None
}

/// Status and message of the condition `Ready`.
pub(super) fn ready(object: &Value) -> (&str, &str) {
    let conditions = object["status"]["conditions"].as_array();
    let condition = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    condition.map_or(("", ""), |condition| (text(&condition["status"]), text(&condition["message"])))
}

fn state(holds: bool) -> &'static str {
    if holds { "True" } else { "Unknown" }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

const SERVING: &str = "serving.knative.dev/v1";
pub(super) const SERVICE: &str = "serving.knative.dev/v1/Service";
pub(super) const REVISION: &str = "serving.knative.dev/v1/Revision";
const SERVICE_LABEL: &str = "serving.knative.dev/service";

/// How long a Revision takes to start.
const STARTUP: TimeDelta = TimeDelta::seconds(2);
