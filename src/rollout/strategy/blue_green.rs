//! Blue/green: the canary is checked without traffic, then it gets all traffic at once, then it is checked once more
//! (spec 02 §2.4, §2.5).

use crate::model::traffic::Split;

use super::{Advance, Position};

/// One more check, the move of all traffic, or the promotion. The promotion gate is asked once, before the move (spec
/// 02 E2.10).
pub(super) fn advance(iterations: u32, mirror: bool, at: Position) -> Advance {
    let wanted = i64::from(iterations);
    if at.iterations < wanted {
        let routes = (mirror && !at.mirrored).then_some((Split::PRIMARY, true));
        Advance::Iterate { routes, of: iterations }
    } else if at.iterations == wanted {
        Advance::RouteAll
    } else {
        Advance::Promote { gated: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(iterations: i64, mirrored: bool) -> Position {
        Position { share: 0, mirrored, iterations }
    }

    // spec: 02/C51
    #[test]
    fn all_traffic_moves_after_the_last_check_and_is_checked_once_more() {
        assert_eq!(advance(2, false, at(1, false)), Advance::Iterate { routes: None, of: 2 });
        assert_eq!(advance(2, false, at(2, false)), Advance::RouteAll);
        assert_eq!(advance(2, false, at(3, false)), Advance::Promote { gated: false });
    }

    #[test]
    fn mirroring_is_switched_on_once() {
        assert_eq!(
            advance(2, true, at(0, false)),
            Advance::Iterate { routes: Some((Split::PRIMARY, true)), of: 2 }
        );
        assert_eq!(advance(2, true, at(1, true)), Advance::Iterate { routes: None, of: 2 });
    }
}
