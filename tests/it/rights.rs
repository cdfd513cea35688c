//! The rights that the chart gives, held against what the real controller asks of a cluster that refuses all else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubesim::{ApiStatus, Fate, RequestInfo};
use vexil::model::release::Settings;
use vexil::sim::{Version, World};

use crate::deploy::chart;
use crate::deploy::rights::rights;

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const SETTINGS: &str = include_str!("../data/shop/frontend-settings.yaml");
const HOUR: Duration = Duration::from_secs(3600);

/// Verb, group, resource.
type Asked = BTreeSet<(String, String, String)>;

/// What a request needs.
fn needed(request: &RequestInfo) -> (String, String, String) {
    let resource = match &request.subresource {
        Some(part) => format!("{}/{part}", request.plural),
        None => request.plural.clone(),
    };
    (request.verb.to_string(), request.group.clone(), resource)
}

/// A good and a bad release and a deletion, in a cluster that refuses the controller what the chart does not give. Gives
/// what was asked for.
async fn lived(values: &[&str], settings: Settings) -> Asked {
    let granted: Asked = rights(&chart(values))
        .into_iter()
        .map(|(verb, group, resource, _)| (verb, group, resource))
        .collect();
    let world = World::builder().settings(settings).build();
    world.backend.version("broken", Version { success_rate: 10.0, p99_millis: 50.0 });
    let asked = Arc::new(Mutex::new(Asked::new()));
    let heard = Arc::clone(&asked);
    let may = granted.clone();
    world.kube.intercept(move |request| {
        if request.caller != "vexil" {
            return Fate::Pass;
        }
        let needed = needed(request);
        let allowed = may.contains(&needed);
        heard.lock().expect("no panic").insert(needed);
        if allowed { Fate::Pass } else { Fate::Fail(ApiStatus::unauthorized()) }
    });
    let refused = || asked.lock().expect("no panic").difference(&granted).cloned().collect::<Vec<_>>();
    let controller = world.start_controller();
    // The target with its settings, then all but the target of the other file.
    let rest = QUARTERS.split_once("---\n").expect("several objects").1;
    for manifest in [SETTINGS, rest] {
        world.apply(manifest).expect("a manifest that the cluster takes");
    }
    let initialized = world.until(HOUR, |world| world.phase("shop", "frontend") == "Initialized").await;
    assert!(initialized, "{:?} {:?}", refused(), world.events("shop", "frontend"));
    for (tag, end) in [("2.0.0", "Succeeded"), ("broken", "Failed")] {
        world.set_image("shop", "frontend", &format!("registry.example.com/shop/frontend:{tag}"));
        let ended = world.until(HOUR, |world| world.phase("shop", "frontend") == end).await;
        assert!(ended, "{tag}: {:?} {:?}", refused(), world.events("shop", "frontend"));
    }
    world.kube.delete("canaries.flagger.app", "shop", "frontend");
    tokio::time::sleep(Duration::from_secs(60)).await;
    controller.stop().await;
    assert_eq!(refused(), []);
    asked.lock().expect("no panic").clone()
}

// spec: 01/API-109
#[tokio::test(start_paused = true)]
async fn a_release_needs_no_right_that_the_chart_does_not_give() {
    let values = ["meshProvider=istio", "rbac.metricProviders={}"];
    let asked = lived(&values, Settings::default()).await;
    // So that this looks at something.
    for verb in ["list", "watch", "create", "patch"] {
        assert!(asked.iter().any(|(asked, ..)| asked == verb), "{verb}: {asked:?}");
    }
    // What Kubernetes itself needs of whoever sets an owner, and one that is asked for by name alone.
    let rights = rights(&chart(&values));
    let spared = |resource: &str| ["canaries/finalizers", "daemonsets", "scaledobjects"].contains(&resource);
    let unused: Vec<String> = rights
        .iter()
        .filter(|(verb, group, resource, _)| {
            !spared(resource) && !asked.contains(&(verb.clone(), group.clone(), resource.clone()))
        })
        .map(|(verb, _, resource, _)| format!("{verb} {resource}"))
        .collect();
    assert_eq!(unused, UNUSED, "{asked:#?}");
}

/// What this life had no occasion for: copies that nobody uses any more, drift to repair, a finalizer.
const UNUSED: [&str; 8] = [
    "delete configmaps",
    "delete secrets",
    "patch configmaps",
    "patch secrets",
    "patch services",
    "patch horizontalpodautoscalers",
    "patch canaries",
    "patch destinationrules",
];

#[tokio::test(start_paused = true)]
async fn without_config_tracking_a_release_asks_for_no_secret() {
    let settings = Settings { config_tracking: false, ..Settings::default() };
    let values = ["meshProvider=istio", "configTracking.enabled=false"];
    let asked = lived(&values, settings).await;
    assert!(
        !asked.iter().any(|(_, _, resource)| ["configmaps", "secrets"].contains(&resource.as_str())),
        "{asked:?}"
    );
}
