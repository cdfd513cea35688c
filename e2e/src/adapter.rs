//! An adapter of external metrics, as the API server's aggregation layer wants one: HTTPS, discovery, and values.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use chrono::Utc;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::place::Place;

/// The group that adapters serve, and its version.
pub const GROUP: &str = "external.metrics.k8s.io";
pub const VERSION: &str = "v1beta1";
/// The one metric that there is.
pub const METRIC: &str = "queue_lag";

/// An adapter that serves as long as it is held.
pub struct Adapter {
    pub address: SocketAddr,
    /// The value of [`METRIC`].
    value: Arc<AtomicI64>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Adapter {
    /// Serves at an address that the API server reaches, with the certificate of the API server itself: whoever registers it
    /// says that it is not to be verified.
    pub async fn open(place: &Place, address: SocketAddr) -> Result<Adapter> {
        let acceptor = TlsAcceptor::from(Arc::new(tls(place)?));
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let (value, asked) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(0)));
        let router = router(value.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // A client that goes away is no failure of ours.
                        let _ = Builder::new(TokioExecutor::new())
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    }
                });
            }
        });
        Ok(Adapter { address, value, asked, task })
    }

    pub fn set(&self, value: i64) {
        self.value.store(value, Ordering::Relaxed);
    }

    /// How often the metric was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn tls(place: &Place) -> Result<ServerConfig> {
    let file = |name: &str| place.pki().join(name);
    let certificate = CertificateDer::from_pem_file(file("apiserver.crt")).context("no certificate")?;
    let key = PrivateKeyDer::from_pem_file(file("apiserver.key")).context("no key")?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?)
}

fn router(value: Arc<AtomicI64>, asked: Arc<AtomicUsize>) -> Router {
    let root = format!("/apis/{GROUP}/{VERSION}");
    let resources = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [{"name": METRIC, "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList", "verbs": ["get"]}],
    });
    Router::new()
        .route(&root, get(async move || Json(resources)))
        .route(&format!("{root}/namespaces/{{namespace}}/{{metric}}"), get(answer))
        .with_state((value, asked))
}

async fn answer(
    State((value, asked)): State<(Arc<AtomicI64>, Arc<AtomicUsize>)>,
    Path((_, metric)): Path<(String, String)>,
) -> Response {
    if metric != METRIC {
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404});
        return (StatusCode::NOT_FOUND, Json(missing)).into_response();
    }
    asked.fetch_add(1, Ordering::Relaxed);
    Json(json!({
        "kind": "ExternalMetricValueList", "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {},
        "items": [{
            "metricName": METRIC, "metricLabels": {}, "timestamp": Utc::now().to_rfc3339(),
            "value": value.load(Ordering::Relaxed).to_string(),
        }],
    }))
    .into_response()
}
