//! A call to somebody's API and what comes back, as values. Metrics, hooks and alerts all make this one, and one place
//! in the controller sends it.
//!
//! ```text
//! next(asked, heard) ──▶ Send(Call) ~~network or cluster~~▶ Heard ──┐
//!        ▲                                                          │
//!        └──────────────────────────────────────────────────────────┘ … until Done
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// A call that is to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The method of the call.
    pub method: Method,
    /// Where the call goes to.
    pub to: Address,
    /// The address is as good as a password: people see its host and nothing else.
    pub secret_address: bool,
    /// Parameters that are added to those of the address.
    pub query: Vec<(String, String)>,
    /// A name that appears twice is sent twice.
    pub headers: Vec<(String, Secret)>,
    /// What the call sends.
    pub body: Body,
    /// The credentials that the call sends.
    pub auth: Auth,
    /// Accept any certificate.
    pub insecure: bool,
    /// Whom to trust, as certificates in PEM, in place of the roots of the machine.
    pub ca: Option<String>,
    /// The certificate of the caller and its key, in PEM, for servers that ask for one.
    pub identity: Option<Secret>,
    /// Replaces the proxy of the environment.
    pub proxy: Option<Secret>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many attempts may follow the first, where another can help.
    pub retries: u32,
    /// How many bytes of an answer are read.
    pub max_bytes: usize,
    /// Whether the beginning of a longer answer is enough. If not, a longer answer counts as none.
    pub cut: bool,
    /// Whether the address is one that no user has chosen, as that of the machine's metadata service.
    pub own_address: bool,
    /// Whether it makes something at the other side. A question that makes nothing is sent once for all who put it at the
    /// same moment, whatever its method.
    pub creates: bool,
}

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`, which sends no body.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
}

/// Where a call goes to.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// An absolute URL. A user and password in it count if there is neither `auth` nor an `Authorization` header.
    Url(String),
    /// A path of the cluster's own API, called with the identity of the controller.
    Cluster(String),
}

/// What a call sends.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Body {
    /// The call has no body.
    #[default]
    None,
    /// JSON, written out.
    Json(Vec<u8>),
    /// Fields as `application/x-www-form-urlencoded`.
    Form(Vec<(String, String)>),
    /// Bytes of another type.
    Raw {
        /// The value of `Content-Type`.
        content_type: String,
        /// The body.
        bytes: Vec<u8>,
    },
    /// A mail, for an address that begins with `smtp:` or `smtps:`.
    Mail(Box<Mail>),
}

/// A mail and its envelope.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address of the sender.
    pub from: String,
    /// The addresses that it is delivered to; at least one.
    pub to: Vec<String>,
    /// Headers and text, as they go over the wire (RFC 5322).
    pub message: Vec<u8>,
}

/// How a call says who makes it. Wins over an `Authorization` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// The call adds no credentials of its own.
    #[default]
    None,
    /// The call sends a bearer token.
    Bearer(Secret),
    /// The call sends basic authentication.
    Basic {
        /// The user name, which is no secret.
        username: String,
        /// The password.
        password: Secret,
    },
    /// The call is signed for AWS (Signature Version 4) by whoever sends it.
    Aws(Box<AwsIdentity>),
    /// The call shows a token of Google's, which whoever sends it gets.
    Google(Box<GoogleIdentity>),
}

/// Whose token of Google's a call shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoogleIdentity {
    /// The JSON file of a service account's key; none for the identity that the process runs with.
    pub key: Option<Secret>,
}

/// What a signature for AWS is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsIdentity {
    /// The region that the call goes to.
    pub region: String,
    /// The service, by the name that signatures have for it.
    pub service: String,
    /// Whose call it is; none for the identity that the process runs with.
    pub keys: Option<AwsKeys>,
    /// When it is signed. A service takes a signature for some minutes.
    pub at: DateTime<Utc>,
}

/// Credentials of AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKeys {
    /// The name of the key, which is no secret.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: Secret,
    /// What comes with a key that holds for some hours only.
    pub session_token: Option<Secret>,
}

/// A text that is never printed, logged or written out: `Debug` and `Serialize` show `xxxxx`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

/// What came of a step of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// How much time had passed since the conversation began.
    pub after: Duration,
    /// What happened in this step.
    pub what: What,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The call was answered, with whatever status.
    Answer(Answer),
    /// The call got no answer, or none that may be read to its end.
    Silence(Silence),
    /// The pause that was asked for is over.
    Waited,
}

/// The answer to a call.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u16,
    /// The body, as much of it as the call reads.
    pub body: Vec<u8>,
    /// How long an overloaded server wants to be left alone, as its `Retry-After` says.
    pub retry_after: Option<Duration>,
    /// How often the call was made.
    pub attempts: u32,
}

/// Why a call got no answer; the text is method, address and cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Method and address, as they may be shown.
    pub call: String,
    /// What went wrong, without method and address.
    pub cause: String,
    /// How often the call was made; 0 if it could not even be tried.
    pub attempts: u32,
    /// The call is wrong in itself: made again it fails again.
    pub hopeless: bool,
}

/// The next step of a conversation that ends with a `T`.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<T> {
    /// Make this call and say what came of it.
    Send(Box<Call>),
    /// Wait this long.
    Wait(Duration),
    /// The conversation is over, and this is its result.
    Done(T),
}

impl Call {
    /// A call of ten seconds at most that reads up to a megabyte and is made once.
    pub fn new(method: Method, to: Address) -> Self {
        Self {
            method,
            to,
            secret_address: false,
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::None,
            auth: Auth::None,
            insecure: false,
            ca: None,
            identity: None,
            proxy: None,
            timeout: Duration::from_secs(10),
            retries: 0,
            max_bytes: 1024 * 1024,
            cut: false,
            own_address: false,
            creates: false,
        }
    }

    /// A GET of `url`, with the limits of [`Call::new`].
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, Address::Url(url.into()))
    }

    /// A POST of `body` to `url`, with the limits of [`Call::new`].
    pub fn post(url: impl Into<String>, body: Body) -> Self {
        Self { body, ..Self::new(Method::Post, Address::Url(url.into())) }
    }

    /// The URL, or the path of the cluster's API. May hold secrets.
    pub fn url(&self) -> &str {
        match &self.to {
            Address::Url(url) => url,
            Address::Cluster(path) => path,
        }
    }

    /// The host of the URL.
    pub fn host(&self) -> String {
        Url::parse(self.url()).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The values in this call that nobody may see.
    fn secrets(&self) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut add = |text: &str, shortest: usize| {
            if text.chars().count() >= shortest {
                found.insert(text.to_owned());
            }
        };
        for (_, value) in &self.headers {
            add(value.reveal(), SHORTEST);
            // `Bearer …` and the like: the words after the first.
            value.reveal().split_whitespace().skip(1).for_each(|word| add(word, SHORTEST));
        }
        match &self.auth {
            Auth::None => {}
            Auth::Bearer(token) => add(token.reveal(), SHORTEST),
            Auth::Basic { username, password } => {
                let password = password.reveal();
                add(password, SHORTEST);
                // As HTTP sends it, and as the two mechanisms of SMTP do.
                for sent in [
                    format!("{username}:{password}"),
                    format!("\0{username}\0{password}"),
                    password.to_owned(),
                ] {
                    add(&BASE64.encode(sent), SHORTEST);
                }
            }
            Auth::Aws(identity) => {
                let keys = identity.keys.iter();
                let secrets =
                    keys.flat_map(|keys| [Some(&keys.secret_access_key), keys.session_token.as_ref()]);
                secrets.flatten().for_each(|secret| add(secret.reveal(), SHORTEST));
            }
            Auth::Google(identity) => {
                identity.key.iter().for_each(|key| add(key.reveal(), SHORTEST));
            }
        }
        if let Some(proxy) = self.proxy.as_ref().and_then(|proxy| Url::parse(proxy.reveal()).ok()) {
            add(proxy.password().unwrap_or_default(), SHORTEST);
        }
        let Ok(url) = Url::parse(self.url()) else { return found };
        add(url.password().unwrap_or_default(), SHORTEST);
        if self.secret_address {
            let values = url.query_pairs().map(|(_, value)| value.into_owned());
            let words = url.path_segments().into_iter().flatten().map(str::to_owned).chain(values);
            words.for_each(|word| add(&word, SHORTEST_WORD));
            add(url.path(), SHORTEST_WORD);
            add(url.query().unwrap_or_default(), SHORTEST_WORD);
        }
        found
    }

    /// `text` without the credentials of this call: servers and proxies like to repeat what they were asked.
    pub fn redact(&self, text: &str) -> String {
        redact(std::slice::from_ref(self), text)
    }
}

/// `text` without the credentials of `calls`. What is too short to be a secret stays: it would turn up everywhere.
pub fn redact(calls: &[Call], text: &str) -> String {
    let mut secrets: Vec<String> = calls.iter().flat_map(Call::secrets).collect();
    // The longest first, so that no part of it is left.
    secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
}

impl Body {
    /// `value` as JSON. Only what always becomes JSON may be given: structures of texts, numbers, flags and lists.
    pub fn json(value: &impl Serialize) -> Self {
        Self::Json(serde_json::to_vec(value).expect("structures with names as keys always become JSON"))
    }

    /// The value of `Content-Type`.
    pub fn content_type(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Json(_) => Some("application/json"),
            Self::Form(_) => Some("application/x-www-form-urlencoded"),
            Self::Raw { content_type, .. } => Some(content_type),
            Self::Mail(_) => Some("message/rfc822"),
        }
    }

    /// What goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::None => Vec::new(),
            Self::Json(bytes) | Self::Raw { bytes, .. } => bytes.clone(),
            Self::Mail(mail) => mail.message.clone(),
            Self::Form(fields) => url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish()
                .into_bytes(),
        }
    }
}

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl Answer {
    /// An answer that came at the first attempt.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), retry_after: None, attempts: 1 }
    }
}

impl<T> Next<T> {
    /// The step that makes `call`.
    pub fn send(call: Call) -> Self {
        Self::Send(Box::new(call))
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.cause)
    }
}

/// Shows the size of the body only: some services answer with a token.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Shows names, never values: parameters, headers and bodies may hold secrets.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.query.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("to", &shown(self))
            .field("query", &names)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .field("auth", &self.auth)
            .field("proxy", &self.proxy)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {}", self.bytes().len(), self.content_type().unwrap_or("nothing"))
    }
}

/// The address without password and parameters; of a secret one the host.
fn shown(call: &Call) -> String {
    if let Address::Cluster(path) = &call.to {
        return path.clone();
    }
    if call.secret_address {
        return call.host();
    }
    let Ok(mut url) = Url::parse(call.url()) else { return "not a URL".to_owned() };
    if url.password().is_some() {
        // Fails only for URLs that cannot have a password.
        let _ = url.set_password(Some(HIDDEN));
    }
    url.set_query(None);
    url.into()
}

const HIDDEN: &str = "xxxxx";
/// Characters from which on a credential is looked for in texts.
const SHORTEST: usize = 4;
/// Characters from which on a part of a secret address is taken for a secret.
const SHORTEST_WORD: usize = 6;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn hook(url: &str) -> Call {
        Call { secret_address: true, auth: Auth::Bearer("xoxb-token".into()), ..Call::post(url, Body::None) }
    }

    #[rstest]
    #[case::path("no /services/T0/B0/s3cr3ts here", "no xxxxx here")]
    #[case::part_of_it("no s3cr3ts here", "no xxxxx here")]
    #[case::query("key=hunter22 is wrong", "xxxxx is wrong")]
    #[case::value_of_the_query("hunter22 is wrong", "xxxxx is wrong")]
    #[case::token("xoxb-token expired", "xxxxx expired")]
    #[case::nothing("channel_not_found on T0", "channel_not_found on T0")]
    fn an_answer_that_repeats_the_address_does_not_give_it_away(#[case] text: &str, #[case] shown: &str) {
        // spec: 04/AL-23
        assert_eq!(shown, hook("https://chat.test/services/T0/B0/s3cr3ts?key=hunter22").redact(text));
    }

    #[test]
    fn an_answer_that_repeats_a_header_does_not_give_it_away() {
        let headers =
            vec![("Authorization".to_owned(), "Bearer t0ken".into()), ("X-A".to_owned(), "b".into())];
        let call = Call { headers, ..Call::get("http://gate.test/public-path") };
        assert_eq!(call.redact("no: Bearer t0ken is bad"), "no: xxxxx is bad");
        assert_eq!(call.redact("t0ken at public-path"), "xxxxx at public-path");
    }

    #[test]
    fn a_secret_call_shows_its_host_and_nothing_else() {
        // spec: 04/AL-23
        let headers = vec![("X-Key".to_owned(), Secret::new("h3ader"))];
        let proxy = Some("http://bob:pr0xy@proxy.test".into());
        let call = Call { headers, proxy, ..hook("https://bob:passwd@chat.test/s3cr3t?key=hunter2") };
        let text = format!("{call:?}");
        assert!(text.contains("chat.test") && text.contains("X-Key"), "{text}");
        for secret in ["passwd", "s3cr3t", "hunter2", "xoxb", "h3ader", "pr0xy"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(serde_json::json!("xxxxx"), serde_json::to_value(Secret::new("t0ken")).expect("JSON"));
    }
}
