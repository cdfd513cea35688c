//! Ports of the generated Services: which are wanted, and how they go with those that are there.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::api::service::CanaryService;
use crate::model::workload::DiscoveredPort;

/// A port as it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    name: String,
    protocol: String,
    port: i32,
    target: Value,
    app_protocol: Option<String>,
}

/// The main port, then the discovered ones. A discovered port that another one stands for already is left out,
/// and one whose name is taken is named by its number: the API server refuses both doubles.
pub(super) fn wanted(service: &CanaryService, discovered: &[DiscoveredPort]) -> Vec<Wanted> {
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    let mut ports = vec![Wanted {
        name: text(&service.port_name).unwrap_or_else(|| "http".into()),
        protocol: "TCP".into(),
        port: service.port,
        target: target(service),
        app_protocol: text(&service.app_protocol),
    }];
    for port in discovered {
        if ports.iter().any(|taken| taken.port == port.port && taken.protocol == port.protocol) {
            continue;
        }
        let mut name = port.name.clone();
        if ports.iter().any(|taken| taken.name == name) {
            name = format!("{}-{}", port.protocol.to_lowercase(), port.port);
        }
        ports.push(Wanted {
            name,
            protocol: port.protocol.clone(),
            port: port.port,
            target: json!(port.port),
            app_protocol: None,
        });
    }
    ports
}

/// The container port behind the main port; the same number unless said otherwise. 0 says nothing.
fn target(service: &CanaryService) -> Value {
    match &service.target_port {
        None | Some(IntOrString::Int(0)) => json!(service.port),
        Some(IntOrString::Int(number)) => json!(number),
        Some(IntOrString::String(text)) => match text.parse::<i32>() {
            Ok(0) => json!(service.port),
            Ok(number) => json!(number),
            Err(_) if text.is_empty() => json!(service.port),
            Err(_) => json!(text),
        },
    }
}

impl Wanted {
    /// The port over the one that is there: its node port stays, and what is not known here.
    pub(super) fn over(&self, live: &Value, ours: bool) -> Value {
        let mut port = live.as_object().cloned().unwrap_or_default();
        for (field, value) in [
            ("name", json!(self.name)),
            ("protocol", json!(self.protocol)),
            ("port", json!(self.port)),
            ("targetPort", self.target.clone()),
        ] {
            port.insert(field.to_owned(), value);
        }
        match &self.app_protocol {
            Some(protocol) => {
                port.insert("appProtocol".to_owned(), json!(protocol));
            }
            // On a user's Service it may be the user's.
            None if ours => {
                port.remove("appProtocol");
            }
            None => {}
        }
        Value::Object(port)
    }
}

/// The change of `spec.ports`, if they are not as wanted. Node ports go with a port's name, else with its number.
/// On a user's Service ports that have nothing to do with ours stay.
pub(super) fn changed(live_spec: &Value, wanted: &[Wanted], ours: bool) -> Option<(String, Value)> {
    let live = live_spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let mut left: Vec<&Value> = live.iter().collect();
    let mut matched: Vec<&Value> = vec![&Value::Null; wanted.len()];
    let by_name = |port: &Value, wanted: &Wanted| port["name"] == wanted.name.as_str();
    let by_number =
        |port: &Value, wanted: &Wanted| port["port"] == wanted.port && protocol(port) == wanted.protocol;
    for same in [&by_name as &dyn Fn(&Value, &Wanted) -> bool, &by_number] {
        for (wanted, matched) in wanted.iter().zip(&mut matched).filter(|(_, matched)| matched.is_null()) {
            if let Some(at) = left.iter().position(|port| same(port, wanted)) {
                *matched = left.remove(at);
            }
        }
    }
    let mut ports: Vec<Value> =
        wanted.iter().zip(&matched).map(|(wanted, live)| wanted.over(live, ours)).collect();
    if !ours {
        let free = |port: &&&Value| !wanted.iter().any(|wanted| by_number(port, wanted));
        ports.extend(left.iter().filter(free).map(|port| (*port).clone()));
    }
    (sorted(&ports) != sorted(live)).then(|| ("ports".to_owned(), Value::Array(ports)))
}

/// The change that gives a Service back the ports that its user applied, on the node ports that it has.
pub(super) fn restored(live_spec: &Value, applied: &[Value]) -> Option<(String, Value)> {
    let live = live_spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let ports: Vec<Value> = applied
        .iter()
        .map(|port| {
            let mut port = port.clone();
            let same = |live: &&Value| live["port"] == port["port"] && protocol(live) == protocol(&port);
            if port["nodePort"].is_null()
                && let Some(node_port) = live.iter().find(same).map(|live| live["nodePort"].clone())
                && let Some(fields) = port.as_object_mut()
            {
                fields.insert("nodePort".to_owned(), node_port);
            }
            port
        })
        .collect();
    (sorted(&ports) != sorted(live)).then(|| ("ports".to_owned(), json!(without_nulls(ports))))
}

fn without_nulls(mut ports: Vec<Value>) -> Vec<Value> {
    for port in ports.iter_mut().filter_map(Value::as_object_mut) {
        port.retain(|_, value| !value.is_null());
    }
    ports
}

fn protocol(port: &Value) -> &str {
    port["protocol"].as_str().filter(|text| !text.is_empty()).unwrap_or("TCP")
}

/// The ports in the order of their numbers, with defaults written out: what of them can differ.
fn sorted(ports: &[Value]) -> Vec<Value> {
    let mut ports = without_nulls(ports.to_vec());
    for port in &mut ports {
        let defaults = [("protocol", json!(protocol(port))), ("targetPort", port["port"].clone())];
        let Some(fields) = port.as_object_mut() else { continue };
        for (field, default) in defaults {
            fields.entry(field).or_insert(default);
        }
    }
    ports.sort_by_key(|port| (port["port"].as_i64(), protocol(port).to_owned()));
    ports
}
