//! What the client adds to any transport: retries, limits, redaction. Virtual time, no sockets.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join_all};
use reqwest::header::{HeaderValue, RETRY_AFTER};
use rstest::rstest;
use tokio::time::{Instant, sleep};

use crate::http::{
    Auth, Cause, Client, Limit, Limits, Method, Oversize, Party, Request, Response, Sort, Transport,
};

/// Answers what it is told to, in order; the last answer over and over.
struct Script {
    answers: Mutex<VecDeque<Result<Response, Cause>>>,
    takes: Duration,
    under_way: Mutex<(usize, usize)>,
    attempts: Mutex<u32>,
}

impl Script {
    fn of(answers: impl IntoIterator<Item = Result<Response, Cause>>) -> Arc<Self> {
        Self::slow(Duration::ZERO, answers)
    }

    fn slow(takes: Duration, answers: impl IntoIterator<Item = Result<Response, Cause>>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, takes, under_way: Mutex::default(), attempts: Mutex::default() })
    }

    fn attempts(&self) -> u32 {
        *self.attempts.lock().unwrap()
    }

    fn most_at_once(&self) -> usize {
        self.under_way.lock().unwrap().1
    }

    fn next(&self) -> Result<Response, Cause> {
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    }
}

impl Transport for Script {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        *self.attempts.lock().unwrap() += 1;
        async {
            {
                let mut under_way = self.under_way.lock().unwrap();
                under_way.0 += 1;
                under_way.1 = under_way.1.max(under_way.0);
            }
            sleep(self.takes).await;
            self.under_way.lock().unwrap().0 -= 1;
            self.next()
        }
        .boxed()
    }
}

fn client(script: &Arc<Script>) -> Client {
    Client::over(script.clone(), Limits::default())
}

fn status(status: u16) -> Result<Response, Cause> {
    Ok(Response::new(status, "body"))
}

fn asking_for(seconds: &'static str) -> Result<Response, Cause> {
    let mut response = Response::new(503, "");
    response.headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    Ok(response)
}

fn call(retries: u32) -> Request {
    Request { retries, ..Request::get("http://hooks.shop:8080/run") }
}

#[rstest]
#[case::none_by_default(0, 1, 0)]
#[case::one(1, 2, 1)]
#[case::doubling(4, 5, 1 + 2 + 4 + 8)]
#[case::at_most_half_a_minute(8, 9, 1 + 2 + 4 + 8 + 16 + 30 + 30 + 30)]
#[tokio::test(start_paused = true)]
async fn a_failing_server_is_tried_again_after_growing_waits(
    #[case] retries: u32,
    #[case] attempts: u32,
    #[case] seconds: u64,
) {
    // spec: 01/API-126 02/C87 04/WH-04
    let script = Script::of([status(500)]);
    let start = Instant::now();
    let answer = client(&script).send(call(retries)).await.unwrap();
    assert_eq!((attempts, 500), (answer.attempts, answer.status));
    assert_eq!(attempts, script.attempts());
    assert_eq!(Duration::from_secs(seconds), start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn attempts_end_with_the_first_good_answer() {
    let script = Script::of([status(502), Err(Cause::Connect("refused".into())), status(200)]);
    let answer = client(&script).send(call(5)).await.unwrap();
    assert_eq!((3, 200), (answer.attempts, answer.status));
}

#[rstest]
#[case::honoured("7", 2, 7)]
#[case::at_once("0", 2, 0)]
#[case::too_long_to_wait_for("3600", 1, 0)]
#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_gets_it(
    #[case] header: &'static str,
    #[case] attempts: u32,
    #[case] seconds: u64,
) {
    // spec: 01/API-126 04/WH-04
    let script = Script::of([asking_for(header), status(200)]);
    let start = Instant::now();
    let answer = client(&script).send(call(3)).await.unwrap();
    assert_eq!(attempts, answer.attempts);
    assert_eq!(Duration::from_secs(seconds), start.elapsed());
}

#[rstest]
#[case::refused(Cause::Connect("refused".into()), 3)]
#[case::broken_off(Cause::Broken("reset".into()), 3)]
#[case::slow(Cause::Timeout(Duration::from_secs(10)), 3)]
#[case::untrusted(Cause::Tls("unknown issuer".into()), 1)]
#[case::redirected_for_ever(Cause::TooManyRedirects, 1)]
#[case::too_long(Cause::TooLarge { limit: 5 }, 1)]
#[case::bad_header(Cause::InvalidHeader("x y".into()), 0)]
#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_tried_again(#[case] cause: Cause, #[case] attempts: u32) {
    // spec: 02/C87
    let error = client(&Script::of([Err(cause.clone())])).send(call(2)).await.unwrap_err();
    assert_eq!((cause, attempts), (error.cause, error.attempts));
}

#[rstest]
#[case::no_url("hooks", "relative URL without a base")]
#[case::empty("", "relative URL without a base")]
#[case::no_host("http://", "empty host")]
#[case::other_scheme("ftp://hooks/x", "scheme \"ftp\" is neither http nor https")]
#[case::local_file("file:///etc/passwd", "scheme \"file\" is neither http nor https")]
#[tokio::test(start_paused = true)]
async fn an_unusable_address_is_refused_without_an_attempt(#[case] url: &str, #[case] why: &str) {
    let script = Script::of([status(200)]);
    let error = client(&script).send(Request::get(url)).await.unwrap_err();
    assert_eq!(Cause::InvalidUrl(why.to_owned()), error.cause);
    assert_eq!((0, 0), (error.attempts, script.attempts()));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_the_whole_time_limit() {
    // spec: 02/C87 04/WH-06
    let script = Script::slow(Duration::from_secs(60), [status(200)]);
    let start = Instant::now();
    let error = client(&script).send(call(1)).await.unwrap_err();
    assert_eq!(
        "GET http://hooks.shop:8080/run: no complete answer within 10s: context deadline exceeded",
        error.to_string()
    );
    assert_eq!(2, error.attempts);
    assert_eq!(Duration::from_secs(10 + 1 + 10), start.elapsed());
}

#[rstest]
#[case::refused(Oversize::Refuse, Err(Cause::TooLarge { limit: 3 }))]
#[case::cut(Oversize::Cut, Ok("bod"))]
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_long_is_refused_or_cut(
    #[case] oversize: Oversize,
    #[case] expected: Result<&str, Cause>,
) {
    let request = Request { oversize, max_bytes: 3, ..call(0) };
    let outcome = client(&Script::of([status(200)])).send(request).await;
    assert_eq!(
        expected,
        outcome.as_ref().map(|answer| str::from_utf8(&answer.body).unwrap()).map_err(|e| e.cause.clone())
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_host_does_not_take_the_places_of_others() {
    let script = Script::slow(Duration::from_secs(5), [status(200)]);
    let client = Client::over(script.clone(), Limits::of_each(Limit { total: 100, per_host: 2 }));
    let slow = (0..50).map(|_| client.send(Request::get("http://slow/")));
    let start = Instant::now();
    let other = async {
        // Joined last, so all others are in the queue already.
        client.send(Request::get("http://other/")).await.unwrap();
        start.elapsed()
    };
    let (slow, other) = futures::join!(join_all(slow), other);
    assert_eq!(Duration::from_secs(5), other);
    assert_eq!(3, script.most_at_once());
    // Two at a time, and the time of a call does not begin before it is sent.
    assert!(slow.iter().all(Result::is_ok));
    assert_eq!(Duration::from_secs(25 * 5), start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_never_sent_says_so_and_blames_nobody() {
    let script = Script::slow(Duration::from_hours(2), [status(200)]);
    let client = Client::over(script.clone(), Limits::of_each(Limit { total: 100, per_host: 1 }));
    let patient = Request { timeout: Duration::from_hours(2), ..call(0) };
    let (_, refused) = futures::join!(client.send(patient), client.send(call(3)));
    let refused = refused.unwrap_err();
    assert_eq!((0, 1), (refused.attempts, script.attempts()));
    assert_eq!(
        "GET http://hooks.shop:8080/run: not sent: no connection was free within 900s, too many calls are under way",
        refused.to_string()
    );
    assert_eq!(Duration::from_mins(15), client.waited());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_only_asks_calls_no_hook_and_delivers_nothing() {
    let script = Script::of([status(200)]);
    let client = Client::over(script.clone(), Limits::default()).only_asking();
    for sort in [Sort::Hook, Sort::Delivery] {
        let refused = client.on_behalf_of(Party::new(sort, "shop", "a")).send(call(3)).await.unwrap_err();
        assert_eq!((0, Cause::Shadowed), (refused.attempts, refused.cause));
    }
    assert_eq!(0, script.attempts());
    asking(&client, "a").counting_anew().send(call(0)).await.unwrap();
    assert_eq!(1, script.attempts());
}

/// A client of `name` for questions, over two connections to a host.
fn asking(client: &Client, name: &str) -> Client {
    client.on_behalf_of(Party::new(Sort::Query, "shop", name))
}

#[tokio::test(start_paused = true)]
async fn identical_questions_of_one_moment_are_sent_once() {
    let script = Script::slow(Duration::from_millis(500), [status(200)]);
    let client = Client::over(script.clone(), Limits::default());
    let asked: Vec<Client> = (0..1000).map(|number| asking(&client, &number.to_string())).collect();
    let answers = join_all(asked.iter().map(|client| client.send(call(0)))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answer.status == 200)));
    assert_eq!(1, script.attempts());
    asked[0].send(call(0)).await.unwrap();
    assert_eq!(2, script.attempts(), "another moment");
}

#[tokio::test(start_paused = true)]
async fn questions_that_differ_in_anything_are_sent_each() {
    let script = Script::slow(Duration::from_millis(500), [status(200)]);
    let client = asking(&Client::over(script.clone(), Limits::default()), "a");
    let question = || Request { auth: Auth::Bearer("ann".into()), ..call(0) };
    let others = [
        question(),
        Request { auth: Auth::Bearer("bob".into()), ..question() },
        Request { query: vec![("query".into(), "up".into())], ..question() },
        Request { timeout: Duration::from_secs(1), ..question() },
        Request::post("http://hooks.shop:8080/run", "text/plain", "x"),
        Request::post("http://hooks.shop:8080/run", "text/plain", "y"),
    ];
    assert!(join_all(others.map(|request| client.send(request))).await.iter().all(Result::is_ok));
    assert_eq!(6, script.attempts());
}

#[rstest]
#[case::question(Method::POST, false, 1)]
#[case::made_by_post(Method::POST, true, 2)]
#[case::put(Method::PUT, false, 2)]
#[case::deletion(Method::DELETE, false, 2)]
#[tokio::test(start_paused = true)]
async fn what_makes_something_is_sent_for_each_and_a_question_once_whatever_its_method(
    #[case] method: Method,
    #[case] creates: bool,
    #[case] sent: u32,
) {
    let script = Script::slow(Duration::from_millis(500), [status(200)]);
    let client = asking(&Client::over(script.clone(), Limits::default()), "a");
    let request = || {
        let new = Request::new(method.clone(), "http://metrics.shop:8080/query");
        Request { creates: creates || new.creates, body: "q".into(), ..new }
    };
    assert!(
        join_all([request(), request()].map(|request| client.send(request))).await.iter().all(Result::is_ok)
    );
    assert_eq!(sent, script.attempts());
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_still_there_when_the_one_who_asked_first_has_gone() {
    let script = Script::slow(Duration::from_millis(900), [status(200)]);
    let client = Client::over(script.clone(), Limits::default());
    let (first, second) = (asking(&client, "a"), asking(&client, "b"));
    let leaves = tokio::time::timeout(Duration::from_millis(500), first.send(call(0)));
    let (left, answer) = futures::join!(leaves, second.send(call(0)));
    assert!(left.is_err());
    assert_eq!((200, 1), (answer.unwrap().status, script.attempts()));
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_a_question_that_still_waits_for_its_turn() {
    let script = Script::slow(Duration::from_secs(5), [status(200)]);
    let limits = Limits::of_each(Limit { total: 100, per_host: 4 });
    let client = Client::over(script.clone(), limits);
    let (greedy, modest) = (asking(&client, "greedy"), asking(&client, "modest"));
    let question = |number: u32| Request { query: vec![("n".into(), number.to_string())], ..call(0) };
    let many = join_all((0..8).map(|number| greedy.send(question(number))));
    let start = Instant::now();
    let one = async {
        modest.send(question(7)).await.unwrap();
        start.elapsed()
    };
    let (many, one) = futures::join!(many, one);
    assert!(many.iter().all(Result::is_ok));
    assert_eq!(Duration::from_secs(5), one, "it has gone by its own place");
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_than_allowed_are_under_way() {
    let script = Script::slow(Duration::from_secs(1), [status(200)]);
    let client = Client::over(script.clone(), Limits::of_each(Limit { total: 3, per_host: 2 }));
    let calls = (0..10).map(|host| client.send(Request::get(format!("http://host-{host}/"))));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(3, script.most_at_once());
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_printed() {
    let request = Request {
        auth: Auth::Basic { username: "ann".into(), password: "s3cret".into() },
        query: vec![("api_key".into(), "s3cret".into())],
        headers: vec![("X-Key".into(), "s3cret".into())],
        body: "s3cret".into(),
        proxy: Some("http://bob:s3cret@proxy".into()),
        ..Request::get("http://bob:s3cret@hooks/")
    };
    let error =
        client(&Script::of([Err(Cause::Broken("reset".into()))])).send(request.clone()).await.unwrap_err();
    let bearer = Auth::Bearer("s3cret".into());
    for text in [format!("{request:?}"), error.to_string(), format!("{error:?}"), format!("{bearer:?}")] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert_eq!("GET http://bob:xxxxx@hooks/: connection failed: reset", error.to_string());
}
