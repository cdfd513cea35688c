//! One number for each status that means the same. A status holds times, generations and texts; what no decision can
//! tell apart gets one form, and times become relative: the clock of the small world always shows the same time.

use std::collections::HashMap;
use std::hash::Hasher;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use vexil::api::status::{ANALYSIS, BlockerKind, CanaryStatus, REQUEST, SETTLING};
use vexil::rollout::Reason;

use super::print::Print;
use super::world::World;

/// The time that the clock always shows.
pub fn now() -> DateTime<Utc> {
    Utc.timestamp_opt(1_800_000_000, 0).single().expect("a time")
}

/// What is older than this many seconds is all the same age: longer than every deadline of the catalogue.
pub const HORIZON: i16 = 90;

/// The statuses that were met.
#[derive(Default)]
pub struct Statuses {
    all: Vec<CanaryStatus>,
    numbers: HashMap<u128, u32>,
    older: HashMap<(u32, i16), u32>,
}

impl Statuses {
    /// The status of this number.
    pub fn get(&self, number: u32) -> &CanaryStatus {
        &self.all[number as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Stores `status` in `world`, both in the form that all worlds that mean the same share.
    pub fn store(&mut self, world: &mut World, mut status: CanaryStatus) {
        generations(world, &mut status);
        let request = status.condition(REQUEST).map(|condition| condition.message.clone());
        if let (Some((action, rev, word)), Some(answer)) = (world.request, request)
            && answer.starts_with(&super::view::request_text(action, rev, word))
        {
            world.request = None;
        }
        times(&mut status, 0);
        world.status = self.number(status);
    }

    /// Lets `seconds` go by for the status of `world`.
    pub fn age(&mut self, world: &mut World, seconds: i16) {
        let key = (world.status, seconds);
        world.status = match self.older.get(&key) {
            Some(number) => *number,
            None => {
                let mut status = self.get(world.status).clone();
                times(&mut status, seconds);
                let number = self.number(status);
                self.older.insert(key, number);
                number
            }
        };
    }

    fn number(&mut self, status: CanaryStatus) -> u32 {
        let text = serde_json::to_vec(&status).expect("a status has a JSON form");
        let mut print = Print::default();
        print.write(&text);
        let next = u32::try_from(self.all.len()).expect("fewer statuses than that");
        let all = &mut self.all;
        *self.numbers.entry(print.whole()).or_insert_with(|| {
            all.push(status);
            next
        })
    }
}

/// Only whether a generation is the recorded one counts, not which it is.
fn generations(world: &mut World, status: &mut CanaryStatus) {
    let known = status.observed_generation == Some(i64::from(world.generation));
    status.observed_generation = status.observed_generation.map(|_| 1);
    world.generation = if known { 1 } else { 2 };
    if let Some(applied) = &mut status.applied_target {
        let target = &mut world.target;
        let same_object = applied.uid == format!("uid-{}", target.uid);
        let same_edit = applied.generation == i64::from(target.generation);
        applied.uid = "uid-1".into();
        applied.generation = 1;
        target.uid = if same_object { 1 } else { 2 };
        target.generation = if same_edit { 1 } else { 2 };
    } else {
        world.target.uid = 1;
        world.target.generation = 1;
    }
    world.primary.generation = 1;
}

/// Makes every time older by `seconds`; those that no decision looks at are all the same.
fn times(status: &mut CanaryStatus, seconds: i16) {
    let any = Some(now() - TimeDelta::days(1));
    let oldest = now() - TimeDelta::seconds(i64::from(HORIZON));
    let older = |time: &mut Option<DateTime<Utc>>| {
        *time = time.map(|time| (time - TimeDelta::seconds(i64::from(seconds))).max(oldest));
    };
    older(&mut status.last_check_time);
    match status.last_check_time {
        Some(_) => status.last_transition_time = any,
        None => older(&mut status.last_transition_time),
    }
    for condition in status.conditions.iter_mut().flatten() {
        match condition.kind.as_str() {
            SETTLING | ANALYSIS => older(&mut condition.last_transition_time),
            _ => condition.last_transition_time = any,
        }
        match condition.kind.as_str() {
            REQUEST => older(&mut condition.last_update_time),
            _ => condition.last_update_time = any,
        }
    }
    if let Some(conditions) = &mut status.conditions {
        // Of an answered request only a granted retry counts afterwards.
        conditions.retain(|condition| {
            condition.kind != REQUEST || condition.status == "True" && condition.message.starts_with("retry ")
        });
        conditions.sort_by(|one, other| one.kind.cmp(&other.kind));
    }
    for blocker in &mut status.blockers {
        blocker.since = any;
        older(&mut blocker.until);
        if let (BlockerKind::Settling, Some(until)) = (blocker.kind, blocker.until) {
            blocker.message = Reason::Settling(until).to_string();
        }
    }
    for revision in [&mut status.releasing, &mut status.promoted].into_iter().flatten() {
        revision.since = any;
    }
    for measurement in &mut status.measurements {
        older(&mut measurement.since);
    }
}
