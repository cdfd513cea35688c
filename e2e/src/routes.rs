//! The routes as the gateway itself has them: not what was asked for, but what its traffic follows.

mod proxy;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub use self::proxy::{Proxy, traefik_weights};
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
        Routes::watch_at(&Proxy::Istio(world.gateway.ip()), namespace, start)
    }

    /// The same at another proxy.
    pub fn watch_at(proxy: &Proxy, namespace: &str, start: Instant) -> Routes {
        let held = View::default();
        let task = tokio::spawn(follow(proxy.clone(), namespace.to_owned(), start, held.clone()));
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

async fn follow(proxy: Proxy, namespace: String, start: Instant, held: View) {
    let client = proxy.client();
    loop {
        let asked = start.elapsed();
        if let Some(weights) = proxy.weights(&client, &namespace).await
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

#[cfg(test)]
mod tests {
    use super::*;

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
