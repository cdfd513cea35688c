//! Signatures for AWS, and whose they are if a call does not say so: the identity of this process, looked for in the
//! order of AWS's own libraries.
//!
//! ```text
//! keys in the environment ─▶ role of the service account (IRSA) ─▶ EKS Pod Identity, ECS ─▶ role of the machine
//! ```
//!
//! Answers of the services that hand out keys are never shown: they are keys.

use std::io;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::{self, Method, Oversize, Request};
use crate::model::call::{AwsIdentity, AwsKeys, Secret};

/// The headers that sign `request`, which has to be sent as it is.
///
/// # Errors
/// If its address or headers cannot be signed.
pub(super) fn signature(
    request: &Request,
    identity: &AwsIdentity,
    keys: &AwsKeys,
) -> Result<Vec<(String, String)>, String> {
    let token = keys.session_token.as_ref().map(|token| token.reveal().to_owned());
    let secret = keys.secret_access_key.reveal();
    let credentials = Credentials::new(&keys.access_key_id, secret, token, None, "vexil").into();
    let params = v4::SigningParams::builder()
        .identity(&credentials)
        .region(&identity.region)
        .name(&identity.service)
        .time(SystemTime::from(identity.at))
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| format!("the call cannot be signed: {error}"))?
        .into();
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let body = SignableBody::Bytes(&request.body);
    let signable = SignableRequest::new(request.method.as_str(), request.url.as_str(), headers, body);
    let signed = signable.and_then(|signable| sign(signable, &params));
    let (instructions, _) =
        signed.map_err(|error| format!("the call cannot be signed: {error}"))?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The keys of this process, fetched when they are needed and kept while they hold.
pub(super) struct Keyring {
    environment: Environment,
    held: Mutex<Option<Held>>,
}

/// Variables and files, which say where keys come from.
pub(super) struct Environment {
    pub variable: Variable,
    pub file: File,
}

type Variable = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;
type File = Box<dyn Fn(&str) -> io::Result<String> + Send + Sync>;

struct Held {
    keys: AwsKeys,
    /// None if they never expire.
    until: Option<DateTime<Utc>>,
}

impl Environment {
    /// That of this process.
    pub fn own() -> Self {
        Self {
            variable: Box::new(|name| std::env::var(name).ok()),
            file: Box::new(|path| std::fs::read_to_string(path)),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn read(&self, path: &str) -> Result<String, String> {
        (self.file)(path).map(|text| text.trim().to_owned()).map_err(|error| format!("{path}: {error}"))
    }
}

impl Keyring {
    /// An empty one.
    pub fn new(environment: Environment) -> Self {
        Self { environment, held: Mutex::new(None) }
    }

    /// Keys that hold for a while from `at` on. `region` is where roles are taken on.
    ///
    /// # Errors
    /// If there are none to be had; the text says where they were looked for.
    pub async fn keys(
        &self,
        http: &http::Client,
        region: &str,
        at: DateTime<Utc>,
    ) -> Result<AwsKeys, String> {
        // Whoever comes while keys are being fetched waits for them, and does not fetch them again.
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.until.is_none_or(|until| until - MARGIN > at)) {
            return Ok(held.keys.clone());
        }
        let fetched =
            self.fetch(http, region).await.map_err(|why| format!("no credentials for AWS: {why}"))?;
        let keys = fetched.keys.clone();
        *held = Some(fetched);
        Ok(keys)
    }

    async fn fetch(&self, http: &http::Client, region: &str) -> Result<Held, String> {
        let environment = &self.environment;
        let variable = |name| environment.get(name);
        if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            let session_token = variable("AWS_SESSION_TOKEN").map(Secret::from);
            let keys = AwsKeys { access_key_id: id, secret_access_key: secret.into(), session_token };
            return Ok(Held { keys, until: None });
        }
        if let (Some(file), Some(role)) = (variable("AWS_WEB_IDENTITY_TOKEN_FILE"), variable("AWS_ROLE_ARN"))
        {
            let token = environment.read(&file)?;
            let session = variable("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "vexil".to_owned());
            return taken_on(http, region, role, session, token).await;
        }
        let container = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").or_else(|| {
            variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
                .map(|path| format!("http://169.254.170.2{path}"))
        });
        if let Some(url) = container {
            let token = match variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
                Some(file) => Some(environment.read(&file)?),
                None => variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            };
            let headers = token.map(|token| ("Authorization".to_owned(), token));
            let request = Request { headers: headers.into_iter().collect(), ..Request::get(url) };
            return issued(&said(http, request).await?);
        }
        if variable("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err("the environment names no keys, no role and no place to get them from".to_owned());
        }
        of_the_machine(http).await.map_err(|why| {
            format!(
                "the environment names no keys, no role and no place to get them from, and the machine: {why}"
            )
        })
    }
}

/// Takes on a role with the token of the service account.
async fn taken_on(
    http: &http::Client,
    region: &str,
    role: String,
    session: String,
    token: String,
) -> Result<Held, String> {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let field = |name: &str, value: String| (name.to_owned(), value);
    let fields = [
        field("Action", "AssumeRoleWithWebIdentity".to_owned()),
        field("Version", "2011-06-15".to_owned()),
        field("RoleArn", role.clone()),
        field("RoleSessionName", session),
        field("WebIdentityToken", token),
    ];
    let mut request = Request::form(format!("https://sts.{region}.{domain}/"), &fields);
    request.headers.push(("Accept".to_owned(), "application/json".to_owned()));
    let body = said(http, request).await.map_err(|why| format!("role {role} cannot be taken on: {why}"))?;
    let answer: Value = serde_json::from_slice(&body).map_err(|_| format!("role {role}: {UNREADABLE}"))?;
    let place = "/AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials";
    issued(answer.pointer(place).unwrap_or(&Value::Null).to_string().as_bytes())
}

/// The role of the machine that we run on, from its metadata service.
async fn of_the_machine(http: &http::Client) -> Result<Held, String> {
    let lifetime = ("X-aws-ec2-metadata-token-ttl-seconds".to_owned(), "300".to_owned());
    let request =
        Request { headers: vec![lifetime], ..Request::new(Method::PUT, format!("{MACHINE}/api/token")) };
    let token = text(&said(http, request).await?)?;
    let header = ("X-aws-ec2-metadata-token".to_owned(), token);
    let roles = format!("{MACHINE}/meta-data/iam/security-credentials/");
    let get = |url: &str| Request { headers: vec![header.clone()], ..Request::get(url) };
    let role = text(&said(http, get(&roles)).await?)?;
    let role = role.lines().next().unwrap_or_default();
    if !role.chars().all(|c| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c)) || role.is_empty() {
        return Err("it has no role".to_owned());
    }
    issued(&said(http, get(&format!("{roles}{role}"))).await?)
}

/// What a service says that hands out keys.
async fn said(http: &http::Client, request: Request) -> Result<Vec<u8>, String> {
    let (method, shown) = (request.method.clone(), request.shown_url());
    let request = Request {
        timeout: Duration::from_secs(5),
        max_bytes: 64 * 1024,
        oversize: Oversize::Refuse,
        own_address: true,
        ..request
    };
    let answer = http.send(request).await.map_err(|error| error.to_string())?;
    match answer.status {
        200 => Ok(answer.body.into()),
        status => Err(format!("{method} {shown}: status {status}{}", code(&answer.body))),
    }
}

/// The code of an error, which is a word, from what may be anything.
fn code(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let places = ["/Error/Code", "/Code", "/code"];
    let word = places.iter().find_map(|place| json.pointer(place).and_then(Value::as_str));
    let word = word.filter(|word| word.len() < 80 && word.chars().all(|c| c.is_ascii_alphanumeric()));
    word.map_or(String::new(), |word| format!(" {word}"))
}

fn text(body: &[u8]) -> Result<String, String> {
    str::from_utf8(body).map(|text| text.trim().to_owned()).map_err(|_| UNREADABLE.to_owned())
}

/// Keys as all these services write them.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Issued {
    access_key_id: String,
    secret_access_key: Secret,
    #[serde(alias = "SessionToken")]
    token: Option<Secret>,
    /// Seconds since 1970, or a date.
    #[serde(default)]
    expiration: Value,
}

fn issued(body: &[u8]) -> Result<Held, String> {
    let issued: Issued = serde_json::from_slice(body).map_err(|_| UNREADABLE.to_owned())?;
    let until = match &issued.expiration {
        Value::Number(seconds) => {
            seconds.as_f64().and_then(|seconds| DateTime::from_timestamp(seconds as i64, 0))
        }
        Value::String(date) => DateTime::parse_from_rfc3339(date).ok().map(|date| date.to_utc()),
        _ => None,
    };
    // Keys of which nobody knows how long they hold are fetched again for the next call.
    Ok(Held {
        keys: AwsKeys {
            access_key_id: issued.access_key_id,
            secret_access_key: issued.secret_access_key,
            session_token: issued.token,
        },
        until: Some(until.unwrap_or(DateTime::UNIX_EPOCH)),
    })
}

const MACHINE: &str = "http://169.254.169.254/latest";
const UNREADABLE: &str = "the answer holds no keys";
/// How long before their end keys are replaced.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

#[cfg(test)]
mod tests;
