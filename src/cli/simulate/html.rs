//! The report as one page: no script, nothing from elsewhere, light or dark as the reader's system is. It is well-formed
//! XML, so that a test can read it.

use std::fmt::Write;

use super::assertion::Decision;
use super::report::{Release, Report};
use super::words;
use crate::sim::simulate::{Check, Entry, EntryKind, Study, Verdict};

mod svg;

/// Writes it.
pub(super) fn write(report: &Report) -> String {
    let titles: Vec<&str> = report.releases.iter().map(|release| release.outcome.canary.as_str()).collect();
    let mut body = String::new();
    for (index, release) in report.releases.iter().enumerate() {
        body.push_str(&section(release));
        if let Some((study, good)) = report.study(index) {
            body.push_str(&many(study, good));
        }
        body.push_str(&timeline(release));
    }
    body.push_str(&assertions(report));
    let items = |lines: &[String]| -> String {
        lines.iter().map(|line| format!("<li>{}</li>", escaped(line))).collect()
    };
    let notes = if report.notes.is_empty() {
        String::new()
    } else {
        format!("<h2>Notes</h2><ul class=\"notes\">{}</ul>", items(&report.notes))
    };
    let scenario = items(&report.scenario);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"color-scheme\" content=\"light dark\"/>\
         <title>Simulated release of {}</title><style>{STYLE}</style></head>\n<body><main>\
         {body}<h2>Scenario</h2><ul class=\"notes\">{scenario}<li>seed {}</li></ul>{notes}\
         <footer>vexil simulate: the real controller on an embedded cluster, in virtual time</footer>\
         </main></body></html>\n",
        escaped(&titles.join(", ")),
        report.seed
    )
}

fn section(release: &Release) -> String {
    let outcome = &release.outcome;
    let (class, mark) = match outcome.verdict {
        Verdict::Promoted => ("good", "✓"),
        Verdict::RolledBack => ("bad", "✗"),
        Verdict::Unfinished => ("open", "…"),
    };
    let requests = &outcome.requests;
    let tiles = [
        ("Duration", words::seconds(outcome.seconds)),
        ("Met the new version", words::counted(requests.new_version)),
        ("Failed there", words::counted(requests.new_version_failed)),
        ("Hurt", words::counted(requests.hurt)),
        ("Highest weight", format!("{} %", outcome.highest_weight)),
    ];
    let tiles: String = tiles
        .iter()
        .map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value)))
        .collect();
    let facts: String = words::facts(outcome)
        .iter()
        .filter(|(name, _)| matches!(*name, "Stopped by" | "Event" | "Waits for" | "Hurt"))
        .map(|(name, text)| format!("<tr><th>{name}</th><td>{}</td></tr>", escaped(text)))
        .collect();
    let shares: Vec<(f64, Option<f64>)> =
        outcome.plot.iter().map(|point| (point.at, Some(point.share))).collect();
    let errors: Vec<(f64, Option<f64>)> =
        outcome.plot.iter().map(|point| (point.at, point.error_rate)).collect();
    format!(
        "<header><h1>{}</h1><p class=\"sub\">{} · from <code>{}</code></p>\
         <p class=\"verdict {class}\">{mark} {}</p></header>\
         <dl class=\"tiles\">{tiles}</dl><table class=\"facts\">{facts}</table>{}{}",
        escaped(&outcome.canary),
        escaped(&release.strategy),
        escaped(&release.image),
        escaped(&words::verdict(outcome)),
        svg::steps("Share of the users’ requests that go to the canary", "accent", &shares, outcome.seconds),
        svg::steps("Requests of the canary that fail", "bad", &errors, outcome.seconds),
    )
}

fn many(study: &Study, good: Option<&Study>) -> String {
    let rows: String = words::study(study, good)
        .iter()
        .map(|(name, text)| format!("<tr><th>{name}</th><td>{}</td></tr>", escaped(text)))
        .collect();
    format!(
        "<h2>{} releases</h2>{}<table class=\"facts\">{rows}</table><div class=\"pair\">{}{}</div>",
        words::counted(study.runs()),
        svg::shares(study),
        svg::histogram("Time until the end", "accent", &study.seconds, words::clock),
        svg::histogram("Requests hurt", "bad", &study.hurt, words::count),
    )
}

fn timeline(release: &Release) -> String {
    let rows: String = release.outcome.timeline.iter().map(row).collect();
    format!(
        "<h2>Timeline</h2><div class=\"wide\"><table class=\"timeline\"><thead><tr><th>Time</th><th>Weight</th>\
         <th class=\"what\">What happened</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
}

fn row(entry: &Entry) -> String {
    let (class, text) = match entry.kind {
        EntryKind::Scenario => ("act", format!("▸ {}", escaped(&entry.text))),
        EntryKind::Event => ("", escaped(&entry.text)),
        EntryKind::Warning => ("warn", format!("! {}", escaped(&entry.text))),
        EntryKind::Checks => ("", entry.checks.iter().map(check).collect()),
    };
    format!(
        "<tr class=\"{class}\"><td class=\"number\">{}</td><td class=\"number\">{} %</td><td>{text}</td></tr>",
        words::clock(entry.at),
        entry.weight
    )
}

fn check(check: &Check) -> String {
    let (class, mark) = match check.verdict.as_str() {
        "Passed" => ("good", "✓"),
        "Failed" => ("bad", "✗"),
        _ => ("open", "·"),
    };
    format!("<div class=\"check\"><b class=\"{class}\">{mark}</b> {}</div>", escaped(&check.text()))
}

fn assertions(report: &Report) -> String {
    if report.judged.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for judged in &report.judged {
        let (class, word) = match judged.decision {
            Decision::Holds => ("good", "✓ holds"),
            Decision::Fails => ("bad", "✗ does not hold"),
            Decision::Undecided => ("open", "? undecided"),
        };
        let found: String =
            judged.found.iter().map(|found| format!("<div>{}</div>", escaped(found))).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            rows,
            "<tr><td><code>{}</code></td><td class=\"{class}\">{word}</td><td>{found}</td></tr>",
            escaped(judged.text.trim())
        );
    }
    format!(
        "<h2>Assertions</h2><div class=\"wide\"><table class=\"timeline\"><tbody>{rows}</tbody></table></div>"
    )
}

/// Text that can be neither markup nor the end of an attribute, without characters that XML does not have.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\r' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "\
:root{--paper:#fff;--card:#f6f7f9;--ink:#1b1f24;--soft:#5b6470;--line:#dfe3e8;--accent:#2563eb;--good:#15803d;\
--bad:#c02626;--open:#a16207}\
@media (prefers-color-scheme:dark){:root{--paper:#14171b;--card:#1d2127;--ink:#e6e9ed;--soft:#9aa4b0;--line:#323942;\
--accent:#6ea8fe;--good:#4ade80;--bad:#f87171;--open:#fbbf24}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,sans-serif}\
main{max-width:960px;margin:0 auto;padding:28px 20px 40px}h1{font-size:26px;margin:0}\
h2{font-size:18px;margin:36px 0 10px}.sub{color:var(--soft);margin:2px 0 12px}\
code{font:0.92em ui-monospace,Consolas,Menlo,monospace}header:not(:first-child){margin-top:56px}\
.verdict{display:inline-block;margin:0 0 16px;padding:4px 14px;border:1px solid currentColor;border-radius:999px;\
font-weight:600}.good{color:var(--good)}.bad{color:var(--bad)}.open{color:var(--open)}\
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:0 0 16px}\
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}\
dt{color:var(--soft);font-size:13px}dd{margin:0;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}\
table{border-collapse:collapse;width:100%}th{text-align:left;font-weight:600}\
.facts th{color:var(--soft);font-weight:400;width:130px;vertical-align:top}\
.facts td,.facts th{padding:3px 10px 3px 0;overflow-wrap:anywhere}.wide{overflow-x:auto}\
.timeline td,.timeline th{padding:5px 12px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}\
.timeline thead th{color:var(--soft);font-size:13px;font-weight:400;text-align:right}\
.timeline thead th.what{text-align:left}.timeline td{overflow-wrap:anywhere}\
.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;width:72px}\
.act td{color:var(--accent)}.warn td:last-child{color:var(--open)}\
figure{margin:22px 0 0}figure+table{margin-top:14px}figcaption{color:var(--soft);font-size:13px;margin-bottom:4px}svg{display:block;width:100%;\
height:auto;overflow:visible}svg text{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}\
.grid{stroke:var(--line);stroke-width:1}.s-accent{stroke:var(--accent)}.s-bad{stroke:var(--bad)}\
.curve{fill:none;stroke-width:2;stroke-linejoin:round}.f-accent{fill:var(--accent)}.f-bad{fill:var(--bad)}\
.f-good{fill:var(--good)}.f-open{fill:var(--open)}.area{opacity:.14}\
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:0 32px}\
.notes{color:var(--soft);padding-left:20px;margin:0}.notes li{margin:2px 0;overflow-wrap:anywhere}\
footer{margin-top:40px;padding-top:12px;border-top:1px solid var(--line);color:var(--soft);font-size:13px}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_become_markup() {
        assert_eq!("&lt;b&gt; &amp; &quot;x&quot; &#39;y&#39; \u{fffd}", escaped("<b> & \"x\" 'y' \u{7}"));
    }
}
