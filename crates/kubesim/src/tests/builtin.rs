//! Defaults and validation of built-in kinds, as a client sees them.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::ApiStatus;

fn valid(kind: &str) -> Value {
    match kind {
        "Deployment" => {
            let mut object = serde_json::to_value(deployment("web", 2, "web:1")).expect("a fixture is JSON");
            object["apiVersion"] = json!("apps/v1");
            object["kind"] = json!("Deployment");
            object
        }
        "Service" => json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        }),
        "ConfigMap" => {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}})
        }
        "HorizontalPodAutoscaler" => json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
            "spec": {"maxReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
        }),
        "Ingress" => json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web"},
            "spec": {"rules": [{"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]},
        }),
        other => panic!("no fixture of a {other}"),
    }
}

/// Writes as a client would: nothing is taken over unseen.
fn apply(sim: &KubeSim, object: Value) -> Result<Value, ApiStatus> {
    sim.apply("tester", object)
}

#[rstest]
#[case::no_selector("Deployment", "/spec/selector", Value::Null, "spec.selector: Required value")]
#[case::empty_selector("Deployment", "/spec/selector", json!({}), "empty selector is invalid for deployment")]
#[case::other_labels("Deployment", "/spec/template/metadata/labels", json!({"app": "x"}),
    r#"spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`"#)]
#[case::negative("Deployment", "/spec/replicas", json!(-1), "spec.replicas: Invalid value: -1: must be greater than or equal to 0")]
#[case::no_containers("Deployment", "/spec/template/spec/containers", json!([]), "spec.template.spec.containers: Required value")]
#[case::no_image("Deployment", "/spec/template/spec/containers/0/image", json!(""), "spec.template.spec.containers[0].image: Required value")]
#[case::container_name("Deployment", "/spec/template/spec/containers/0/name", json!("A b"), "spec.template.spec.containers[0].name: Invalid value: \"A b\": a lowercase RFC 1123 label must consist of")]
#[case::port_range("Deployment", "/spec/template/spec/containers/0/ports/0/containerPort", json!(70000), "must be between 1 and 65535, inclusive")]
#[case::restart_policy("Deployment", "/spec/template/spec/restartPolicy", json!("Never"), r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#)]
#[case::deadline("Deployment", "/spec/progressDeadlineSeconds", json!(0), "spec.progressDeadlineSeconds: Invalid value: 0: must be greater than minReadySeconds")]
#[case::surge("Deployment", "/spec/strategy", json!({"rollingUpdate": {"maxSurge": "ten"}}), "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"ten\": a valid percent string")]
#[case::standstill("Deployment", "/spec/strategy", json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}), "may not be 0 when `maxSurge` is 0")]
#[case::name("ConfigMap", "/metadata/name", json!("Not_A_Name"), "metadata.name: Invalid value: \"Not_A_Name\": a lowercase RFC 1123 subdomain must consist of")]
#[case::label("ConfigMap", "/metadata/labels", json!({"a b": "c"}), "metadata.labels: Invalid value: \"a b\": name part must consist of")]
#[case::data_key("ConfigMap", "/data", json!({"a b": "c"}), "data[a b]: Invalid value: \"a b\": a valid config key must consist of")]
#[case::no_ports("Service", "/spec/ports", json!([]), "spec.ports: Required value")]
#[case::unnamed_ports("Service", "/spec/ports", json!([{"port": 80}, {"port": 81}]), "spec.ports[0].name: Required value")]
#[case::service_port("Service", "/spec/ports", json!([{"port": 0}]), "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive")]
#[case::protocol("Service", "/spec/ports", json!([{"port": 80, "protocol": "tcp"}]), r#"spec.ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP""#)]
#[case::bounds("HorizontalPodAutoscaler", "/spec/minReplicas", json!(5), "spec.maxReplicas: Invalid value: 4: must be greater than or equal to `minReplicas`")]
#[case::no_target("HorizontalPodAutoscaler", "/spec/scaleTargetRef/name", json!(""), "spec.scaleTargetRef.name: Required value")]
#[case::no_rules("Ingress", "/spec/rules", json!([]), "either `defaultBackend` or `rules` must be specified")]
#[case::path_type("Ingress", "/spec/rules/0/http/paths/0/pathType", json!("Regex"), r#"Unsupported value: "Regex": supported values: "Exact", "ImplementationSpecific", "Prefix""#)]
#[tokio::test(start_paused = true)]
async fn an_invalid_object_is_refused_in_the_words_of_a_real_cluster(
    #[case] kind: &str,
    #[case] at: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let sim = KubeSim::builder().build();
    apply(&sim, valid(kind)).expect("the fixture itself is fine");
    sim.delete(kind, "default", valid(kind)["metadata"]["name"].as_str().unwrap_or_default());
    let mut broken = valid(kind);
    set(&mut broken, at, value);
    let refused = apply(&sim, broken).expect_err("it is invalid");
    assert_eq!((422, "Invalid"), (refused.code, refused.reason));
    assert!(refused.message.contains(expected), "{}", refused.message);
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for part in pointer.split('/').skip(1) {
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    *at = value;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_filled_in_down_to_its_containers() {
    let sim = KubeSim::builder().without_workloads().build();
    let made = apply(&sim, valid("Deployment")).expect("it is fine");
    let spec = &made["spec"];
    assert_eq!(
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
        spec["strategy"]
    );
    let pod = &spec["template"]["spec"];
    assert_eq!(
        (json!("Always"), json!("ClusterFirst"), json!(30), json!("default-scheduler")),
        (
            pod["restartPolicy"].clone(),
            pod["dnsPolicy"].clone(),
            pod["terminationGracePeriodSeconds"].clone(),
            pod["schedulerName"].clone()
        )
    );
    let container = &pod["containers"][0];
    assert_eq!(
        (json!("IfNotPresent"), json!("File"), json!("TCP"), json!({})),
        (
            container["imagePullPolicy"].clone(),
            container["terminationMessagePolicy"].clone(),
            container["ports"][0]["protocol"].clone(),
            container["resources"].clone()
        )
    );
}

#[rstest]
#[case("web", "Always")]
#[case("web:latest", "Always")]
#[case("registry:5000/web", "Always")]
#[case("registry:5000/web:1", "IfNotPresent")]
#[case("web@sha256:abc", "IfNotPresent")]
#[tokio::test(start_paused = true)]
async fn only_floating_images_are_always_pulled(#[case] image: &str, #[case] policy: &str) {
    let sim = KubeSim::builder().without_workloads().build();
    let mut object = valid("Deployment");
    set(&mut object, "/spec/template/spec/containers/0/image", json!(image));
    let made = apply(&sim, object).expect("it is fine");
    assert_eq!(policy, made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"]);
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_defaults_to_cpu_and_is_served_in_its_old_version_too() {
    let sim = KubeSim::builder().without_workloads().build();
    apply(&sim, valid("HorizontalPodAutoscaler")).expect("it is fine");
    let path = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers/web";
    let old: Value =
        sim.client("tester").request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap();
    assert_eq!(
        (json!("autoscaling/v1"), json!(80), json!(1)),
        (
            old["apiVersion"].clone(),
            old["spec"]["targetCPUUtilizationPercentage"].clone(),
            old["spec"]["minReplicas"].clone()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_takes_plain_text_and_keeps_its_type() {
    let sim = KubeSim::builder().build();
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}});
    let made = apply(&sim, secret.clone()).expect("it is fine");
    assert_eq!(
        (json!({"a": "Yg=="}), json!("Opaque"), &Value::Null),
        (made["data"].clone(), made["type"].clone(), &made["stringData"])
    );
    let mut other = secret;
    other["type"] = json!("kubernetes.io/tls");
    assert_eq!(422, apply(&sim, other).expect_err("the type is immutable").code);
}
