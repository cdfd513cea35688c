use std::sync::Arc;

use chrono::{DateTime, Utc};
use rstest::rstest;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::controller::fake_api::{FakeApi, Fault};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/flagger-system/leases/flagger-leader-election";

/// A candidate at work.
struct Candidate {
    fence: Fence,
    stop: Arc<Notify>,
    running: JoinHandle<Ended>,
}

impl Candidate {
    fn start(api: &FakeApi, identity: &str) -> Self {
        let fence = Fence::new(Claim::None);
        let wall: DateTime<Utc> = "2026-07-21T12:00:00Z".parse().expect("a time");
        let leader = Leader::new(
            api.client(),
            "flagger-system",
            identity.to_owned(),
            Timing::default(),
            Clock::starting_at(wall),
            fence.clone(),
        );
        let stop = Arc::new(Notify::new());
        let stopped = Arc::clone(&stop);
        let running = tokio::spawn(leader.run(async move { stopped.notified().await }));
        Self { fence, stop, running }
    }

    fn leads(&self) -> bool {
        self.fence.claim().is_valid(Instant::now())
    }

    async fn stop(self) -> Ended {
        self.stop.notify_one();
        self.running.await.expect("no panic")
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn lease(api: &FakeApi) -> Value {
    api.object(LEASE).expect("a lease")["spec"].clone()
}

fn held_by_other() -> Value {
    json!({
        "metadata": {"name": "flagger-leader-election", "namespace": "flagger-system", "labels": {"kept": "yes"}},
        "spec": {
            "holderIdentity": "other", "leaseDurationSeconds": 60, "leaseTransitions": 4,
            "acquireTime": "2026-07-21T11:00:00.000000Z", "renewTime": "2026-07-21T11:59:59.000000Z",
        },
    })
}

// spec: 02/C113
#[tokio::test(start_paused = true)]
async fn the_first_one_creates_the_lease_and_leads() {
    // spec: 01/API-092
    let api = FakeApi::default();
    let me = Candidate::start(&api, "pod-1_b1f7");
    seconds(1).await;
    assert!(me.leads());
    assert_eq!(
        json!({
            "holderIdentity": "pod-1_b1f7", "leaseDurationSeconds": 10, "leaseTransitions": 0,
            "acquireTime": "2026-07-21T12:00:00.000000Z", "renewTime": "2026-07-21T12:00:00.000000Z",
        }),
        lease(&api)
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_at_rest_costs_one_write_each_two_seconds() {
    let api = FakeApi::default();
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    let before = api.lines().len();
    seconds(60).await;
    assert!(me.leads());
    assert_eq!(vec![format!("PUT {LEASE}"); 30], api.lines()[before..]);
}

#[tokio::test(start_paused = true)]
async fn a_second_one_waits_until_the_first_gives_back() {
    let api = FakeApi::default();
    let first = Candidate::start(&api, "first");
    seconds(1).await;
    let second = Candidate::start(&api, "second");
    seconds(600).await;
    assert!(first.leads() && !second.leads());
    assert_eq!(Ended::Released, first.stop().await);
    assert_eq!(
        (json!(""), json!(1)),
        (lease(&api)["holderIdentity"].clone(), lease(&api)["leaseDurationSeconds"].clone())
    );
    seconds(3).await;
    assert!(second.leads());
    assert_eq!(
        (json!("second"), json!(1)),
        (lease(&api)["holderIdentity"].clone(), lease(&api)["leaseTransitions"].clone())
    );
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_dead_leader_is_taken_when_its_own_duration_is_over() {
    let api = FakeApi::default();
    api.put(LEASE, held_by_other());
    let me = Candidate::start(&api, "me");
    seconds(59).await;
    assert!(!me.leads(), "Flagger writes a minute");
    seconds(2).await;
    assert!(me.leads());
    assert_eq!(json!(5), lease(&api)["leaseTransitions"]);
    assert_eq!(json!("yes"), api.object(LEASE).expect("a lease")["metadata"]["labels"]["kept"]);
}

#[tokio::test(start_paused = true)]
async fn two_who_find_an_empty_lease_do_not_both_lead() {
    for round in 0..3 {
        let api = FakeApi::default();
        if round > 0 {
            let mut empty = held_by_other();
            empty["spec"]["holderIdentity"] = json!("");
            api.put(LEASE, empty);
        }
        if round == 2 {
            // Both have read before either writes.
            api.fault(
                |call| if call.method == "PUT" { Fault::Slow(Duration::from_secs(1)) } else { Fault::None },
            );
        }
        let (one, two) = (Candidate::start(&api, "one"), Candidate::start(&api, "two"));
        for _ in 0..100 {
            seconds(1).await;
            assert!(!(one.leads() && two.leads()));
        }
        assert!(one.leads() || two.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_followed_within_15_seconds() {
    let api = FakeApi::default();
    let first = Candidate::start(&api, "first");
    seconds(1).await;
    let second = Candidate::start(&api, "second");
    seconds(60).await;
    first.running.abort();
    seconds(13).await;
    assert!(second.leads());
}

// spec: 02/C113
#[rstest]
#[case::refused(|| Fault::Status(500))]
#[case::silent(|| Fault::Silence)]
#[case::broken(|| Fault::Broken)]
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_writing_after_7_seconds(#[case] fault: fn() -> Fault) {
    // spec: 01/API-094
    let api = FakeApi::default();
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    api.fault(move |_| fault());
    seconds(4).await;
    assert!(me.leads(), "a short outage does no harm");
    seconds(4).await;
    assert!(!me.leads());
    api.no_fault();
    api.put(LEASE, held_by_other());
    seconds(8).await;
    assert_eq!(Ended::Lost, me.running.await.expect("no panic"), "another leads");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_goes_on_if_nobody_else_led() {
    let api = FakeApi::default();
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    api.fault(|_| Fault::Silence);
    seconds(120).await;
    assert!(!me.leads());
    api.no_fault();
    seconds(7).await;
    assert!(me.leads());
    assert_eq!(json!(0), lease(&api)["leaseTransitions"]);
    assert!(!me.running.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_costs_nothing_but_retries() {
    let api = FakeApi::default();
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    api.fault(|_| Fault::Broken);
    seconds(4).await;
    api.no_fault();
    seconds(60).await;
    assert!(me.leads());
    assert_eq!(json!(0), lease(&api)["leaseTransitions"]);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_is_lost_counts_when_it_is_seen_to_have_arrived() {
    let api = FakeApi::default();
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    let mut lost = false;
    api.fault(move |call| {
        if call.method == "PUT" && !lost {
            lost = true;
            return Fault::Lost;
        }
        Fault::None
    });
    for _ in 0..60 {
        seconds(1).await;
        assert!(me.leads());
    }
}

#[tokio::test(start_paused = true)]
async fn a_deposed_leader_is_lost_as_soon_as_it_sees_the_other() {
    let api = FakeApi::default();
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    api.put(LEASE, held_by_other());
    seconds(7).await;
    assert!(me.running.is_finished(), "it does not wait for the end of its claim");
    assert_eq!(Ended::Lost, me.running.await.expect("no panic"));
    assert!(!me.fence.claim().is_valid(Instant::now()));
    assert_eq!(json!("other"), lease(&api)["holderIdentity"]);
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_given_back_only_after_the_last_write() {
    let api = FakeApi::default();
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    let write = me.fence.enter(Instant::now()).expect("we lead");
    me.stop.notify_one();
    seconds(2).await;
    assert!(me.fence.enter(Instant::now()).is_err(), "no new write begins");
    assert_eq!(json!("me"), lease(&api)["holderIdentity"]);
    drop(write);
    seconds(1).await;
    assert_eq!(json!(""), lease(&api)["holderIdentity"]);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_stops_leaves_the_lease_alone() {
    let api = FakeApi::default();
    api.put(LEASE, held_by_other());
    let me = Candidate::start(&api, "me");
    seconds(1).await;
    assert_eq!(Ended::Released, me.stop().await);
    assert_eq!(json!("other"), lease(&api)["holderIdentity"]);
}
