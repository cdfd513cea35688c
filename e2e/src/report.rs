//! The table of the runs.

use std::time::Duration;

use anyhow::Result;

/// How a run went.
pub struct Row {
    pub name: &'static str,
    pub took: Duration,
    /// The figures it measured, or why it failed.
    pub outcome: Result<Vec<String>>,
}

/// The table, as text.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut out = format!("{:width$}  result  seconds  figures\n", "run");
    for row in rows {
        let (result, lines) = match &row.outcome {
            Ok(figures) => ("passed", figures.clone()),
            Err(error) => ("FAILED", format!("{error:#}").lines().map(str::to_owned).collect()),
        };
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        out.push_str(&format!("{:width$}  {result}  {:7.1}  {first}\n", row.name, row.took.as_secs_f64()));
        for line in lines {
            out.push_str(&format!("{:width$}                   {line}\n", ""));
        }
    }
    let passed = rows.iter().filter(|row| row.outcome.is_ok()).count();
    // Test runners' closing line, which CI reads.
    out.push_str(&format!("\n{passed} passed, {} failed\n", rows.len() - passed));
    out
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
        assert!(table.contains("FAILED") && table.contains("broke"), "{table}");
    }
}
