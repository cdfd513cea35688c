//! Checks of who leads: the lease, and what the pods say themselves.

use chrono::{DateTime, TimeDelta, Utc};

use crate::cli::check::finding::Finding;
use crate::controller::lease::Record;

use super::checks::series;
use super::{Installation, Program, lease_of};

/// What the lease says, if leader election is on and it can be read.
enum Seen<'a> {
    Off,
    Told(Finding),
    Held(Record, &'a str),
    Given,
}

fn look(it: &Installation) -> Seen<'_> {
    let Ok(flags) = &it.it.flags else { return Seen::Off };
    if !flags.enable_leader_election {
        return Seen::Off;
    }
    match &it.lease {
        Err(why) => Seen::Told(Finding::unasked(why)),
        Ok(None) => Seen::Told(Finding::wrong(
            format!("there is no {}: nobody leads, and nothing is released", lease_of(flags)),
            "look at the log of its pods: may they create leases in that namespace (account-rights)?",
        )),
        Ok(Some(lease)) => {
            let record = Record::read(lease);
            if record.holder.is_empty() { Seen::Given } else { Seen::Held(record, flags.lease_namespace()) }
        }
    }
}

pub(super) fn held(it: &Installation) -> Vec<Finding> {
    let finding = match look(it) {
        Seen::Off => Finding::skipped("leader election is off"),
        Seen::Told(finding) => finding,
        Seen::Held(record, _) => Finding::fine(record.holder),
        Seen::Given => Finding::wrong(
            "nobody holds it: nothing is released",
            "wait some seconds and ask again; then look at the log of its pods",
        ),
    };
    finding.alone()
}

/// How long ago a lease was renewed, and whether that is too long. The clock of whoever asks may be wrong by as much as
/// the lease is long.
pub(in crate::cli::check) fn age(record: &Record, now: DateTime<Utc>) -> Option<(TimeDelta, bool)> {
    let renewed: DateTime<Utc> = record.renewed.as_deref()?.parse().ok()?;
    let age = now - renewed;
    let valid = TimeDelta::try_seconds(record.seconds.unwrap_or(10).clamp(1, 3600) * 2)?;
    Some((age, age > valid))
}

pub(super) fn fresh(it: &Installation) -> Vec<Finding> {
    let Seen::Held(record, _) = look(it) else { return Vec::new() };
    let finding = match age(&record, it.now) {
        Some((age, false)) => Finding::fine(format!("renewed {} s ago", age.num_seconds().max(0))),
        Some((age, true)) => Finding::wrong(
            format!(
                "it was renewed {} s ago and holds for {} s: its holder, {}, is gone or cannot reach the API server",
                age.num_seconds(),
                record.seconds.unwrap_or_default(),
                record.holder
            ),
            "another replica takes it over in some seconds; if not, look at the log of its pods, and at your own clock",
        ),
        None => {
            Finding::warning("it does not say when it was renewed", "look at it: kubectl get lease -o yaml")
        }
    };
    finding.alone()
}

pub(super) fn own(it: &Installation) -> Vec<Finding> {
    let Seen::Held(record, namespace) = look(it) else { return Vec::new() };
    let pods = match &it.pods {
        Err(why) => return Finding::unasked(why).alone(),
        Ok(pods) => pods,
    };
    // Both controllers call themselves by the name of their pod, and something unique behind it.
    let holder = record.holder.rsplit_once('_').map_or(record.holder.as_str(), |(pod, _)| pod);
    let finding = if pods.iter().any(|pod| pod["metadata"]["name"] == holder) {
        Finding::fine(holder)
    } else {
        Finding::wrong(
            format!("{holder} holds the lease of namespace {namespace}, which is none of its pods"),
            "who is that? Another controller on the same lease works in place of this one: stop it, or give this one \
             another -leader-election-namespace",
        )
    };
    finding.alone()
}

pub(super) fn readyz(it: &Installation) -> Vec<Finding> {
    if it.it.program == Program::Flagger {
        return Finding::skipped("Flagger has no such page").alone();
    }
    let each = it.pages.iter().map(|(pod, pages)| {
        let finding = match &pages.ready {
            Err(why) => Finding::unasked(why),
            Ok((200, _)) => Finding::fine(""),
            Ok((status, text)) => Finding::wrong(
                format!("{status}: {text}"),
                "it waits for its first lists: its log names the kind that it cannot list",
            ),
        };
        finding.about(pod.as_str())
    });
    each.collect()
}

pub(super) fn leads(it: &Installation) -> Vec<Finding> {
    if it.pages.is_empty() {
        return Vec::new();
    }
    let finding = match series(it, "vexil_leader") {
        Err(why) => Finding::unasked(&why),
        Ok(samples) if samples.is_empty() => Finding::skipped("they show no series of Vexil"),
        Ok(samples) => {
            let leaders: Vec<&str> = samples
                .iter()
                .filter(|(_, sample)| sample.value == 1.0)
                .map(|(pod, _)| pod.as_str())
                .collect();
            match leaders.as_slice() {
                [one] => Finding::fine(*one),
                [] => Finding::wrong(
                    "none of them does: nothing is released",
                    "lease-own says who holds the lease; without one, the log of its pods why they cannot get it",
                ),
                several => Finding::wrong(
                    format!("several do at once: {}", several.join(", ")),
                    "set leaderElection.enabled, or keep one replica",
                ),
            }
        }
    };
    finding.alone()
}
