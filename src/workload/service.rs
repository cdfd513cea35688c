//! Kubernetes Services as targets (spec 02 §3.8): the user's Service is the apex, and the two sides are copies of it.
//! Nothing here has pods, so everything is ready at any time.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::inherited::{is_copyable, is_flux};
use super::live::find;
use super::{Error, Workload, owner, revision};
use crate::model::object::{Kind, ObjectId, Objects, Write, merge_patch, owner_references};
use crate::model::release::{Release, Settings};
use crate::model::workload::{PrimaryFacts, Readiness, TargetFacts, TargetShape};

/// A Service as target.
pub struct Service;

impl Workload for Service {
    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![target_id(release), primary_id(release), canary_id(release)]
    }

    fn shape(&self, release: &Release, _settings: &Settings, seen: &Objects) -> Result<TargetShape, Error> {
        find(seen, &target_id(release)).map(|_| TargetShape::default())
    }

    fn target(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _now: DateTime<Utc>,
    ) -> Result<TargetFacts, Error> {
        let target = find(seen, &target_id(release))?;
        Ok(TargetFacts {
            uid: target["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            generation: revision::generation(&target["spec"].to_string()),
            revision: revision::of(&normal(&target["spec"])),
            replicas: 1,
            ready_pods: 1,
            readiness: Readiness::Ready,
            configs: None,
            config_problem: None,
        })
    }

    fn primary(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _now: DateTime<Utc>,
    ) -> Option<PrimaryFacts> {
        let primary = seen.get(&primary_id(release))?;
        let wanted = seen.get(&target_id(release)).map(|target| wanted(release, target));
        Some(PrimaryFacts {
            replicas: 1,
            ready_pods: 1,
            readiness: Readiness::Ready,
            matches_target: wanted.is_some_and(|wanted| normal(&wanted) == normal(&primary["spec"])),
            other_configs: false,
            replaced_at_once: false,
        })
    }

    fn create_primary(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _id: &str,
    ) -> Result<Vec<Write>, Error> {
        let id = primary_id(release);
        match seen.get(&id) {
            Some(present) => owner::check(release, &id, present).map(|()| Vec::new()),
            None => Ok(vec![create(release, find(seen, &target_id(release))?, id)]),
        }
    }

    fn promote(
        &self,
        release: &Release,
        _settings: &Settings,
        seen: &Objects,
        _id: &str,
    ) -> Result<Vec<Write>, Error> {
        let id = primary_id(release);
        let (target, primary) = (find(seen, &target_id(release))?, find(seen, &id)?);
        owner::check(release, &id, primary)?;
        Ok(update(release, target, id, primary).into_iter().collect())
    }

    /// The copy in front of the canary is updated with every change of the target.
    fn canary_service(&self, release: &Release, seen: &Objects) -> Option<Result<Vec<Write>, Error>> {
        let id = canary_id(release);
        let writes = |target| match seen.get(&id) {
            None => Ok(vec![create(release, target, id.clone())]),
            Some(live) => {
                owner::check(release, &id, live)?;
                Ok(update(release, target, id.clone(), live).into_iter().collect())
            }
        };
        Some(find(seen, &target_id(release)).and_then(writes))
    }

    fn scale_to_zero(&self, _release: &Release, _seen: &Objects) -> Vec<Write> {
        Vec::new()
    }

    fn scale_up(&self, _release: &Release, _seen: &Objects) -> Vec<Write> {
        Vec::new()
    }

    fn revert(&self, _release: &Release, _seen: &Objects) -> Vec<Write> {
        Vec::new()
    }
}

fn target_id(release: &Release) -> ObjectId {
    Kind::SERVICE.at(&release.namespace, &release.target.name)
}

/// The copy in front of the primary is named after the apex, as the routes name it.
fn primary_id(release: &Release) -> ObjectId {
    Kind::SERVICE.at(&release.namespace, &release.primary_service())
}

fn canary_id(release: &Release) -> ObjectId {
    Kind::SERVICE.at(&release.namespace, &release.canary_service())
}

fn create(release: &Release, target: &Value, id: ObjectId) -> Write {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": id.name,
            "namespace": id.namespace,
            "labels": copied(&target["metadata"]["labels"]),
            "annotations": copied(&target["metadata"]["annotations"]),
            "ownerReferences": owner_references(&release.name, &release.uid),
        },
        "spec": wanted(release, target),
    });
    Write::Create { id, object }
}

/// Updates a copy after its target. What the cluster has allocated to it stays, and so do annotations: those of a
/// Service are written by whoever provides its load balancer, to each copy its own.
fn update(release: &Release, target: &Value, id: ObjectId, live: &Value) -> Option<Write> {
    let [wanted, present] = [&wanted(release, target), &live["spec"]].map(changeable);
    let mut changes = json!({"metadata": {"labels": copied(&target["metadata"]["labels"])}});
    if normal(&wanted) != normal(&present) {
        changes["spec"] = merge_patch(&present, &wanted).unwrap_or_else(|| json!({}));
    }
    Write::merge(id, live, &changes)
}

/// The fields of a spec that can be changed once a Service exists.
fn changeable(spec: &Value) -> Value {
    let mut spec = own(spec);
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("clusterIP");
        fields.remove("ipFamilyPolicy");
    }
    spec
}

/// The spec that a copy of `target` should have.
fn wanted(release: &Release, target: &Value) -> Value {
    let mut spec = own(&target["spec"]);
    let distribution = release.service.traffic_distribution.as_deref().filter(|text| !text.is_empty());
    if let Some(distribution) = distribution {
        spec["trafficDistribution"] = json!(distribution);
    }
    spec
}

/// A spec without what the cluster allocates to one Service alone (spec 02 E3.8).
fn own(spec: &Value) -> Value {
    let mut own: Map<String, Value> = spec.as_object().cloned().unwrap_or_default();
    for field in ["clusterIPs", "ipFamilies", "healthCheckNodePort", "loadBalancerIP"] {
        own.remove(field);
    }
    // Headless is a wish, an address is not.
    if own.get("clusterIP").is_some_and(|address| address != "None") {
        own.remove("clusterIP");
    }
    for port in own.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(port) = port.as_object_mut() {
            port.remove("nodePort");
        }
    }
    Value::Object(own)
}

/// A spec without the fields that only say the default, so that specs of the same meaning are equal.
fn normal(spec: &Value) -> Value {
    const DEFAULTS: [(&str, &str); 5] = [
        ("type", "ClusterIP"),
        ("sessionAffinity", "None"),
        ("internalTrafficPolicy", "Cluster"),
        ("externalTrafficPolicy", "Cluster"),
        ("ipFamilyPolicy", "SingleStack"),
    ];
    let Value::Object(mut normal) = own(spec) else { return Value::Null };
    normal.retain(|field, value| {
        !value.is_null() && !DEFAULTS.iter().any(|(name, default)| field == name && value == default)
    });
    for port in normal.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let number = port["port"].clone();
        if let Some(port) = port.as_object_mut() {
            port.retain(|field, value| {
                let default = (field == "protocol" && value == "TCP")
                    || (field == "targetPort" && (*value == number || *value == 0));
                !value.is_null() && !default
            });
        }
    }
    Value::Object(normal)
}

/// The labels or annotations that go to a copy.
fn copied(map: &Value) -> Value {
    let mut copied: Map<String, Value> = map.as_object().cloned().unwrap_or_default();
    copied.retain(|key, _| !is_flux(key) && is_copyable(key));
    Value::Object(copied)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::release::{Target, TargetKind};
    use crate::workload::testing::{noon, release as frontend};

    fn release() -> Release {
        Release { target: Target { kind: TargetKind::Service, name: "frontend".into() }, ..frontend() }
    }

    fn live() -> Value {
        json!({
            "metadata": {
                "name": "frontend", "namespace": "shop", "uid": "s-1", "resourceVersion": "7",
                "labels": {"team": "web", "kustomize.toolkit.fluxcd.io/name": "shop"},
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "mine"},
            },
            "spec": {
                "type": "NodePort", "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                "selector": {"app": "frontend", "version": "1"},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 31000}],
            },
        })
    }

    fn seen(objects: &[(ObjectId, Value)]) -> Objects {
        objects.iter().map(|(id, object)| (id.clone(), Arc::new(object.clone()))).collect()
    }

    fn after(write: &Write, live: &Value) -> Value {
        let Write::Patch { patch, .. } = write else { panic!("a patch, not {write:?}") };
        let mut object = live.clone();
        json_patch::merge(&mut object, patch);
        object
    }

    fn created(writes: Vec<Write>) -> Value {
        let [Write::Create { object, .. }] = &writes[..] else { panic!("one object, not {writes:?}") };
        object.clone()
    }

    // spec: 02/C75 03/SVC-27
    #[test]
    fn both_sides_are_copies_without_what_the_cluster_allocated_and_owned_by_the_canary() {
        let release = release();
        let seen = seen(&[(target_id(&release), live())]);
        let primary =
            created(Service.create_primary(&release, &Settings::default(), &seen, "id").expect("a copy"));
        let canary = created(Service.canary_service(&release, &seen).expect("its own").expect("a copy"));
        for (copy, name) in [(&primary, "frontend-primary"), (&canary, "frontend-canary")] {
            assert_eq!(copy["metadata"]["name"], name);
            assert_eq!(copy["metadata"]["labels"], json!({"team": "web"}));
            assert_eq!(copy["metadata"]["annotations"], json!({"note": "mine"}));
            assert_eq!(copy["metadata"]["ownerReferences"][0]["kind"], "Canary");
            assert_eq!(
                copy["spec"],
                json!({
                    "type": "NodePort", "ipFamilyPolicy": "SingleStack", "sessionAffinity": "None",
                    "selector": {"app": "frontend", "version": "1"},
                    "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
                })
            );
        }
    }

    // spec: 02/C75 03/SVC-26
    #[test]
    fn the_canary_follows_the_target_and_the_primary_waits_for_a_promotion() {
        let release = release();
        let mut copy = live();
        copy["metadata"]["resourceVersion"] = json!("9");
        copy["metadata"]["labels"] = json!({"team": "web"});
        copy["metadata"]["annotations"] = json!({"note": "mine"});
        copy["metadata"]["ownerReferences"] = owner_references(&release.name, &release.uid);
        copy["spec"]["clusterIP"] = json!("10.0.0.8");
        copy["spec"]["ports"][0]["nodePort"] = json!(31001);
        let all = |target: Value| {
            seen(&[
                (target_id(&release), target),
                (primary_id(&release), copy.clone()),
                (canary_id(&release), copy.clone()),
            ])
        };
        let settings = Settings::default();
        let in_line = all(live());
        assert_eq!(Service.canary_service(&release, &in_line), Some(Ok(vec![])));
        assert!(
            Service.primary(&release, &settings, &in_line, noon()).is_some_and(|facts| facts.matches_target)
        );

        let mut changed = live();
        changed["spec"]["selector"]["version"] = json!("2");
        let changed = all(changed);
        let writes = Service.canary_service(&release, &changed).expect("its own").expect("a write");
        let followed = after(&writes[0], &copy);
        assert_eq!(followed["spec"]["selector"]["version"], "2");
        assert_eq!(followed["spec"]["clusterIP"], "10.0.0.8");
        assert!(
            !Service.primary(&release, &settings, &changed, noon()).is_some_and(|facts| facts.matches_target)
        );
        let writes = Service.promote(&release, &settings, &changed, "id").expect("a write");
        let promoted = after(&writes[0], &copy);
        assert_eq!(promoted["spec"]["selector"]["version"], "2");
        assert_eq!(promoted["metadata"]["ownerReferences"], copy["metadata"]["ownerReferences"]);
    }

    // spec: 02/C75
    #[test]
    fn only_what_a_user_can_want_is_a_revision() {
        let release = release();
        let facts = |spec: Value| {
            let mut service = live();
            service["spec"] = spec;
            let seen = seen(&[(target_id(&release), service)]);
            Service.target(&release, &Settings::default(), &seen, noon()).expect("a target").revision
        };
        let plain = json!({"selector": {"app": "a"}, "ports": [{"port": 80}]});
        let defaulted = json!({
            "type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "selector": {"app": "a"},
            "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}],
        });
        assert_eq!(facts(plain.clone()), facts(defaulted));
        let other = json!({"selector": {"app": "b"}, "ports": [{"port": 80}]});
        assert_ne!(facts(plain), facts(other));
    }
}
