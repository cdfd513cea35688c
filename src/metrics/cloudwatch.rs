//! Amazon CloudWatch: the newest value of a metric data query over the last ten intervals (spec 04 §2.5). The call is
//! signed by whoever sends it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Answer, Auth, AwsIdentity, AwsKeys, Body, Call, Heard, Next, Secret, What};

use super::shared::{
    MULTIPLE, NOT_A_QUERY, SHOWN, TIMEOUT, accepted, credential, no_data, object, one_call, problem, query,
    required, typed, window,
};
use super::{Asked, Error, Measured, Provider, SecretData};

/// CloudWatch in one region.
#[derive(Clone, Debug)]
pub(super) struct CloudWatch {
    url: String,
    region: String,
    /// Whose they are; none for the identity of this process.
    keys: Option<AwsKeys>,
}

impl CloudWatch {
    /// # Errors
    /// If there is no region, it cannot be one, or the secret has half of a pair of keys.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let region = region(spec)?.ok_or_else(|| Error::Region { problem: "not specified".to_owned() })?;
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let url = format!("https://monitoring.{region}.{domain}/");
        Ok(Self { url, region, keys: keys(PROVIDER, secret)? })
    }

    fn call(&self, body: &Value, at: DateTime<Utc>) -> Call {
        let bytes = body.to_string().into_bytes();
        let body = Body::Raw { content_type: "application/x-amz-json-1.0".to_owned(), bytes };
        let identity = AwsIdentity {
            region: self.region.clone(),
            service: "monitoring".to_owned(),
            keys: self.keys.clone(),
            at,
        };
        Call {
            headers: vec![("X-Amz-Target".to_owned(), Secret::from(TARGET))],
            auth: Auth::Aws(Box::new(identity)),
            timeout: TIMEOUT,
            retries: 2,
            ..Call::post(&self.url, body)
        }
    }

    fn ask(&self, asked: &Asked) -> Result<Call, String> {
        let unreadable = |why: String| format!("{PROVIDER}: error unmarshaling query: {why}");
        let json: Value =
            serde_json::from_str(&query(PROVIDER, asked)?).map_err(|error| unreadable(error.to_string()))?;
        let queries: Vec<DataQuery> =
            serde_json::from_value(lower_case(json)).map_err(|error| unreadable(error.to_string()))?;
        if queries.is_empty() {
            return Err(unreadable("the list is empty".to_owned()));
        }
        let (from, to) = window(asked);
        let body = json!({
            "MetricDataQueries": queries,
            "StartTime": from.timestamp(),
            "EndTime": to.timestamp(),
            "MaxDatapoints": MOST,
            "ScanBy": "TimestampDescending",
        });
        Ok(self.call(&body, asked.now))
    }
}

impl Provider for CloudWatch {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        one_call(PROVIDER, heard, || self.ask(asked), read)
    }

    fn probe(&self, asked: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        Next::Done(match heard.last().map(|heard| &heard.what) {
            None | Some(What::Waited) => {
                let nothing = json!({"MetricDataQueries": [], "StartTime": 0, "EndTime": 0});
                return Next::send(self.call(&nothing, asked.now));
            }
            // It knows us and finds fault with a request that asks for nothing.
            Some(What::Answer(answer)) if finds_fault(answer) => Ok(()),
            Some(what) => accepted(PROVIDER, what).map(|_| ()),
        })
    }
}

/// The region of AWS; none if none is given.
pub(super) fn region(spec: &MetricProvider) -> Result<Option<String>, Error> {
    let region = spec.region.as_deref().unwrap_or_default().trim();
    // It becomes a part of the host that gets the call.
    if !region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        let problem = format!("{} is not one of AWS", excerpt(format!("{region:?}").as_bytes(), 80));
        return Err(Error::Region { problem });
    }
    Ok((!region.is_empty()).then(|| region.to_owned()))
}

/// Keys of the Secret. A Secret without any is no mistake: Flagger looks at none.
pub(super) fn keys(provider: &'static str, secret: Option<&SecretData>) -> Result<Option<AwsKeys>, Error> {
    let Some(data) = secret else { return Ok(None) };
    if credential(provider, data, KEY)?.is_none() && credential(provider, data, SECRET_KEY)?.is_none() {
        return Ok(None);
    }
    let key = |key: &str| required(provider, secret, key, &format!("does not contain {key}"));
    let session_token = credential(provider, data, SESSION_TOKEN)?.filter(|token| !token.is_empty());
    let access_key_id = key(KEY)?;
    if !access_key_id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(problem(provider, &format!("contain an {KEY} that is none")));
    }
    Ok(Some(AwsKeys {
        access_key_id,
        secret_access_key: key(SECRET_KEY)?.into(),
        session_token: session_token.map(Secret::from),
    }))
}

/// Whether an answer of status 400 says that the request is wrong, and not that we are not allowed to make one.
fn finds_fault(answer: &Answer) -> bool {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let kind = json["__type"].as_str().unwrap_or_default();
    let kind = kind.rsplit('#').next().unwrap_or_default();
    answer.status == 400 && FAULTS.iter().any(|fault| kind.starts_with(fault))
}

/// A query as people write it, with keys in lower case, and as CloudWatch takes it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all(serialize = "PascalCase"))]
struct DataQuery {
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", rename(deserialize = "returndata"))]
    return_data: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", rename(deserialize = "accountid"))]
    account_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename(deserialize = "metricstat"))]
    metric_stat: Option<MetricStat>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all(serialize = "PascalCase"))]
struct MetricStat {
    metric: Option<Metric>,
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stat: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all(serialize = "PascalCase"))]
struct Metric {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename(deserialize = "metricname"))]
    metric_name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dimensions: Vec<Dimension>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all(serialize = "PascalCase"))]
struct Dimension {
    name: Option<String>,
    value: Option<String>,
}

/// The same with the keys of all objects in lower case: people write them in any.
fn lower_case(json: Value) -> Value {
    match json {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), lower_case(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(lower_case).collect()),
        other => other,
    }
}

/// The parts of an answer that count.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    metric_data_results: Option<Vec<DataResult>>,
    #[serde(default)]
    messages: Vec<Message>,
    #[serde(default, rename = "__type")]
    kind: Option<String>,
    #[serde(default, alias = "message")]
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataResult {
    #[serde(default)]
    values: Vec<Value>,
    #[serde(default)]
    status_code: Option<String>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    #[serde(default)]
    value: String,
}

fn read(body: &[u8]) -> Result<Measured, String> {
    let Answered { metric_data_results, messages, kind, message } = object(body)?;
    if let Some(kind) = kind {
        let said = message.unwrap_or(kind);
        return Err(format!("the query failed: {}", excerpt(said.as_bytes(), SHOWN)));
    }
    let results = metric_data_results.ok_or_else(|| format!("{NOT_A_QUERY}: it has no MetricDataResults"))?;
    let one = match results.as_slice() {
        [] => return Ok(without_value(&messages, body)),
        [one] => one,
        many => {
            let why = format!(
                "{MULTIPLE}: {} results, set ReturnData to false for all queries but one",
                many.len()
            );
            return Err(why);
        }
    };
    let said = || one.messages.iter().chain(&messages).next().map_or("", |message| message.value.as_str());
    if let Some(status @ ("InternalError" | "Forbidden")) = one.status_code.as_deref() {
        return Err(format!("the query failed: {status} {}", excerpt(said().as_bytes(), SHOWN)));
    }
    match one.values.iter().find(|value| !value.is_null()) {
        None => Ok(without_value(one.messages.as_slice(), body)),
        Some(value) => number(value).map(Measured::number),
    }
}

/// JSON has no NaN and no infinity: AWS writes them as texts.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::String(text) => typed_number(text),
        other => typed(other.clone()),
    }
}

fn typed_number(text: &str) -> Result<f64, String> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        other => Err(format!("a value is not a number: {}", excerpt(other.as_bytes(), 80))),
    }
}

/// There is nothing to judge; a message says why more plainly than the rest of the answer.
fn without_value(messages: &[Message], body: &[u8]) -> Measured {
    no_data(PROVIDER, messages.first().map_or(body, |message| message.value.as_bytes()))
}

const PROVIDER: &str = "cloudwatch";
const TARGET: &str = "GraniteServiceVersion20100801.GetMetricData";
const KEY: &str = "aws_access_key_id";
const SECRET_KEY: &str = "aws_secret_access_key";
const SESSION_TOKEN: &str = "aws_session_token";
/// Values that are asked for.
const MOST: u32 = 20;
/// What CloudWatch calls requests that are wrong in themselves.
const FAULTS: [&str; 6] = [
    "ValidationE",
    "InvalidParameter",
    "MissingParameter",
    "MissingRequiredParameter",
    "InvalidFormat",
    "Serialization",
];

#[cfg(test)]
mod tests;
