//! What the image is asked for by probes. The charts that were written for Flagger run `wget --spider` in the container,
//! and an image without a shell has no other program than ours: called `wget`, it asks this one question.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use url::{Host, Url};

/// Asks the address among the arguments, which must be one of this machine; 0 if the answer is a good one.
pub(super) fn run(arguments: &[String]) -> ExitCode {
    let address = arguments.iter().rev().find_map(|argument| Url::parse(argument).ok());
    let Some(address) = address.filter(is_ours) else {
        super::print::complain(
            "usage: wget --spider http://localhost:PORT/PATH (nothing else is known here)",
        );
        return ExitCode::from(2);
    };
    let asked = tokio::runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
            client.get(address).send().await?.error_for_status()
        })
    });
    match asked {
        Ok(Ok(_)) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            super::print::complain(&error);
            ExitCode::FAILURE
        }
        Err(error) => {
            super::print::complain(format_args!("no runtime: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn is_ours(address: &Url) -> bool {
    let local = match address.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    };
    address.scheme() == "http" && local
}

const PATIENCE: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://localhost:8080/healthz", true)]
    #[case("http://127.0.0.1:8080/healthz", true)]
    #[case("http://[::1]:8080/healthz", true)]
    #[case("http://169.254.169.254/latest", false)]
    #[case("http://localhost.example.com/", false)]
    #[case("https://localhost:8080/healthz", false)]
    fn only_this_machine_is_asked(#[case] address: &str, #[case] ours: bool) {
        assert_eq!(ours, is_ours(&address.parse().expect("an address")));
    }
}
