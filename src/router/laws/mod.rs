//! The laws that every router keeps, whether it is built in or written into a file: one set, which the tests run over
//! every mesh that is registered, and `vexil router test` over a RouteTemplate. Pure: what is written is applied to
//! values.

use std::fmt;

use serde_json::{Value, json};

use super::{Error, plan};
use crate::model::object::Write;
use crate::model::traffic::{RouteWish, Split};

mod drift;
mod trial;

pub use drift::{each_drift_is_found, what_is_not_ours_stays};
pub use trial::{Trial, applied, title};

/// How a law is broken.
#[derive(Clone, Debug, PartialEq)]
pub struct Broken {
    /// What went otherwise.
    pub why: String,
    /// The objects that show it.
    pub objects: Vec<Value>,
}

impl Broken {
    /// A law that is broken in this way.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), objects: Vec::new() }
    }

    /// The same, with the objects that show it.
    #[must_use]
    pub fn shown_by(mut self, objects: &[Value]) -> Self {
        self.objects = objects.to_vec();
        self
    }
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        self.objects.iter().try_for_each(|object| write!(f, "\n{object:#}"))
    }
}

/// What a law says of a trial.
pub type Verdict = Result<(), Broken>;

/// Wishes that may follow: other weights, and back to the primary.
pub fn next_wishes() -> [RouteWish; 3] {
    [0, 35, 100].map(weights)
}

fn weights(canary: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() }
}

/// What is planned is what is read, for the first wish and for all that `follow`, each from what the one before has left.
///
/// # Errors
/// If something else is read.
pub fn what_is_planned_is_read(trial: &Trial, follow: impl IntoIterator<Item = RouteWish>) -> Verdict {
    let mut objects = trial.before.clone();
    for wish in [trial.wish.clone()].into_iter().chain(follow) {
        objects = trial.wished(&wish, &objects)?;
        let wished = format!("{} is wished", told(&wish));
        match trial.state(&objects) {
            Ok(Some(state)) if state.split == wish.split && state.mirrored == wish.mirror => {}
            // Where a mesh cannot divide the requests that match, a part of them is none.
            Ok(Some(state)) if is_part_of_matching(trial, &wish) && state.split == Split::PRIMARY => {}
            Ok(Some(state)) => {
                let read =
                    told(&RouteWish { split: state.split, mirror: state.mirrored, ..RouteWish::default() });
                return Err(Broken::new(format!("{wished}, and {read} is read")).shown_by(&objects));
            }
            Ok(None) => return Err(Broken::new(format!("{wished}, and nothing is read")).shown_by(&objects)),
            Err(why) => return Err(Broken::new(format!("{wished}: {why}")).shown_by(&objects)),
        }
    }
    Ok(())
}

fn told(wish: &RouteWish) -> String {
    let mirror = if wish.mirror { " with a mirror" } else { "" };
    format!("{} % for the canary{mirror}", wish.split.canary())
}

fn is_part_of_matching(trial: &Trial, wish: &RouteWish) -> bool {
    !trial.release.analysis.matches.is_empty() && ![Split::PRIMARY, Split::CANARY].contains(&wish.split)
}

/// What is there is not written again.
///
/// # Errors
/// If it is.
pub fn a_second_plan_is_empty(trial: &Trial) -> Verdict {
    let after = trial.after()?;
    match trial.plan(&trial.wish, &after)?.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Broken::new(format!("it is written again: {}", written(first))).shown_by(&after)),
    }
}

fn written(write: &Write) -> String {
    match write {
        Write::Create { id, .. } => format!("{id} is created"),
        Write::Patch { id, patch, .. } => format!("{id} gets {patch}"),
        Write::Delete { id } => format!("{id} is deleted"),
    }
}

/// A crash between any two writes converges to what would be there without it.
///
/// # Errors
/// If it does not.
pub fn a_crash_converges(trial: &Trial) -> Verdict {
    let writes = trial.plan(&trial.wish, &trial.before)?;
    let mut expected = trial.after()?;
    expected.sort_by_key(title);
    for done in 0..writes.len() {
        let halfway = applied(&trial.before, &writes[..done]);
        let mut found = trial.wished(&trial.wish, &halfway)?;
        found.sort_by_key(title);
        if found != expected {
            let why = format!("after a crash behind write {done} other objects are there");
            return Err(Broken::new(why).shown_by(&found));
        }
    }
    Ok(())
}

/// A crash between any two writes gives the canary no more than it had before or gets afterwards.
///
/// # Errors
/// If it does.
pub fn a_crash_gives_no_more(trial: &Trial) -> Verdict {
    let share = |objects: &[Value]| -> Result<u32, Broken> {
        Ok(trial.state(objects)?.map_or(0, |state| state.split.canary()))
    };
    let on_the_way = |start: &[Value], wish: &RouteWish| -> Result<Vec<Value>, Broken> {
        let writes = trial.plan(wish, start)?;
        let most = share(start)?.max(wish.split.canary());
        for done in 0..=writes.len() {
            let objects = applied(start, &writes[..done]);
            let halfway = share(&objects)?;
            if halfway > most {
                let why =
                    format!("the canary has {halfway} % on the way to {}, behind write {done}", told(wish));
                return Err(Broken::new(why).shown_by(&objects));
            }
        }
        Ok(applied(start, &writes))
    };
    for from in next_wishes() {
        let start = on_the_way(&trial.before, &from)?;
        for to in next_wishes() {
            on_the_way(&start, &to)?;
        }
    }
    Ok(())
}

/// A share of the requests that match is never taken for a share of everybody's, when somebody takes the match out of
/// the manifest in the middle of a run.
///
/// # Errors
/// If it is.
pub fn a_matching_share_is_not_everybodys(trial: &Trial) -> Verdict {
    let objects = trial.wished(&weights(100), &trial.before)?;
    let mut edited = trial.clone();
    edited.release.analysis.matches.clear();
    match edited.state(&objects).ok().flatten().map_or(0, |state| state.split.canary()) {
        0 => Ok(()),
        share => {
            let why = format!("without spec.analysis.match {share} % are read, and everybody would get that");
            Err(Broken::new(why).shown_by(&objects))
        }
    }
}

/// The objects of another Canary are refused, unless one of another name is made.
///
/// # Errors
/// If they are written.
pub fn the_objects_of_another_canary_are_refused(trial: &Trial) -> Verdict {
    let mut objects = trial.after()?;
    for object in &mut objects {
        // An object of no namespace cannot have the owner, it has the mark.
        if object["metadata"]["namespace"].is_null() {
            object["metadata"]["annotations"]["flagger.app/made-by"] = json!("shop/another");
            continue;
        }
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "another", "uid": "u-2",
            "controller": true,
        }]);
    }
    let is_new = |write: &Write| {
        let there = objects.iter().any(|object| title(object) == write.id().to_string());
        matches!(write, Write::Create { .. }) && !there
    };
    // Some wish changes something.
    for wish in next_wishes().iter().filter(|wish| wish.split != trial.wish.split) {
        match trial.plan(wish, &objects) {
            Err(Error::Object(why)) if why.contains("another") => {}
            // Or a name of its own is taken, and the other's object left alone.
            Ok(writes) if !writes.is_empty() && writes.iter().all(is_new) => {}
            other => {
                let why = format!("not refused for {}: {other:?}", told(wish));
                return Err(Broken::new(why).shown_by(&objects));
            }
        }
    }
    Ok(())
}

/// What a user had there before is given back when the Canary goes and is to leave everything as it was.
///
/// # Errors
/// If something else is left.
pub fn restoration_undoes_the_take_over(trial: &Trial) -> Verdict {
    let wanted = trial.looking(&trial.before, |view| trial.router.desired(view, &trial.wish))?;
    let users: Vec<Value> = wanted
        .iter()
        .filter(|wanted| wanted.keeps_original)
        .map(|wanted| {
            json!({
                "apiVersion": wanted.id.kind.api_version(),
                "kind": wanted.id.kind.kind,
                "metadata": {
                    "name": wanted.id.name, "namespace": wanted.id.namespace, "resourceVersion": "1",
                    "annotations": {"team": "web"},
                },
                "spec": {"own": {"a": [1, {"b": 2}]}},
            })
        })
        .collect();
    let is_users = |object: &Value| users.iter().any(|user| title(user) == title(object));
    // And what its users bring beside it.
    let brought = trial.before.iter().filter(|object| !is_users(object));
    let all: Vec<Value> = users.iter().chain(brought).cloned().collect();
    let taken = trial.wished(&trial.wish, &all)?;
    for wish in next_wishes() {
        let stepped = trial.wished(&wish, &taken)?;
        let back = trial.looking(&stepped, |view| plan::restoration(trial.router, view))?;
        let left: Vec<Value> = applied(&stepped, &back).into_iter().filter(is_users).collect();
        if left != users {
            return Err(Broken::new("what a user had there before is not given back").shown_by(&left));
        }
    }
    Ok(())
}

/// What was made for the release is gone when the Canary goes and is to leave everything as it was.
///
/// # Errors
/// If something is left.
pub fn what_was_made_is_deleted(trial: &Trial) -> Verdict {
    let made = trial.after()?;
    let back = trial.looking(&made, |view| plan::restoration(trial.router, view))?;
    let left = applied(&made, &back);
    if left == trial.before { Ok(()) } else { Err(Broken::new("is left behind").shown_by(&left)) }
}
