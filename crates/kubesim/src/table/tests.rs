use std::sync::Arc;

use chrono::TimeZone;
use rstest::rstest;

use super::*;
use crate::kinds;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 3, 10, 0).single().expect("a time")
}

fn meta(name: &str) -> Value {
    json!({"name": name, "creationTimestamp": "2026-01-02T03:04:57Z"})
}

/// As kubectl prints it: heads and cells of the columns up to a priority.
fn printed(table: &Value, most: i64) -> (String, String) {
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let kept = |i: &usize| columns[*i]["priority"].as_i64().is_some_and(|p| p <= most);
    let head: Vec<String> =
        columns.iter().map(|c| c["name"].as_str().unwrap_or_default().to_uppercase()).collect();
    let cells: Vec<String> = table["rows"][0]["cells"]
        .as_array()
        .expect("cells")
        .iter()
        .map(|c| match c {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    assert_eq!(head.len(), cells.len());
    let pick = |list: &[String]| -> String {
        (0..list.len()).filter(kept).map(|i| list[i].clone()).collect::<Vec<_>>().join(" | ")
    };
    (pick(&head), pick(&cells))
}

fn row(group: &str, kind: &str, object: Value, most: i64) -> (String, String) {
    let kind = kinds::find(group, kind).expect("built in");
    printed(&table(&kind, None, &[object], IncludeObject::None, now()), most)
}

#[test]
fn a_deployment_shows_its_replicas() {
    let object = json!({
        "metadata": meta("web"),
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]},
            "template": {"spec": {"containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}},
        },
        "status": {"readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2},
    });
    let (head, cells) = row("apps", "Deployment", object.clone(), 0);
    assert_eq!("NAME | READY | UP-TO-DATE | AVAILABLE | AGE", head);
    assert_eq!("web | 2/3 | 1 | 2 | 5m3s", cells);
    let (head, cells) = row("apps", "Deployment", object, 1);
    assert_eq!("NAME | READY | UP-TO-DATE | AVAILABLE | AGE | CONTAINERS | IMAGES | SELECTOR", head);
    assert_eq!("web | 2/3 | 1 | 2 | 5m3s | a,b | a:1,b:1 | app=web,x", cells);
}

#[rstest]
#[case::replica_set(
    "apps", "ReplicaSet",
    json!({"spec": {"replicas": 3}, "status": {"replicas": 2, "readyReplicas": 1}}),
    "NAME | DESIRED | CURRENT | READY | AGE", "x | 3 | 2 | 1 | 5m3s"
)]
#[case::daemon_set(
    "apps", "DaemonSet",
    json!({"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}},
           "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 1, "numberAvailable": 2}}),
    "NAME | DESIRED | CURRENT | READY | UP-TO-DATE | AVAILABLE | NODE SELECTOR | AGE", "x | 3 | 3 | 2 | 1 | 2 | disk=ssd | 5m3s"
)]
#[case::service(
    "", "Service",
    json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": 80, "protocol": "TCP"}, {"port": 81, "nodePort": 30001, "protocol": "UDP"}]}}),
    "NAME | TYPE | CLUSTER-IP | EXTERNAL-IP | PORT(S) | AGE", "x | ClusterIP | 10.0.0.1 | <none> | 80/TCP,81:30001/UDP | 5m3s"
)]
#[case::load_balancer(
    "", "Service", json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}),
    "NAME | TYPE | CLUSTER-IP | EXTERNAL-IP | PORT(S) | AGE", "x | LoadBalancer | 10.0.0.1 | <pending> | <none> | 5m3s"
)]
#[case::external_name(
    "", "Service", json!({"spec": {"type": "ExternalName", "externalName": "a.b"}}),
    "NAME | TYPE | CLUSTER-IP | EXTERNAL-IP | PORT(S) | AGE", "x | ExternalName | <none> | a.b | <none> | 5m3s"
)]
#[case::endpoints(
    "", "Endpoints",
    json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}], "ports": [{"port": 80}, {"port": 81}]}]}),
    "NAME | ENDPOINTS | AGE", "x | 1.1.1.1:80,1.1.1.1:81,1.1.1.2:80 + 1 more... | 5m3s"
)]
#[case::no_endpoints("", "Endpoints", json!({}), "NAME | ENDPOINTS | AGE", "x | <none> | 5m3s")]
#[case::slice(
    "discovery.k8s.io", "EndpointSlice",
    json!({"addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": ["1.1.1.1"]}, {"addresses": ["1.1.1.2"]}]}),
    "NAME | ADDRESSTYPE | PORTS | ENDPOINTS | AGE", "x | IPv4 | 80 | 1.1.1.1,1.1.1.2 | 5m3s"
)]
#[case::autoscaler(
    "autoscaling", "HorizontalPodAutoscaler",
    json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 2, "maxReplicas": 4,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]},
           "status": {"currentReplicas": 2, "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}]}}),
    "NAME | REFERENCE | TARGETS | MINPODS | MAXPODS | REPLICAS | AGE", "x | Deployment/web | cpu: 12%/80% | 2 | 4 | 2 | 5m3s"
)]
#[case::autoscaler_that_knows_nothing_yet(
    "autoscaling", "HorizontalPodAutoscaler",
    json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 4,
                    "metrics": [{"type": "Pods", "pods": {"target": {"type": "AverageValue", "averageValue": "10"}}}]}}),
    "NAME | REFERENCE | TARGETS | MINPODS | MAXPODS | REPLICAS | AGE", "x | Deployment/web | <unknown>/10 | <unset> | 4 | 0 | 5m3s"
)]
#[case::ingress(
    "networking.k8s.io", "Ingress",
    json!({"spec": {"ingressClassName": "nginx", "rules": [{"host": "a.b"}, {"host": "c.d"}], "tls": [{}]},
           "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
    "NAME | CLASS | HOSTS | ADDRESS | PORTS | AGE", "x | nginx | a.b,c.d | 1.2.3.4 | 80, 443 | 5m3s"
)]
#[case::plain_ingress("networking.k8s.io", "Ingress", json!({}), "NAME | CLASS | HOSTS | ADDRESS | PORTS | AGE", "x | <none> | * |  | 80 | 5m3s")]
#[case::config_map("", "ConfigMap", json!({"data": {"a": "", "b": ""}, "binaryData": {"c": ""}}), "NAME | DATA | AGE", "x | 3 | 5m3s")]
#[case::secret("", "Secret", json!({"type": "Opaque", "data": {"a": ""}}), "NAME | TYPE | DATA | AGE", "x | Opaque | 1 | 5m3s")]
#[case::lease("coordination.k8s.io", "Lease", json!({"spec": {"holderIdentity": "me"}}), "NAME | HOLDER | AGE", "x | me | 5m3s")]
#[case::namespace("", "Namespace", json!({"status": {"phase": "Active"}}), "NAME | STATUS | AGE", "x | Active | 5m3s")]
#[case::node(
    "", "Node",
    json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}, "spec": {"unschedulable": true},
           "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.37.0"}}}),
    "NAME | STATUS | ROLES | AGE | VERSION", "x | Ready,SchedulingDisabled | control-plane | 5m3s | v1.37.0"
)]
#[case::account("", "ServiceAccount", json!({}), "NAME | SECRETS | AGE", "x | 0 | 5m3s")]
#[case::definition("apiextensions.k8s.io", "CustomResourceDefinition", json!({}), "NAME | CREATED AT", "x | 2026-01-02T03:04:57Z")]
#[case::job(
    "batch", "Job",
    json!({"spec": {"completions": 2}, "status": {"succeeded": 1, "startTime": "2026-01-02T03:09:00Z"}}),
    "NAME | STATUS | COMPLETIONS | DURATION | AGE", "x | Running | 1/2 | 60s | 5m3s"
)]
#[case::cron_job(
    "batch", "CronJob", json!({"spec": {"schedule": "* * * * *"}, "status": {"active": [{}]}}),
    "NAME | SCHEDULE | TIMEZONE | SUSPEND | ACTIVE | LAST SCHEDULE | AGE", "x | * * * * * | <none> | False | 1 | <none> | 5m3s"
)]
#[case::stateful_set("apps", "StatefulSet", json!({"spec": {"replicas": 2}}), "NAME | READY | AGE", "x | 0/2 | 5m3s")]
#[case::budget(
    "policy", "PodDisruptionBudget", json!({"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}}),
    "NAME | MIN AVAILABLE | MAX UNAVAILABLE | ALLOWED DISRUPTIONS | AGE", "x | 50% | N/A | 1 | 5m3s"
)]
#[case::binding(
    "rbac.authorization.k8s.io", "RoleBinding", json!({"roleRef": {"kind": "Role", "name": "r"}}),
    "NAME | ROLE | AGE", "x | Role/r | 5m3s"
)]
#[case::role("rbac.authorization.k8s.io", "Role", json!({}), "NAME | CREATED AT", "x | 2026-01-02T03:04:57Z")]
#[case::revision(
    "apps", "ControllerRevision",
    json!({"revision": 2, "metadata": {"ownerReferences": [{"controller": true, "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d"}]}}),
    "NAME | CONTROLLER | REVISION | AGE", "x | daemonset.apps/d | 2 | 5m3s"
)]
#[case::class(
    "networking.k8s.io", "IngressClass", json!({"spec": {"controller": "k8s.io/nginx"}}),
    "NAME | CONTROLLER | PARAMETERS | AGE", "x | k8s.io/nginx | <none> | 5m3s"
)]
fn a_built_in_kind_shows_what_it_shows_in_a_real_cluster(
    #[case] group: &str,
    #[case] kind: &str,
    #[case] mut object: Value,
    #[case] head: &str,
    #[case] cells: &str,
) {
    let fields = meta("x");
    for (name, value) in fields.as_object().expect("an object") {
        object["metadata"][name] = value.clone();
    }
    assert_eq!((head.to_string(), cells.to_string()), row(group, kind, object, 0));
}

#[rstest]
#[case::running(json!({"phase": "Running", "containerStatuses": [{"ready": true, "state": {"running": {}}}]}), "1/1 | Running | 0")]
#[case::pending(json!({"phase": "Pending"}), "0/1 | Pending | 0")]
#[case::bad_image(
    json!({"phase": "Pending", "containerStatuses": [{"ready": false, "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}),
    "0/1 | ImagePullBackOff | 0"
)]
#[case::crashed(
    json!({"phase": "Running", "containerStatuses": [{"ready": false, "restartCount": 3,
        "lastState": {"terminated": {"finishedAt": "2026-01-02T03:09:00Z"}},
        "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
    "0/1 | CrashLoopBackOff | 3 (60s ago)"
)]
#[case::two_in_trouble(
    json!({"phase": "Pending", "containerStatuses": [
        {"state": {"waiting": {"reason": "ErrImagePull"}}}, {"state": {"waiting": {"reason": "ContainerCreating"}}}]}),
    "0/1 | ErrImagePull | 0"
)]
#[case::completed(json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}), "0/1 | Completed | 0")]
#[case::exit_code(json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2}}}]}), "0/1 | ExitCode:2 | 0")]
#[case::evicted(json!({"phase": "Failed", "reason": "Evicted"}), "0/1 | Evicted | 0")]
#[case::initializing(json!({"phase": "Pending", "initContainerStatuses": [{"state": {"running": {}}}]}), "0/1 | Init:0/1 | 0")]
#[case::init_failed(
    json!({"phase": "Pending", "initContainerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}),
    "0/1 | Init:ErrImagePull | 0"
)]
fn a_pod_has_one_word_for_what_its_containers_do(#[case] status: Value, #[case] expected: &str) {
    let object = json!({
        "metadata": meta("p"),
        "spec": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]},
        "status": status,
    });
    let (head, cells) = row("", "Pod", object, 0);
    assert_eq!("NAME | READY | STATUS | RESTARTS | AGE", head);
    assert_eq!(format!("p | {expected} | 5m3s"), cells);
}

#[test]
fn a_pod_that_goes_is_terminating() {
    let mut object = json!({"metadata": meta("p"), "spec": {"nodeName": "n"}, "status": {"phase": "Running", "podIP": "10.0.0.7"}});
    object["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:09:59Z");
    assert_eq!(
        "p | 0/0 | Terminating | 0 | 5m3s | 10.0.0.7 | n | <none> | <none>",
        row("", "Pod", object, 1).1
    );
}

#[rstest]
#[case::core("", json!({
    "metadata": {"name": "web.1"}, "type": "Normal", "reason": "Synced", "message": " Advance web ",
    "involvedObject": {"kind": "Canary", "name": "web"}, "source": {"component": "flagger"},
    "firstTimestamp": "2026-01-02T03:00:00Z", "lastTimestamp": "2026-01-02T03:09:30Z", "count": 4,
}))]
#[case::new_group("events.k8s.io", json!({
    "metadata": {"name": "web.1"}, "type": "Normal", "reason": "Synced", "note": "Advance web",
    "regarding": {"kind": "Canary", "name": "web"}, "reportingController": "flagger",
    "eventTime": "2026-01-02T03:00:00Z", "series": {"count": 4, "lastObservedTime": "2026-01-02T03:09:30Z"},
}))]
fn an_event_shows_what_happened_to_whom(#[case] group: &str, #[case] event: Value) {
    let (head, cells) = row(group, "Event", event.clone(), 0);
    assert_eq!("LAST SEEN | TYPE | REASON | OBJECT | MESSAGE", head);
    assert_eq!("30s | Normal | Synced | canary/web | Advance web", cells);
    assert_eq!(
        "30s | Normal | Synced | canary/web |  | flagger | Advance web | 10m | 4 | web.1",
        row(group, "Event", event, 1).1
    );
}

fn column(name: &str, type_: &str, path: &str, priority: i32) -> PrinterColumn {
    PrinterColumn {
        name: name.into(),
        type_: type_.into(),
        format: String::new(),
        description: String::new(),
        priority,
        json_path: path.into(),
    }
}

#[test]
fn a_custom_kind_shows_the_columns_of_its_definition() {
    let columns = [
        column("Status", "string", ".status.phase", 0),
        column("Weight", "string", ".status.canaryWeight", 0),
        column("Steps", "string", ".spec.steps", 1),
        column("Checks", "integer", ".status.failedChecks", 1),
        column("Mirror", "boolean", ".spec.mirror", 1),
        column("Last", "date", ".status.last", 0),
        column("Never", "date", ".status.never", 0),
        column("Ready", "string", r#".status.conditions[?(@.type=="Ready")].status"#, 0),
        column("Odd", "integer", ".status.phase", 0),
        column("Broken", "string", ".a[", 0),
    ];
    let object = json!({
        "metadata": meta("web"),
        "spec": {"steps": [1, 2], "mirror": true},
        "status": {"phase": "Progressing", "canaryWeight": 10, "failedChecks": 2, "last": "2026-01-02T03:09:00Z",
                   "conditions": [{"type": "Ready", "status": "True"}]},
    });
    let kind = kinds::find("", "ConfigMap").expect("built in");
    let table = table(&kind, Some(&columns), &[Arc::new(object)], IncludeObject::Metadata, now());
    let (head, cells) = printed(&table, 1);
    assert_eq!(
        "NAME | STATUS | WEIGHT | STEPS | CHECKS | MIRROR | LAST | NEVER | READY | ODD | BROKEN",
        head
    );
    assert_eq!("web | Progressing | 10 | [1,2] | 2 | true | 60s |  | True |  | ", cells);
    assert_eq!("web | Progressing | 10 | 60s |  | True |  | ", printed(&table, 0).1);
    assert_eq!("PartialObjectMetadata", table["rows"][0]["object"]["kind"]);
}

#[test]
fn a_custom_kind_without_columns_shows_its_age() {
    let kind = kinds::find("", "ConfigMap").expect("built in");
    let object = json!({"metadata": meta("web"), "spec": {}});
    let table = table(&kind, Some(&[]), &[&object], IncludeObject::Object, now());
    assert_eq!(("NAME | AGE".to_string(), "web | 5m3s".to_string()), printed(&table, 0));
    assert_eq!(object, table["rows"][0]["object"]);
}

#[test]
fn every_built_in_kind_can_be_printed_even_if_it_is_empty() {
    for kind in kinds::builtin() {
        let table = table(&kind, None, &[json!({})], IncludeObject::parse(Some("None")), now());
        let columns = table["columnDefinitions"].as_array().map_or(0, Vec::len);
        assert_eq!(Some(columns), table["rows"][0]["cells"].as_array().map(Vec::len), "{}", kind.kind);
    }
}
