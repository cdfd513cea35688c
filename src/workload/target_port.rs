//! `service.targetPort` against the ports that the target's containers declare.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use crate::model::object::ObjectId;
use crate::model::release::{Problem, Release, TargetKind};

/// What is said of a `targetPort` that no container of `target` declares. It is no refusal: a container may listen on a
/// port that it does not declare, and a sidecar may be injected that has it.
pub fn undeclared(release: &Release, id: &ObjectId, target: &Value) -> Option<Problem> {
    if !matches!(release.target.kind, TargetKind::Deployment | TargetKind::DaemonSet) {
        return None;
    }
    let ports: Vec<&Value> =
        containers(&target["spec"]["template"]["spec"]).flat_map(|one| list(&one["ports"])).collect();
    let of = format!("{} {}.{}", id.kind.kind, id.name, id.namespace);
    let message = match release.service.target_port.as_ref()? {
        IntOrString::String(name) if name.parse::<u16>().is_err() => {
            if ports.iter().any(|port| port["name"] == **name) {
                return None;
            }
            let names = shown(ports.iter().filter_map(|port| port["name"].as_str().map(str::to_owned)));
            format!(
                "no container of {of} has a port named {name:?} ({names}): its Services lead to no pod, unless a sidecar \
                 is injected that has one"
            )
        }
        written => {
            let number = match written {
                IntOrString::Int(number) => i64::from(*number),
                IntOrString::String(text) => text.parse().ok()?,
            };
            // Who declares none declares none on purpose.
            if ports.is_empty() || ports.iter().any(|port| port["containerPort"] == number) {
                return None;
            }
            let numbers = shown(ports.iter().map(|port| port["containerPort"].to_string()));
            format!(
                "no container of {of} declares port {number} ({numbers}): that is right only if one listens on it all the \
                 same, or a sidecar is injected that does"
            )
        }
    };
    Some(Problem { field: "spec.service.targetPort".to_owned(), message })
}

/// The containers that run as long as the pod does.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let sidecars = list(&pod["initContainers"]).filter(|container| container["restartPolicy"] == "Always");
    list(&pod["containers"]).chain(sidecars)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn shown(ports: impl Iterator<Item = String>) -> String {
    let some: Vec<String> = ports.take(MOST).collect();
    if some.is_empty() {
        "they have none with a name".to_owned()
    } else {
        format!("they have {}", some.join(", "))
    }
}

/// The most ports that a message lists.
const MOST: usize = 10;

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::model::object::Kind;
    use crate::model::testing;

    fn said(port: Value, ports: Value) -> String {
        let mut release = testing::release("web", "shop");
        release.service.target_port = serde_json::from_value(port).expect("a port");
        let target = json!({"spec": {"template": {"spec": {
            "containers": [{"name": "web", "ports": ports}, {"name": "log"}],
            "initContainers": [
                {"name": "setup", "ports": [{"name": "setup", "containerPort": 1}]},
                {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "proxy", "containerPort": 15001}]},
            ],
        }}}});
        undeclared(&release, &Kind::DEPLOYMENT.at("shop", "web"), &target)
            .map_or_else(String::new, |it| it.to_string())
    }

    #[rstest]
    #[case::named(json!("http"))]
    #[case::numbered(json!(8080))]
    #[case::numbered_text(json!("8080"))]
    #[case::of_a_sidecar(json!("proxy"))]
    #[case::none(Value::Null)]
    fn a_port_that_a_container_declares_is_not_worth_a_word(#[case] port: Value) {
        assert_eq!(said(port, json!([{"name": "http", "containerPort": 8080}])), "");
    }

    #[rstest]
    #[case::mistyped_name(
        json!("htpp"),
        "spec.service.targetPort: no container of Deployment web.shop has a port named \"htpp\" (they have http, proxy): its \
         Services lead to no pod, unless a sidecar is injected that has one"
    )]
    #[case::of_an_init_container(
        json!("setup"),
        "spec.service.targetPort: no container of Deployment web.shop has a port named \"setup\" (they have http, proxy): its \
         Services lead to no pod, unless a sidecar is injected that has one"
    )]
    #[case::another_number(
        json!(9898),
        "spec.service.targetPort: no container of Deployment web.shop declares port 9898 (they have 8080, 15001): that is \
         right only if one listens on it all the same, or a sidecar is injected that does"
    )]
    fn a_port_that_no_container_declares_is_named_with_those_that_they_have(
        #[case] port: Value,
        #[case] expected: &str,
    ) {
        assert_eq!(said(port, json!([{"name": "http", "containerPort": 8080}])), expected);
    }
}
