//! E-mail, handed to a mail server over SMTP. Additive.
//!
//! `address` is that of the server: `smtps://host` (465), or `smtp://host` (587), which has to offer STARTTLS unless the
//! address ends in `?tls=none`. `channel` says who gets the mails, `username` from whom they come. The Secret may hold
//! `username` and `password`, and a `ca.crt` for a server of one's own. A mail has an id of its own, the same each time that
//! it is sent; all mails of a release answer to one id that is the release's.

use lettre::message::header::{ContentType, Date, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Mailboxes};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::api::hooks::Severity;
use crate::model::answer::said;
use crate::model::call::{Auth, Body, Mail, Secret};

use super::{
    ANSWER_BYTES, Call, Channel, Error, Message, Notifier, RETRIES, Refused, SHOWN, TIMEOUT, shortened,
};

/// People who get mails.
#[derive(Debug)]
pub(super) struct Email {
    url: Url,
    auth: Auth,
    ca: Option<String>,
    from: Mailbox,
    to: Mailboxes,
    threads: bool,
}

impl Email {
    pub fn new(channel: &Channel) -> Result<Self, Error> {
        let wrong = |problem: String| Error::Spec { service: "email", problem };
        let mut url = server(&channel.address)?;
        let auth = credentials(&mut url, channel).map_err(wrong)?;
        if !matches!(auth, Auth::None) && url.query() == Some(UNENCRYPTED) {
            return Err(wrong(format!(
                "a password is not sent without encryption: take ?{UNENCRYPTED} out of the address, or username and password out of the Secret"
            )));
        }
        if !channel.proxy.is_empty() {
            return Err(wrong(
                "spec.proxy is for HTTP, mail does not go through it: leave it out".to_owned(),
            ));
        }
        let from: Mailbox = channel.username.parse().map_err(|_| {
            wrong(format!(
                "spec.username {:?} is no sender: write a mail address, as in Releases <releases@example.com>",
                shortened(&channel.username, SHOWN_ADDRESS)
            ))
        })?;
        let to: Mailboxes =
            channel.channel.parse().ok().filter(|to: &Mailboxes| to.iter().next().is_some()).ok_or_else(
                || {
                    wrong(format!(
                        "spec.channel {:?} is no list of recipients: write mail addresses with commas between them",
                        shortened(&channel.channel, SHOWN_ADDRESS)
                    ))
                },
            )?;
        if to.iter().count() > MOST_RECIPIENTS {
            return Err(wrong(format!(
                "spec.channel has more than {MOST_RECIPIENTS} recipients: use a mailing list"
            )));
        }
        let ca = (!channel.ca.is_empty()).then(|| channel.ca.clone());
        if let Some(pem) = &ca
            && CertificateDer::pem_slice_iter(pem.as_bytes()).next().is_none_or(|first| first.is_err())
        {
            return Err(wrong("ca.crt in the Secret holds no certificate in PEM".to_owned()));
        }
        Ok(Self { url, auth, ca, from, to, threads: channel.threads })
    }

    /// Headers and text of the mail that says `message`.
    fn mail(&self, message: &Message) -> Vec<u8> {
        let domain = self.from.email.domain();
        let (release, id) = (release(message), message.id());
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .mailbox(lettre::message::header::To::from(self.to.clone()))
            .subject(subject(message, self.threads))
            .message_id(Some(format!("<{id}@{domain}>")))
            .header(ContentType::TEXT_PLAIN)
            // No answering machine is to answer it (RFC 3834).
            .raw_header(raw("Auto-Submitted", "auto-generated"));
        if let Some(moment) = &message.moment {
            builder = builder.raw_header(raw("Date", &moment.at.format(DATE).to_string()));
        }
        if let Some(release) = release {
            let thread = format!("<{release}@{domain}>");
            builder = builder.in_reply_to(thread.clone()).references(thread);
        }
        if message.is_error() {
            builder = builder.raw_header(raw("Importance", "high"));
        }
        let mut mail = builder
            .body(text(message))
            .expect("sender and recipients are there, which is all that can be missing");
        if message.moment.is_none() {
            // Nobody knows when it was said: the server writes its own time.
            mail.headers_mut().remove::<Date>();
        }
        mail.formatted()
    }
}

impl Notifier for Email {
    fn request(&self, message: &Message) -> Call {
        let to = self.to.iter().map(|mailbox| mailbox.email.to_string()).collect();
        let mail = Mail { from: self.from.email.to_string(), to, message: self.mail(message) };
        Call {
            secret_address: true,
            auth: self.auth.clone(),
            ca: self.ca.clone(),
            // Mail servers like to let callers wait before they greet them.
            timeout: TIMEOUT * 6,
            retries: RETRIES,
            max_bytes: ANSWER_BYTES,
            cut: true,
            ..Call::post(self.url.as_str(), Body::Mail(Box::new(mail)))
        }
    }

    fn delivered(&self, status: u16, body: &[u8]) -> Result<(), Refused> {
        let text = said(body, SHOWN);
        match status {
            // Sent again it would reach those twice who have it.
            207 => {
                let why = format!("the mail server has taken the mail for all but {text}");
                Err(Refused { why, passing: false })
            }
            200..300 => Ok(()),
            _ => {
                let why = format!("sending notification bad response {status}: the mail server says: {text}");
                Err(Refused::answered(status, why))
            }
        }
    }
}

/// The address of a mail server.
fn server(address: &str) -> Result<Url, Error> {
    let refuse =
        |host: &str, reason: String| Error::Address { service: "mail server", host: host.to_owned(), reason };
    let url = Url::parse(address).map_err(|error| refuse("", error.to_string()))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    if !matches!(url.scheme(), "smtp" | "smtps") {
        return Err(refuse(&host, format!("scheme {:?} is neither smtp nor smtps", url.scheme())));
    }
    if host.is_empty() {
        return Err(refuse("", "empty host".to_owned()));
    }
    match (url.scheme(), url.query()) {
        (_, None) | ("smtp", Some(UNENCRYPTED)) => {}
        _ => {
            let reason = format!("what follows the ? is not known: smtp:// takes {UNENCRYPTED}");
            return Err(refuse(&host, reason));
        }
    }
    if !matches!(url.path(), "" | "/") {
        return Err(refuse(&host, "it has a path, which a mail server has not".to_owned()));
    }
    Ok(url)
}

/// Takes user and password out of `url`, if the Secret has no keys of their own for them.
fn credentials(url: &mut Url, channel: &Channel) -> Result<Auth, String> {
    let decoded = |text: &str| match url::form_urlencoded::parse(text.replace('+', "%2B").as_bytes()).next() {
        Some((text, _)) => text.into_owned(),
        None => String::new(),
    };
    let (user, password) = match (channel.login.as_str(), channel.password.as_str()) {
        ("", "") => (decoded(url.username()), url.password().map(decoded).unwrap_or_default()),
        (user, password) => (user.to_owned(), password.to_owned()),
    };
    // Fails only for addresses that cannot have them.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    match (user.is_empty(), password.is_empty()) {
        (true, true) => Ok(Auth::None),
        (false, false) => Ok(Auth::Basic { username: user, password: Secret::new(password) }),
        _ => Err("the Secret has one of username and password: it takes both or neither".to_owned()),
    }
}

/// Identifies the release in the address of a message.
fn release(message: &Message) -> Option<String> {
    let digest = Sha256::digest(message.release()?);
    Some(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn subject(message: &Message, threads: bool) -> String {
    let title = message.title();
    let release = message.moment.as_ref().map(|moment| moment.release.as_str()).unwrap_or_default();
    if threads && !release.is_empty() {
        // Some programs make one thread only of mails with one subject.
        return format!("{title}: release {}", line(release));
    }
    let sign = match message.severity {
        Severity::Unset | Severity::Info => "",
        Severity::Warn => "[warning] ",
        Severity::Error => "[error] ",
    };
    shortened(&format!("{sign}{title}: {}", line(&message.text)), LONGEST_SUBJECT)
}

fn text(message: &Message) -> String {
    let mut text = format!("{}\n\nCanary: {}\n", lines(&message.text), message.title());
    if let Some(moment) = &message.moment {
        text += &format!(
            "Phase: {}\nRelease: {}\nTime: {}\n",
            moment.phase,
            line(&moment.release),
            moment.time()
        );
    }
    for field in &message.fields {
        text += &format!("{}: {}\n", line(&field.name), line(&field.value));
    }
    text
}

/// `text` in one line, without what steers a terminal.
fn line(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn lines(text: &str) -> String {
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// A header whose text is ours.
fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// What an address has to say for mail in the clear.
const UNENCRYPTED: &str = "tls=none";
/// A time as mails have it (RFC 5322).
const DATE: &str = "%a, %d %b %Y %H:%M:%S +0000";
const MOST_RECIPIENTS: usize = 50;
const LONGEST_SUBJECT: usize = 150;
const SHOWN_ADDRESS: usize = 100;

#[cfg(test)]
mod tests;
