//! Charts of characters: columns over time.

/// Columns of `rows` lines for values from 0 to `most`, the highest line first. A value that is more than nothing
/// shows; `None` leaves a gap.
pub(super) fn columns(values: &[Option<f64>], most: f64, rows: usize) -> Vec<String> {
    let eighths = |value: f64| {
        let exact =
            if most > 0.0 { value / most * f64::from(u32::try_from(rows).unwrap_or(1)) * 8.0 } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a small number")]
        let eighths = exact.round().max(0.0) as usize;
        if value > 0.0 { eighths.clamp(1, rows * 8) } else { 0 }
    };
    (0..rows)
        .rev()
        .map(|row| {
            let column = |value: &Option<f64>| {
                let filled = value.map_or(0, eighths).saturating_sub(row * 8).min(8);
                BLOCKS[filled]
            };
            values.iter().map(column).collect()
        })
        .collect()
}

/// As many values as there are columns: of those that share one, the largest.
pub(super) fn squeezed(values: &[Option<f64>], columns: usize) -> Vec<Option<f64>> {
    if values.len() <= columns {
        return values.to_vec();
    }
    (0..columns)
        .map(|column| {
            let (from, to) = (column * values.len() / columns, (column + 1) * values.len() / columns);
            values[from..to].iter().flatten().copied().reduce(f64::max)
        })
        .collect()
}

const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_rise_with_their_values() {
        let values = [Some(0.0), Some(0.1), Some(25.0), Some(50.0), None, Some(100.0)];
        assert_eq!(vec!["     █", " ▁▄█ █"], columns(&values, 100.0, 2));
        assert_eq!(vec!["  "], columns(&[Some(0.0), None], 0.0, 1));
    }

    #[test]
    fn of_values_that_share_a_column_the_largest_shows() {
        let values: Vec<Option<f64>> = [1.0, 9.0, 2.0, 3.0].map(Some).to_vec();
        assert_eq!(vec![Some(9.0), Some(3.0)], squeezed(&values, 2));
        assert_eq!(values, squeezed(&values, 10));
        assert_eq!(vec![None], squeezed(&[None, None], 1));
    }
}
