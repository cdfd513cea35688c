//! What a list of routes tells a mesh, for those whose routes divide the requests between named backends.

use serde_json::Value;

use super::owner::Owner;
use super::{Error, View};
use crate::model::object::ObjectId;
use crate::model::traffic::{RouteState, Split};

/// The weight that a route gives to a backend, by its name; `None` if the route does not lead there.
pub(super) type Weight = fn(route: &Value, backend: &str) -> Option<u64>;

/// The names of the two backends of a release.
pub(super) struct Backends {
    /// The backend in front of the primary.
    pub primary: String,
    /// The backend in front of the canary.
    pub canary: String,
}

/// The split that the routes of the object `id` make; `None` if it is a user's and leads to neither side yet.
///
/// # Errors
/// If the routes do not divide 100 between both sides.
pub(super) fn state(
    view: &View<'_>,
    id: &ObjectId,
    live: &Value,
    routes: &Value,
    weight: Weight,
    backends: &Backends,
) -> Result<Option<RouteState>, Error> {
    let Backends { primary, canary } = backends;
    let routes = routes.as_array().map_or(&[][..], Vec::as_slice);
    let leads = |route: &&Value| weight(route, primary).is_some() || weight(route, canary).is_some();
    let shares = |route: &Value| Some((weight(route, primary)?, weight(route, canary)?));
    // A share of the requests that match is not a share of everybody's, for whom the last route is. Whatever the order
    // of the others, the canary's share is the largest that one of them gives it.
    let both = if view.release.analysis.matches.is_empty() {
        routes.iter().rev().find(leads).and_then(shares)
    } else {
        routes.iter().filter_map(shares).max_by_key(|(_, canary)| *canary)
    };
    match both {
        Some((primary, canary)) if primary.checked_add(canary) == Some(100) => Ok(Some(RouteState {
            split: Split::canary_gets(u32::try_from(canary).unwrap_or(0)),
            mirrored: false,
        })),
        // Not taken over yet.
        None if Owner::of(view.release, live) == Owner::Foreign
            && !routes.iter().any(|route| leads(&route)) =>
        {
            Ok(None)
        }
        _ => Err(Error::Object(format!("{id} does not divide 100 between {primary} and {canary}"))),
    }
}

/// The sum of the weights of those `backends` of a route that are meant; `None` if none is. A weight that is not
/// there is 0.
pub(super) fn sum(backends: &Value, is_meant: impl Fn(&Value) -> bool) -> Option<u64> {
    let meant = backends.as_array()?.iter().filter(|backend| is_meant(backend));
    meant.map(|backend| backend["weight"].as_u64().unwrap_or(0)).reduce(u64::saturating_add)
}
