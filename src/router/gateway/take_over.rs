//! A route that is there: what of it is somebody else's, and what keeps it from being taken over.

use serde_json::Value;

use super::live::{self, Sides, backends, list};
use super::requests::{self, Match};
use super::{parents, rules::Manifest};
use crate::model::release::Release;
use crate::router::live::is_nothing;
use crate::router::owner::Owner;

/// The live route of a release.
pub(super) struct Present<'a> {
    route: &'a Value,
    /// Its rules.
    pub rules: &'a [Value],
    /// Whether a user made it.
    pub is_a_users: bool,
    sides: Sides,
}

impl<'a> Present<'a> {
    pub(super) fn of(release: &Release, route: &'a Value) -> Self {
        let is_a_users = Owner::of(release, route) == Owner::Foreign;
        Self { route, rules: live::rules(route), is_a_users, sides: Sides::of(release) }
    }

    /// Whether a user's route leads to neither side yet.
    pub(super) fn is_to_be_taken_over(&self) -> bool {
        self.is_a_users && !self.rules.iter().any(|rule| self.sides.are_in(rule))
    }

    /// The rule that is for a group of the release's requests, or for all of them: rather one that leads to our
    /// Services.
    pub(super) fn base(&self, group: &[Match], all: &[Match]) -> Option<usize> {
        let those = |requests: &[Match]| {
            let of = |index: &usize| requests::are_of(requests, &self.rules[*index]);
            (0..self.rules.len()).filter(of).min_by_key(|index| {
                let rule = &self.rules[*index];
                (!self.sides.are_in(rule), !self.sides.apex_is_in(rule))
            })
        };
        those(group).or_else(|| those(all))
    }

    /// The matches of the live rule for the same requests, in its own order and spelling.
    pub(super) fn matches(&self, requests: &[Match]) -> Option<Value> {
        let rule = self.rules.iter().find(|rule| requests::are_of(requests, rule))?;
        Some(rule["matches"].clone())
    }

    /// Our rules in the place of those that are there, among the rules of others as they stand.
    pub(super) fn among_others(&self, ours: Vec<Value>, bases: &[Option<usize>]) -> Vec<Value> {
        let is_ours = |index: usize| bases.contains(&Some(index)) || self.sides.are_in(&self.rules[index]);
        let first = (0..self.rules.len()).find(|index| is_ours(*index)).unwrap_or(0);
        let others = |range: std::ops::Range<usize>| {
            let rest = range.filter(|index| !is_ours(*index));
            rest.map(|index| self.rules[index].clone()).collect::<Vec<_>>()
        };
        [others(0..first), ours, others(first..self.rules.len())].concat()
    }
}

/// Why a user's route cannot be taken over without something of it getting lost; `None` if it can.
pub(super) fn obstacle(manifest: &Manifest<'_>, present: &Present<'_>) -> Option<String> {
    let release = manifest.release;
    let spec = &present.route["spec"];
    let is_named = |parent: &Value| {
        manifest.parents.iter().any(|named| parents::same(named, parent, &release.namespace))
    };
    if let Some(parent) = list(&spec["parentRefs"]).iter().find(|parent| !is_named(parent)) {
        return Some(format!(
            "it is attached to {} as well, add that to spec.service.gatewayRefs or remove it from the route",
            parents::title(parent, &release.namespace)
        ));
    }
    if let Some(names) = &manifest.hostnames {
        if list(&spec["hostnames"]).is_empty() && !present.rules.is_empty() {
            return Some(
                "it is for every host, and spec.service.hosts for some: leave that out, or give the route its hosts"
                    .to_owned(),
            );
        }
        let is_named = |host: &&Value| names.iter().any(|name| **host == name.as_str());
        if let Some(host) = list(&spec["hostnames"]).iter().find(|host| !is_named(host)) {
            return Some(format!(
                "it is for host {host} as well, add that to spec.service.hosts or remove both"
            ));
        }
    }
    let groups = manifest.groups();
    let mut rules = present.rules.iter().enumerate();
    rules.find_map(|(index, rule)| {
        let all = [manifest.requests.clone()];
        if !groups.iter().chain(&all).any(|group| requests::are_of(group, rule)) {
            return present.sides.apex_is_in(rule).then(|| {
                format!(
                    "rule {index} leads to Service {} for other requests than spec.service.match names, which would \
                     pass the release by: give spec.service.match the matches of all such rules in one, or lead \
                     them elsewhere",
                    release.apex
                )
            });
        }
        if !present.sides.apex_is_all_of(rule) || backends(rule).is_empty() {
            return Some(format!(
                "rule {index} has the requests that the release is for, and does not lead to Service {} alone: \
                 give it that backend, or spec.service.match other requests",
                release.apex
            ));
        }
        (!is_nothing(&rule["sessionPersistence"])).then(|| {
            format!(
                "rule {index} has sessionPersistence, which would keep clients on the canary after a rollback: \
                 remove it, and use spec.analysis.sessionAffinity"
            )
        })
    })
}
