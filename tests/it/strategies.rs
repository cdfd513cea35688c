//! Each strategy as a release on the embedded cluster: a good version, and a bad one. A story is what a user who
//! watches the Canary and its routes sees, one line for each change.

use std::time::Duration;

use rstest::rstest;
use serde_json::Value;
use vexil::sim::{Running, Version, World};

const MANIFEST: &str = include_str!("../data/shop/frontend-quarters.yaml");
const GOOD: &str = "registry.example.com/shop/frontend:2.0.0";
const HOUR: Duration = Duration::from_secs(3600);

/// The analysis of a strategy, in place of `stepWeight` and `maxWeight`.
struct Strategy {
    analysis: &'static str,
    spec: &'static str,
}

const WEIGHTED: Strategy = Strategy { analysis: "stepWeight: 25\n    maxWeight: 50", spec: "" };
const STEPS: Strategy =
    Strategy { analysis: "stepWeights: [1, 10, 60]\n    stepWeightPromotion: 50", spec: "" };
const MIRRORED: Strategy = Strategy {
    analysis: "stepWeight: 50\n    maxWeight: 50\n    mirror: true\n    mirrorWeight: 30",
    spec: "",
};
const AFFINITY: Strategy = Strategy {
    analysis: "stepWeight: 25\n    maxWeight: 25\n    sessionAffinity: {cookieName: ours, maxAge: 300}",
    spec: "",
};
const AB: Strategy = Strategy {
    analysis: "iterations: 2\n    match:\n      - headers: {x-canary: {exact: insider}}\n      - headers: {cookie: {regex: '^(.*?;)?(canary=always)(;.*)?$'}}",
    spec: "",
};
const MATCHED: Strategy = Strategy {
    analysis: "stepWeight: 50\n    maxWeight: 50\n    match:\n      - headers: {x-canary: {exact: insider}}",
    spec: "",
};
/// Beside the primary nobody asks for the canary: without a load test there is nothing to measure.
const BLUE_GREEN: Strategy = Strategy { analysis: "iterations: 2\n    onNoData: pass", spec: "" };
const BLUE_GREEN_MIRRORED: Strategy = Strategy { analysis: "iterations: 2\n    mirror: true", spec: "" };
const PLAIN: Strategy = Strategy { analysis: "iterations: 2", spec: "  provider: kubernetes\n" };
const SKIPPED: Strategy =
    Strategy { analysis: "stepWeight: 25\n    maxWeight: 50", spec: "  skipAnalysis: true\n" };
const GATED: Strategy = Strategy {
    analysis: "stepWeight: 50\n    maxWeight: 50\n    webhooks:\n      - {name: start, type: confirm-rollout, url: 'http://start.test/'}\n      - {name: more, type: confirm-traffic-increase, url: 'http://more.test/'}\n      - {name: end, type: confirm-promotion, url: 'http://end.test/'}\n      - {name: back, type: rollback, url: 'http://back.test/'}",
    spec: "",
};

fn manifest(strategy: &Strategy) -> String {
    let written = MANIFEST.replace("maxWeight: 50\n    stepWeight: 25", strategy.analysis);
    let written = written.replace("  targetRef:\n", &format!("{}  targetRef:\n", strategy.spec));
    assert_ne!(written, MANIFEST, "nothing was replaced");
    written
}

async fn initialized(strategy: &Strategy) -> (World, Running) {
    let world = World::builder().build();
    // Nobody wants a rollback.
    world.backend.close("back.test", true);
    let controller = world.start_controller();
    world.apply(&manifest(strategy)).expect("a manifest that the cluster takes");
    let met = world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await;
    assert!(met, "{:#?}", world.events("shop", "frontend"));
    (world, controller)
}

/// What the first rule of the routes says: `75/25`, with `+` where requests are copied, and the number of rules.
fn routes(world: &World) -> String {
    let Some(service) = world.kube.get("virtualservices.networking.istio.io", "shop", "frontend") else {
        return "none".to_owned();
    };
    let Some(rules) = service["spec"]["http"].as_array() else { return "none".to_owned() };
    let share = |rule: &Value| {
        let weight = |host: &str| {
            let mut routes = rule["route"].as_array().into_iter().flatten();
            let route = routes.find(|route| route["destination"]["host"] == host)?;
            route["weight"].as_i64().or(Some(100))
        };
        let sides = (weight("frontend-primary").unwrap_or(0), weight("frontend-canary").unwrap_or(0));
        format!("{}/{}{}", sides.0, sides.1, if rule["mirror"].is_object() { "+" } else { "" })
    };
    rules.iter().map(share).collect::<Vec<_>>().join(" ")
}

/// Releases `image` and notes phase, iterations and routes at each change, until `end`.
async fn story(world: &World, image: &str, end: &str) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    world.set_image("shop", "frontend", image);
    let began = world.now();
    loop {
        let status = world.status("shop", "frontend");
        let phase = status["phase"].as_str().unwrap_or_default();
        let line = format!("{phase} {} {}", status["iterations"], routes(world));
        if told.last() != Some(&line) {
            told.push(line);
        }
        // The last one: the routes have come to rest as well.
        if phase == end && told.len() > 1 {
            return told;
        }
        assert!(
            (world.now() - began).num_seconds() < 3600,
            "{told:#?}\n{:#?}",
            world.events("shop", "frontend")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[rstest]
#[case::weighted(WEIGHTED, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 75/25", "Progressing 0 50/50", "Promoting 0 50/50",
    "Finalising 0 100/0", "Succeeded 0 100/0",
])]
#[case::listed_steps_and_a_stepped_promotion(STEPS, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 99/1", "Progressing 0 90/10", "Progressing 0 40/60",
    "Promoting 0 40/60", "Promoting 0 90/10", "Finalising 0 100/0", "Succeeded 0 100/0",
])]
#[case::mirrored(MIRRORED, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 100/0+", "Progressing 0 50/50", "Promoting 0 50/50",
    "Finalising 0 100/0", "Succeeded 0 100/0",
])]
#[case::session_affinity(AFFINITY, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 0/100 75/25", "Promoting 0 0/100 75/25",
    "Finalising 0 100/0 100/0", "Succeeded 0 100/0 100/0",
])]
#[case::ab_testing(AB, &[
    "Initialized 0 100/0 100/0", "Progressing 0 100/0 100/0", "Progressing 1 0/100 100/0", "Progressing 2 0/100 100/0",
    "Promoting 2 0/100 100/0", "Finalising 0 100/0 100/0", "Succeeded 0 100/0 100/0",
])]
#[case::matched(MATCHED, &[
    "Initialized 0 100/0 100/0", "Progressing 0 100/0 100/0", "Progressing 0 50/50 100/0", "Promoting 0 50/50 100/0",
    "Finalising 0 100/0 100/0", "Succeeded 0 100/0 100/0",
])]
#[case::blue_green(BLUE_GREEN, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 1 100/0", "Progressing 2 100/0", "Progressing 3 0/100",
    "Promoting 3 0/100", "Finalising 0 100/0", "Succeeded 0 100/0",
])]
#[case::blue_green_mirrored(BLUE_GREEN_MIRRORED, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 1 100/0+", "Progressing 2 100/0+",
    "Progressing 3 0/100", "Promoting 3 0/100", "Finalising 0 100/0", "Succeeded 0 100/0",
])]
#[case::plain_kubernetes(PLAIN, &[
    "Initialized 0 none", "Progressing 0 none", "Progressing 1 none", "Progressing 2 none", "Progressing 3 none",
    "Promoting 3 none", "Finalising 0 none", "Succeeded 0 none",
])]
#[case::skipped(SKIPPED, &["Initialized 0 100/0", "Progressing 0 100/0", "Succeeded 0 100/0"])]
#[case::gated(GATED, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 50/50", "Promoting 0 50/50", "Finalising 0 100/0",
    "Succeeded 0 100/0",
])]
#[tokio::test(start_paused = true)]
async fn a_good_version_is_promoted(#[case] strategy: Strategy, #[case] expected: &[&str]) {
    let (world, controller) = initialized(&strategy).await;
    let told = story(&world, GOOD, "Succeeded").await;
    assert_eq!(told, expected);
    let image = |name: &str| {
        let object = world.kube.get("deployments.apps", "shop", name).expect("a Deployment");
        (
            object["spec"]["template"]["spec"]["containers"][0]["image"].clone(),
            object["spec"]["replicas"].clone(),
        )
    };
    assert_eq!(image("frontend-primary").0, GOOD);
    assert_eq!(image("frontend").1, 0, "the canary has no pods any more");
    controller.stop().await;
}

#[rstest]
#[case::weighted(WEIGHTED, &["Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 75/25", "Progressing 0 100/0", "Failed 0 100/0"])]
#[case::listed_steps(STEPS, &["Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 99/1", "Progressing 0 100/0", "Failed 0 100/0"])]
#[case::mirrored(MIRRORED, &["Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 100/0+", "Progressing 0 100/0", "Failed 0 100/0"])]
#[case::session_affinity(AFFINITY, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 0/100 75/25", "Progressing 0 100/0 100/0",
    "Failed 0 100/0 100/0",
])]
#[case::ab_testing(AB, &[
    "Initialized 0 100/0 100/0", "Progressing 0 100/0 100/0", "Progressing 1 0/100 100/0", "Progressing 1 100/0 100/0",
    "Failed 0 100/0 100/0",
])]
#[case::matched(MATCHED, &[
    "Initialized 0 100/0 100/0", "Progressing 0 100/0 100/0", "Progressing 0 50/50 100/0",
    "Progressing 0 100/0 100/0", "Failed 0 100/0 100/0",
])]
#[case::blue_green(BLUE_GREEN, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 1 100/0", "Progressing 2 100/0", "Progressing 3 0/100",
    "Progressing 3 100/0", "Failed 0 100/0",
])]
#[case::blue_green_mirrored(BLUE_GREEN_MIRRORED, &[
    "Initialized 0 100/0", "Progressing 0 100/0", "Progressing 1 100/0+", "Progressing 1 100/0", "Failed 0 100/0",
])]
#[case::plain_kubernetes(PLAIN, &["Initialized 0 none", "Progressing 0 none", "Progressing 1 none", "Failed 0 none"])]
#[case::gated(GATED, &["Initialized 0 100/0", "Progressing 0 100/0", "Progressing 0 50/50", "Progressing 0 100/0", "Failed 0 100/0"])]
#[tokio::test(start_paused = true)]
async fn a_bad_version_is_rolled_back(#[case] strategy: Strategy, #[case] expected: &[&str]) {
    let (world, controller) = initialized(&strategy).await;
    world.backend.version("2.0.0", Version { success_rate: 50.0, p99_millis: 50.0 });
    let told = story(&world, GOOD, "Failed").await;
    assert_eq!(told, expected);
    let primary = world.kube.get("deployments.apps", "shop", "frontend-primary").expect("the primary");
    assert!(
        primary["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .is_some_and(|image| image.ends_with(":1.0.0"))
    );
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_gated_release_waits_at_each_gate_and_a_hook_ends_it_at_any() {
    let (world, controller) = initialized(&GATED).await;
    let reaches = async |phase: &str, shares: &str| {
        let met = world
            .until(HOUR, |world| world.phase("shop", "frontend") == phase && routes(world) == shares)
            .await;
        assert!(met, "{phase} {shares}: {:#?}", world.events("shop", "frontend"));
        // It stays there.
        let left = world.until(Duration::from_secs(300), |world| routes(world) != shares).await;
        assert!(!left, "{phase} {shares} did not hold");
    };
    for gate in ["start.test", "more.test", "end.test"] {
        world.backend.close(gate, true);
    }
    world.set_image("shop", "frontend", GOOD);
    reaches("Waiting", "100/0").await;
    world.backend.close("start.test", false);
    reaches("Progressing", "100/0").await;
    world.backend.close("more.test", false);
    reaches("WaitingPromotion", "50/50").await;
    world.backend.close("back.test", false);
    reaches("Failed", "100/0").await;

    world.backend.close("back.test", true);
    world.backend.close("start.test", true);
    world.set_image("shop", "frontend", "registry.example.com/shop/frontend:3.0.0");
    reaches("Waiting", "100/0").await;
    world.backend.close("back.test", false);
    reaches("Failed", "100/0").await;
    controller.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_cookie_of_a_run_is_in_the_routes_and_is_taken_back_at_its_end() {
    let (world, controller) = initialized(&AFFINITY).await;
    world.set_image("shop", "frontend", GOOD);
    let text = |world: &World| {
        let routes = world.kube.get("virtualservices.networking.istio.io", "shop", "frontend");
        routes.unwrap_or_default()["spec"]["http"].to_string()
    };
    assert!(world.until(HOUR, |world| text(world).contains("Max-Age=300")).await);
    let cookie =
        world.status("shop", "frontend")["sessionAffinityCookie"].as_str().unwrap_or_default().to_owned();
    assert!(cookie.starts_with("ours=") && text(&world).contains(&cookie), "{cookie}");
    assert!(world.until(HOUR, |world| world.phase("shop", "frontend") == "Succeeded").await);
    let status = world.status("shop", "frontend");
    assert_eq!(status["previousSessionAffinityCookie"], cookie.as_str());
    assert!(status["sessionAffinityCookie"].is_null());
    assert!(text(&world).contains(&format!("{cookie}; Max-Age=-1")), "{}", text(&world));
    controller.stop().await;
}
