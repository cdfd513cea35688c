//! The same service on a loopback port, for kubectl and for people.

use std::net::SocketAddr;

use axum::Router;
use http::Request;
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::handle::KubeSim;

/// A cluster that listens. It goes on (and lives on) when this is dropped; [`Listening::stop`] ends it.
#[derive(Debug)]
pub struct Listening {
    addr: SocketAddr,
    task: tokio::task::AbortHandle,
}

impl Listening {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A kubeconfig for this cluster, as YAML.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: kubesim\n  cluster:\n    server: {}\nusers:\n- name: kubesim\n  user: {{}}\n\
             contexts:\n- name: kubesim\n  context:\n    cluster: kubesim\n    user: kubesim\n    namespace: default\ncurrent-context: kubesim\n",
            self.url()
        )
    }

    /// Stops listening; open connections break.
    pub fn stop(&self) {
        self.task.abort();
    }
}

impl KubeSim {
    /// Listens on a loopback address; port 0 picks a free one. There is no authentication, so no other address will do.
    ///
    /// # Errors
    /// When the address is not a loopback address, or cannot be listened on.
    pub async fn listen(&self, addr: SocketAddr) -> std::io::Result<Listening> {
        self.listen_beside(addr, Router::new()).await
    }

    /// As [`KubeSim::listen`], with `others` on the same port: what they do not answer is for the API. Their paths must
    /// not begin as those of the API do (`/api`, `/apis`, `/openapi` and others).
    ///
    /// # Errors
    /// As [`KubeSim::listen`].
    pub async fn listen_beside(&self, addr: SocketAddr, others: Router) -> std::io::Result<Listening> {
        if !addr.ip().is_loopback() {
            let why = format!(
                "{addr} is not a loopback address: the embedded cluster has no authentication (use 127.0.0.1:PORT)"
            );
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
        }
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let service = self.service("listener");
        let router = others.fallback(move |request: Request<axum::body::Body>| {
            let service = service.clone();
            async move {
                match service.oneshot(request).await {
                    Ok(answer) => answer.map(axum::body::Body::new),
                    // A broken connection cannot be shown over one that stands: an empty bad gateway comes next to it.
                    Err(_) => http::Response::builder()
                        .status(502)
                        .body(axum::body::Body::empty())
                        .unwrap_or_default(),
                }
            }
        });
        let task = tokio::spawn(async move {
            if let Err(why) = axum::serve(listener, router).await {
                tracing::warn!(%why, "the embedded cluster stopped listening");
            }
        });
        Ok(Listening { addr, task: task.abort_handle() })
    }
}
