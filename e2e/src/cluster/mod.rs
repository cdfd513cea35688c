//! The cluster, from inside its namespaces: this process is their first (pid 1), so that its death ends everything.
//!
//! Boot order: addresses → keys → etcd → kube-apiserver → kube-controller-manager, and beside them, in this process,
//! the [service proxy](services), the [name server](dns) and the [node](crate::node).

pub mod control_plane;
pub mod dns;
pub mod network;
pub mod pki;
pub mod services;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};

use crate::node;
use crate::place::Place;

/// Boots the cluster and stays until SIGTERM or SIGINT.
pub async fn supervise(place: Place) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = Arc::new(AtomicBool::new(false));
    let booted = boot(&place, &stop);
    tokio::select! {
        result = booted => result?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.store(true, Ordering::SeqCst);
    println!("shutting down");
    Ok(())
}

async fn boot(place: &Place, stop: &Arc<AtomicBool>) -> Result<()> {
    place.create()?;
    network::set_up(place)?;
    pki::make(place)?;
    control_plane::write_kubeconfigs(place)?;
    control_plane::start(place, stop)?;
    let client = client(place, "admin").await?;
    control_plane::wait_until_serving(&client).await?;
    println!("kube-apiserver serves");
    let services = services::start(client.clone());
    dns::start(services.clone()).await?;
    node::start(place.clone(), client.clone()).await?;
    control_plane::wait_until_controlled(&client).await?;
    println!("control plane is up");
    std::fs::write(place.ready(), "").context("cannot write the ready file")?;
    Ok(())
}

/// A client with one of the kubeconfigs that the boot wrote.
pub async fn client(place: &Place, user: &str) -> Result<Client> {
    let path = control_plane::kubeconfig_of(place, user);
    let kubeconfig =
        Kubeconfig::read_from(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
