//! The findings as lines for people and as JSON for tools, and the exit status that follows from them.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::cluster::Trouble;
use crate::cli::print::{Line, Tone, wrap};

use super::asker::NotAsked;
use super::finding::{Finding, Outcome, Row};
use super::kubernetes;

/// Findings that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Group {
    pub title: String,
    #[serde(rename = "checks")]
    pub rows: Vec<Row>,
    /// Whether one line is enough if all is well.
    #[serde(skip)]
    pub short: bool,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Report {
    pub groups: Vec<Group>,
}

impl Report {
    /// Of a cluster that cannot be asked at all.
    pub(in crate::cli) fn unreachable(trouble: &Trouble) -> Self {
        let text = trouble.to_string();
        let (says, cure) = text.split_once('\n').unwrap_or((&text, ""));
        let cure = cure.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        let why = NotAsked { cure, ..NotAsked::new(says) };
        let check = &kubernetes::CLUSTER[0];
        let rows = vec![Row::new(check.id, check.title, Finding::unasked(&why))];
        Self { groups: vec![Group { title: "Kubernetes".to_owned(), rows, short: false }] }
    }

    /// How many findings ended so.
    pub(in crate::cli) fn count(&self, outcome: Outcome) -> usize {
        self.groups.iter().flat_map(|group| &group.rows).filter(|row| row.finding.outcome == outcome).count()
    }

    /// The exit status: 1 if something is wrong, 2 if something could not be asked, else 0.
    pub(in crate::cli) fn status(&self) -> u8 {
        match (self.count(Outcome::Wrong), self.count(Outcome::Unasked)) {
            (0, 0) => 0,
            (0, _) => 2,
            _ => 1,
        }
    }

    /// For tools.
    pub(in crate::cli) fn json(&self) -> Value {
        let counts: serde_json::Map<String, Value> = OUTCOMES
            .iter()
            .map(|(outcome, name, _)| ((*name).to_owned(), self.count(*outcome).into()))
            .collect();
        json!({"groups": self.groups, "counts": counts, "exitStatus": self.status()})
    }

    /// For people, at most `columns` wide where that is known.
    pub(in crate::cli) fn lines(&self, columns: Option<usize>) -> Vec<Line> {
        let mut lines = Vec::new();
        for group in &self.groups {
            let fine = group.rows.iter().all(|row| row.finding.outcome <= Outcome::Skipped);
            if group.short && fine {
                let (mark, tone) = mark(Outcome::Fine);
                let count = format!("  {} checks", group.rows.len());
                lines.push(
                    Line::new().with(tone, mark).plain(" ").plain(&*group.title).with(Tone::Faint, count),
                );
                continue;
            }
            if !lines.is_empty() {
                lines.push(Line::new());
            }
            lines.push(Line::new().with(Tone::Strong, &*group.title));
            lines.extend(group.rows.iter().flat_map(|row| drawn(row, columns)));
        }
        lines.push(Line::new());
        lines.push(self.summary());
        lines
    }

    /// How many of each, in a sentence.
    pub(in crate::cli) fn summary(&self) -> Line {
        let mut line = Line::new();
        for (outcome, _, said) in OUTCOMES.iter().rev() {
            let count = self.count(*outcome);
            if count == 0 {
                continue;
            }
            let comma = if line.width() > 0 { ", " } else { "" };
            let (mark, tone) = mark(*outcome);
            line = line.plain(comma).with(tone, mark).plain(format!(" {count} {said}"));
        }
        line
    }
}

/// A finding as lines: what was checked, and below it what was found, the cure, and where it is explained.
fn drawn(row: &Row, columns: Option<usize>) -> Vec<Line> {
    let Finding { about, outcome, says, cure } = &row.finding;
    let (mark, tone) = mark(*outcome);
    let mut head = Line::new().with(tone, mark).plain(" ").plain(row.title);
    if !about.is_empty() {
        head = head.plain(": ").with(Tone::Accent, about.as_str());
    }
    if *outcome <= Outcome::Skipped {
        if !says.is_empty() {
            head = head.with(Tone::Faint, format!("  ({says})"));
        }
        return vec![columns.map_or(head.clone(), |columns| head.cut(columns))];
    }
    let mut lines = vec![head];
    let mut below = |first: &str, tone: Tone, text: &str| {
        let room = columns.map_or(usize::MAX, |columns| columns.saturating_sub(INDENT.len() + 2));
        for (index, piece) in text.lines().flat_map(|text| wrap(text, room)).enumerate() {
            let begin = if index == 0 { first } else { "  " };
            lines.push(Line::from(INDENT).with(Tone::Faint, begin).with(tone, piece));
        }
    };
    below("  ", Tone::Plain, says);
    if !cure.is_empty() {
        below("→ ", Tone::Strong, cure);
    }
    below("  ", Tone::Faint, &format!("see {}", row.see));
    lines
}

fn mark(outcome: Outcome) -> (&'static str, Tone) {
    match outcome {
        Outcome::Fine => ("✓", Tone::Good),
        Outcome::Skipped => ("–", Tone::Faint),
        Outcome::Warning | Outcome::Unasked => ("‼", Tone::Warning),
        Outcome::Wrong => ("✗", Tone::Bad),
    }
}

/// Each with its name for tools and its words for people.
const OUTCOMES: [(Outcome, &str, &str); 5] = [
    (Outcome::Fine, "fine", "fine"),
    (Outcome::Skipped, "skipped", "not asked"),
    (Outcome::Warning, "warning", "to look at"),
    (Outcome::Unasked, "unasked", "could not be asked"),
    (Outcome::Wrong, "wrong", "wrong"),
];
const INDENT: &str = "  ";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn report(findings: Vec<Finding>, short: bool) -> Report {
        let rows = findings.into_iter().map(|finding| Row::new("an-id", "all is well", finding)).collect();
        Report { groups: vec![Group { title: "A group".into(), rows, short }] }
    }

    fn text(report: &Report, columns: Option<usize>) -> String {
        report.lines(columns).iter().map(|line| line.text() + "\n").collect()
    }

    #[rstest]
    #[case::fine(vec![Finding::fine("")], 0)]
    #[case::warned(vec![Finding::fine(""), Finding::warning("a", "b"), Finding::skipped("c")], 0)]
    #[case::unasked(vec![Finding::warning("a", "b"), Finding::unasked(&NotAsked::new("x"))], 2)]
    #[case::wrong(vec![Finding::unasked(&NotAsked::new("x")), Finding::wrong("a", "b")], 1)]
    #[case::nothing(vec![], 0)]
    fn the_exit_status_is_that_of_the_worst(#[case] findings: Vec<Finding>, #[case] status: u8) {
        let report = report(findings, false);
        assert_eq!(status, report.status());
        assert_eq!(report.json()["exitStatus"], status);
    }

    #[test]
    fn what_is_not_fine_has_a_cure_and_an_address() {
        let found = report(
            vec![Finding::fine("3 of 3"), Finding::wrong("it is broken", "mend it").about("x")],
            false,
        );
        assert_eq!(
            "A group\n✓ all is well  (3 of 3)\n✗ all is well: x\n    it is broken\n  → mend it\n    see \
             docs/check.md#an-id\n\n✗ 1 wrong, ✓ 1 fine\n",
            text(&found, None)
        );
    }

    #[test]
    fn a_group_in_which_all_is_well_may_be_one_line() {
        assert_eq!("✓ A group  1 checks\n\n✓ 1 fine\n", text(&report(vec![Finding::fine("x")], true), None));
        assert!(text(&report(vec![Finding::warning("a", "b")], true), None).starts_with("A group\n‼"));
    }

    #[test]
    fn words_are_wrapped_where_the_terminal_ends() {
        let found =
            report(vec![Finding::wrong("one two three four five six", "seven eight nine ten")], false);
        for line in text(&found, Some(30)).lines() {
            assert!(line.chars().count() <= 30, "{line}");
        }
    }

    #[test]
    fn what_a_cluster_says_cannot_move_the_cursor() {
        let found = report(vec![Finding::wrong("a\u{1b}[2Jb", "c")], false);
        assert!(!text(&found, None).contains('\u{1b}'));
    }
}
