//! Ingresses that are adopted, as the manifest names them: which paths are meant. The user's stays as it is, and the shares
//! go through what the controller of its class offers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::classes::{self, Whole};
use super::look::absent;
use super::parts::Part;
use crate::model::nearest;
use crate::model::object::ObjectId;
use crate::model::release::{AdoptedRoute, Problem, Release};
use crate::router::ingress::{self, INGRESS, Pair};
use crate::router::{Error, View, problem};

/// Whether an entry names an Ingress.
pub(super) fn is_one(entry: &AdoptedRoute) -> bool {
    entry.route.kind == INGRESS.kind && entry.route.api_version == INGRESS.api_version()
}

/// An adopted Ingress, as the manifest names it.
pub(super) struct Adopted<'a> {
    pub field: String,
    entry: &'a AdoptedRoute,
    /// The release as its router knows it: the Ingress in `spec.ingressRef`.
    release: Release,
}

impl<'a> Adopted<'a> {
    /// All of a release.
    pub(super) fn all(release: &'a Release) -> Vec<Self> {
        let entries = release.adopted.iter().enumerate().filter(|(_, entry)| is_one(entry));
        let of = |(index, entry): (usize, &'a AdoptedRoute)| Self {
            field: format!("spec.routeRefs[{index}]"),
            entry,
            release: Release { ingress: Some(entry.route.clone()), ..release.clone() },
        };
        entries.map(of).collect()
    }

    /// The Ingress itself.
    pub(super) fn id(&self) -> ObjectId {
        INGRESS.at(&self.entry.route.namespace, &self.entry.route.name)
    }

    /// All that may be looked at, whatever the class.
    pub(super) fn reads(&self) -> Vec<ObjectId> {
        Pair::reads(&self.release)
    }

    /// The Ingress beside it that some controllers need.
    pub(super) fn copy(&self) -> Vec<ObjectId> {
        Pair::copy(&self.release)
    }

    /// What of the manifest no Ingress can do.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.entry.route.namespace != self.release.namespace {
            let text = format!(
                "is {}, and an Ingress leads to Services of its own namespace: leave it out, and adopt an Ingress of {}",
                self.entry.route.namespace, self.release.namespace
            );
            found.push(problem(format!("{}.namespace", self.field), text));
        }
        if self.release.analysis.mirror {
            let text = format!(
                "asks {} ({}) to copy requests, which no Ingress does here: remove mirror, or adopt an HTTPRoute, a \
                 GRPCRoute or a VirtualService",
                self.id(),
                self.field
            );
            found.push(problem("spec.analysis.mirror", text));
        }
        found
    }

    /// The Ingress in the cluster, with the router of its class.
    pub(super) fn part(self, view: &View<'_>) -> Result<Part, Error> {
        let (users, seen) = (self.id(), view.seen);
        // The copy tells of the class when the user's own Ingress is gone in the middle of a release.
        let live = seen.get(&users).or_else(|| self.copy().iter().find_map(|copy| seen.get(copy)));
        let Some(live) = live else {
            return Err(Error::Object(absent(&self.field, &users, seen)));
        };
        let class =
            classes::of(live).map_err(|why| Error::Object(format!("{}: {users} {why}", self.field)))?;
        let mut seen = seen.clone();
        if let Some(live) = view.seen.get(&users) {
            let meant = self.meant(live, class.takes())?;
            seen.insert(users, Arc::new(meant));
        }
        let Self { field, release, .. } = self;
        Ok(Part { field, release, router: class.router(), seen })
    }

    /// The Ingress with those paths to the release alone that are meant.
    fn meant(&self, live: &Value, whole: Whole) -> Result<Value, Error> {
        let (rules, ports, apex) = (&self.entry.rules, &self.entry.ports, &self.release.apex);
        if rules.is_empty() && ports.is_empty() {
            return Ok(live.clone());
        }
        let refused = |part: String, why: String| Error::Object(format!("{}{part}: {why}", self.field));
        if let Whole::Ingress(why) = whole {
            return Err(refused(
                if rules.is_empty() { ".ports" } else { ".rules" }.to_owned(),
                why.to_owned(),
            ));
        }
        let mut titles = Vec::new();
        let mut used = vec![false; rules.len()];
        let mut kept = Vec::new();
        for (place, rule) in ingress::rules(live).iter().enumerate() {
            let (mut paths, mut ours, mut left) = (Vec::new(), 0, 0);
            for path in ingress::paths(rule) {
                if !ingress::is_to(path, apex) {
                    paths.push(path.clone());
                    continue;
                }
                let names = names(place, rule, path);
                let port = path["backend"]["service"]["port"]["number"].as_u64();
                let on_port = ports.is_empty() || ports.iter().any(|meant| port == Some(u64::from(*meant)));
                let by_rule = rules.iter().position(|wanted| names.contains(wanted));
                titles.push(names[2].clone());
                if let Some(index) = by_rule {
                    used[index] = true;
                }
                if on_port && (rules.is_empty() || by_rule.is_some()) {
                    ours += 1;
                    paths.push(path.clone());
                } else {
                    left += 1;
                }
            }
            if let (Whole::Rule(why), true, true) = (whole, ours > 0, left > 0) {
                return Err(refused(
                    String::new(),
                    format!("rules and ports leave out a part of rule {place} of {}, {why}", self.id()),
                ));
            }
            if ours > 0 || left == 0 {
                let mut rule = rule.clone();
                rule["http"]["paths"] = Value::Array(paths);
                kept.push(rule);
            }
        }
        if let Some(index) = used.iter().position(|used| !used) {
            let wanted = &rules[index];
            let meant = nearest(wanted, titles.iter().map(String::as_str));
            let meant = meant.map_or_else(String::new, |meant| format!("did you mean {meant}? "));
            let there = if titles.is_empty() { "none".to_owned() } else { titles.join(", ") };
            return Err(refused(
                format!(".rules[{index}]"),
                format!(
                    "{} has no path {wanted:?} that leads to Service {apex}: {meant}There are {there}",
                    self.id()
                ),
            ));
        }
        let mut meant = live.clone();
        meant["spec"]["rules"] = json!(kept);
        Ok(meant)
    }
}

/// What a manifest may call a path: the place of its rule, its host, and both host and path.
fn names(place: usize, rule: &Value, path: &Value) -> [String; 3] {
    let host = rule["host"].as_str().unwrap_or_default();
    [place.to_string(), host.to_owned(), format!("{host}{}", path["path"].as_str().unwrap_or("/"))]
}
