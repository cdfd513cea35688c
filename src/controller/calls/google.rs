//! Tokens of Google's: those of service accounts whose keys we were given, and those of this process, which Google's own
//! library looks for in its default order.
//!
//! ```text
//! a key that was given ─▶ a statement that it signs, which is the token
//! none                 ─▶ GOOGLE_APPLICATION_CREDENTIALS ─▶ gcloud's file ─▶ metadata server (workload identity)
//! ```
//!
//! A key that was given leads to no call: its statement needs no exchange, so that no file of a stranger can name an
//! address that is asked.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use google_cloud_auth::credentials::service_account::{self, AccessSpecifier};
use google_cloud_auth::credentials::{AccessTokenCredentials, Builder};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::http::install_tls_provider;
use crate::model::call::Secret;

/// The identities that tokens were asked for. Each renews its token by itself.
#[derive(Default)]
pub(super) struct Tokens {
    /// By the digest of the key; the one that was used last is the last.
    held: Mutex<Vec<(Option<Fingerprint>, AccessTokenCredentials)>>,
}

type Fingerprint = [u8; 32];

impl Tokens {
    /// A token that may read metrics, for the account of `key` or that of this process.
    ///
    /// # Errors
    /// If there is none to be had within `longest`; the text says why.
    pub async fn token(&self, key: Option<&Secret>, longest: Duration) -> Result<Secret, String> {
        let fingerprint = key.map(|key| Fingerprint::from(Sha256::digest(key.reveal())));
        let identity = self.identity(fingerprint, key).await?;
        let why = match timeout(longest, identity.access_token()).await {
            Ok(Ok(token)) => return Ok(token.token.into()),
            Ok(Err(error)) => reason(&error),
            Err(_) => format!("there was none within {longest:?}"),
        };
        // What failed for good would go on to fail, though the cause may be mended.
        self.held.lock().await.retain(|(held, _)| *held != fingerprint);
        Err(format!("no credentials for Google: {why}"))
    }

    async fn identity(
        &self,
        fingerprint: Option<Fingerprint>,
        key: Option<&Secret>,
    ) -> Result<AccessTokenCredentials, String> {
        let mut held = self.held.lock().await;
        let found = held.iter().position(|(held, _)| *held == fingerprint);
        let identity = match found {
            Some(place) => held.remove(place).1,
            None => built(key)?,
        };
        if held.len() >= MOST {
            held.remove(0);
        }
        held.push((fingerprint, identity.clone()));
        Ok(identity)
    }
}

fn built(key: Option<&Secret>) -> Result<AccessTokenCredentials, String> {
    install_tls_provider();
    let Some(key) = key else {
        let own = Builder::default().with_scopes([SCOPE]).build_access_token_credentials();
        return own.map_err(|error| format!("no credentials for Google: {}", reason(&error)));
    };
    // Neither error is shown: it may quote the key.
    let json = serde_json::from_str(key.reveal());
    let account = json.map(|json| {
        let scopes = AccessSpecifier::from_scopes([SCOPE]);
        service_account::Builder::new(json).with_access_specifier(scopes).build_access_token_credentials()
    });
    match account {
        Ok(Ok(account)) => Ok(account),
        _ => Err("no credentials for Google: the file is not that of a service account's key".to_owned()),
    }
}

/// Where there is a status it is all that is told of an answer, which may hold a token; else the innermost cause tells
/// of the network or of a file.
fn reason(error: &(dyn Error + 'static)) -> String {
    let causes = || successors(Some(error), |&error| error.source());
    let status = causes().find_map(|error| {
        let answered =
            error.downcast_ref::<google_cloud_gax::error::Error>().and_then(|error| error.http_status_code());
        answered.or_else(|| Some(error.downcast_ref::<reqwest::Error>()?.status()?.as_u16()))
    });
    match status {
        Some(status) => format!("who hands out tokens answers with status {status}"),
        None => causes().last().map_or_else(String::new, ToString::to_string),
    }
}

/// Identities that are kept at most; each that is not used for long makes room for another.
const MOST: usize = 64;
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.read";

#[cfg(test)]
mod tests;
