//! Messages, threads and refusals of Slack.

use rstest::rstest;

use super::*;
use crate::alert::testing::{bare, body, channel, heard, started, token};
use crate::api::hooks::Severity;

fn slack(address: &str) -> Slack {
    Slack::new(&channel(address)).expect("valid")
}

#[test]
fn a_message_is_one_attachment() {
    // spec: 04/AL-06 04/AL-14 01/API-069
    let call = slack("https://chat.test/services/T0/B0/x").request(&started());
    assert_eq!("https://chat.test/services/T0/B0/x", call.url());
    assert_eq!(
        concat!(
            r#"{"channel":"general","username":"flagger","icon_url":"","icon_emoji":":rocket:","#,
            r#""attachments":[{"color":"good","author_name":"podinfo.test","#,
            r#""text":"New revision detected, progressing canary analysis.","mrkdwn_in":["text"],"fields":["#,
            r#"{"title":"Cluster","value":"prod","short":false},"#,
            r#"{"title":"Target","value":"Deployment/podinfo.test","short":false}]}]}"#,
        ),
        body(&call)
    );
}

#[rstest]
#[case(Severity::Info, "good")]
#[case(Severity::Warn, "good")]
#[case(Severity::Error, "danger")]
fn an_error_is_red_and_anything_else_green(#[case] severity: Severity, #[case] color: &str) {
    // spec: 04/AL-06 01/API-069
    let text = body(&slack("https://chat.test/").request(&bare(severity, "a <b> & c")));
    assert!(text.contains(&format!(r#""color":"{color}""#)), "{text}");
    assert!(text.contains(r#""text":"a &lt;b&gt; &amp; c","mrkdwn_in":["text"],"fields":[]"#), "{text}");
}

#[test]
fn a_token_is_sent_as_bearer() {
    // spec: 04/AL-07 01/API-070
    let call =
        Slack::new(&Channel { token: "xoxb-1".into(), ..channel("https://slack.com/api/chat.postMessage") })
            .expect("valid")
            .request(&started());
    assert_eq!(Some("xoxb-1"), token(&call));
    assert_eq!(None, token(&slack("https://chat.test/").request(&started())));
}

/// The calls that `message` takes, if the channel's history is `history`.
fn told(channel_name: &str, message: &Message, history: &str) -> Vec<Call> {
    let bot = Slack::new(&Channel {
        token: "xoxb-1".into(),
        channel: channel_name.into(),
        threads: true,
        ..channel("https://slack.com/api/chat.postMessage")
    })
    .expect("valid");
    let (mut calls, mut past) = (Vec::new(), Vec::new());
    while let Next::Send(call) = bot.next(message, &past) {
        assert_eq!(Some("xoxb-1"), token(&call));
        past.push(heard(200, if call.method == Method::Get { history } else { r#"{"ok":true}"# }));
        calls.push(*call);
    }
    assert_eq!(Next::Done(Ok(())), bot.next(message, &past));
    calls
}

const HISTORY: &str = r#"{"ok":true,"messages":[
    {"ts":"9.1","text":"hello"},
    {"ts":"8.1","metadata":{"event_type":"deploy","event_payload":{"id":7}}},
    {"ts":"7.1","metadata":{"event_type":"vexil_release","event_payload":{"release":"test/podinfo/other"}}},
    {"ts":"6.1","metadata":{"event_type":"vexil_release","event_payload":{"release":"test/podinfo/7c9d467496"}}}]}"#;

#[test]
fn the_first_message_of_a_release_begins_a_thread() {
    let calls = told("C0123456789", &started(), r#"{"ok":true,"messages":[]}"#);
    assert_eq!(2, calls.len());
    assert_eq!("https://slack.com/api/conversations.history", calls[0].url());
    assert_eq!(("channel".to_owned(), "C0123456789".to_owned()), calls[0].query[0]);
    assert_eq!("https://slack.com/api/chat.postMessage", calls[1].url());
    let text = body(&calls[1]);
    let metadata =
        r#""metadata":{"event_type":"vexil_release","event_payload":{"release":"test/podinfo/7c9d467496"}}}"#;
    assert!(text.ends_with(metadata) && !text.contains("thread_ts"), "{text}");
}

#[rstest]
#[case(Severity::Info, r#","thread_ts":"6.1"}"#)]
#[case(Severity::Error, r#","thread_ts":"6.1","reply_broadcast":true}"#)]
fn what_follows_stands_below_it_and_an_error_in_the_channel_as_well(
    #[case] severity: Severity,
    #[case] expected: &str,
) {
    let text = body(&told("C0123456789", &bare(severity, "hi"), HISTORY)[1]);
    assert!(text.ends_with(expected), "{text}");
}

#[rstest]
#[case::no_right(r#"{"ok":false,"error":"missing_scope"}"#)]
#[case::no_json("<html>")]
#[case::other_shape(r#"{"ok":true,"messages":7}"#)]
fn a_history_that_cannot_be_read_keeps_no_message_back(#[case] history: &str) {
    let calls = told("C0123456789", &started(), history);
    assert!(body(&calls[1]).contains("vexil_release"));
}

#[test]
fn a_channel_that_is_named_has_no_threads() {
    let calls = told("ops", &started(), HISTORY);
    assert_eq!(1, calls.len());
    assert!(!body(&calls[0]).contains("vexil_release"));
}

#[rstest]
#[case::api("https://slack.com/api/chat.postMessage", 200, r#"{"ok":true}"#, Ok(()))]
#[case::api_refuses(
    "https://slack.com/api/chat.postMessage",
    200,
    r#"{"ok":false,"error":"channel_not_found"}"#,
    Err("sending notification refused by Slack: channel_not_found")
)]
#[case::api_limits(
    "https://slack.com/api/chat.postMessage",
    429,
    r#"{"ok":false,"error":"ratelimited"}"#,
    Err("sending notification bad response 429: ratelimited")
)]
#[case::webhook("https://hooks.slack.com/services/T0/B0/x", 200, "ok", Ok(()))]
#[case::somebody_else("https://chat.test/api/x", 200, r#"{"ok":false,"error":"no"}"#, Ok(()))]
fn the_web_api_says_in_its_body_whether_it_worked(
    #[case] address: &str,
    #[case] status: u16,
    #[case] body: &str,
    #[case] expected: Result<(), &str>,
) {
    // spec: 04/AL-08
    let delivered = slack(address).delivered(status, body.as_bytes());
    assert_eq!(expected.map_err(str::to_owned), delivered.map_err(|refused| refused.why));
}
