//! Queries with holes: Go's template language with eight functions of ours (spec 04 §3).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::release::{MetricCheck, Release};
use crate::template::{self, Function, Language, Value};

pub use crate::template::{Error, Place};

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
pub struct Template(template::Template);

impl Template {
    /// Reads a template and checks all that can be checked without rendering it.
    ///
    /// # Errors
    /// If it is not a template, or uses a function that does not exist.
    pub fn parse(source: &str) -> Result<Self, Error> {
        template::Template::parse(source, &QUERY).map(Self)
    }

    /// The query.
    ///
    /// # Errors
    /// If the template uses a variable that is not there, or does what its values do not allow.
    pub fn render(&self, variables: &Variables) -> Result<String, Error> {
        self.0.render(&Value::Map(Arc::default()), functions(variables))
    }
}

static QUERY: Language =
    Language { name: "query", functions: &FUNCTIONS, max_source: 32 * 1024, max_output: 64 * 1024 };

/// The functions that a template can call besides those of Go.
const FUNCTIONS: [&str; 8] =
    ["name", "namespace", "target", "service", "ingress", "route", "interval", "variables"];

fn functions(variables: &Variables) -> impl Iterator<Item = (&'static str, Function)> {
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
    FUNCTIONS.into_iter().zip(values).map(|(name, value)| {
        let answer: Function = Box::new(move |arguments| match arguments {
            [] => Ok(value.clone()),
            _ => Err(format!("wrong number of arguments: {name} expects 0, got {}", arguments.len())),
        });
        (name, answer)
    })
}
