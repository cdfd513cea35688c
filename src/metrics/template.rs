//! Queries with holes: Go's template language with eight functions of ours (spec 04 §3).

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use gotmpl::parse::ListNode;
use gotmpl::{MissingKey, TemplateError, Value};

use crate::model::release::{MetricCheck, Release};

mod blocks;
mod guard;
#[cfg(test)]
mod tests;

/// What the functions of a template answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    /// Name of the Canary.
    pub name: String,
    /// Namespace of the Canary.
    pub namespace: String,
    /// Name of the target.
    pub target: String,
    /// Name of the apex Service.
    pub service: String,
    /// Name of the referenced Ingress, else the target's.
    pub ingress: String,
    /// Name of the referenced route, else the target's.
    pub route: String,
    /// The window of the check.
    pub interval: String,
    /// `templateVariables` of the check.
    pub variables: BTreeMap<String, String>,
}

/// What the templates of `check` are rendered with. For Knative the caller replaces `route` by the revision.
pub fn variables(release: &Release, check: &MetricCheck) -> Variables {
    Variables {
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        target: release.target.name.clone(),
        service: release.apex.clone(),
        ingress: release.ingress_name().to_owned(),
        route: release.route_name().to_owned(),
        interval: check.interval.clone(),
        variables: check.variables.clone(),
    }
}

/// A query with holes, read and checked. Whatever stands in it, rendering takes little time and memory.
#[derive(Clone, Debug)]
pub struct Template {
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

/// Why a template gives no query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is wrong in itself.
    Parsing {
        /// Where, if that is known.
        place: Option<Place>,
        /// What is wrong.
        message: String,
    },
    /// It does not fit what it is rendered with.
    Execution {
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
    pub fn parse(source: &str) -> Result<Self, Error> {
        if source.len() > MAX_SOURCE {
            let message = format!("the template is longer than {MAX_SOURCE} bytes");
            return Err(Error::Parsing { place: None, message });
        }
        let parsed = gotmpl::Template::new(NAME).parse(source).map_err(parsing)?;
        blocks::check(source)?;
        let body = |name: &str| parsed.lookup(name).map(|body| (name.to_owned(), body.clone()));
        let mut bodies: BTreeMap<String, ListNode> =
            parsed.templates().into_iter().filter_map(body).collect();
        let places = guard::install(source, &mut bodies)?;
        Ok(Self { bodies, places })
    }

    /// The query.
    ///
    /// # Errors
    /// If the template uses a variable that is not there, or does what its values do not allow.
    pub fn render(&self, variables: &Variables) -> Result<String, Error> {
        let mut template = functions(gotmpl::Template::new(NAME), variables)
            .missing_key(MissingKey::Error)
            .max_range_iters(MAX_ROUNDS);
        template = guard::functions(template);
        for (name, body) in &self.bodies {
            template = template.add_parse_tree(name, body.clone());
        }
        let mut query = Bounded(String::new());
        match self.bodies.contains_key(NAME) {
            // Nothing but white space and definitions.
            false => Ok(String::new()),
            true => match template.execute_template_fmt(&mut query, NAME, &Value::Map(Arc::default())) {
                Ok(()) => Ok(query.0),
                Err(error) => Err(self.execution(error)),
            },
        }
    }

    fn execution(&self, error: TemplateError) -> Error {
        let (place, message) = match error {
            TemplateError::MissingKey { key } => {
                (self.places.get(&key), format!("map has no entry for key {key:?}"))
            }
            TemplateError::UndefinedVariable(name) => {
                (self.places.get(&name), format!("undefined variable {name:?}"))
            }
            TemplateError::Write => (None, format!("the query is longer than {MAX_QUERY} bytes")),
            TemplateError::Exec(message) => (None, message),
            other => (None, other.to_string()),
        };
        Error::Execution { place: place.copied(), message }
    }
}

/// The functions that a template can call besides those of Go.
const FUNCTIONS: [&str; 8] =
    ["name", "namespace", "target", "service", "ingress", "route", "interval", "variables"];

fn functions(template: gotmpl::Template, variables: &Variables) -> gotmpl::Template {
    let text = |text: &str| Value::String(text.into());
    let map = variables.variables.iter().map(|(key, value)| (key.as_str().into(), text(value)));
    let values = [
        text(&variables.name),
        text(&variables.namespace),
        text(&variables.target),
        text(&variables.service),
        text(&variables.ingress),
        text(&variables.route),
        text(&variables.interval),
        Value::Map(Arc::new(map.collect())),
    ];
    FUNCTIONS.iter().zip(values).fold(template, |template, (name, value)| {
        template.func(name, move |arguments| match arguments {
            [] => Ok(value.clone()),
            _ => Err(TemplateError::ArgCount { name: (*name).to_owned(), expected: 0, got: arguments.len() }),
        })
    })
}

fn parsing(error: TemplateError) -> Error {
    match error {
        TemplateError::Parse { line, col, message, .. } | TemplateError::Lex { line, col, message, .. } => {
            let place = (line > 0).then_some(Place { line, column: col });
            Error::Parsing { place, message }
        }
        other => Error::Parsing { place: None, message: other.to_string() },
    }
}

impl Error {
    /// Where, as far as it is known.
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::Parsing { place, .. } | Self::Execution { place, .. } => *place,
        }
    }
}

/// As users know it: with Go's prefixes, one of them misspelt.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, place, message) = match self {
            Self::Parsing { place, message } => ("template parsing failed", place, message),
            Self::Execution { place, message } => ("template excution failed", place, message),
        };
        match place {
            Some(Place { line, column }) => {
                write!(f, "{prefix}: template: {NAME}:{line}:{column}: {message}")
            }
            None => write!(f, "{prefix}: template: {NAME}: {message}"),
        }
    }
}

impl std::error::Error for Error {}

/// A query that cannot grow without end.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_QUERY {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// What errors call the template.
const NAME: &str = "query";
const MAX_SOURCE: usize = 32 * 1024;
const MAX_QUERY: usize = 64 * 1024;
/// Rounds of all `range` loops together.
const MAX_ROUNDS: u64 = 10_000;
