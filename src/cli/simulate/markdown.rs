//! The report for a pull request.

use super::assertion::Decision;
use super::report::{Release, Report};
use super::{chart, words};
use crate::sim::simulate::{EntryKind, Verdict};

/// Writes it.
pub(super) fn write(report: &Report) -> String {
    let mut out = String::new();
    let mut say = |line: &str| {
        out.push_str(line);
        out.push('\n');
    };
    for (index, release) in report.releases.iter().enumerate() {
        section(release, &mut say);
        if let Some((study, good)) = report.study(index) {
            say(&format!("\n**{} releases**\n", words::counted(study.runs())));
            words::study(study, good).iter().for_each(|(heading, text)| say(&row(heading, text)));
        }
        say("");
    }
    if !report.judged.is_empty() {
        say("| assertion | | found |\n|---|---|---|");
        for judged in &report.judged {
            let (mark, word) = match judged.decision {
                Decision::Holds => ("✅", "holds"),
                Decision::Fails => ("❌", "does not hold"),
                Decision::Undecided => ("❔", "undecided"),
            };
            let found: Vec<String> = judged.found.iter().map(|found| escaped(found)).collect();
            say(&format!("| {} | {mark} {word} | {} |", code(judged.text.trim()), found.join("<br>")));
        }
        say("");
    }
    say(&format!("Scenario: {}; seed {}.\n", escaped(&report.scenario.join("; ")), report.seed));
    report.notes.iter().for_each(|note| say(&format!("- {}", escaped(note))));
    out
}

fn section(release: &Release, say: &mut dyn FnMut(&str)) {
    let outcome = &release.outcome;
    let mark = match outcome.verdict {
        Verdict::Promoted => "✅",
        Verdict::RolledBack => "❌",
        Verdict::Unfinished => "⏳",
    };
    say(&format!("### {mark} {}: {}\n", escaped(&outcome.canary), words::verdict(outcome)));
    say(&format!("{}, from {}\n", escaped(&release.strategy), code(&release.image)));
    words::facts(outcome).iter().for_each(|(heading, text)| say(&row(heading, text)));
    let shares: Vec<Option<f64>> = outcome.plot.iter().map(|point| Some(point.share)).collect();
    let errors: Vec<Option<f64>> = outcome.plot.iter().map(|point| point.error_rate).collect();
    say("\n```text");
    for (title, values) in [("share of the canary", shares), ("failed requests", errors)] {
        let values = chart::squeezed(&values, 60);
        let most = values.iter().flatten().copied().fold(0.0, f64::max);
        say(&format!(
            "{title:<20} {} up to {}",
            chart::columns(&values, most, 1).concat(),
            words::percent(most / 100.0)
        ));
    }
    say("```\n\n<details><summary>Timeline</summary>\n\n| time | weight | |\n|---:|---:|---|");
    for entry in &outcome.timeline {
        let text = match entry.kind {
            EntryKind::Scenario => format!("▸ *{}*", escaped(&entry.text)),
            EntryKind::Event => escaped(&entry.text),
            EntryKind::Warning => format!("⚠️ {}", escaped(&entry.text)),
            EntryKind::Checks => {
                let check = |check: &crate::sim::simulate::Check| {
                    let mark = match check.verdict.as_str() {
                        "Passed" => "✓",
                        "Failed" => "✗",
                        _ => "·",
                    };
                    format!("{mark} {}", escaped(&check.text()))
                };
                entry.checks.iter().map(check).collect::<Vec<_>>().join("<br>")
            }
        };
        say(&format!("| {} | {} % | {text} |", words::clock(entry.at), entry.weight));
    }
    say("\n</details>");
}

fn row(heading: &str, text: &str) -> String {
    format!("- **{heading}**: {}", escaped(text))
}

/// Text that stays text in a table of Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '~' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// Text as code; a backquote in it would end it, and a bar the cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'").replace('|', "\\|").replace(['\n', '\r'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!("a\\|b &lt;img&gt; \\*x\\* c", escaped("a|b <img> *x*\nc"));
        assert_eq!("`a'b\\|c`", code("a`b|c"));
    }
}
