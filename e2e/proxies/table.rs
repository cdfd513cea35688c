//! The table at the end.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::apps::Plan;
use crate::judge::{Count, Seen, Span};

/// Prints what became of all requests and what is not as promised; whether all is.
pub fn tell(all: &[Seen], away: Result<Option<Span>>, metrics: Result<Vec<String>>) -> bool {
    let mut broken = Vec::new();
    let mut rows = vec![HEAD.map(str::to_owned)];
    for seen in all {
        let name = format!("{}, {}", seen.provider.title(), seen.plan.title());
        let shares = seen.shares().unwrap_or_else(|why| {
            broken.push(format!("{name}: {why:#}"));
            "NOT AS PROMISED".to_owned()
        });
        for span in &seen.spans {
            let steps = ["steps", "rollback"].contains(&span.what);
            rows.push(row(
                seen.provider.title(),
                seen.plan.title(),
                span.what,
                &seen.count(span),
                if steps { &shares } else { "" },
            ));
        }
        broken.extend(seen.trouble.iter().map(|why| format!("{name}: {why}")));
        broken.extend(
            seen.promised().filter_map(|span| lost(&format!("{name}, {}", span.what), &seen.count(span))),
        );
        broken.extend(seen.failures().into_iter().map(|failure| format!("    {failure}")));
        if let Some(why) = unlike_a_verdict(seen) {
            broken.push(format!("{name}: {why}"));
        }
    }
    match away {
        Ok(Some(span)) => {
            let mut providers: BTreeMap<&str, Vec<&Seen>> = BTreeMap::new();
            for seen in all {
                providers.entry(seen.provider.title()).or_default().push(seen);
            }
            for (provider, seen) in providers {
                let mut sum = Count::default();
                for count in seen.iter().map(|seen| seen.count(&span)) {
                    sum.add(count);
                }
                rows.push(row(provider, "all of these", span.what, &sum, ""));
            }
        }
        Ok(None) => {}
        Err(why) => broken.push(format!("{why:#}")),
    }
    println!("\n{}", aligned(&rows));
    match metrics {
        Ok(names) => names.iter().for_each(|name| println!("in Traefik's metrics: {name}")),
        Err(why) => broken.push(format!("Prometheus cannot be asked: {why:#}")),
    }
    let mut sum = Count::default();
    all.iter().flat_map(|seen| seen.promised().map(|span| seen.count(span))).for_each(|count| sum.add(count));
    println!(
        "\n{} requests, {} failed, {} sent twice, {} errors of bad versions",
        sum.requests, sum.failed, sum.again, sum.broken
    );
    broken.iter().for_each(|why| println!("NOT AS PROMISED: {why}"));
    broken.is_empty()
}

const HEAD: [&str; 8] = [
    "provider",
    "release",
    "transition",
    "requests",
    "failed",
    "sent twice",
    "own errors",
    "weight → share seen",
];

fn row(provider: &str, plan: &str, what: &str, count: &Count, shares: &str) -> [String; 8] {
    let numbers = [count.requests, count.failed, count.again, count.broken].map(|number| number.to_string());
    let [requests, failed, again, broken] = numbers;
    [provider.into(), plan.into(), what.into(), requests, failed, again, broken, shares.into()]
}

fn lost(what: &str, count: &Count) -> Option<String> {
    (count.failed > 0)
        .then(|| format!("{what}: {} of {} failed: {:?}", count.failed, count.requests, count.reasons))
}

/// A bad version has to fail by a number, and not because there is none.
fn unlike_a_verdict(seen: &Seen) -> Option<String> {
    let told = seen.events.iter().any(|event| event.contains("< 95") || event.contains("> 5"));
    (seen.plan == Plan::Rollback && !told)
        .then(|| format!("no number failed it: {}", seen.events.join(" | ")))
}

impl Count {
    fn add(&mut self, other: Count) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.again += other.again;
        self.broken += other.broken;
    }
}

fn aligned(rows: &[[String; 8]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let pad = width(column).saturating_sub(cell.chars().count());
            // Numbers to the right.
            let (before, after) = if (3..7).contains(&column) { (pad, 0) } else { (0, pad) };
            out.push_str(&format!("{}{cell}{}  ", " ".repeat(before), " ".repeat(after)));
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}
