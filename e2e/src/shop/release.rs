//! Following a release: what has happened to the Canary, by everything that was seen of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{NAME, Shop, shares};
use crate::shares::Judge;
use crate::wait;
use crate::world::Seen;

impl Shop {
    /// Applies the Canary and waits until it is initialized.
    pub async fn initialize(&self, canary: &Value) -> Result<()> {
        self.apply(canary).await?;
        self.wait_phase("Initialized", Duration::from_secs(180)).await
    }

    /// The Canary as last seen.
    pub fn canary(&self) -> Value {
        self.world.latest("Canary", &self.namespace, NAME).unwrap_or(Value::Null)
    }

    /// The phase as last seen. What happened is asked with [`Shop::wait_phase`]: a phase may be over before anybody looks.
    pub fn phase(&self) -> String {
        self.canary()["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Everything seen of the Canary.
    pub fn history(&self) -> Vec<Arc<Seen>> {
        self.world.history("Canary", &self.namespace, NAME)
    }

    /// Waits until the Canary has come to a phase since the last wait; it may be further by then.
    ///
    /// # Errors
    /// The deadline passed, or the Canary came to another end; the text shows the events.
    pub async fn wait_phase(&self, wanted: &str, deadline: Duration) -> Result<()> {
        self.wait_any(&[wanted], deadline).await
    }

    /// The same for whichever of some phases comes first.
    async fn wait_any(&self, wanted: &[&str], deadline: Duration) -> Result<()> {
        let names = wanted.join(" or ");
        let what = format!("Canary {}/{NAME} becomes {names}", self.namespace);
        let waited = wait::until(&what, deadline, async || {
            let history = self.history();
            let come = self.come.load(Ordering::SeqCst);
            let found = next_phase(history.iter().map(|seen| phase_of(seen)).skip(come), wanted);
            match found {
                Ok(Some(steps)) => {
                    self.come.store(come + steps, Ordering::SeqCst);
                    Ok(true)
                }
                Ok(None) => Ok(false),
                Err(end) => bail!("Canary {}/{NAME} became {end} instead of {names}", self.namespace),
            }
        })
        .await;
        self.explain(waited).await
    }

    /// When the phase that was last waited for was seen.
    pub fn reached(&self) -> Option<Instant> {
        self.history().get(self.come.load(Ordering::SeqCst)).map(|seen| seen.at)
    }

    /// Waits for a release to begin and then to end.
    pub async fn wait_release(&self, wanted: &str, deadline: Duration) -> Result<()> {
        // Any of these will do: a watch that had to start over may have missed one.
        let moving = ["Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising"];
        self.wait_any(&moving, Duration::from_secs(90)).await?;
        self.wait_phase(wanted, deadline).await
    }

    /// Hooks that hold each step of a release until the gateway has served enough requests at its weight to judge by. On a
    /// machine that is fast enough they are open whenever they are asked.
    pub fn hold_steps(&self, judge: Judge) -> Value {
        let path = format!("/{}/enough", self.namespace);
        let (world, namespace) = (self.world.clone(), self.namespace.clone());
        let (kind, name) = self.route;
        self.world.inbox.decide(&path, move || {
            let route = world.latest(kind, &namespace, name);
            let weight = route.and_then(|route| shares(&route)).map_or(0, |(_, canary)| canary);
            if judge.has_enough(weight) { 200 } else { 403 }
        });
        let hook = |kind: &str| json!({"name": format!("enough-{kind}"), "type": kind, "url": self.world.inbox.url(&path), "timeout": "30s"});
        json!([hook("confirm-traffic-increase"), hook("confirm-promotion")])
    }

    /// Waits until a release that a closed gate keeps is seen in this phase with this share, in the Canary and in its route.
    ///
    /// # Errors
    /// It went further, or never came there.
    pub async fn wait_step(&self, phase: &str, weight: i64) -> Result<()> {
        let what = format!("Canary {}/{NAME} waits as {phase} with a share of {weight}", self.namespace);
        let waited = wait::until(&what, Duration::from_secs(20), async || {
            let canary = self.canary();
            let found = canary["status"]["canaryWeight"].as_i64().unwrap_or(0);
            ensure!(found <= weight, "its share is {found} and not {weight}");
            let there = canary["status"]["phase"] == phase && found == weight;
            // The news of the route may come a moment after those of the Canary, and a gate that keeps the first pods has no
            // route to look at.
            Ok(there && (phase == "Waiting" || self.shares() == Some((100 - weight, weight))))
        })
        .await;
        self.explain(waited).await
    }

    /// # Errors
    /// Since the phase that was last waited for, the route has not given the canary as little as this.
    pub async fn expect_share_falls_to(&self, weight: i64) -> Result<()> {
        let since = self.reached().context("no phase was waited for")?;
        let what = format!("the share of {}/{NAME} falls to {weight}", self.namespace);
        let (kind, name) = self.route;
        wait::until(&what, Duration::from_secs(20), async || {
            let history = self.world.history(kind, &self.namespace, name);
            // The version that was in force at that time counts too.
            let from = history.iter().rposition(|seen| seen.at <= since).unwrap_or(0);
            let shares = history.iter().skip(from).filter_map(|seen| shares(seen.object.as_ref()?));
            Ok(shares.into_iter().any(|(_, canary)| canary <= weight))
        })
        .await
    }

    /// Waits until the canary's share has been at least this since the last phase that was waited for.
    pub async fn wait_weight(&self, least: i64, deadline: Duration) -> Result<()> {
        let what = format!("Canary {}/{NAME} has a share of {least}", self.namespace);
        let waited = wait::until(&what, deadline, async || {
            let history = self.history();
            let since = history.get(self.come.load(Ordering::SeqCst)..).unwrap_or_default();
            if since.iter().any(|seen| weight_of(seen) >= least) {
                return Ok(true);
            }
            let failed = since.iter().skip(1).any(|seen| phase_of(seen) == "Failed");
            ensure!(!failed || self.phase() != "Failed", "Canary {}/{NAME} failed", self.namespace);
            Ok(false)
        })
        .await;
        self.explain(waited).await
    }

    /// Lets a release pass a closed gate that is asked before each step, once, and waits until it has come to this share. A
    /// check that fails on the way costs a pass, so the gate opens again when it was asked in vain. Gives how often it opened.
    pub async fn pass(&self, gate: &str, weight: i64) -> Result<usize> {
        let mut passes = 1;
        let mut asked = self.world.inbox.answer_once(gate, 200, 403);
        let what = format!("Canary {}/{NAME} passes {gate} to a share of {weight}", self.namespace);
        let waited = wait::until(&what, Duration::from_secs(120), async || {
            // The second question comes after everything that followed from the first answer.
            let again = asked.load(Ordering::SeqCst) >= 2;
            let status = self.status_now().await?;
            let reached = status["canaryWeight"].as_i64().unwrap_or(0) >= weight;
            if again && !reached {
                passes += 1;
                asked = self.world.inbox.answer_once(gate, 200, 403);
            }
            Ok(reached)
        })
        .await;
        self.explain(waited).await?;
        Ok(passes)
    }

    /// The Canary's status as the API server has it now.
    pub async fn status_now(&self) -> Result<Value> {
        let canary = self.get("flagger.app/v1beta1", "Canary", NAME).await?;
        Ok(canary.context("the Canary is gone")?.data["status"].take())
    }

    /// Adds what the controller said to an error.
    async fn explain(&self, result: Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        let events = self.events().await.unwrap_or_default();
        let last: Vec<_> = events.iter().rev().take(6).rev().cloned().collect();
        let status = &self.canary()["status"];
        bail!(
            "{error:#}; phase {:?}, weight {}, failed checks {}\nlast events: {}",
            self.phase(),
            status["canaryWeight"],
            status["failedChecks"],
            last.join(" | ")
        )
    }
}

/// How many versions further a wanted phase comes first, if it does.
///
/// # Errors
/// The first end that is not wanted and begins before that.
fn next_phase(phases: impl Iterator<Item = String>, wanted: &[&str]) -> Result<Option<usize>, String> {
    let mut before = None;
    for (steps, phase) in phases.enumerate() {
        if wanted.contains(&&*phase) {
            return Ok(Some(steps));
        }
        // An end that was there already belongs to the release before.
        let begins = before.is_some_and(|before| before != phase);
        if begins && matches!(&*phase, "Succeeded" | "Failed") {
            return Err(phase);
        }
        before = Some(phase);
    }
    Ok(None)
}

/// The phase in a version of the Canary.
pub fn phase_of(seen: &Seen) -> String {
    let status = seen.object.as_ref().map(|object| &object["status"]);
    status.and_then(|status| status["phase"].as_str()).unwrap_or_default().to_owned()
}

/// The canary's share in a version of the Canary.
pub fn weight_of(seen: &Seen) -> i64 {
    let status = seen.object.as_ref().map(|object| &object["status"]);
    status.and_then(|status| status["canaryWeight"].as_i64()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(phases: &[&str], wanted: &str) -> Result<Option<usize>, String> {
        next_phase(phases.iter().map(|phase| (*phase).to_owned()), &[wanted])
    }

    #[test]
    fn a_phase_that_is_over_before_anybody_looks_is_found() {
        let phases = ["Initialized", "Progressing", "Promoting", "Finalising", "Succeeded"];
        assert_eq!(next(&phases, "Promoting"), Ok(Some(2)));
        assert_eq!(next(&phases[..2], "Promoting"), Ok(None));
    }

    #[test]
    fn another_end_ends_the_wait_unless_it_is_that_of_the_release_before() {
        assert_eq!(next(&["Succeeded", "Succeeded", "Progressing", "Failed"], "Failed"), Ok(Some(3)));
        assert_eq!(next(&["Succeeded", "Progressing", "Failed"], "Succeeded"), Ok(Some(0)));
        assert_eq!(next(&["Progressing", "Failed"], "Succeeded"), Err("Failed".to_owned()));
    }
}
