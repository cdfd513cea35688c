//! The services by the name that an AlertProvider gives them.

use std::collections::BTreeMap;

use crate::api::AlertProviderSpec;
use crate::api::schema::AlertService;

use super::discord::Discord;
use super::gchat::GoogleChat;
use super::msteams::Teams;
use super::opsgenie::Opsgenie;
use super::rocket::Rocket;
use super::slack::Slack;
use super::webhook::Webhook;
use super::{Channel, Error, Notifier};

/// `data` of a Secret.
pub type SecretData = BTreeMap<String, Vec<u8>>;

/// Makes a service; each knows a channel that is settled.
type Make = fn(&Channel) -> Result<Box<dyn Notifier>, Error>;

/// The service of a type. A new one is a line here, and its file.
fn make(service: AlertService) -> Make {
    match service {
        AlertService::Slack => |channel| Ok(Box::new(Slack::new(channel)?)),
        AlertService::MsTeams => |channel| Ok(Box::new(Teams::new(channel)?)),
        AlertService::Discord => |channel| Ok(Box::new(Discord::new(channel)?)),
        AlertService::Rocket => |channel| Ok(Box::new(Rocket::new(channel)?)),
        AlertService::GoogleChat => |channel| Ok(Box::new(GoogleChat::new(channel)?)),
        AlertService::Webhook => |channel| Ok(Box::new(Webhook::new(channel)?)),
        AlertService::Opsgenie => |channel| Ok(Box::new(Opsgenie::new(channel)?)),
    }
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
    };
    if let Some(secret) = secret {
        let key = |name| secret.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        // Nobody asks for a Secret in order to send nothing.
        channel.address =
            key("address").filter(|address| !address.trim().is_empty()).ok_or(Error::NoAddress)?;
        channel.token = key("token").unwrap_or_default();
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
    make(service)(channel).map(Some)
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
    #[case::of_another_program("matrix")]
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
