//! Calls to CloudWatch and its answers, as tables.

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::metrics::testing::{answered, asked, secret};

const KEYS: &[(&str, &str)] = &[(KEY, "AKIDEXAMPLE\n"), (SECRET_KEY, "s3cr3t"), (SESSION_TOKEN, "t0ken")];

fn cloudwatch(region: &str, pairs: Option<&[(&str, &str)]>) -> Result<CloudWatch, Error> {
    let spec = MetricProvider { region: Some(region.to_owned()), ..MetricProvider::default() };
    CloudWatch::new(&spec, pairs.map(secret).as_ref())
}

fn sent(query: &str) -> Call {
    match cloudwatch("eu-west-1", Some(KEYS)).expect("valid").next(&asked(query), &[]) {
        Next::Send(call) => *call,
        other => panic!("{other:?}"),
    }
}

fn body(call: &Call) -> Value {
    serde_json::from_slice(&call.body.bytes()).expect("JSON")
}

fn measured(body: &str) -> Measured {
    let cloudwatch = cloudwatch("eu-west-1", None).expect("valid");
    match cloudwatch.next(&asked("[]"), &[answered(200, body.as_bytes())]) {
        Next::Done(measured) => measured,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_query_is_posted_with_its_window_whatever_the_case_of_its_keys() {
    // spec: 04/PR-18
    let call = sent(
        r#"[
          {"id": "e1", "EXPRESSION": "m1 / m2", "Label": "Errors"},
          {"ID": "m1", "metricStat": {"Metric": {"namespace": "App", "MetricName": "Errors",
            "dimensions": [{"name": "Name", "VALUE": "podinfo \"x\""}]}, "period": 60, "Stat": "Sum", "unit": "Count"},
           "returnData": false, "accountid": "1", "Unknown": 1}
        ]"#,
    );
    assert_eq!("https://monitoring.eu-west-1.amazonaws.com/", call.url());
    let target = Secret::from("GraniteServiceVersion20100801.GetMetricData");
    assert_eq!(vec![("X-Amz-Target".to_owned(), target)], call.headers);
    assert_eq!(Some("application/x-amz-json-1.0"), call.body.content_type());
    assert_eq!((Duration::from_secs(5), 2), (call.timeout, call.retries));
    let metric = json!({
        "Namespace": "App", "MetricName": "Errors", "Dimensions": [{"Name": "Name", "Value": "podinfo \"x\""}],
    });
    let expected = json!({
        "MetricDataQueries": [
            {"Id": "e1", "Expression": "m1 / m2", "Label": "Errors"},
            {"Id": "m1", "AccountId": "1", "ReturnData": false,
             "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum", "Unit": "Count"}},
        ],
        "StartTime": 1_784_634_600,
        "EndTime": 1_784_635_200,
        "MaxDatapoints": 20,
        "ScanBy": "TimestampDescending",
    });
    assert_eq!(expected, body(&call));
}

#[rstest]
#[case::no_json("up", "cloudwatch: error unmarshaling query: expected value at line 1 column 1")]
#[case::object("{}", "cloudwatch: error unmarshaling query: invalid type: map, expected a sequence")]
#[case::nothing_in_it("[]", "cloudwatch: error unmarshaling query: the list is empty")]
#[case::nothing(" ", "the cloudwatch query is empty")]
fn a_query_that_is_none_says_why(#[case] query: &str, #[case] why: &str) {
    let step = cloudwatch("eu-west-1", None).expect("valid").next(&asked(query), &[]);
    assert_eq!(Next::Done(Measured::Failed(why.to_owned())), step);
}

#[rstest]
#[case::secret(Some(KEYS), Some(("AKIDEXAMPLE", "s3cr3t", Some("t0ken"))))]
#[case::no_secret(None, None)]
#[case::other_secret(Some(&[("project", "x")][..]), None)]
fn keys_come_from_the_secret_or_the_environment(
    #[case] pairs: Option<&[(&str, &str)]>,
    #[case] expected: Option<(&str, &str, Option<&str>)>,
) {
    let provider = cloudwatch("us-east-1", pairs).expect("valid");
    let Next::Send(call) = provider.probe(&asked(""), &[]) else { panic!("no call") };
    let keys = expected.map(|(id, secret, token)| AwsKeys {
        access_key_id: id.into(),
        secret_access_key: secret.into(),
        session_token: token.map(Secret::from),
    });
    let identity =
        AwsIdentity { region: "us-east-1".into(), service: "monitoring".into(), keys, at: asked("").now };
    assert_eq!(Auth::Aws(Box::new(identity)), call.auth);
}

#[rstest]
#[case::no_region("", None, "region not specified")]
#[case::host("x.evil.test/", None, "region \"x.evil.test/\" is not one of AWS")]
#[case::half(
    "eu-west-1",
    Some(&[(KEY, "AKID")][..]),
    "cloudwatch credentials does not contain aws_secret_access_key"
)]
#[case::header("eu-west-1", Some(&[(KEY, "A/B"), (SECRET_KEY, "x")][..]), "cloudwatch credentials contain an aws_access_key_id that is none")]
fn what_cannot_be_asked_is_named(
    #[case] region: &str,
    #[case] pairs: Option<&[(&str, &str)]>,
    #[case] expected: &str,
) {
    // spec: 04/PR-20
    assert_eq!(expected, cloudwatch(region, pairs).unwrap_err().to_string());
}

#[test]
fn china_has_a_domain_of_its_own() {
    assert_eq!(
        "https://monitoring.cn-north-1.amazonaws.com.cn/",
        cloudwatch("cn-north-1", None).expect("valid").url
    );
}

#[rstest]
#[case::newest(r#"[{"Values":[1.5,9]}]"#, Measured::Value(1.5))]
#[case::partial(r#"[{"Values":[1],"StatusCode":"PartialData"}]"#, Measured::Value(1.0))]
#[case::null_is_not_zero(r#"[{"Values":[null,2]}]"#, Measured::Value(2.0))]
#[case::nan(r#"[{"Values":["NaN"]}]"#, Measured::NotANumber)]
#[case::infinite(r#"[{"Values":["Infinity"]}]"#, Measured::Failed("the result is +Inf, which no threshold can judge".into()))]
#[case::word(r#"[{"Values":["much"]}]"#, Measured::Failed("cloudwatch: a value is not a number: much".into()))]
#[case::message(r#"[{"Values":[],"Messages":[{"Code":"x","Value":"no such metric"}]}]"#, Measured::NoData("cloudwatch invalid response: no such metric: no values found".into()))]
#[case::forbidden(r#"[{"Values":[],"StatusCode":"Forbidden","Messages":[{"Value":"not this account"}]}]"#, Measured::Failed("cloudwatch: the query failed: Forbidden not this account".into()))]
#[case::several(r#"[{"Values":[1]},{"Values":[]}]"#, Measured::Failed("cloudwatch: query returned multiple values: 2 results, set ReturnData to false for all queries but one".into()))]
fn the_newest_value_counts(#[case] results: &str, #[case] expected: Measured) {
    // spec: 04/PR-18
    assert_eq!(expected, measured(&format!(r#"{{"MetricDataResults":{results}}}"#)));
}

#[rstest]
#[case::empty(200, "{\"MetricDataResults\":[]}", true)]
#[case::fault(400, r#"{"__type":"com.amazon.coral.service#ValidationException","message":"…"}"#, true)]
#[case::parameter(400, r#"{"__type":"InvalidParameterCombinationException"}"#, true)]
#[case::unknown_key(400, r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException"}"#, false)]
#[case::denied(400, r#"{"__type":"AccessDeniedException"}"#, false)]
#[case::forbidden(403, r#"{"__type":"InvalidParameterValue"}"#, false)]
#[case::somebody_else(400, "<html>", false)]
fn it_is_there_if_it_finds_fault_with_nothing_but_the_request(
    #[case] status: u16,
    #[case] body: &str,
    #[case] there: bool,
) {
    // spec: 04/PR-19
    let provider = cloudwatch("eu-west-1", None).expect("valid");
    let step = provider.probe(&asked(""), &[answered(status, body.as_bytes())]);
    let Next::Done(online) = step else { panic!("{step:?}") };
    assert_eq!(there, online.is_ok(), "{online:?}");
}

#[test]
fn a_probe_asks_for_nothing() {
    // spec: 04/PR-19
    let provider = cloudwatch("eu-west-1", None).expect("valid");
    let Next::Send(call) = provider.probe(&asked(""), &[]) else { panic!("no call") };
    assert_eq!(json!({"MetricDataQueries": [], "StartTime": 0, "EndTime": 0}), body(&call));
}
