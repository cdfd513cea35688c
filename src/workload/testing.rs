//! Fixtures of this room: the `frontend` of an online shop, as a cluster holds it.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::api::service::CanaryService;
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Autoscaler, Release, ScalerKind, Settings, TargetKind};
use crate::model::testing;

pub fn release() -> Release {
    testing::release("frontend", "shop").served_by(CanaryService { port: 80, ..CanaryService::default() })
}

pub fn autoscaled(kind: ScalerKind) -> Release {
    let scaler = Autoscaler {
        kind,
        name: "frontend".into(),
        primary_queries: None,
        primary_min: None,
        primary_max: None,
    };
    Release { autoscaler: Some(scaler), ..release() }
}

/// Without tracking of configs: those tests have their own.
pub fn settings() -> Settings {
    Settings { config_tracking: false, ..Settings::default() }
}

pub fn including(prefixes: &[&str]) -> Settings {
    Settings { include_label_prefixes: prefixes.iter().map(|&prefix| prefix.into()).collect(), ..settings() }
}

/// A moment at which a Deployment became unavailable in these tests.
pub fn noon() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().expect("a time")
}

pub fn after(seconds: i64) -> DateTime<Utc> {
    noon() + TimeDelta::seconds(seconds)
}

/// The shop's frontend, as the API server returns it: defaults written out, ready.
pub fn frontend() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "frontend",
            "namespace": "shop",
            "uid": "d-1",
            "generation": 3,
            "resourceVersion": "41",
            "labels": {
                "app": "frontend",
                "app.kubernetes.io/part-of": "shop",
                "kustomize.toolkit.fluxcd.io/name": "shop",
            },
            "annotations": {
                "deployment.kubernetes.io/revision": "3",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "kustomize.toolkit.fluxcd.io/checksum": "0a40893b",
                "app.kubernetes.io/owner": "web-team",
            },
        },
        "spec": {
            "replicas": 3,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "minReadySeconds": 5,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "selector": {"matchLabels": {"app": "frontend"}},
            "template": {
                "metadata": {
                    "creationTimestamp": null,
                    "labels": {"app": "frontend", "tier": "web", "kustomize.toolkit.fluxcd.io/name": "shop"},
                    "annotations": {"prometheus.io/scrape": "true", "kustomize.toolkit.fluxcd.io/checksum": "0a40893b"},
                },
                "spec": {
                    "affinity": {"podAntiAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            {"weight": 100, "podAffinityTerm": {
                                "topologyKey": "kubernetes.io/hostname",
                                "labelSelector": {"matchExpressions": [
                                    {"key": "app", "operator": "In", "values": ["frontend"]},
                                ]},
                            }},
                        ],
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {
                                "topologyKey": "kubernetes.io/hostname",
                                "labelSelector": {"matchLabels": {"app": "loadgenerator"}},
                            },
                        ],
                    }},
                    "containers": [{
                        "name": "server",
                        "image": "shop/frontend:v0.10.1",
                        "imagePullPolicy": "IfNotPresent",
                        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                        "env": [
                            {"name": "PORT", "value": "8080"},
                            {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
                            {"name": "CURRENCY", "valueFrom": {"configMapKeyRef": {"name": "frontend-settings", "key": "currency"}}},
                        ],
                        "resources": {"limits": {"cpu": "200m", "memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
                        "readinessProbe": {
                            "httpGet": {"path": "/_healthz", "port": 8080, "scheme": "HTTP"},
                            "initialDelaySeconds": 10,
                            "timeoutSeconds": 1,
                            "periodSeconds": 10,
                            "successThreshold": 1,
                            "failureThreshold": 3,
                        },
                        "terminationMessagePath": "/dev/termination-log",
                        "terminationMessagePolicy": "File",
                        "securityContext": {"readOnlyRootFilesystem": true},
                    }],
                    "dnsPolicy": "ClusterFirst",
                    "restartPolicy": "Always",
                    "schedulerName": "default-scheduler",
                    "securityContext": {},
                    "serviceAccount": "frontend",
                    "serviceAccountName": "frontend",
                    "terminationGracePeriodSeconds": 30,
                },
            },
        },
        "status": {
            "observedGeneration": 3,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    })
}

/// Its autoscaler.
pub fn hpa() -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": "frontend", "namespace": "shop", "uid": "h-1", "resourceVersion": "17",
            "labels": {"team": "web", "kustomize.toolkit.fluxcd.io/name": "shop"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "minReplicas": 3,
            "maxReplicas": 12,
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}},
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
        },
    })
}

/// The primary that [`frontend`] gets, as the API server returns it.
pub fn frontend_primary() -> Value {
    let seen = seen([frontend()]);
    let writes = registered(TargetKind::Deployment).create_primary(&release(), &settings(), &seen, "id-1");
    let mut primary = created(writes.expect("writes").remove(0));
    json_patch::merge(
        &mut primary,
        &json!({"metadata": {"uid": "p-1", "generation": 1, "resourceVersion": "52"}, "status": frontend()["status"]}),
    );
    json_patch::merge(&mut primary, &json!({"status": {"observedGeneration": 1}}));
    primary
}

pub fn registered(kind: TargetKind) -> &'static dyn super::Workload {
    super::registry::workload(kind)
}

/// What the caches hold if these objects are all there is.
pub fn seen(objects: impl IntoIterator<Item = Value>) -> Objects {
    objects.into_iter().map(|object| (id_of(&object), Arc::new(object))).collect()
}

fn id_of(object: &Value) -> ObjectId {
    let kinds =
        [Kind::DEPLOYMENT, Kind::DAEMON_SET, Kind::HPA, Kind::SCALED_OBJECT, Kind::CONFIG_MAP, Kind::SECRET];
    let kind = kinds.into_iter().find(|kind| object["kind"] == kind.kind).expect("a known kind");
    let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
    kind.at(&text("namespace"), &text("name"))
}

pub fn created(write: Write) -> Value {
    match write {
        Write::Create { object, .. } => object,
        other => panic!("not a creation: {other:?}"),
    }
}

pub fn patched(writes: Vec<Write>) -> Value {
    match writes.as_slice() {
        [Write::Patch { patch, .. }] => patch.clone(),
        other => panic!("not one patch: {other:?}"),
    }
}

/// The object after the writes that concern it.
pub fn applied(object: &Value, writes: &[Write]) -> Value {
    let mut object = object.clone();
    for write in writes {
        match write {
            Write::Patch { patch, .. } => json_patch::merge(&mut object, patch),
            other => panic!("not a patch: {other:?}"),
        }
    }
    object
}
