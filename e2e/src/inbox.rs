//! The outside world of the runs: a web server on the node that takes hooks and alerts, remembers them, and answers as
//! told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
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
    answers: BTreeMap<String, Answer>,
}

/// What decides about an answer each time.
type Answer = Arc<dyn Fn() -> u16 + Send + Sync>;

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
        self.decide(path, move || status);
    }

    /// From now on a path answers with whatever status this decides on each time.
    pub fn decide(&self, path: &str, status: impl Fn() -> u16 + Send + Sync + 'static) {
        if let Ok(mut state) = self.state.lock() {
            state.answers.insert(path.to_owned(), Arc::new(status));
        }
    }

    /// The next question at a path gets one status, all others get another. Gives how often it was asked since.
    pub fn answer_once(&self, path: &str, first: u16, others: u16) -> Arc<AtomicUsize> {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        self.decide(path, move || if count.fetch_add(1, Ordering::SeqCst) == 0 { first } else { others });
        asked
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
    let decide = {
        let Ok(mut state) = inbox.state.lock() else { return StatusCode::INTERNAL_SERVER_ERROR };
        let decide = state.answers.get(&path).cloned();
        state.letters.push(Letter { path, body });
        decide
    };
    StatusCode::from_u16(decide.map_or(200, |decide| decide())).unwrap_or(StatusCode::OK)
}
