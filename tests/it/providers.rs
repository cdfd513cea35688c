//! Every metrics backend over a socket, asked as the controller asks it: a server of the test's own answers as the
//! backend does, as one that is overloaded or not what it seems, and as one that breaks down in the middle.

use std::sync::Arc;

use futures::future::join_all;
use rstest::rstest;
use vexil::metrics::Measured;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use rough::{Manner, Rough};
use sample::Sample;

pub mod rough;
pub mod sample;

/// A server that knows the call of this backend, with its login, and no other.
async fn answering(sample: &Sample, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let call = sample.call.clone();
    let known = move |request: &Request| call.is(request);
    Mock::given(known).respond_with(answer).mount(&server).await;
    server
}

/// What this backend measures where all is answered with `answer`.
async fn measured(sample: &Sample, answer: ResponseTemplate) -> Measured {
    let server = answering(sample, answer).await;
    let measured = sample.at(&server.uri()).await.measure().await;
    gives_nothing_away(sample, &measured);
    measured
}

/// Why there is no number, and why the backend counts as not there, where `server` is all there is.
async fn fails(sample: &Sample, server: &str) -> (String, String) {
    let asking = sample.at(server).await;
    let measured = asking.measure().await;
    gives_nothing_away(sample, &measured);
    let Measured::Failed(why) = measured else { panic!("{}: {measured:?}", sample.name) };
    assert!(sample.is_named_in(&why), "{}: {why}", sample.name);
    let offline = asking.online().await.expect_err(&sample.name);
    assert!(!offline.contains("s3cret"), "{}: {offline}", sample.name);
    (why, offline)
}

fn gives_nothing_away(sample: &Sample, measured: &Measured) {
    assert!(!format!("{measured:?}").contains("s3cret"), "{}: {measured:?}", sample.name);
}

fn says(status: u16, body: impl AsRef<[u8]>) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body.as_ref(), "application/json")
}

#[tokio::test]
async fn each_shows_its_login_where_its_documentation_says_and_measures_its_value() {
    for sample in Sample::all() {
        let measured = measured(&sample, says(200, &sample.answers["value"])).await;
        assert_eq!(Measured::Value(sample.value), measured, "{}", sample.name);
    }
}

#[tokio::test]
async fn each_is_there_if_its_service_answers_as_it_does_when_it_is() {
    for sample in Sample::all().into_iter().map(Arc::new) {
        let server = MockServer::start().await;
        let asked = Arc::clone(&sample);
        Mock::given(move |request: &Request| asked.is_probe(request))
            .respond_with(says(sample.probe.status, &sample.probe.body))
            .mount(&server)
            .await;
        assert_eq!(Ok(()), sample.at(&server.uri()).await.online().await, "{}", sample.name);
    }
}

#[rstest]
#[case::several("several", "multiple values")]
#[case::empty("empty", "no values found")]
#[case::null("null", "")]
#[case::nan("nan", "")]
#[case::error("error", "no such metric")]
#[tokio::test]
async fn what_is_no_number_is_said_to_be_none(#[case] kind: &str, #[case] expected: &str) {
    let mut tried = 0;
    for sample in Sample::all() {
        // The laws in src/metrics/tests.rs say which have none of this kind, and why.
        let Some(answer) = sample.answers.get(kind) else { continue };
        tried += 1;
        match (kind, measured(&sample, says(200, answer)).await) {
            ("several" | "error", Measured::Failed(why)) | ("empty", Measured::NoData(why)) => {
                assert!(why.contains(expected), "{}: {why}", sample.name);
            }
            ("null" | "nan", Measured::Failed(_) | Measured::NoData(_) | Measured::NotANumber) => {}
            (_, other) => panic!("{}: {kind} is {other:?}", sample.name),
        }
    }
    assert!(tried > 10, "{tried} backends answer with {kind}");
}

#[rstest]
#[case::not_known(401, "401 Unauthorized")]
#[case::not_allowed(403, "403 Forbidden")]
#[case::broken(500, "500 Internal Server Error")]
#[case::not_now(503, "503 Service Unavailable")]
#[tokio::test]
async fn one_that_refuses_is_quoted_without_the_login_that_it_repeats(
    #[case] status: u16,
    #[case] expected: &str,
) {
    let all = Sample::all();
    join_all(all.iter().map(async |sample| {
        let server = MockServer::start().await;
        let repeated = format!("not with {}", sample.credentials().join(" "));
        let refusal = ResponseTemplate::new(status).set_body_string(repeated);
        Mock::given(|_: &Request| true).respond_with(refusal).mount(&server).await;
        let (why, offline) = fails(sample, &server.uri()).await;
        assert!(why.contains(expected) && offline.contains(expected), "{}: {why}, {offline}", sample.name);
    }))
    .await;
}

#[tokio::test]
async fn one_that_is_overloaded_says_when_to_come_back() {
    let all = Sample::all();
    join_all(all.iter().map(async |sample| {
        // Some are asked again at once, and wait for as long as they are told.
        let busy = ResponseTemplate::new(429).insert_header("Retry-After", "1").set_body_string("slow down");
        let measured = measured(sample, busy).await;
        let Measured::Failed(why) = measured else { panic!("{}: {measured:?}", sample.name) };
        let expected = ["429 Too Many Requests", "slow down", "(try again after 1s)"];
        assert!(expected.iter().all(|expected| why.contains(expected)), "{}: {why}", sample.name);
    }))
    .await;
}

#[rstest]
#[case::found(302)]
#[case::temporary(307)]
#[case::permanent(308)]
#[tokio::test]
async fn one_that_leads_elsewhere_is_not_followed(#[case] status: u16) {
    for sample in Sample::all() {
        let elsewhere = MockServer::start().await;
        let value = says(200, &sample.answers["value"]);
        Mock::given(|_: &Request| true).respond_with(value).mount(&elsewhere).await;
        let server = MockServer::start().await;
        let away = ResponseTemplate::new(status)
            .insert_header("Location", format!("{}/api/v1/query", elsewhere.uri()));
        Mock::given(|_: &Request| true).respond_with(away).mount(&server).await;
        let (why, _) = fails(&sample, &server.uri()).await;
        assert!(why.contains(&status.to_string()), "{}: {why}", sample.name);
        let followed = elsewhere.received_requests().await.expect("recorded");
        assert!(followed.is_empty(), "{}: {followed:?}", sample.name);
    }
}

#[rstest]
#[case::cut_off_within_the_headers(Manner::Lost)]
#[case::shorter_than_it_says(Manner::Short)]
#[case::longer_than_is_read(Manner::Huge)]
#[tokio::test]
async fn an_answer_that_does_not_come_whole_is_none(#[case] manner: Manner) {
    let all = Sample::all();
    join_all(all.iter().map(async |sample| {
        let server = Rough::start(&sample.answers["value"], manner).await;
        let (why, offline) = fails(sample, &server.url).await;
        for text in [why, offline] {
            let said = manner.said().iter().any(|expected| text.contains(expected));
            assert!(said, "{}: {text}", sample.name);
        }
    }))
    .await;
}

#[tokio::test]
async fn an_answer_that_is_cut_off_by_who_passes_it_on_is_none() {
    for sample in Sample::all() {
        let whole = &sample.answers["value"];
        let measured = measured(&sample, says(200, &whole[..whole.len() - 2])).await;
        assert!(matches!(measured, Measured::Failed(_)), "{}: {measured:?}", sample.name);
    }
}

#[rstest]
#[case::says_nothing(Manner::Silent)]
#[case::stops_in_the_middle(Manner::Stalls)]
#[tokio::test]
async fn one_that_is_too_slow_is_given_up(#[case] manner: Manner) {
    for sample in Sample::all() {
        let server = Rough::start(&sample.answers["value"], manner).await;
        let asking = sample.at(&server.url).await;
        let measuring = asking.measure();
        tokio::pin!(measuring);
        tokio::select! {
            measured = &mut measuring => panic!("{}: {measured:?}", sample.name),
            () = server.has_been_asked() => {}
        }
        // All that can happen from now on is that time passes: it need not be waited for.
        tokio::time::pause();
        let measured = measuring.await;
        tokio::time::resume();
        gives_nothing_away(&sample, &measured);
        let Measured::Failed(why) = measured else { panic!("{}: {measured:?}", sample.name) };
        assert!(why.contains("no complete answer within"), "{}: {why}", sample.name);
        assert!(sample.is_named_in(&why), "{}: {why}", sample.name);
    }
}

// spec: 04/PR-33
#[tokio::test]
async fn an_analysis_is_created_looked_at_and_deleted_also_where_it_fails_in_between() {
    let sample = Sample::of("keptn-analysis");
    let done = sample.answers["value"].clone();
    for (status, body, expected) in [
        (200, done.as_str(), Ok(1.0)),
        (200, &done[..done.len() - 2], Err("not JSON")),
        (503, "etcdserver: leader changed", Err("etcdserver: leader changed: 503")),
    ] {
        let server = MockServer::start().await;
        let on = |method: &'static str| Mock::given(wiremock::matchers::method(method));
        on("POST").respond_with(ResponseTemplate::new(201)).mount(&server).await;
        on("GET").respond_with(says(status, body)).mount(&server).await;
        on("DELETE").respond_with(ResponseTemplate::new(200)).mount(&server).await;
        let measured = sample.at(&server.uri()).await.measure().await;
        match (&measured, expected) {
            (Measured::Value(value), Ok(expected)) => assert_eq!(expected, *value),
            (Measured::Failed(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
            _ => panic!("{status} {body}: {measured:?}"),
        }
        let asked = server.received_requests().await.expect("recorded");
        let mut methods: Vec<&str> = asked.iter().map(|request| request.method.as_str()).collect();
        // An API server that is overloaded is asked again.
        methods.dedup();
        assert_eq!(["POST", "GET", "DELETE"], *methods);
        let created: serde_json::Value = serde_json::from_slice(&asked[0].body).expect("JSON");
        let name = created["metadata"]["name"].as_str().expect("a name");
        assert!(asked[1..].iter().all(|request| request.url.path().ends_with(&format!("/analyses/{name}"))));
    }
}
