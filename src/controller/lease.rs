//! The rule of leader election, without the loop around it. What was seen of the lease, and when, decides with the
//! present time on the next move. It is pure.
//!
//! The rule is that of the Go clients, so that a mixed pair elects correctly: a lease has run out when its record has
//! not changed for its duration *on our own clock, counted from when we saw it change*. Times that others wrote into
//! the lease are never compared with our time, so clocks may be wrong.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use tokio::time::Instant;

/// Name of the lease.
pub const NAME: &str = "flagger-leader-election";

/// The times of an election.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A lease that nobody has renewed for so long may be taken.
    pub lease: Duration,
    /// A leader that could not renew its lease for so long stops leading.
    pub renew_deadline: Duration,
    /// The pause between two tries.
    pub retry: Duration,
}

impl Default for Timing {
    /// Shorter than Flagger's 60, 15 and 5 s, so that another replica goes on soon after a leader has died. What counts
    /// for those who wait is the duration that the holder has written, so that a mixed pair elects correctly.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            renew_deadline: Duration::from_secs(7),
            retry: Duration::from_secs(2),
        }
    }
}

/// What a lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The process that leads; empty when the lease was given back.
    pub holder: String,
    /// How long the lease is valid after it was renewed, in seconds.
    pub seconds: Option<i64>,
    /// When the holder got it, on the holder's clock (RFC 3339).
    pub acquired: Option<String>,
    /// When the holder renewed it last, on the holder's clock (RFC 3339).
    pub renewed: Option<String>,
    /// How often the holder has changed.
    pub transitions: i64,
}

impl Record {
    /// Reads a Lease object; what is missing or of the wrong type reads as not said.
    pub fn read(lease: &Value) -> Self {
        let spec = &lease["spec"];
        let text = |field: &str| spec[field].as_str().map(str::to_owned);
        Self {
            holder: text("holderIdentity").unwrap_or_default(),
            seconds: spec["leaseDurationSeconds"].as_i64(),
            acquired: text("acquireTime"),
            renewed: text("renewTime"),
            transitions: spec["leaseTransitions"].as_i64().unwrap_or_default(),
        }
    }

    /// Writes itself into a Lease object; what else the object says stays.
    pub fn write_into(&self, lease: &mut Value) {
        if !lease["spec"].is_object() {
            lease["spec"] = json!({});
        }
        let spec = &mut lease["spec"];
        spec["holderIdentity"] = json!(self.holder);
        spec["leaseDurationSeconds"] = json!(self.seconds);
        spec["acquireTime"] = json!(self.acquired);
        spec["renewTime"] = json!(self.renewed);
        spec["leaseTransitions"] = json!(self.transitions);
    }

    /// The record of a holder who gives the lease back: nobody holds it, and it has as good as run out.
    pub fn released(&self, wall: DateTime<Utc>) -> Self {
        let now = Some(stamp(wall));
        Self {
            holder: String::new(),
            seconds: Some(1),
            acquired: now.clone(),
            renewed: now,
            transitions: self.transitions,
        }
    }
}

/// A record, and since when this process knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What the lease says.
    pub record: Record,
    /// When it was first seen to say that.
    pub since: Instant,
}

impl Sighting {
    /// What we know after seeing `record` at `now`. The age of an unchanged record goes on.
    pub fn look(before: Option<Self>, record: Record, now: Instant) -> Self {
        match before {
            Some(known) if known.record == record => known,
            _ => Self { record, since: now },
        }
    }
}

/// What to do about the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// There is no lease: create it with this record.
    Create(Record),
    /// Put this record in its place: we hold it, or may take it.
    Replace(Record),
    /// Somebody else leads, at least until then.
    Follow {
        /// The process that leads.
        holder: String,
        /// The time until which it leads at least.
        until: Instant,
    },
}

/// The next move of `me`.
pub fn next(me: &str, seen: Option<&Sighting>, now: Instant, wall: DateTime<Utc>, timing: &Timing) -> Move {
    let mine = |acquired: Option<String>, transitions: i64| Record {
        holder: me.to_owned(),
        seconds: i64::try_from(timing.lease.as_secs()).ok(),
        acquired: acquired.or_else(|| Some(stamp(wall))),
        renewed: Some(stamp(wall)),
        transitions,
    };
    let Some(Sighting { record, since }) = seen else {
        return Move::Create(mine(None, 0));
    };
    if record.holder == me {
        return Move::Replace(mine(record.acquired.clone(), record.transitions));
    }
    let lasts =
        record.seconds.and_then(|seconds| u64::try_from(seconds).ok()).map_or(UNKNOWN, Duration::from_secs);
    match since.checked_add(lasts) {
        Some(until) if record.holder.is_empty() || until <= now => {
            Move::Replace(mine(None, record.transitions.saturating_add(1)))
        }
        Some(until) => Move::Follow { holder: record.holder.clone(), until },
        // A duration beyond all time: it ends when the holder says so.
        None => Move::Follow { holder: record.holder.clone(), until: now + timing.lease },
    }
}

/// The duration of a lease that does not say its own: the longest that we know of.
const UNKNOWN: Duration = Duration::from_secs(60);

/// `metav1.MicroTime`.
fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn wall() -> DateTime<Utc> {
        "2026-07-21T12:00:00Z".parse().expect("a time")
    }

    fn held_by(holder: &str) -> Record {
        Record {
            holder: holder.into(),
            seconds: Some(60),
            acquired: Some("2026-07-21T11:00:00.000000Z".into()),
            renewed: Some("2026-07-21T11:59:59.000000Z".into()),
            transitions: 4,
        }
    }

    /// The move of `me` who has known `record` for `age` seconds.
    fn after(record: Record, age: u64) -> Move {
        let since = Instant::now();
        let now = since + Duration::from_secs(age);
        next("me", Some(&Sighting { record, since }), now, wall(), &Timing::default())
    }

    fn taken(transitions: i64) -> Move {
        Move::Replace(Record {
            holder: "me".into(),
            seconds: Some(10),
            acquired: Some("2026-07-21T12:00:00.000000Z".into()),
            renewed: Some("2026-07-21T12:00:00.000000Z".into()),
            transitions,
        })
    }

    #[test]
    fn a_dead_leader_is_followed_after_ten_seconds() {
        // spec: 01/API-092
        let timing = Timing::default();
        assert_eq!(
            [10, 7, 2],
            [timing.lease, timing.renew_deadline, timing.retry].map(|time| time.as_secs())
        );
        assert_eq!("flagger-leader-election", NAME);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lease_one_is_created() {
        let Move::Create(record) = next("me", None, Instant::now(), wall(), &Timing::default()) else {
            panic!()
        };
        assert_eq!(("me", Some(10), 0), (record.holder.as_str(), record.seconds, record.transitions));
    }

    #[rstest]
    #[case::just_seen(0)]
    #[case::a_second_before_its_end(59)]
    #[tokio::test(start_paused = true)]
    async fn a_lease_of_another_is_left_alone_while_it_lasts(#[case] age: u64) {
        let until = Instant::now() + Duration::from_secs(60);
        assert_eq!(Move::Follow { holder: "other".into(), until }, after(held_by("other"), age));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_ran_out_is_taken_and_counted() {
        assert_eq!(taken(5), after(held_by("other"), 60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_given_back_is_taken_at_once() {
        assert_eq!(taken(5), after(held_by("other").released(wall()), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_lease_is_renewed_and_keeps_its_history() {
        let Move::Replace(record) = after(held_by("me"), 3) else { panic!() };
        assert_eq!(Some("2026-07-21T11:00:00.000000Z"), record.acquired.as_deref());
        assert_eq!(Some("2026-07-21T12:00:00.000000Z"), record.renewed.as_deref());
        assert_eq!(4, record.transitions);
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_wrote_as_time_does_not_matter() {
        let mut record = held_by("other");
        record.renewed = Some("1999-01-01T00:00:00.000000Z".into());
        assert!(matches!(after(record, 59), Move::Follow { .. }));
    }

    #[rstest]
    #[case::no_duration(None)]
    #[case::negative(Some(-1))]
    #[case::beyond_all_time(Some(i64::MAX))]
    #[tokio::test(start_paused = true)]
    async fn an_odd_duration_does_not_let_two_lead(#[case] seconds: Option<i64>) {
        assert!(matches!(after(Record { seconds, ..held_by("other") }, 59), Move::Follow { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_holders_duration_counts_and_not_ours() {
        let of_ours = Record { seconds: Some(10), ..held_by("other") };
        assert!(matches!(after(of_ours.clone(), 9), Move::Follow { .. }));
        assert_eq!(taken(5), after(of_ours, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unchanged_record_ages_and_a_renewed_one_starts_over() {
        let first = Instant::now();
        let seen = Sighting::look(None, held_by("other"), first);
        let later = first + Duration::from_secs(30);
        let seen = Sighting::look(Some(seen), held_by("other"), later);
        assert_eq!(first, seen.since);
        let renewed = Record { renewed: Some("2026-07-21T12:00:09.000000Z".into()), ..held_by("other") };
        assert_eq!(later, Sighting::look(Some(seen), renewed, later).since);
    }

    #[test]
    fn writing_a_record_keeps_what_else_the_lease_says() {
        let mut lease =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"strategy": "x", "holderIdentity": "old"}});
        held_by("me").write_into(&mut lease);
        assert_eq!(held_by("me"), Record::read(&lease));
        assert_eq!(
            (&json!("x"), &json!("b")),
            (&lease["spec"]["strategy"], &lease["metadata"]["labels"]["a"])
        );
        assert_eq!(Record::default(), Record::read(&json!({"spec": 7})));
    }
}
