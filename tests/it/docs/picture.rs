//! `docs/images/demo.svg`: what `vexil demo` prints, as a picture of a terminal for the README. `UPDATE=1` draws it.

use std::fmt::Write as _;

use super::holds;

const WIDTH: usize = 860;
const LINE: usize = 19;
const TOP: usize = 50;
const LEFT: usize = 22;

/// A line of the demo that is worth a line of the picture.
struct Shown {
    time: String,
    what: String,
    text: String,
}

#[test]
fn the_picture_of_the_readme_shows_what_the_demo_prints() {
    let output = crate::demo::demo(&[]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let (_, releases) = text.split_once("Release 1 of 2").expect("two releases");
    let (good, rest) = releases.split_once("Release 2 of 2").expect("two releases");
    let mut picture = Picture::default();
    picture.heading("frontend 1.0 → 2.0", "a good version");
    shown(good).iter().for_each(|line| picture.line(line));
    picture.gap();
    picture.heading("frontend 2.0 → 3.0-broken", "7 % of its requests fail");
    shown(rest).iter().for_each(|line| picture.line(line));
    holds("docs/images/demo.svg", &picture.finish());
}

/// Steps, and how a release ends; a failed check is shown once for each time that it failed.
fn shown(text: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    for line in text.lines() {
        let mut words = line.splitn(2, "  ");
        let (Some(time), Some(rest)) = (words.next(), words.next()) else { continue };
        if time.len() != 8 || time.matches(':').count() != 2 {
            continue;
        }
        let (what, text) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        let text = text.trim();
        let worth = match what {
            "traffic" => true,
            "check" => text.ends_with("FAILED"),
            "event" => {
                ["New revision", "Copying", "Promotion completed"].iter().any(|start| text.starts_with(start))
            }
            "warning" => ["Rolling back", "Canary failed"].iter().any(|start| text.starts_with(start)),
            "phase" => matches!(text, "Succeeded" | "Failed"),
            _ => false,
        };
        if worth {
            all.push(Shown { time: time.to_owned(), what: what.to_owned(), text: text.to_owned() });
        }
    }
    all
}

#[derive(Default)]
struct Picture {
    body: String,
    lines: usize,
}

impl Picture {
    fn y(&self) -> usize {
        TOP + (self.lines + 1) * LINE
    }

    fn heading(&mut self, title: &str, more: &str) {
        let y = self.y();
        let _ = writeln!(
            self.body,
            "<text x=\"{LEFT}\" y=\"{y}\"><tspan class=\"strong\">{}</tspan><tspan dx=\"16\" class=\"faint\">{}</tspan></text>",
            escaped(title),
            escaped(more)
        );
        self.lines += 1;
    }

    fn gap(&mut self) {
        self.lines += 1;
    }

    fn line(&mut self, line: &Shown) {
        let y = self.y();
        let _ = write!(self.body, "<text x=\"{LEFT}\" y=\"{y}\" class=\"faint\">{}</text>", line.time);
        let x = LEFT + 90;
        match shares(&line.text).filter(|_| line.what == "traffic") {
            Some((primary, canary)) => {
                let (full, top) = (400, y - 11);
                let part = full * primary / 100;
                let _ = writeln!(
                    self.body,
                    "<rect x=\"{x}\" y=\"{top}\" width=\"{part}\" height=\"12\" class=\"primary\"/>\
                     <rect x=\"{}\" y=\"{top}\" width=\"{}\" height=\"12\" class=\"canary\"/>\
                     <text x=\"{}\" y=\"{y}\">primary {primary} %<tspan dx=\"16\">canary {canary} %</tspan></text>",
                    x + part,
                    full - part,
                    x + full + 16,
                );
            }
            None => {
                let class = match (line.what.as_str(), line.text.as_str()) {
                    ("check", _) | ("phase", "Failed") => "bad",
                    ("warning", _) => "warning",
                    ("phase", _) => "good",
                    _ => "plain",
                };
                let mark = match (line.what.as_str(), class) {
                    ("check", _) | ("phase", "bad") => "✗ ",
                    ("phase", _) => "✓ ",
                    _ => "",
                };
                let text = line.text.strip_suffix(": FAILED").unwrap_or(&line.text);
                let _ = writeln!(
                    self.body,
                    "<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{mark}{}</text>",
                    escaped(text)
                );
            }
        }
        self.lines += 1;
    }

    fn finish(self) -> String {
        let height = self.y() + 4;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
             aria-label=\"vexil demo: a good version is promoted step by step, a bad one is rolled back\">\n\
             <style>\n\
             text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #24292f }}\n\
             .frame {{ fill: #f6f8fa; stroke: #d0d7de }} .bar {{ fill: #d0d7de }}\n\
             .faint {{ fill: #57606a }} .strong {{ font-weight: bold }} .good {{ fill: #1a7f37 }} .bad {{ fill: #cf222e }} .warning {{ fill: #9a6700 }}\n\
             .primary {{ fill: #54aeff }} .canary {{ fill: #d4a72c }}\n\
             @media (prefers-color-scheme: dark) {{\n\
             text {{ fill: #e6edf3 }} .frame {{ fill: #0d1117; stroke: #30363d }} .bar {{ fill: #30363d }}\n\
             .faint {{ fill: #8b949e }} .good {{ fill: #3fb950 }} .bad {{ fill: #ff7b72 }} .warning {{ fill: #d29922 }}\n\
             .primary {{ fill: #1f6feb }} .canary {{ fill: #bb8009 }}\n\
             }}\n\
             </style>\n\
             <rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" class=\"frame\"/>\n\
             <circle cx=\"22\" cy=\"20\" r=\"5\" class=\"bar\"/><circle cx=\"40\" cy=\"20\" r=\"5\" class=\"bar\"/><circle cx=\"58\" cy=\"20\" r=\"5\" class=\"bar\"/>\n\
             <text x=\"80\" y=\"25\" class=\"faint\">$ make demo</text>\n\
             {}</svg>\n",
            WIDTH - 1,
            height - 1,
            self.body
        )
    }
}

/// Primary and canary of `[====##] primary 75 %, canary 25 %`.
fn shares(text: &str) -> Option<(usize, usize)> {
    let after = |word: &str| text.split_once(word)?.1.trim_start().split(' ').next()?.parse().ok();
    Some((after("primary")?, after("canary")?))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn shares_are_read_and_text_is_escaped() {
    assert_eq!(Some((75, 25)), shares("[===============#####] primary 75 %, canary 25 %"));
    assert_eq!(None, shares("primary"));
    assert_eq!("93 &lt; 99 &amp; so", escaped("93 < 99 & so"));
}
