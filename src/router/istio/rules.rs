//! What the VirtualService says: hosts, gateways and the rules that divide the traffic (spec 03 §5.2, §5.3).

use serde_json::{Map, Value, json};

use super::matching;
use crate::model::release::{Problem, Release};
use crate::model::traffic::RouteWish;
use crate::router::{Error, affinity, problem};

/// The fields of the spec that are ours; null where there must be none.
///
/// # Errors
/// If the manifest asks for what Istio cannot do.
pub(super) fn routing(release: &Release, wish: &RouteWish) -> Result<Map<String, Value>, Error> {
    let (hosts, gateways) = exposure(release)?;
    let rules = Rules { release, wish };
    let (http, tcp) =
        if is_tcp(release) { (Value::Null, rules.tcp()?) } else { (rules.http()?, Value::Null) };
    Ok([("hosts", hosts), ("gateways", gateways), ("http", http), ("tcp", tcp)]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect())
}

/// What of the manifest Istio cannot do.
pub(super) fn problems(release: &Release) -> Vec<Problem> {
    // That connections cannot be matched follows from the capabilities.
    let found = if is_tcp(release) {
        exposure(release).map(|_| ())
    } else {
        routing(release, &RouteWish::default()).map(|_| ())
    };
    match found {
        Err(Error::Unsupported(problem)) => vec![problem],
        _ => Vec::new(),
    }
}

/// Whether the traffic is routed by connection, not by request.
pub(super) fn is_tcp(release: &Release) -> bool {
    release.service.app_protocol.as_deref().is_some_and(|protocol| protocol.eq_ignore_ascii_case("tcp"))
}

/// Hosts and gateways. A delegate has neither: the VirtualService that delegates to it does.
fn exposure(release: &Release) -> Result<(Value, Value), Error> {
    let hosts = release.service.hosts.clone().unwrap_or_default();
    let gateways = gateways(release);
    if is_delegate(release) {
        if !hosts.is_empty() || !gateways.is_empty() {
            return Err(Error::Unsupported(problem(
                "spec.service.delegation",
                format!(
                    "VirtualService {}.{} cannot be a delegate and have hosts or gateways of its own: remove \
                     spec.service.hosts and spec.service.gateways or turn delegation off",
                    release.apex, release.namespace
                ),
            )));
        }
        return Ok((json!([]), Value::Null));
    }
    let mut hosts = hosts;
    if !hosts.iter().any(|host| *host == release.apex || host == "*") {
        hosts.push(release.apex.clone());
    }
    let gateways = if gateways.is_empty() { json!([MESH]) } else { json!(gateways) };
    Ok((json!(hosts), gateways))
}

fn is_delegate(release: &Release) -> bool {
    release.service.delegation.unwrap_or(false)
}

fn gateways(release: &Release) -> &[String] {
    release.service.gateways.as_deref().unwrap_or_default()
}

struct Rules<'a> {
    release: &'a Release,
    wish: &'a RouteWish,
}

impl Rules<'_> {
    fn http(&self) -> Result<Value, Error> {
        if !self.release.analysis.matches.is_empty() {
            let matches = matching::of_canary(self.release)?;
            let default = self.rule(self.service_matches(), vec![self.to_primary(100)]);
            return Ok(json!([self.rule(&matches, self.both()), default]));
        }
        Ok(Value::Array(self.with_cookies()))
    }

    fn tcp(&self) -> Result<Value, Error> {
        if !self.release.analysis.matches.is_empty() {
            return Err(Error::Unsupported(problem(
                "spec.analysis.match",
                "asks for requests, but spec.service.appProtocol is tcp and connections have none: remove one of \
                 them",
            )));
        }
        let ports = self.service_matches().iter().filter_map(|entry| entry.get("port"));
        let ports: Vec<Value> = ports.map(|port| json!({"port": port})).collect();
        let mut rule = json!({"route": self.both()});
        if !ports.is_empty() {
            rule["match"] = Value::Array(ports);
        }
        Ok(json!([rule]))
    }

    /// The rule that divides the traffic, and before it those for clients that hold a cookie.
    fn with_cookies(&self) -> Vec<Value> {
        let (wish, service_matches) = (self.wish, self.service_matches());
        let mut weighted = self.rule(service_matches, self.both());
        if wish.mirror {
            self.mirror(&mut weighted);
        }
        let Some(affinity) = &self.release.analysis.session_affinity else { return vec![weighted] };
        let mut rules = Vec::new();
        if wish.split.canary() == 0 {
            if let Some(previous) = &wish.cookies.previous {
                let mut forgetful = weighted.clone();
                forgetful["match"] =
                    json!(matching::of_cookie(service_matches, &affinity::expression(previous)));
                add_cookie(&mut forgetful, &affinity::forget(affinity, previous));
                rules.push(forgetful);
            }
        } else {
            let to_primary = affinity.primary_cookie_name.as_ref().filter(|name| !name.is_empty());
            let cookies = [
                (wish.cookies.canary.as_ref(), 100),
                (wish.cookies.primary.as_ref().filter(|_| to_primary.is_some()), 0),
            ];
            for (cookie, share) in cookies {
                let Some(cookie) = cookie else { continue };
                let matches = matching::of_cookie(service_matches, &affinity::expression(cookie));
                let route = vec![self.to_primary(100 - share), self.to_canary(share)];
                rules.push(self.rule(&matches, route));
            }
            if let Some(cookie) = cookies[0].0 {
                add_cookie(&mut weighted["route"][1], &affinity::of_canary(affinity, cookie));
            }
            if let Some(cookie) = cookies[1].0 {
                let cookie = affinity::of_primary(affinity, cookie, self.release.analysis.interval);
                add_cookie(&mut weighted["route"][0], &cookie);
            }
        }
        rules.push(weighted);
        rules
    }

    /// A rule with what the manifest asks of every request.
    fn rule(&self, matches: &[Value], route: Vec<Value>) -> Value {
        let service = &self.release.service;
        let mut rule = json!({"route": route});
        if !matches.is_empty() {
            rule["match"] = json!(matches);
        }
        if let Some(rewrite) = &service.rewrite {
            let parts = [("uri", &rewrite.uri), ("authority", &rewrite.authority)];
            let parts: Map<_, _> = parts
                .into_iter()
                .filter_map(|(key, part)| Some((key.to_owned(), json!(part.as_ref()?))))
                .collect();
            if !parts.is_empty() {
                rule["rewrite"] = Value::Object(parts);
            }
        }
        let timeout =
            service.timeout.as_ref().filter(|timeout| !timeout.is_empty()).map(|timeout| json!(timeout));
        for (field, value) in [
            ("timeout", timeout),
            ("retries", service.retries.clone()),
            ("corsPolicy", service.cors_policy.clone()),
            ("headers", service.headers.clone()),
        ] {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                rule[field] = value;
            }
        }
        rule
    }

    fn mirror(&self, rule: &mut Value) {
        rule["mirror"] = self.destination(&self.release.canary_service());
        if let Some(percent) = self.release.analysis.mirror_weight.filter(|percent| *percent > 0) {
            rule["mirrorPercentage"] = json!({"value": percent});
        }
    }

    /// Weights are always written, also 0.
    fn both(&self) -> Vec<Value> {
        vec![self.to_primary(self.wish.split.primary()), self.to_canary(self.wish.split.canary())]
    }

    fn to_primary(&self, weight: u32) -> Value {
        json!({"destination": self.destination(&self.release.primary_service()), "weight": weight})
    }

    fn to_canary(&self, weight: u32) -> Value {
        json!({"destination": self.destination(&self.release.canary_service()), "weight": weight})
    }

    /// A Service. One with more than one port needs to be told which, where the mesh cannot know it from the call.
    fn destination(&self, host: &str) -> Value {
        let service = &self.release.service;
        let from_outside =
            gateways(self.release).first().is_some_and(|first| !first.is_empty() && first != MESH);
        if service.port_discovery.unwrap_or(false) && (from_outside || is_delegate(self.release)) {
            json!({"host": host, "port": {"number": service.port}})
        } else {
            json!({"host": host})
        }
    }

    fn service_matches(&self) -> &[Value] {
        self.release.service.matches.as_deref().unwrap_or_default()
    }
}

/// Adds `Set-Cookie` to the responses of a rule or of a destination, beside the headers that it has.
fn add_cookie(to: &mut Value, cookie: &str) {
    json_patch::merge(to, &json!({"headers": {"response": {"add": {"Set-Cookie": cookie}}}}));
}

/// The gateway that means the sidecars.
const MESH: &str = "mesh";
