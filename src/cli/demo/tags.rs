//! What is measured of a version, and what becomes of its pods, by the tag of its image.

use std::time::Duration;

use crate::cli::tags::{Behaviour, CRASH, Level, Pods, of_tag};
use crate::sim::Version;
use kubesim::{PodBehaviour, PodRules};

/// How the versions of this image behave.
pub(super) fn behaviour(image: &str) -> Behaviour {
    of_tag(tag(image))
}

impl Behaviour {
    /// What is measured at a step: no two measurements of a real application are the same.
    pub(super) fn at(&self, step: usize, image: &str) -> Version {
        let gust = GUSTS[image.bytes().fold(step, |sum, byte| sum.wrapping_add(byte.into())) % GUSTS.len()];
        let success_rate = match self.success_rate {
            Level::About(rate) => rate + gust * (0.4 * (100.0 - rate)).min(0.6),
            Level::Exactly(rate) => rate,
        };
        let p99_millis = match self.p99_millis {
            Level::About(millis) => millis * (1.0 - 0.1 * gust),
            Level::Exactly(millis) => millis,
        };
        Version { success_rate, p99_millis }
    }
}

/// Pods that are ready after `startup`, unless their tag says otherwise.
pub(super) fn pod_rules(startup: Duration) -> PodRules {
    // It never gets so far as to be ready.
    let crash = PodBehaviour { startup: CRASH * 2, ..PodBehaviour::crashes_after(CRASH) };
    let rules = PodRules::default().otherwise(PodBehaviour::ready_after(startup));
    [
        (Pods::Stuck, PodBehaviour::never_ready()),
        (Pods::Crash, crash),
        (Pods::Missing, PodBehaviour::bad_image()),
    ]
    .into_iter()
    .fold(rules, |rules, (pods, does)| rules.rule(move |facts| behaviour(&facts.image).pods == pods, does))
}

/// The tag of an image; empty if it has none.
fn tag(image: &str) -> &str {
    let name = image.rsplit_once('/').map_or(image, |(_, name)| name);
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    name.split_once(':').map_or("", |(_, tag)| tag)
}

/// For the help: what the tags mean.
pub(super) const MEANINGS: [(&str, &str); 8] = [
    ("2.0", "good, as every tag that says nothing else"),
    ("3.0-broken", "about 7 % of the requests fail"),
    ("4.0-slow", "the slowest hundredth of the requests takes about 1.4 s"),
    ("5.0-crash", "the pods crash before they are ready"),
    ("5.0-stuck", "the pods run and never become ready"),
    ("6.0-missing", "the image cannot be pulled"),
    ("7.0-errors-2.5", "just 2.5 % of the requests fail"),
    ("8.0-latency-800ms", "the slowest hundredth takes 800 ms; the words combine"),
];

const GUSTS: [f64; 7] = [0.1, -0.5, 0.3, 0.8, -0.2, -0.9, 0.5];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("shop/frontend:2.0", 99.0..100.0, 50.0..200.0)]
    #[case("registry.example.com:5000/shop/frontend", 99.0..100.0, 50.0..200.0)]
    #[case("registry.example.com:5000/broken/slow-frontend:2.0", 99.0..100.0, 50.0..200.0)]
    #[case("frontend@sha256:0123", 99.0..100.0, 50.0..200.0)]
    #[case("frontend:3.0-broken", 92.0..94.0, 50.0..200.0)]
    #[case("frontend:3.0-broken@sha256:0123", 92.0..94.0, 50.0..200.0)]
    #[case("frontend:4.0-slow", 99.0..100.0, 1200.0..1600.0)]
    #[case("frontend:4.0-slow-broken", 92.0..94.0, 1200.0..1600.0)]
    #[case("frontend:1-errors-7", 93.0..93.001, 50.0..200.0)]
    #[case("frontend:1-errors-0.5-latency-1.5s", 99.5..99.501, 1500.0..1500.001)]
    #[case("frontend:errors-1000", 0.0..0.001, 50.0..200.0)]
    #[case("frontend:errors-many", 99.0..100.0, 50.0..200.0)]
    #[case("frontend:errors-NaN", 99.0..100.0, 50.0..200.0)]
    #[case("frontend:latency-soon", 99.0..100.0, 50.0..200.0)]
    #[case("frontend:latency", 99.0..100.0, 50.0..200.0)]
    #[case("", 99.0..100.0, 50.0..200.0)]
    fn a_tag_says_what_is_measured(
        #[case] image: &str,
        #[case] success_rate: std::ops::Range<f64>,
        #[case] p99_millis: std::ops::Range<f64>,
    ) {
        for step in 0..20 {
            let version = behaviour(image).at(step, image);
            assert!(success_rate.contains(&version.success_rate), "{image}: {version:?}");
            assert!(p99_millis.contains(&version.p99_millis), "{image}: {version:?}");
        }
    }

    #[rstest]
    #[case("frontend:5.0-crash", Pods::Crash)]
    #[case("frontend:5.0-stuck", Pods::Stuck)]
    #[case("frontend:6.0-missing", Pods::Missing)]
    #[case("frontend:crashproof", Pods::Ready)]
    #[case("missing:1.0", Pods::Ready)]
    fn a_tag_says_what_becomes_of_the_pods(#[case] image: &str, #[case] pods: Pods) {
        assert_eq!(pods, behaviour(image).pods);
    }
}
