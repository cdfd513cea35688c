//! The tag of an image says how its version behaves: `2.0` is good, `3.0-broken` fails requests, and so on. It holds for
//! every application of the demo and the simulation, and for `vexil app`, which really behaves so.

use std::time::Duration;

use crate::api::duration;

/// How a version behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Behaviour {
    pub pods: Pods,
    /// In percent.
    pub success_rate: Level,
    pub p99_millis: Level,
}

/// What becomes of its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pods {
    Ready,
    /// They run and never become ready.
    Stuck,
    /// They end soon after each start.
    Crash,
    /// Their image cannot be pulled.
    Missing,
}

/// Around a value, or just what the tag says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Level {
    About(f64),
    Exactly(f64),
}

impl Level {
    /// The value.
    pub fn value(self) -> f64 {
        let (Self::About(value) | Self::Exactly(value)) = self;
        value
    }
}

/// How a version of this tag behaves. Words that mean nothing change nothing.
pub(super) fn of_tag(tag: &str) -> Behaviour {
    // Two versions are never quite the same.
    let own = f64::from(tag.bytes().map(u32::from).sum::<u32>() % 15);
    let mut behaviour = Behaviour {
        pods: Pods::Ready,
        success_rate: Level::About(99.75 + own / 100.0),
        p99_millis: Level::About(90.0 + own),
    };
    let words: Vec<&str> = tag.split('-').collect();
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).copied().unwrap_or_default();
        match *word {
            "broken" => behaviour.success_rate = Level::About(93.0),
            "slow" => behaviour.p99_millis = Level::About(1400.0),
            "stuck" => behaviour.pods = Pods::Stuck,
            "crash" => behaviour.pods = Pods::Crash,
            "missing" => behaviour.pods = Pods::Missing,
            "errors" => {
                if let Some(percent) = next.parse().ok().filter(|percent: &f64| percent.is_finite()) {
                    behaviour.success_rate = Level::Exactly(100.0 - percent.clamp(0.0, 100.0));
                }
            }
            "latency" => {
                if let Ok(time) = duration::parse(next) {
                    behaviour.p99_millis = Level::Exactly(time.as_secs_f64() * 1000.0);
                }
            }
            _ => {}
        }
    }
    behaviour
}

/// From the start of a container until it crashes.
pub(super) const CRASH: Duration = Duration::from_secs(2);
