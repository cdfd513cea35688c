//! Holds: what somebody has decided by hand about the revision under release. The status keeps them as conditions.

use crate::api::status::{APPROVED, PAUSED, PROMOTE};

use super::snapshot::Snapshot;
use super::step::Reason;

/// Whether somebody asked to promote the revision under release without further checks and gates.
pub(super) fn promotes(world: &Snapshot) -> bool {
    held(world, PROMOTE).is_some()
}

/// Why the revision under release is paused, if it is.
pub(super) fn pause(world: &Snapshot) -> Option<Reason> {
    held(world, PAUSED).map(|by| Reason::Paused(by.to_owned()))
}

/// Whether the gate `hook` was opened by hand.
pub(super) fn is_approved(world: &Snapshot, hook: &str) -> bool {
    approved(world).iter().any(|name| name == hook)
}

/// The text of the hold of this kind, if there is one for the revision under release.
pub(super) fn held<'a>(world: &'a Snapshot, kind: &str) -> Option<&'a str> {
    world.status.said_of(kind, &world.target.as_ref().ok()?.revision)
}

/// The names of the gates that were opened by hand for the revision under release.
pub(super) fn approved(world: &Snapshot) -> Vec<String> {
    held(world, APPROVED).and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default()
}
