//! One adopted route: which of its rules lead to the release, what they say now, and what they should say.
//!
//! What should be is always made from what the user wrote: the live route, with all of ours taken out of it by the record.

use serde_json::{Map, Value, json};

use super::backends::Backends;
use super::kinds::{self, Form, Names};
use super::record::{Added, Changed, Record};
use super::requests;
use crate::model::nearest;
use crate::model::object::ObjectId;
use crate::model::release::{AdoptedRoute, Release};
use crate::model::traffic::{RouteWish, Split};
use crate::router::live::same;

/// An adopted route of a release.
pub(super) struct Route<'a> {
    pub form: Form,
    pub id: ObjectId,
    /// Its entry in the manifest, and where that stands.
    entry: &'a AdoptedRoute,
    pub field: String,
    pub names: Names,
    pub release: &'a Release,
}

/// A rule: the field of the spec, and its place there if that is a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub list: &'static str,
    pub index: Option<usize>,
}

/// What a route says of the release's traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The canary's share, in percent.
    pub canary: u32,
    pub mirrored: bool,
}

/// A spec as its user wrote it, and the mirrors that were taken out of it, by the place of their rules.
pub(super) struct Plain {
    pub spec: Value,
    mirrors: Vec<(At, Value)>,
}

impl<'a> Route<'a> {
    /// The routes of a release whose kinds can be adopted; the others are refused elsewhere.
    pub(super) fn all(release: &'a Release) -> Vec<Self> {
        let entries = release.adopted.iter().enumerate();
        let of = |(index, entry): (usize, &'a AdoptedRoute)| {
            let route = &entry.route;
            let form = kinds::form(&route.api_version, &route.kind)?;
            Some(Self {
                form,
                id: form.kind.at(&route.namespace, &route.name),
                entry,
                field: format!("spec.routeRefs[{index}]"),
                names: Names::of(release, entry),
                release,
            })
        };
        entries.filter_map(of).collect()
    }

    fn backends(&self) -> Backends<'_> {
        Backends { dialect: self.form.dialect, names: &self.names, ports: &self.entry.ports }
    }

    /// The backends of a rule.
    fn list<'v>(&self, rule: &'v Value) -> &'v [Value] {
        rule[self.form.dialect.backends()].as_array().map_or(&[][..], Vec::as_slice)
    }

    fn rules(&self, spec: &Value) -> Vec<At> {
        let lists = self.form.dialect.lists().iter().flat_map(|list| {
            let count = spec[*list].as_array().map_or(0, Vec::len);
            (0..count).map(|index| At { list, index: Some(index) })
        });
        let singles = self.form.dialect.singles().iter().filter(|field| spec[**field].is_object());
        lists.chain(singles.map(|list| At { list, index: None })).collect()
    }

    /// The rules that the manifest means, as they stand in a spec without anything of ours.
    ///
    /// # Errors
    /// If there are none, with the names of those that there are.
    pub(super) fn selected(&self, spec: &Value) -> Result<Vec<At>, String> {
        let (rules, backends) = (self.rules(spec), self.backends());
        let leads = |at: &&At| backends.lead_here(self.list(rule(spec, **at)));
        let told: Vec<String> = rules.iter().map(|at| title(spec, *at)).collect();
        if self.entry.rules.is_empty() {
            let found: Vec<At> = rules.iter().filter(leads).copied().collect();
            if !found.is_empty() {
                return Ok(found);
            }
            let ports = match &self.entry.ports[..] {
                [] => String::new(),
                ports => {
                    format!(" on port {}", ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "))
                }
            };
            return Err(format!(
                "{}: no rule of {} leads to {}{ports}: give one of them that backend; there {}",
                self.field,
                self.id,
                self.names.told(),
                self.leading(spec)
            ));
        }
        let mut found = Vec::new();
        for (index, wanted) in self.entry.rules.iter().enumerate() {
            let field = format!("{}.rules[{index}]", self.field);
            let named = rules.iter().find(|at| rule(spec, **at)["name"] == wanted.as_str());
            let placed = rules.iter().find(|at| place(**at) == *wanted);
            let Some(at) = named.or(placed) else {
                let meant = nearest(wanted, told.iter().map(String::as_str));
                let meant = meant.map_or_else(String::new, |meant| format!("did you mean {meant}? "));
                return Err(format!(
                    "{field}: {} has no rule {wanted:?}: {meant}There are {}",
                    self.id,
                    if told.is_empty() { "none".to_owned() } else { told.join(", ") }
                ));
            };
            if !leads(&at) {
                return Err(format!(
                    "{field}: rule {wanted:?} of {} does not lead to {}: give it that backend, or name another rule; \
                     there {}",
                    self.id,
                    self.names.told(),
                    self.leading(spec)
                ));
            }
            if !found.contains(at) {
                found.push(*at);
            }
        }
        Ok(found)
    }

    /// Where the rules of a route lead, for a message.
    fn leading(&self, spec: &Value) -> String {
        let rules = self.rules(spec);
        let each = rules.iter().take(SHOWN).map(|at| {
            let name = |backend: &Value| {
                let host = &backend["destination"]["host"];
                backend["name"].as_str().or(host.as_str()).unwrap_or("?").to_owned()
            };
            let to: Vec<String> = self.list(rule(spec, *at)).iter().map(name).collect();
            let to = if to.is_empty() { "nowhere".to_owned() } else { to.join(" and ") };
            format!("{} leads to {to}", title(spec, *at))
        });
        let told: Vec<String> = each.collect();
        if told.is_empty() { "is no rule with backends".to_owned() } else { told.join(", ") }
    }

    /// The spec as its user wrote it.
    pub(super) fn plain(&self, live: &Value, record: Option<&Record>) -> Plain {
        let mut spec = self.without_added(&live["spec"], record);
        let backends = self.backends();
        let mut mirrors = Vec::new();
        for at in self.rules(&spec) {
            let present = rule_mut(&mut spec, at);
            let list = self.list(present).to_vec();
            let known =
                record.and_then(|record| changed(record, present, at).map(|changed| (record, changed)));
            let restored = match known {
                Some((record, changed)) if self.is_divided(&list, &changed.was) => {
                    Some(backends.undivided(&list, &changed.was, self.split(record)))
                }
                None if backends.lead_here(&list) && backends.canary_share(&list) > 0 => {
                    Some(backends.without_share(&list))
                }
                _ => None,
            };
            if let Some(restored) = restored {
                present[self.form.dialect.backends()] = json!(restored);
            }
            if record.is_some_and(|record| record.mirror)
                && let Some(mirror) = requests::without_mirror(self.form.dialect, &self.names, present)
            {
                mirrors.push((at, mirror));
            }
        }
        Plain { spec, mirrors }
    }

    /// Whether a rule has backends of ours that its user did not write so.
    fn is_divided(&self, list: &[Value], was: &[Value]) -> bool {
        let backends = self.backends();
        backends.have_canary(list) || (backends.have_primary(list) && !backends.have_primary(was))
    }

    fn split(&self, record: &Record) -> Split {
        Split::canary_gets(if record.matching { 0 } else { record.canary })
    }

    fn without_added(&self, spec: &Value, record: Option<&Record>) -> Value {
        let mut spec = spec.clone();
        for list in self.form.dialect.lists() {
            let places = self.added(&spec, list, record);
            if let Some(rules) = spec[*list].as_array_mut() {
                for place in places.into_iter().rev() {
                    rules.remove(place);
                }
            }
        }
        spec
    }

    /// The places of the rules that were added to a list. Each is on record once, and stands before the one that it is
    /// like: a rule of the user's for the same requests is not ours.
    fn added(&self, spec: &Value, list: &str, record: Option<&Record>) -> Vec<usize> {
        let mut known: Vec<&Added> =
            record.iter().flat_map(|record| &record.added).filter(|added| added.list == list).collect();
        let rules = spec[list].as_array().into_iter().flatten().enumerate();
        let is_ours = |(_, one): &(usize, &Value)| -> bool {
            let matches = &one[self.form.dialect.matches()];
            let place = known.iter().position(|added| same(&added.matches, matches));
            let ours = place.filter(|_| self.backends().have_canary(self.list(one)));
            ours.map(|place| known.remove(place)).is_some()
        };
        rules.filter(is_ours).map(|(place, _)| place).collect()
    }

    /// What the live route says, to whichever rules of it are the release's.
    pub(super) fn told(&self, live: &Value, record: Option<&Record>) -> Told {
        let backends = self.backends();
        if !self.release.analysis.matches.is_empty() {
            let lists = self.form.dialect.lists().iter();
            let added = lists.flat_map(|list| {
                let places = self.added(&live["spec"], list, record).into_iter();
                places.map(|place| &live["spec"][*list][place])
            });
            let canary = added.map(|one| backends.canary_share(self.list(one))).max().unwrap_or(0);
            return Told { canary, mirrored: false };
        }
        let spec = self.without_added(&live["spec"], record);
        let plain = self.plain(live, record);
        // A route that has been edited so that nothing is meant any more is still looked at as a whole.
        let meant = self.selected(&plain.spec).unwrap_or_else(|_| self.rules(&spec));
        let canary = meant.iter().map(|at| backends.canary_share(self.list(rule(&spec, *at)))).max();
        let mirrored =
            meant.iter().any(|at| requests::mirrors(self.form.dialect, &self.names, rule(&spec, *at)));
        Told { canary: canary.unwrap_or(0), mirrored }
    }

    /// The title of a rule that is meant and that another release has changed, by the record of that one.
    pub(super) fn shared_with(&self, plain: &Plain, other: &Record) -> Option<String> {
        let spec = &plain.spec;
        let meant = self.selected(spec).ok()?;
        let weighed = meant.iter().find(|at| changed(other, rule(spec, **at), **at).is_some());
        // What the other has added leads to the backends of the rule that it is like, so to ours as well.
        let copied = || {
            self.rules(spec).into_iter().find(|at| {
                let one = rule(spec, *at);
                let is_like = |added: &Added| {
                    added.list == at.list && same(&added.matches, &one[self.form.dialect.matches()])
                };
                self.backends().lead_here(self.list(one)) && other.added.iter().any(is_like)
            })
        };
        weighed.copied().or_else(copied).map(|at| title(spec, at))
    }

    /// The spec with the wish in it, and what is to be remembered; `answered` goes into the latter.
    ///
    /// # Errors
    /// If no rule is meant, or a rule cannot take the wish. The text is for the user.
    pub(super) fn with(
        &self,
        plain: &Plain,
        wish: &RouteWish,
        answered: u32,
    ) -> Result<(Value, Record), String> {
        let meant = self.selected(&plain.spec)?;
        let backends = self.backends();
        let dialect = self.form.dialect;
        let matching = !self.release.analysis.matches.is_empty();
        let conditions = if matching {
            requests::conditions(dialect, self.release).map_err(|problem| problem.to_string())?
        } else {
            Vec::new()
        };
        let mut spec = plain.spec.clone();
        let canary = wish.split.canary();
        let mut record = Record { canary, matching, mirror: wish.mirror, answered, ..Record::default() };
        // From behind, so that what is added does not move what comes.
        for at in meant.iter().rev().copied() {
            let refused =
                |why: String| format!("{}: {} of {}: {why}", self.field, title(&plain.spec, at), self.id);
            let present = rule_mut(&mut spec, at);
            let was = self.list(present).to_vec();
            let divided = backends.divided(&was, wish.split).map_err(refused)?;
            if !matching {
                if canary > 0 {
                    present[dialect.backends()] = json!(divided);
                    let name = present["name"].as_str().map(str::to_owned);
                    let index = at.index.unwrap_or_default();
                    record
                        .rules
                        .insert(0, Changed { list: at.list.to_owned(), index, name, was: was.clone() });
                }
                if let (true, Some(model)) = (wish.mirror, backends.model(&was)) {
                    let before =
                        plain.mirrors.iter().find(|(place, _)| *place == at).map(|(_, mirror)| mirror);
                    requests::with_mirror(dialect, &self.names, self.release, present, model, before)
                        .map_err(refused)?;
                }
                continue;
            }
            let (Some(index), true) = (at.index, canary > 0) else { continue };
            let mut ours = present.clone();
            // The name is the user's rule's own.
            ours.as_object_mut().map(|fields| fields.remove("name"));
            let matches = requests::within(dialect, present, &conditions);
            ours[dialect.matches()] = matches.clone();
            ours[dialect.backends()] = json!(divided);
            record.added.insert(0, Added { list: at.list.to_owned(), matches });
            if let Some(rules) = spec[at.list].as_array_mut() {
                rules.insert(index, ours);
            }
        }
        self.fits(&spec)?;
        Ok((spec, record))
    }

    /// Whether the kind takes a spec of this size.
    fn fits(&self, spec: &Value) -> Result<(), String> {
        if !matches!(self.form.dialect, kinds::Dialect::Gateway(_)) {
            return Ok(());
        }
        let rules = self.rules(spec);
        let most = rules.iter().map(|at| self.list(rule(spec, *at)).len()).max().unwrap_or(0);
        for (found, what) in [(rules.len(), "rules"), (most, "backends in one rule")] {
            if found > LARGEST {
                return Err(format!(
                    "{}: {} would have {found} {what}, and the Gateway API takes {LARGEST}: divide it in two routes",
                    self.field, self.id
                ));
            }
        }
        Ok(())
    }

    /// The fields of a spec in which the kind has its rules.
    pub(super) fn fields(&self, spec: &Value) -> Map<String, Value> {
        let dialect = self.form.dialect;
        let all = dialect.lists().iter().chain(dialect.singles());
        all.filter(|field| !spec[**field].is_null())
            .map(|field| ((*field).to_owned(), spec[*field].clone()))
            .collect()
    }
}

/// The record of a rule: by its name, else by its place.
fn changed<'r>(record: &'r Record, present: &Value, at: At) -> Option<&'r Changed> {
    let of_list = || record.rules.iter().filter(|changed| changed.list == at.list);
    let name = present["name"].as_str();
    let named = of_list().find(|changed| name.is_some() && changed.name.as_deref() == name);
    named.or_else(|| {
        of_list()
            .find(|changed| changed.index == at.index.unwrap_or_default() && changed.name.as_deref() == name)
    })
}

fn rule(spec: &Value, at: At) -> &Value {
    at.index.map_or(&spec[at.list], |index| &spec[at.list][index])
}

fn rule_mut(spec: &mut Value, at: At) -> &mut Value {
    match at.index {
        Some(index) => &mut spec[at.list][index],
        None => &mut spec[at.list],
    }
}

/// The place of a rule as a manifest can write it: `0`, and `tcp/0` or `tcpproxy` where a kind has several lists.
fn place(at: At) -> String {
    match (at.list, at.index) {
        ("rules" | "http" | "routes", Some(index)) => index.to_string(),
        (list, Some(index)) => format!("{list}/{index}"),
        (list, None) => list.to_owned(),
    }
}

/// The name of a rule, else its place.
fn title(spec: &Value, at: At) -> String {
    match rule(spec, at)["name"].as_str().filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => place(at),
    }
}

/// What the Gateway API takes of rules, and of backends in a rule.
const LARGEST: usize = 16;
/// How many rules a message tells of.
const SHOWN: usize = 16;
