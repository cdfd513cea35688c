//! Calls to Prometheus and its answers, as tables.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::metrics::testing::{answered, asked, secret};
use crate::model::call::Secret;

fn spec(address: &str) -> MetricProvider {
    MetricProvider { kind: "prometheus".into(), address: Some(address.into()), ..MetricProvider::default() }
}

fn ask(provider: &Prometheus, query: &str) -> Call {
    match provider.next(&asked(query), &[]) {
        Next::Send(call) => *call,
        other => panic!("{other:?}"),
    }
}

fn param(call: &Call) -> &str {
    let parameters = match &call.body {
        Body::Form(fields) => fields,
        _ => &call.query,
    };
    assert_eq!((1, "query"), (parameters.len(), parameters[0].0.as_str()));
    &parameters[0].1
}

fn measure(body: &str) -> Measured {
    measured(200, body.as_bytes())
}

fn measured(status: u16, body: &[u8]) -> Measured {
    let provider = Prometheus::server("http://prometheus").unwrap();
    match provider.next(&asked("up"), &[answered(status, body)]) {
        Next::Done(measured) => measured,
        other => panic!("{other:?}"),
    }
}

fn vector(result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{result}]}}}}"#)
}

#[rstest]
#[case::plain("http://prometheus:9090", "http://prometheus:9090/api/v1/query")]
#[case::slash("http://prometheus:9090/", "http://prometheus:9090/api/v1/query")]
#[case::path("https://metrics.shop/prom", "https://metrics.shop/prom/api/v1/query")]
#[case::path_and_slash("https://metrics.shop/a/b/", "https://metrics.shop/a/b/api/v1/query")]
#[case::parameters("http://thanos/x?dedup=true#y", "http://thanos/x/api/v1/query")]
#[case::user("http://ann:pw@thanos/", "http://ann:pw@thanos/api/v1/query")]
#[case::ipv6("http://[::1]:9090", "http://[::1]:9090/api/v1/query")]
fn the_path_of_the_address_is_kept(#[case] address: &str, #[case] url: &str) {
    // spec: 04/PR-04
    assert_eq!(url, ask(&Prometheus::server(address).unwrap(), "up").url());
}

#[rstest]
fn an_address_that_is_no_url_is_named(
    #[values("", "prometheus", "prometheus:9090", "/api", "ftp://prometheus", "http://", "http://a b")]
    address: &str,
) {
    let expected = format!("prometheus address {address} is not a valid URL");
    assert_eq!(expected, Prometheus::server(address).unwrap_err().to_string());
}

#[test]
fn a_password_in_a_wrong_address_is_not_shown() {
    let error = Prometheus::server("http://bob:s3cret@prometheus:x").unwrap_err();
    assert_eq!("prometheus address xxxxx@prometheus:x is not a valid URL", error.to_string());
}

#[rstest]
#[case::none(None, Ok(Auth::None))]
#[case::token(Some(&[("token", "t0ken\n")][..]), Ok(Auth::Bearer("t0ken".into())))]
#[case::token_first(Some(&[("password", "pw"), ("token", "t"), ("username", "ann")][..]), Ok(Auth::Bearer("t".into())))]
#[case::basic(Some(&[("username", "ann "), ("password", "pw\r\n")][..]), Ok(Auth::Basic { username: "ann".into(), password: "pw".into() }))]
#[case::blank(Some(&[("username", ""), ("password", "pw")][..]), Ok(Auth::None))]
#[case::blank_token(Some(&[("token", " ")][..]), Ok(Auth::None))]
#[case::no_username(Some(&[("password", "pw")][..]), Err("prometheus credentials does not contain a username"))]
#[case::no_password(Some(&[("username", "ann")][..]), Err("prometheus credentials does not contain a password"))]
#[case::empty(Some(&[][..]), Err("prometheus credentials does not contain a username"))]
fn credentials_come_from_the_secret(
    #[case] pairs: Option<&[(&str, &str)]>,
    #[case] expected: Result<Auth, &str>,
) {
    // spec: 04/PR-05
    let secret = pairs.map(secret);
    let outcome = Prometheus::new(&spec("http://prometheus"), secret.as_ref());
    assert_eq!(
        expected.map_err(str::to_owned),
        outcome.map(|p| ask(&p, "up").auth).map_err(|e| e.to_string())
    );
}

#[test]
fn a_secret_that_is_not_text_is_named() {
    let secret = BTreeMap::from([("token".to_owned(), vec![0xff, 0xfe])]);
    let error = Prometheus::new(&spec("http://prometheus"), Some(&secret)).unwrap_err();
    assert_eq!("prometheus credentials contain a token that is not text", error.to_string());
}

#[test]
fn headers_and_options_of_the_template_are_used_and_do_not_pile_up() {
    // spec: 04/PR-06 04/PR-08
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let headers =
        BTreeMap::from([("X-Scope-OrgID".into(), values(&["shop"])), ("X-Tag".into(), values(&["a", "b"]))]);
    let spec =
        MetricProvider { headers: Some(headers), insecure_skip_verify: Some(true), ..spec("https://mimir") };
    let provider = Prometheus::new(&spec, Some(&secret(&[("token", "t")]))).unwrap();
    let first = ask(&provider, "up");
    let pair = |name: &str, value: &str| (name.to_owned(), Secret::from(value));
    assert_eq!(vec![pair("X-Scope-OrgID", "shop"), pair("X-Tag", "a"), pair("X-Tag", "b")], first.headers);
    assert_eq!((true, Duration::from_secs(5), Method::Get), (first.insecure, first.timeout, first.method));
    assert_eq!(first, ask(&provider, "up"));
}

#[rstest]
#[case::as_it_is("up", "up")]
#[case::folded("\n  sum(\n\t\trate(x{a=\"b  c\"}[1m])\r\n  )\n", " sum( rate(x{a=\"b c\"}[1m]) ) ")]
#[case::other_spaces_stay("a\u{a0}\u{a0}b\u{b}c", "a\u{a0}\u{a0}b\u{b}c")]
fn white_space_is_collapsed(#[case] query: &str, #[case] sent: &str) {
    // spec: 04/TP-06
    assert_eq!(sent, param(&ask(&Prometheus::server("http://prometheus").unwrap(), query)));
}

#[test]
fn a_long_query_is_posted() {
    let long = format!("sum(up{{a=\"{}\"}})", "x".repeat(3000));
    let call = ask(&Prometheus::server("http://prometheus").unwrap(), &long);
    assert_eq!((Method::Post, long.as_str()), (call.method, param(&call)));
    assert!(matches!(call.body, Body::Form(_)) && call.query.is_empty());
}

#[rstest]
fn an_empty_query_is_not_sent(#[values("", " ", "\n\t")] query: &str) {
    let provider = Prometheus::server("http://prometheus").unwrap();
    let expected = Measured::Failed("the prometheus query is empty".into());
    assert_eq!(Next::Done(expected), provider.next(&asked(query), &[]));
}

#[rstest]
#[case::vector(r#"{"metric":{},"value":[1792000000.123,"98.5"]}"#, 98.5)]
#[case::labelled(r#"{"metric":{"app":"podinfo"},"value":[1792000000,"1e-3"]}"#, 0.001)]
#[case::zero(r#"{"metric":{},"value":[1792000000,"0"]}"#, 0.0)]
#[case::negative(r#"{"metric":{},"value":[1792000000,"-4"]}"#, -4.0)]
fn one_series_is_the_value(#[case] result: &str, #[case] value: f64) {
    assert_eq!(Measured::Value(value), measure(&vector(result)));
}

#[test]
fn a_scalar_is_the_value() {
    let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1792000000,"7"]}}"#;
    assert_eq!(Measured::Value(7.0), measure(body));
}

#[test]
fn no_series_is_no_data_and_nan_is_neither_data_nor_an_error() {
    // spec: 04/PR-10 04/TH-07
    assert_eq!(Measured::NoData("no values found".into()), measure(&vector("")));
    assert_eq!(Measured::NotANumber, measure(&vector(r#"{"metric":{},"value":[1792000000,"NaN"]}"#)));
    let warned =
        r#"{"status":"success","warnings":["store-1 is down"],"data":{"resultType":"vector","result":[]}}"#;
    assert_eq!(Measured::NoData("no values found (store-1 is down)".into()), measure(warned));
}

#[rstest]
#[case::infinite(&vector(r#"{"metric":{},"value":[1,"+Inf"]}"#), "the result is +Inf, which no threshold can judge")]
#[case::two_series(
    &vector(r#"{"metric":{"a":"1"},"value":[1,"5"]},{"metric":{"a":"2"},"value":[1,"6"]}"#),
    "query returned multiple values: 2 series, make them one with sum() or max()"
)]
#[case::range(
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"5"],[2,"6"]]}]}}"#,
    "query returned multiple values"
)]
#[case::empty_range_of_a_series(
    r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[]}]}}"#,
    "query returned multiple values"
)]
#[case::empty_range(
    r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#,
    "query returned multiple values"
)]
#[case::native_histogram(
    &vector(r#"{"metric":{},"histogram":[1,{"count":"5","sum":"1","buckets":[[0,"0.1","0.2","5"]]}]}"#),
    "the result is a native histogram, take a number from it, with histogram_quantile() for example"
)]
#[case::string(
    r#"{"status":"success","data":{"resultType":"string","result":[1,"abc"]}}"#,
    "the result is a string, not a number"
)]
#[case::error_inside(
    r#"{"status":"error","errorType":"timeout","error":"query timed out in expression evaluation"}"#,
    "timeout: query timed out in expression evaluation"
)]
#[case::no_data(r#"{"status":"success"}"#, "the answer is not one of Prometheus: it has no data")]
#[case::empty("", "the answer is empty")]
#[case::blank(" \n", "the answer is empty")]
#[case::web_page("<!DOCTYPE html>\n<title>Login</title>", "the answer is not JSON but a web page")]
#[case::text("ami-id\nhostname\niam/", "the answer is not JSON but 20 bytes of something else")]
#[case::cut_off(r#"{"status":"success","data":{"#, "the answer is not JSON but 28 bytes of something else")]
fn what_is_no_single_number_is_an_error_that_says_what_came(#[case] body: &str, #[case] why: &str) {
    // spec: 04/PR-11 04/PR-12 04/PR-13 04/TH-07
    assert_eq!(Measured::Failed(why.into()), measure(body));
}

#[rstest]
#[case::list("[]")]
#[case::number("7")]
#[case::strange_status(r#"{"status":7}"#)]
#[case::data_is_text(r#"{"status":"success","data":"x"}"#)]
#[case::result_is_text(r#"{"status":"success","data":{"resultType":"vector","result":"x"}}"#)]
#[case::no_type(r#"{"status":"success","data":{"result":[]}}"#)]
#[case::no_metric(r#"{"status":"success","data":{"resultType":"vector","result":[{}]}}"#)]
#[case::number_instead_of_text(&vector(r#"{"metric":{},"value":[1,5]}"#))]
#[case::word(&vector(r#"{"metric":{},"value":[1,"many"]}"#))]
#[case::short_sample(&vector(r#"{"metric":{},"value":[1]}"#))]
#[case::scalar_list(r#"{"status":"success","data":{"resultType":"scalar","result":[]}}"#)]
fn json_of_another_shape_is_an_error(#[case] body: &str) {
    // spec: 04/PR-13
    let Measured::Failed(why) = measure(body) else { panic!("{body} was understood") };
    assert!(why.starts_with("the answer is not one of Prometheus: "), "{why}");
}

#[test]
fn absurd_nesting_is_an_error() {
    assert!(matches!(measure(&"[".repeat(100_000)), Measured::Failed(_)));
}

#[rstest]
#[case::bad_gateway(502, "upstream\n down", "error response: Status 502 Bad Gateway: upstream down")]
#[case::bad_query(
    400,
    r#"{"status":"error"}"#,
    "error response: Status 400 Bad Request: (JSON of 18 bytes, in the log at level debug)"
)]
#[case::bad_query_with_reason(
    400,
    r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#,
    "error response: Status 400 Bad Request: bad_data; parse error"
)]
#[case::redirect(
    302,
    "<a href=x>Found</a>",
    "error response: Status 302 Found: a redirect to another scheme, host or port, which is not followed: \
     write the address that it leads to"
)]
#[case::unknown(599, "", "error response: Status 599 : ")]
fn an_error_status_is_told_with_its_text(#[case] status: u16, #[case] body: &str, #[case] why: &str) {
    // spec: 04/PR-09
    assert_eq!(Measured::Failed(why.into()), measured(status, body.as_bytes()));
}

#[rstest]
#[case::one(200, &vector(r#"{"metric":{},"value":[1,"1"]}"#), Ok(()))]
#[case::other(200, &vector(r#"{"metric":{},"value":[1,"2"]}"#), Err("value is not 1 for query: vector(1)"))]
#[case::nothing(200, &vector(""), Err("no values found"))]
#[case::refused(401, "no", Err("error response: Status 401 Unauthorized: no"))]
fn a_server_is_online_when_it_can_count_to_one(
    #[case] status: u16,
    #[case] body: &str,
    #[case] expected: Result<(), &str>,
) {
    // spec: 04/PR-14
    let provider = Prometheus::server("http://prometheus").unwrap();
    let Next::Send(call) = provider.probe(&asked(""), &[]) else { panic!("no call") };
    assert_eq!("vector(1)", param(&call));
    let outcome = provider.probe(&asked(""), &[answered(status, body.as_bytes())]);
    assert_eq!(Next::Done(expected.map_err(str::to_owned)), outcome);
}

#[test]
fn no_secret_is_printed() {
    let spec = MetricProvider {
        headers: Some(BTreeMap::from([("X-Key".into(), vec!["s3cret".into()])])),
        ..spec("http://bob:s3cret@prometheus")
    };
    for secret in [&[("token", "s3cret")][..], &[("username", "ann"), ("password", "s3cret")]].map(secret) {
        let text = format!("{:?}", Prometheus::new(&spec, Some(&secret)).unwrap());
        assert!(!text.contains("s3cret") && text.contains("bob"), "{text}");
    }
}

proptest! {
    #[test]
    fn no_answer_is_too_strange(status in 0_u16.., body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(matches!(measured(status, &body), Measured::Failed(_)));
    }

    #[test]
    fn no_address_is_too_strange(address in ".{0,40}") {
        if let Ok(provider) = Prometheus::server(&address) {
            prop_assert!(ask(&provider, "up").url().ends_with("/api/v1/query"));
        }
    }
}

#[test]
fn calls_of_amazons_prometheus_are_signed_and_say_in_the_body_what_they_ask() {
    let spec = MetricProvider {
        region: Some("eu-west-1".into()),
        ..spec("https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1")
    };
    let secret = secret(&[("aws_access_key_id", "AKIDEXAMPLE"), ("aws_secret_access_key", "s3cret-key")]);
    for (secret, has_keys) in [(Some(&secret), true), (None, false)] {
        let call = ask(&Prometheus::new(&spec, secret).expect("valid"), "up");
        assert_eq!(
            ("https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/query", Method::Post),
            (call.url(), call.method)
        );
        assert_eq!(("up", true), (param(&call), call.query.is_empty()));
        let Auth::Aws(identity) = &call.auth else { panic!("{:?}", call.auth) };
        assert_eq!(("aps", "eu-west-1"), (identity.service.as_str(), identity.region.as_str()));
        assert_eq!(has_keys, identity.keys.is_some());
    }
    let half = self::secret(&[("aws_access_key_id", "AKIDEXAMPLE")]);
    let why = Prometheus::new(&spec, Some(&half)).expect_err("half a pair").to_string();
    assert!(why.starts_with("prometheus") && why.contains("aws_secret_access_key"), "{why}");
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";

#[rstest]
#[case::ca_alone(&[("ca.crt", CERTIFICATE)], Auth::None, false)]
#[case::with_a_token(&[("ca.crt", CERTIFICATE), ("token", "t0ken")], Auth::Bearer("t0ken".into()), false)]
#[case::own_certificate(&[("tls.crt", CERTIFICATE), ("tls.key", KEY)], Auth::None, true)]
#[case::blank(&[("ca.crt", CERTIFICATE), ("tls.crt", ""), ("tls.key", "\n")], Auth::None, false)]
fn the_secret_says_whom_to_trust_and_who_is_asking(
    #[case] pairs: &[(&str, &str)],
    #[case] auth: Auth,
    #[case] identified: bool,
) {
    let provider = Prometheus::new(&spec("https://prometheus:9090"), Some(&secret(pairs))).expect("valid");
    let call = ask(&provider, "up");
    assert_eq!(auth, call.auth);
    assert_eq!(pairs[0].0 == "ca.crt", call.ca.is_some_and(|ca| ca.starts_with("-----BEGIN CERTIFICATE")));
    assert_eq!(identified, call.identity.is_some_and(|identity| identity.reveal().contains("PRIVATE KEY")));
}

#[rstest]
#[case::no_pem(&[("ca.crt", "MIIB")], "a ca.crt that is no certificate in PEM")]
#[case::a_key_as_certificate(&[("tls.crt", KEY), ("tls.key", KEY)], "a tls.crt that is no certificate in PEM")]
#[case::a_certificate_as_key(&[("tls.crt", CERTIFICATE), ("tls.key", CERTIFICATE)], "a tls.key that is no key in PEM")]
#[case::half(&[("tls.crt", CERTIFICATE)], "one of tls.crt and tls.key")]
fn certificates_that_are_none_are_refused(#[case] pairs: &[(&str, &str)], #[case] expected: &str) {
    let secret = secret(pairs);
    let why =
        Prometheus::new(&spec("https://prometheus:9090"), Some(&secret)).expect_err("refused").to_string();
    assert!(why.contains(expected) && !why.contains("MIIB"), "{why}");
}
