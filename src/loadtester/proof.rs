//! How a caller proves who it is: by a token of a service account, which the cluster reviews, or by a signature, as the
//! controller's hooks have it (`signature` of a webhook).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::access::Caller;
use super::payload::shortened;
use crate::model::signature::{SIGNATURE, TIMESTAMP, is_signed};

/// The proofs that are accepted. If there are none, nobody is asked for one.
#[derive(Default)]
pub struct Proofs {
    keys: Option<PathBuf>,
    tokens: Option<Tokens>,
}

/// Why a caller is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// The proof is missing or wrong. The text is for the caller.
    #[error("{0}")]
    Refused(String),
    /// It cannot be found out at the moment. The text is for the log.
    #[error("{0}")]
    Unknown(String),
}

impl Proofs {
    /// Signatures under the keys in this folder. A file is the key of the namespace that it is named after, and `_all` that of
    /// all; they are read each time, so that a Secret can be changed.
    pub fn keys(self, folder: PathBuf) -> Self {
        Self { keys: Some(folder), ..self }
    }

    /// Tokens that this cluster knows. `trusted` are accounts (`namespace/name`) and users that may speak for any namespace;
    /// other accounts speak for their own. `audience` is whom a token has to be meant for; the API server if it is empty.
    pub fn tokens(self, client: kube::Client, audience: &str, trusted: BTreeSet<String>) -> Self {
        let audiences = (!audience.is_empty()).then(|| vec![audience.to_owned()]);
        let seen = Mutex::default();
        let tokens =
            Tokens { reviews: Api::all(client), audiences, trusted, seen, asking: Semaphore::new(16) };
        Self { tokens: Some(tokens), ..self }
    }

    /// Who sends `body` for `namespace` at `now`.
    ///
    /// # Errors
    /// If a proof is needed and there is none that can be believed.
    pub async fn caller(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        namespace: &str,
        now: DateTime<Utc>,
    ) -> Result<Caller, Doubt> {
        if self.keys.is_none() && self.tokens.is_none() {
            return Ok(Caller::Anybody);
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(AUTHORIZATION.as_str())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        match (&self.keys, text(SIGNATURE), &self.tokens, bearer) {
            (Some(folder), Some(signature), ..) => {
                let time = text(TIMESTAMP).unwrap_or_default();
                is_recent(time, now)?;
                for (file, speaks_for) in [(namespace, Some(namespace.to_owned())), ("_all", None)] {
                    // A key that is not there signs nothing, and neither does an empty one.
                    let key = tokio::fs::read(folder.join(file)).await.unwrap_or_default();
                    if !key.is_empty() && is_signed(&key, time, body, signature) {
                        return Ok(Caller::Known { name: format!("key {file}"), namespace: speaks_for });
                    }
                }
                Err(Doubt::Refused(format!("the signature is not that of a key for namespace {namespace}")))
            }
            (_, _, Some(tokens), Some(token)) => tokens.caller(token).await,
            (keys, _, tokens, _) => Err(Doubt::Refused(format!(
                "this load tester wants to know who calls: {}",
                match (keys, tokens) {
                    (Some(_), Some(_)) =>
                        "send a signature, or the token of a service account as a bearer token",
                    (Some(_), None) => "send a signature (signature of a webhook, X-Vexil-Signature)",
                    _ =>
                        "send the token of a service account (Authorization: Bearer …, headersFrom of a webhook)",
                }
            ))),
        }
    }
}

fn is_recent(time: &str, now: DateTime<Utc>) -> Result<(), Doubt> {
    let age = time.parse::<i64>().ok().and_then(|time| now.timestamp().checked_sub(time));
    match age {
        Some(age) if age.unsigned_abs() <= RECENT.as_secs() => Ok(()),
        Some(age) => Err(Doubt::Refused(format!(
            "the signature is {age} seconds old: at most {} are allowed, in both directions",
            RECENT.as_secs()
        ))),
        None => Err(Doubt::Refused(format!("{TIMESTAMP} is not a number of seconds"))),
    }
}

struct Tokens {
    reviews: Api<TokenReview>,
    audiences: Option<Vec<String>>,
    trusted: BTreeSet<String>,
    /// What the cluster said of tokens, by their hashes, and until when that holds.
    seen: Mutex<Reviews>,
    asking: Semaphore,
}

type Reviews = BTreeMap<[u8; 32], (Instant, Result<String, String>)>;

impl Tokens {
    async fn caller(&self, token: &str) -> Result<Caller, Doubt> {
        let user = self.user(token).await?;
        let account = user.strip_prefix("system:serviceaccount:").and_then(|account| account.split_once(':'));
        let named = account.map_or_else(|| user.clone(), |(namespace, name)| format!("{namespace}/{name}"));
        if self.trusted.contains(&named) {
            return Ok(Caller::Known { name: named, namespace: None });
        }
        match account {
            Some((namespace, _)) => {
                Ok(Caller::Known { name: named.clone(), namespace: Some(namespace.to_owned()) })
            }
            None => Err(Doubt::Refused(format!(
                "{} is neither a service account nor one of -trusted-accounts",
                shortened(&named)
            ))),
        }
    }

    async fn user(&self, token: &str) -> Result<String, Doubt> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.seen().get(&hash).filter(|(until, _)| *until > Instant::now()).cloned();
        if let Some((_, answer)) = known {
            return answer.map_err(Doubt::Refused);
        }
        let _place = self.asking.acquire().await.map_err(|error| Doubt::Unknown(error.to_string()))?;
        let answer = self.review(token).await?;
        let holds = if answer.is_ok() { Duration::from_secs(60) } else { Duration::from_secs(10) };
        let mut seen = self.seen();
        if seen.len() >= MOST_TOKENS {
            seen.clear();
        }
        seen.insert(hash, (Instant::now() + holds, answer.clone()));
        answer.map_err(Doubt::Refused)
    }

    async fn review(&self, token: &str) -> Result<Result<String, String>, Doubt> {
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: self.audiences.clone() };
        let asked = TokenReview { spec, ..TokenReview::default() };
        let answer = timeout(PATIENCE, self.reviews.create(&PostParams::default(), &asked)).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer.status.unwrap_or_default(),
            Ok(Err(error)) => return Err(Doubt::Unknown(format!("the token cannot be reviewed: {error}"))),
            Err(_) => {
                return Err(Doubt::Unknown("the token cannot be reviewed: the API server is silent".into()));
            }
        };
        // A server that does not know audiences would take any token for a good one.
        let meant = self
            .audiences
            .iter()
            .flatten()
            .all(|wanted| answer.audiences.as_ref().is_some_and(|audiences| audiences.contains(wanted)));
        let user = answer.user.and_then(|user| user.username).filter(|user| !user.is_empty());
        Ok(match user {
            Some(user) if answer.authenticated == Some(true) && meant => Ok(user),
            _ => Err("the token is not one that the cluster knows, or is meant for somebody else".to_owned()),
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Reviews> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How old a signature may be. A repeated attempt of a hook carries the time of the first.
const RECENT: Duration = Duration::from_secs(300);
const MOST_TOKENS: usize = 1000;
/// How long a review may take.
const PATIENCE: Duration = Duration::from_secs(5);
