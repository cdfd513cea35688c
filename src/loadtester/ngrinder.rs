//! Tasks of type `ngrinder`: a test of nGrinder is copied, started and waited for (spec 04 §5.7).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::payload::{Metadata, shortened};
use crate::api::duration;
use crate::http::{Auth, Client, Method, Request};
use crate::model::answer::excerpt;

/// A test to be started. Not printed: it holds a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Ngrinder {
    server: String,
    clone: i64,
    auth: Auth,
    interval: Duration,
}

impl Ngrinder {
    /// Reads what a hook says.
    ///
    /// # Errors
    /// If something is missing or wrong; the text names the key and never the password.
    pub fn read(metadata: &Metadata) -> Result<Self, String> {
        let find = |key: &str| metadata.get(key).filter(|value| !value.is_empty());
        let (Some(server), Some(clone), Some(username), Some(password)) =
            (find("server"), find("clone"), find("username"), find("passwd"))
        else {
            return Err("server, clone, username and passwd are required metadata".to_owned());
        };
        let clone =
            clone.parse().map_err(|_| format!("clone {:?} is not the number of a test", shortened(clone)))?;
        let password = BASE64.decode(password.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let password = password.ok_or("passwd is not the base64 of a password")?;
        let interval = match find("pollInterval") {
            None => Duration::from_secs(1),
            Some(text) => duration::parse(text).map_err(|error| format!("pollInterval: {error}"))?,
        };
        if interval < SHORTEST {
            return Err(format!("pollInterval is shorter than {}", duration::format(SHORTEST)));
        }
        let auth = Auth::Basic { username: username.clone(), password };
        Ok(Self { server: server.trim_end_matches('/').to_owned(), clone, auth, interval })
    }

    /// The number of the test that is copied.
    pub fn original(&self) -> i64 {
        self.clone
    }

    /// Starts a copy of the test, and waits for its end; stops it if it takes longer than `limit`.
    ///
    /// # Errors
    /// If it cannot be started, fails, or was stopped.
    pub async fn run(&self, http: &Client, limit: Duration) -> Result<(), String> {
        let answer = self.call(http, Method::POST, &format!("{}/clone_and_start", self.clone)).await?;
        let id = started(&answer)?;
        let ended = timeout(limit, self.ended(http, id)).await;
        if let Ok(ended) = ended {
            return ended;
        }
        let stopped = self.call(http, Method::PUT, &format!("{id}?action=stop")).await;
        let stopped =
            stopped.map_or_else(|why| format!("cannot be stopped: {why}"), |_| "was stopped".to_owned());
        Err(format!("test {id} has not ended within {}, and {stopped}", duration::format(limit)))
    }

    async fn ended(&self, http: &Client, id: i64) -> Result<(), String> {
        loop {
            sleep(self.interval).await;
            // An error may be over at the next look.
            let Ok(answer) = self.call(http, Method::GET, &format!("{id}/status")).await else { continue };
            match ended(&answer) {
                Some("FINISHED") => return Ok(()),
                Some(status) => return Err(format!("test {id} has ended as {status}")),
                None => {}
            }
        }
    }

    async fn call(&self, http: &Client, method: Method, path: &str) -> Result<Value, String> {
        let mut request = Request::new(method, format!("{}/perftest/api/{path}", self.server));
        request.auth = self.auth.clone();
        let answer = http.send(request).await.map_err(|error| error.to_string())?;
        read(answer.status, &answer.body)
    }
}

/// What nGrinder says, unless that is no.
///
/// # Errors
/// If it says no, or nothing that can be read; the text is for the caller of the hook.
pub fn read(status: u16, body: &[u8]) -> Result<Value, String> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|_| format!("nGrinder has answered with status {status} and no JSON"))?;
    if value["success"] == false {
        let why = value["message"].as_str().or(value["error_message"].as_str()).unwrap_or("no reason");
        return Err(format!("nGrinder says no: {}", excerpt(why.as_bytes(), 80)));
    }
    Ok(value)
}

/// The number of the test that was started.
///
/// # Errors
/// If the answer has none.
pub fn started(answer: &Value) -> Result<i64, String> {
    answer["id"].as_i64().ok_or_else(|| "nGrinder has started no test: its answer has no id".to_owned())
}

/// How a test has ended; none while it has not.
pub fn ended(answer: &Value) -> Option<&str> {
    let ends = ["FINISHED", "STOP_BY_ERROR", "CANCELED", "UNKNOWN"];
    answer["status"][0]["status_id"].as_str().filter(|status| ends.contains(status))
}

const SHORTEST: Duration = Duration::from_millis(10);
