use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use rstest::rstest;
use tokio::task::JoinHandle;

use super::*;
use crate::model::object::Kind;

type Letters = Arc<Mutex<Vec<String>>>;

/// Lanes whose carrier takes a second for each thing; that to a receiver named `dead` never ends.
struct Post {
    outbox: Outbox<String, u32>,
    carried: Letters,
    settled: mpsc::UnboundedReceiver<Noticed>,
    task: JoinHandle<()>,
}

impl Post {
    fn open() -> Self {
        let (sender, settled) = mpsc::unbounded_channel();
        let (outbox, worker) = lanes("letter", sender);
        let (carried, begin) = (Letters::default(), Instant::now());
        let carrier = Walker { carried: Arc::clone(&carried), begin };
        let task = tokio::spawn(async move { worker.run(&carrier).await });
        Self { outbox, carried, settled, task }
    }

    fn put(&self, receiver: &str, number: u32) {
        self.outbox.put(receiver.to_owned(), canary("frontend"), number);
    }

    /// What was carried, with the second in which it was.
    fn carried(&self) -> Vec<String> {
        lock(&self.carried).clone()
    }

    async fn close(self) -> (Vec<String>, Duration) {
        let began = Instant::now();
        self.outbox.close();
        self.task.await.expect("no panic");
        (lock(&self.carried).clone(), began.elapsed())
    }
}

struct Walker {
    carried: Letters,
    begin: Instant,
}

impl Carrier<String, u32> for Walker {
    fn carry<'a>(&'a self, receiver: &'a String, number: &'a u32) -> BoxFuture<'a, ()> {
        async move {
            if receiver.starts_with("dead") {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_secs(1)).await;
            lock(&self.carried).push(format!("{} {receiver} {number}", self.begin.elapsed().as_secs()));
        }
        .boxed()
    }
}

fn canary(name: &str) -> ObjectId {
    Kind::CANARY.at("shop", name)
}

#[tokio::test(start_paused = true)]
async fn a_receiver_gets_one_thing_after_the_other_and_no_other_waits_for_it() {
    let post = Post::open();
    for number in 1..=3 {
        post.put("slow", number);
    }
    post.put("other", 1);
    let (carried, _) = post.close().await;
    assert_eq!(carried, ["1 slow 1", "1 other 1", "2 slow 2", "3 slow 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_dead_receivers_delay_no_living_one() {
    let post = Post::open();
    for number in 0..1000 {
        post.put(&format!("dead-{number}"), 1);
    }
    sleep(Duration::from_secs(10)).await;
    post.put("living", 1);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(post.carried(), ["11 living 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_told_once_when_it_owes_nothing_any_more() {
    let mut post = Post::open();
    for number in 1..=3 {
        post.put("a", number);
    }
    post.put("b", 1);
    post.outbox.put("dead".to_owned(), canary("backend"), 1);
    sleep(Duration::from_millis(2500)).await;
    assert!(post.outbox.owes(&canary("frontend")), "{:?}", post.carried());
    assert!(post.settled.try_recv().is_err());
    sleep(Duration::from_secs(1)).await;
    assert!(!post.outbox.owes(&canary("frontend")) && post.outbox.owes(&canary("backend")));
    assert_eq!(post.settled.try_recv(), Ok(Noticed::Object(canary("frontend"))));
    assert!(post.settled.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_things_for_one_receiver_the_newest_are_kept_and_no_other_loses_any() {
    let post = Post::open();
    for number in 0..10_000 {
        post.put("flooded", number);
    }
    post.put("other", 1);
    sleep(Duration::from_secs(2 * MOST_IN_LANE as u64)).await;
    let (carried, _) = post.close().await;
    let flooded: Vec<&String> = carried.iter().filter(|line| line.contains("flooded")).collect();
    assert_eq!(flooded.len(), MOST_IN_LANE);
    assert!(flooded.last().is_some_and(|line| line.ends_with(" 9999")));
    assert!(carried.contains(&"1 other 1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn where_all_lanes_together_are_too_long_the_longest_gives_way() {
    let (outbox, _worker) = lanes::<u32, u32>("letter", mpsc::unbounded_channel().0);
    let number = u32::try_from(MOST / MOST_IN_LANE).expect("few lanes");
    for receiver in 0..number {
        for content in 0..u32::try_from(MOST_IN_LANE).expect("few") {
            outbox.put(receiver, canary("frontend"), content);
        }
    }
    outbox.put(number, canary("backend"), 0);
    assert_eq!(outbox.next(&number).map(|parcel| parcel.content), Some(0));
    let firsts: Vec<u32> =
        (0..number).filter_map(|receiver| outbox.next(&receiver)).map(|parcel| parcel.content).collect();
    assert_eq!(firsts.iter().sum::<u32>(), 1, "one lane has lost its oldest: {firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_delivers_what_is_left_but_waits_for_nobody_who_is_silent() {
    let post = Post::open();
    post.put("living", 1);
    post.put("living", 2);
    let (carried, took) = post.close().await;
    assert_eq!((carried.len(), took), (2, Duration::from_secs(2)));

    let post = Post::open();
    post.put("dead", 1);
    post.put("living", 1);
    let (carried, took) = post.close().await;
    assert_eq!((carried.len(), took), (1, GRACE));
}

#[rstest]
#[case::at_once(0, true, 1, None)]
#[case::hopeless(9, false, 1, Some("no"))]
#[case::after_three_failures(3, true, 4, None)]
// After 0, 1, 3, 7, 15, 25, 35, 45, 55 and 65 minutes.
#[case::not_for_ever(99, true, 10, Some("no"))]
#[tokio::test(start_paused = true)]
async fn what_may_help_is_tried_for_an_hour(
    #[case] failures: usize,
    #[case] passing: bool,
    #[case] attempts: usize,
    #[case] given_up: Option<&str>,
) {
    let made = AtomicUsize::new(0);
    let outcome = insist(Instant::now(), "frontend.shop", "hi", || async {
        if made.fetch_add(1, Ordering::SeqCst) < failures {
            return Err(Trouble { why: "no".to_owned(), reason: "Refused", passing });
        }
        Ok(())
    })
    .await;
    assert_eq!(made.load(Ordering::SeqCst), attempts);
    assert_eq!(outcome.err().map(|trouble| trouble.why).as_deref(), given_up);
}
