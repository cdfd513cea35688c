//! Queries to New Relic and its answers, as tables.

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::metrics::testing::{answered, asked, secret};

const KEYS: [(&str, &str); 2] = [("newrelic_account_id", "1234\n"), ("newrelic_query_key", "k3y")];

fn newrelic(address: &str) -> Result<NewRelic, Error> {
    let spec = MetricProvider { address: Some(address.to_owned()), ..MetricProvider::default() };
    NewRelic::new(&spec, Some(&secret(&KEYS)))
}

fn sent(address: &str, query: &str) -> Call {
    match newrelic(address).expect("valid").next(&asked(query), &[]) {
        Next::Send(call) => *call,
        other => panic!("{other:?}"),
    }
}

fn measured(address: &str, body: &str) -> Measured {
    match newrelic(address).expect("valid").next(&asked("q"), &[answered(200, body.as_bytes())]) {
        Next::Done(measured) => measured,
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::default("", "https://insights-api.newrelic.com/v1/accounts/1234/query")]
#[case::own(
    "https://insights-api.eu.newrelic.com/",
    "https://insights-api.eu.newrelic.com/v1/accounts/1234/query"
)]
fn a_query_goes_to_the_account_with_its_window(#[case] address: &str, #[case] url: &str) {
    // spec: 04/PR-21
    let call = sent(address, "SELECT average(duration)\n  FROM Transaction\n");
    let nrql = "SELECT average(duration)\n  FROM Transaction SINCE 60 seconds ago";
    assert_eq!((url, vec![("nrql".to_owned(), nrql.to_owned())]), (call.url(), call.query.clone()));
    assert_eq!(vec![("X-Query-Key".to_owned(), Secret::from("k3y"))], call.headers);
    assert_eq!(Duration::from_secs(5), call.timeout);
}

#[rstest]
#[case::own("SELECT count(*) FROM T since 2 minutes ago", true)]
#[case::in_a_text("SELECT count(*) FROM T WHERE a = 'since'", false)]
#[case::behind_an_escape(r"SELECT count(*) FROM T WHERE a = 'it\'s since'", false)]
#[case::in_a_name("SELECT max(sinceStart) FROM T", false)]
fn a_window_of_the_users_own_stays(#[case] query: &str, #[case] own: bool) {
    let window = if own { "" } else { " SINCE 60 seconds ago" };
    assert_eq!(format!("{query}{window}"), sent("", query).query[0].1);
}

#[test]
fn nerdgraph_is_asked_where_the_address_says_so() {
    let call = sent("https://api.newrelic.com/graphql", "SELECT \"x\" FROM T");
    assert_eq!("https://api.newrelic.com/graphql", call.url());
    assert_eq!(vec![("API-Key".to_owned(), Secret::from("k3y"))], call.headers);
    let body: Value = serde_json::from_slice(&call.body.bytes()).expect("JSON");
    assert_eq!(
        json!({"account": 1234, "nrql": "SELECT \"x\" FROM T SINCE 60 seconds ago"}),
        body["variables"]
    );
}

#[rstest]
#[case::result(r#"{"results":[{"result":1.5}]}"#, Ok(1.5))]
#[case::result_first(r#"{"results":[{"count":7,"result":1}]}"#, Ok(1.0))]
#[case::average(r#"{"results":[{"average":2.5}]}"#, Ok(2.5))]
#[case::percentile(r#"{"results":[{"percentiles":{"95":0.25}}]}"#, Ok(0.25))]
#[case::bounds(
    r#"{"results":[{"count":3,"beginTimeSeconds":1,"endTimeSeconds":2,"inspectedCount":9}]}"#,
    Ok(3.0)
)]
#[case::two_percentiles(
    r#"{"results":[{"percentiles":{"95":0.2,"99":0.3}}]}"#,
    Err("newrelic: query returned multiple values: 2 fields, select one")
)]
#[case::facets(
    r#"{"results":[],"facets":[{"name":"a"}]}"#,
    Err("newrelic: query returned multiple values: the query has a FACET clause")
)]
#[case::text(r#"{"results":[{"result":"much"}]}"#, Err("newrelic: the result is not a number: \"much\""))]
fn the_one_number_counts(#[case] body: &str, #[case] expected: Result<f64, &str>) {
    // spec: 04/PR-21 04/PR-22
    let expected = match expected {
        Ok(value) => Measured::Value(value),
        Err(why) => Measured::Failed(why.to_owned()),
    };
    assert_eq!(expected, measured("", body));
}

#[rstest]
#[case::missing(r#"{"results":[{}]}"#)]
#[case::null(r#"{"results":[{"average":null}]}"#)]
#[case::none(r#"{"results":[]}"#)]
fn no_number_is_no_value(#[case] body: &str) {
    let size = body.len();
    assert_eq!(
        Measured::NoData(format!(
            "newrelic invalid response: (JSON of {size} bytes, in the log at level debug): no values found"
        )),
        measured("", body)
    );
}

#[rstest]
#[case::value(
    r#"{"data":{"actor":{"account":{"nrql":{"results":[{"average.duration":0.5}]}}}}}"#,
    Measured::Value(0.5)
)]
#[case::error(r#"{"data":null,"errors":[{"message":"NRQL Syntax Error"}]}"#, Measured::Failed("newrelic: the query failed: NRQL Syntax Error".into()))]
#[case::no_account(r#"{"data":{"actor":{"account":null}}}"#, Measured::Failed("newrelic: the answer is not one of a query: it has no results".into()))]
fn nerdgraph_answers(#[case] body: &str, #[case] expected: Measured) {
    assert_eq!(expected, measured("https://api.eu.newrelic.com/graphql", body));
}

#[rstest]
#[case::nothing(&[], "newrelic credentials does not contain the key 'newrelic_account_id'")]
#[case::no_key(&[("newrelic_account_id", "1")], "newrelic credentials does not contain the key 'newrelic_query_key'")]
#[case::path(&[("newrelic_account_id", "1/../2"), ("newrelic_query_key", "k")], "newrelic credentials contain a newrelic_account_id that is not a number")]
fn account_and_key_are_needed(#[case] pairs: &[(&str, &str)], #[case] expected: &str) {
    let spec = MetricProvider::default();
    assert_eq!(expected, NewRelic::new(&spec, Some(&secret(pairs))).unwrap_err().to_string());
}

#[test]
fn it_is_there_if_it_takes_a_query() {
    let newrelic = newrelic("").expect("valid");
    let Next::Send(call) = newrelic.probe(&asked(""), &[]) else { panic!("no call") };
    assert_eq!("SELECT * FROM Metric LIMIT 1 SINCE 60 seconds ago", call.query[0].1);
    assert_eq!(Next::Done(Ok(())), newrelic.probe(&asked(""), &[answered(200, b"{\"results\":[]}")]));
    let refused = "newrelic error response: no: 403 Forbidden".to_owned();
    assert_eq!(Next::Done(Err(refused)), newrelic.probe(&asked(""), &[answered(403, b"no")]));
}
