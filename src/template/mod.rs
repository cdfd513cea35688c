//! Texts with holes: Go's template language with functions of our own, kept within bounds. Whoever may write such a text
//! takes neither much time nor much memory of a controller that serves others as well.

#![warn(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use gotmpl::parse::ListNode;
use gotmpl::{MissingKey, TemplateError};

pub use gotmpl::Value;

mod blocks;
mod guard;

/// What a template of one kind may call, and how long it may get.
#[derive(Debug)]
pub struct Language {
    /// What errors call such a template.
    pub name: &'static str,
    /// The functions that it can call besides those of Go.
    pub functions: &'static [&'static str],
    /// Bytes of the source.
    pub max_source: usize,
    /// Bytes of what comes out.
    pub max_output: usize,
}

/// A function of ours.
pub type Function = Box<dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync>;

/// A text with holes, read and checked. Whatever stands in it, rendering takes little time and memory.
#[derive(Clone, Debug)]
pub struct Template {
    language: &'static Language,
    bodies: BTreeMap<String, ListNode>,
    /// Where each field and variable is first used, for the errors of rendering, which have no position.
    places: BTreeMap<String, Place>,
}

/// A position in a template, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// The position of a byte of `source`.
    fn of(source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

/// Why a template gives no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is wrong in itself.
    Parsing {
        /// What such a template is called.
        name: &'static str,
        /// Where, if that is known.
        place: Option<Place>,
        /// What is wrong.
        message: String,
    },
    /// It does not fit what it is rendered with.
    Execution {
        /// What such a template is called.
        name: &'static str,
        /// Where, if that is known.
        place: Option<Place>,
        /// What is wrong.
        message: String,
    },
}

impl Template {
    /// Reads a template and checks all that can be checked without rendering it.
    ///
    /// # Errors
    /// If it is not a template, or uses a function that does not exist.
    pub fn parse(source: &str, language: &'static Language) -> Result<Self, Error> {
        let name = language.name;
        if source.len() > language.max_source {
            let message = format!("the template is longer than {} bytes", language.max_source);
            return Err(Error::Parsing { name, place: None, message });
        }
        let parsed = gotmpl::Template::new(name).parse(source).map_err(|error| parsing(name, error))?;
        blocks::check(source)
            .and_then(|()| {
                let body = |name: &str| parsed.lookup(name).map(|body| (name.to_owned(), body.clone()));
                let mut bodies: BTreeMap<String, ListNode> =
                    parsed.templates().into_iter().filter_map(body).collect();
                let places = guard::install(source, language.functions, &mut bodies)?;
                Ok(Self { language, bodies, places })
            })
            .map_err(|Wrong { place, message }| Error::Parsing { name, place: Some(place), message })
    }

    /// The text. `data` is the dot of the template, `functions` are those of its language.
    ///
    /// # Errors
    /// If the template uses a name that is not there, or does what its values do not allow.
    pub fn render(
        &self,
        data: &Value,
        functions: impl IntoIterator<Item = (&'static str, Function)>,
    ) -> Result<String, Error> {
        let name = self.language.name;
        let mut template =
            gotmpl::Template::new(name).missing_key(MissingKey::Error).max_range_iters(MAX_ROUNDS);
        for (name, function) in functions {
            template = template.func(name, move |arguments| function(arguments).map_err(TemplateError::Exec));
        }
        template = guard::functions(template);
        for (name, body) in &self.bodies {
            template = template.add_parse_tree(name, body.clone());
        }
        let mut text = Bounded { text: String::new(), most: self.language.max_output };
        match self.bodies.contains_key(name) {
            // Nothing but white space and definitions.
            false => Ok(String::new()),
            true => match template.execute_template_fmt(&mut text, name, data) {
                Ok(()) => Ok(text.text),
                Err(error) => Err(self.execution(error)),
            },
        }
    }

    fn execution(&self, error: TemplateError) -> Error {
        let Language { name, max_output, .. } = *self.language;
        let (place, message) = match error {
            TemplateError::MissingKey { key } => {
                (self.places.get(&key), format!("map has no entry for key {key:?}"))
            }
            TemplateError::UndefinedVariable(name) => {
                (self.places.get(&name), format!("undefined variable {name:?}"))
            }
            TemplateError::Write => (None, format!("the {name} is longer than {max_output} bytes")),
            TemplateError::Exec(message) => (None, message),
            other => (None, other.to_string()),
        };
        Error::Execution { name, place: place.copied(), message }
    }
}

/// What is wrong with a template, and where.
struct Wrong {
    place: Place,
    message: String,
}

fn parsing(name: &'static str, error: TemplateError) -> Error {
    match error {
        TemplateError::Parse { line, col, message, .. } | TemplateError::Lex { line, col, message, .. } => {
            let place = (line > 0).then_some(Place { line, column: col });
            Error::Parsing { name, place, message }
        }
        other => Error::Parsing { name, place: None, message: other.to_string() },
    }
}

impl Error {
    /// Where, as far as it is known.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Parsing { place, .. } | Self::Execution { place, .. } => *place,
        }
    }

    /// What is wrong, without where.
    pub fn message(&self) -> &str {
        match self {
            Self::Parsing { message, .. } | Self::Execution { message, .. } => message,
        }
    }
}

/// As users know it: with Go's prefixes, one of them misspelt.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, name, place, message) = match self {
            Self::Parsing { name, place, message } => ("template parsing failed", name, place, message),
            Self::Execution { name, place, message } => ("template excution failed", name, place, message),
        };
        match place {
            Some(Place { line, column }) => {
                write!(f, "{prefix}: template: {name}:{line}:{column}: {message}")
            }
            None => write!(f, "{prefix}: template: {name}: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// A text that cannot grow without end.
struct Bounded {
    text: String,
    most: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.most {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// Rounds of all `range` loops together.
const MAX_ROUNDS: u64 = 10_000;
