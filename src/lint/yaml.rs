//! YAML and JSON with the places of everything: what a manifest says, and in which line it says it. Values are
//! understood as kubectl understands them, which is YAML 1.1 in places.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span as Range};
use serde_json::Value;

use super::scalar;

/// A stretch of a text. Lines and columns count from 1, columns in characters; the end is behind the last one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The line in which it begins.
    pub line: usize,
    /// The column in which it begins.
    pub column: usize,
    /// The line in which it ends.
    pub end_line: usize,
    /// The column behind its end.
    pub end_column: usize,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub content: Content,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Content {
    /// A text, number, truth value or nothing.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<Entry>),
}

/// A field of a mapping.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name.
    pub key: String,
    /// Where the name stands.
    pub at: Span,
    /// What the field holds.
    pub node: Node,
}

/// Something in a text that is no value, or not the one that it looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where it is.
    pub span: Span,
    /// What it is.
    pub sort: Sort,
    /// What is said about it.
    pub message: String,
}

/// The sorts of [`Trouble`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// It cannot be read.
    Syntax,
    /// It is a template that nobody has rendered.
    Template,
    /// A field is there twice.
    Duplicate,
    /// A bare word that is a truth value for kubectl, and a text for others.
    Word,
}

/// A document of a text.
#[derive(Debug)]
pub struct Document {
    /// Its value; `None` if it cannot be read, or holds nothing.
    pub root: Option<Node>,
    /// What is wrong with it.
    pub troubles: Vec<Trouble>,
}

impl Node {
    /// The value without places.
    pub fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(entries) => {
                // The last of equal names counts.
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.value())).collect())
            }
        }
    }

    /// The field of a mapping; the last one if there are several.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        let Content::Map(entries) = &self.content else { return None };
        entries.iter().rev().find(|entry| entry.key == key)
    }
}

/// Reads all documents of a text. One that cannot be read does not hide the others.
pub fn read(text: &str) -> Vec<Document> {
    parts(text).into_iter().map(|(first_line, part)| document(first_line, &part)).collect()
}

/// The text of each document with its first line, from 0. A line that begins with `---` begins a document wherever it
/// stands, also inside of a text.
fn parts(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts: Vec<(usize, String)> = vec![(0, String::new())];
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let marks = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marks {
            parts.push((number, String::new()));
        }
        if let Some((_, part)) = parts.last_mut() {
            part.push_str(line);
        }
    }
    parts.retain(|(_, part)| !part.trim().is_empty());
    parts
}

fn document(first_line: usize, part: &str) -> Document {
    let mut text = part.to_owned();
    for _ in 0..MOST_REPAIRS {
        let mut reader = Reader::new(first_line, &text);
        match reader.read() {
            Ok(root) => {
                let troubles = reader.troubles;
                return Document { root: root.filter(|root| !is_nothing(root)), troubles };
            }
            Err(Failure::Scan(error)) if *error.kind() == ErrorKind::InvalidQuotedScalarIndent => {
                // Some writers wrap quoted texts at the indentation of their key, which kubectl reads. The blanks at the
                // beginning of such a line do not belong to the text.
                if !indent(&mut text, error.marker().line()) {
                    return failed(first_line, part, &error);
                }
            }
            Err(Failure::Scan(error)) => return failed(first_line, part, &error),
            Err(Failure::Said(trouble)) => {
                return Document {
                    root: None,
                    troubles: vec![template(first_line, part, |_| true).unwrap_or(trouble)],
                };
            }
        }
    }
    let message = "has too many quoted texts that are wrapped without being indented: indent them".to_owned();
    Document {
        root: None,
        troubles: vec![Trouble { span: line(first_line + 1, 1), sort: Sort::Syntax, message }],
    }
}

fn is_nothing(node: &Node) -> bool {
    matches!(node.content, Content::Scalar(Value::Null))
}

/// Moves a line, counted from 1, to the right; `false` if there is none.
fn indent(text: &mut String, line: usize) -> bool {
    let start = match line {
        0 => return false,
        1 => Some(0),
        line => text.match_indices('\n').nth(line - 2).map(|(at, _)| at + 1),
    };
    let Some(start) = start.filter(|start| *start < text.len()) else { return false };
    text.insert_str(start, &" ".repeat(DEEPER));
    true
}

fn failed(first_line: usize, part: &str, error: &ScanError) -> Document {
    let trouble = template(first_line, part, is_foreign).unwrap_or_else(|| {
        let at = error.marker();
        let message = error.kind().to_string();
        let message = format!("cannot be read: {}", message.trim_end_matches('.'));
        Trouble { span: line(first_line + at.line(), at.col() + 1), sort: Sort::Syntax, message }
    });
    Document { root: None, troubles: vec![trouble] }
}

/// The first place that a template engine would have replaced.
fn template(first_line: usize, part: &str, is_one: impl Fn(&str) -> bool) -> Option<Trouble> {
    let (number, text, at) =
        part.lines().enumerate().filter(|(_, text)| !text.trim_start().starts_with('#')).find_map(
            |(number, text)| {
                let at = text.find("{{").filter(|at| is_one(&text[at + 2..]))?;
                Some((number, text, at))
            },
        )?;
    let column = text[..at].chars().count() + 1;
    let end = text[at..].find("}}").map_or(column + 2, |end| column + text[at..at + end + 2].chars().count());
    let span = Span { end_column: end, ..line(first_line + number + 1, column) };
    let message = "is a template that has not been rendered".to_owned();
    Some(Trouble { span, sort: Sort::Template, message })
}

/// Whether what stands behind `{{` is none of the names that queries of MetricTemplates have there.
fn is_foreign(behind: &str) -> bool {
    const OURS: [&str; 8] =
        ["name", "namespace", "target", "service", "ingress", "route", "interval", "variables"];
    let word = behind.trim_start_matches(['-', ' ']);
    let end = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
    !OURS.contains(&&word[..end])
}

/// The place of a text below `node` that Helm would have filled in.
pub fn unrendered(node: &Node) -> Option<Span> {
    const MARKS: [&str; 7] =
        [".Values", ".Release", ".Chart", ".Capabilities", "include ", "tpl ", "toYaml "];
    match &node.content {
        Content::Scalar(Value::String(text)) => {
            let helm = |hole: &str| {
                MARKS.iter().any(|mark| hole.trim_start_matches(['-', ' ', '(']).starts_with(mark))
            };
            text.split("{{").skip(1).any(helm).then_some(node.span)
        }
        Content::Scalar(_) => None,
        Content::List(items) => items.iter().find_map(unrendered),
        Content::Map(entries) => entries.iter().find_map(|entry| unrendered(&entry.node)),
    }
}

fn line(line: usize, column: usize) -> Span {
    Span { line, column, end_line: line, end_column: column + 1 }
}

enum Failure {
    Scan(ScanError),
    Said(Trouble),
}

impl From<ScanError> for Failure {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

struct Reader<'a> {
    first_line: usize,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    troubles: Vec<Trouble>,
}

impl<'a> Reader<'a> {
    fn new(first_line: usize, text: &'a str) -> Self {
        // Another crate may have switched comments on.
        let options = granit_parser::options! { emit_comments: false };
        let parser = Parser::new_from_str_with_options(text, options);
        Self { first_line, parser, anchors: BTreeMap::new(), nodes: 0, troubles: Vec::new() }
    }

    fn read(&mut self) -> Result<Option<Node>, Failure> {
        let mut root = None;
        while let Some((event, range)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd | Event::StreamEnd => {}
                event => root = Some(self.node(event, range)?),
            }
        }
        Ok(root)
    }

    /// The next event that says something.
    fn next(&mut self) -> Result<Option<(Event<'a>, Range)>, Failure> {
        match self.parser.next() {
            None => Ok(None),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(event)) => Ok(Some(event)),
        }
    }

    fn span(&self, range: Range) -> Span {
        Span {
            line: self.first_line + range.start.line(),
            column: range.start.col() + 1,
            end_line: self.first_line + range.end.line(),
            end_column: range.end.col() + 1,
        }
    }

    fn say(&mut self, span: Span, sort: Sort, message: String) {
        self.troubles.push(Trouble { span, sort, message });
    }

    fn node(&mut self, event: Event<'a>, range: Range) -> Result<Node, Failure> {
        let span = self.span(range);
        self.count(1, span)?;
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if plain && scalar::is_word(&text) {
                    let message = format!(
                        "{text} is a truth value for kubectl and a text for other tools: write true or false, or put it in \
                         quotes"
                    );
                    self.say(span, Sort::Word, message);
                }
                let value = if plain { scalar::plain(&text) } else { Value::String(text.into_owned()) };
                (anchor, Content::Scalar(value))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, Content::List(self.list(span)?)),
            Event::MappingStart(_, anchor, _) => (anchor, Content::Map(self.map(span)?)),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let node = node.unwrap_or(Node { span, content: Content::Scalar(Value::Null) });
                self.count(size(&node), span)?;
                return Ok(node);
            }
            _ => (0, Content::Scalar(Value::Null)),
        };
        let node = Node { span, content };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Failure> {
        self.nodes += nodes;
        if self.nodes <= MOST_NODES {
            return Ok(());
        }
        let message = format!("cannot be read: it has more than {MOST_NODES} values");
        Err(Failure::Said(Trouble { span, sort: Sort::Syntax, message }))
    }

    fn list(&mut self, span: Span) -> Result<Vec<Node>, Failure> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                None => return Err(self.broken_off(span)),
                Some((Event::SequenceEnd, _)) => return Ok(items),
                Some((event, range)) => items.push(self.node(event, range)?),
            }
        }
    }

    fn map(&mut self, span: Span) -> Result<Vec<Entry>, Failure> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known = BTreeSet::new();
        let mut merged = Vec::new();
        loop {
            let (event, range) = match self.next()? {
                None => return Err(self.broken_off(span)),
                Some((Event::MappingEnd, _)) => break,
                Some(event) => event,
            };
            let at = self.span(range);
            let key = match event {
                Event::Scalar(text, ..) => text.into_owned(),
                // What `{{ … }}` is in YAML: a mapping whose only name is a mapping.
                event => {
                    self.node(event, range)?;
                    let message = "cannot be read: the name of a field is a text".to_owned();
                    return Err(Failure::Said(Trouble { span: at, sort: Sort::Syntax, message }));
                }
            };
            let Some((event, range)) = self.next()? else { return Err(self.broken_off(span)) };
            let node = self.node(event, range)?;
            if key == "<<" {
                merged.push(node);
                continue;
            }
            if !known.insert(key.clone()) {
                let message =
                    format!("{key} is there twice, and only the last one counts: remove one of the two");
                self.say(at, Sort::Duplicate, message);
            }
            entries.push(Entry { key, at, node });
        }
        for node in merged {
            let sources = match node.content {
                Content::List(items) => items,
                _ => vec![node],
            };
            for source in sources {
                let Content::Map(others) = source.content else { continue };
                entries.extend(others.into_iter().filter(|other| known.insert(other.key.clone())));
            }
        }
        Ok(entries)
    }

    fn broken_off(&self, span: Span) -> Failure {
        let message = "cannot be read: it ends in the middle".to_owned();
        Failure::Said(Trouble { span, sort: Sort::Syntax, message })
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.content {
        Content::Scalar(_) => 0,
        Content::List(items) => items.iter().map(size).sum(),
        Content::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
    }
}

/// The most values of a document: aliases may multiply what is written.
const MOST_NODES: usize = 200_000;

/// The most lines that are moved to the right in a document.
const MOST_REPAIRS: usize = 500;

/// How far: deeper than any key that the parser allows.
const DEEPER: usize = 600;
