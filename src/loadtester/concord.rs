//! Tasks of type `concord`: a process of Concord is started and waited for (spec 04 §5.6).

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::payload::{Metadata, shortened};
use crate::http::{Client, Method, Request};
use crate::model::answer::excerpt;

/// A process to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concord {
    server: String,
    key: PathBuf,
    form: Vec<(String, String)>,
    interval: Duration,
    limit: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    instance_id: Option<String>,
    ok: Option<bool>,
}

#[derive(Deserialize)]
struct State {
    status: String,
}

impl Concord {
    /// Reads what a hook says.
    ///
    /// # Errors
    /// If something is missing or wrong; the text names the key.
    pub fn read(metadata: &Metadata) -> Result<Self, String> {
        let required = |key: &str| {
            let value = metadata.get(key).filter(|value| !value.is_empty());
            value.cloned().ok_or_else(|| format!("`{key}` is required with type concord"))
        };
        let seconds = |key: &str, default: u64| match metadata.get(key) {
            None => Ok(Duration::from_secs(default)),
            Some(text) => match text.parse::<u32>() {
                Ok(number) if number > 0 => Ok(Duration::from_secs(number.into())),
                _ => Err(format!("`{key}` is {:?}, not a number of seconds", shortened(text))),
            },
        };
        let server = required("server")?.trim_end_matches('/').to_owned();
        let mut form = Vec::new();
        for (key, field) in
            [("org", "org"), ("project", "project"), ("repo", "repo"), ("entrypoint", "entryPoint")]
        {
            form.push((field.to_owned(), required(key)?));
        }
        let key = PathBuf::from(required("apiKeyPath")?);
        form.push(("arguments.endpoint".to_owned(), required("endpoint")?));
        for (name, value) in metadata.iter().filter(|(name, _)| name.starts_with("arguments.")) {
            if name == "arguments.endpoint" {
                return Err(
                    "`arguments.endpoint` is not allowed with type concord: write `endpoint`".to_owned()
                );
            }
            if !name.chars().all(|c| c.is_ascii_graphic() && c != '"') {
                return Err(format!("`{}` is no name of an argument", shortened(name)));
            }
            form.push((name.clone(), value.clone()));
        }
        if !key.is_file() {
            return Err(format!("`apiKeyPath` file doesn't exist {}", shortened(&key.to_string_lossy())));
        }
        Ok(Self {
            server,
            key,
            form,
            interval: seconds("pollInterval", 5)?,
            limit: seconds("pollTimeout", 30)?,
        })
    }

    /// Starts the process, and waits for its end as long as `pollTimeout` says.
    ///
    /// # Errors
    /// If it cannot be started or watched, fails, or takes too long.
    pub async fn run(&self, http: &Client) -> Result<(), String> {
        let key = tokio::fs::read_to_string(&self.key).await;
        let key =
            key.map_err(|error| format!("`apiKeyPath` {}: {error}", self.key.display()))?.trim().to_owned();
        let (kind, body) = multipart(&self.form);
        let url = format!("{}/api/v1/process", self.server);
        let mut request = Request::new(Method::POST, &url);
        request.headers = vec![("Authorization".into(), key.clone()), ("Content-Type".into(), kind)];
        request.body = body.into();
        request.timeout = Duration::from_secs(60);
        let answer = http.send(request).await.map_err(|error| error.to_string())?;
        let id = started(answer.status, &answer.body)?;
        let ended = timeout(self.limit, self.ended(http, &key, &id)).await;
        ended.unwrap_or_else(|_| {
            let limit = crate::api::duration::format(self.limit);
            Err(format!("concord instanceID: {id} has not ended within pollTimeout, {limit}"))
        })
    }

    async fn ended(&self, http: &Client, key: &str, id: &str) -> Result<(), String> {
        loop {
            sleep(self.interval).await;
            let mut request = Request::new(Method::GET, format!("{}/api/v1/process/{id}", self.server));
            request.headers = vec![("Authorization".into(), key.to_owned())];
            let answer =
                http.send(request).await.map_err(|error| format!("failed checking status: {error}"))?;
            match ended(answer.status, &answer.body)? {
                Some(true) => return Ok(()),
                Some(false) => return Err(format!("concord instanceID: {id} failed")),
                None => {}
            }
        }
    }
}

/// The process that was started, as the answer to its start says.
///
/// # Errors
/// If it says of none; the text is for the caller of the hook.
pub fn started(status: u16, body: &[u8]) -> Result<String, String> {
    let started: Started = serde_json::from_slice(body).map_err(|error| {
        format!("failed to start a process: status {status}: {}", excerpt(error.to_string().as_bytes(), 120))
    })?;
    let id = started.instance_id.filter(|id| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'));
    let id = id.filter(|id| (1..=LONGEST_ID).contains(&id.len()) && started.ok != Some(false));
    id.ok_or_else(|| format!("failed to start a process: status {status}, no instanceId"))
}

/// Whether a process has ended well, as an answer about it says; none while it has not ended.
///
/// # Errors
/// If it does not say; the text is for the caller of the hook.
pub fn ended(status: u16, body: &[u8]) -> Result<Option<bool>, String> {
    let state: State = serde_json::from_slice(body).map_err(|error| {
        format!("failed checking status: status {status}: {}", excerpt(error.to_string().as_bytes(), 120))
    })?;
    Ok(match state.status.as_str() {
        "FINISHED" => Some(true),
        "FAILED" => Some(false),
        _ => None,
    })
}

/// Concord's are UUIDs.
const LONGEST_ID: usize = 128;

/// A form as `multipart/form-data`: the header and the body. The boundary follows from the contents, so none of them holds it.
fn multipart(form: &[(String, String)]) -> (String, Vec<u8>) {
    let mut hash = Sha256::new();
    for (name, value) in form {
        hash.update(name);
        hash.update([0]);
        hash.update(value);
    }
    let boundary: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut body = String::new();
    for (name, value) in form {
        body +=
            &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    body += &format!("--{boundary}--\r\n");
    (format!("multipart/form-data; boundary={boundary}"), body.into_bytes())
}
