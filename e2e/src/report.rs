//! The table of the runs.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use crate::runs::NotApplicable;

/// How a run went.
pub struct Row {
    pub name: &'static str,
    pub took: Duration,
    /// The figures it measured, or why it failed.
    pub outcome: Result<Vec<String>>,
}

impl Row {
    /// Whether it was tried and did not pass.
    pub fn failed(&self) -> bool {
        self.outcome.as_ref().is_err_and(|error| !error.is::<NotApplicable>())
    }
}

/// The table, as text.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut out = format!("{:width$}  result  seconds  figures\n", "run");
    for row in rows {
        let (result, lines) = match &row.outcome {
            Ok(figures) => ("passed", figures.clone()),
            Err(error) if error.is::<NotApplicable>() => ("-     ", vec![error.to_string()]),
            Err(error) => ("FAILED", format!("{error:#}").lines().map(str::to_owned).collect()),
        };
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        out.push_str(&format!("{:width$}  {result}  {:7.1}  {first}\n", row.name, row.took.as_secs_f64()));
        for line in lines {
            out.push_str(&format!("{:width$}                   {line}\n", ""));
        }
    }
    // Whoever sees only the end of a log is told once more.
    for row in rows.iter().filter(|row| row.failed()) {
        let why = row.outcome.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default();
        out.push_str(&format!("\nFAILED {}: {why}\n", row.name));
    }
    let passed = rows.iter().filter(|row| row.outcome.is_ok()).count();
    let failed = rows.iter().filter(|row| row.failed()).count();
    // Test runners' closing line, which CI reads.
    out.push_str(&format!("\n{passed} passed, {failed} failed"));
    match rows.len() - passed - failed {
        0 => {}
        skipped => out.push_str(&format!(", {skipped} skipped")),
    }
    out.push('\n');
    out
}

/// What each row of several tables came to: how often it passed of how often it was tried, and why it failed.
#[derive(Default)]
pub struct Tally(Vec<(String, usize, usize, BTreeSet<String>)>);

impl Tally {
    /// Reads a table.
    pub fn add(&mut self, table: &str) {
        for line in table.lines().skip(1).take_while(|line| !line.is_empty()) {
            let mut words = line.split_whitespace();
            let (Some(name), Some(result)) = (words.next(), words.next()) else { continue };
            if line.starts_with(' ') || !matches!(result, "passed" | "FAILED") {
                continue;
            }
            let reason = words.skip(1).collect::<Vec<_>>().join(" ");
            let index = self.0.iter().position(|(known, ..)| known == name).unwrap_or_else(|| {
                self.0.push((name.to_owned(), 0, 0, BTreeSet::new()));
                self.0.len() - 1
            });
            if let Some((_, passed, tried, reasons)) = self.0.get_mut(index) {
                *tried += 1;
                if result == "passed" {
                    *passed += 1;
                } else {
                    reasons.insert(reason);
                }
            }
        }
    }

    /// In words, a line a row.
    pub fn show(&self) -> String {
        let width = self.0.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
        let mut out = String::new();
        for (name, passed, tried, reasons) in &self.0 {
            out.push_str(&format!("{name:width$}  {passed} of {tried}\n"));
            out.extend(reasons.iter().map(|reason| format!("{:width$}      {reason}\n", "")));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_closes_with_the_counts() {
        let rows = [
            Row { name: "good", took: Duration::from_secs(1), outcome: Ok(vec!["a".into(), "b".into()]) },
            Row { name: "bad", took: Duration::from_secs(2), outcome: Err(anyhow::anyhow!("broke")) },
        ];
        let table = table(&rows);
        assert!(table.ends_with("\n1 passed, 1 failed\n"), "{table}");
        assert!(table.contains("\nFAILED bad: broke\n"), "{table}");
    }

    #[test]
    fn what_cannot_apply_is_no_failure() {
        let outcome = Err(NotApplicable("there is no mesh".into()).into());
        let table = table(&[Row { name: "mesh", took: Duration::ZERO, outcome }]);
        assert!(table.contains("not applicable: there is no mesh"), "{table}");
        assert!(table.ends_with("\n0 passed, 0 failed, 1 skipped\n"), "{table}");
    }

    #[test]
    fn tables_are_counted_together() {
        let row = |name, outcome| Row { name, took: Duration::from_secs(1), outcome };
        let mut tally = Tally::default();
        tally.add(&table(&[row("good", Ok(vec!["a".into(), "b".into()])), row("bad", Ok(vec![]))]));
        tally.add(&table(&[row("good", Ok(vec![])), row("bad", Err(anyhow::anyhow!("broke\nhere")))]));
        assert_eq!(tally.show(), "good  2 of 2\nbad   1 of 2\n          broke\n");
    }
}
