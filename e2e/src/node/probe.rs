//! Probes: is a container started, ready, alive?

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::container;
use crate::apps::health;

/// Where and in what a probe runs.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: Ipv4Addr,
    pub main_pid: u32,
    pub environment: BTreeMap<String, String>,
    pub container: Container,
}

/// One try; the text says what is wrong.
pub async fn check(http: &reqwest::Client, probe: &Probe, target: &Target) -> Result<(), String> {
    let limit = seconds(probe.timeout_seconds, 1);
    match timeout(limit, attempt(http, probe, target)).await {
        Ok(result) => result,
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

async fn attempt(http: &reqwest::Client, probe: &Probe, target: &Target) -> Result<(), String> {
    if let Some(get) = &probe.http_get {
        let port = port(&get.port, &target.container).ok_or("the probe's port is not known")?;
        let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_lowercase();
        let host = get.host.clone().unwrap_or_else(|| target.address.to_string());
        let path = get.path.as_deref().unwrap_or("/").trim_start_matches('/');
        let mut request =
            http.get(format!("{scheme}://{host}:{port}/{path}")).header("user-agent", "kube-probe/vexil-e2e");
        for header in get.http_headers.iter().flatten() {
            request = request.header(&header.name, &header.value);
        }
        let status = request.send().await.map_err(|error| error.to_string())?.status();
        return if status.is_success() || status.is_redirection() {
            Ok(())
        } else {
            Err(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
        };
    }
    if let Some(tcp) = &probe.tcp_socket {
        let port = port(&tcp.port, &target.container).ok_or("the probe's port is not known")?;
        return connect(target.address, port).await;
    }
    if let Some(grpc) = &probe.grpc {
        let address = SocketAddr::from((target.address, u16::try_from(grpc.port).unwrap_or(0)));
        return health::check(address, grpc.service.as_deref().unwrap_or_default()).await;
    }
    if let Some(exec) = &probe.exec {
        let (pid, command, environment) =
            (target.main_pid, exec.command.clone().unwrap_or_default(), target.environment.clone());
        let ended =
            tokio::task::spawn_blocking(move || container::execute(pid, &command, &environment)).await;
        return match ended {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the command failed".into()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
    }
    Ok(())
}

async fn connect(address: Ipv4Addr, port: u16) -> Result<(), String> {
    TcpStream::connect(SocketAddr::from((address, port))).await.map(drop).map_err(|error| error.to_string())
}

/// A port by number or by its name in the container.
pub fn port(wanted: &IntOrString, container: &Container) -> Option<u16> {
    match wanted {
        IntOrString::Int(number) => u16::try_from(*number).ok(),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(name))
            .and_then(|port| u16::try_from(port.container_port).ok()),
    }
}

/// A number of seconds of a probe, with its default.
pub fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|v| u64::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default))
}
