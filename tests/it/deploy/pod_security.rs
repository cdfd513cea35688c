//! What is installed runs under the Pod Security Standard "restricted".

use std::process::Command;

use rstest::rstest;
use serde_json::Value;

use super::{chart, documents, name, object, output, root};

#[rstest]
#[case::chart(&["prometheus.install=true"], 2)]
#[case::with_another_user(&["securityContext.context.runAsUser=20001"], 1)]
#[case::as_flaggers_users_write_it(&["securityContext.enabled=true", "securityContext.context.readOnlyRootFilesystem=true"], 1)]
#[case::with_another_cluster(&["controlplane.kubeconfig.secretName=x"], 1)]
fn a_namespace_of_restricted_pods_takes_those_of_the_chart(
    #[case] values: &[&str],
    #[case] deployments: usize,
) {
    let objects = chart(values);
    let all: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Deployment").collect();
    assert_eq!(deployments, all.len());
    for deployment in all {
        assert_eq!(Vec::<String>::new(), violations(&deployment["spec"]["template"]["spec"]));
    }
}

#[rstest]
fn a_namespace_of_restricted_pods_takes_those_of_the_overlays(
    #[values("istio", "kubernetes")] overlay: &str,
) {
    let folder = root().join("deploy/kustomize").join(overlay);
    for object in documents(&output(Command::new("kubectl").arg("kustomize").arg(folder))) {
        if object["kind"] == "Deployment" {
            assert_eq!(
                Vec::<String>::new(),
                violations(&object["spec"]["template"]["spec"]),
                "{}",
                name(&object)
            );
        }
    }
}

#[test]
fn each_rule_of_restricted_is_looked_at() {
    let good = object(&chart(&[]), "Deployment vexil")["spec"]["template"]["spec"].clone();
    for (path, bad) in [
        ("/hostNetwork", serde_json::json!(true)),
        ("/hostPID", serde_json::json!(true)),
        ("/hostIPC", serde_json::json!(true)),
        ("/volumes", serde_json::json!([{"name": "x", "hostPath": {"path": "/"}}])),
        (
            "/securityContext",
            serde_json::json!({"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}, {"name": "net.core.somaxconn", "value": "9"}]}),
        ),
        ("/securityContext", serde_json::json!({"runAsUser": 0})),
        ("/containers/0/ports/0/hostPort", serde_json::json!(80)),
        ("/containers/0/securityContext/privileged", serde_json::json!(true)),
        ("/containers/0/securityContext/procMount", serde_json::json!("Unmasked")),
        ("/containers/0/securityContext/seLinuxOptions", serde_json::json!({"type": "spc_t"})),
        ("/containers/0/securityContext/appArmorProfile", serde_json::json!({"type": "Unconfined"})),
        ("/containers/0/securityContext/allowPrivilegeEscalation", Value::Null),
        ("/containers/0/securityContext/runAsNonRoot", Value::Null),
        ("/containers/0/securityContext/runAsUser", serde_json::json!(0)),
        ("/containers/0/securityContext/seccompProfile", Value::Null),
        ("/containers/0/securityContext/capabilities", serde_json::json!({"drop": ["NET_RAW"]})),
        (
            "/containers/0/securityContext/capabilities",
            serde_json::json!({"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        ),
    ] {
        let mut pod = good.clone();
        let (parent, field) = path.rsplit_once('/').expect("a path");
        pod.pointer_mut(parent).expect("a place")[field] = bad;
        assert_eq!(1, violations(&pod).len(), "{path}: {:?}", violations(&pod));
    }
}

/// What the Pod Security Standard "restricted" refuses in a pod, in its own order.
pub(super) fn violations(pod: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut refuse = |rule: &str, broken: bool| {
        if broken {
            found.push(rule.to_owned());
        }
    };
    let all = ["containers", "initContainers", "ephemeralContainers"];
    let containers: Vec<&Value> =
        all.iter().flat_map(|kind| pod[*kind].as_array().into_iter().flatten()).collect();
    let contexts: Vec<&Value> = containers.iter().map(|container| &container["securityContext"]).collect();
    let whole = &pod["securityContext"];
    let both = || contexts.iter().copied().chain([whole]);
    let within =
        |value: &Value, allowed: &[&str]| value.is_null() || allowed.iter().any(|name| value == name);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    // What a container does not say, its pod says for it.
    let said = |context: &Value, field: &str| match &context[field] {
        Value::Null => whole[field].clone(),
        value => value.clone(),
    };

    refuse("host namespaces", ["hostNetwork", "hostPID", "hostIPC"].iter().any(|field| pod[*field] == true));
    refuse("privileged", contexts.iter().any(|context| context["privileged"] == true));
    refuse("hostPath", list(&pod["volumes"]).iter().any(|volume| !volume["hostPath"].is_null()));
    let ports = containers.iter().flat_map(|container| list(&container["ports"]));
    refuse("host ports", ports.into_iter().any(|port| port["hostPort"].as_i64().unwrap_or_default() != 0));
    refuse("AppArmor", both().any(|context| context["appArmorProfile"]["type"] == "Unconfined"));
    let types = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    refuse(
        "SELinux",
        both().any(|context| {
            let options = &context["seLinuxOptions"];
            !within(&options["type"], &types) || !options["user"].is_null() || !options["role"].is_null()
        }),
    );
    refuse("/proc", contexts.iter().any(|context| !within(&context["procMount"], &["Default"])));
    let sysctls =
        ["kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"];
    refuse("sysctls", list(&whole["sysctls"]).iter().any(|sysctl| !within(&sysctl["name"], &sysctls)));
    let kinds = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "hostPath",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    refuse(
        "kinds of volumes",
        list(&pod["volumes"]).iter().any(|volume| {
            volume.as_object().is_some_and(|fields| {
                fields.keys().any(|key| key != "name" && !kinds.contains(&key.as_str()))
            })
        }),
    );
    refuse(
        "privilege escalation",
        contexts.iter().any(|context| context["allowPrivilegeEscalation"] != false),
    );
    let not_root = |context: &&Value| said(context, "runAsNonRoot") == true;
    refuse("runAsNonRoot", !contexts.iter().all(not_root));
    refuse("runAsUser", both().any(|context| context["runAsUser"] == 0));
    let seccomp = |context: &&Value| {
        ["RuntimeDefault", "Localhost"].iter().any(|kind| said(context, "seccompProfile")["type"] == *kind)
    };
    refuse("seccomp", !contexts.iter().all(seccomp));
    refuse(
        "capabilities",
        contexts.iter().any(|context| {
            let capabilities = &context["capabilities"];
            !list(&capabilities["drop"]).contains(&"ALL".into())
                || list(&capabilities["add"]).iter().any(|added| added != "NET_BIND_SERVICE")
        }),
    );
    // Not one of them, and ours all the same.
    refuse("read-only root", contexts.iter().any(|context| context["readOnlyRootFilesystem"] != true));
    found
}
