//! The outside world of the runs: a web server on the node that takes hooks and alerts, remembers them, and answers as
//! told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;

/// What was posted where.
#[derive(Clone, Debug)]
pub struct Letter {
    pub path: String,
    pub body: Value,
}

/// The server's memory and its orders.
#[derive(Clone, Default)]
pub struct Inbox {
    base: String,
    state: Arc<Mutex<Orders>>,
}

#[derive(Default)]
struct Orders {
    letters: Vec<Letter>,
    answers: BTreeMap<String, u16>,
}

impl Inbox {
    /// Starts serving on an address that pods reach.
    pub async fn open(address: SocketAddr) -> Result<Inbox> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let inbox = Inbox { base: format!("http://{}", listener.local_addr()?), state: Arc::default() };
        let app = Router::new().fallback(take).with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(inbox)
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// From now on a path answers with this status; without orders it is 200.
    pub fn answer(&self, path: &str, status: u16) {
        if let Ok(mut state) = self.state.lock() {
            state.answers.insert(path.to_owned(), status);
        }
    }

    /// What has come to a path.
    pub fn letters(&self, path: &str) -> Vec<Letter> {
        let state = self.state.lock();
        state
            .map(|state| state.letters.iter().filter(|letter| letter.path == path).cloned().collect())
            .unwrap_or_default()
    }
}

async fn take(State(inbox): State<Inbox>, uri: Uri, body: Bytes) -> StatusCode {
    let path = uri.path().to_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let Ok(mut state) = inbox.state.lock() else { return StatusCode::INTERNAL_SERVER_ERROR };
    let answer = state.answers.get(&path).copied().unwrap_or(200);
    state.letters.push(Letter { path, body });
    StatusCode::from_u16(answer).unwrap_or(StatusCode::OK)
}
