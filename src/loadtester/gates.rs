//! Gates: closed until somebody opens them, and open until somebody closes them, their time is over, or another revision
//! comes, if they were opened for one. They are kept in a [`Store`], so a restart forgets none.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::book::{Kind, Open};
use super::payload::{Canary, Payload, shortened};
use super::store::{Store, Trouble};
use crate::api::duration;
use crate::model::answer::excerpt;

/// The gates of a load tester.
pub struct Gates {
    store: Store,
    /// One change after the other.
    turn: tokio::sync::Mutex<()>,
}

/// Why a gate cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// What the caller asks for is wrong.
    #[error("{0}")]
    Wrong(String),
    /// The store does not work.
    #[error(transparent)]
    Store(#[from] Trouble),
}

impl Gates {
    /// Gates that are kept in `store`.
    pub fn new(store: Store) -> Self {
        Self { store, turn: tokio::sync::Mutex::default() }
    }

    /// Whether the store can be read, and how many gates are open.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn open(&self) -> Result<[(Kind, usize); 2], Trouble> {
        let book = self.store.load().await?;
        Ok([Kind::Gate, Kind::Rollback].map(|kind| (kind, book.of(kind).len())))
    }

    /// Whether the gate is open for the revision that `payload` is about.
    ///
    /// # Errors
    /// If the store cannot be read: then nobody knows.
    pub async fn check(&self, kind: Kind, payload: &Payload, now: DateTime<Utc>) -> Result<bool, Trouble> {
        let book = self.store.load().await?;
        Ok(book.of(kind).get(&key(&payload.canary)).is_some_and(|open| {
            open.until.is_none_or(|until| now < until)
                && open.checksum.as_ref().is_none_or(|checksum| *checksum == payload.checksum)
        }))
    }

    /// Opens it: for the revision of the payload's `checksum` if that has one, and for as long as its metadata says in
    /// `for`.
    ///
    /// # Errors
    /// If `for` is no duration, too many gates are open, or the store cannot be written. Then the gate is as it was.
    pub async fn set_open(
        &self,
        kind: Kind,
        payload: &Payload,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Failed> {
        let open = opening(payload, by, now).map_err(Failed::Wrong)?;
        let key = key(&payload.canary);
        let _turn = self.turn.lock().await;
        let changed = self.store.change(|book| {
            let gates = book.of_mut(kind);
            // Those whose time is over are closed.
            gates.retain(|_, open| open.until.is_none_or(|until| now < until));
            let room = gates.len() < MOST || gates.contains_key(&key);
            if room {
                gates.insert(key.clone(), open.clone());
            }
            room
        });
        if changed.await? {
            Ok(())
        } else {
            Err(Failed::Wrong(format!(
                "{MOST} gates are open, which is the most: close some that nobody needs"
            )))
        }
    }

    /// Closes it.
    ///
    /// # Errors
    /// If the store cannot be written. Then it is as it was.
    pub async fn set_closed(&self, kind: Kind, canary: &Canary) -> Result<(), Trouble> {
        let key = key(canary);
        let _turn = self.turn.lock().await;
        self.store
            .change(|book| {
                book.of_mut(kind).remove(&key);
                true
            })
            .await
            .map(drop)
    }
}

/// What a call wants: a gate that is open for so long, and for this revision.
///
/// # Errors
/// If `for` is no duration.
pub fn opening(payload: &Payload, by: &str, now: DateTime<Utc>) -> Result<Open, String> {
    let until = payload.metadata.get("for").map(|text| Ok::<_, String>(now + whole(text)?)).transpose()?;
    let checksum = Some(payload.checksum.clone()).filter(|checksum| !checksum.is_empty());
    Ok(Open { since: now, by: by.to_owned(), checksum, until })
}

/// Neither part has a slash.
fn key(canary: &Canary) -> String {
    format!("{}/{}", canary.namespace, canary.name)
}

fn whole(text: &str) -> Result<Duration, String> {
    let shown = shortened(text);
    let duration = duration::parse(text).map_err(|error| {
        let why = excerpt(error.to_string().as_bytes(), 120);
        format!("metadata for={shown:?} is not how long the gate stays open: {why}")
    })?;
    if duration.is_zero() || duration > LONGEST {
        return Err(format!(
            "metadata for={shown:?}: a gate stays open for more than nothing and for 8760h at most"
        ));
    }
    Ok(duration)
}

/// Open gates of a kind at once: what a ConfigMap has room for.
const MOST: usize = 1000;
const LONGEST: Duration = Duration::from_secs(8760 * 3600);
