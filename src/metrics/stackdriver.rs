//! Google Cloud Monitoring, the former Stackdriver: the newest point of an MQL query (spec 04 §2.9), over the HTTP form
//! of the service.
//!
//! ```text
//! project known ─────────────────────────▶ query, with a token that the sender gets
//! no project known ──▶ metadata: project ──▶ query
//! ```

use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Answer, Auth, Body, Call, GoogleIdentity, Heard, Next, Secret, What};

use super::shared::{MULTIPLE, NO_VALUES, SHOWN, accepted, credential, object, problem, query, required};
use super::{Asked, Error, Measured, Provider, SecretData};

/// A project at Google Cloud.
#[derive(Clone, Debug)]
pub(super) struct Stackdriver {
    /// None for the project that this process runs in.
    project: Option<String>,
    /// The file of a service account's key; none for the account that this process runs as.
    key: Option<Secret>,
}

impl Stackdriver {
    /// # Errors
    /// If the secret lacks the project, or its key is not one of a service account.
    pub fn new(_: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let Some(data) = secret else { return Ok(Self { project: None, key: None }) };
        let project = required(PROVIDER, secret, "project", "does not contain a project id")?;
        if !is_project(&project) {
            return Err(problem(PROVIDER, "contain a project that is not the id of one"));
        }
        let key = credential(PROVIDER, data, ACCOUNT_KEY)?.filter(|key| !key.is_empty());
        if let Some(why) = key.as_deref().and_then(|key| unusable(key).err()) {
            return Err(problem(PROVIDER, &format!("contain a {ACCOUNT_KEY} that cannot be used: {why}")));
        }
        Ok(Self { project: Some(project), key: key.map(Secret::from) })
    }

    /// Leads a conversation whose last call asks for `query`, and gives its answer to `read`.
    fn talk<T>(
        &self,
        heard: &[Heard],
        query: &str,
        read: impl FnOnce(&What) -> Result<T, String>,
    ) -> Next<Result<T, String>> {
        let first = usize::from(self.project.is_none());
        if heard.len() < first {
            return Next::send(metadata("project/project-id"));
        }
        let call = || {
            let project = match &self.project {
                Some(project) => project.clone(),
                None => own_project(accepted(PROVIDER, &heard[0].what)?)?,
            };
            let url = format!("{SERVICE}/v3/projects/{project}/timeSeries:query");
            let auth = Auth::Google(Box::new(GoogleIdentity { key: self.key.clone() }));
            Ok(Call { auth, ..Call::post(url, Body::json(&json!({"query": query}))) })
        };
        match (call(), heard.get(first)) {
            (Err(why), _) => Next::Done(Err(why)),
            (Ok(call), None) => Next::send(call),
            (Ok(_), Some(answer)) => Next::Done(read(&answer.what)),
        }
    }
}

impl Provider for Stackdriver {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        let query = match query(PROVIDER, asked) {
            Ok(query) => query,
            Err(why) => return Next::Done(Measured::Failed(why)),
        };
        let read = |what: &What| {
            let body = accepted(PROVIDER, what).map_err(|why| format!("error requesting {why}"))?;
            measure(body).map_err(|why| format!("{PROVIDER}: {why}"))
        };
        match self.talk(heard, &query, read) {
            Next::Send(call) => Next::Send(call),
            Next::Wait(pause) => Next::Wait(pause),
            Next::Done(outcome) => Next::Done(outcome.unwrap_or_else(Measured::Failed)),
        }
    }

    fn probe(&self, _asked: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        self.talk(heard, "", |what| match what {
            // It knows us, and finds fault with a query that is none.
            What::Answer(answer) if finds_fault(answer) => Ok(()),
            what => accepted(PROVIDER, what).map(|_| ()),
        })
    }
}

/// Whether a text can stand for a project in a path.
fn is_project(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | ':');
    text.chars().all(inner) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// A question to the metadata service of the machine.
fn metadata(path: &str) -> Call {
    let header = ("Metadata-Flavor".to_owned(), Secret::from("Google"));
    Call {
        headers: vec![header],
        own_address: true,
        ..Call::get(format!("{METADATA}/computeMetadata/v1/{path}"))
    }
}

fn own_project(body: &[u8]) -> Result<String, String> {
    let project = String::from_utf8_lossy(body).trim().to_owned();
    match is_project(&project) {
        true => Ok(project),
        false => Err(format!("{PROVIDER}: the metadata service does not say in which project this runs")),
    }
}

/// Finds what is wrong with the file of a key before anything is asked with it.
///
/// # Errors
/// If it is none. The text holds nothing of the file.
fn unusable(file: &str) -> Result<(), &'static str> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default, rename = "type")]
        kind: String,
        #[serde(default)]
        client_email: String,
        #[serde(default)]
        private_key: String,
    }
    let file: File = serde_json::from_str(file).map_err(|_| "it is not the JSON file of a key")?;
    if file.kind != "service_account" || file.client_email.is_empty() {
        return Err("it is not the file of a service account's key");
    }
    let der = PrivateKeyDer::from_pem_slice(file.private_key.as_bytes());
    let key = der.ok().and_then(|der| any_supported_type(&der).ok());
    match key.and_then(|key| key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])) {
        Some(_) => Ok(()),
        None => Err("its private_key is not an RSA key in PEM"),
    }
}

fn finds_fault(answer: &Answer) -> bool {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    answer.status == 400 && json["error"]["status"] == "INVALID_ARGUMENT"
}

/// The parts of an answer that count.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(default)]
    time_series_data: Vec<Series>,
    #[serde(default)]
    partial_errors: Vec<Status>,
    error: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    #[serde(default)]
    point_data: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    #[serde(default)]
    values: Vec<Value>,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

fn measure(body: &[u8]) -> Result<Measured, String> {
    let Answered { time_series_data, partial_errors, error } = object(body)?;
    if let Some(error) = error.iter().chain(&partial_errors).next() {
        return Err(format!("the query failed: {}", excerpt(error.message.as_bytes(), SHOWN)));
    }
    let none = || Measured::NoData(format!("{PROVIDER}: {NO_VALUES}"));
    match time_series_data.as_slice() {
        [] => Ok(none()),
        [one] => match one.point_data.first().and_then(|point| point.values.first()) {
            None => Ok(none()),
            Some(value) => Ok(number(value)?.map_or_else(none, Measured::number)),
        },
        many => Err(format!("{MULTIPLE}: {} series, make them one with | group_by []", many.len())),
    }
}

/// A typed value. JSON has neither large whole numbers nor NaN: both are texts.
fn number(value: &Value) -> Result<Option<f64>, String> {
    let unusable = || format!("the value is not a number: {}", excerpt(value.to_string().as_bytes(), 120));
    let fields = match value {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        _ => return Err(unusable()),
    };
    let inner = match fields.iter().next() {
        None => return Ok(None),
        Some((kind, inner)) if matches!(kind.as_str(), "doubleValue" | "int64Value") => inner,
        Some(_) => return Err(unusable()),
    };
    match inner {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        Value::String(text) => text.parse().map(Some).map_err(|_| unusable()),
        _ => Err(unusable()),
    }
}

const PROVIDER: &str = "stackdriver";
const ACCOUNT_KEY: &str = "serviceAccountKey";
const SERVICE: &str = "https://monitoring.googleapis.com";
const METADATA: &str = "http://metadata.google.internal";

#[cfg(test)]
mod tests;
