//! The routes as the gateway itself has them: not what was asked for, but what its traffic follows.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::world::World;

/// A weight that the gateway had for a while. It had it for certain from `first` to `last`; what is between one's `last`
/// and the next one's `first` may have gone either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub weight: i64,
    pub first: Duration,
    pub last: Duration,
}

/// Follows the canary's weight in the gateway.
pub struct Routes {
    held: Arc<Mutex<Vec<Held>>>,
    task: JoinHandle<()>,
}

impl Routes {
    /// Starts following a namespace's routes; times count from `start`.
    pub fn watch(world: &Arc<World>, namespace: &str, start: Instant) -> Routes {
        let held: Arc<Mutex<Vec<Held>>> = Arc::default();
        let url = format!("http://{}:15000/config_dump?resource=dynamic_route_configs", world.gateway.ip());
        let task = tokio::spawn(follow(url, format!(".{namespace}.svc.cluster.local"), start, held.clone()));
        Routes { held, task }
    }

    /// Ends it and gives what was held, in order.
    pub fn stop(self) -> Vec<Held> {
        self.task.abort();
        self.held.lock().map(|held| held.clone()).unwrap_or_default()
    }
}

async fn follow(url: String, suffix: String, start: Instant, held: Arc<Mutex<Vec<Held>>>) {
    let client =
        reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy().build().unwrap_or_default();
    loop {
        let asked = start.elapsed();
        if let Ok(answer) = client.get(&url).send().await
            && let Ok(dump) = answer.json::<Value>().await
            && let Some(weight) = canary_weight(&dump, &suffix)
            && let Ok(mut held) = held.lock()
        {
            note(&mut held, weight, asked, start.elapsed());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// What was asked for at one time and answered at another was true somewhere between.
fn note(held: &mut Vec<Held>, weight: i64, asked: Duration, answered: Duration) {
    match held.last_mut() {
        Some(last) if last.weight == weight => last.last = asked,
        _ => held.push(Held { weight, first: answered, last: answered }),
    }
}

/// The canary's weight in the gateway's routes; 0 when all goes elsewhere.
fn canary_weight(dump: &Value, suffix: &str) -> Option<i64> {
    let mut found = None;
    for config in dump["configs"].as_array()? {
        for host in config["route_config"]["virtual_hosts"].as_array().into_iter().flatten() {
            for route in host["routes"].as_array().into_iter().flatten() {
                let single = route["route"]["cluster"].as_str().unwrap_or_default();
                if single.ends_with(suffix) {
                    found = Some(if single.contains("-canary.") { 100 } else { 0 });
                }
                for cluster in
                    route["route"]["weighted_clusters"]["clusters"].as_array().into_iter().flatten()
                {
                    let name = cluster["name"].as_str().unwrap_or_default();
                    if name.ends_with(suffix) {
                        let weight = cluster["weight"].as_i64().unwrap_or(0);
                        found = Some(found.unwrap_or(0) + if name.contains("-canary.") { weight } else { 0 });
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_weight_is_read_from_the_routes_of_the_gateway() {
        let dump = json!({"configs": [{"route_config": {"virtual_hosts": [{"routes": [{"route": {"weighted_clusters": {"clusters": [
            {"name": "outbound|80||frontend-primary.shop.svc.cluster.local", "weight": 70},
            {"name": "outbound|80||frontend-canary.shop.svc.cluster.local", "weight": 30},
        ]}}}]}]}}]});
        assert_eq!(canary_weight(&dump, ".shop.svc.cluster.local"), Some(30));
        assert_eq!(canary_weight(&dump, ".other.svc.cluster.local"), None);
    }

    #[test]
    fn a_weight_is_held_for_certain_between_its_first_answer_and_its_last_question() {
        let seconds = Duration::from_secs;
        let mut held = Vec::new();
        for (weight, asked, answered) in [(0, 0, 1), (0, 2, 3), (10, 4, 5), (10, 6, 7), (20, 8, 9)] {
            note(&mut held, weight, seconds(asked), seconds(answered));
        }
        assert_eq!(
            held,
            [
                Held { weight: 0, first: seconds(1), last: seconds(2) },
                Held { weight: 10, first: seconds(5), last: seconds(6) },
                Held { weight: 20, first: seconds(9), last: seconds(9) },
            ]
        );
    }
}
