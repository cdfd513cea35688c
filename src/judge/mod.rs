//! What a manifest is told before anything is released: the reading of it with the router's facts, and whether its
//! checks can be asked. The controller says it of what the cluster has, `vexil lint` of files. No I/O.

#![warn(missing_docs)]

use std::sync::Arc;

use serde_json::Value;

use crate::manifest::{decode, read};
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{MetricCheck, MetricSource, Problem, Reading, Release, Settings};
use crate::model::secrets::exposed_by_template;
use crate::router::registry;

pub mod checks;

use checks::METRIC_TEMPLATE;

/// The objects around a Canary, wherever they are kept.
pub trait Around {
    /// The object, if it exists.
    fn get(&self, id: &ObjectId) -> Option<Arc<Value>>;

    /// Why objects of this kind cannot be read at all, if they cannot.
    fn unreadable(&self, kind: Kind) -> Option<String>;

    /// The objects of a kind that exist.
    fn ids(&self, kind: Kind) -> Vec<ObjectId>;
}

/// Reads a Canary for the provider that it names.
pub fn reading(canary: &Value, settings: &Settings) -> Reading {
    let facts = |release: &Release| registry::facts(release, settings);
    let known = registry::known_names();
    let providers = read::Providers { known: &known, facts: &facts };
    match decode::canary(canary) {
        Ok(canary) => read::release(&canary, settings, &providers),
        Err(error) => Reading {
            release: Err(vec![Problem { field: error.field, message: error.message }]),
            warnings: Vec::new(),
            refused: None,
        },
    }
}

/// What is said of MetricTemplates that send their credentials where others can read them.
pub fn exposed_templates(around: &dyn Around, release: &Release) -> Vec<Problem> {
    let warning = |check: &MetricCheck| {
        let MetricSource::Template { name, namespace } = &check.source else { return None };
        let why = exposed_by_template(&*around.get(&METRIC_TEMPLATE.at(namespace, name))?)?;
        let message = format!(
            "MetricTemplate {name}.{namespace} sends its credentials {why}: write an https address and leave \
             insecureSkipVerify out"
        );
        Some(Problem { field: "spec.analysis.metrics".to_owned(), message })
    };
    release.analysis.metrics.iter().filter_map(warning).collect()
}
