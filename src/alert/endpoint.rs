//! The address that a service is posted to, checked.

use serde::Serialize;
use url::Url;

use crate::model::call::{Body, Call, Secret};

use super::{ANSWER_BYTES, Channel, Error, RETRIES, TIMEOUT};

/// An address that can be posted to.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub url: Url,
    proxy: Option<String>,
}

impl Endpoint {
    /// The address of `channel`, for a service that errors call `service`.
    ///
    /// # Errors
    /// If it is no address, or the proxy is none.
    pub fn new(service: &'static str, channel: &Channel) -> Result<Self, Error> {
        let refuse = |host: &str, reason: String| Error::Address { service, host: host.to_owned(), reason };
        let url = Url::parse(&channel.address).map_err(|error| refuse("", error.to_string()))?;
        match (url.scheme(), url.host_str()) {
            ("http" | "https", Some(_)) => {}
            (scheme, host) => {
                let reason = format!("scheme {scheme:?} is neither http nor https");
                return Err(refuse(host.unwrap_or_default(), reason));
            }
        }
        Ok(Self { url, proxy: proxy(&channel.proxy)? })
    }

    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The call that posts `payload` here.
    pub fn post(&self, payload: &impl Serialize) -> Call {
        Call {
            secret_address: true,
            proxy: self.proxy.clone().map(Secret::new),
            timeout: TIMEOUT,
            retries: RETRIES,
            max_bytes: ANSWER_BYTES,
            cut: true,
            ..Call::post(self.url.as_str(), Body::json(payload))
        }
    }
}

/// A proxy may be written without its scheme (spec 04 A8).
fn proxy(written: &str) -> Result<Option<String>, Error> {
    if written.is_empty() {
        return Ok(None);
    }
    let full = if written.contains("://") { written.to_owned() } else { format!("http://{written}") };
    match Url::parse(&full) {
        Ok(_) => Ok(Some(full)),
        Err(error) => {
            // What stands before an @ may be a password.
            let shown = written.rsplit_once('@').map_or(written, |(_, host)| host);
            Err(Error::Proxy { proxy: shown.to_owned(), reason: error.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn channel(address: &str, proxy: &str) -> Channel {
        Channel { address: address.into(), proxy: proxy.into(), ..Channel::default() }
    }

    fn refusal(address: &str, proxy: &str) -> String {
        Endpoint::new("Slack hook", &channel(address, proxy))
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[rstest]
    #[case::no_scheme("chat.test/s3cr3t", "invalid Slack hook URL: relative URL without a base")]
    #[case::a_path_alone("/s3cr3t", "invalid Slack hook URL: relative URL without a base")]
    #[case::no_host("https://", "invalid Slack hook URL: empty host")]
    #[case::other_scheme(
        "ftp://chat.test/s3cr3t",
        "invalid Slack hook URL of chat.test: scheme \"ftp\" is neither http nor https"
    )]
    #[case::port("https://chat.test:port/s3cr3t", "invalid Slack hook URL: invalid port number")]
    fn what_is_no_address_is_refused_without_showing_it(#[case] address: &str, #[case] expected: &str) {
        // spec: 04/AL-23
        assert_eq!(expected, refusal(address, ""));
    }

    #[rstest]
    #[case::none("", None)]
    #[case::full("https://proxy.test:3128", Some("https://proxy.test:3128"))]
    #[case::without_scheme("proxy.test:3128", Some("http://proxy.test:3128"))]
    #[case::name("proxy.test", Some("http://proxy.test"))]
    fn a_proxy_may_leave_out_its_scheme(#[case] written: &str, #[case] used: Option<&str>) {
        // spec: 04/AL-20
        let endpoint = Endpoint::new("Slack hook", &channel("https://chat.test/", written)).expect("valid");
        assert_eq!(used.map(Secret::from), endpoint.post(&"").proxy);
    }

    #[test]
    fn a_proxy_that_is_none_is_named_without_its_password() {
        // spec: 04/AL-23
        assert_eq!(
            "unable to parse proxy URL 'proxy.test:port', error: invalid port number",
            refusal("https://chat.test/", "http://bob:s3cr3t@proxy.test:port")
        );
    }
}
