//! Conversations with a scripted other side, in virtual time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use ::http as wire;
use bytes::Bytes;
use chrono::DateTime;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::Full;

use super::*;
use crate::http::{Cause, Limits, Request, Response, Transport};
use crate::metrics::testing::Sample;
use crate::model::call::{Body, Secret};

/// Answers in this order, the last one over and over, and notes down what it was asked.
pub(super) struct Script {
    answers: Mutex<VecDeque<Line>>,
    asked: Mutex<Vec<Request>>,
}

#[derive(Clone)]
pub(super) enum Line {
    Says(u16, &'static str),
    /// The same with headers.
    With(u16, Vec<(&'static str, &'static str)>, String),
    /// Only this status, after half a second.
    Late(u16),
    Floods,
    Hangs,
    Refuses,
    /// The connection is lost in the middle of the answer.
    Breaks,
}

impl Script {
    pub fn of(lines: &[Line]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(lines.iter().cloned().collect()), asked: Mutex::default() })
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

impl Transport for Script {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        let most = request.max_bytes;
        self.asked.lock().unwrap().push(request);
        let mut answers = self.answers.lock().unwrap();
        let line = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        async move {
            match line {
                Line::Says(status, body) => Ok(Response::new(status, body)),
                Line::With(status, headers, body) => {
                    let mut answer = Response::new(status, body);
                    for (name, value) in headers {
                        answer.headers.insert(name, value.parse().expect("a value"));
                    }
                    Ok(answer)
                }
                Line::Late(status) => {
                    sleep(Duration::from_millis(500)).await;
                    Ok(Response::new(status, ""))
                }
                Line::Floods => Ok(Response::new(200, vec![b'7'; most + 1])),
                Line::Hangs => std::future::pending().await,
                Line::Refuses => Err(Cause::Connect("connection refused".into())),
                Line::Breaks => Err(Cause::Broken("connection reset by peer".into())),
            }
        }
        .boxed()
    }
}

fn outside(script: &Arc<Script>) -> Calls {
    Calls::outside(http::Client::over(script.clone(), Limits::default()))
}

/// The network, and a cluster whose API behaves as the script says.
fn everywhere(script: &Arc<Script>) -> Calls {
    let over = script.clone();
    let service = tower::service_fn(move |request: wire::Request<kube::client::Body>| {
        let script = over.clone();
        async move {
            let url = format!("http://cluster{}", request.uri());
            let said = script.send(Request::new(request.method().clone(), url)).await?;
            let mut answer = wire::Response::builder().status(said.status).body(Full::new(said.body))?;
            *answer.headers_mut() = said.headers;
            Ok::<_, tower::BoxError>(answer)
        }
    });
    Calls::new(kube::Client::new(service, "default"), http::Client::over(script.clone(), Limits::default()))
}

fn status_of(heard: &[Heard]) -> Option<u16> {
    match &heard.last()?.what {
        What::Answer(answer) => Some(answer.status),
        _ => None,
    }
}

/// Creates a job, asks for it each second until it is done, deletes it.
fn job(heard: &[Heard]) -> Next<&'static str> {
    let done =
        heard.iter().position(|heard| matches!(&heard.what, What::Answer(answer) if answer.body == b"done"));
    match (heard.len(), done) {
        (0, _) => Next::send(Call::post("http://jobs/", Body::json(&"job"))),
        (length, Some(at)) if at + 1 == length => {
            Next::send(Call::new(Method::Delete, Address::Url("http://jobs/1".into())))
        }
        (_, Some(_)) => Next::Done("measured"),
        _ if status_of(heard) == Some(200) => Next::Wait(Duration::from_secs(1)),
        _ => Next::send(Call::get("http://jobs/1")),
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_creates_polls_and_deletes() {
    let lines =
        [Line::Says(201, ""), Line::Says(200, "busy"), Line::Says(200, "busy"), Line::Says(200, "done")];
    let script = Script::of(&lines);
    let began = Instant::now();
    let ended = outside(&script).converse(LONGEST, job).await;
    assert_eq!(Ok("measured"), ended.outcome);
    assert_eq!(Duration::from_secs(2), began.elapsed());
    let asked: Vec<_> =
        script.asked().iter().map(|request| format!("{} {}", request.method, request.url)).collect();
    assert_eq!(
        vec![
            "POST http://jobs/",
            "GET http://jobs/1",
            "GET http://jobs/1",
            "GET http://jobs/1",
            "DELETE http://jobs/1"
        ],
        asked
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_fetches_a_token_first_and_nobody_sees_it() {
    let script = Script::of(&[Line::Says(200, "t0ken"), Line::Says(403, "t0ken is not allowed")]);
    let ended = outside(&script)
        .converse(LONGEST, |heard| match heard {
            [] => Next::send(Call::post("http://tokens/", Body::Form(vec![("grant".into(), "x y".into())]))),
            [Heard { what: What::Answer(answer), .. }] => {
                let token = Secret::new(String::from_utf8_lossy(&answer.body));
                Next::send(Call { auth: Auth::Bearer(token), ..Call::get("http://metrics/") })
            }
            [.., Heard { what: What::Answer(answer), .. }] => {
                Next::Done(String::from_utf8_lossy(&answer.body).into_owned())
            }
            other => panic!("{other:?}"),
        })
        .await;
    let asked = script.asked();
    assert_eq!(
        (&b"grant=x+y"[..], http::Auth::Bearer("t0ken".into())),
        (&*asked[0].body, asked[1].auth.clone())
    );
    let said = ended.outcome.clone().expect("an end");
    assert_eq!("xxxxx is not allowed", ended.redact(&said));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_ends_is_broken_off() {
    let script = Script::of(&[Line::Says(200, "busy")]);
    let calls = outside(&script);
    let ended = calls.converse(LONGEST, |_| Next::<()>::send(Call::get("http://jobs/1"))).await;
    assert_eq!((Err(Endless::TooMany(TURNS)), TURNS), (ended.outcome, script.asked().len()));
    let began = Instant::now();
    let ended = calls.converse(LONGEST, |_| Next::<()>::Wait(Duration::from_secs(7))).await;
    assert_eq!((Err(Endless::TooLong(LONGEST)), LONGEST), (ended.outcome, began.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_dropped_sends_nothing_more() {
    let script = Script::of(&[Line::Says(200, "busy")]);
    let calls = outside(&script);
    let talk = calls.converse(LONGEST, job);
    assert!(tokio::time::timeout(Duration::from_millis(1500), talk).await.is_err());
    let asked = script.asked().len();
    sleep(2 * LONGEST).await;
    assert_eq!(asked, script.asked().len());
}

#[tokio::test(start_paused = true)]
async fn every_backend_that_hangs_floods_breaks_off_or_refuses_is_an_error() {
    let cases = [
        (Line::Hangs, "no complete answer"),
        (Line::Floods, "longer than"),
        (Line::Breaks, "connection failed: connection reset by peer"),
        (Line::Refuses, "refused"),
    ];
    for sample in Sample::all() {
        let (backend, asked) = (sample.backend(), sample.asked());
        for (line, why) in &cases {
            let calls = everywhere(&Script::of(std::slice::from_ref(line)));
            let Measured::Failed(text) = calls.measure(backend.as_ref(), &asked).await else {
                panic!("{}: {why}", sample.name)
            };
            assert!(text.contains(why) && !text.contains("s3cret"), "{}: {text}", sample.name);
            let text = calls.online(backend.as_ref(), &asked).await.expect_err(&sample.name);
            assert!(text.contains(why) && !text.contains("s3cret"), "{}: {text}", sample.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_backend_that_is_overloaded_says_when_to_come_back() {
    let busy = Line::With(429, vec![("retry-after", "7")], "slow down".to_owned());
    for sample in Sample::all() {
        let calls = everywhere(&Script::of(std::slice::from_ref(&busy)));
        let measured = calls.measure(sample.backend().as_ref(), &sample.asked()).await;
        let Measured::Failed(why) = &measured else { panic!("{}: {measured:?}", sample.name) };
        assert!(why.contains("429") && why.ends_with("(try again after 7s)"), "{}: {why}", sample.name);
    }
}

#[tokio::test(start_paused = true)]
async fn the_clusters_own_api_is_called_within_bounds() {
    let service = tower::service_fn(|request: wire::Request<kube::client::Body>| async move {
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        if path.contains("slow") {
            std::future::pending::<()>().await;
        }
        let text = format!("{} {path}", request.method());
        let answer = wire::Response::builder().status(404).body(Full::new(Bytes::from(text)));
        Ok::<_, tower::BoxError>(answer.expect("a response"))
    });
    let client = kube::Client::new(service, "default");
    let calls = Calls::new(client, http::Client::over(Script::of(&[Line::Refuses]), Limits::default()));
    let cluster = |path: &str| Call {
        query: vec![("labelSelector".into(), "a=b".into())],
        ..Call::new(Method::Get, Address::Cluster(path.into()))
    };
    let answer = calls.send(&cluster("/apis/x")).await.expect("an answer");
    assert_eq!((404, &b"GET /apis/x?labelSelector=a%3Db"[..]), (answer.status, answer.body.as_slice()));
    let slow = calls.send(&cluster("/apis/slow")).await.expect_err("no answer");
    assert_eq!("GET /apis/slow: no complete answer within 10s: context deadline exceeded", slow.to_string());
    let large = calls.send(&Call { max_bytes: 3, ..cluster("/apis/x") }).await.expect_err("too large");
    assert_eq!("GET /apis/x: the answer is longer than 3 bytes", large.to_string());
}

#[tokio::test(start_paused = true)]
async fn all_that_ask_a_backend_the_same_at_the_same_moment_ask_once() {
    for sample in Sample::all() {
        let (backend, asked) = (sample.backend(), sample.asked());
        // An Analysis of Keptn's is made for each release that is judged by it.
        let times = if first_call(backend.as_ref(), &asked).creates { 20 } else { 1 };
        let script = Script::of(&[Line::Late(401)]);
        let calls = everywhere(&script);
        let for_release = |number: usize| {
            let party = http::Party::new(http::Sort::Query, "shop", &number.to_string());
            calls.on_behalf_of(party)
        };
        let all: Vec<Calls> = (0..20).map(for_release).collect();
        let answers = all.iter().map(|calls| calls.measure(backend.as_ref(), &asked));
        let answers = futures::future::join_all(answers).await;
        assert!(answers.iter().all(|answer| matches!(answer, Measured::Failed(_))), "{}", sample.name);
        assert_eq!(times, script.asked().len(), "{}", sample.name);
    }
}

#[tokio::test(start_paused = true)]
async fn no_backend_is_asked_more_at_once_than_it_can_take() {
    for sample in Sample::all() {
        let script = Script::of(&[Line::Hangs]);
        let calls = everywhere(&script);
        let questions = (0..30).map(|number| {
            let party = http::Party::new(http::Sort::Query, &format!("shop-{number}"), "frontend");
            let calls = calls.on_behalf_of(party);
            // Each asks at another time, so that none is the same as another.
            let asked =
                Asked { now: sample.asked().now + chrono::TimeDelta::hours(number), ..sample.asked() };
            let backend = sample.backend();
            async move { calls.send(&other_than_others(backend.as_ref(), &asked, number)).await }
        });
        let all = futures::future::join_all(questions);
        assert!(timeout(Duration::from_secs(1), all).await.is_err(), "{}", sample.name);
        assert_eq!(20, script.asked().len(), "{}", sample.name);
    }
}

fn first_call(backend: &dyn Provider, asked: &Asked) -> Call {
    match backend.next(asked, &[]) {
        Next::Send(call) => *call,
        _ => panic!("{} makes no call", backend.name()),
    }
}

/// The first call of a question, made one of its own.
fn other_than_others(backend: &dyn Provider, asked: &Asked, number: i64) -> Call {
    let call = first_call(backend, asked);
    let mark = ("X-Number".to_owned(), Secret::new(number.to_string()));
    Call { headers: [call.headers.clone(), vec![mark]].concat(), ..call }
}

/// A Prometheus that takes four seconds for each query.
struct Slow;

impl Transport for Slow {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}"#;
            Ok(Response::new(200, body))
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_connection_is_not_the_time_of_the_one_who_is_asked() {
    let limits = Limits::of_each(http::Limit { total: 1, per_host: 1 });
    let calls = Calls::outside(http::Client::over(Arc::new(Slow), limits));
    let calls = calls.on_behalf_of(http::Party::new(http::Sort::Query, "shop", "frontend"));
    let server = crate::metrics::Prometheus::server("http://prometheus.test").expect("an address");
    // One after the other they take forty seconds, and none may take more than thirty.
    let measured = (0..10).map(|number| {
        let asked = Asked {
            query: format!("q{number}"),
            interval: Duration::from_secs(60),
            now: DateTime::default(),
        };
        let (calls, server) = (&calls, &server);
        async move { calls.measure(server, &asked).await }
    });
    let measured = futures::future::join_all(measured).await;
    assert_eq!(measured, vec![Measured::Value(7.0); 10]);
}
