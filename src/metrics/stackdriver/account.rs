//! A service account of Google: its key signs a statement, and whoever shows that gets a token for an hour.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;
use serde::Deserialize;
use serde_json::json;

use crate::model::call::{Body, Call};

/// A service account and its key.
#[derive(Clone)]
pub(super) struct Account {
    email: String,
    key_id: String,
    token_url: String,
    key: Arc<dyn SigningKey>,
}

/// The file that Google hands out for a key.
#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default = "token_url")]
    token_uri: String,
}

impl Account {
    /// Reads the file of a key.
    ///
    /// # Errors
    /// If it is none. The text holds nothing of the file.
    pub fn parse(file: &str) -> Result<Self, String> {
        let file: File =
            serde_json::from_str(file).map_err(|_| "it is not the JSON file of a key".to_owned())?;
        if file.kind != "service_account" || file.client_email.is_empty() {
            return Err("it is not the file of a service account's key".to_owned());
        }
        if !file.token_uri.starts_with("https://") {
            return Err("its token_uri is not an https URL".to_owned());
        }
        let unusable = || "its private_key is not an RSA key in PEM".to_owned();
        let der = PrivateKeyDer::from_pem_slice(file.private_key.as_bytes()).map_err(|_| unusable())?;
        let key = any_supported_type(&der).map_err(|_| unusable())?;
        if key.choose_scheme(&[SCHEME]).is_none() {
            return Err(unusable());
        }
        let File { client_email: email, private_key_id: key_id, token_uri: token_url, .. } = file;
        Ok(Self { email, key_id, token_url, key })
    }

    /// The call for a token that may read metrics. RS256 is the same for the same statement.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub fn token(&self, now: DateTime<Utc>) -> Result<Call, String> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let issued = now.timestamp();
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_url,
            "iat": issued,
            "exp": issued + 3600,
        });
        let statement =
            format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let signature = self
            .key
            .choose_scheme(&[SCHEME])
            .and_then(|signer| signer.sign(statement.as_bytes()).ok())
            .ok_or("stackdriver: the key of the service account cannot sign")?;
        let field = |name: &str, value: String| (name.to_owned(), value);
        let fields = vec![
            field("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
            field("assertion", format!("{statement}.{}", BASE64.encode(signature))),
        ];
        Ok(Call::post(&self.token_url, Body::Form(fields)))
    }
}

/// Shows whose it is, never the key.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("email", &self.email).finish_non_exhaustive()
    }
}

fn token_url() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.read";
const SCHEME: SignatureScheme = SignatureScheme::RSA_PKCS1_SHA256;
