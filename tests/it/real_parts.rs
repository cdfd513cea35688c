//! Providers and receivers against real parts, which `make test-providers` installs and starts: Prometheus with the series that
//! proxies write, Alertmanager, carbon and graphite-web, moto's CloudWatch with the signatures checked, and mail servers of
//! aiosmtpd.

use std::collections::BTreeMap;
use std::time::Duration;

use vexil::alert::{self, Message};
use vexil::api::AlertProviderSpec;
use vexil::api::Phase;
use vexil::api::hooks::Severity;
use vexil::api::metric_template::MetricProvider;
use vexil::controller::calls::Calls;
use vexil::controller::clock::Clock;
use vexil::http::Client;
use vexil::metrics::{self, Asked, Measured, SecretData};
use vexil::model::moment::Moment;

mod alertmanager;
mod amazon;
mod prometheus;

/// Where a part is.
fn part(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test-providers`"))
}

fn asked(query: &str) -> Asked {
    Asked { query: query.to_owned(), interval: Duration::from_secs(60), now: Clock::system().now() }
}

fn secret(pairs: &[(&str, &str)]) -> SecretData {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn graphite_answers_with_its_newest_point() {
    let address = part("PROOF_GRAPHITE");
    let spec =
        MetricProvider { kind: "graphite".into(), address: Some(address), ..MetricProvider::default() };
    let graphite = metrics::provider(&spec, None).expect("a provider");
    let calls = Calls::outside(Client::default());
    assert_eq!(Ok(()), calls.online(graphite.as_ref(), &asked("")).await);
    let from = "&from=-10min";
    for (query, expected) in [
        (format!("target=app.frontend.errors{from}"), Ok(4.0)),
        (format!("target=sumSeries(app.frontend.*){from}"), Ok(8.0)),
        (format!("target=asPercent(app.frontend.errors, sumSeries(app.frontend.*)){from}"), Ok(50.0)),
        (format!("target=app.frontend.nothing{from}"), Err("no values found")),
        (format!("target=app.frontend.*{from}"), Err("multiple values: 2 targets")),
        (format!("target=noSuchFunction(app.frontend.errors){from}"), Err("")),
        // It is no error to graphite-web.
        (format!("target=sumSeries({from}"), Err("no values found")),
    ] {
        let measured = calls.measure(graphite.as_ref(), &asked(&query)).await;
        match (&measured, expected) {
            (Measured::Value(value), Ok(expected)) => {
                assert!((value - expected).abs() < 1e-9, "{query}: {value}")
            }
            (Measured::NoData(why) | Measured::Failed(why), Err(expected)) => {
                assert!(why.contains(expected), "{query}: {why}");
            }
            _ => panic!("{query}: {measured:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn mails_arrive_encrypted_with_a_password_and_in_one_thread() {
    let ca = std::fs::read_to_string(part("PROOF_MAIL_CA")).expect("a CA");
    for (address, password, outcome) in [
        (part("PROOF_MAIL_STARTTLS"), "proof-password", Ok(())),
        (part("PROOF_MAIL_SMTPS"), "proof-password", Ok(())),
        (part("PROOF_MAIL_SMTPS"), "wrong", Err("535")),
    ] {
        let spec = AlertProviderSpec {
            kind: Some("email".into()),
            channel: Some("Team <team@example.com>, duty@example.com".into()),
            username: Some("Releases <releases@example.com>".into()),
            threads: Some(true),
            ..AlertProviderSpec::default()
        };
        let pairs = [
            ("address", address.as_str()),
            ("username", "releases"),
            ("password", password),
            ("ca.crt", &ca),
        ];
        let made = alert::notifier(&spec, Some(&secret(&pairs))).expect("a receiver").expect("an address");
        let calls = Calls::outside(Client::default());
        for message in [told("New revision detected \u{fc}", 0), told("Promotion completed", 1)] {
            let ended = calls.converse(Duration::from_secs(60), |heard| made.next(&message, heard)).await;
            let told = ended.outcome.unwrap_or_else(|why| panic!("{address}, {password}: no end: {why:?}"));
            match outcome {
                Ok(()) => assert_eq!(Ok(()), told, "{address}"),
                Err(expected) => {
                    let why = told.expect_err("refused").why;
                    assert!(why.contains(expected) && !why.contains("wrong"), "{why}");
                }
            }
        }
    }
    let folder = std::path::PathBuf::from(part("PROOF_MAIL_FOLDER")).join("new");
    let mails: Vec<String> = std::fs::read_dir(folder)
        .expect("a mailbox")
        .map(|mail| std::fs::read_to_string(mail.expect("a mail").path()).expect("a text"))
        .collect();
    assert_eq!(4, mails.len(), "{mails:#?}");
    let mut ids: BTreeMap<String, usize> = BTreeMap::new();
    for mail in &mails {
        let header = |name: &str| {
            let found = mail.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            found.unwrap_or_else(|| panic!("no {name}: {mail}")).to_owned()
        };
        *ids.entry(header("Message-ID")).or_default() += 1;
        assert_eq!("frontend.shop: release 7c9d467496", header("Subject"));
        assert_eq!(header("In-Reply-To"), header("References"));
        assert_eq!("duty@example.com, team@example.com", {
            let mut to: Vec<String> = header("X-RcptTo").split(", ").map(str::to_owned).collect();
            to.sort();
            to.join(", ")
        });
    }
    // Each of the two messages went through both servers.
    assert_eq!(vec![2, 2], ids.into_values().collect::<Vec<_>>());
}

fn told(text: &str, seconds: i64) -> Message {
    Message {
        name: "frontend".into(),
        namespace: "shop".into(),
        severity: Severity::Info,
        text: text.into(),
        good_end: false,
        fields: Vec::new(),
        moment: Some(Moment {
            release: "7c9d467496".into(),
            phase: Phase::Progressing,
            at: chrono::DateTime::from_timestamp(1_796_000_000 + seconds, 0).expect("a time"),
        }),
        commit: None,
    }
}
