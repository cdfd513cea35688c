//! Workloads: what becomes of Deployments, DaemonSets and autoscalers over time.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use serde_json::json;

use super::*;
use crate::{PodBehaviour, PodRules, Verb};

fn condition(object: &Value, kind: &str) -> (String, String) {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|c| c["type"] == kind).unwrap_or_default();
    (
        found["status"].as_str().unwrap_or_default().to_owned(),
        found["reason"].as_str().unwrap_or_default().to_owned(),
    )
}

fn progressing(sim: &KubeSim) -> (String, String) {
    condition(&web(sim), "Progressing")
}

fn web(sim: &KubeSim) -> Value {
    sim.get("deploy", "shop", "web").expect("the Deployment is there")
}

fn counts(object: &Value) -> [i64; 4] {
    ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
        .map(|field| object["status"][field].as_i64().unwrap_or(0))
}

async fn patch(sim: &KubeSim, patch: Value) {
    api::<Deployment>(sim).patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
}

async fn set_image(sim: &KubeSim, image: &str) {
    patch(sim, json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}}}))
        .await;
}

fn ready_images(sim: &KubeSim) -> Vec<String> {
    let pods = sim.list("pods", Some("shop")).into_iter();
    let ready = pods
        .filter(|pod| condition(pod, "Ready").0 == "True" && pod["metadata"]["deletionTimestamp"].is_null());
    ready.map(|pod| pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_ready() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 3, "web:1")).await;
    sim.settled().await;
    assert_eq!(("True".into(), "ReplicaSetUpdated".into()), progressing(&sim));
    assert_eq!(("False".into(), "MinimumReplicasUnavailable".into()), condition(&web(&sim), "Available"));
    pass(5).await;
    assert_eq!([3, 3, 3, 3], counts(&web(&sim)));
    assert_eq!(("True".into(), "NewReplicaSetAvailable".into()), progressing(&sim));
    assert_eq!(("True".into(), "MinimumReplicasAvailable".into()), condition(&web(&sim), "Available"));
    assert_eq!("1", web(&sim)["metadata"]["annotations"]["deployment.kubernetes.io/revision"]);
    assert!(
        sim.requests().iter().all(|r| r.caller == "tester"),
        "the cluster's own writes are not in the log"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_never_leaves_its_bounds() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 4, "web:1")).await;
    pass(5).await;
    let seen: Arc<Mutex<Vec<[i64; 2]>>> = Arc::default();
    let record = seen.clone();
    sim.observe(move |change| {
        let value = change.object.value();
        if value["kind"] == "Deployment"
            && value["metadata"]["generation"] == value["status"]["observedGeneration"]
        {
            let [all, _, _, available] = counts(value);
            record.lock().unwrap().push([all, available]);
        }
    });
    set_image(&sim, "web:2").await;
    assert_eq!(1, web(&sim)["status"]["observedGeneration"], "the controller has not looked yet");
    pass(60).await;
    assert_eq!(vec!["web:2"; 4], ready_images(&sim));
    assert_eq!([4, 4, 4, 4], counts(&web(&sim)));
    assert_eq!(2, web(&sim)["status"]["observedGeneration"]);
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 3);
    assert!(seen.iter().all(|[all, available]| *all <= 5 && *available >= 3), "{seen:?}");
    let sets = sim.list("rs", Some("shop"));
    let mut sizes: Vec<_> = sets
        .iter()
        .map(|s| {
            (
                s["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone(),
                s["spec"]["replicas"].clone(),
            )
        })
        .collect();
    sizes.sort_by_key(|(revision, _)| revision.to_string());
    assert_eq!(vec![(json!("1"), json!(0)), (json!("2"), json!(4))], sizes);
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_exceeds_the_progress_deadline_and_the_old_pods_stay() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 4, "web:1")).await;
    pass(5).await;
    let start = sim.now();
    patch(&sim, json!({"spec": {"progressDeadlineSeconds": 120}})).await;
    set_image(&sim, "web:bad-image").await;
    pass(110).await;
    assert_eq!(("True".into(), "ReplicaSetUpdated".into()), progressing(&sim));
    pass(20).await;
    assert_eq!(("False".into(), "ProgressDeadlineExceeded".into()), progressing(&sim));
    let at = web(&sim)["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["type"] == "Progressing")
        .unwrap()["lastUpdateTime"]
        .clone();
    let at = crate::clock::parse_stamp(at.as_str().unwrap()).unwrap();
    assert!((120..=123).contains(&(at - start).num_seconds()), "{at}");
    assert_eq!(vec!["web:1"; 3], ready_images(&sim));
    let waiting = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].clone();
    assert!(sim.list("pods", Some("shop")).iter().any(|pod| waiting(pod) == "ImagePullBackOff"));
    // The way back is the old set at a new revision.
    set_image(&sim, "web:1").await;
    pass(30).await;
    assert_eq!(("True".into(), "NewReplicaSetAvailable".into()), progressing(&sim));
    assert_eq!("3", web(&sim)["metadata"]["annotations"]["deployment.kubernetes.io/revision"]);
    assert_eq!(vec!["web:1"; 4], ready_images(&sim));
}

#[tokio::test(start_paused = true)]
async fn annotations_of_a_deployment_reach_its_current_set() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 1, "web:1")).await;
    pass(5).await;
    patch(&sim, json!({"metadata": {"annotations": {"team": "shop"}}})).await;
    pass(1).await;
    let set = &sim.list("rs", Some("shop"))[0];
    assert_eq!("shop", set["metadata"]["annotations"]["team"]);
    assert_eq!(1, set["metadata"]["generation"], "nothing else about the set has changed");
    assert_eq!((2, 2), (generation(&web(&sim)), observed(&web(&sim))));
}

fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

fn observed(object: &Value) -> i64 {
    object["status"]["observedGeneration"].as_i64().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn to_zero_and_back() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 3, "web:1")).await;
    pass(5).await;
    patch(&sim, json!({"spec": {"replicas": 0}})).await;
    pass(5).await;
    assert_eq!([0; 4], counts(&web(&sim)));
    assert!(sim.list("pods", Some("shop")).is_empty());
    assert!(web(&sim)["status"].get("replicas").is_none(), "zero counters are absent, as Go writes them");
    patch(&sim, json!({"spec": {"replicas": 2}})).await;
    pass(5).await;
    assert_eq!([2, 2, 2, 2], counts(&web(&sim)));
    // At zero, a new image makes a new set at once, and scaling up takes it.
    patch(&sim, json!({"spec": {"replicas": 0}})).await;
    set_image(&sim, "web:2").await;
    pass(5).await;
    patch(&sim, json!({"spec": {"replicas": 1}})).await;
    pass(5).await;
    assert_eq!(vec!["web:2"], ready_images(&sim));
}

#[tokio::test(start_paused = true)]
async fn scaling_in_the_middle_of_a_rollout_is_shared_among_the_sets() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 10, "web:1")).await;
    pass(5).await;
    set_image(&sim, "web:bad-image").await;
    pass(5).await;
    patch(&sim, json!({"spec": {"replicas": 20}})).await;
    pass(10).await;
    let sizes: Vec<i64> =
        sim.list("rs", Some("shop")).iter().map(|s| s["spec"]["replicas"].as_i64().unwrap()).collect();
    assert_eq!(25, sizes.iter().sum::<i64>(), "{sizes:?}");
    assert!(sizes.iter().all(|size| *size > 5), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_recreate_makes_nothing_new_before_the_old_is_gone() {
    let sim = KubeSim::builder().build();
    let mut object = deployment("web", 2, "web:1");
    object.spec.strategy = Some(typed(json!({"type": "Recreate"})));
    create(&sim, &object).await;
    pass(5).await;
    let mixed: Arc<Mutex<bool>> = Arc::default();
    let (record, handle) =
        (mixed.clone(), Arc::new(Mutex::new(std::collections::BTreeMap::<String, String>::new())));
    let known = handle.clone();
    for pod in sim.list("pods", Some("shop")) {
        known
            .lock()
            .unwrap()
            .insert(pod["metadata"]["name"].to_string(), pod["spec"]["containers"][0]["image"].to_string());
    }
    sim.observe(move |change| {
        let value = change.object.value();
        if value["kind"] == "Pod" {
            let mut pods = handle.lock().unwrap();
            let name = value["metadata"]["name"].to_string();
            match change.kind {
                crate::ChangeKind::Deleted => pods.remove(&name),
                _ => pods.insert(name, value["spec"]["containers"][0]["image"].to_string()),
            };
            let images: std::collections::BTreeSet<_> = pods.values().collect();
            *record.lock().unwrap() |= images.len() > 1;
        }
    });
    set_image(&sim, "web:2").await;
    pass(30).await;
    assert_eq!(vec!["web:2"; 2], ready_images(&sim));
    assert!(!*mixed.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_does_not_roll() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 2, "web:1")).await;
    pass(5).await;
    patch(&sim, json!({"spec": {"paused": true}})).await;
    set_image(&sim, "web:2").await;
    pass(30).await;
    assert_eq!(vec!["web:1"; 2], ready_images(&sim));
    assert_eq!(("Unknown".into(), "DeploymentPaused".into()), progressing(&sim));
    patch(&sim, json!({"spec": {"paused": false}})).await;
    pass(30).await;
    assert_eq!(vec!["web:2"; 2], ready_images(&sim));
    assert_eq!(("True".into(), "NewReplicaSetAvailable".into()), progressing(&sim));
}

#[tokio::test(start_paused = true)]
async fn pods_behave_by_rule_and_rules_can_change() {
    let rules = PodRules::default()
        .image(":slow", PodBehaviour::ready_after(Duration::from_secs(30)))
        .image(":crash", PodBehaviour::crashes_after(Duration::from_secs(5)));
    let sim = KubeSim::builder().pod_rules(rules.clone()).build();
    create(&sim, &deployment("web", 1, "web:slow")).await;
    pass(29).await;
    assert!(ready_images(&sim).is_empty());
    pass(2).await;
    assert_eq!(vec!["web:slow"], ready_images(&sim));
    sim.set_pod_rules(rules.image(":slow", PodBehaviour::never_ready()));
    pass(1).await;
    assert!(ready_images(&sim).is_empty(), "a running pod can lose its readiness");
    sim.set_pod_rules(
        PodRules::default().image(":crash", PodBehaviour::crashes_after(Duration::from_secs(5))),
    );
    pass(1).await;
    let name = sim.list("pods", Some("shop"))[0]["metadata"]["name"].as_str().unwrap().to_owned();
    sim.set_pod_ready("shop", &name, Some(false));
    pass(1).await;
    assert!(ready_images(&sim).is_empty());
    assert_eq!(0, counts(&web(&sim))[2]);
    sim.set_pod_ready("shop", &name, None);
    create(&sim, &deployment("bad", 1, "web:crash")).await;
    pass(100).await;
    let pods = sim.list("pods", Some("shop"));
    let bad = pods.iter().find(|pod| pod["metadata"]["labels"]["app"] == "bad").unwrap();
    assert!(
        bad["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap() >= 2,
        "{}",
        bad["status"]
    );
    assert_eq!("CrashLoopBackOff", bad["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]);
}

#[tokio::test(start_paused = true)]
async fn endpoints_tell_who_serves() {
    let sim = KubeSim::builder().build();
    let service: Service = typed(
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
    );
    create(&sim, &service).await;
    create(&sim, &deployment("web", 2, "web:1")).await;
    let serving = || {
        let slices = sim.list("endpointslices", Some("shop"));
        let endpoints = slices.iter().flat_map(|s| s["endpoints"].as_array().cloned().unwrap_or_default());
        endpoints.filter(|e| e["conditions"]["ready"] == true).count()
    };
    pass(1).await;
    assert_eq!(0, serving());
    pass(5).await;
    assert_eq!(2, serving());
    let slice = &sim.list("endpointslices", Some("shop"))[0];
    assert_eq!(json!([{"name": "http", "port": 8080, "protocol": "TCP"}]), slice["ports"]);
    patch(&sim, json!({"spec": {"replicas": 1}})).await;
    sim.settled().await;
    assert_eq!(1, serving(), "a pod on its way out is not ready");
    assert_eq!(2, sim.list("pods", Some("shop")).len());
}

#[tokio::test(start_paused = true)]
async fn endpoints_lead_into_the_network_that_pods_were_given() {
    let sim = KubeSim::builder().pod_network(std::net::Ipv4Addr::new(127, 10, 0, 0)).build();
    let service: Service = typed(
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}),
    );
    create(&sim, &service).await;
    create(&sim, &deployment("web", 2, "web:1")).await;
    pass(5).await;
    let slice = &sim.list("endpointslices", Some("shop"))[0];
    let addresses: Vec<_> =
        slice["endpoints"].as_array().expect("a list").iter().map(|e| &e["addresses"][0]).collect();
    assert_eq!(vec!["127.10.0.2", "127.10.0.3"], addresses);
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_runs_on_the_nodes_that_fit() {
    let sim = KubeSim::builder().nodes(3).build();
    let daemons: DaemonSet = typed(json!({
        "metadata": {"name": "agent"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "app", "image": "agent:1"}]}},
        },
    }));
    create(&sim, &daemons).await;
    pass(5).await;
    let status = || sim.get("ds", "shop", "agent").unwrap()["status"].clone();
    assert_eq!(
        (json!(3), json!(3)),
        (status()["desiredNumberScheduled"].clone(), status()["numberReady"].clone())
    );
    let patch = async |patch: Value| {
        drop(
            api::<DaemonSet>(&sim)
                .patch("agent", &PatchParams::default(), &Patch::Strategic(patch))
                .await
                .unwrap(),
        )
    };
    patch(json!({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "agent:2"}]}}}}))
        .await;
    pass(60).await;
    assert_eq!(vec!["agent:2"; 3], ready_images(&sim));
    assert_eq!(json!(3), status()["updatedNumberScheduled"]);
    patch(json!({"spec": {"template": {"spec": {"nodeSelector": {"no-such-node": "true"}}}}})).await;
    pass(10).await;
    assert!(sim.list("pods", Some("shop")).is_empty());
    assert_eq!(
        (json!(0), json!(0)),
        (status()["desiredNumberScheduled"].clone(), status()["numberReady"].clone())
    );
    assert_eq!(3, status()["observedGeneration"]);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_holds_the_bounds_scales_by_load_and_idles_at_zero() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 1, "web:1")).await;
    let hpa: HorizontalPodAutoscaler = typed(json!({
        "metadata": {"name": "web"},
        "spec": {"minReplicas": 2, "maxReplicas": 6, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
    }));
    create(&sim, &hpa).await;
    pass(10).await;
    assert_eq!(2, web(&sim)["spec"]["replicas"]);
    sim.set_utilization("shop", "web", 160.0);
    pass(10).await;
    assert_eq!(4, web(&sim)["spec"]["replicas"], "twice as much as the goal of 80 %");
    sim.set_utilization("shop", "web", 800.0);
    pass(10).await;
    assert_eq!(6, web(&sim)["spec"]["replicas"]);
    assert_eq!(
        ("True".into(), "TooManyReplicas".into()),
        condition(&sim.get("hpa", "shop", "web").unwrap(), "ScalingLimited")
    );
    patch(&sim, json!({"spec": {"replicas": 0}})).await;
    pass(30).await;
    assert_eq!(0, web(&sim)["spec"]["replicas"]);
    assert_eq!(
        ("False".into(), "ScalingDisabled".into()),
        condition(&sim.get("hpa", "shop", "web").unwrap(), "ScalingActive")
    );
}

#[tokio::test(start_paused = true)]
async fn old_sets_beyond_the_history_limit_are_forgotten() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 1, "web:0")).await;
    patch(&sim, json!({"spec": {"revisionHistoryLimit": 2}})).await;
    for n in 1..6 {
        set_image(&sim, &format!("web:{n}")).await;
        pass(10).await;
    }
    assert_eq!(3, sim.list("rs", Some("shop")).len());
}

#[tokio::test(start_paused = true)]
async fn deleting_a_deployment_takes_its_sets_and_pods_along() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 2, "web:1")).await;
    pass(5).await;
    sim.delete("deploy", "shop", "web");
    pass(5).await;
    assert!(sim.list("rs", None).is_empty() && sim.list("pods", None).is_empty());
}

/// A busy hour: a watcher, a status write every ten seconds, a rollout every ten minutes.
#[tokio::test(start_paused = true)]
async fn a_busy_hour_goes_by_without_a_second_list() {
    let sim = KubeSim::builder().build();
    create(&sim, &deployment("web", 3, "web:0")).await;
    let (reader, writer) = reflector::store::<Deployment>();
    let events = watcher(api::<Deployment>(&sim), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects();
    let task = tokio::spawn(events.for_each(|_| async {}));
    for tick in 0..360 {
        if tick % 60 == 0 {
            set_image(&sim, &format!("web:{}", tick / 60)).await;
        }
        patch(&sim, json!({"metadata": {"annotations": {"tick": tick.to_string()}}})).await;
        pass(10).await;
    }
    assert_eq!(3600, (sim.now() - crate::clock::parse_stamp("2026-01-01T00:00:00Z").unwrap()).num_seconds());
    assert_eq!("359", reader.state()[0].metadata.annotations.as_ref().unwrap()["tick"]);
    assert!(sim.requests().iter().all(|r| r.verb != Verb::List || r.number < 10));
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn the_same_run_gives_the_same_history() {
    let run = async || {
        let sim = KubeSim::builder().seed(42).build();
        let history: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = history.clone();
        sim.observe(move |change| {
            record.lock().unwrap().push(format!(
                "{} {:?} {}",
                change.revision,
                change.kind,
                change.object.value()
            ))
        });
        create(&sim, &deployment("web", 4, "web:1")).await;
        pass(7).await;
        set_image(&sim, "web:2").await;
        pass(60).await;
        let history = history.lock().unwrap();
        history.clone()
    };
    let first = run().await;
    assert!(first.len() > 50);
    assert_eq!(first, run().await);
}
