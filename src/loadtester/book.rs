//! The book of open gates, as it is kept.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a gate is for. The two kinds have nothing to do with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lets a release go on (`/gate`).
    Gate,
    /// Rolls it back (`/rollback`).
    Rollback,
}

impl Kind {
    /// The word in the path.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Rollback => "rollback",
        }
    }
}

/// All open gates, by namespace and name (`shop/frontend`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    gates: BTreeMap<String, Open>,
    rollbacks: BTreeMap<String, Open>,
}

/// An open gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// When it was opened.
    pub since: DateTime<Utc>,
    /// Who opened it.
    pub by: String,
    /// The one revision that it is open for; any if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// When its time is over; never if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

impl Book {
    /// Those of a kind.
    pub fn of(&self, kind: Kind) -> &BTreeMap<String, Open> {
        match kind {
            Kind::Gate => &self.gates,
            Kind::Rollback => &self.rollbacks,
        }
    }

    /// Those of a kind, to be changed.
    pub fn of_mut(&mut self, kind: Kind) -> &mut BTreeMap<String, Open> {
        match kind {
            Kind::Gate => &mut self.gates,
            Kind::Rollback => &mut self.rollbacks,
        }
    }
}
