//! Weights that count in relation to each other: of 1 and 3 the first gets a quarter of the requests.

use crate::model::traffic::Split;

/// The split that two such weights make; `None` if one is below zero, or nobody gets anything. A share between two
/// per cent is rounded up for the canary, whose share must not look smaller than it is.
pub(super) fn split(primary: i128, canary: i128) -> Option<Split> {
    if primary < 0 || canary < 0 {
        return None;
    }
    let all = primary.checked_add(canary).filter(|all| *all > 0)?;
    let hundredfold = canary.checked_mul(100)?;
    let percent = hundredfold / all + i128::from(hundredfold % all != 0);
    u32::try_from(percent).ok().map(Split::canary_gets)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::percent(90, 10, Some(10))]
    #[case::thousandths(900, 100, Some(10))]
    #[case::one_side(0, 1, Some(100))]
    #[case::a_trace_is_not_nothing(100_000, 1, Some(1))]
    #[case::a_third(2, 1, Some(34))]
    #[case::nobody(0, 0, None)]
    #[case::below_zero(110, -10, None)]
    #[case::more_than_can_be_counted(i128::MAX, 1, None)]
    fn shares_are_those_of_the_sum(
        #[case] primary: i128,
        #[case] canary: i128,
        #[case] percent: Option<u32>,
    ) {
        assert_eq!(split(primary, canary), percent.map(Split::canary_gets));
    }
}
