//! Google Cloud Monitoring, the former Stackdriver: the newest point of an MQL query (spec 04 §2.9), over the HTTP form
//! of the service.
//!
//! ```text
//! no project known  ──▶ metadata: project ──┐
//! key of an account ──▶ token for a signed assertion ──▶ query
//! no key            ──▶ metadata: token ────┘
//! ```

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Answer, Auth, Body, Call, Heard, Next, Secret, What};

use super::shared::{MULTIPLE, NO_VALUES, SHOWN, accepted, credential, object, problem, query, required};
use super::{Asked, Error, Measured, Provider, SecretData};

use self::account::Account;

mod account;

/// A project at Google Cloud.
#[derive(Clone, Debug)]
pub(super) struct Stackdriver {
    /// None for the project that this process runs in.
    project: Option<String>,
    /// None for the account that this process runs as.
    account: Option<Account>,
}

impl Stackdriver {
    /// # Errors
    /// If the secret lacks the project, or its key is not one of a service account.
    pub fn new(_: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let Some(data) = secret else { return Ok(Self { project: None, account: None }) };
        let project = required(PROVIDER, secret, "project", "does not contain a project id")?;
        if !is_project(&project) {
            return Err(problem(PROVIDER, "contain a project that is not the id of one"));
        }
        let key = credential(PROVIDER, data, ACCOUNT_KEY)?.filter(|key| !key.is_empty());
        let account = key.map(|key| Account::parse(&key)).transpose();
        let account = account.map_err(|why| {
            problem(PROVIDER, &format!("contain a {ACCOUNT_KEY} that cannot be used: {why}"))
        })?;
        Ok(Self { project: Some(project), account })
    }

    /// How many calls are made before the one for the query.
    fn before(&self) -> usize {
        usize::from(self.project.is_none()) + 1
    }

    /// One of those calls: the project, if it is not known, then the token.
    fn call_before(&self, step: usize, asked: &Asked) -> Result<Call, String> {
        match &self.account {
            _ if step + 1 < self.before() => Ok(metadata("project/project-id")),
            Some(account) => account.token(asked.now),
            None => Ok(metadata("instance/service-accounts/default/token")),
        }
    }

    /// Leads a conversation whose last call asks for `query`, and gives its answer to `read`.
    fn talk<T>(
        &self,
        asked: &Asked,
        heard: &[Heard],
        query: &str,
        read: impl FnOnce(&What) -> Result<T, String>,
    ) -> Next<Result<T, String>> {
        let first = self.before();
        if heard.len() < first {
            // A step that went wrong is found before the next is made.
            let wrong = heard.last().and_then(|heard| accepted(PROVIDER, &heard.what).err());
            return match wrong.map_or_else(|| self.call_before(heard.len(), asked), Err) {
                Ok(call) => Next::send(call),
                Err(why) => Next::Done(Err(why)),
            };
        }
        let call = || {
            let bodies: Result<Vec<&[u8]>, String> =
                heard[..first].iter().map(|heard| accepted(PROVIDER, &heard.what)).collect();
            let bodies = bodies?;
            let project = match &self.project {
                Some(project) => project.clone(),
                None => own_project(bodies[0])?,
            };
            let token = token(bodies[first - 1])?;
            let url = format!("{SERVICE}/v3/projects/{project}/timeSeries:query");
            let body = Body::json(&json!({"query": query}));
            Ok(Call { auth: Auth::Bearer(token), ..Call::post(url, body) })
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
        match self.talk(asked, heard, &query, read) {
            Next::Send(call) => Next::Send(call),
            Next::Wait(pause) => Next::Wait(pause),
            Next::Done(outcome) => Next::Done(outcome.unwrap_or_else(Measured::Failed)),
        }
    }

    fn probe(&self, asked: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        self.talk(asked, heard, "", |what| match what {
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

/// The token in an answer that is never shown.
fn token(body: &[u8]) -> Result<Secret, String> {
    #[derive(Deserialize)]
    struct Issued {
        access_token: Secret,
    }
    let issued: Result<Issued, _> = serde_json::from_slice(body);
    issued
        .map(|issued| issued.access_token)
        .map_err(|_| format!("{PROVIDER}: the answer to the request for a token holds none"))
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
