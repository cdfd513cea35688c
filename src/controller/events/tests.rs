use std::collections::BTreeSet;

use rstest::rstest;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::*;
use crate::controller::fake_api::{FakeApi, Fault};
use crate::controller::fence::{Claim, Fence};

const EVENTS: &str = "/api/v1/namespaces/shop/events";

struct Setup {
    api: FakeApi,
    recorder: Recorder,
    telemetry: Arc<Telemetry>,
    worker: JoinHandle<()>,
}

fn setup() -> Setup {
    with_hook(None)
}

fn with_hook(hook: Option<Hook>) -> Setup {
    let api = FakeApi::default();
    let clock = Clock::starting_at("2026-07-21T12:00:00Z".parse().expect("a time"));
    let telemetry = Arc::new(Telemetry::new("0.1.0", "istio", Fence::new(Claim::Always)));
    let (recorder, worker) = recorder(api.client(), clock, Arc::clone(&telemetry), hook);
    Setup { api, recorder, telemetry, worker: tokio::spawn(worker.run()) }
}

impl Setup {
    fn say(&self, message: &str) {
        self.say_of("frontend", message);
    }

    fn say_of(&self, name: &str, message: &str) {
        self.recorder.publish(
            canary(name),
            EventType::Normal,
            LogAs::Info,
            Rank::Progress,
            message.to_owned(),
        );
    }

    /// The events as `kubectl` would list them by name, which is their order.
    fn events(&self) -> Vec<Value> {
        self.api.objects(EVENTS)
    }

    fn messages(&self) -> Vec<String> {
        self.events().iter().map(|event| event["message"].as_str().expect("a text").to_owned()).collect()
    }

    fn counted(&self, fate: &str) -> String {
        let name = format!("vexil_events_total{{fate=\"{fate}\"}} ");
        self.telemetry.render().lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0").to_owned()
    }
}

fn canary(name: &str) -> Subject {
    Subject {
        api_version: "flagger.app/v1beta1".into(),
        kind: "Canary".into(),
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-of-{name}"),
        resource_version: "7".into(),
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_looks_as_users_know_it() {
    // spec: 01/API-114
    let setup = setup();
    setup.recorder.publish(
        canary("frontend"),
        EventType::Warning,
        LogAs::Info,
        Rank::Transition,
        "Canary failed! Scaling down frontend.shop".into(),
    );
    seconds(1).await;
    let nanos: i64 = 1_784_635_200_000_000_000;
    let mut event = setup.api.object(&format!("{EVENTS}/frontend.{nanos:x}")).expect("named by its time");
    event["metadata"].as_object_mut().expect("an object").remove("resourceVersion");
    assert_eq!(
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": format!("frontend.{nanos:x}"), "namespace": "shop"},
            "involvedObject": {
                "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "namespace": "shop", "name": "frontend",
                "uid": "uid-of-frontend", "resourceVersion": "7",
            },
            "type": "Warning",
            "reason": "Synced",
            "message": "Canary failed! Scaling down frontend.shop",
            "count": 1,
            "firstTimestamp": "2026-07-21T12:00:00Z",
            "lastTimestamp": "2026-07-21T12:00:00Z",
            "source": {"component": "flagger"},
            "reportingComponent": "flagger",
            "reportingInstance": "",
        }),
        event
    );
}

#[tokio::test(start_paused = true)]
async fn events_of_one_moment_keep_their_order() {
    let setup = setup();
    let said: Vec<String> =
        (0..20).map(|step| format!("Advance frontend.shop canary weight {step}")).collect();
    said.iter().for_each(|message| setup.say(message));
    seconds(1).await;
    assert_eq!(said, setup.messages());
}

#[tokio::test(start_paused = true)]
async fn identical_messages_are_counted_and_different_ones_never_hidden() {
    let setup = setup();
    for step in 0..120 {
        setup.say("Confirm-traffic-increase check gate passed");
        setup.say(&format!("Advance frontend.shop canary weight {step}"));
        seconds(10).await;
    }
    let events = setup.events();
    assert_eq!(121, events.len());
    assert_eq!(json!(120), events[0]["count"]);
    assert_eq!(json!("2026-07-21T12:00:00Z"), events[0]["firstTimestamp"]);
    assert_eq!(json!("2026-07-21T12:19:50Z"), events[0]["lastTimestamp"]);
    assert_eq!("0", setup.counted("dropped"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_much_later_is_an_event_of_its_own() {
    let setup = setup();
    setup.say("New revision detected! Scaling up frontend.shop");
    seconds(601).await;
    setup.say("New revision detected! Scaling up frontend.shop");
    seconds(1).await;
    assert_eq!(
        vec![json!(1), json!(1)],
        setup.events().iter().map(|event| event["count"].clone()).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_message_about_another_object_is_another_event() {
    let setup = setup();
    setup.say_of("frontend", "skipping canary run as object is suspended");
    setup.say_of("backend", "skipping canary run as object is suspended");
    seconds(1).await;
    assert_eq!(2, setup.events().len());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_api_forgot_is_written_anew_with_its_count() {
    let setup = setup();
    setup.say("Rollback hook gate not signaling a rollback");
    seconds(1).await;
    let name = setup.events()[0]["metadata"]["name"].as_str().expect("a name").to_owned();
    setup.api.delete(&format!("{EVENTS}/{name}"));
    setup.say("Rollback hook gate not signaling a rollback");
    seconds(1).await;
    assert_eq!(json!(2), setup.events()[0]["count"]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_stopped_for_the_object_that_makes_it_only() {
    let setup = setup();
    (0..500).for_each(|number| setup.say_of("flood", &format!("message {number}")));
    setup.say_of("frontend", "Promotion completed! Scaling down frontend.shop");
    seconds(1).await;
    let messages = setup.messages();
    assert_eq!(200 + 1, messages.len());
    assert_eq!("300", setup.counted("dropped"));
    assert!(messages.contains(&"Promotion completed! Scaling down frontend.shop".to_owned()));
    seconds(60).await;
    setup.say_of("flood", "it goes on");
    seconds(1).await;
    assert_eq!(202, setup.messages().len());
}

#[rstest]
#[case::broken(|| Fault::Broken)]
#[case::throttled(|| Fault::Status(429))]
#[case::down(|| Fault::Status(503))]
#[tokio::test(start_paused = true)]
async fn an_outage_of_20_seconds_loses_and_doubles_nothing(#[case] fault: fn() -> Fault) {
    let setup = setup();
    setup.api.fault(move |_| fault());
    let said: Vec<String> = (0..10).map(|number| format!("message {number}")).collect();
    for message in &said {
        setup.say(message);
        seconds(2).await;
    }
    setup.api.no_fault();
    seconds(30).await;
    assert_eq!(said, setup.messages());
    assert_eq!("10", setup.counted("written"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_make_two_events() {
    let setup = setup();
    let mut calls = 0;
    setup.api.fault(move |_| {
        calls += 1;
        if calls == 1 { Fault::DoneAndBroken } else { Fault::None }
    });
    setup.say("Initialization done! frontend.shop");
    seconds(5).await;
    assert_eq!(1, setup.events().len());
    setup.say("Initialization done! frontend.shop");
    seconds(5).await;
    assert_eq!(json!(2), setup.events()[0]["count"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_another_event_has_is_not_taken_from_it() {
    let setup = setup();
    let taken = format!("{EVENTS}/frontend.{:x}", 1_784_635_200_000_000_000_i64);
    setup.api.put(&taken, json!({"message": "of an earlier run"}));
    for _ in 0..2 {
        setup.say("Initialization done! frontend.shop");
        seconds(1).await;
    }
    assert_eq!(vec!["of an earlier run", "Initialization done! frontend.shop"], setup.messages());
    assert_eq!(json!(2), setup.events()[1]["count"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_holds_up_nothing() {
    let setup = setup();
    setup.api.fault(|call| if call.body["message"] == "one" { Fault::Status(403) } else { Fault::None });
    setup.say("one");
    setup.say("two");
    seconds(1).await;
    assert_eq!(vec!["two"], setup.messages());
    assert_eq!(("1".to_owned(), "1".to_owned()), (setup.counted("failed"), setup.counted("written")));
}

#[tokio::test(start_paused = true)]
async fn when_the_outbox_is_full_the_oldest_go_and_each_canary_says_how_many_are_missing() {
    let setup = setup();
    setup.api.fault(|_| Fault::Status(503));
    for number in 0..1500 {
        setup.say_of(&format!("canary-{}", number % 100), &format!("message {number}"));
    }
    setup.api.no_fault();
    seconds(60).await;
    let (missing, written): (Vec<String>, Vec<String>) =
        setup.messages().into_iter().partition(|message| message.contains("are missing"));
    assert_eq!((100, 1000), (missing.len(), written.len()));
    assert!(
        missing.iter().all(|text| text.starts_with("5 events of this Canary are missing")),
        "{missing:?}"
    );
    assert_eq!("500", setup.counted("dropped"));
    let has = |number: u32| setup.messages().contains(&format!("message {number}"));
    assert_eq!([false, false, true, true], [1, 499, 500, 1499].map(has));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_transition_is_not_lost_among_progress_and_goes_first() {
    let setup = setup();
    for number in 0..1500 {
        let name = format!("canary-{}", number % 500);
        setup.recorder.publish(
            canary(&name),
            EventType::Normal,
            LogAs::Info,
            Rank::Transition,
            format!("Initialization done! {number}"),
        );
        for _ in 0..3 {
            setup.say_of(&name, &format!("Waiting for {name}.shop to finish: {number} of 1500 updated"));
        }
    }
    seconds(120).await;
    let done = setup.messages().iter().filter(|message| message.starts_with("Initialization done!")).count();
    assert_eq!(1500, done);
    let first = setup.api.calls().into_iter().take(1000).filter(|call| {
        call.body["message"].as_str().is_some_and(|message| message.starts_with("Initialization done!"))
    });
    assert!(first.count() >= 990);
}

#[rstest]
#[case::fits(200)]
#[case::a_little_too_long(240)]
#[case::the_longest(253)]
#[tokio::test(start_paused = true)]
async fn events_of_a_canary_with_a_long_name_have_a_name_that_the_api_takes(#[case] length: usize) {
    let setup = setup();
    // Wherever it is cut, a dash or a dot may be the last character.
    let name: String = "ab-".chars().cycle().take(length - 1).chain(['z']).collect();
    setup.say_of(&name, "New revision detected! Scaling up");
    seconds(1).await;
    let event = setup.events().pop().expect("an event");
    let called = event["metadata"]["name"].as_str().expect("a name");
    let parts = called.split('.').all(|part| !part.is_empty() && part.starts_with(char::is_alphanumeric));
    assert!(called.len() <= 253 && !called.contains("-.") && parts, "{called}");
    assert_eq!(json!(name), event["involvedObject"]["name"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_the_end_is_still_written() {
    let setup = setup();
    setup.say("Terminated canary frontend.shop");
    setup.recorder.close();
    setup.worker.await.expect("no panic");
    assert_eq!(1, setup.api.objects(EVENTS).len());
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_an_api_that_is_away() {
    let setup = setup();
    setup.api.fault(|_| Fault::Silence);
    setup.say("one");
    seconds(1).await;
    let closed = Instant::now();
    setup.recorder.close();
    setup.worker.await.expect("no panic");
    assert_eq!(3, closed.elapsed().as_secs());
}

#[tokio::test(start_paused = true)]
async fn the_hook_sees_each_notice_at_once_and_in_order() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let setup = with_hook(Some(Arc::new(move |notice: &Notice| {
        kept.lock().expect("no panic").push((notice.kind, notice.message.clone()));
    })));
    setup.say("one");
    setup.say("one");
    let expected = vec![(EventType::Normal, "one".to_owned()); 2];
    assert_eq!(expected, *seen.lock().expect("no panic"));
}

#[rstest]
#[case::short("short", 5)]
#[case::at_the_limit(&"x".repeat(1024), 1024)]
#[case::too_long(&"x".repeat(5000), 1024)]
#[case::wide_letters(&"ü".repeat(5000), 1023)]
fn a_message_is_cut_to_what_the_api_takes(#[case] message: &str, #[case] bytes: usize) {
    let cut = cut(message);
    assert_eq!(bytes, cut.len());
    assert_eq!(message.len() > 1024, cut.ends_with('…'));
}

#[tokio::test(start_paused = true)]
async fn a_million_different_messages_do_not_fill_the_memory() {
    let mut ledger = Ledger::default();
    let mut names = BTreeSet::new();
    for number in 0..20_000_i64 {
        let notice = Notice {
            about: canary(&format!("canary-{number}")),
            kind: EventType::Normal,
            message: format!("message {number}"),
            at: DateTime::default(),
            stamp: number,
        };
        assert!(matches!(ledger.enter(&notice, Instant::now()), Writing::New(_)));
        names.insert(ledger.size());
    }
    assert!(names.last() <= Some(&(4096, 4096)), "{:?}", names.last());
}
