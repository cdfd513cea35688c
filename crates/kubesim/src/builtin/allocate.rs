//! What the cluster hands out: addresses and node ports of Services.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::{ApiStatus, FieldError};
use crate::registry::Served;

/// 10.96.0.0/16, its first address left to the API itself.
const FIRST_CLUSTER_IP: u32 = 0x0a60_0002;
const LAST_CLUSTER_IP: u32 = 0x0a60_fffe;
const NODE_PORTS: std::ops::RangeInclusive<i64> = 30000..=32767;

impl Cluster {
    /// Gives a Service what it asks for by leaving it out.
    pub(crate) fn allocate(
        &mut self,
        served: &Served,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), ApiStatus> {
        if !served.is("", "Service") {
            return Ok(());
        }
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let spec = &mut object["spec"];
        if spec["type"] == "ExternalName" {
            return Ok(());
        }
        if let Some(kept) = old
            .map(|old| &old["spec"]["clusterIP"])
            .filter(|ip| ip.is_string() && spec["clusterIP"].as_str().is_none_or(str::is_empty))
        {
            spec["clusterIP"] = kept.clone();
        }
        let asked = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
        if old.is_none() && asked != "None" {
            let ip = match asked.as_str() {
                "" => (FIRST_CLUSTER_IP..=LAST_CLUSTER_IP)
                    .map(Ipv4Addr::from)
                    .find(|ip| !self.service_ips.contains(ip)),
                _ => asked.parse().ok().filter(|ip| !self.service_ips.contains(ip)),
            };
            let Some(ip) = ip else {
                let error = FieldError::invalid(
                    "spec.clusterIPs[0]",
                    &json!(asked),
                    "failed to allocate IP: provided IP is already allocated",
                );
                return Err(ApiStatus::invalid(&served.kind, &name, &[error]));
            };
            spec["clusterIP"] = json!(ip.to_string());
        }
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
        if spec["type"] == "NodePort" || spec["type"] == "LoadBalancer" {
            self.allocate_node_ports(served, object, old);
        }
        Ok(())
    }

    fn allocate_node_ports(&self, served: &Served, object: &mut Value, old: Option<&Value>) {
        let before: Vec<Value> =
            old.and_then(|old| old["spec"]["ports"].as_array()).cloned().unwrap_or_default();
        let services = self.store.list(served.bucket, None, None);
        let mut taken: BTreeSet<i64> = services
            .flat_map(|(_, service)| service.value()["spec"]["ports"].as_array().into_iter().flatten())
            .filter_map(|port| port["nodePort"].as_i64())
            .collect();
        for port in super::items(&mut object["spec"], "ports") {
            if port["nodePort"].as_i64().unwrap_or(0) != 0 {
                continue;
            }
            let same = before.iter().find(|b| b["port"] == port["port"] && b["protocol"] == port["protocol"]);
            let kept = same.and_then(|b| b["nodePort"].as_i64());
            if let Some(number) = kept.or_else(|| NODE_PORTS.into_iter().find(|n| !taken.contains(n))) {
                taken.insert(number);
                port["nodePort"] = json!(number);
            }
        }
    }

    /// Remembers, or frees, the address of a Service.
    pub(crate) fn note_address(&mut self, service: &Value, held: bool) {
        let Some(ip) = service["spec"]["clusterIP"].as_str().and_then(|ip| ip.parse().ok()) else { return };
        match held {
            true => self.service_ips.insert(ip),
            false => self.service_ips.remove(&ip),
        };
    }
}
