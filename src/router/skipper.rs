//! Skipper (spec 03 §14): a copy of the user's Ingress that leads to both sides. While the canary has a share, the copy
//! goes before the user's Ingress; at rest it is switched off, and the user's leads to the apex Service.

use std::collections::BTreeMap;

use prometheus_http_query::Selector;
use serde_json::{Map, Value, json};

use super::checks::Unit;
use super::ingress::{self, Pair};
use super::owner::Owner;
use super::promql::{mean_millis, percentage};
use super::{Checks, Desired, Error, Mesh, Router, View};
use crate::api::Provider;
use crate::model::object::ObjectId;
use crate::model::release::{Problem, Release, Settings};
use crate::model::traffic::{Capabilities, RouteState, RouteWish, Split};

/// Skipper.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Skipper],
    title: "Skipper (Ingress)",
    router: &Skipper,
    abilities: Capabilities::WEIGHTS,
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[],
    rights: ingress::RIGHTS,
};

/// What all annotations of Skipper begin with.
const PREFIX: &str = "zalando.org/";
/// Annotation: the share of each backend, as a JSON object.
const WEIGHTS: &str = "zalando.org/backend-weights";
/// Annotation: conditions that all routes of the Ingress have.
const PREDICATE: &str = "zalando.org/skipper-predicate";
/// The condition that puts the copy before the user's Ingress.
const FIRST: &str = "Weight(100)";
/// The condition that no request meets.
const OFF: &str = "False()";

/// Skipper's router.
pub struct Skipper;

impl Router for Skipper {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn problems(&self, release: &Release, _settings: &Settings) -> Vec<Problem> {
        Pair::of(release).err().into_iter().collect()
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        Pair::reads(release)
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let View { release, seen, .. } = view;
        let Ok(pair) = Pair::of(release) else { return Ok(None) };
        let Some(live) = seen.get(&pair.canarys) else { return Ok(None) };
        if Owner::of(release, live) == Owner::Foreign && annotation(live, WEIGHTS).is_empty() {
            // Not taken over yet.
            return Ok(None);
        }
        if terms(annotation(live, PREDICATE)).next() == Some(OFF) {
            return Ok(Some(RouteState::default()));
        }
        let weights = weights(live, &pair.canarys)?;
        let weight = |name: &str| {
            weights
                .get(name)
                .and_then(Value::as_u64)
                .ok_or_else(|| Error::Object(format!("{}: could not get {WEIGHTS}[{name}]", pair.canarys)))
        };
        match (weight(&release.primary_service())?, weight(&release.canary_service())?) {
            (primary, canary) if primary.checked_add(canary) == Some(100) => Ok(Some(RouteState {
                split: Split::canary_gets(u32::try_from(canary).unwrap_or(100)),
                mirrored: false,
            })),
            (primary, canary) => Err(Error::Object(format!(
                "{}: {WEIGHTS} gives {primary} and {canary}, which is not 100 in sum",
                pair.canarys
            ))),
        }
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let pair = Pair::of(release).map_err(Error::Unsupported)?;
        pair.free(view, |_| false)?;
        let copy = match pair.source(view) {
            Ok(source) => {
                let rules = rules(release, source, &pair)?;
                let copy = Desired::new(pair.canarys.clone(), Pair::spec(source, rules));
                pair.metadata(view, source, copy, PREFIX, |key| [WEIGHTS, PREDICATE].contains(&key))
                    .annotated(orders(
                        release,
                        weights(source, &pair.users)?,
                        annotation(source, PREDICATE),
                        wish.split,
                    ))
                    .keeping_the_original()
            }
            // Its user leads the requests elsewhere: the copy must not stand before that.
            Err(_) if self.state(view)?.is_some_and(|state| state.split.canary() > 0) => {
                let live = view.seen.get(&pair.canarys).unwrap_or(&Value::Null);
                let predicate: Vec<&str> =
                    terms(annotation(live, PREDICATE)).filter(|term| *term != FIRST).collect();
                Desired::new(pair.canarys.clone(), json!({})).annotated(orders(
                    release,
                    weights(live, &pair.canarys)?,
                    &predicate.join(AND),
                    Split::PRIMARY,
                ))
            }
            Err(error) => return Err(error),
        };
        Ok(vec![copy])
    }

    fn gives_back(&self, release: &Release) -> Vec<ObjectId> {
        Pair::copy(release)
    }

    fn deletes(&self, release: &Release) -> Vec<ObjectId> {
        Pair::copy(release)
    }
}

/// The rules of the source, with both sides in place of the apex. The other paths come along, since they have to be
/// chosen before ours as in the source; but nothing that is for every host, which would go before other Ingresses.
fn rules(release: &Release, source: &Value, pair: &Pair) -> Result<Vec<Value>, Error> {
    let has_host = |rule: &Value| rule["host"].as_str().is_some_and(|host| !host.is_empty());
    let both = |(index, rule): (usize, &Value)| {
        let is_apex = |path: &&Value| ingress::is_to(path, &release.apex);
        let paths = ingress::paths(rule);
        if !paths.iter().any(|path| is_apex(&path)) {
            return Ok(rule.clone());
        }
        if !has_host(rule) {
            return Err(Error::Object(format!(
                "{}: spec.rules[{index}] has no host, so that its copy would take the requests of every host from \
                 other Ingresses: give it a host",
                pair.users
            )));
        }
        let primary = release.primary_service();
        let first = paths
            .iter()
            .map(|path| if is_apex(&path) { ingress::led_to(path, &primary) } else { path.clone() });
        let canary = release.canary_service();
        let second = paths.iter().filter(is_apex).map(|path| ingress::led_to(path, &canary));
        let mut rule = rule.clone();
        rule["http"]["paths"] = first.chain(second).collect();
        Ok(rule)
    };
    let has_weight = weights(source, &pair.users)?.contains_key(&release.apex);
    if has_weight {
        return Err(Error::Object(format!(
            "{}: {WEIGHTS} has a weight for {}, whose requests are to be divided: remove it",
            pair.users, release.apex
        )));
    }
    let rules = ingress::rules(source).iter().enumerate();
    rules.filter(|(_, rule)| has_host(rule) || ingress::leads_to(rule, &release.apex)).map(both).collect()
}

/// The annotations that say which requests the copy takes, and how it divides them.
fn orders(
    release: &Release,
    others: BTreeMap<String, Value>,
    predicate: &str,
    split: Split,
) -> Map<String, Value> {
    let mut weights = others;
    weights.insert(release.primary_service(), json!(split.primary()));
    weights.insert(release.canary_service(), json!(split.canary()));
    let first = if split.canary() == 0 { OFF } else { FIRST };
    let predicate = if predicate.is_empty() { first.to_owned() } else { format!("{first}{AND}{predicate}") };
    [(WEIGHTS, json!(json!(weights).to_string())), (PREDICATE, json!(predicate))]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
}

/// The weights that an Ingress gives to its backends.
fn weights(ingress: &Value, id: &ObjectId) -> Result<BTreeMap<String, Value>, Error> {
    match annotation(ingress, WEIGHTS) {
        "" => Ok(BTreeMap::new()),
        text => serde_json::from_str(text).map_err(|why| {
            Error::Object(format!("{id}: {WEIGHTS} is no JSON object, correct or remove it: {why}"))
        }),
    }
}

fn annotation<'a>(ingress: &'a Value, key: &str) -> &'a str {
    ingress["metadata"]["annotations"][key].as_str().unwrap_or_default().trim()
}

fn terms(predicate: &str) -> impl Iterator<Item = &str> {
    predicate.split("&&").map(str::trim).filter(|term| !term.is_empty())
}

const AND: &str = " && ";

fn success_rate(release: &Release, interval: &str) -> String {
    let routes = routes(release);
    let all = Selector::new().regex_eq("route", &routes).eq("le", "+Inf");
    let good = all.clone().regex_ne("code", "5..");
    percentage("skipper_response_duration_seconds_bucket", &good, &all, interval)
}

fn duration(release: &Release, interval: &str) -> String {
    let routes = routes(release);
    let all = Selector::new().regex_eq("route", &routes);
    mean_millis("skipper_serve_route_duration_seconds", &all, interval)
}

/// What Skipper calls the copy's routes to the canary. Whatever is no letter, digit or underscore is one in there.
fn routes(release: &Release) -> String {
    let word = |name: &str| -> String {
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    };
    format!(
        "kube(ew)?_{}__{}_canary__.*__{}_canary(_[0-9]+)?",
        word(&release.namespace),
        word(release.ingress_name()),
        word(&release.apex)
    )
}

#[cfg(test)]
mod tests;
