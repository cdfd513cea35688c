//! What the route says: parents, host names and the rules that divide the requests (spec 03 §6.1, §6.4).

use serde_json::{Value, json};

use super::live::{Sides, list};
use super::requests::{self, Match};
use super::take_over::{self, Present};
use super::{Version, filters, headers, limits, names, parents, service, timeouts};
use crate::model::object::ObjectId;
use crate::model::release::{Problem, Release};
use crate::model::traffic::{Cookies, RouteWish, Split};
use crate::router::{Error, affinity, problem};

/// What of the manifest the Gateway API cannot do.
pub(super) fn problems(version: Version, release: &Release) -> Vec<Problem> {
    let mut found: Vec<Problem> = parents::of(release).err().into_iter().collect();
    found.extend(hostnames(release).err());
    found.extend(timeouts::of(release).err().filter(|_| version == Version::V1));
    found.extend(requests::of_service(release).into_iter().filter_map(Result::err));
    found.extend(requests::of_analysis(release).into_iter().filter_map(Result::err));
    found.extend(filters::parts(version, release).into_iter().filter_map(Result::err));
    if let (true, Ok(manifest)) = (found.is_empty(), Manifest::read(version, release)) {
        found.extend(manifest.misfit());
        let too_large = widest(release).iter().find_map(|wish| limits::exceeded(&manifest.spec(wish, None)));
        found.extend(too_large.map(|numbers| problem("spec.service", format!("makes {numbers}"))));
    }
    found
}

/// The spec of the route: the fields that are ours, null where there must be none.
///
/// # Errors
/// If the manifest asks for what the API cannot do, or the live route cannot be taken over.
pub(super) fn spec(
    version: Version,
    release: &Release,
    wish: &RouteWish,
    id: &ObjectId,
    live: Option<&Value>,
) -> Result<Value, Error> {
    let manifest = Manifest::read(version, release).map_err(Error::Unsupported)?;
    let Some(live) = live else { return Ok(manifest.spec(wish, None)) };
    let present = Present::of(release, live);
    if present.is_to_be_taken_over() {
        let too_large = || {
            let specs = widest(release).map(|wish| manifest.spec(&wish, Some(&present)));
            specs.iter().find_map(limits::exceeded).map(|numbers| format!("it would have {numbers}"))
        };
        if let Some(reason) = take_over::obstacle(&manifest, &present).or_else(too_large) {
            return Err(Error::Object(format!("{id} cannot be taken over: {reason}")));
        }
    }
    Ok(manifest.spec(wish, Some(&present)))
}

/// Wishes of which the rules are as many and as large as they ever get.
fn widest(release: &Release) -> [RouteWish; 2] {
    let cookies = Cookies {
        canary: Some("a=AAAAAAAAAA".into()),
        primary: Some("b=AAAAAAAAAA".into()),
        previous: Some("c=AAAAAAAAAA".into()),
    };
    let mirror = release.analysis.matches.is_empty();
    [50, 0].map(|share| RouteWish { split: Split::canary_gets(share), mirror, cookies: cookies.clone() })
}

/// The manifest in the words of the API.
pub(super) struct Manifest<'a> {
    pub release: &'a Release,
    version: Version,
    pub parents: Vec<Value>,
    /// None where the manifest has none.
    pub hostnames: Option<Vec<String>>,
    /// Which requests the release is for.
    pub requests: Vec<Match>,
    /// Which of them go to the canary, where only some do.
    conditions: Vec<Match>,
    filters: Vec<Value>,
    timeouts: Option<Value>,
}

/// What a rule has beside its matches and backends.
struct Template<'a> {
    /// The live rule for the same requests.
    live: Option<&'a Value>,
    filters: Vec<Value>,
    timeouts: Option<Value>,
}

impl<'a> Manifest<'a> {
    fn read(version: Version, release: &'a Release) -> Result<Self, Problem> {
        let filters: Result<Vec<_>, _> = filters::parts(version, release).into_iter().collect();
        Ok(Self {
            release,
            version,
            parents: parents::of(release)?,
            hostnames: hostnames(release)?,
            requests: requests::of_service(release).into_iter().collect::<Result<_, _>>()?,
            conditions: requests::of_analysis(release).into_iter().collect::<Result<_, _>>()?,
            filters: filters?.concat(),
            timeouts: if version == Version::V1 { timeouts::of(release)? } else { None },
        })
    }

    /// What does not go together.
    fn misfit(&self) -> Option<Problem> {
        let other = self.requests.iter().any(|entry| !entry.is_by_prefix());
        (other && filters::replace_a_prefix(&self.filters)).then(|| {
            let message = "ReplacePrefixMatch replaces the prefix that a request was matched by: give each entry of \
                           spec.service.match a uri.prefix";
            problem("spec.service.rewrite.type", message)
        })
    }

    /// The groups of requests that have a rule each: all in one, but for a filter that takes one match a rule.
    pub(super) fn groups(&self) -> Vec<Vec<Match>> {
        grouped(self.requests.clone(), &self.filters)
    }

    fn spec(&self, wish: &RouteWish, present: Option<&Present<'_>>) -> Value {
        let users = present.is_some_and(|present| present.is_a_users);
        let mut spec = json!({"parentRefs": self.parents});
        match &self.hostnames {
            Some(names) => spec["hostnames"] = json!(names),
            // A user's route keeps its own.
            None if users => {}
            None => spec["hostnames"] = Value::Null,
        }
        let bases: Vec<Option<usize>> = match present {
            Some(present) => self.groups().iter().map(|group| present.base(group, &self.requests)).collect(),
            None => Vec::new(),
        };
        let ours = self.rules(wish, present, &bases);
        spec["rules"] = match present {
            Some(present) => Value::Array(present.among_others(ours, &bases)),
            None => Value::Array(ours),
        };
        spec
    }

    /// Our rules. Those for some requests come before those for all: where two match alike, the first counts.
    fn rules(&self, wish: &RouteWish, present: Option<&Present<'_>>, bases: &[Option<usize>]) -> Vec<Value> {
        let (mut special, mut more, mut everybody) = (Vec::new(), Vec::new(), Vec::new());
        for (index, group) in self.groups().iter().enumerate() {
            let live = bases.get(index).copied().flatten().and_then(|base| present?.rules.get(base));
            let like = self.template(live, present);
            let rules = |matches: Vec<Match>, filters: &[Value], backends: &dyn Fn() -> Value| {
                let groups = grouped(matches, filters).into_iter();
                groups
                    .map(|matches| self.rule(&matches, &like, filters, backends(), present))
                    .collect::<Vec<_>>()
            };
            let both = |split: Split, cookies: [Option<String>; 2]| self.backends(&like, split, cookies);
            if !self.conditions.is_empty() {
                let matches = requests::within(group, &self.conditions);
                special.extend(rules(matches, &like.filters, &|| both(wish.split, [None, None])));
                everybody.push(self.rule(group, &like, &like.filters, self.primary_alone(&like), present));
                continue;
            }
            let holders =
                |cookie: &str| requests::within(group, &[Match::of_cookie(affinity::expression(cookie))]);
            let mut filters = like.filters.clone();
            if wish.mirror {
                let live = like.live.map_or(&[][..], |live| list(&live["filters"]));
                let mirror = filters::to_canary(self.release);
                filters = filters::merged(live, [filters, vec![mirror]].concat(), |_| false);
            }
            let mut cookies = [None, None];
            if let Some(settings) = &self.release.analysis.session_affinity {
                if wish.split.canary() == 0 {
                    if let Some(previous) = &wish.cookies.previous {
                        let forget = affinity::forget(settings, previous);
                        let filters = headers::with_cookie(filters.clone(), &forget);
                        let backends = || both(Split::PRIMARY, [None, None]);
                        special.extend(rules(holders(previous), &filters, &backends));
                    }
                } else {
                    let named = settings.primary_cookie_name.as_ref().is_some_and(|name| !name.is_empty());
                    if let Some(cookie) = &wish.cookies.canary {
                        let backends = || both(Split::CANARY, [None, None]);
                        special.extend(rules(holders(cookie), &like.filters, &backends));
                        cookies[1] = Some(affinity::of_canary(settings, cookie));
                    }
                    if let Some(cookie) = wish.cookies.primary.as_ref().filter(|_| named) {
                        let backends = || both(Split::PRIMARY, [None, None]);
                        more.extend(rules(holders(cookie), &like.filters, &backends));
                        let interval = self.release.analysis.interval;
                        cookies[0] = Some(affinity::of_primary(settings, cookie, interval));
                    }
                }
            }
            everybody.push(self.rule(group, &like, &filters, both(wish.split, cookies), present));
        }
        [special, more, everybody].concat()
    }

    /// What the rules for a group of requests are like.
    fn template<'b>(&self, live: Option<&'b Value>, present: Option<&Present<'b>>) -> Template<'b> {
        let users = present.is_some_and(|present| present.is_a_users);
        let had = live.map_or(&[][..], |live| list(&live["filters"]));
        let others = |filter: &Value| filters::is_others(self.version, self.release, users, filter);
        let of_live = live.map(|live| live["timeouts"].clone()).filter(|timeouts| !timeouts.is_null());
        Template {
            live,
            filters: filters::merged(had, self.filters.clone(), others),
            timeouts: self.timeouts.clone().or(of_live.filter(|_| users)),
        }
    }

    /// A rule for the requests that [`Template::live`] is for, or for some of them: what holds for all holds for these.
    fn rule(
        &self,
        requests: &[Match],
        like: &Template<'_>,
        filters: &[Value],
        backends: Value,
        present: Option<&Present<'_>>,
    ) -> Value {
        let mut fields = like.live.and_then(Value::as_object).cloned().unwrap_or_default();
        // It is the live rule's own.
        fields.remove("name");
        let ours = [
            (
                "matches",
                present.and_then(|route| route.matches(requests)).unwrap_or(requests::written(requests)),
            ),
            ("filters", if filters.is_empty() { Value::Null } else { json!(filters) }),
            ("timeouts", json!(like.timeouts)),
            ("retry", fields.get("retry").cloned().unwrap_or_default()),
            // It would keep clients on the canary after a rollback.
            ("sessionPersistence", Value::Null),
            ("backendRefs", backends),
        ];
        fields.extend(ours.map(|(field, value)| (field.to_owned(), value)));
        Value::Object(fields)
    }

    /// Both sides, with the cookies that bind a client to primary and canary. Weights are always written, also 0.
    fn backends(&self, like: &Template<'_>, split: Split, cookies: [Option<String>; 2]) -> Value {
        let sides = Sides::of(self.release);
        let [to_primary, to_canary] = cookies;
        json!([
            self.backend(like, &sides, &sides.primary, split.primary(), to_primary),
            self.backend(like, &sides, &sides.canary, split.canary(), to_canary),
        ])
    }

    fn primary_alone(&self, like: &Template<'_>) -> Value {
        let sides = Sides::of(self.release);
        json!([self.backend(like, &sides, &sides.primary, 100, None)])
    }

    fn backend(
        &self,
        like: &Template<'_>,
        sides: &Sides,
        name: &str,
        weight: u32,
        cookie: Option<String>,
    ) -> Value {
        let live = like.live.and_then(|rule| sides.backend(rule, name));
        let had = live.map_or(&[][..], |live| list(&live["filters"]));
        let affinity = self.release.analysis.session_affinity.is_some();
        let mut filters = headers::without_cookies(had, affinity);
        if let Some(cookie) = cookie {
            filters = headers::with_cookie(filters, &cookie);
        }
        let mut backend = service(self.release, name);
        backend["weight"] = json!(weight);
        backend["namespace"] = Value::Null;
        backend["filters"] = if filters.is_empty() { Value::Null } else { json!(filters) };
        backend
    }
}

/// `matches` in groups that may share a rule with these filters.
fn grouped(matches: Vec<Match>, filters: &[Value]) -> Vec<Vec<Match>> {
    if filters::replace_a_prefix(filters) {
        matches.into_iter().map(|one| vec![one]).collect()
    } else {
        vec![matches]
    }
}

/// The host names; `None` where the manifest has none.
fn hostnames(release: &Release) -> Result<Option<Vec<String>>, Problem> {
    let hosts = release.service.hosts.as_deref().unwrap_or_default();
    for (index, host) in hosts.iter().enumerate() {
        names::host(host, true, &format!("spec.service.hosts[{index}]"))?;
    }
    Ok((!hosts.is_empty()).then(|| hosts.to_vec()))
}
