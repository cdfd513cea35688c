//! Weighted canary: each passed check raises the canary's share by one step, and at the maximum it is promoted (spec 02
//! §2.1, §2.2).

use crate::model::release::Steps;
use crate::model::traffic::Split;

use super::{Advance, Position};

/// One step up, or the promotion. With `mirror`, requests are copied to the canary for one check before the first step.
pub(super) fn advance(steps: &Steps, mirror: bool, at: Position) -> Advance {
    if mirror && at.share == 0 && !at.mirrored {
        return Advance::Shift { split: Split::PRIMARY, mirror: true };
    }
    match step_after(steps, at.share) {
        Some(weight) => Advance::Shift { split: Split::canary_gets(weight), mirror: false },
        None => Advance::Promote { gated: true },
    }
}

/// The largest share that an analysis comes to, in percent.
pub(super) fn most(steps: &Steps) -> u32 {
    match steps {
        Steps::By { step: 0, max } => (*max).min(100),
        Steps::By { step, max } => max.div_ceil(*step).saturating_mul(*step).min(100),
        Steps::List(weights) => weights.iter().copied().max().unwrap_or(0).min(100),
    }
}

/// The weight after `share`, in percent; `None` at the maximum. A step may go over `maxWeight`, but never over 100.
fn step_after(steps: &Steps, share: u32) -> Option<u32> {
    match steps {
        Steps::By { step, max } => (share < *max).then(|| (share + step).min(100)),
        // A share that is not in the list goes on at the next larger element (spec 02 E2.3).
        Steps::List(weights) => {
            weights.iter().map(|weight| (*weight).min(100)).find(|weight| *weight > share)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // spec: 02/C43 02/C44
    #[rstest]
    #[case::steps_overshoot_the_maximum(Steps::By { step: 20, max: 50 }, &[20, 40, 60])]
    #[case::one_step_to_the_maximum(Steps::By { step: 100, max: 100 }, &[100])]
    #[case::never_above_hundred(Steps::By { step: 60, max: 100 }, &[60, 100])]
    #[case::a_list(Steps::List(vec![1, 2, 10, 80]), &[1, 2, 10, 80])]
    #[case::a_list_that_ends_above_hundred(Steps::List(vec![1, 2, 10, 200]), &[1, 2, 10, 100])]
    fn the_weights_of_a_run(#[case] steps: Steps, #[case] expected: &[u32]) {
        let mut seen = Vec::new();
        let mut at = Position { share: 0, mirrored: false, iterations: 0 };
        while let Advance::Shift { split, mirror: false } = advance(&steps, false, at) {
            seen.push(split.canary());
            at.share = split.canary();
        }
        assert_eq!(seen, expected);
        assert_eq!(advance(&steps, false, at), Advance::Promote { gated: true });
    }

    #[test]
    fn a_weight_between_two_steps_goes_on_at_the_next_larger() {
        let steps = Steps::List(vec![10, 30, 50]);
        let at = Position { share: 20, mirrored: false, iterations: 0 };
        assert_eq!(
            advance(&steps, false, at),
            Advance::Shift { split: Split::canary_gets(30), mirror: false }
        );
    }

    // spec: 02/C46
    #[test]
    fn mirroring_comes_before_the_first_weight() {
        let steps = Steps::By { step: 10, max: 50 };
        let start = Position { share: 0, mirrored: false, iterations: 0 };
        assert_eq!(advance(&steps, true, start), Advance::Shift { split: Split::PRIMARY, mirror: true });
        let mirrored = Position { mirrored: true, ..start };
        assert_eq!(
            advance(&steps, true, mirrored),
            Advance::Shift { split: Split::canary_gets(10), mirror: false }
        );
    }
}
