//! Strategies: where the traffic is, in; what comes next, out. Each is a page.

use serde::Serialize;

use crate::model::release::{Plan, Strategy};
use crate::model::traffic::{Capabilities, Split};

mod ab_testing;
mod blue_green;
mod weighted;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The canary's share, in percent.
    pub share: u32,
    /// Requests are copied to the canary.
    pub mirrored: bool,
    /// Checks done.
    pub iterations: i64,
}

impl Position {
    /// Before the first check.
    pub fn at_start(self) -> bool {
        self.share == 0 && self.iterations == 0 && !self.mirrored
    }
}

/// What comes after a passed check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Advance {
    /// Another split of the traffic.
    Shift { split: Split, mirror: bool },
    /// One more check of `of`, on these routes.
    Iterate { routes: Option<(Split, bool)>, of: u32 },
    /// The checks are done: all traffic to the canary, if there is any to move.
    RouteAll,
    /// The analysis is over. `gated` if the promotion gate is still to be asked.
    Promote { gated: bool },
}

/// What comes next for the strategy of `plan`.
pub fn advance(plan: &Plan, can: &Capabilities, at: Position) -> Advance {
    match &plan.strategy {
        Strategy::Weighted(steps) => weighted::advance(steps, plan.mirror && can.mirror_weighted, at),
        Strategy::BlueGreen { iterations } => {
            blue_green::advance(*iterations, plan.mirror && can.mirror_blue_green, at)
        }
        Strategy::AbTesting { iterations } => ab_testing::advance(*iterations, at),
    }
}
