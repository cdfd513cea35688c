//! A finding: what is wrong, where, and what to do.

use super::code::{Code, Severity};
use super::yaml::Span;

/// Something that a user should know of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its sort.
    pub code: Code,
    /// How bad it is; most have the severity of their code.
    pub severity: Severity,
    /// The index of the input.
    pub input: usize,
    /// Where in that.
    pub span: Span,
    /// The object that it is about; `None` where there is none yet.
    pub object: Option<Title>,
    /// The path of the field, empty for the whole object.
    pub field: String,
    /// What is wrong: a sentence without its field and without a full stop.
    pub message: String,
    /// What to do.
    pub cure: String,
}

/// Names an object for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Title {
    /// The kind.
    pub kind: String,
    /// The namespace; empty if the manifest does not say.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl std::fmt::Display for Title {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        if self.namespace.is_empty() { Ok(()) } else { write!(f, ".{}", self.namespace) }
    }
}

/// What is wrong and what to do, of a sentence that says both: `0 moves no traffic: write a weight from 1 to 100`.
pub fn parted(sentence: &str) -> (&str, Option<&str>) {
    if let Some(at) = sentence.find(", so write ") {
        return (&sentence[..at], Some(&sentence[at + ", so ".len()..]));
    }
    let cuts = sentence.match_indices(": ").collect::<Vec<_>>();
    let cure = |at: usize| {
        let rest = &sentence[at + 2..];
        BEGINNINGS.iter().any(|begin| rest.starts_with(begin)).then_some((&sentence[..at], Some(rest)))
    };
    let semicolons = sentence.match_indices("; ").map(|(at, _)| at);
    cuts.iter().map(|(at, _)| *at).chain(semicolons).find_map(cure).unwrap_or((sentence, None))
}

/// Texts of others may move the cursor or change colours.
pub fn harmless(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => " ".to_owned(),
        c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
            c.escape_unicode().to_string()
        }
        c => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// What the second half of such a sentence begins with.
const BEGINNINGS: [&str; 25] = [
    "write ",
    "remove ",
    "did you mean ",
    "add ",
    "use ",
    "put ",
    "leave ",
    "create ",
    "give ",
    "list ",
    "begin ",
    "delete ",
    "correct ",
    "rename ",
    "indent ",
    "is templateRef",
    "its owner has to",
    "set ",
    "name ",
    "please ",
    "lint ",
    "take ",
    "keep ",
    "match ",
    "make ",
];
