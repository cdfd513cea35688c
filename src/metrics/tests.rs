//! Laws that hold for every backend in the registry.

use std::time::Duration;

use rstest::rstest;

use super::testing::{Sample, answered};
use super::*;
use crate::model::call::{Answer, Silence, What, redact};

/// The calls that a conversation takes and its end, if each call comes out as `what`.
fn led<T>(mut next: impl FnMut(&[Heard]) -> Next<T>, what: &What) -> (Vec<Call>, T) {
    let (mut calls, mut heard): (Vec<Call>, Vec<Heard>) = (Vec::new(), Vec::new());
    let mut after = Duration::from_secs(1);
    for _ in 0..100 {
        match next(&heard) {
            Next::Send(call) => {
                calls.push(*call);
                heard.push(Heard { after, what: what.clone() });
            }
            Next::Wait(pause) => {
                after += pause;
                heard.push(Heard { after, what: What::Waited });
            }
            Next::Done(end) => return (calls, end),
        }
    }
    panic!("no end after a hundred steps");
}

fn said(status: u16, body: &str) -> What {
    What::Answer(Answer::new(status, body))
}

fn measured(sample: &Sample, what: &What) -> (Vec<Call>, Measured) {
    let (backend, asked) = (sample.backend(), sample.asked());
    led(|heard| backend.next(&asked, heard), what)
}

fn online(sample: &Sample, what: &What) -> (Vec<Call>, Result<(), String>) {
    let (backend, asked) = (sample.backend(), sample.asked());
    led(|heard| backend.probe(&asked, heard), what)
}

fn gives_nothing_away(calls: &[Call], text: &str) {
    let text = format!("{} {calls:?}", redact(calls, text));
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn every_backend_measures_its_value() {
    for sample in Sample::all() {
        let (calls, measured) = measured(&sample, &said(200, &sample.answers["value"]));
        assert_eq!(Measured::Value(sample.value), measured, "{}", sample.name);
        assert!(!calls.is_empty(), "{}", sample.name);
        gives_nothing_away(&calls, "");
    }
    assert!(registered().all(|entry| !entry.about.is_empty()));
}

#[rstest]
#[case::empty("empty")]
#[case::null("null")]
#[case::nan("nan")]
#[case::several("several")]
#[case::error("error")]
fn what_is_no_number_never_becomes_one(#[case] kind: &str) {
    // spec: 04/TH-07
    for sample in Sample::all() {
        let name = sample.name.as_str();
        let Some(answer) = sample.answers.get(kind) else {
            assert!(IMPOSSIBLE.contains(&(name, kind)), "{name}: no answer {kind}");
            continue;
        };
        let (_, measured) = measured(&sample, &said(200, answer));
        match (kind, measured) {
            (_, Measured::Value(value)) => panic!("{name}: {kind} is {value}"),
            ("empty", Measured::NoData(why)) => assert!(why.contains("no values found"), "{name}: {why}"),
            ("several", Measured::Failed(why)) => {
                assert!(
                    why.contains("query returned multiple values") && sample.is_named_in(&why),
                    "{name}: {why}"
                );
            }
            ("error", Measured::Failed(why)) => {
                assert!(why.contains("no such metric") && sample.is_named_in(&why), "{name}: {why}");
            }
            ("empty" | "several" | "error", other) => panic!("{name}: {kind} is {other:?}"),
            (_, Measured::Failed(why)) => assert!(sample.is_named_in(&why), "{name}: {why}"),
            (_, Measured::NoData(_) | Measured::NotANumber) => {}
        }
    }
}

#[rstest]
fn a_status_that_refuses_is_an_error_whatever_the_body_says(
    #[values(302, 307, 400, 401, 403, 429, 500, 503)] status: u16,
) {
    for sample in Sample::all() {
        let name = sample.name.as_str();
        // A proxy may send anything along, also what looks like a result, and what it was asked with.
        let bodies = [sample.answers["value"].clone(), format!("no {}", sample.credentials().join(" "))];
        for body in bodies {
            let (calls, measured) = measured(&sample, &said(status, &body));
            let Measured::Failed(why) = measured else { panic!("{name}: {status} is {measured:?}") };
            assert!(why.contains(&status.to_string()) && sample.is_named_in(&why), "{name}: {why}");
            gives_nothing_away(&calls, &why);
            let (calls, online) = online(&sample, &said(status, &body));
            gives_nothing_away(&calls, &online.expect_err(name));
        }
    }
}

#[test]
fn a_backend_that_is_overloaded_says_when_to_come_back() {
    for sample in Sample::all() {
        let (name, kind) = (&sample.name, sample.provider.kind.as_str());
        let answer = Answer { retry_after: Some(Duration::from_secs(30)), ..Answer::new(429, "slow down") };
        let (_, measured) = measured(&sample, &What::Answer(answer));
        let Measured::Failed(why) = measured else { panic!("{name}: {measured:?}") };
        let said = match kind {
            // Its words are known to alert rules.
            "prometheus" => "error response: Status 429 Too Many Requests: slow down".to_owned(),
            _ => format!("{kind} error response: slow down: 429 Too Many Requests"),
        };
        assert!(why.ends_with(&format!("{said} (try again after 30s)")), "{name}: {why}");
    }
}

#[rstest]
#[case::nothing("")]
#[case::web_page("<!DOCTYPE html><title>Login</title>")]
#[case::text("no healthy upstream")]
#[case::other_json("[1,2]")]
#[case::number("7")]
fn an_answer_of_somebody_else_is_an_error(#[case] body: &str) {
    for sample in Sample::all() {
        let name = sample.name.as_str();
        let (_, measured) = measured(&sample, &said(200, body));
        let Measured::Failed(why) = measured else { panic!("{name}: {body:?} is {measured:?}") };
        assert!(sample.is_named_in(&why), "{name}: {why}");
    }
}

#[rstest]
#[case::credentials(r#"{"AccessKeyId":"AKIA0","Token":"s3cret","Expiration":"2026"}"#)]
#[case::same_members(r#"{"status":"success","data":"s3cret","series":"s3cret","results":"s3cret"}"#)]
#[case::in_the_result(r#"{"status":"success","data":{"resultType":"s3cret","result":[{"s3cret":1}]},"series":[{"pointlist":"s3cret"}]}"#)]
#[case::text("s3cret\nhostname")]
#[case::page("<html>s3cret</html>")]
#[case::texts(r#"["s3cret"]"#)]
#[case::text_in_json("\"s3cret\"")]
#[case::cut_off(r#"{"status":"s3cret"#)]
fn an_answer_of_an_unknown_shape_is_not_repeated(#[case] body: &str) {
    // Who may write a MetricTemplate chooses whose answer this is, and events are read by many.
    for sample in Sample::all() {
        let name = sample.name.as_str();
        let (_, measured) = measured(&sample, &said(200, body));
        assert!(!format!("{measured:?}").contains("s3cret"), "{name}: {measured:?}");
        let (_, online) = online(&sample, &said(200, body));
        assert!(!format!("{online:?}").contains("s3cret"), "{name}: {online:?}");
        if !body.starts_with('s') {
            let (_, measured) = self::measured(&sample, &said(403, body));
            assert!(!format!("{measured:?}").contains("s3cret"), "{name}: {measured:?}");
        }
    }
}

#[test]
fn an_answer_that_is_cut_off_anywhere_is_an_error() {
    for sample in Sample::all() {
        let name = &sample.name;
        let (backend, asked, whole) = (sample.backend(), sample.asked(), &sample.answers["value"]);
        for end in 0..whole.len() {
            let what = said(200, &whole[..end]);
            let (_, measured) = led(|heard| backend.next(&asked, heard), &what);
            assert!(matches!(measured, Measured::Failed(_)), "{name}: {:?} is {measured:?}", &whole[..end]);
        }
    }
}

#[test]
fn no_answer_is_an_error() {
    let cause = "no complete answer within 5s".to_owned();
    let silence = Silence { call: "GET http://backend/".into(), cause, attempts: 1, hopeless: false };
    for sample in Sample::all() {
        let name = sample.name.as_str();
        let (_, measured) = measured(&sample, &What::Silence(silence.clone()));
        let Measured::Failed(why) = measured else { panic!("{name}: {measured:?}") };
        assert!(why.contains("no complete answer within 5s") && sample.is_named_in(&why), "{name}: {why}");
        let why = online(&sample, &What::Silence(silence.clone())).1.expect_err(name);
        assert!(why.contains("no complete answer within 5s"), "{name}: {why}");
    }
}

#[test]
fn the_same_question_always_gives_the_same_step() {
    for sample in Sample::all() {
        let name = &sample.name;
        let heard = [answered(200, sample.answers["value"].as_bytes())];
        for heard in [&heard[..0], &heard[..]] {
            let step = sample.backend().next(&sample.asked(), heard);
            assert_eq!(step, sample.backend().next(&sample.asked(), heard), "{name}");
        }
    }
}

/// What a backend never answers: an Alertmanager counts, and none is the good answer; a KeptnMetric has one value; an
/// Analysis is judged or not, and what has failed in it is a verdict.
const IMPOSSIBLE: [(&str, &str); 6] = [
    ("alertmanager", "several"),
    ("alertmanager", "empty"),
    ("keptn", "several"),
    ("keptn-analysis", "several"),
    ("keptn-analysis", "empty"),
    ("keptn-analysis", "error"),
];
