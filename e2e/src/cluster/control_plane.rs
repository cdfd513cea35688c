//! etcd, kube-apiserver and kube-controller-manager, with their flags.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::{Api, Client};

use super::network::{NODE, SERVICES};
use crate::place::Place;
use crate::process::{self, Service};
use crate::tools::Tool;
use crate::wait;

/// Everything is logged once it is answered, without bodies. Leases and health checks are left out: they are noise.
const AUDIT_POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/openapi*"]
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager"]
  - level: Metadata
"#;

/// The port of the API server on the node's address.
pub const API_PORT: u16 = 6443;

pub fn kubeconfig_of(place: &Place, user: &str) -> PathBuf {
    if user == "admin" { place.kubeconfig() } else { place.pki().join(format!("{user}.kubeconfig")) }
}

pub fn write_kubeconfigs(place: &Place) -> Result<()> {
    for user in ["admin", "node", "controller-manager"] {
        let pki = place.pki();
        let pki = pki.display();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: e2e\n\
             clusters: [{{name: e2e, cluster: {{server: 'https://{NODE}:{API_PORT}', certificate-authority: '{pki}/ca.crt'}}}}]\n\
             users: [{{name: {user}, user: {{client-certificate: '{pki}/{user}.crt', client-key: '{pki}/{user}.key'}}}}]\n\
             contexts: [{{name: e2e, context: {{cluster: e2e, user: {user}, namespace: default}}}}]\n"
        );
        std::fs::write(kubeconfig_of(place, user), text)?;
    }
    Ok(())
}

/// Starts the three; each comes back whenever it ends.
pub fn start(place: &Place, stop: &Arc<AtomicBool>) -> Result<()> {
    let policy = place.pki().join("audit-policy.yaml");
    std::fs::write(&policy, AUDIT_POLICY)?;
    for (name, tool, arguments) in [
        ("etcd", Tool::Etcd, etcd(place)),
        ("kube-apiserver", Tool::KubeApiserver, kube_apiserver(place)),
        ("kube-controller-manager", Tool::KubeControllerManager, kube_controller_manager(place)),
    ] {
        let service = Service {
            name: name.to_owned(),
            program: tool.path(),
            arguments,
            environment: Vec::new(),
            log: place.logs().join(format!("{name}.log")),
            pid_file: place.pid_of(name),
        };
        process::keep_running(service, stop.clone());
    }
    Ok(())
}

fn etcd(place: &Place) -> Vec<String> {
    vec![
        format!("--data-dir={}", place.etcd().display()),
        "--listen-client-urls=http://127.0.0.1:2379".into(),
        "--advertise-client-urls=http://127.0.0.1:2379".into(),
        "--listen-peer-urls=http://127.0.0.1:2380".into(),
        "--initial-advertise-peer-urls=http://127.0.0.1:2380".into(),
        "--initial-cluster=default=http://127.0.0.1:2380".into(),
        // The cluster lives for minutes: a power cut needs no protection, and the disk is shared with builds.
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn kube_apiserver(place: &Place) -> Vec<String> {
    let pki = place.pki();
    let pki = pki.display();
    vec![
        "--etcd-servers=http://127.0.0.1:2379".into(),
        format!("--advertise-address={NODE}"),
        format!("--secure-port={API_PORT}"),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--service-account-key-file={pki}/service-accounts.pub"),
        format!("--service-account-signing-key-file={pki}/service-accounts.key"),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        "--authorization-mode=RBAC".into(),
        // Not on by default, but on many clusters: who makes an owned object has to be allowed to hold its owner back.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".into(),
        "--allow-privileged=true".into(),
        format!("--audit-policy-file={pki}/audit-policy.yaml"),
        format!("--audit-log-path={}", place.audit_log().display()),
        "--audit-log-mode=blocking".into(),
        "--profiling=false".into(),
    ]
}

fn kube_controller_manager(place: &Place) -> Vec<String> {
    let pki = place.pki();
    let pki = pki.display();
    vec![
        format!("--kubeconfig={}", kubeconfig_of(place, "controller-manager").display()),
        format!("--service-account-private-key-file={pki}/service-accounts.key"),
        format!("--root-ca-file={pki}/ca.crt"),
        "--use-service-account-credentials=true".into(),
        "--leader-elect=false".into(),
        "--bind-address=127.0.0.1".into(),
        // There are no node heartbeats, volumes or clouds here.
        "--controllers=*,-node-lifecycle-controller,-node-ipam-controller,-persistentvolume-attach-detach-controller,\
         -persistentvolume-binder-controller,-persistentvolume-expander-controller,-cloud-node-lifecycle-controller,\
         -service-lb-controller,-node-route-controller"
            .into(),
        "--profiling=false".into(),
    ]
}

/// Waits until `/readyz` says ok.
pub async fn wait_until_serving(client: &Client) -> Result<()> {
    wait::until("kube-apiserver serves", Duration::from_secs(180), async || {
        let request = http_get("/readyz")?;
        Ok(client.request_text(request).await.is_ok_and(|text| text == "ok"))
    })
    .await
}

/// Waits until the controllers have made what every pod needs: the service account and the root certificate.
pub async fn wait_until_controlled(client: &Client) -> Result<()> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    wait::until("kube-controller-manager works", Duration::from_secs(180), async || {
        Ok(accounts.get_opt("default").await.is_ok_and(|found| found.is_some())
            && maps.get_opt("kube-root-ca.crt").await.is_ok_and(|found| found.is_some()))
    })
    .await
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    http::Request::get(path).body(Vec::new()).context("cannot build a request")
}
