//! What the pictures of the demo, of `vexil status` and of `vexil watch` have in common: the parts of a release that
//! are shown, and how each of them is drawn.

use super::print::{Line, Tone, bar};

pub(super) mod lines;
#[cfg(feature = "embedded")]
pub(super) mod told;
pub(super) mod words;

/// One of the two workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods {
    pub image: String,
    pub ready: i64,
    pub wanted: i64,
}

impl Pods {
    /// The tag of the image; the beginning of its digest if it has none.
    pub(super) fn version(&self) -> &str {
        let name = self.image.rsplit_once('/').map_or(self.image.as_str(), |(_, name)| name);
        let (tagged, digest) =
            name.split_once("@sha256:").map_or((name, ""), |(name, digest)| (name, digest));
        match tagged.split_once(':') {
            Some((_, tag)) => tag,
            None if digest.is_empty() => tagged,
            None => digest.get(..12).unwrap_or(digest),
        }
    }
}

/// A metric of the analysis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Check {
    pub name: String,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub measured: Option<Measured>,
    /// The values of this run, the oldest first.
    pub history: Vec<f64>,
}

/// What was measured last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    /// Percent or milliseconds; nothing if there is no traffic to measure.
    pub value: Option<f64>,
    pub verdict: Verdict,
}

/// What a measurement means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// It counts as neither.
    Open,
}

impl Verdict {
    /// Passed or failed.
    #[cfg(feature = "embedded")]
    pub(super) fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }
}

impl Check {
    /// Whether `value` is within the bounds.
    pub(super) fn allows(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| {
            self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
        })
    }

    /// Whether it did not pass when it was last made.
    pub(super) fn is_failing(&self) -> bool {
        self.measured.is_some_and(|measured| measured.verdict == Verdict::Failed)
    }
}

/// `before` and the value behind it, as many as a status keeps.
#[cfg(feature = "embedded")]
pub(super) fn history(before: &[f64], value: Option<f64>) -> Vec<f64> {
    let mut all: Vec<f64> = before.iter().copied().chain(value).collect();
    all.drain(..all.len().saturating_sub(12));
    all
}

/// How a phase is to be seen.
pub(super) fn phase_tone(phase: &str) -> Tone {
    match phase {
        "Initialized" | "Succeeded" => Tone::Good,
        "Failed" => Tone::Bad,
        "" => Tone::Faint,
        _ => Tone::Warning,
    }
}

/// The share of one side as a bar, with its version, and its pods where they are wanted. `lead` stands at its left.
pub(super) fn workload(
    lead: impl Into<Line>,
    pods: &Pods,
    weight: Option<i64>,
    label: usize,
    tone: Tone,
    columns: usize,
    with_pods: bool,
) -> Line {
    let version: String = pods.version().chars().take(label).collect();
    let line = lead.into().with(tone, format!("{version:<label$}  "));
    let share = match weight {
        Some(weight) => format!("{weight:>4} %"),
        None => format!("{:>6}", "–"),
    };
    let pods = format!("{:>9}", words::pods(pods));
    // On a narrow terminal the number of pods goes first, then the bar.
    let room = columns.saturating_sub(line.width() + share.len() + 2);
    let (with_pods, room) = match room.checked_sub(pods.len() + 2) {
        Some(rest) if with_pods && rest >= SHORTEST_BAR => (true, rest),
        _ => (false, room),
    };
    let width = if room < SHORTEST_BAR { 0 } else { room.min(LONGEST_BAR) };
    let (full, empty) = bar(words::share(weight.unwrap_or(0)), width, '█', '░');
    let line = line.with(tone, full).with(Tone::Faint, empty).with(Tone::Strong, share);
    if with_pods { line.with(Tone::Faint, format!("  {pods}")) } else { line }
}

/// A check with its value, its bounds and its last values, in columns that fit to those of `all`.
pub(super) fn check(check: &Check, all: &[Check]) -> Line {
    let widest = |text: fn(&Check) -> String| all.iter().map(|c| text(c).chars().count()).max().unwrap_or(0);
    let (name, value) = (widest(|check| check.name.clone()), widest(words::measured).max(7));
    let bounds = widest(words::bounds);
    let (mark, tone) = match check.measured.map(|measured| measured.verdict) {
        None => ("·", Tone::Faint),
        Some(Verdict::Passed) => ("✓", Tone::Good),
        Some(Verdict::Failed) => ("✗", Tone::Bad),
        Some(Verdict::Open) => ("?", Tone::Warning),
    };
    let line = Line::new()
        .with(tone, format!("{mark} "))
        .plain(format!("{:<name$}  ", check.name))
        .with(tone, format!("{:>value$}  ", words::measured(check)));
    // One value is no history.
    if check.history.len() < 2 {
        return line.with(Tone::Faint, words::bounds(check));
    }
    line.with(Tone::Faint, format!("{:<bounds$}  ", words::bounds(check))).and(sparkline(check))
}

/// The history of a check, a block for each value: the higher the larger.
fn sparkline(check: &Check) -> Line {
    let least = check.history.iter().copied().fold(f64::INFINITY, f64::min);
    let most = check.history.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    check.history.iter().fold(Line::new(), |line, value| {
        let height = if most > least { (value - least) / (most - least) } else { 0.5 };
        let highest = BLOCKS.len() - 1;
        let block = BLOCKS.iter().enumerate().min_by_key(|(index, _)| {
            // Small numbers: nothing is lost that could be seen.
            let exact = (height * 100.0).round() as i64;
            (exact - (index * 100 / highest) as i64).abs()
        });
        let tone = if check.allows(Some(*value)) { Tone::Good } else { Tone::Bad };
        line.with(tone, block.map_or(' ', |(_, block)| *block))
    })
}

const SHORTEST_BAR: usize = 8;
const LONGEST_BAR: usize = 50;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("shop/frontend:2.0", "2.0")]
    #[case("registry.example.com:5000/shop/frontend", "frontend")]
    #[case("registry.example.com:5000/shop/frontend:2.0", "2.0")]
    #[case("shop/frontend@sha256:0123456789abcdef0123", "0123456789ab")]
    #[case("", "")]
    fn the_version_is_the_tag_or_what_there_is(#[case] image: &str, #[case] expected: &str) {
        let pods = Pods { image: image.to_owned(), ..Pods::default() };
        assert_eq!(expected, pods.version());
    }

    #[rstest]
    #[case::rising(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "▁▂▃▄▅▆▇█")]
    #[case::level(&[99.0, 99.0], "▅▅")]
    #[case::huge(&[-f64::MAX, f64::MAX], "▁▁")]
    fn a_history_is_drawn_a_block_for_each_value(#[case] values: &[f64], #[case] expected: &str) {
        let check = Check { history: values.to_vec(), ..Check::default() };
        assert_eq!(expected, sparkline(&check).text());
    }
}
