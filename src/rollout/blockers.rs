//! The blockers of a status: what the release waits for, and the checks that did not pass. Each says since when it
//! holds the release up.

use chrono::{DateTime, SubsecRound, Utc};

use crate::api::status::{Blocker, BlockerKind};

use super::step::Reason;

/// The blocker for `reason`. There is none where nothing is to be released.
pub(super) fn blocker(reason: &Reason, until: Option<DateTime<Utc>>) -> Option<Blocker> {
    let (kind, name, until) = match reason {
        Reason::AtRest | Reason::Deleting => return None,
        Reason::Suspended => (BlockerKind::Suspended, None, None),
        Reason::NextCheck(at) => (BlockerKind::NextCheck, None, Some(*at)),
        Reason::Readiness(_) => (BlockerKind::Readiness, None, until),
        Reason::Gate(hook) => (BlockerKind::Gate, Some(hook.clone()), None),
        Reason::InLine(_) => (BlockerKind::Queue, None, None),
        Reason::Settling(until) => (BlockerKind::Settling, None, Some(*until)),
        Reason::NotAccepted(_) => (BlockerKind::Route, None, until),
        Reason::Paused(_) => (BlockerKind::Paused, None, None),
        Reason::Blocked(_) => (BlockerKind::Blocked, None, None),
    };
    let until = until.map(|until| until.trunc_subsecs(0));
    let message = match reason {
        // The time stands beside it.
        Reason::NextCheck(_) => "one interval between two steps".to_owned(),
        other => other.to_string(),
    };
    Some(Blocker { kind, name, message: shortened(&message), since: None, until })
}

/// The blocker for a check that did not pass; `name` is that of its metric or hook.
pub(super) fn check(name: &str, why: &str) -> Blocker {
    Blocker {
        kind: BlockerKind::Check,
        name: Some(name.to_owned()),
        message: shortened(why),
        ..Blocker::default()
    }
}

/// The new list of blockers. One that is in `known` already keeps the time since when it is there. The list is bounded,
/// because a manifest may have any number of checks.
pub(super) fn since(
    known: &[Blocker],
    blockers: impl IntoIterator<Item = Blocker>,
    now: DateTime<Utc>,
) -> Vec<Blocker> {
    let stand = |blocker: Blocker| {
        let same = known.iter().find(|known| known.kind == blocker.kind && known.name == blocker.name);
        let since = same.and_then(|known| known.since).or_else(|| Some(now.trunc_subsecs(0)));
        Blocker { since, ..blocker }
    };
    blockers.into_iter().map(stand).take(MOST).collect()
}

fn shortened(message: &str) -> String {
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// The most blockers that a status shows.
const MOST: usize = 16;
/// The most characters of a blocker's message.
const LONGEST: usize = 512;
