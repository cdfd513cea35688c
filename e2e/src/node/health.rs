//! Follows a container's probes and tells its pod what changes.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::pod::Event;
use super::probe::{self, Target};

/// Startup first, then readiness and liveness side by side, until the container ends.
pub(super) async fn watch(
    http: reqwest::Client,
    target: Target,
    slot: usize,
    generation: u32,
    events: mpsc::UnboundedSender<Event>,
) {
    let spec = target.container.clone();
    if let Some(startup) = &spec.startup_probe {
        if !becomes(&http, startup, &target).await {
            let _ = events.send(Event::Unhealthy { slot, generation });
            return;
        }
        let _ = events.send(Event::Started { slot, generation });
    }
    let readiness = async {
        let Some(readiness) = &spec.readiness_probe else { return };
        sleep(delay(readiness)).await;
        let mut run = Run::default();
        let mut ready = false;
        loop {
            let good = probe::check(&http, readiness, &target).await.is_ok();
            run.note(good);
            let wanted = if good {
                run.length >= threshold(readiness.success_threshold, 1)
            } else {
                ready && run.length < threshold(readiness.failure_threshold, 3)
            };
            if wanted != ready {
                ready = wanted;
                let _ = events.send(Event::Ready { slot, generation, ready });
            }
            sleep(probe::seconds(readiness.period_seconds, 10)).await;
        }
    };
    let liveness = async {
        let Some(liveness) = &spec.liveness_probe else { return };
        sleep(delay(liveness)).await;
        let mut run = Run::default();
        loop {
            let good = probe::check(&http, liveness, &target).await.is_ok();
            run.note(good);
            if !good && run.length >= threshold(liveness.failure_threshold, 3) {
                let _ = events.send(Event::Unhealthy { slot, generation });
                return;
            }
            sleep(probe::seconds(liveness.period_seconds, 10)).await;
        }
    };
    tokio::join!(readiness, liveness);
}

/// Whether a startup probe succeeds before it has failed too often.
async fn becomes(http: &reqwest::Client, startup: &Probe, target: &Target) -> bool {
    sleep(delay(startup)).await;
    for _ in 0..threshold(startup.failure_threshold, 3) {
        if probe::check(http, startup, target).await.is_ok() {
            return true;
        }
        sleep(probe::seconds(startup.period_seconds, 10)).await;
    }
    false
}

fn delay(probe: &Probe) -> Duration {
    Duration::from_secs(probe.initial_delay_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0))
}

fn threshold(value: Option<i32>, default: u32) -> u32 {
    value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
}

/// How many equal results came in a row.
#[derive(Default)]
struct Run {
    good: bool,
    length: u32,
}

impl Run {
    fn note(&mut self, good: bool) {
        if good != self.good {
            *self = Run { good, length: 0 };
        }
        self.length += 1;
    }
}
