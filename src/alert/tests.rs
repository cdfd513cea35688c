//! Laws that hold for every receiver in the registry.

use std::time::Duration;

use rstest::rstest;
use serde_json::Value;

use super::testing::{bare, body, started, token};
use super::*;
use crate::api::AlertProviderSpec;
use crate::api::schema::AlertService;
use crate::model::call::{Answer, Silence, redact};

fn secret(name: &str) -> SecretData {
    let address = match name {
        // A repository has an owner and a name.
        "github" | "githubdeployment" => "https://bob:passw0rd@chat.test/s3cr3t-path/hunter22",
        // A mail server has no path.
        "email" => "smtp://chat.test",
        _ => "https://bob:passw0rd@chat.test/s3cr3t-path?key=hunter22",
    };
    let pairs = [
        ("address", address),
        ("token", "xoxb-t0ken"),
        ("signingKey", "s1gning-key"),
        ("username", "bob"),
        ("password", "passw0rd"),
    ];
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
}

const SECRETS: [&str; 7] =
    ["passw0rd", "s3cr3t-path", "hunter22", "xoxb-t0ken", "s1gning-key", "AGJvYgBwYXNzdzByZA", "cGFzc3cwcmQ"];

fn each() -> impl Iterator<Item = (&'static str, Box<dyn Notifier>)> {
    known().iter().map(|name| {
        let channel = match *name {
            "matrix" => Some("!room:chat.test".to_owned()),
            "email" => Some("team@chat.test".to_owned()),
            _ => None,
        };
        let username = (*name == "email").then(|| "releases@chat.test".to_owned());
        let spec = AlertProviderSpec {
            kind: Some((*name).into()),
            channel,
            username,
            ..AlertProviderSpec::default()
        };
        (*name, notifier(&spec, Some(&secret(name))).expect("valid").expect("with an address"))
    })
}

fn heard(status: u16, body: &str) -> What {
    What::Answer(Answer::new(status, body))
}

/// The calls that `message` takes and how they end, if each is answered with `what`.
fn told(notifier: &dyn Notifier, message: &Message, what: &What) -> (Vec<Call>, Result<(), Refused>) {
    let (mut calls, mut past) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        match notifier.next(message, &past) {
            Next::Send(call) => calls.push(*call),
            Next::Wait(_) => {}
            Next::Done(outcome) => return (calls, outcome),
        }
        past.push(Heard { after: Duration::from_secs(1), what: what.clone() });
    }
    panic!("no end after ten steps");
}

/// The keys that the documentation of a service asks for.
fn documented(service: AlertService) -> &'static [&'static str] {
    match service {
        AlertService::Slack | AlertService::Discord | AlertService::Rocket => {
            &["attachments", "channel", "username"]
        }
        AlertService::MsTeams => &["attachments", "type"],
        AlertService::GoogleChat => &["cards"],
        AlertService::Webhook => &["message", "name", "namespace", "severity"],
        AlertService::Opsgenie => &["alias", "message", "priority"],
        AlertService::Matrix => &["body", "formatted_body", "m.mentions", "msgtype"],
        AlertService::PagerDuty => &["payload", "routing_key"],
        AlertService::Email => &[],
        AlertService::GitHub => &["context", "description", "state"],
        AlertService::GitHubDeployment => &["auto_merge", "environment", "ref", "required_contexts"],
    }
}

#[rstest]
fn every_message_is_json_of_the_documented_shape(
    #[values(Severity::Info, Severity::Warn, Severity::Error)] severity: Severity,
) {
    // spec: 04/AL-01
    for (name, notifier) in each() {
        for message in [bare(severity, "a \"b\" <c>\n&"), Message { severity, ..started() }] {
            let call = notifier.request(&message);
            assert_eq!((RETRIES, true), (call.retries, call.secret_address), "{name}");
            if name == "email" {
                assert_eq!(
                    ("chat.test", Some("message/rfc822")),
                    (call.host().as_str(), call.body.content_type())
                );
                continue;
            }
            let payload: Value = serde_json::from_str(&body(&call)).expect("JSON");
            let keys = documented(AlertService::of(name).expect("a known name"));
            assert!(keys.iter().all(|key| payload.get(key).is_some()), "{name}: {payload}");
            assert_eq!(
                ("chat.test", Some("application/json")),
                (call.host().as_str(), call.body.content_type())
            );
            assert_eq!(TIMEOUT, call.timeout, "{name}");
        }
    }
}

#[rstest]
#[case::everybody_in_slack("<!channel>")]
#[case::somebody("<@U123>")]
#[case::everybody_elsewhere("@everyone")]
#[case::everybody_in_rocket("@all")]
#[case::link("[Grafana](https://evil.test)")]
#[case::link_in_slack("<https://evil.test|Grafana>")]
#[case::html("<a href=\"https://evil.test\">Grafana</a>")]
#[case::picture("![x](https://evil.test/x.png)")]
fn no_text_calls_people_or_hides_an_address(#[case] text: &str) {
    // Mails are plain text, in which nothing has a meaning.
    for (name, notifier) in each().filter(|(name, _)| *name != "email") {
        let field = Field { name: text.to_owned(), value: text.to_owned() };
        let message = Message { fields: vec![field], ..bare(Severity::Error, text) };
        let payload: Value = serde_json::from_str(&body(&notifier.request(&message))).expect("JSON");
        let shown = match name {
            // Whoever takes plain JSON makes of it what they want; what Slack is sent means nothing in it but
            // between these two, and Google Chat has only HTML in its cards.
            "webhook" => continue,
            "slack" | "gchat" => {
                payload.to_string().replace("<font", "").replace("<strong>", "").replace("</", "")
            }
            // Their messages are plain text, and a description on GitHub as well.
            "pagerduty" | "github" | "githubdeployment" => continue,
            // Its message and details are plain text.
            "opsgenie" => payload["description"].to_string(),
            _ => payload.to_string(),
        };
        let sent = |part: &str| shown.contains(part);
        let slack = ["slack", "gchat"].contains(&name);
        assert!(!sent("<!") && !sent("<@") && !sent("<http") && !sent("<a "), "{name}: {shown}");
        assert!(slack || !(sent("@everyone") || sent("@all") || sent("](")), "{name}: {shown}");
    }
}

#[test]
fn every_message_arrives_if_the_service_takes_it() {
    for (name, notifier) in each() {
        for good_end in [true, false] {
            let message = Message { good_end, ..started() };
            let (calls, outcome) = told(notifier.as_ref(), &message, &heard(202, "{\"ok\":true,\"id\":7}"));
            assert!(!calls.is_empty() && outcome == Ok(()), "{name}: {outcome:?}");
        }
    }
}

#[rstest]
#[case::redirect(302, false)]
#[case::unauthorized(401, false)]
#[case::not_found(404, false)]
#[case::too_many(429, true)]
#[case::broken(500, true)]
#[case::unavailable(503, true)]
fn a_status_that_refuses_is_an_error_that_gives_nothing_away(#[case] status: u16, #[case] passing: bool) {
    // spec: 04/AL-20 04/AL-23
    for (name, notifier) in each() {
        // Who gets no token cannot repeat it.
        let call = notifier.request(&started());
        let authorized = call.headers.iter().any(|(name, _)| name == "Authorization");
        let sends = token(&call).is_some() || authorized || body(&call).contains("xoxb-t0ken");
        let sent = if sends { "xoxb-t0ken" } else { "you" };
        let page = match name {
            // AUTH PLAIN and AUTH LOGIN send it so.
            "email" => "no bob:passw0rd (AGJvYgBwYXNzdzByZA== or cGFzc3cwcmQ=) for you".to_owned(),
            _ => format!("no https://bob:passw0rd@chat.test/s3cr3t-path?key=hunter22 for {sent}"),
        };
        let (calls, outcome) = told(notifier.as_ref(), &started(), &heard(status, &page));
        let refused = outcome.expect_err(name);
        let text = redact(&calls, &refused.why);
        assert!(text.contains(&status.to_string()) && refused.passing == passing, "{name}: {text}");
        for secret in SECRETS {
            assert!(!text.contains(secret), "{name}: {text}");
            assert!(!format!("{calls:?}").contains(secret), "{name}: {calls:?}");
        }
    }
}

#[rstest]
fn no_answer_is_an_error(#[values(true, false)] hopeless: bool) {
    let cause = "no complete answer within 5s".to_owned();
    let silence = What::Silence(Silence { call: "POST chat.test".into(), cause, attempts: 4, hopeless });
    for (name, notifier) in each() {
        let refused = told(notifier.as_ref(), &started(), &silence).1.expect_err(name);
        assert_eq!(
            "sending notification failed to send: no complete answer within 5s", refused.why,
            "{name}"
        );
        assert_eq!(!hopeless, refused.passing, "{name}");
    }
}

#[rstest]
fn any_status_of_success_is_a_delivery(#[values(200, 201, 202, 204, 299)] status: u16) {
    // spec: 04/AL-20
    assert_eq!(Ok(()), accepted(status, b""));
}

#[rstest]
#[case(302, "", "sending notification bad response 302: ")]
#[case(404, "no_service\n", "sending notification bad response 404: no_service")]
#[case(
    500,
    "<html>\n oops",
    "sending notification bad response 500: (a page of 12 bytes, in the log at level debug)"
)]
#[case(400, r#"{"message":"no such room"}"#, "sending notification bad response 400: no such room")]
fn any_other_status_is_none(#[case] status: u16, #[case] body: &str, #[case] expected: &str) {
    let refused = accepted(status, body.as_bytes()).expect_err("a refusal");
    assert_eq!((refused.why.as_str(), refused.passing), (expected, status == 429 || status >= 500));
}
