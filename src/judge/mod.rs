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
pub mod route_template;

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

/// Reads a Canary for the provider, or the RouteTemplate, that it names.
pub fn reading(canary: &Value, settings: &Settings, around: &dyn Around) -> Reading {
    let with_template = |mut release: Release| {
        if let Some(routed) = &mut release.template {
            route_template::find(around, settings, routed);
        }
        release
    };
    let facts = |release: &Release| match release.template {
        None => registry::facts(release, settings),
        Some(_) => registry::facts(&with_template(release.clone()), settings),
    };
    let known = registry::known_names();
    let providers = read::Providers { known: &known, facts: &facts };
    match decode::canary(canary) {
        Ok(canary) => {
            let Reading { release, warnings, refused } = read::release(&canary, settings, &providers);
            let with_template = |release: Box<Release>| Box::new(with_template(*release));
            Reading { release: release.map(with_template), warnings, refused: refused.map(with_template) }
        }
        Err(error) => Reading {
            release: Err(vec![Problem { field: error.field, message: error.message }]),
            warnings: Vec::new(),
            refused: None,
        },
    }
}

/// For those who know of nothing but the Canary.
pub struct Nowhere;

impl Around for Nowhere {
    fn get(&self, _id: &ObjectId) -> Option<Arc<Value>> {
        None
    }

    fn unreadable(&self, _kind: Kind) -> Option<String> {
        Some("nobody has looked it up".to_owned())
    }

    fn ids(&self, _kind: Kind) -> Vec<ObjectId> {
        Vec::new()
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
