//! What a mail looks like, and what of a manifest is refused.

use rstest::rstest;

use super::*;
use crate::alert::testing::{bare, started};
use crate::model::call::Method;

fn channel() -> Channel {
    Channel {
        address: "smtp://mail.example.com".into(),
        channel: "team@example.com, On Call <duty@example.com>".into(),
        username: "Releases <releases@example.com>".into(),
        login: "releases".into(),
        password: "s3cr3t-pass".into(),
        ..Channel::default()
    }
}

fn email(channel: Channel) -> Email {
    Email::new(&channel.settled()).expect("valid")
}

fn mail(email: &Email, message: &Message) -> String {
    String::from_utf8(email.mail(message)).expect("a mail is ASCII")
}

/// The value of a header, unfolded; empty if it is not there.
fn header(mail: &str, name: &str) -> String {
    let head = mail.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n ", " ");
    let found =
        head.split("\r\n").find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
    found.unwrap_or_default()
}

#[test]
fn a_mail_says_what_has_happened_to_whom_it_concerns() {
    let email = email(channel());
    let call = email.request(&started());
    assert_eq!((Method::Post, "smtp://mail.example.com"), (call.method, call.url()));
    let Body::Mail(sent) = &call.body else { panic!("no mail: {:?}", call.body) };
    assert_eq!(
        ("releases@example.com", vec!["team@example.com".to_owned(), "duty@example.com".to_owned()]),
        (sent.from.as_str(), sent.to.clone())
    );
    let text = mail(&email, &started());
    assert_eq!("Releases <releases@example.com>", header(&text, "From"));
    assert_eq!("team@example.com, \"On Call\" <duty@example.com>", header(&text, "To"));
    assert_eq!("podinfo.test: New revision detected, progressing canary analysis.", header(&text, "Subject"));
    assert_eq!("Wed, 14 Oct 2026 17:48:43 +0000", header(&text, "Date"));
    assert_eq!("auto-generated", header(&text, "Auto-Submitted"));
    for said in ["Canary: podinfo.test\r\n", "Release: 7c9d467496\r\n", "Cluster: prod\r\n"] {
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_mail_keeps_its_id_and_answers_to_that_of_its_release() {
    let email = email(channel());
    let (first, again) = (mail(&email, &started()), mail(&email, &started()));
    assert_eq!(first, again);
    let failed =
        mail(&email, &bare(Severity::Error, "Rolling back podinfo.test failed checks threshold reached 5"));
    assert_ne!(header(&first, "Message-ID"), header(&failed, "Message-ID"));
    assert!(header(&first, "Message-ID").ends_with("@example.com>"), "{first}");
    assert!(header(&first, "In-Reply-To").ends_with("@example.com>"), "{first}");
    assert_eq!(header(&first, "In-Reply-To"), header(&failed, "In-Reply-To"));
    assert_eq!(header(&first, "References"), header(&failed, "In-Reply-To"));
    assert_eq!(("high", ""), (header(&failed, "Importance").as_str(), header(&first, "Importance").as_str()));
    let mut other = started();
    other.moment.as_mut().expect("a moment").release = "6d5f8c".into();
    assert_ne!(header(&first, "In-Reply-To"), header(&mail(&email, &other), "In-Reply-To"));
}

#[test]
fn a_thread_has_one_subject_if_that_is_wanted() {
    let email = email(Channel { threads: true, ..channel() });
    let subjects = [started(), bare(Severity::Error, "failed")]
        .map(|message| header(&mail(&email, &message), "Subject"));
    assert_eq!(["podinfo.test: release 7c9d467496"; 2].map(str::to_owned), subjects);
}

#[test]
fn what_an_older_version_has_left_has_no_time_and_no_thread() {
    let text = mail(&email(channel()), &Message { moment: None, ..started() });
    assert_eq!(["", "", ""], ["Date", "In-Reply-To", "References"].map(|name| header(&text, name)));
}

#[rstest]
#[case::a_header("x\r\nBcc: evil@example.com\r\n\r\nhello")]
#[case::half_a_line("x\nBcc: evil@example.com")]
#[case::carriage_return("x\rBcc: evil@example.com")]
#[case::the_end("x\r\n.\r\nMAIL FROM:<evil@example.com>\r\n")]
#[case::the_end_in_half("x\n.\nMAIL FROM:<evil@example.com>\n")]
#[case::a_terminal("x\u{1b}]0;evil\u{7}")]
#[case::other_script("Fehler \u{e4}\u{20ac} \u{202e}evil")]
#[case::long("x".repeat(100_000))]
fn no_text_becomes_a_header_or_ends_the_mail(#[case] text: impl Into<String>) {
    let text = text.into();
    let field = crate::alert::Field { name: text.clone(), value: text.clone() };
    let message = Message { fields: vec![field], ..bare(Severity::Warn, &text) };
    let mail = mail(&email(channel()), &message);
    let (head, body) = mail.split_once("\r\n\r\n").expect("head and body");
    assert!(!head.contains("\r\nBcc") && head.lines().all(|line| line.len() < 998), "{head}");
    assert!(mail.is_ascii() && !body.replace("\r\n", "").contains(['\r', '\n', '\u{1b}']), "{mail}");
    assert!(mail.split("\r\n").all(|line| line.len() <= 998), "{mail}");
}

#[rstest]
#[case::plain("smtp://bob:s3cr3t-word@mail.example.com", "", "", Some(("bob", "s3cr3t-word")))]
#[case::encoded("smtps://bob%40example.com:a%2Fb+c@mail.example.com", "", "", Some(("bob@example.com", "a/b+c")))]
#[case::keys_win("smtp://bob:word@mail.example.com", "eve", "s3cr3t", Some(("eve", "s3cr3t")))]
#[case::none("smtp://mail.example.com?tls=none", "", "", None)]
fn credentials_are_those_of_the_secret(
    #[case] address: &str,
    #[case] login: &str,
    #[case] password: &str,
    #[case] expected: Option<(&str, &str)>,
) {
    let channel =
        Channel { address: address.into(), login: login.into(), password: password.into(), ..channel() };
    let call = email(channel).request(&started());
    let sent = match &call.auth {
        Auth::Basic { username, password } => Some((username.as_str(), password.reveal())),
        _ => None,
    };
    assert_eq!(expected, sent);
    assert!(!call.url().contains('@') && !format!("{call:?}").contains("s3cr3t"), "{call:?}");
}

#[rstest]
#[case::web(Channel { address: "https://mail.example.com".into(), ..channel() }, "scheme \"https\" is neither smtp nor smtps")]
#[case::no_host(Channel { address: "smtp:team@example.com".into(), ..channel() }, "empty host")]
#[case::query(Channel { address: "smtp://mail.example.com?tls=opportunistic".into(), ..channel() }, "takes tls=none")]
#[case::no_tls_over_tls(Channel { address: "smtps://mail.example.com?tls=none".into(), ..channel() }, "takes tls=none")]
#[case::path(Channel { address: "smtp://mail.example.com/x".into(), ..channel() }, "it has a path")]
#[case::in_the_clear(Channel { address: "smtp://mail.example.com?tls=none".into(), ..channel() }, "is not sent without encryption")]
#[case::no_sender(Channel { username: String::new(), ..channel() }, "spec.username \"flagger\" is no sender")]
#[case::no_recipient(Channel { channel: String::new(), ..channel() }, "spec.channel \"general\" is no list of recipients")]
#[case::header(Channel { channel: "a@example.com\r\nBcc: b@example.com".into(), ..channel() }, "is no list of recipients")]
#[case::command(Channel { username: "<a@example.com>\r\nRCPT TO:<b@example.com>".into(), ..channel() }, "is no sender")]
#[case::many(Channel { channel: ["a@example.com"; 51].join(","), ..channel() }, "more than 50 recipients")]
#[case::half(Channel { password: String::new(), ..channel() }, "one of username and password")]
#[case::proxy(Channel { proxy: "proxy.test:3128".into(), ..channel() }, "spec.proxy is for HTTP")]
#[case::ca(Channel { ca: "MIIB".into(), ..channel() }, "ca.crt in the Secret holds no certificate")]
fn what_cannot_be_used_is_refused_with_its_field(#[case] channel: Channel, #[case] expected: &str) {
    let why = Email::new(&channel.settled()).expect_err("refused").to_string();
    assert!(why.contains(expected) && !why.contains("s3cr3t"), "{why}");
}

#[rstest]
#[case::taken(200, "2.0.0 Ok: queued", None)]
#[case::not_now(503, "451 4.7.1 Greylisted", Some(("the mail server says: 451 4.7.1 Greylisted", true)))]
#[case::never(400, "550 5.1.1 no such user", Some(("the mail server says: 550 5.1.1 no such user", false)))]
#[case::for_some(207, "gone@example.com (550 no such user)", Some(("for all but gone@example.com (550 no such user)", false)))]
fn what_the_server_says_is_said(
    #[case] status: u16,
    #[case] body: &str,
    #[case] refused: Option<(&str, bool)>,
) {
    let told = email(channel()).delivered(status, body.as_bytes()).err();
    match (&told, refused) {
        (None, None) => {}
        (Some(told), Some((why, passing))) => {
            assert!(told.why.contains(why) && told.passing == passing, "{told:?}");
        }
        _ => panic!("{told:?}"),
    }
}
