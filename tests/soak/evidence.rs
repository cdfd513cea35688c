//! What has been shown about each version: which rounds of checks passed, which gates said yes, what people asked for.
//! It is read off what the network answered, not off the controller.

use std::collections::BTreeMap;

use super::history::{Spec, Strategy};

/// Milliseconds since the world began.
pub type Millis = u64;

/// What has been shown about the versions, in the run that goes on.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    by_version: BTreeMap<usize, Shown>,
}

/// What has been shown about a version.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// The largest share at which all checks passed.
    earned: u64,
    rounds: u64,
    /// When each check passed, in the round that goes on.
    passed: BTreeMap<&'static str, Millis>,
    /// The last answer of each hook.
    hooks: BTreeMap<String, bool>,
    /// Somebody asked for this by hand.
    pub promote: bool,
    pub approve: bool,
}

impl Evidence {
    pub fn of(&self, version: usize) -> Shown {
        self.by_version.get(&version).cloned().unwrap_or_default()
    }

    fn shown(&mut self, version: usize) -> &mut Shown {
        self.by_version.entry(version).or_default()
    }

    /// A check was answered; `share` is what the canary has.
    pub fn measured(&mut self, version: usize, check: &'static str, good: bool, share: u64, now: Millis) {
        let shown = self.shown(version);
        if !good {
            shown.passed.clear();
            return;
        }
        shown.passed.retain(|_, at| now - *at < 9_000);
        shown.passed.insert(check, now);
        if shown.passed.len() == 2 {
            shown.passed.clear();
            shown.earned = shown.earned.max(share);
            shown.rounds += 1;
        }
    }

    /// A hook was answered.
    pub fn answered(&mut self, version: usize, hook: &str, yes: bool) {
        self.shown(version).hooks.insert(hook.to_owned(), yes);
    }

    /// Somebody asked for something by hand.
    pub fn asked(&mut self, version: usize, what: &str) {
        match what {
            "promote" => self.shown(version).promote = true,
            "approve" => self.shown(version).approve = true,
            _ => {}
        }
    }

    /// A run has begun: what was shown before does not count, but the gate that it came through.
    pub fn run_began(&mut self) {
        for shown in self.by_version.values_mut() {
            (shown.earned, shown.rounds) = (0, 0);
            shown.passed.clear();
            shown.hooks.retain(|hook, _| hook == "confirm-rollout");
        }
    }

    /// A run has ended.
    pub fn run_ended(&mut self) {
        self.by_version.clear();
    }
}

impl Shown {
    fn is_open(&self, spec: &Spec, hook: &str) -> bool {
        !spec.hooks.contains(&hook) || self.approve || self.promote || self.hooks.get(hook) == Some(&true)
    }

    /// Whether the release may begin.
    pub fn may_begin(&self, spec: &Spec) -> bool {
        self.is_open(spec, "confirm-rollout")
    }

    /// The largest share that the canary may have.
    pub fn allowed(&self, spec: &Spec) -> u64 {
        if self.objection(spec).is_none() {
            // It is promoted now, and the primary may have to make way.
            return 100;
        }
        if spec.hooks.contains(&"pre-rollout") && self.hooks.get("pre-rollout") != Some(&true) {
            return 0;
        }
        match &spec.strategy {
            Strategy::By { .. } | Strategy::List(_) => self.next_share(spec).unwrap_or(self.earned),
            Strategy::AbTesting(_) => 100,
            Strategy::BlueGreen(iterations) => {
                if self.rounds >= *iterations && self.is_open(spec, "confirm-promotion") { 100 } else { 0 }
            }
        }
    }

    /// The share of the step after what has been earned; nothing after the last.
    fn next_share(&self, spec: &Spec) -> Option<u64> {
        match &spec.strategy {
            Strategy::By { step, max } => {
                (self.earned < *max || self.rounds == 0).then(|| (self.earned + step).min(100))
            }
            Strategy::List(steps) => steps.iter().copied().find(|step| *step > self.earned),
            _ => None,
        }
    }

    /// Why the version may not be promoted; nothing if it may.
    pub fn objection(&self, spec: &Spec) -> Option<String> {
        if spec.skip_analysis || self.promote {
            return None;
        }
        if !self.is_open(spec, "confirm-promotion") {
            return Some("confirm-promotion did not say yes".to_owned());
        }
        if spec.hooks.contains(&"pre-rollout") && self.hooks.get("pre-rollout") != Some(&true) {
            return Some("pre-rollout did not say yes".to_owned());
        }
        let rounds = |needed: u64| {
            (self.rounds < needed).then(|| format!("{} of {needed} rounds of checks passed", self.rounds))
        };
        match &spec.strategy {
            Strategy::By { .. } | Strategy::List(_) => self
                .next_share(spec)
                .map(|next| format!("checks passed up to {}%, the next step is {next}%", self.earned)),
            Strategy::AbTesting(iterations) | Strategy::BlueGreen(iterations) => rounds(*iterations),
        }
    }
}
