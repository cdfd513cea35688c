//! What the source says of itself: texts, and what the comments above them tell.

use std::path::Path;

use regex::Regex;

use super::cell;
use crate::docs::root;

/// A text that users are told.
pub struct Message {
    pub alert: bool,
    pub text: String,
    pub when: String,
}

/// The texts of `src/rollout/messages.rs`.
pub fn messages() -> Vec<Message> {
    let item = Regex::new(
        r#"(?m)((?:^/// .*\n)+)^pub (?:const \w+: &str = "((?:[^"\\]|\\.)*)";|fn (\w+)[^{]*\{\n((?s:.*?))^\})"#,
    )
    .expect("a pattern");
    let mut all = Vec::new();
    for found in item.captures_iter(&read("src/rollout/messages.rs")) {
        let about = about(&found[1]);
        let (alert, when) = if let Some(when) = about.strip_prefix("The alert ") {
            (true, when)
        } else if let Some(when) = ["The event ", "The last event ", "What is said "]
            .iter()
            .find_map(|start| about.strip_prefix(start))
        {
            (false, when)
        } else {
            // What makes an event or an alert of any text, and what is only a part of one.
            assert!(
                ["A ", "An ", "The reason "].iter().any(|start| about.starts_with(start)),
                "what is this: {about}"
            );
            continue;
        };
        let text = match (found.get(2), found.get(4)) {
            (Some(text), _) => text.as_str().to_owned(),
            (None, Some(body)) => formatted(&found[3], body.as_str()),
            (None, None) => continue,
        };
        let when = ["when ", "that "].iter().find_map(|word| when.strip_prefix(word)).unwrap_or(when);
        all.push(Message { alert, text: cell(&text), when: cell(when.trim_end_matches('.')) });
    }
    assert!(all.len() > 50, "only {} texts were found", all.len());
    all
}

/// The text that a function formats, with names in place of what it fills in.
fn formatted(function: &str, body: &str) -> String {
    let call =
        Regex::new(r#"(?s)format!\(\s*"((?:[^"\\]|\\.)*)"(.*?)\)\s*(?:\n|;|\)|$)"#).expect("a pattern");
    let last = call.captures_iter(body).last().unwrap_or_else(|| panic!("{function} formats nothing"));
    let text = Regex::new(r"\\\n\s*").expect("a pattern").replace_all(&last[1], "").into_owned();
    let mut values = last[2]
        .split(',')
        .map(|value| value.split_whitespace().collect::<String>())
        .filter(|value| !value.is_empty());
    let hole = Regex::new(r"\{(\w*)(?::[^}]*)?\}").expect("a pattern");
    hole.replace_all(&text, |hole: &regex::Captures<'_>| match &hole[1] {
        "" => {
            let value = values.next().unwrap_or_else(|| panic!("{function}: too few values"));
            name_of(&value)
                .unwrap_or_else(|| panic!("{function}: say here what readers are shown for {value}"))
                .to_owned()
        }
        name => format!("{{{name}}}"),
    })
    .into_owned()
}

fn name_of(value: &str) -> Option<&'static str> {
    Some(match value.trim_end_matches(')').trim_end_matches('(') {
        "release.title" | "world.release.title" => "{canary}",
        "release.target_title" | "world.release.target_title" => "{target}",
        "release.primary_name" | "world.release.primary_name" => "{primary}",
        "release.namespace" | "world.release.namespace" => "{namespace}",
        "release.target.kind.as_str" => "{kind}",
        "request.text" => "{request}",
        "from(request" => " by {who}",
        _ => return None,
    })
}

/// The variants of an enum with what is said of them.
pub fn variants(file: &str, name: &str) -> Vec<(String, String)> {
    let code = read(file);
    let (_, body) = code.split_once(&format!("pub enum {name} {{\n")).expect("the enum");
    let (body, _) = body.split_once("\n}").expect("its end");
    let variant = Regex::new(r"(?m)((?:^ {4}/// .*\n)+)(?:^ {4}#.*\n)*^ {4}(\w+),").expect("a pattern");
    variant
        .captures_iter(&format!("{body}\n"))
        .map(|found| (found[2].to_owned(), cell(about(&found[1]).trim_end_matches('.'))))
        .collect()
}

/// The types of conditions that have a name in the code, in its order, which their texts refer to.
pub fn conditions() -> Vec<(String, String)> {
    let constant = Regex::new(r#"((?:/// .*\n)+)pub const \w+: &str = "(\w+)";"#).expect("a pattern");
    let code = read("src/api/status.rs");
    constant
        .captures_iter(&code)
        .map(|found| {
            let about = about(&found[1]);
            let said = about.strip_prefix("Type of the condition ").unwrap_or(&about);
            // The first two sentences are for users, what follows is for who changes it.
            let said: Vec<&str> =
                said.strip_prefix("that ").unwrap_or(said).splitn(3, ". ").take(2).collect();
            (found[2].to_owned(), cell(said.join(". ").trim_end_matches('.')))
        })
        .collect()
}

/// A doc comment on one line.
fn about(comment: &str) -> String {
    comment.lines().map(|line| line.trim().trim_start_matches("///").trim()).collect::<Vec<_>>().join(" ")
}

/// The Rust files below these folders.
pub fn files(folders: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(root().join(folder)).expect("a folder").flatten() {
            let path = entry.path();
            let below = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().into_owned();
            if path.is_dir() && !below.ends_with("tests") {
                all.extend(files(&[below.as_str()]));
            } else if path.extension().is_some_and(|end| end == "rs") && !below.contains("test") {
                all.push(below);
            }
        }
    }
    all.sort();
    all
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(Path::new(path))).unwrap_or_else(|why| panic!("{path}: {why}"))
}
