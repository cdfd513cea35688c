//! The backends of one rule: how the share of the release is divided between primary and canary, and how that is
//! undone.
//!
//! What the rule gave to the Service of the release is what primary and canary share. Where others are in the same rule,
//! all weights of the rule are multiplied by one number, so that the share of the release becomes a multiple of 100 and
//! every percentage of it a whole number: nobody's share of the rule changes.

use serde_json::{Value, json};

use super::kinds::{Dialect, Names, Which};
use crate::model::traffic::Split;
use crate::router::weights;

/// The backends of a rule, as far as they are a release's.
pub(super) struct Backends<'a> {
    pub dialect: Dialect,
    pub names: &'a Names,
    /// The ports that are meant; all where there are none.
    pub ports: &'a [u16],
}

/// The largest weight that the Gateway API takes; the others take more.
const MOST: u64 = 1_000_000;

/// What of a rule is ours, for one port.
struct Group {
    /// Our backends by their places, with what they are.
    members: Vec<(usize, Which)>,
    /// What they weigh together.
    weight: u64,
}

impl Backends<'_> {
    /// Which Service of the release a backend is, if it is one that is meant.
    fn which(&self, backend: &Value) -> Option<Which> {
        let port = self.dialect.port(backend).as_u64();
        let is_meant =
            self.ports.is_empty() || self.ports.iter().any(|meant| port == Some(u64::from(*meant)));
        self.dialect.which(self.names, backend).filter(|_| is_meant)
    }

    /// Our backends by their ports. A group without apex or primary is a preview of the canary, which stays its user's.
    fn groups(&self, list: &[Value]) -> Vec<Group> {
        let weights = self.dialect.weights(list);
        let mut groups: Vec<(&Value, Group)> = Vec::new();
        for (index, backend) in list.iter().enumerate() {
            let Some(which) = self.which(backend) else { continue };
            let port = self.dialect.port(backend);
            let place = groups.iter().position(|(other, _)| *other == port).unwrap_or_else(|| {
                groups.push((port, Group { members: Vec::new(), weight: 0 }));
                groups.len() - 1
            });
            let group = &mut groups[place].1;
            group.members.push((index, which));
            group.weight = group.weight.saturating_add(weights[index]);
        }
        let counts = |group: &Group| {
            group.weight > 0 && group.members.iter().any(|(_, which)| *which != Which::Canary)
        };
        groups.into_iter().map(|(_, group)| group).filter(counts).collect()
    }

    /// Whether the rule leads to the release.
    pub(super) fn lead_here(&self, list: &[Value]) -> bool {
        !self.groups(list).is_empty()
    }

    /// Whether one of the backends is the canary.
    pub(super) fn have_canary(&self, list: &[Value]) -> bool {
        list.iter().any(|backend| self.which(backend) == Some(Which::Canary))
    }

    /// Whether one of the backends is the primary.
    pub(super) fn have_primary(&self, list: &[Value]) -> bool {
        list.iter().any(|backend| self.which(backend) == Some(Which::Primary))
    }

    /// The canary's share of what the rule gives to the release, in percent: the largest, if it does so on several ports.
    pub(super) fn canary_share(&self, list: &[Value]) -> u32 {
        let weights = self.dialect.weights(list);
        let share = |group: &Group| {
            let sum = |canary: bool| -> i128 {
                let those = group.members.iter().filter(|(_, which)| (*which == Which::Canary) == canary);
                those.map(|(index, _)| i128::from(weights[*index])).sum()
            };
            weights::split(sum(false), sum(true)).map_or(0, Split::canary)
        };
        self.groups(list).iter().map(share).max().unwrap_or(0)
    }

    /// The factor by which the weights of a rule are multiplied; `None` where the release is alone in it, and 100 in all
    /// do.
    fn factor(&self, list: &[Value]) -> Option<u64> {
        let groups = self.groups(list);
        let ours: usize = groups.iter().map(|group| group.members.len()).sum();
        if groups.len() == 1 && ours == list.len() {
            return None;
        }
        Some(groups.iter().map(|group| 100 / gcd(100, group.weight)).fold(1, lcm))
    }

    /// The backends with the share of the release divided so.
    ///
    /// # Errors
    /// If the weights would become larger than a route may have.
    pub(super) fn divided(&self, list: &[Value], split: Split) -> Result<Vec<Value>, String> {
        let groups = self.groups(list);
        if groups.is_empty() {
            return Ok(list.to_vec());
        }
        let weights = self.dialect.weights(list);
        let factor = self.factor(list);
        let mut places: Vec<Vec<Value>> = Vec::new();
        for (backend, weight) in list.iter().zip(&weights) {
            let mut backend = backend.clone();
            if let Some(factor) = factor.filter(|factor| *factor > 1) {
                backend["weight"] = json!(bounded(weight.checked_mul(factor))?);
            }
            places.push(vec![backend]);
        }
        for group in groups {
            let whole = match factor {
                Some(factor) => bounded(group.weight.checked_mul(factor))?,
                None => 100,
            };
            let first = |canary: bool| {
                let mut those = group.members.iter().filter(|(_, which)| (*which == Which::Canary) == canary);
                those.next().map(|(index, _)| *index)
            };
            // A group has one that is not the canary.
            let Some(place) = first(false) else { continue };
            let own = first(true);
            let side = |from: usize, name: &str, percent: u32| {
                let mut side = self.dialect.renamed(&list[from], name);
                side["weight"] = json!(whole / 100 * u64::from(percent));
                side
            };
            for (index, _) in &group.members {
                places[*index].clear();
            }
            let canary = side(own.unwrap_or(place), &self.names.canary, split.canary());
            places[place].push(side(place, &self.names.primary, split.primary()));
            places[own.unwrap_or(place)].push(canary);
        }
        Ok(places.concat())
    }

    /// The backends as they were before they were divided from `was` by `split`. What somebody has changed of others' since
    /// stays.
    pub(super) fn undivided(&self, live: &[Value], was: &[Value], split: Split) -> Vec<Value> {
        if self.divided(was, split).is_ok_and(|divided| divided == live) {
            return was.to_vec();
        }
        let weights = self.dialect.weights(was);
        let factor = self.factor(was).unwrap_or(1);
        let bare = |backend: &Value| {
            let mut bare = backend.clone();
            if let Some(fields) = bare.as_object_mut() {
                fields.remove("weight");
            }
            bare
        };
        let others = |backend: &Value| {
            let same = was.iter().zip(&weights).find(|(was, _)| bare(was) == bare(backend));
            let untouched =
                same.filter(|(_, weight)| weight.checked_mul(factor) == backend["weight"].as_u64());
            untouched.map_or_else(|| backend.clone(), |(was, _)| was.clone())
        };
        let mut ours: Vec<Value> =
            was.iter().filter(|backend| self.which(backend).is_some()).cloned().collect();
        let mut all = Vec::new();
        for backend in live {
            match self.which(backend) {
                Some(_) => all.append(&mut ours),
                None => all.push(others(backend)),
            }
        }
        all
    }

    /// The backends with nothing for the canary, where nobody knows any more how they were.
    pub(super) fn without_share(&self, live: &[Value]) -> Vec<Value> {
        let weights = self.dialect.weights(live);
        let mut all = live.to_vec();
        for group in self.groups(live) {
            let is_canary = |(_, which): &&(usize, Which)| *which == Which::Canary;
            let share: u64 = group.members.iter().filter(is_canary).map(|(index, _)| weights[*index]).sum();
            if share == 0 {
                continue;
            }
            for (index, which) in &group.members {
                if *which == Which::Canary {
                    all[*index]["weight"] = json!(0);
                }
            }
            if let Some((index, _)) = group.members.iter().find(|(_, which)| *which != Which::Canary) {
                all[*index]["weight"] = json!(weights[*index].saturating_add(share));
            }
        }
        all
    }

    /// The first backend of the release, which says how others of it are written.
    pub(super) fn model<'b>(&self, list: &'b [Value]) -> Option<&'b Value> {
        list.iter().find(|backend| self.which(backend).is_some())
    }
}

fn bounded(weight: Option<u64>) -> Result<u64, String> {
    weight.filter(|weight| *weight <= MOST).ok_or_else(|| {
        format!(
            "its weights cannot be divided by per cent: multiplied for that, one of them is more than {MOST}; write \
             smaller ones, with a multiple of 100 for the Service of the release"
        )
    })
}

fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

fn lcm(one: u64, other: u64) -> u64 {
    one / gcd(one, other) * other
}
