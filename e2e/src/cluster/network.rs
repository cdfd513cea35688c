//! Addresses of the cluster, and the node's side of its network.
//!
//! Everything is private to one network namespace. Every pod has a namespace of its own, joined by a veth pair and one
//! host route; the node forwards. Service addresses are all local to the node, where the service proxy listens on them.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::place::Place;
use crate::process;

/// The node: the API server, the proxy and the node agent.
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 1);
/// The name server.
pub const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The range of Service addresses.
pub const SERVICES: &str = "10.96.0.0/16";
/// The API server's Service address: the first of the range.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The n-th pod address: 10.250.1.0 and up.
pub fn pod_address(n: u32) -> Ipv4Addr {
    let base = u32::from(Ipv4Addr::new(10, 250, 1, 0));
    // 16,000 addresses before the first is used again: far more than a run needs.
    Ipv4Addr::from(base + n % 16_000)
}

/// Loopback, the node's address, the Service range, forwarding, and our name server for programs on the node.
pub fn set_up(place: &Place) -> Result<()> {
    let batch = format!("link set lo up\naddr add {NODE}/32 dev lo\nroute add local {SERVICES} dev lo\n");
    process::run_with_input("ip", &["-batch", "-"], &batch)?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let resolv = place.root().join("resolv.conf");
    std::fs::write(&resolv, resolv_conf("default"))?;
    // The mount namespace is private: the machine's own file stays as it is.
    let target = std::fs::canonicalize("/etc/resolv.conf").unwrap_or_else(|_| "/etc/resolv.conf".into());
    if target.exists() {
        rustix::mount::mount_bind(&resolv, &target)?;
    }
    Ok(())
}

/// What a pod of this namespace finds in `/etc/resolv.conf`.
pub fn resolv_conf(namespace: &str) -> String {
    format!(
        "nameserver {DNS}\nsearch {namespace}.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
    )
}
