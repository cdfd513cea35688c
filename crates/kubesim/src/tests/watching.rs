//! Watches, as kube's watcher and reflector use them.

use std::pin::pin;

use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::*;
use crate::{Fate, Verb};

async fn touch(sim: &KubeSim, name: &str, data: &str) {
    let patch = Patch::Merge(json!({"data": {"key": data}}));
    api::<ConfigMap>(sim).patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// `ADDED a 1`
fn line(event: WatchEvent<ConfigMap>) -> String {
    let show = |kind: &str, object: ConfigMap| {
        format!(
            "{kind} {} {}",
            object.name_any(),
            object.data.unwrap_or_default().remove("key").unwrap_or_default()
        )
    };
    match event {
        WatchEvent::Added(object) => show("ADDED", object),
        WatchEvent::Modified(object) => show("MODIFIED", object),
        WatchEvent::Deleted(object) => show("DELETED", object),
        WatchEvent::Bookmark(bookmark) => format!("BOOKMARK {}", bookmark.metadata.resource_version),
        WatchEvent::Error(status) => format!("ERROR {}", status.code),
    }
}

async fn next(stream: &mut (impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin)) -> String {
    line(stream.try_next().await.unwrap().expect("the watch is open"))
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_happened_since_and_then_goes_on() {
    let sim = KubeSim::builder().build();
    create(&sim, &config_map("a", "1")).await;
    let version =
        api::<ConfigMap>(&sim).list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    touch(&sim, "a", "2").await;
    let mut stream = pin!(api::<ConfigMap>(&sim).watch(&WatchParams::default(), &version).await.unwrap());
    assert_eq!("MODIFIED a 2", next(&mut stream).await);
    create(&sim, &config_map("b", "1")).await;
    api::<ConfigMap>(&sim).delete("a", &DeleteParams::default()).await.unwrap();
    assert_eq!("ADDED b 1", next(&mut stream).await);
    assert_eq!("DELETED a 2", next(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_stops_matching_is_gone_for_the_watch() {
    let sim = KubeSim::builder().build();
    create(&sim, &config_map("a", "1")).await;
    let params = WatchParams::default().labels("app=a");
    let mut stream = pin!(api::<ConfigMap>(&sim).watch(&params, "0").await.unwrap());
    assert_eq!("ADDED a 1", next(&mut stream).await);
    let label = async |value: &str| {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"app": value}}}));
        api::<ConfigMap>(&sim).patch("a", &PatchParams::default(), &patch).await.unwrap();
    };
    label("other").await;
    assert_eq!("DELETED a 1", next(&mut stream).await);
    label("a").await;
    assert_eq!("ADDED a 1", next(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_loses_its_last_finalizer_is_only_seen_to_go() {
    let sim = KubeSim::builder().build();
    let mut object = config_map("a", "1");
    object.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    create(&sim, &object).await;
    let api = api::<ConfigMap>(&sim);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    let mut stream = pin!(api.watch(&WatchParams::default(), &sim.revision().to_string()).await.unwrap());
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let last = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert!(last.finalizers().is_empty());
    assert_eq!("DELETED a 1", next(&mut stream).await);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_is_told_the_version_every_minute_and_ends_in_time() {
    let sim = KubeSim::builder().build();
    let start = sim.now();
    let params = WatchParams::default().timeout(152);
    let stream = api::<ConfigMap>(&sim).watch(&params, &sim.revision().to_string()).await.unwrap();
    let seen: Vec<String> = stream.map_ok(line).try_collect().await.unwrap();
    assert_eq!(vec![format!("BOOKMARK {}", sim.revision()); 3], seen);
    assert_eq!(152, (sim.now() - start).num_seconds());
}

#[tokio::test(start_paused = true)]
async fn expired_history_is_said_inside_the_stream_and_the_watcher_lists_again() {
    let sim = KubeSim::builder().build();
    create(&sim, &config_map("a", "1")).await;
    let version = sim.revision();
    touch(&sim, "a", "2").await;
    sim.expire(sim.revision());
    let mut stream =
        pin!(api::<ConfigMap>(&sim).watch(&WatchParams::default(), &version.to_string()).await.unwrap());
    assert_eq!("ERROR 410", next(&mut stream).await);
    assert!(stream.next().await.is_none());

    let (reader, writer) = reflector::store::<ConfigMap>();
    let events = watcher(api::<ConfigMap>(&sim), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects();
    let task = tokio::spawn(events.for_each(|_| async {}));
    reader.wait_until_ready().await.unwrap();
    sim.stall_watches();
    touch(&sim, "a", "3").await;
    sim.expire(sim.revision());
    sim.close_watches();
    sim.resume_watches();
    pass(5).await;
    assert_eq!("3", reader.state()[0].data.as_ref().unwrap()["key"]);
    let lists = sim.requests().iter().filter(|r| r.verb == Verb::List).count();
    assert_eq!(2, lists, "one at the start, one after the expiry");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_its_bookmark_and_forgets_what_is_gone() {
    let sim = KubeSim::builder().build();
    create(&sim, &config_map("a", "1")).await;
    create(&sim, &config_map("b", "1")).await;
    let (reader, writer) = reflector::store::<ConfigMap>();
    let config = watcher::Config::default().streaming_lists();
    let events = watcher(api::<ConfigMap>(&sim), config).default_backoff().reflect(writer).touched_objects();
    let task = tokio::spawn(events.for_each(|_| async {}));
    reader.wait_until_ready().await.unwrap();
    assert_eq!(2, reader.state().len());
    assert!(sim.requests().iter().all(|r| r.verb != Verb::List), "nothing is listed");
    api::<ConfigMap>(&sim).delete("b", &DeleteParams::default()).await.unwrap();
    pass(1).await;
    assert_eq!(1, reader.state().len());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn a_watcher_at_rest_only_watches_again() {
    let sim = KubeSim::builder().build();
    let events = watcher(api::<ConfigMap>(&sim), watcher::Config::default()).default_backoff();
    let task = tokio::spawn(events.for_each(|_| async {}));
    pass(1).await;
    sim.clear_requests();
    pass(3600).await;
    let requests = sim.requests();
    assert!(requests.iter().all(|r| r.verb == Verb::Watch));
    assert!((12..=13).contains(&requests.len()), "every 290 seconds: {}", requests.len());
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn stalled_watches_catch_up_when_resumed() {
    let sim = KubeSim::builder().build();
    let mut stream = pin!(
        api::<ConfigMap>(&sim).watch(&WatchParams::default(), &sim.revision().to_string()).await.unwrap()
    );
    sim.stall_watches_of("tester");
    create(&sim, &config_map("a", "1")).await;
    assert!(tokio::time::timeout(Duration::from_secs(30), stream.next()).await.is_err());
    sim.resume_watches();
    assert_eq!("ADDED a 1", next(&mut stream).await);
    assert_eq!(1, sim.open_watches());
}

#[tokio::test(start_paused = true)]
async fn a_half_open_watch_says_nothing_for_ever_and_a_later_one_works() {
    let sim = KubeSim::builder().build();
    let begun = sim.revision().to_string();
    let watch = || async { api::<ConfigMap>(&sim).watch(&WatchParams::default().timeout(60), &begun).await };
    let mut dead = pin!(watch().await.unwrap());
    sim.half_open_watches_of("tester");
    create(&sim, &config_map("a", "1")).await;
    assert!(tokio::time::timeout(Duration::from_secs(7200), dead.next()).await.is_err(), "not even the end");
    let mut later = pin!(watch().await.unwrap());
    assert_eq!("ADDED a 1", next(&mut later).await);
    sim.intercept(|_| Fate::HalfOpen);
    let mut silent = pin!(watch().await.unwrap());
    assert!(tokio::time::timeout(Duration::from_secs(7200), silent.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn requests_are_logged_and_their_fate_can_be_decided() {
    let sim = KubeSim::builder().build();
    let writes: Api<ConfigMap> = Api::namespaced(sim.client("writer"), "shop");
    sim.intercept(|request| match (request.verb, request.write) {
        (Verb::Create, Some(1)) => Fate::FailAfter(super::super::ApiStatus::unavailable("lost")),
        (Verb::Create, Some(2)) => Fate::Fail(super::super::ApiStatus::too_many_requests(1)),
        (Verb::Create, Some(3)) => Fate::Disconnect,
        (Verb::Create, Some(4)) => Fate::Drop,
        (Verb::Create, Some(5)) => Fate::Delay(Duration::from_secs(7)),
        _ => Fate::Pass,
    });
    let create = |name: &'static str| {
        let writes = writes.clone();
        async move { writes.create(&Default::default(), &config_map(name, "1")).await }
    };
    assert!(matches!(create("a").await, Err(kube::Error::Api(s)) if s.code == 503));
    assert!(matches!(create("b").await, Err(kube::Error::Api(s)) if s.code == 429));
    assert!(matches!(create("c").await, Err(kube::Error::Service(_))));
    assert!(tokio::time::timeout(Duration::from_secs(60), create("d")).await.is_err());
    let before = sim.now();
    create("e").await.unwrap();
    assert_eq!(7, (sim.now() - before).num_seconds());
    let names: Vec<String> =
        writes.list(&ListParams::default()).await.unwrap().iter().map(ResourceExt::name_any).collect();
    assert_eq!(vec!["a", "e"], names);
    let log: Vec<String> = sim.writes_of("writer").iter().map(ToString::to_string).collect();
    assert_eq!(
        vec![
            "writer: create configmaps shop -> 503",
            "writer: create configmaps shop -> 429",
            "writer: create configmaps shop -> 0",
            "writer: create configmaps shop -> 0",
            "writer: create configmaps shop -> 201",
        ],
        log
    );
}
