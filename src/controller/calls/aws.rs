//! Signatures for AWS, and whose they are if a call does not say so: the identity of this process, which AWS's own
//! library looks for in its default order.
//!
//! ```text
//! keys in the environment ─▶ profile ─▶ role of the service account (IRSA) ─▶ EKS Pod Identity, ECS ─▶ the machine
//! ```
//!
//! The library asks over our HTTP client, so that its limits hold here as well. Answers of the services that hand out
//! keys are never shown: they are keys.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, Mutex as Cell, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_credential_types::provider::error::CredentialsError;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::{self, Cause, Method, Oversize, Request};
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
#[derive(Default)]
pub(super) struct Keyring {
    held: Mutex<Option<Held>>,
}

struct Held {
    keys: AwsKeys,
    /// None if they never expire.
    until: Option<DateTime<Utc>>,
}

impl Keyring {
    /// Keys that hold for a while from `at` on. `region` is where roles are taken on.
    ///
    /// # Errors
    /// If there are none to be had; the text says why.
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
        let fetched = fetch(http, region).await.map_err(|why| format!("no credentials for AWS: {why}"))?;
        let keys = fetched.keys.clone();
        *held = Some(fetched);
        Ok(keys)
    }
}

async fn fetch(http: &http::Client, region: &str) -> Result<Held, String> {
    let wire = Wire { http: http.clone(), last: Arc::default() };
    let region = Region::new(region.to_owned());
    let config = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_behavior_version(Some(BehaviorVersion::latest()))
        .with_http_client(wire.clone());
    let chain = DefaultCredentialsChain::builder().configure(config).region(region).build().await;
    let found = chain.provide_credentials().await.map_err(|error| reason(&error, wire.last()))?;
    Ok(Held {
        keys: AwsKeys {
            access_key_id: found.access_key_id().to_owned(),
            secret_access_key: found.secret_access_key().into(),
            session_token: found.session_token().map(Secret::from),
        },
        until: found.expiry().map(DateTime::from),
    })
}

/// Why there are no keys, with the outcome of the last call. What its answer said may be keys and is left out; where
/// nobody was asked, the causes tell of files and variables of this process.
fn reason(error: &CredentialsError, last: Option<String>) -> String {
    let why = match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            "neither the environment nor a profile, a role of the service account, the container or the machine has any"
                .to_owned()
        }
        error => error.to_string(),
    };
    match (last, error) {
        (Some(last), _) => format!("{why} ({last})"),
        (None, CredentialsError::CredentialsNotLoaded(_)) => why,
        (None, error) => {
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            let text = causes.fold(why, |text, cause| format!("{text}: {cause}"));
            // The library does not name the file that it misses.
            match std::env::var("AWS_WEB_IDENTITY_TOKEN_FILE") {
                Ok(file) => format!("{text} (AWS_WEB_IDENTITY_TOKEN_FILE is {file})"),
                Err(_) => text,
            }
        }
    }
}

/// Our HTTP client, as AWS's library calls one.
#[derive(Clone)]
struct Wire {
    http: http::Client,
    /// What became of the last call.
    last: Arc<Cell<Option<String>>>,
}

impl Wire {
    fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn exchange(self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, ConnectorError> {
        let method = Method::from_bytes(request.method().as_bytes())
            .map_err(|error| ConnectorError::user(error.into()))?;
        // The client counts the bytes itself.
        let headers =
            request.headers().iter().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        let ours = Request {
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: request.body().bytes().map(<[u8]>::to_vec).unwrap_or_default().into(),
            timeout,
            max_bytes: 64 * 1024,
            oversize: Oversize::Refuse,
            own_address: true,
            ..Request::new(method, request.uri())
        };
        let shown = format!("{} {}", ours.method, ours.shown_url());
        let sent = self.http.send(ours).await;
        let last = match &sent {
            Ok(answer) => format!("{shown}: status {}{}", answer.status, code(&answer.body)),
            Err(error) => error.to_string(),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        let answer = sent.map_err(|error| match error.cause {
            Cause::Timeout(_) => ConnectorError::timeout(error.into()),
            _ => ConnectorError::io(error.into()),
        })?;
        let status =
            StatusCode::try_from(answer.status).map_err(|error| ConnectorError::user(error.into()))?;
        let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
        for (name, value) in &answer.headers {
            if let Ok(value) = value.to_str() {
                response.headers_mut().append(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(response)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpClient for Wire {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector { wire: self.clone(), timeout: settings.read_timeout() })
    }
}

#[derive(Debug)]
struct Connector {
    wire: Wire,
    timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let timeout = self.timeout.unwrap_or(LONGEST).min(LONGEST);
        HttpConnectorFuture::new(self.wire.clone().exchange(request, timeout))
    }
}

/// The code of an error, which is a word, from what may be anything.
fn code(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let places = ["/Error/Code", "/Code", "/code"];
    let in_json = places.iter().find_map(|place| json.pointer(place).and_then(Value::as_str));
    let xml = String::from_utf8_lossy(body);
    let in_xml = || Some(xml.split_once("<Code>")?.1.split_once("</Code>")?.0);
    let word = in_json.or_else(in_xml);
    let word = word.filter(|word| word.len() < 80 && word.chars().all(|c| c.is_ascii_alphanumeric()));
    word.map_or(String::new(), |word| format!(" {word}"))
}

/// How long before their end keys are replaced.
const MARGIN: TimeDelta = TimeDelta::minutes(5);
/// How long a service that hands out keys may take to answer.
const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
