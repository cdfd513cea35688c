//! What an AlertProvider, its Secret or the flags say of a channel, before a service has looked at it.

use std::fmt;

use crate::model::call::Secret;

/// Where alerts are to go. Empty is unset.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Channel {
    /// As good as a password.
    pub address: String,
    /// The token of services that want one; as good as a password.
    pub token: String,
    /// The channel or room within the service.
    pub channel: String,
    /// The name under which messages are sent.
    pub username: String,
    /// The proxy that calls go through.
    pub proxy: String,
    /// The key that calls are signed with; as good as a password.
    pub signing_key: String,
    /// The account at a mail server.
    pub login: String,
    /// Its password.
    pub password: String,
    /// Certificates in PEM that a mail server's is to be judged by.
    pub ca: String,
    /// What a receiver of one's own is sent: JSON with holes.
    pub template: String,
    /// Whether what is said of one release stands together, where the service can do that.
    pub threads: bool,
}

impl Channel {
    /// The token, if there is one.
    pub(super) fn secret_token(&self) -> Option<Secret> {
        (!self.token.is_empty()).then(|| Secret::new(self.token.as_str()))
    }

    /// With the defaults of what is not said, and without blanks around what is: a Secret that was made from a file
    /// ends in a line break.
    pub(super) fn settled(&self) -> Self {
        let or = |value: &str, default: &str| match value.trim() {
            "" => default.to_owned(),
            value => value.to_owned(),
        };
        Self {
            address: or(&self.address, ""),
            token: or(&self.token, ""),
            channel: or(&self.channel, DEFAULT_CHANNEL),
            username: or(&self.username, DEFAULT_USERNAME),
            proxy: or(&self.proxy, ""),
            signing_key: or(&self.signing_key, ""),
            login: or(&self.login, ""),
            password: or(&self.password, ""),
            ca: or(&self.ca, ""),
            template: or(&self.template, ""),
            threads: self.threads,
        }
    }
}

/// Whether there are secrets, not which.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_set = |value: &str| if value.is_empty() { "unset" } else { "set" };
        f.debug_struct("Channel")
            .field("address", &is_set(&self.address))
            .field("token", &is_set(&self.token))
            .field("channel", &self.channel)
            .field("username", &self.username)
            .field("proxy", &is_set(&self.proxy))
            .field("signing_key", &is_set(&self.signing_key))
            .field("password", &is_set(&self.password))
            .finish_non_exhaustive()
    }
}

/// Where messages go if nobody says it.
pub(super) const DEFAULT_CHANNEL: &str = "general";
const DEFAULT_USERNAME: &str = "flagger";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_general_and_a_name_flagger_unless_said_otherwise() {
        // spec: 04/AL-04 02/C104
        let settled = Channel { address: " https://chat.test/\n".into(), ..Channel::default() }.settled();
        assert_eq!(("general", "flagger"), (settled.channel.as_str(), settled.username.as_str()));
        assert_eq!("https://chat.test/", settled.address);
        let told = Channel { channel: "ops".into(), username: "bot".into(), ..Channel::default() };
        assert_eq!(told, told.settled());
    }

    #[test]
    fn secrets_are_not_shown() {
        // spec: 04/AL-23
        let secret = || "s3cr3t".to_owned();
        let channel = Channel {
            address: secret(),
            token: secret(),
            proxy: secret(),
            signing_key: secret(),
            password: secret(),
            ..Channel::default()
        };
        assert!(!format!("{channel:?}").contains("s3cr3t"));
    }
}
