//! The NGINX ingress controller (spec 03 §13): a copy of the user's Ingress that leads to the canary, whose annotations
//! say which requests it takes from the user's.
//!
//! There is one object to write, so that a crash leaves either the old order or the new one. Of all annotations that
//! begin with `<prefix>/canary` none but ours may stand: a total of weights or a cookie that somebody else adds would
//! change what our weight means.

use prometheus_http_query::Selector;
use serde_json::{Map, Value, json};

use super::checks::Unit;
use super::ingress::{self, Pair};
use super::owner::Owner;
use super::promql::{literal, mean_millis, percentage};
use super::{Checks, Desired, Error, Mesh, Router, View, problem};
use crate::api::Provider;
use crate::model::object::ObjectId;
use crate::model::release::{Problem, Release, Settings, Strategy};
use crate::model::traffic::{Capabilities, RouteState, RouteWish, Split};

mod matching;

/// The NGINX ingress controller.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Nginx],
    title: "NGINX (Ingress)",
    router: &Nginx,
    abilities: ABILITIES,
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[],
    rights: ingress::RIGHTS,
};

const ABILITIES: Capabilities = Capabilities { matching: true, ..Capabilities::WEIGHTS };

/// The router of the NGINX ingress controller.
pub struct Nginx;

impl Router for Nginx {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        ABILITIES
    }

    fn problems(&self, release: &Release, settings: &Settings) -> Vec<Problem> {
        let mut problems: Vec<Problem> = Pair::of(release).err().into_iter().collect();
        problems.extend(prefix(settings).err());
        problems.extend(matching::annotations(&release.analysis.matches).err());
        let weighted = matches!(release.analysis.strategy, Strategy::Weighted(_));
        if weighted && !release.analysis.matches.is_empty() && !release.skip_analysis {
            problems.push(problem(
                "spec.analysis.match",
                "cannot be combined with weights, since NGINX sends all requests that match to the canary: write \
                 iterations for an A/B test, or remove match",
            ));
        }
        problems
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        Pair::reads(release)
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let View { release, settings, seen, .. } = view;
        let Ok(pair) = Pair::of(release) else { return Ok(None) };
        let Some(live) = seen.get(&pair.canarys) else { return Ok(None) };
        let orders = Orders { prefix: &settings.ingress_annotations_prefix, live };
        let canary = release.canary_service();
        let leads = ingress::rules(live).iter().any(|rule| ingress::leads_to(rule, &canary));
        if Owner::of(release, live) == Owner::Foreign && !leads {
            // Not taken over yet.
            return Ok(None);
        }
        let matching = !release.analysis.matches.is_empty()
            && ["canary-by-header", "canary-by-cookie"].iter().any(|order| orders.has(order));
        let share = if matching {
            100
        } else {
            orders.share().map_err(|why| Error::Object(format!("{}: {why}", pair.canarys)))?
        };
        Ok(Some(RouteState { split: Split::canary_gets(share), mirrored: false }))
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let pair = Pair::of(release).map_err(Error::Unsupported)?;
        let prefix = prefix(view.settings).map_err(Error::Unsupported)?;
        let is_canary = |ingress: &Value| (Orders { prefix, live: ingress }).get("canary") == Some("true");
        pair.free(view, is_canary)?;
        let copy = match pair.source(view) {
            Ok(source) => {
                if is_canary(source) {
                    return Err(Error::Object(format!(
                        "{} is the canary of another Ingress itself: name that one in spec.ingressRef",
                        pair.users
                    )));
                }
                let canary = release.canary_service();
                let rules =
                    ingress::rules(source).iter().filter_map(|rule| apex_only(rule, &release.apex, &canary));
                let copy = Desired::new(pair.canarys.clone(), Pair::spec(source, rules.collect()));
                let (all, ours) = (format!("{prefix}/"), format!("{prefix}{OURS}"));
                pair.metadata(view, source, copy, &all, |key| key.starts_with(&ours))
                    .annotated(orders(view, &pair, release, wish.split)?)
                    .keeping_the_original()
            }
            // Its user leads the requests elsewhere: the canary must not keep a share of them.
            Err(_) if self.state(view)?.is_some_and(|state| state.split.canary() > 0) => Desired::new(
                pair.canarys.clone(),
                json!({}),
            )
            .annotated(orders(view, &pair, release, Split::PRIMARY)?),
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

/// What the annotations that we order by begin with, behind the prefix.
const OURS: &str = "/canary";

/// `--ingress-annotations-prefix`.
fn prefix(settings: &Settings) -> Result<&str, Problem> {
    let prefix = settings.ingress_annotations_prefix.as_str();
    let is_name = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    if prefix.split('.').all(is_name) {
        return Ok(prefix);
    }
    Err(problem(
        "--ingress-annotations-prefix",
        format!(
            "\"{prefix}\" cannot begin the name of an annotation: write a domain such as \
             nginx.ingress.kubernetes.io"
        ),
    ))
}

/// The rule with those paths alone that lead to the apex, which now lead to the canary; `None` if there are none. NGINX
/// cannot divide the others between a Service and itself.
fn apex_only(rule: &Value, apex: &str, canary: &str) -> Option<Value> {
    let to_apex = ingress::paths(rule).iter().filter(|path| ingress::is_to(path, apex));
    let paths: Vec<Value> = to_apex.map(|path| ingress::led_to(path, canary)).collect();
    if paths.is_empty() {
        return None;
    }
    let mut rule = rule.clone();
    rule["http"]["paths"] = Value::Array(paths);
    Some(rule)
}

/// The annotations that say which requests the canary takes, with a null for each other one of their kind.
///
/// NGINX has no share of the requests that match. Less than all of them, which is a step of a promotion, is none: the
/// primary takes them all back at once.
fn orders(
    view: &View<'_>,
    pair: &Pair,
    release: &Release,
    split: Split,
) -> Result<Map<String, Value>, Error> {
    let prefix = &view.settings.ingress_annotations_prefix;
    let live = view.seen.get(&pair.canarys).map(|live| &live["metadata"]["annotations"]);
    let present = live.and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let ours = format!("{prefix}{OURS}");
    let mut orders: Map<String, Value> =
        present.filter(|key| key.starts_with(&ours)).map(|key| (key.clone(), Value::Null)).collect();
    orders.insert(ours, json!("true"));
    let mut order = |name: &str, value: &str| orders.insert(format!("{prefix}/{name}"), json!(value));
    let matches = &release.analysis.matches;
    if matches.is_empty() {
        order("canary-weight", &split.canary().to_string());
    } else if split == Split::CANARY {
        for (name, value) in matching::annotations(matches).map_err(Error::Unsupported)? {
            order(name, &value);
        }
    } else {
        order("canary-weight", "0");
    }
    Ok(orders)
}

/// The annotations of an Ingress that NGINX obeys.
struct Orders<'a> {
    prefix: &'a str,
    live: &'a Value,
}

impl Orders<'_> {
    fn get(&self, order: &str) -> Option<&str> {
        self.live["metadata"]["annotations"][format!("{}/{order}", self.prefix)].as_str()
    }

    fn has(&self, order: &str) -> bool {
        self.get(order).is_some_and(|value| !value.is_empty())
    }

    /// The canary's share in percent, rounded up so that nobody gets more than is read.
    fn share(&self) -> Result<u32, String> {
        let number = |order: &str, otherwise: i64| match self.get(order) {
            Some(text) => text.trim().parse::<i64>().map_err(|_| {
                format!("failed to convert \"{text}\" to int: {}/{order} has to be a number", self.prefix)
            }),
            None => Ok(otherwise),
        };
        let (weight, total) = (number("canary-weight", 0)?, number("canary-weight-total", 100)?.max(1));
        let weight = i128::from(weight.clamp(0, total));
        let share = (weight * 100 + i128::from(total) - 1) / i128::from(total);
        Ok(u32::try_from(share).unwrap_or(100))
    }
}

fn success_rate(release: &Release, interval: &str) -> String {
    let (namespace, ingress) = names(release);
    let all = canary(&namespace, &ingress);
    let good = all.clone().regex_ne("status", "5.*");
    percentage("nginx_ingress_controller_requests", &good, &all, interval)
}

fn duration(release: &Release, interval: &str) -> String {
    let (namespace, ingress) = names(release);
    let all = canary(&namespace, &ingress);
    mean_millis("nginx_ingress_controller_response_duration_seconds", &all, interval)
}

fn names(release: &Release) -> (String, String) {
    (literal(&release.namespace), literal(release.ingress_name()))
}

/// NGINX counts the canary's requests under the user's Ingress, with the canary's backend in a label of its own.
fn canary<'a>(namespace: &'a str, ingress: &'a str) -> Selector<'a> {
    Selector::new().eq("namespace", namespace).eq("ingress", ingress).ne("canary", "")
}

#[cfg(test)]
mod tests;
