//! How a target's pods are selected and which ports they have (spec 02 §3.1): the selector label that tells
//! primary from canary, and the ports of `service.portDiscovery`.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

use super::Error;
use crate::api::service::CanaryService;
use crate::model::object::ObjectId;
use crate::model::release::{Release, Settings};
use crate::model::workload::{DiscoveredPort, PrimaryShape, TargetShape};

/// The label by which Services tell the primary's pods from the canary's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SelectorLabel {
    pub key: String,
    /// The value on the target's pods; the primary's pods have it with `-primary` appended.
    pub value: String,
}

impl SelectorLabel {
    /// The value on the primary's pods.
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }
}

/// Shape of the workload `target`, and of its primary if there is one.
///
/// # Errors
/// If the target's selector has none of the selector labels.
pub(super) fn shape(
    release: &Release,
    settings: &Settings,
    id: &ObjectId,
    target: &Value,
    primary: Option<&Value>,
) -> Result<TargetShape, Error> {
    let label = selector_label(settings, id, target)?;
    if label.primary_value().len() > LONGEST_LABEL {
        return Err(Error::Unusable(format!(
            "{} {}.{} spec.selector.matchLabels.{}: {:?} is too long: the primary's pods get it with -primary behind it, \
             and a label may have {LONGEST_LABEL} characters, so that it may have {} at most",
            id.kind.kind.to_lowercase(),
            id.name,
            id.namespace,
            label.key,
            label.value,
            LONGEST_LABEL - "-primary".len()
        )));
    }
    Ok(TargetShape {
        label_key: label.key,
        label_value: label.value,
        ports: ports(release, target),
        primary: primary.and_then(|primary| primary_shape(release, settings, id, primary)),
    })
}

/// Shape of the primary; `None` for one that no Service of ours could select.
pub(super) fn primary_shape(
    release: &Release,
    settings: &Settings,
    id: &ObjectId,
    primary: &Value,
) -> Option<PrimaryShape> {
    let label = selector_label(settings, id, primary).ok()?;
    Some(PrimaryShape { label_key: label.key, label_value: label.value, ports: ports(release, primary) })
}

fn ports(release: &Release, workload: &Value) -> Vec<DiscoveredPort> {
    if release.service.port_discovery.unwrap_or(false) {
        discover_ports(&release.service, workload)
    } else {
        Vec::new()
    }
}

/// The first of `--selector-labels` that the workload's selector has.
///
/// # Errors
/// If it has none.
pub(super) fn selector_label(
    settings: &Settings,
    id: &ObjectId,
    target: &Value,
) -> Result<SelectorLabel, Error> {
    let labels = &target["spec"]["selector"]["matchLabels"];
    settings
        .selector_labels
        .iter()
        .find_map(|key| {
            let value = labels[key].as_str()?;
            Some(SelectorLabel { key: key.clone(), value: value.to_owned() })
        })
        .ok_or_else(|| {
            Error::Unusable(format!(
                "getSelectorLabel failed: {} {}.{} spec.selector.matchLabels must contain one of [{}]",
                id.kind.kind.to_lowercase(),
                id.name,
                id.namespace,
                settings.selector_labels.join(" ")
            ))
        })
}

/// Ports of the target's containers, in the order of the manifest, without sidecars and the main port.
fn discover_ports(service: &CanaryService, target: &Value) -> Vec<DiscoveredPort> {
    let mut ports = Vec::new();
    for container in list(&target["spec"]["template"]["spec"]["containers"]) {
        let container_name = container["name"].as_str().unwrap_or_default();
        if SIDECARS.contains(&container_name) {
            continue;
        }
        for (index, port) in list(&container["ports"]).iter().enumerate() {
            let Some(number) = port["containerPort"].as_i64().and_then(|number| i32::try_from(number).ok())
            else {
                continue;
            };
            let protocol = port["protocol"].as_str().filter(|text| !text.is_empty()).unwrap_or("TCP");
            let name = port["name"].as_str().filter(|text| !text.is_empty());
            if is_main_port(service, name, number, protocol) {
                continue;
            }
            ports.push(DiscoveredPort {
                name: name.map_or_else(|| default_name(protocol, container_name, index), ToOwned::to_owned),
                port: number,
                protocol: protocol.to_owned(),
            });
        }
    }
    ports
}

/// Whether the generated Services have this port as their first one already. That one is TCP, so a UDP port of
/// the same number (HTTP/3) is another port.
fn is_main_port(service: &CanaryService, name: Option<&str>, number: i32, protocol: &str) -> bool {
    match service.target_port.as_ref() {
        None | Some(IntOrString::Int(0)) => protocol == "TCP" && number == service.port,
        Some(IntOrString::Int(target)) => protocol == "TCP" && number == *target,
        Some(IntOrString::String(target)) => match target.parse::<i32>() {
            Ok(0) => protocol == "TCP" && number == service.port,
            Ok(target) => protocol == "TCP" && number == target,
            Err(_) if target.is_empty() => protocol == "TCP" && number == service.port,
            Err(_) => name == Some(target.as_str()),
        },
    }
}

/// Name of a port that has none. Port names of Services end at 63 characters, container names as well, so a long
/// container name is cut.
fn default_name(protocol: &str, container: &str, index: usize) -> String {
    let (head, tail) = (format!("{}-", protocol.to_lowercase()), format!("-{index}"));
    let room = 63_usize.saturating_sub(head.len() + tail.len());
    let container: String = container.chars().take(room).collect();
    format!("{head}{container}{tail}")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Containers that meshes add to a pod.
/// The most characters of a label's value.
const LONGEST_LABEL: usize = 63;

const SIDECARS: [&str; 2] = ["istio-proxy", "envoy"];

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::workload::testing::{frontend, release, settings};

    fn ports_of(service: CanaryService, containers: Value) -> Vec<(String, i32, String)> {
        let mut target = frontend();
        target["spec"]["template"]["spec"]["containers"] = containers;
        discover_ports(&service, &target)
            .into_iter()
            .map(|port| (port.name, port.port, port.protocol))
            .collect()
    }

    fn port(name: &str, number: i32, protocol: &str) -> (String, i32, String) {
        (name.into(), number, protocol.into())
    }

    // spec: 02/C58
    #[rstest]
    #[case::in_the_order_of_the_flag(json!({"app.kubernetes.io/name": "c", "name": "b", "app": "a"}), "app", "a")]
    #[case::whichever_is_there(json!({"app.kubernetes.io/name": "c", "tier": "web"}), "app.kubernetes.io/name", "c")]
    #[case::its_value_may_differ_from_the_name(json!({"name": "web-shop"}), "name", "web-shop")]
    fn the_first_selector_label_that_the_target_has_is_used(
        #[case] labels: Value,
        #[case] key: &str,
        #[case] value: &str,
    ) {
        let (mut target, release) = (frontend(), release());
        target["spec"]["selector"]["matchLabels"] = labels;
        let id = crate::model::object::Kind::DEPLOYMENT.at(&release.namespace, &release.target.name);
        let shape = shape(&release, &settings(), &id, &target, None).expect("a shape");
        assert_eq!((shape.label_key.as_str(), shape.label_value.as_str()), (key, value));
    }

    // spec: 02/C58
    #[test]
    fn a_target_without_any_selector_label_is_refused_with_their_list() {
        let mut target = frontend();
        target["spec"]["selector"] = json!({"matchLabels": {"tier": "web"}});
        let id = crate::model::object::Kind::DEPLOYMENT.at("shop", "frontend");
        assert_eq!(
            shape(&release(), &settings(), &id, &target, None),
            Err(Error::Unusable(
                "getSelectorLabel failed: deployment frontend.shop spec.selector.matchLabels must contain one of \
                 [app name app.kubernetes.io/name]"
                    .into()
            ))
        );
    }

    // spec: 01/API-042 02/C63 03/SVC-08 03/SVC-09
    #[rstest]
    #[case::numeric_target_port(Some(IntOrString::Int(8080)), vec![port("metrics", 9090, "TCP"), port("tcp-app-2", 7070, "TCP")])]
    #[case::named_target_port(Some(IntOrString::String("metrics".into())), vec![port("http", 8080, "TCP"), port("tcp-app-2", 7070, "TCP")])]
    #[case::numeric_text(Some(IntOrString::String("9090".into())), vec![port("http", 8080, "TCP"), port("tcp-app-2", 7070, "TCP")])]
    #[case::unset_means_the_service_port(None, vec![port("http", 8080, "TCP"), port("metrics", 9090, "TCP")])]
    #[case::zero_means_unset(Some(IntOrString::String("0".into())), vec![port("http", 8080, "TCP"), port("metrics", 9090, "TCP")])]
    fn discovered_ports_are_those_of_the_application_but_the_main_one(
        #[case] target_port: Option<IntOrString>,
        #[case] expected: Vec<(String, i32, String)>,
    ) {
        let service = CanaryService { port: 7070, target_port, ..CanaryService::default() };
        let containers = json!([
            {"name": "app", "ports": [
                {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                {"name": "metrics", "containerPort": 9090},
                {"containerPort": 7070},
            ]},
            {"name": "istio-proxy", "ports": [{"name": "http-envoy", "containerPort": 15090}]},
            {"name": "envoy", "ports": [{"containerPort": 15000}]},
        ]);
        assert_eq!(ports_of(service, containers), expected);
    }

    // spec: 03/SVC-25
    #[test]
    fn a_udp_port_stays_udp_even_with_the_number_of_the_main_port() {
        let service = CanaryService {
            port: 443,
            target_port: Some(IntOrString::Int(8443)),
            ..CanaryService::default()
        };
        let containers = json!([{"name": "app", "ports": [
            {"name": "https", "containerPort": 8443, "protocol": "TCP"},
            {"name": "http3", "containerPort": 8443, "protocol": "UDP"},
            {"containerPort": 53, "protocol": "UDP"},
        ]}]);
        assert_eq!(
            ports_of(service, containers),
            vec![port("http3", 8443, "UDP"), port("udp-app-2", 53, "UDP")]
        );
    }

    #[test]
    fn a_long_container_name_still_gives_a_valid_port_name() {
        let name = default_name("TCP", &"x".repeat(63), 12);
        assert_eq!(name.len(), 63);
        assert!(name.starts_with("tcp-x") && name.ends_with("x-12"));
    }

    #[test]
    fn without_port_discovery_there_are_no_further_ports() {
        let id = crate::model::object::Kind::DEPLOYMENT.at("shop", "frontend");
        let shape = shape(&release(), &settings(), &id, &frontend(), None).expect("a shape");
        assert_eq!(shape.ports, []);
    }
}
