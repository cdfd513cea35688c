//! Statuses and deployments, and how they are made.

use rstest::rstest;

use super::*;
use crate::alert::testing::{bare, body, channel, heard, started, token};
use crate::api::Phase;
use crate::api::hooks::Severity;

fn at(address: &str, environment: &str) -> Channel {
    Channel { token: "ghp-t0ken".into(), channel: environment.into(), ..channel(address) }
}

const SHOP: &str = "https://github.com/acme/shop";

fn said(severity: Severity, phase: Phase) -> Message {
    let mut message = bare(severity, "hi");
    message.moment.as_mut().expect("a moment").phase = phase;
    message
}

#[rstest]
#[case::github(SHOP, "https://api.github.com/repos/acme/shop/statuses/4f2c1d9")]
#[case::of_a_clone(
    "https://github.com/acme/shop.git",
    "https://api.github.com/repos/acme/shop/statuses/4f2c1d9"
)]
#[case::enterprise(
    "https://git.acme.test/web/shop/",
    "https://git.acme.test/api/v3/repos/web/shop/statuses/4f2c1d9"
)]
fn the_status_is_that_of_the_commit(#[case] address: &str, #[case] url: &str) {
    let call = Statuses::new(&at(address, "general")).expect("valid").request(&started());
    assert_eq!((url, Some("ghp-t0ken")), (call.url(), token(&call)));
    assert_eq!(
        concat!(
            r#"{"state":"pending","context":"vexil/test/podinfo","#,
            r#""description":"New revision detected, progressing canary analysis."}"#,
        ),
        body(&call)
    );
}

#[rstest]
#[case::started(Severity::Info, Phase::Progressing, "pending", "in_progress")]
#[case::gate(Severity::Warn, Phase::WaitingPromotion, "pending", "pending")]
#[case::failed(Severity::Error, Phase::Failed, "failure", "failure")]
#[case::by_hand(Severity::Warn, Phase::Failed, "failure", "failure")]
#[case::initialized(Severity::Info, Phase::Initialized, "success", "success")]
#[case::promoted(Severity::Info, Phase::Succeeded, "success", "success")]
fn the_state_is_that_of_the_release(
    #[case] severity: Severity,
    #[case] phase: Phase,
    #[case] status: &str,
    #[case] deployment: &str,
) {
    let message = said(severity, phase);
    let call = Statuses::new(&at(SHOP, "general")).expect("valid").request(&message);
    assert!(body(&call).starts_with(&format!(r#"{{"state":"{status}","#)), "{}", body(&call));
    let call = Deployments::new(&at(SHOP, "production")).expect("valid").tell(&message, 7);
    assert_eq!("https://api.github.com/repos/acme/shop/deployments/7/statuses", call.url());
    let expected = format!(r#"{{"state":"{deployment}","description":"hi","environment":"production"}}"#);
    assert_eq!(expected, body(&call));
}

#[rstest]
#[case::first(r"[]", 3)]
#[case::known(r#"[{"id":7,"sha":"4f2c1d9"}]"#, 2)]
fn a_deployment_is_made_once_and_then_told_how_it_stands(#[case] listed: &str, #[case] calls: usize) {
    let service = Deployments::new(&at(SHOP, "production")).expect("valid");
    let (mut past, mut made) = (Vec::new(), Vec::new());
    while let Next::Send(call) = service.next(&started(), &past) {
        past.push(match (call.method, call.url().ends_with("/statuses")) {
            (Method::Get, _) => heard(200, listed),
            (_, false) => heard(201, r#"{"id":7}"#),
            (_, true) => heard(201, r#"{"id":99,"state":"in_progress"}"#),
        });
        made.push(*call);
    }
    assert_eq!(Next::Done(Ok(())), service.next(&started(), &past));
    assert_eq!(calls, made.len());
    assert_eq!("https://api.github.com/repos/acme/shop/deployments", made[0].url());
    assert!(made[0].query.contains(&("ref".to_owned(), "4f2c1d9".to_owned())));
    assert!(made[0].query.contains(&("environment".to_owned(), "production".to_owned())));
    assert!(made[calls - 1].url().ends_with("/deployments/7/statuses"));
    if calls == 3 {
        assert_eq!(
            concat!(
                r#"{"ref":"4f2c1d9","environment":"production","task":"deploy:podinfo.test","#,
                r#""description":"podinfo.test","auto_merge":false,"required_contexts":[]}"#,
            ),
            body(&made[1])
        );
    }
}

#[test]
fn the_environment_is_the_namespace_unless_said_otherwise() {
    let service = Deployments::new(&at(SHOP, "general")).expect("valid");
    assert_eq!("test", service.environment(&started()));
}

#[test]
fn a_refusal_and_an_answer_without_a_deployment_end_it() {
    let service = Deployments::new(&at(SHOP, "production")).expect("valid");
    let end = |past: &[Heard]| match service.next(&started(), past) {
        Next::Done(Err(refused)) => refused.why,
        other => panic!("{other:?}"),
    };
    assert!(end(&[heard(404, r#"{"message":"Not Found"}"#)]).contains("404: Not Found"));
    assert!(
        end(&[heard(200, "[]"), heard(202, r#"{"message":"Auto-merged"}"#)]).contains("without a deployment")
    );
}

#[test]
fn without_the_annotation_nothing_is_sent_and_the_reason_names_it() {
    let message = Message { commit: None, ..started() };
    let services: [Box<dyn Notifier>; 2] = [
        Box::new(Statuses::new(&at(SHOP, "general")).expect("valid")),
        Box::new(Deployments::new(&at(SHOP, "general")).expect("valid")),
    ];
    for service in services {
        let why =
            "the Canary has no annotation flagger.app/commit, which says what commit is released".into();
        assert_eq!(Next::Done(Err(Refused { why, passing: false })), service.next(&message, &[]));
    }
}

#[rstest]
#[case("https://github.com/acme")]
#[case("https://github.com/acme/shop/tree/main")]
fn an_address_of_no_repository_is_refused(#[case] address: &str) {
    let error = Statuses::new(&at(address, "general")).err().expect("refused").to_string();
    assert_eq!(
        "provider github: the address is that of no repository: write https://github.com/<owner>/<name>",
        error
    );
}
