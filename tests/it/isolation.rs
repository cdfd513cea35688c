//! One Canary's trouble is not another's (promise 12): the same release, with and without a neighbour whose hooks,
//! queries, alerts or events hang, has the same course.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use kubesim::Fate;
use rstest::rstest;
use serde_json::{Value, json};
use vexil::http::{Cause, Request, Response, Transport};
use vexil::sim::{Fault, Running, World};

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const NEXT: &str = "registry.example.com/shop/frontend:2.0.0";
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// All that a release can have: a hook, checks, alerts and events.
const FRONTEND: &str = "
    webhooks:
      - {name: acceptance, type: pre-rollout, url: http://tester.test/acceptance, timeout: 10s}
      - {name: load, url: http://tester.test/load, timeout: 10s}
      - {name: story, type: event, url: http://story.test/frontend}
    alerts:
      - {name: chat, providerRef: {name: chat}}
";
const CHAT: &str = "
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: chat, namespace: shop}
spec: {type: webhook, address: 'https://chat.test/in'}
";

/// Another Canary of the shape of the frontend, with these lines in its analysis and in its spec.
fn canary(namespace: &str, name: &str, analysis: &str, spec: &str) -> String {
    let manifest =
        QUARTERS.replace("frontend", name).replace("namespace: shop", &format!("namespace: {namespace}"));
    let (head, rest) = manifest.split_once("  analysis:\n").expect("a Canary with an analysis");
    let (pace, metrics) = rest.split_once("    metrics:\n").expect("metrics");
    let metrics =
        if analysis.contains("metrics:") { String::new() } else { format!("    metrics:\n{metrics}") };
    let (analysis, spec) = (analysis.trim_start_matches('\n'), spec.trim_start_matches('\n'));
    format!("{head}{spec}  analysis:\n{pace}{metrics}{analysis}")
}

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

/// A neighbour that has started a release and is in trouble.
#[derive(Clone, Copy, Debug)]
enum Neighbour {
    /// Forty Canaries whose hooks on the host of ours never answer.
    Hooks,
    /// One whose hundred queries take nearly as long as they may, at the Prometheus of ours.
    Queries,
    /// Forty whose own Prometheus never answers.
    Prometheus,
    /// Forty whose own Prometheus refuses every connection.
    Refused,
    /// Forty whose own Prometheus is overloaded: it answers 503, and says when to come again.
    Storm,
    /// Forty whose adapter of external metrics, behind the cluster's own API, never answers.
    Adapter,
    /// One with forty alert channels that never answer.
    Alerts,
    /// Forty whose event hooks never answer.
    Events,
}

impl Neighbour {
    fn manifests(self) -> Vec<String> {
        let many = |lines: &dyn Fn(usize) -> String| -> Vec<String> {
            (0..40).map(|number| canary("noisy", &format!("noisy-{number}"), &lines(number), "")).collect()
        };
        match self {
            Self::Hooks => many(&|number| {
                format!(
                    "    webhooks: [{{name: long, type: pre-rollout, url: http://tester.test/hangs/{number}, timeout: 10m}}]\n"
                )
            }),
            Self::Queries => {
                let mut lines = "    onMetricError: hold\n    metrics:\n".to_owned();
                for number in 0..100 {
                    let _ = writeln!(
                        lines,
                        "      - {{name: m{number}, query: 'noisy_total{number}', threshold: 1}}"
                    );
                }
                vec![canary("noisy", "noisy-0", &lines, "")]
            }
            Self::Prometheus | Self::Refused | Self::Storm => {
                let host = match self {
                    Self::Refused => "refused",
                    Self::Storm => "storm",
                    _ => "hangs",
                };
                let server = format!("  metricsServer: http://{host}.test:9090\n");
                (0..40)
                    .map(|number| {
                        canary("noisy", &format!("noisy-{number}"), "    onMetricError: hold\n", &server)
                    })
                    .collect()
            }
            Self::Adapter => many(&|number| {
                format!(
                    "    onMetricError: hold\n    metrics:\n      - {{name: lag, templateRef: {{name: lag-{number}}}, \
                     thresholdRange: {{max: 1}}}}\n"
                )
            }),
            Self::Alerts => {
                let mut lines = "    alerts:\n".to_owned();
                let mut manifests = Vec::new();
                for number in 0..40 {
                    let _ =
                        writeln!(lines, "      - {{name: a{number}, providerRef: {{name: dead-{number}}}}}");
                    manifests.push(format!(
                        "apiVersion: flagger.app/v1beta1\nkind: AlertProvider\n\
                         metadata: {{name: dead-{number}, namespace: noisy}}\n\
                         spec: {{type: slack, address: 'https://hangs-{number}.test/in'}}\n"
                    ));
                }
                manifests.push(canary("noisy", "noisy-0", &lines, ""));
                manifests
            }
            Self::Events => many(&|number| {
                format!(
                    "    webhooks: [{{name: story, type: event, url: http://story.test/hangs/{number}, timeout: 10m}}]\n"
                )
            }),
        }
    }

    /// Starts its releases.
    async fn begins(self, world: &World) {
        world.apply(&namespace("noisy")).expect("a namespace");
        let manifests = self.manifests();
        if matches!(self, Self::Adapter) {
            world.kube.put(adapter());
            for number in 0..40 {
                world.apply(&lag(number)).expect("a template");
            }
        }
        for manifest in &manifests {
            world.apply(manifest).expect("a manifest that the cluster takes");
        }
        let canaries = if matches!(self, Self::Queries | Self::Alerts) { 1 } else { 40 };
        let names: Vec<String> = (0..canaries).map(|number| format!("noisy-{number}")).collect();
        // Before that an image is no release.
        let all = |phases: &[&str], world: &World| {
            names.iter().all(|name| phases.contains(&world.phase("noisy", name).as_str()))
        };
        assert!(world.until(HOUR, |world| all(&["Initialized"], world)).await);
        world.backend.hang("hangs");
        world.backend.serve("refused.test", Arc::new(Refuses));
        world.backend.serve("storm.test", Arc::new(Overloaded));
        world.kube.intercept(|request| match request.group.as_str() {
            EXTERNAL => Fate::Drop,
            _ => Fate::Pass,
        });
        world.backend.slow("noisy_total", Duration::from_millis(4900));
        for name in &names {
            world.set_image("noisy", name, &format!("registry.example.com/shop/{name}:2.0.0"));
        }
        // In the middle of its trouble.
        tokio::time::sleep(MINUTE + Duration::from_secs(10)).await;
        let status = || format!("{self:?}: {:#}", world.status("noisy", "noisy-0"));
        assert!(all(&["Progressing", "WaitingPromotion"], world), "{}", status());
        if matches!(self, Self::Refused | Self::Storm | Self::Adapter) {
            let held =
                |world: &World| world.status("noisy", "noisy-0")["measurements"][0]["verdict"] == "Held";
            assert!(world.until(10 * MINUTE, held).await, "{}", status());
        }
    }
}

/// Nobody listens.
struct Refuses;

impl Transport for Refuses {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async { Err(Cause::Connect("connection refused".to_owned())) }.boxed()
    }
}

/// A server that has had enough for a while.
struct Overloaded;

impl Transport for Overloaded {
    fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        let mut answer = Response::new(503, "try again later");
        answer.headers.insert("retry-after", "20".parse().expect("a header"));
        async { Ok(answer) }.boxed()
    }
}

const EXTERNAL: &str = "external.metrics.k8s.io";

/// What makes the cluster know the metric `waiting` of an adapter.
fn adapter() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("waiting.{EXTERNAL}")},
        "spec": {
            "group": EXTERNAL, "scope": "Namespaced",
            "names": {"plural": "waiting", "kind": "ExternalMetricValue"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    })
}

/// A template of its own for each Canary, so that no two ask the same.
fn lag(number: usize) -> String {
    format!(
        "apiVersion: flagger.app/v1beta1\nkind: MetricTemplate\nmetadata: {{name: lag-{number}, namespace: noisy}}\n\
         spec: {{provider: {{type: externalmetrics}}, query: 'noisy/waiting?labelSelector=queue%3Dq{number}'}}\n"
    )
}

/// Phase and weight of the frontend, and when it had them: seconds from the push on.
type Course = Vec<(i64, String)>;

/// The course of a release of the frontend, and what it told: events to its hook, alerts to its channel.
async fn course(neighbour: Option<Neighbour>) -> (Course, Vec<String>) {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(&canary("shop", "frontend", FRONTEND, "")).expect("a manifest that the cluster takes");
    world.apply(CHAT).expect("a channel");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    if let Some(neighbour) = neighbour {
        neighbour.begins(&world).await;
    }
    let course = Arc::new(Mutex::new(Vec::<(DateTime<Utc>, String)>::new()));
    let (noted, clock) = (Arc::clone(&course), world.clock());
    world.kube.observe(move |change| {
        let object = change.object.value();
        if object["kind"] == "Canary" && object["metadata"]["name"] == "frontend" {
            let state = format!("{} {}", object["status"]["phase"], object["status"]["canaryWeight"]);
            let mut noted = noted.lock().expect("no panic");
            if noted.last().is_none_or(|(_, last)| *last != state) {
                noted.push((clock.now(), state));
            }
        }
    });
    let told_before = told(&world).len();
    let began = world.now();
    world.set_image("shop", "frontend", NEXT);
    assert!(
        world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await,
        "{neighbour:?}: {:#}\n{:#?}",
        world.status("shop", "frontend"),
        world.events("shop", "frontend")
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    let told = told(&world).split_off(told_before);
    controller.kill();
    let course = course.lock().expect("no panic").clone();
    (course.into_iter().map(|(at, state)| ((at - began).num_seconds(), state)).collect(), told)
}

/// What the event hook and the alert channel of the frontend were told.
fn told(world: &World) -> Vec<String> {
    let calls = world.backend.hook_calls();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    calls
        .iter()
        .filter_map(|call| match call.url.as_str() {
            "http://story.test/frontend" => {
                Some(format!("event: {}", text(&call.body["metadata"]["eventMessage"])))
            }
            "https://chat.test/in" => Some(format!("alert: {}", text(&call.body["message"]))),
            _ => None,
        })
        .collect()
}

#[rstest]
#[case::hooks(Neighbour::Hooks)]
#[case::queries(Neighbour::Queries)]
#[case::prometheus(Neighbour::Prometheus)]
#[case::refused(Neighbour::Refused)]
#[case::storm(Neighbour::Storm)]
#[case::adapter(Neighbour::Adapter)]
#[case::alerts(Neighbour::Alerts)]
#[case::events(Neighbour::Events)]
#[tokio::test(start_paused = true)]
async fn a_release_has_the_same_course_beside_a_neighbour_in_trouble(#[case] neighbour: Neighbour) {
    let (alone, told_alone) = course(None).await;
    let (beside, told_beside) = course(Some(neighbour)).await;
    assert!(alone.len() > 5, "{alone:?}");
    let states = |course: &Course| course.iter().map(|(_, state)| state.clone()).collect::<Vec<_>>();
    assert_eq!(states(&alone), states(&beside));
    for ((alone, state), (beside, _)) in alone.iter().zip(&beside) {
        // A second is where two roundings meet.
        assert!(
            (alone - beside).abs() <= 1,
            "{state} after {alone} s alone, {beside} s beside {neighbour:?}"
        );
    }
    assert_eq!(told_alone, told_beside);
    assert!(told_alone.iter().any(|line| line.starts_with("event: Promotion completed")), "{told_alone:#?}");
    assert!(
        told_alone.iter().any(|line| line.starts_with("alert: Canary analysis completed")),
        "{told_alone:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_release_that_holds_on_errors_rides_out_an_outage_of_its_metrics() {
    let world = World::builder().build();
    let controller = world.start_controller();
    world.apply(&canary("shop", "frontend", "    onMetricError: hold\n", "")).expect("a manifest");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await);
    world.set_image("shop", "frontend", NEXT);
    assert!(world.until(HOUR, |world| world.weights("shop", "frontend") == Some((75, 25))).await);
    for fault in [Fault::Unreachable, Fault::Hangs, Fault::NotJson] {
        world.backend.fault(Some(fault));
        tokio::time::sleep(10 * MINUTE).await;
        assert_eq!(world.weights("shop", "frontend"), Some((75, 25)), "{fault:?}");
        assert_eq!(world.status("shop", "frontend")["failedChecks"], 0, "{fault:?}");
    }
    world.backend.fault(None);
    assert!(world.until(10 * MINUTE, |world| world.phase("shop", "frontend") == "Succeeded").await);
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn twenty_canaries_that_ask_the_same_at_once_ask_once() {
    let world = World::builder().build();
    world.backend.slow("up", Duration::from_millis(300));
    let controller: Running = world.start_controller();
    // The backend has no such series: that it was asked is what counts.
    let lines =
        "    onNoData: pass\n    metrics: [{name: up, query: 'vector(1) or up', thresholdRange: {min: 0}}]\n";
    for number in 0..20 {
        world.apply(&canary("shop", &format!("part-{number}"), lines, "")).expect("a manifest");
    }
    let phase = |world: &World, wanted: &str| {
        (0..20).all(|number| world.phase("shop", &format!("part-{number}")) == wanted)
    };
    assert!(world.until(HOUR, |world| phase(world, "Initialized")).await);
    let before = world.backend.asked().len();
    for number in 0..20 {
        world.set_image("shop", &format!("part-{number}"), "registry.example.com/shop/part:2.0.0");
    }
    let ended = world.until(HOUR, |world| phase(world, "Succeeded")).await;
    assert!(ended, "{:#?}", world.events("shop", "part-0"));
    let asked = world.backend.asked().len() - before;
    controller.stop().await;
    assert_eq!(2, asked, "of twenty releases with two checks each");
}
