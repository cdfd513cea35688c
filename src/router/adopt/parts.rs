//! Adopted Ingresses in the cluster, each by the very router that serves a Canary whose provider its class is.

use std::time::Duration;

use super::ingresses::Adopted;
use crate::model::object::Objects;
use crate::model::release::{Problem, Release};
use crate::model::traffic::{RouteState, RouteWish, SETTLE};
use crate::router::{Desired, Error, Router, View, problem};

/// An adopted Ingress with the router of its class, and what that looks at.
pub(super) struct Part {
    /// The entry of the manifest.
    pub field: String,
    /// The release as its router knows it.
    pub release: Release,
    pub router: &'static dyn Router,
    /// The Ingress with the paths that are meant, and all else.
    pub seen: Objects,
}

impl Part {
    fn look<T>(&self, view: &View<'_>, look: impl FnOnce(&View<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let own = View { release: &self.release, seen: &self.seen, ..*view };
        look(&own).map_err(|error| self.here(error))
    }

    /// An error in terms of the entry.
    fn here(&self, error: Error) -> Error {
        let named = |text: &str| text.replace("spec.ingressRef", &self.field);
        let led = |text: String| {
            let text = named(&text);
            if text.starts_with(&self.field) { text } else { format!("{}: {text}", self.field) }
        };
        match error {
            Error::Object(text) => Error::Object(led(text)),
            Error::Held(text) => Error::Held(led(text)),
            Error::Unsupported(Problem { field, message }) => {
                Error::Unsupported(problem(named(&field), named(&message)))
            }
        }
    }

    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        self.look(view, |view| self.router.state(view))
    }

    /// What the controller of this class cannot do of the manifest.
    fn able(&self, view: &View<'_>) -> Result<(), Error> {
        let matches = !self.release.analysis.matches.is_empty();
        if matches && !self.router.capabilities(&self.release).matching {
            let text = format!(
                "asks Ingress {} ({}) to tell requests apart, which no Ingress of its class does: remove match and release by \
                 weights, or adopt an HTTPRoute or a VirtualService",
                self.release.ingress_name(),
                self.field
            );
            return Err(Error::Unsupported(problem("spec.analysis.match", text)));
        }
        match self.router.problems(&self.release, view.settings).into_iter().next() {
            Some(problem) => Err(self.here(Error::Unsupported(problem))),
            None => Ok(()),
        }
    }
}

/// The adopted Ingresses of a release, as far as they can be looked at.
pub(super) struct Parts {
    parts: Vec<Result<Part, Error>>,
}

impl Parts {
    pub(super) fn of(view: &View<'_>) -> Self {
        Self { parts: Adopted::all(view.release).into_iter().map(|ingress| ingress.part(view)).collect() }
    }

    fn known(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().flatten()
    }

    /// The state of each that is told something.
    ///
    /// # Errors
    /// If one cannot be read. In the middle of a release (`is_out`) it is left out.
    pub(super) fn states(&self, view: &View<'_>, is_out: bool) -> Result<Vec<RouteState>, Error> {
        let states = self.each(|part| part.state(view), is_out)?;
        Ok(states.into_iter().flatten().collect())
    }

    /// Whether the canary has a share by one of them.
    pub(super) fn are_out(&self, view: &View<'_>) -> bool {
        let share = |part: &Part| part.state(view).ok().flatten().map_or(0, |state| state.split.canary());
        self.known().any(|part| share(part) > 0)
    }

    /// What there should be.
    ///
    /// # Errors
    /// As [`Self::states`].
    pub(super) fn desired(
        &self,
        view: &View<'_>,
        wish: &RouteWish,
        is_out: bool,
    ) -> Result<Vec<Desired>, Error> {
        let of = |part: &Part| {
            part.able(view)?;
            part.look(view, |view| part.router.desired(view, wish))
        };
        Ok(self.each(of, is_out)?.concat())
    }

    /// What the users' objects should say once the Canary is gone.
    pub(super) fn released(&self, view: &View<'_>) -> Result<Vec<Desired>, Error> {
        let of = |part: &Part| part.look(view, |view| part.router.released(view));
        Ok(self.known().map(of).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// The longest time that one of them takes.
    pub(super) fn settle(&self, view: &View<'_>) -> Duration {
        let of = |part: &Part| part.look(view, |view| Ok(part.router.settles(view))).unwrap_or(SETTLE);
        self.known().map(of).max().unwrap_or(SETTLE)
    }

    /// What `of` finds of each. In the middle of a release those that are gone or lead elsewhere are left out, as long as
    /// there is another one: its traffic can still be moved, and taken back.
    fn each<T>(&self, of: impl Fn(&Part) -> Result<T, Error>, is_out: bool) -> Result<Vec<T>, Error> {
        let found: Vec<Result<T, Error>> = self
            .parts
            .iter()
            .map(|part| match part {
                Ok(part) => of(part),
                Err(error) => Err(error.clone()),
            })
            .collect();
        let others = found.iter().any(Result::is_ok);
        let gone = |error: &Error| is_out && others && matches!(error, Error::Object(_));
        found.into_iter().filter(|one| !matches!(one, Err(error) if gone(error))).collect()
    }
}
