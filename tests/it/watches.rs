//! Watches that say nothing more, and are not closed either: a firewall forgot the connection, a load balancer hangs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kubesim::{Fate, Verb};
use rstest::rstest;
use vexil::sim::{Running, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);
/// The longest that a connection may be dead and nobody knows: a bookmark is due each minute, and may be late.
const KNOWN: Duration = Duration::from_secs(75);

async fn initialized() -> (World, Running) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(QUARTERS).expect("a manifest that the cluster takes");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    tokio::time::sleep(Duration::from_secs(30)).await;
    (world, controller)
}

async fn within(world: &World, limit: Duration, phase: &str) {
    let met = world.until(limit, |world| world.phase("shop", "frontend") == phase).await;
    assert!(met, "{phase}: {:#}\n{:#?}", world.status("shop", "frontend"), world.events("shop", "frontend"));
}

#[tokio::test(start_paused = true)]
async fn a_new_revision_is_seen_although_all_watches_fell_silent() {
    let (world, controller) = initialized().await;
    world.kube.half_open_watches_of("vexil");
    world.set_image("shop", "frontend", NEXT);
    within(&world, KNOWN, "Progressing").await;
    within(&world, HOUR, "Succeeded").await;
    controller.stop().await;
}

#[rstest]
#[case::of_everything(&[])]
#[case::of_the_canaries(&["canaries"])]
#[case::of_the_deployments(&["deployments"])]
#[case::of_the_routes(&["virtualservices", "destinationrules"])]
#[tokio::test(start_paused = true)]
async fn a_watch_that_says_nothing_from_the_start_delays_a_release_and_no_more(
    #[case] plurals: &'static [&str],
) {
    let (world, controller) = initialized().await;
    // The next watch of each kind is accepted, and that is all that is ever heard of it.
    let silent = Arc::new(AtomicUsize::new(0));
    let met = Arc::clone(&silent);
    world.kube.intercept(move |request| {
        let concerns = plurals.is_empty() || plurals.contains(&request.plural.as_str());
        let first = met.load(Ordering::SeqCst) < 10;
        if request.caller == "vexil" && request.verb == Verb::Watch && concerns && first {
            met.fetch_add(1, Ordering::SeqCst);
            return Fate::HalfOpen;
        }
        Fate::Pass
    });
    world.kube.close_watches_of("vexil");
    world.set_image("shop", "frontend", NEXT);
    within(&world, HOUR, "Succeeded").await;
    assert!(silent.load(Ordering::SeqCst) > 0);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_request_without_an_answer_is_given_up_and_made_again() {
    let (world, controller) = initialized().await;
    let unanswered = AtomicUsize::new(0);
    world.kube.intercept(move |request| {
        let watches = request.caller == "vexil" && request.verb == Verb::Watch;
        if watches && request.plural == "deployments" && unanswered.fetch_add(1, Ordering::SeqCst) == 0 {
            return Fate::Drop;
        }
        Fate::Pass
    });
    world.kube.close_watches_of("vexil");
    world.set_image("shop", "frontend", NEXT);
    within(&world, KNOWN, "Progressing").await;
    within(&world, HOUR, "Succeeded").await;
    controller.stop().await;
}

/// Our own writes tell sooner than the clock that a watch is dead.
#[tokio::test(start_paused = true)]
async fn writes_that_do_not_show_are_noticed_within_a_quarter_of_a_minute() {
    let (world, controller) = initialized().await;
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    world.kube.half_open_watches_of("vexil");
    world.kube.clear_requests();
    // The next step is half a minute away; its own writes show that nothing is heard.
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((50, 50))).await);
    let wrote = world.now();
    let listed_anew = |world: &World| {
        let requests = world.kube.requests_of("vexil");
        requests.iter().any(|request| request.verb == Verb::List && request.plural == "canaries")
    };
    let noticed = world.until(Duration::from_secs(75), listed_anew).await;
    assert!(noticed, "{:#?}", world.kube.requests_of("vexil"));
    assert!((world.now() - wrote).num_seconds() <= 15, "{}", world.now() - wrote);
    let conflicts = world.kube.requests_of("vexil").iter().filter(|request| request.code == 409).count();
    assert!(conflicts <= 3, "{conflicts} conflicts");
    within(&world, HOUR, "Succeeded").await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn at_rest_nothing_is_asked_but_to_watch_on_twice_an_hour() {
    let (world, controller) = initialized().await;
    let open = world.kube.open_watches();
    world.kube.clear_requests();
    tokio::time::sleep(HOUR).await;
    let requests = world.kube.requests_of("vexil");
    assert!(requests.iter().all(|request| request.verb == Verb::Watch), "{requests:#?}");
    assert!(requests.len() <= 2 * open, "{} requests for {open} watches", requests.len());
    controller.stop().await;
}
