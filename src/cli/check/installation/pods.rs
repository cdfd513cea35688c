//! Checks of the controller's pods.

use serde_json::Value;

use crate::cli::check::finding::Finding;

use super::Installation;

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn ready(it: &Installation) -> Vec<Finding> {
    let (status, wanted) = (&it.it.deployment["status"], it.it.wanted());
    let (ready, updated) = (number(&status["readyReplicas"]), number(&status["updatedReplicas"]));
    let rollout = format!("kubectl -n {} rollout status deployment/{}", it.it.namespace(), it.it.name());
    let finding = if wanted == 0 {
        Finding::wrong(
            "it is scaled to 0: nobody looks at the Canaries",
            format!("kubectl -n {} scale deployment/{} --replicas=1", it.it.namespace(), it.it.name()),
        )
    } else if ready < wanted {
        let refused = items(&status["conditions"])
            .find(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True");
        let why = refused.map_or_else(String::new, |condition| {
            format!(": {}", condition["message"].as_str().unwrap_or_default())
        });
        Finding::wrong(format!("{ready} of {wanted}{why}"), format!("controller-pods may say why; {rollout}"))
    } else if updated < wanted {
        Finding::warning(format!("{updated} of {wanted} have the last change"), rollout)
    } else {
        Finding::fine(format!("{ready} of {wanted}"))
    };
    finding.alone()
}

pub(super) fn run(it: &Installation) -> Vec<Finding> {
    let pods = match &it.pods {
        Err(why) => return Finding::unasked(why).alone(),
        Ok(pods) => pods,
    };
    pods.iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            pod_runs(pod, it.it.namespace(), name).about(name)
        })
        .collect()
}

fn pod_runs(pod: &Value, namespace: &str, name: &str) -> Finding {
    let status = &pod["status"];
    let describe = format!("kubectl -n {namespace} describe pod {name}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for container in items(&status["containerStatuses"]) {
        let waiting = &container["state"]["waiting"];
        let reason = text(&waiting["reason"]);
        if waiting.is_object() && !["", "ContainerCreating", "PodInitializing"].contains(&reason.as_str()) {
            let cure = match reason.as_str() {
                "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" => {
                    "push the image where this cluster can pull it, and set image.repository, image.tag and \
                     image.pullSecret"
                        .to_owned()
                }
                "CrashLoopBackOff" => {
                    format!("kubectl -n {namespace} logs {name} --previous says why it ended")
                }
                _ => describe,
            };
            return Finding::wrong(format!("{reason}: {}", text(&waiting["message"])), cure);
        }
    }
    let unscheduled = items(&status["conditions"])
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    if let Some(condition) = unscheduled {
        return Finding::wrong(
            format!("no node takes it: {}", text(&condition["message"])),
            "give it room, or correct nodeSelector, tolerations and resources in the chart's values",
        );
    }
    if status["phase"] != "Running" {
        return Finding::warning(format!("it is {}", text(&status["phase"])), describe);
    }
    let restarts: i64 = items(&status["containerStatuses"]).map(|it| number(&it["restartCount"])).sum();
    let ended = items(&status["containerStatuses"])
        .map(|it| &it["lastState"]["terminated"])
        .find(|it| it.is_object());
    match ended {
        Some(ended) if ended["reason"] == "OOMKilled" => Finding::warning(
            format!("it was killed for its memory; {restarts} restarts"),
            "raise resources.limits.memory in the chart's values",
        ),
        Some(ended) if restarts >= MANY => Finding::warning(
            format!(
                "{restarts} restarts, the last after {} (exit code {})",
                text(&ended["reason"]),
                ended["exitCode"]
            ),
            format!("kubectl -n {namespace} logs {name} --previous says why it ended"),
        ),
        _ => Finding::fine(""),
    }
}

/// What the Pod Security Standard "restricted" asks for and the pods do not have.
pub(super) fn security(it: &Installation) -> Vec<Finding> {
    let pod = &it.it.deployment["spec"]["template"]["spec"];
    let enforced = match &it.namespace {
        Ok(Some(namespace)) => {
            namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].as_str().unwrap_or_default()
        }
        _ => "",
    };
    let lacking = unrestricted(pod);
    let finding = if lacking.is_empty() {
        Finding::fine("restricted")
    } else {
        let says = format!("the Pod Security Standard \"restricted\" also asks for {}", lacking.join(", "));
        let cure = "set securityContext.enabled=true with the context of the chart's values.yaml";
        match enforced {
            "restricted" => {
                Finding::wrong(format!("{says}, and the namespace enforces it: no new pod starts"), cure)
            }
            _ => Finding::warning(says, cure),
        }
    };
    finding.alone()
}

fn unrestricted(pod: &Value) -> Vec<&'static str> {
    let mut lacking = Vec::new();
    let mut ask = |is_so: bool, what: &'static str| {
        if !is_so && !lacking.contains(&what) {
            lacking.push(what);
        }
    };
    for container in items(&pod["containers"]).chain(items(&pod["initContainers"])) {
        let own = &container["securityContext"];
        let either =
            |field: &str| if own[field].is_null() { &pod["securityContext"][field] } else { &own[field] };
        ask(*either("runAsNonRoot") == true, "runAsNonRoot: true");
        ask(*either("runAsUser") != 0, "another runAsUser than 0");
        ask(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation: false");
        ask(items(&own["capabilities"]["drop"]).any(|it| it == "ALL"), "capabilities.drop: [ALL]");
        let seccomp = &either("seccompProfile")["type"];
        ask(*seccomp == "RuntimeDefault" || *seccomp == "Localhost", "seccompProfile.type: RuntimeDefault");
        ask(own["privileged"] != true, "no privileged container");
    }
    ask(pod["hostNetwork"] != true && pod["hostPID"] != true, "no namespace of the host");
    lacking
}

/// Restarts from which on one is told of them.
const MANY: i64 = 3;
