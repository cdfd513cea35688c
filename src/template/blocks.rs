//! Whether every `if`, `range`, `with`, `define` and `block` has its `end`. The template library does not look:
//! it takes the end of the text for a missing `end`, and a stray one for the end of the text, so that half a query
//! would be asked.

use super::{Place, Wrong};

/// Checks a template whose actions are known to be well formed.
pub(super) fn check(source: &str) -> Result<(), Wrong> {
    let mut open = Vec::new();
    let mut from = 0;
    while let Some((start, end)) = next_action(source, from) {
        from = end;
        let (action, place) = (&source[start..end], Place::of(source, start));
        let word = action.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        match word {
            "if" | "range" | "with" | "define" | "block" => open.push((word, place)),
            "else" if open.is_empty() => return Err(error(place, "unexpected {{else}}".to_owned())),
            "end" => match open.pop() {
                Some(_) => {}
                None => return Err(error(place, "unexpected {{end}}".to_owned())),
            },
            _ => {}
        }
    }
    match open.pop() {
        None => Ok(()),
        Some((word, place)) => Err(error(place, format!("{{{{{word}}}}} has no {{{{end}}}}"))),
    }
}

/// Where the next action begins, with its first word, and where its closing braces are. Comments are passed over.
fn next_action(source: &str, mut from: usize) -> Option<(usize, usize)> {
    loop {
        from += source[from..].find("{{")? + 2;
        let inside = &source[from..];
        let inside =
            inside.strip_prefix('-').filter(|text| text.starts_with(char::is_whitespace)).unwrap_or(inside);
        let inside = inside.trim_start();
        let start = source.len() - inside.len();
        match inside.strip_prefix("/*") {
            Some(comment) => from = start + 2 + comment.find("*/").unwrap_or(comment.len()),
            None => return Some((start, start + end_of_action(inside))),
        }
    }
}

/// Where the closing braces are, which do not count inside a literal.
fn end_of_action(action: &str) -> usize {
    let mut quote = None;
    let mut characters = action.char_indices();
    while let Some((at, c)) = characters.next() {
        match quote {
            None if action[at..].starts_with("}}") => return at,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            None => {}
            Some('`') if c == '\\' => {}
            Some(_) if c == '\\' => drop(characters.next()),
            Some(open) if c == open => quote = None,
            Some(_) => {}
        }
    }
    action.len()
}

fn error(place: Place, message: String) -> Wrong {
    Wrong { place, message }
}
