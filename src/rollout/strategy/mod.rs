//! The strategies. Each is a pure function of one page: from where the traffic is to what comes next.

use serde::Serialize;

use crate::model::release::{Plan, Steps, Strategy};
use crate::model::traffic::{Capabilities, Split};

mod ab_testing;
mod blue_green;
mod weighted;

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The canary's share of the traffic, in percent.
    pub share: u32,
    /// Whether requests are copied to the canary.
    pub mirrored: bool,
    /// How many checks have passed.
    pub iterations: i64,
}

impl Position {
    /// Whether this is before the first check.
    pub fn at_start(self) -> bool {
        self.share == 0 && self.iterations == 0 && !self.mirrored
    }
}

/// What comes after a passed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Advance {
    /// The traffic is split in another way.
    Shift {
        /// The new split.
        split: Split,
        /// Whether requests are copied to the canary.
        mirror: bool,
    },
    /// One more check is made.
    Iterate {
        /// A new split, and whether requests are copied to the canary; `None` leaves the routes alone.
        routes: Option<(Split, bool)>,
        /// How many checks there are in all.
        of: u32,
    },
    /// The checks are done, and the canary gets all traffic.
    RouteAll,
    /// The analysis is over, and the revision is promoted.
    Promote {
        /// Whether the promotion gate is still to be asked.
        gated: bool,
    },
}

/// The largest share that an analysis with these steps comes to, in percent.
pub(super) fn most(steps: &Steps) -> u32 {
    weighted::most(steps)
}

/// What the strategy of `plan` does after a passed check at `at`, with a mesh that can do what `can` says.
pub fn advance(plan: &Plan, can: &Capabilities, at: Position) -> Advance {
    match &plan.strategy {
        Strategy::Weighted(steps) => weighted::advance(steps, plan.mirror && can.mirror_weighted, at),
        Strategy::BlueGreen { iterations } => {
            blue_green::advance(*iterations, plan.mirror && can.mirror_blue_green, at)
        }
        Strategy::AbTesting { iterations } => ab_testing::advance(*iterations, at),
    }
}
