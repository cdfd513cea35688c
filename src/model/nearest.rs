//! The name that somebody meant who wrote another one.

/// The one of `known` that was probably meant by `name`, which is none of them.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let far = |known: &str| distance(&name.to_lowercase(), &known.to_lowercase());
    let short = known.into_iter().filter(|known| known.len() <= 2 * LONGEST_NAME);
    let (distance, nearest) = short.map(|known| (far(known), known)).min()?;
    // With more than a third of the letters wrong it is another word.
    (distance * 3 <= name.chars().count()).then_some(nearest)
}

/// How many letters have to be changed, added, left out or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[from.len()][to.len()]
}

/// Nobody mistypes a longer name, and comparing takes time.
const LONGEST_NAME: usize = 64;
