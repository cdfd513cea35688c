//! The notifier of the controller itself, for Canaries without alerts of their own (spec 04 §4.3).

use url::Url;

use super::channel::DEFAULT_CHANNEL;
use super::registry::of_kind;
use super::{Channel, Error, Notifier};

/// What the flags say of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `-cluster-name`; empty for none.
    pub cluster: String,
    /// `-slack-url` and its companions.
    pub slack: Channel,
    /// `-msteams-url` and its companion.
    pub msteams: Channel,
    /// `-require-secret-labels`: the Secrets of AlertProviders have to be labelled for alerts.
    pub labelled: bool,
}

/// The notifier of the controller.
pub struct Global {
    /// What posts.
    pub notifier: Box<dyn Notifier>,
    /// The host that it posts to: all of the address that may be shown.
    pub host: String,
    /// What should be told to the user.
    pub note: Option<String>,
}

impl Settings {
    /// The notifier that the flags ask for: Teams, else Slack, else none.
    ///
    /// # Errors
    /// If an address or a proxy cannot be used.
    pub fn global(&self) -> Result<Option<Global>, Error> {
        let teams = !self.msteams.address.trim().is_empty();
        let (kind, channel) = if teams { ("msteams", &self.msteams) } else { ("slack", &self.slack) };
        let Some(notifier) = of_kind(kind, channel)? else { return Ok(None) };
        let url = Url::parse(channel.address.trim()).ok();
        let host = url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        // A silence that nobody asked for would be worse (spec 04 A6).
        let note = (!teams && channel.channel.trim().is_empty())
            .then(|| format!("-slack-channel is not set: alerts go to the channel {DEFAULT_CHANNEL}"));
        Ok(Some(Global { notifier, host, note }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::testing::{body, started, token};
    use crate::model::call::Secret;

    fn at(address: &str) -> Channel {
        Channel { address: address.into(), channel: "ops".into(), ..Channel::default() }
    }

    fn global(slack: Channel, msteams: Channel) -> Option<Global> {
        Settings { slack, msteams, ..Settings::default() }.global().expect("valid")
    }

    #[test]
    fn without_an_address_nothing_is_sent() {
        assert!(global(Channel::default(), Channel::default()).is_none());
        assert!(global(Channel { token: "t".into(), ..Channel::default() }, Channel::default()).is_none());
    }

    #[test]
    fn slack_is_told_with_token_name_channel_and_proxy() {
        // spec: 04/AL-07 04/AL-20
        let slack = Channel {
            token: "xoxb-1".into(),
            username: "bot".into(),
            proxy: "proxy.test:3128".into(),
            ..at("https://slack.com/api/chat.postMessage")
        };
        let global = global(slack, Channel::default()).expect("an address");
        assert_eq!(("slack.com", None), (global.host.as_str(), global.note));
        let call = global.notifier.request(&started());
        assert_eq!(
            (Some("xoxb-1"), Some("http://proxy.test:3128")),
            (token(&call), call.proxy.as_ref().map(Secret::reveal))
        );
        assert!(body(&call).starts_with(r#"{"channel":"ops","username":"bot","#), "{}", body(&call));
    }

    #[test]
    fn teams_replaces_slack() {
        // spec: 02/C103 04/AL-21
        let global =
            global(at("https://hooks.slack.com/x"), at("https://acme.webhook.office.com/y")).expect("one");
        let call = global.notifier.request(&started());
        assert_eq!(
            ("acme.webhook.office.com", "acme.webhook.office.com"),
            (global.host.as_str(), call.host().as_str())
        );
        assert!(body(&call).starts_with(r#"{"@type":"MessageCard""#), "{}", body(&call));
    }

    #[test]
    fn slack_without_a_channel_goes_to_general_and_says_so() {
        // spec: 01/API-091 04/AL-04
        let slack = Channel { channel: String::new(), ..at("https://hooks.slack.com/x") };
        let global = global(slack, Channel::default()).expect("an address");
        assert!(body(&global.notifier.request(&started())).starts_with(r#"{"channel":"general","#));
        assert_eq!(
            Some("-slack-channel is not set: alerts go to the channel general"),
            global.note.as_deref()
        );
    }

    #[test]
    fn an_address_that_is_none_is_an_error_that_does_not_show_it() {
        // spec: 04/AL-23
        let settings = Settings { slack: at("hooks.slack.com/s3cr3t"), ..Settings::default() };
        let error = settings.global().err().expect("refused").to_string();
        assert_eq!("invalid Slack hook URL: relative URL without a base", error);
        assert!(!format!("{settings:?}").contains("s3cr3t"));
    }
}
