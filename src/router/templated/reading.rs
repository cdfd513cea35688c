//! What the live objects of a RouteTemplate say.

use serde_json::Value;

use super::compiled::{Accepted, Compiled, Object, Weights};
use super::words::rendered;
use crate::model::object::ObjectId;
use crate::model::quantity;
use crate::model::release::Release;
use crate::model::traffic::{Acceptance, RouteState, Split};
use crate::router::live::is_nothing;
use crate::router::owner::Owner;
use crate::router::path::Path;
use crate::router::weights::split;
use crate::router::{Error, View};

/// What the mesh is told now: where several objects divide the requests, the largest share that one of them gives the
/// canary.
pub(super) fn state(compiled: &Compiled, view: &View<'_>) -> Result<Option<RouteState>, Error> {
    let mut found: Option<RouteState> = None;
    for object in &compiled.objects {
        let id = object.id(view.release).map_err(Error::Object)?;
        let Some(live) = view.seen.get(&id) else { continue };
        let mirrored = object
            .mirror
            .as_ref()
            .is_some_and(|path| path.all(live).into_iter().any(|value| !is_nothing(value)));
        let told = match &object.weights {
            None => None,
            Some(weights) => told(object, weights, view.release, live)
                .map_err(|why| Error::Object(format!("{id} {why}")))?,
        };
        if mirrored || told.is_some() {
            let before = found.unwrap_or_default();
            found = Some(RouteState {
                split: before.split.max(told.unwrap_or_default()),
                mirrored: before.mirrored || mirrored,
            });
        }
    }
    Ok(found)
}

/// The split of one object; `None` if it is a user's, and leads to neither side yet.
fn told(
    object: &Object,
    weights: &Weights,
    release: &Release,
    live: &Value,
) -> Result<Option<Split>, String> {
    let foreign = Owner::of(release, live) == Owner::Foreign;
    match weights {
        Weights::Backends { list, name, weight, unset, primary, canary } => {
            let [primary, canary] = [primary, canary].map(|text| rendered(text, release, None));
            let (primary, canary) = (primary?, canary?);
            let rules =
                Rules { list, name, weight, unset: *unset, primary: primary.trim(), canary: canary.trim() };
            rules.told(release, live, foreign)
        }
        Weights::Places { primary, canary, canary_text } => {
            if !release.analysis.matches.is_empty()
                && let Some(routed) = object.matching.as_ref().and_then(|matching| matching.routed.as_ref())
                && routed.first(live).is_some_and(|value| !is_nothing(value))
            {
                return Ok(Some(Split::CANARY));
            }
            let Some(found) = canary.first(live) else {
                return match foreign {
                    true => Ok(None),
                    false => Err(format!("does not say at {canary_text} what the canary gets")),
                };
            };
            let amount = |value: &Value| {
                quantity::billionths(value).ok_or_else(|| format!("says {value}, where a weight should be"))
            };
            let of_canary = amount(found)?;
            let of_primary = match primary {
                Some(path) => path.first(live).map_or(Ok(0), amount)?,
                None => HUNDRED.saturating_sub(of_canary).max(0),
            };
            let shares = split(of_primary, of_canary);
            shares.map(Some).ok_or_else(|| "gives neither side a share".to_owned())
        }
    }
}

/// Lists of backends, each of which is a rule.
struct Rules<'a> {
    list: &'a Path,
    name: &'a Path,
    weight: &'a Path,
    unset: i128,
    primary: &'a str,
    canary: &'a str,
}

/// What the backends of a rule get.
#[derive(Default)]
struct Sums {
    primary: Option<i128>,
    canary: Option<i128>,
    others: i128,
}

impl Rules<'_> {
    fn told(&self, release: &Release, live: &Value, foreign: bool) -> Result<Option<Split>, String> {
        let mut led = Vec::new();
        for rule in self.list.all(live) {
            let sums = self.sums(rule)?;
            if sums.primary.is_some() || sums.canary.is_some() {
                led.push(sums);
            }
        }
        if led.is_empty() && foreign {
            // Not taken over yet.
            return Ok(None);
        }
        // A share of the requests that match is not a share of everybody's, for whom the last rule is. Whatever the
        // order of the others, the canary's share is the largest that one of them gives it.
        let deciding = if release.analysis.matches.is_empty() { led.len().saturating_sub(1) } else { 0 };
        let shares = led.iter().skip(deciding).map(|sums| match sums.others {
            0 => split(sums.primary.unwrap_or(0), sums.canary.unwrap_or(0)),
            _ => None,
        });
        let shares: Option<Vec<Split>> = shares.collect();
        let largest = shares.and_then(|shares| shares.into_iter().max());
        largest.map(Some).ok_or_else(|| {
            format!("does not divide the requests between {} and {} alone", self.primary, self.canary)
        })
    }

    fn sums(&self, rule: &Value) -> Result<Sums, String> {
        let mut sums = Sums::default();
        for backend in rule.as_array().into_iter().flatten() {
            let weight = match self.weight.first(backend) {
                None | Some(Value::Null) => self.unset.saturating_mul(BILLION),
                Some(value) => quantity::billionths(value)
                    .ok_or_else(|| format!("gives a backend the weight {value}, which is no number"))?,
            };
            let name = self.name.first(backend).and_then(Value::as_str);
            let sum = match name {
                Some(name) if name == self.primary => sums.primary.get_or_insert(0),
                Some(name) if name == self.canary => sums.canary.get_or_insert(0),
                _ => &mut sums.others,
            };
            *sum = sum.saturating_add(weight);
        }
        Ok(sums)
    }
}

/// Whether the mesh works by the objects, where it says so.
pub(super) fn acceptance(compiled: &Compiled, view: &View<'_>) -> Acceptance {
    for object in &compiled.objects {
        let Some(accepted) = &object.accepted else { continue };
        let Ok(id) = object.id(view.release) else { continue };
        let Some(live) = view.seen.get(&id) else { continue };
        if let Some(why) = accepted.pending(&id, live) {
            return Acceptance::Pending(why);
        }
    }
    Acceptance::Accepted
}

impl Accepted {
    fn pending(&self, id: &ObjectId, live: &Value) -> Option<String> {
        let said: Vec<&Value> = self.path.all(live).into_iter().filter(|value| !value.is_null()).collect();
        if said.is_empty() {
            return Some(format!(
                "{id} says nothing at {} yet: its mesh has not looked at it",
                self.path_text
            ));
        }
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Where several say so, such as the parents of a route, all have to.
        if let Some(index) = said.iter().position(|said| text(said) != self.value) {
            let reasons = self.reason.as_ref().map_or_else(Vec::new, |path| path.all(live));
            let reason = reasons.get(index).or(reasons.first()).and_then(|reason| reason.as_str());
            let reason = reason.filter(|reason| !reason.is_empty()).unwrap_or("no reason is given");
            return Some(format!(
                "{id} is not accepted, {} is {}: {reason}",
                self.path_text,
                text(said[index])
            ));
        }
        let generations = self.observed_generation.as_ref().map_or_else(Vec::new, |path| path.all(live));
        let seen = generations.into_iter().filter_map(Value::as_i64).min();
        match (seen, live["metadata"]["generation"].as_i64()) {
            (Some(seen), Some(written)) if seen < written => {
                Some(format!("its mesh has not taken in the last change of {id} yet"))
            }
            _ => None,
        }
    }
}

const BILLION: i128 = 1_000_000_000;
const HUNDRED: i128 = 100 * BILLION;
