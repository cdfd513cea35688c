//! A/B testing: requests that match go to the canary for as many checks as the manifest asks for (spec 02 §2.3).

use crate::model::traffic::Split;

use super::{Advance, Position};

/// One more check on the canary, or the promotion. A number that is lowered during the run can end it (spec 02 E2.7).
pub(super) fn advance(iterations: u32, at: Position) -> Advance {
    if at.iterations < i64::from(iterations) {
        Advance::Iterate { routes: Some((Split::CANARY, false)), of: iterations }
    } else {
        Advance::Promote { gated: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: 02/C48 02/C49
    #[test]
    fn matching_requests_stay_on_the_canary_until_the_last_check() {
        let at = |iterations| Position { share: 0, mirrored: false, iterations };
        assert_eq!(advance(2, at(0)), Advance::Iterate { routes: Some((Split::CANARY, false)), of: 2 });
        assert_eq!(advance(2, at(1)), Advance::Iterate { routes: Some((Split::CANARY, false)), of: 2 });
        assert_eq!(advance(2, at(2)), Advance::Promote { gated: true });
        assert_eq!(advance(2, at(5)), Advance::Promote { gated: true });
    }
}
