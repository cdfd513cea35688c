//! A live route as a release sees it: what it says, what is remembered of it, and what it should say instead.

use serde_json::{Map, Value, json};

use super::managers;
use super::record::{ADOPTED, Record, Records};
use super::route::{Route, Told};
use crate::model::nearest;
use crate::model::object::{ObjectId, Objects};
use crate::model::traffic::RouteWish;
use crate::router::{Desired, Error, View};

/// How often in a release somebody else's change of the weights is put back, before Vexil waits.
const ANSWERS: u32 = 3;

/// A live route, with what it says and what is remembered of it.
pub(super) struct Look<'a> {
    pub route: Route<'a>,
    pub live: &'a Value,
    records: Records,
    pub told: Told,
}

impl<'a> Look<'a> {
    pub(super) fn at(route: Route<'a>, view: &View<'a>) -> Option<Self> {
        let live = view.seen.get(&route.id)?;
        let records = Records::of(live);
        let told = route.told(live, records.get(view.release));
        Some(Self { route, live, records, told })
    }

    fn record(&self) -> Option<&Record> {
        self.records.get(self.route.release)
    }

    /// Whether somebody else has given the route back in the middle of a release: there is nothing of the share left that
    /// we gave.
    pub(super) fn is_taken_back(&self) -> bool {
        let matching = !self.route.release.analysis.matches.is_empty();
        let gave = self.record().is_some_and(|record| record.canary > 0 && record.matching == matching);
        gave && self.told.canary == 0 && !self.told.mirrored
    }

    /// Whether that has happened so often that we leave it.
    pub(super) fn is_held(&self) -> bool {
        self.is_taken_back() && self.record().is_some_and(|record| record.answered >= ANSWERS)
    }

    /// What is said of a route that was taken back.
    pub(super) fn words(&self, held: bool) -> String {
        let id = &self.route.id;
        let who = managers::of_spec(self.live).unwrap_or_else(|| "somebody else".to_owned());
        let share = self.record().map_or(0, |record| record.canary);
        let happened = format!("{who} has put back {id}, which gave the canary {share} %");
        if !held {
            return format!("{}: {happened}", self.route.field);
        }
        format!(
            "{}: {happened}, for the {}th time in this release, and Vexil does not fight: let it leave the backends of {} \
             alone (docs/gitops.md, \"Adopted routes\"), then have it tried again with: kubectl annotate {}.{} {} -n {} \
             {ADOPTED}-",
            self.route.field,
            ANSWERS + 1,
            id.kind.kind,
            id.kind.plural,
            id.kind.group,
            id.name,
            id.namespace
        )
    }

    /// The route with the wish in it; `None` if it is left to whoever fights for it.
    pub(super) fn taken(&self, view: &View<'_>, wish: &RouteWish) -> Result<Option<Desired>, String> {
        if self.is_held() {
            return Ok(None);
        }
        let answered = self.record().map_or(0, |record| record.answered) + u32::from(self.is_taken_back());
        let plain = self.route.plain(self.live, self.record());
        if self.record().is_some() && self.route.selected(&plain.spec).is_err() {
            return Ok(self.given_back(view));
        }
        for (other, record) in self.records.of_others(self.route.release) {
            if let Some(rule) = self.route.shared_with(&plain, record) {
                return Err(self.is_anothers(&rule, other));
            }
        }
        let (spec, record) = self.route.with(&plain, wish, answered)?;
        Ok(Some(self.desired(view, &spec, Some(record))))
    }

    /// What is said while another release weighs a rule of ours: of two divisions of one rule each would change what the
    /// other has divided.
    fn is_anothers(&self, rule: &str, canary: &str) -> String {
        format!(
            "{}: Canary {canary} has a release under way in rule {rule} of {}, and this one begins when that one has ended: \
             give each its own rule if they shall not wait for each other",
            self.route.field, self.route.id
        )
    }

    /// The route as its user wrote it; `None` if it is that already.
    pub(super) fn given_back(&self, view: &View<'_>) -> Option<Desired> {
        let plain = self.route.plain(self.live, self.record());
        let record = match self.record() {
            // How often it was answered is remembered until a share is taken back by ourselves.
            Some(record) if self.is_taken_back() => {
                Some(Record { answered: (record.answered + 1).min(ANSWERS), ..Record::default() })
            }
            Some(record) if !record.changes_something() => Some(record.clone()),
            _ => None,
        };
        if record.is_none() && self.record().is_none() && self.told == Told::default() {
            return None;
        }
        Some(self.desired(view, &plain.spec, record))
    }

    pub(super) fn released(&self, view: &View<'_>) -> Option<Desired> {
        self.record()?;
        let plain = self.route.plain(self.live, self.record());
        Some(self.desired(view, &plain.spec, None))
    }

    fn desired(&self, view: &View<'_>, spec: &Value, record: Option<Record>) -> Desired {
        let annotations = self.records.clone().annotations(self.live, view.release, record);
        let fields: Map<String, Value> = self.route.fields(spec);
        Desired::new(self.route.id.clone(), json!(fields)).annotated(annotations).never_created()
    }
}

/// All routes of the release. As long as a release is under way, by them or otherwise (`also_out`), one that is gone, or does not lead here any more, is left
/// out: the traffic of the others can still be moved, and taken back.
///
/// # Errors
/// At rest, if a route is not there or has no rule that is meant. The text names the field.
pub(super) fn all<'a>(view: &View<'a>, also_out: bool) -> Result<Vec<Look<'a>>, Error> {
    let routes = Route::all(view.release);
    let is_out = also_out
        || routes.iter().any(|route| {
            view.seen.get(&route.id).is_some_and(|live| {
                let records = Records::of(live);
                records.get(view.release).is_some_and(Record::changes_something)
            })
        });
    let mut looks = Vec::new();
    for route in routes {
        let (field, id) = (route.field.clone(), route.id.clone());
        let Some(look) = Look::at(route, view) else {
            if is_out {
                continue;
            }
            return Err(Error::Object(absent(&field, &id, view.seen)));
        };
        let plain = look.route.plain(look.live, look.record());
        match look.route.selected(&plain.spec) {
            Ok(_) => looks.push(look),
            // What we made of it has to be undone all the same.
            Err(_) if is_out => looks.extend(look.record().is_some().then_some(look)),
            Err(why) => return Err(Error::Object(why)),
        }
    }
    Ok(looks)
}

/// What is said of a route that is not there.
pub(super) fn absent(field: &str, id: &ObjectId, seen: &Objects) -> String {
    let names: Vec<&str> = seen
        .names(id.kind)
        .filter(|other| other.namespace == id.namespace)
        .map(|other| other.name.as_str())
        .collect();
    let others = match (nearest(&id.name, names.iter().copied()), names.len()) {
        (Some(meant), _) => format!("did you mean {meant}?"),
        (None, 0) => "create it, or correct the reference".to_owned(),
        (None, count) if count <= MOST_NAMES => format!("there are {}", names.join(", ")),
        (None, count) => format!("there are {count}, {} among them", names[..MOST_NAMES].join(", ")),
    };
    format!("{field}.name: {id} does not exist: {others}")
}

const MOST_NAMES: usize = 8;
