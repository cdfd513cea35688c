//! The routes as the gateway itself has them: not what was asked for, but what its traffic follows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::world::World;

/// Weights of the canary that the gateway had for a while. It had them for certain from `first` to `last`; what is between one's `last`
/// and the next one's `first` may have gone either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// By rule, in order: those for requests that match something come before the one for the others.
    pub weights: Vec<i64>,
    pub first: Duration,
    pub last: Duration,
}

impl Held {
    /// The weight for requests that match no rule of their own.
    pub fn weight(&self) -> i64 {
        self.weights.last().copied().unwrap_or(0)
    }
}

/// Follows the canary's weights in the gateway.
pub struct Routes {
    held: View,
    task: JoinHandle<()>,
}

/// What was held so far, for those who look while it goes on.
#[derive(Clone, Default)]
pub struct View(Arc<Mutex<Vec<Held>>>);

impl View {
    /// In order.
    pub fn so_far(&self) -> Vec<Held> {
        self.0.lock().map(|held| held.clone()).unwrap_or_default()
    }
}

impl Routes {
    /// Starts following a namespace's routes; times count from `start`.
    pub fn watch(world: &Arc<World>, namespace: &str, start: Instant) -> Routes {
        let held = View::default();
        let url = format!("http://{}:15000/config_dump?resource=dynamic_route_configs", world.gateway.ip());
        let task = tokio::spawn(follow(url, format!(".{namespace}.svc.cluster.local"), start, held.clone()));
        Routes { held, task }
    }

    /// Ends it and gives what was held, in order.
    pub fn stop(self) -> Vec<Held> {
        self.task.abort();
        self.so_far()
    }

    /// What was held so far, in order.
    pub fn so_far(&self) -> Vec<Held> {
        self.held.so_far()
    }

    /// The same, for those who look while it goes on.
    pub fn view(&self) -> View {
        self.held.clone()
    }
}

async fn follow(url: String, suffix: String, start: Instant, held: View) {
    let client =
        reqwest::Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap_or_default();
    loop {
        let asked = start.elapsed();
        if let Ok(answer) = client.get(&url).send().await
            && let Ok(dump) = answer.json::<Value>().await
            && let Some(weights) = canary_weights(&dump, &suffix)
            && let Ok(mut held) = held.0.lock()
        {
            note(&mut held, weights, asked, start.elapsed());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Adds what a proxy answered: what was asked for at one time and answered at another was true somewhere between.
pub fn note(held: &mut Vec<Held>, weights: Vec<i64>, asked: Duration, answered: Duration) {
    match held.last_mut() {
        Some(last) if last.weights == weights => last.last = asked,
        _ => held.push(Held { weights, first: answered, last: answered }),
    }
}

/// The canary's weight in each of a namespace's routes; 0 where all goes elsewhere.
fn canary_weights(dump: &Value, suffix: &str) -> Option<Vec<i64>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let configs = list(&dump["configs"]);
    let mut hosts = configs.iter().flat_map(|config| list(&config["route_config"]["virtual_hosts"]));
    // The namespace's hosts have the same routes.
    hosts.find_map(|host| {
        let weights: Vec<i64> =
            list(&host["routes"]).iter().filter_map(|route| weight(&route["route"], suffix)).collect();
        (!weights.is_empty()).then_some(weights)
    })
}

/// None when it leads out of the namespace.
fn weight(route: &Value, suffix: &str) -> Option<i64> {
    let is_canary = |name: &str| name.contains("-canary.");
    let single = route["cluster"].as_str().unwrap_or_default();
    if single.ends_with(suffix) {
        return Some(if is_canary(single) { 100 } else { 0 });
    }
    let mut found = None;
    for cluster in route["weighted_clusters"]["clusters"].as_array().into_iter().flatten() {
        let name = cluster["name"].as_str().unwrap_or_default();
        if name.ends_with(suffix) {
            let weight = if is_canary(name) { cluster["weight"].as_i64().unwrap_or(0) } else { 0 };
            found = Some(found.unwrap_or(0) + weight);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_weights_are_read_from_the_routes_of_the_gateway() {
        let dump = json!({"configs": [{"route_config": {"virtual_hosts": [{"routes": [
            {"route": {"cluster": "outbound|80||frontend-canary.shop.svc.cluster.local"}},
            {"route": {"cluster": "outbound|80||frontend-primary.shop.svc.cluster.local"}},
            {"route": {"weighted_clusters": {"clusters": [
                {"name": "outbound|80||frontend-primary.shop.svc.cluster.local", "weight": 70},
                {"name": "outbound|80||frontend-canary.shop.svc.cluster.local", "weight": 30},
            ]}}},
        ]}]}}]});
        assert_eq!(canary_weights(&dump, ".shop.svc.cluster.local"), Some(vec![100, 0, 30]));
        assert_eq!(canary_weights(&dump, ".other.svc.cluster.local"), None);
    }

    #[test]
    fn a_weight_is_held_for_certain_between_its_first_answer_and_its_last_question() {
        let seconds = Duration::from_secs;
        let mut held = Vec::new();
        for (weight, asked, answered) in [(0, 0, 1), (0, 2, 3), (10, 4, 5), (10, 6, 7), (20, 8, 9)] {
            note(&mut held, vec![weight], seconds(asked), seconds(answered));
        }
        assert_eq!(
            held,
            [
                Held { weights: vec![0], first: seconds(1), last: seconds(2) },
                Held { weights: vec![10], first: seconds(5), last: seconds(6) },
                Held { weights: vec![20], first: seconds(9), last: seconds(9) },
            ]
        );
    }
}
