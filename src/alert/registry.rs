//! The services by the name that an AlertProvider gives them.

use std::collections::BTreeMap;

use crate::api::AlertProviderSpec;
use crate::api::schema::AlertService;

use super::discord::Discord;
use super::email::Email;
use super::gchat::GoogleChat;
use super::github::{Deployments, Statuses};
use super::matrix::Matrix;
use super::msteams::Teams;
use super::opsgenie::Opsgenie;
use super::pagerduty::PagerDuty;
use super::rocket::Rocket;
use super::slack::Slack;
use super::webhook::Webhook;
use super::{Channel, Error, Notifier};

/// `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// A receiver that can be used.
pub struct Entry {
    /// Its type in an AlertProvider.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Which keys of the Secret it takes beside `address`; those that it cannot do without end in a `!`.
    pub keys: &'static [&'static str],
    /// What `spec.channel` is for it; empty if it takes none.
    pub channel: &'static str,
    /// Whether it takes `spec.threads`.
    pub threads: bool,
    make: Make,
}

/// Makes a service; each knows a channel that is settled.
type Make = fn(&Channel) -> Result<Box<dyn Notifier>, Error>;

/// The service of a type. A new one is a line here, and its file.
fn entry(service: AlertService) -> Entry {
    let plain = |about, make: Make| Entry {
        name: service.as_str(),
        about,
        keys: &[],
        channel: "",
        threads: false,
        make,
    };
    match service {
        AlertService::Slack => Entry {
            keys: &["token"],
            channel: "the channel",
            threads: true,
            ..plain("Slack, by an incoming webhook or a bot", |to| Ok(Box::new(Slack::new(to)?)))
        },
        AlertService::MsTeams => {
            plain("Microsoft Teams, by a workflow or an old connector", |to| Ok(Box::new(Teams::new(to)?)))
        }
        AlertService::Discord => {
            Entry { channel: "the channel", ..plain("Discord", |to| Ok(Box::new(Discord::new(to)?))) }
        }
        AlertService::Rocket => {
            Entry { channel: "the channel", ..plain("Rocket.Chat", |to| Ok(Box::new(Rocket::new(to)?))) }
        }
        AlertService::GoogleChat => {
            Entry { threads: true, ..plain("Google Chat", |to| Ok(Box::new(GoogleChat::new(to)?))) }
        }
        AlertService::Webhook => Entry {
            keys: &["token", "signingKey"],
            ..plain("any address that takes JSON", |to| Ok(Box::new(Webhook::new(to)?)))
        },
        AlertService::Opsgenie => {
            Entry { keys: &["token!"], ..plain("alerts of Opsgenie", |to| Ok(Box::new(Opsgenie::new(to)?))) }
        }
        AlertService::Matrix => Entry {
            keys: &["token!"],
            channel: "the room's id, required",
            threads: true,
            ..plain("a room of Matrix", |to| Ok(Box::new(Matrix::new(to)?)))
        },
        AlertService::PagerDuty => Entry {
            keys: &["token!"],
            ..plain("incidents and change events of PagerDuty", |to| Ok(Box::new(PagerDuty::new(to)?)))
        },
        AlertService::Email => Entry {
            keys: &["username", "password", "ca.crt"],
            channel: "the recipients, required",
            threads: true,
            ..plain("mails, through a mail server (SMTP)", |to| Ok(Box::new(Email::new(to)?)))
        },
        AlertService::GitHub => Entry {
            keys: &["token!"],
            ..plain("the status of a commit on GitHub", |to| Ok(Box::new(Statuses::new(to)?)))
        },
        AlertService::GitHubDeployment => Entry {
            keys: &["token!"],
            channel: "the environment; the Canary's namespace when unset",
            ..plain("deployments of GitHub", |to| Ok(Box::new(Deployments::new(to)?)))
        },
    }
}

/// All receivers that can be used.
pub fn registered() -> impl Iterator<Item = Entry> {
    AlertService::ALL.iter().map(|service| entry(*service))
}

/// The names that [`notifier`] knows.
pub fn known() -> &'static [&'static str] {
    AlertService::NAMES
}

/// The service that `spec` describes; none if its address is empty, which switches it off. `secret` is there if, and
/// only if, `spec` refers to one.
///
/// # Errors
/// If its type is not known, its address no URL, or its secret lacks one.
pub fn notifier(
    spec: &AlertProviderSpec,
    secret: Option<&SecretData>,
) -> Result<Option<Box<dyn Notifier>>, Error> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let mut channel = Channel {
        address: text(&spec.address),
        token: String::new(),
        channel: text(&spec.channel),
        username: text(&spec.username),
        proxy: text(&spec.proxy),
        signing_key: String::new(),
        login: String::new(),
        password: String::new(),
        ca: String::new(),
        template: text(&spec.template),
        threads: spec.threads.unwrap_or(false),
    };
    if let Some(secret) = secret {
        let key = |name| secret.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        // Nobody asks for a Secret in order to send nothing.
        channel.address =
            key("address").filter(|address| !address.trim().is_empty()).ok_or(Error::NoAddress)?;
        channel.token = key("token").unwrap_or_default();
        channel.signing_key = key("signingKey").unwrap_or_default();
        channel.login = key("username").unwrap_or_default();
        channel.password = key("password").unwrap_or_default();
        channel.ca = key("ca.crt").unwrap_or_default();
    }
    of_kind(spec.kind.as_deref().unwrap_or_default(), &channel)
}

/// The service called `kind` behind `channel`.
pub(super) fn of_kind(kind: &str, channel: &Channel) -> Result<Option<Box<dyn Notifier>>, Error> {
    let channel = &channel.settled();
    if channel.address.is_empty() {
        return Ok(None);
    }
    let service = AlertService::of(kind).ok_or_else(|| Error::Unknown(kind.to_owned()))?;
    (entry(service).make)(channel).map(Some)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::alert::Call;
    use crate::alert::testing::{body, started, token};
    use crate::api::metric_template::SecretRef;
    use crate::model::call::Secret;

    fn spec(kind: &str, address: &str) -> AlertProviderSpec {
        AlertProviderSpec {
            kind: Some(kind.into()),
            address: Some(address.into()),
            ..AlertProviderSpec::default()
        }
    }

    fn secret(pairs: &[(&str, &str)]) -> SecretData {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    fn refusal(spec: &AlertProviderSpec, secret: Option<&SecretData>) -> String {
        notifier(spec, secret).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn sent(spec: &AlertProviderSpec, secret: Option<&SecretData>) -> Call {
        notifier(spec, secret).expect("valid").expect("with an address").request(&started())
    }

    #[rstest]
    #[case::typo("Slack")]
    #[case::missing("")]
    #[case::of_another_program("telegram")]
    fn an_unknown_service_is_named_with_the_known_ones(#[case] kind: &str) {
        assert_eq!(
            format!("provider {kind} not supported (known are: {})", known().join(", ")),
            refusal(&spec(kind, "https://chat.test/"), None)
        );
    }

    #[rstest]
    fn an_empty_address_switches_any_service_off(#[values("slack", "gchat", "matrix")] kind: &str) {
        assert!(notifier(&spec(kind, ""), None).expect("no error").is_none());
    }

    #[rstest]
    #[case("slack", "invalid Slack hook URL: ")]
    #[case("msteams", "invalid MS Teams webhook URL: ")]
    #[case("discord", "invalid Discord hook URL: ")]
    #[case("rocket", "invalid Rocket hook URL: ")]
    #[case("gchat", "invalid Google Chat webhook URL: ")]
    #[case("webhook", "invalid webhook URL: ")]
    #[case("opsgenie", "invalid Opsgenie API URL: ")]
    #[case("matrix", "invalid Matrix homeserver URL: ")]
    #[case("pagerduty", "invalid PagerDuty API URL: ")]
    #[case("email", "invalid mail server URL: ")]
    #[case("github", "invalid GitHub repository URL: ")]
    #[case("githubdeployment", "invalid GitHub repository URL: ")]
    fn an_address_that_is_none_is_refused_by_the_name_of_the_service(
        #[case] kind: &str,
        #[case] expected: &str,
    ) {
        let text = refusal(&spec(kind, "s3cr3t"), None);
        assert!(text.starts_with(expected) && !text.contains("s3cr3t"), "{text}");
    }

    #[test]
    fn the_secret_wins_over_the_address() {
        // spec: 04/AL-01 04/AL-05 02/C104 01/API-070
        let both = AlertProviderSpec {
            secret_ref: Some(SecretRef { name: "chat".into() }),
            ..spec("slack", "https://spec.test/")
        };
        let call =
            sent(&both, Some(&secret(&[("address", "https://secret.test/x\n"), ("token", "xoxb-1\n")])));
        assert_eq!(("https://secret.test/x", Some("xoxb-1")), (call.url(), token(&call)));
    }

    #[rstest]
    #[case::nothing(&[])]
    #[case::another_key(&[("url", "https://chat.test/")])]
    #[case::empty(&[("address", "\n")])]
    fn a_secret_must_hold_an_address(#[case] pairs: &[(&str, &str)]) {
        // spec: 04/AL-05 02/C104
        assert_eq!(
            "secret does not contain an address",
            refusal(&spec("slack", "https://spec.test/"), Some(&secret(pairs)))
        );
    }

    #[rstest]
    #[case("slack", true)]
    #[case("webhook", true)]
    #[case("discord", false)]
    #[case("rocket", false)]
    #[case("msteams", false)]
    #[case("gchat", false)]
    fn the_token_is_for_slack_and_own_receivers(#[case] kind: &str, #[case] sends: bool) {
        // spec: 04/AL-07 02/C104 01/API-070
        let secret = secret(&[("address", "https://chat.test/x"), ("token", "xoxb-1")]);
        assert_eq!(sends, token(&sent(&spec(kind, ""), Some(&secret))).is_some());
    }

    #[rstest]
    fn channel_and_name_have_defaults(#[values("slack", "discord", "rocket")] kind: &str) {
        // spec: 04/AL-04 02/C104
        let text = body(&sent(&spec(kind, "https://chat.test/"), None));
        assert!(text.starts_with(r#"{"channel":"general","username":"flagger","#), "{text}");
        let told = AlertProviderSpec {
            channel: Some("ops".into()),
            username: Some("bot".into()),
            proxy: Some("http://proxy.test:3128".into()),
            ..spec(kind, "https://chat.test/")
        };
        let call = sent(&told, None);
        assert!(body(&call).starts_with(r#"{"channel":"ops","username":"bot","#), "{}", body(&call));
        assert_eq!(Some("http://proxy.test:3128"), call.proxy.as_ref().map(Secret::reveal));
    }
}
