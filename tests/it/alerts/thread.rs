//! What a bot says of a release in Slack: one thread from its start to its end, whatever becomes of the controller.

use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use vexil::http::{Auth, Cause, Method, Request, Response, Transport};

use super::*;

const BOT: &str = "
apiVersion: v1
kind: Secret
metadata: {name: chat, namespace: ops}
data: {address: aHR0cHM6Ly9zbGFjay5jb20vYXBpL2NoYXQucG9zdE1lc3NhZ2U=, token: eG94Yi0x}
---
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: chat, namespace: ops}
spec: {type: slack, channel: C0123456789, threads: true, secretRef: {name: chat}}
";

/// A channel of Slack, which keeps what is posted as Slack does.
#[derive(Default)]
struct Slack {
    posted: Mutex<Vec<Value>>,
    /// Takes messages, and its answers get lost.
    mute: Mutex<bool>,
}

impl Slack {
    /// Each message: its text, the number of the message under which it stands, and whether it is shown in the channel as well.
    fn channel(&self) -> Vec<(String, Option<usize>, bool)> {
        let posted = self.posted.lock().unwrap();
        let place = |ts: &Value| posted.iter().position(|other| other["ts"] == *ts);
        let shown = |message: &Value| {
            let text = message["attachments"][0]["text"].as_str().unwrap_or_default().to_owned();
            (text, place(&message["thread_ts"]), message["reply_broadcast"] == true)
        };
        posted.iter().map(shown).collect()
    }

    fn post(&self, mut message: Value) -> Value {
        let mut posted = self.posted.lock().unwrap();
        let ts = format!("1796000000.{:06}", posted.len());
        message["ts"] = ts.clone().into();
        posted.push(message);
        json!({"ok": true, "channel": "C0123456789", "ts": ts})
    }

    /// The newest first; what stands in a thread is in no history.
    fn history(&self) -> Value {
        let posted = self.posted.lock().unwrap();
        let newest = posted.iter().rev().filter(|message| message["thread_ts"].is_null());
        json!({"ok": true, "messages": newest.collect::<Vec<_>>(), "has_more": false})
    }
}

impl Transport for Slack {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async move {
            assert_eq!(Auth::Bearer("xoxb-1".into()), request.auth);
            let answer = match (request.method, request.url.as_str()) {
                (Method::POST, "https://slack.com/api/chat.postMessage") => {
                    let answer = self.post(serde_json::from_slice(&request.body).expect("JSON"));
                    if *self.mute.lock().unwrap() {
                        std::future::pending::<()>().await;
                    }
                    answer
                }
                (Method::GET, "https://slack.com/api/conversations.history") => self.history(),
                other => panic!("{other:?}"),
            };
            Ok(Response::new(200, answer.to_string()))
        }
        .boxed()
    }
}

/// A Canary at rest, of which the channel has heard.
async fn at_rest() -> (World, Arc<Slack>, Running) {
    let world = World::builder().build();
    let slack = Arc::new(Slack::default());
    world.backend.serve("slack.com", slack.clone());
    let controller = created(&world);
    world.apply(BOT).expect("a channel that the cluster takes");
    reaches(&world, "Initialized").await;
    assert!(world.until(Duration::from_secs(60), |world| !owes_alerts(world)).await);
    (world, slack, controller)
}

const FIRST: &str = "New Deployment detected, initialization completed.";
const BEGIN: &str = "New revision detected, progressing canary analysis.";
const GOOD: &str = "Canary analysis completed successfully, promotion finished.";
const BAD: &str = "Failed checks threshold reached 5";

fn said(text: &str, under: Option<usize>, in_channel: bool) -> (String, Option<usize>, bool) {
    (text.to_owned(), under, in_channel)
}

#[rstest::rstest]
#[case::good(100.0, "Succeeded", GOOD)]
#[case::bad(93.0, "Failed", BAD)]
#[tokio::test(start_paused = true)]
async fn a_release_is_one_thread_also_where_the_controller_dies_in_the_middle(
    #[case] success_rate: f64,
    #[case] phase: &str,
    #[case] end: &str,
) {
    let (world, slack, controller) = at_rest().await;
    world.backend.version("2.0.0", Version { success_rate, p99_millis: 100.0 });
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(Duration::from_secs(600), |_| slack.channel().len() == 2).await);
    assert!(world.until(Duration::from_secs(60), |world| !owes_alerts(world)).await);
    controller.kill();
    let controller = world.start_controller();
    reaches(&world, phase).await;
    assert!(world.until(Duration::from_secs(60), |world| !owes_alerts(world)).await);
    controller.stop().await;
    // Each release begins a thread of its own, and people who do not follow it see its failure.
    let expected =
        [said(FIRST, None, false), said(BEGIN, None, false), said(end, Some(1), phase == "Failed")];
    assert_eq!(expected, *slack.channel());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_sent_again_stands_in_the_thread_that_it_has_begun() {
    let (world, slack, controller) = at_rest().await;
    *slack.mute.lock().unwrap() = true;
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(Duration::from_secs(600), |_| slack.channel().len() == 2).await);
    controller.kill();
    *slack.mute.lock().unwrap() = false;
    let controller = world.start_controller();
    reaches(&world, "Succeeded").await;
    assert!(world.until(Duration::from_secs(60), |world| !owes_alerts(world)).await);
    controller.stop().await;
    let expected = [
        said(FIRST, None, false),
        said(BEGIN, None, false),
        said(BEGIN, Some(1), false),
        said(GOOD, Some(1), false),
    ];
    assert_eq!(expected, *slack.channel());
}
