//! `vexil lint`: texts in, findings out. What is said of a Canary is what the API server and the controller would say,
//! by their own code; what fits together by itself and still cannot do what it is for comes on top. No I/O.
//!
//! ```text
//! texts ──yaml──▶ objects with places ──▶ schema · reading · queries · references · steps · thresholds · sight
//!                                                       │
//!                                                       ▼
//!                                         findings ──report──▶ text · json · SARIF
//! ```

#![warn(missing_docs)]

use std::sync::Arc;

use serde_json::Value;

use crate::manifest::decode;
use crate::model::release::Settings;

mod book;
mod chance;
pub mod code;
pub mod finding;
mod pace;
mod place;
mod queries;
mod reading;
mod references;
pub mod report;
mod rivals;
mod route_templates;
mod scalar;
mod schema;
pub mod sight;
mod silence;
mod steps;
mod thresholds;
mod world;
pub mod yaml;

use book::Book;
use code::Code;
use finding::{Finding, Title, harmless};
use rivals::Claim;
use world::{Object, World};

/// A text to be looked at.
#[derive(Clone, Debug)]
pub struct Input {
    /// What it is called: the path of a file, or `stdin`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a user says beside the manifests.
#[derive(Clone, Debug)]
pub struct Options {
    /// The flags of the controller that judge a manifest.
    pub settings: Settings,
    /// The namespace of objects that name none.
    pub namespace: String,
    /// The traffic of the Service, in requests a second, if it is known.
    pub rps: Option<f64>,
    /// Codes that are not wanted.
    pub ignored: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            namespace: "default".to_owned(),
            rps: None,
            ignored: Vec::new(),
        }
    }
}

/// How a good release of a Canary goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// The Canary.
    pub canary: Title,
    /// The index of its input.
    pub input: usize,
    /// Its steps for people.
    pub steps: String,
    /// The least time that it takes.
    pub length: std::time::Duration,
    /// What its checks see at the traffic that was given.
    pub sight: Option<sight::Sight>,
}

/// All that there is to be said.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was found, in the order of the inputs and lines.
    pub findings: Vec<Finding>,
    /// The Canaries that can be read.
    pub outlooks: Vec<Outlook>,
    /// How many objects of ours there are.
    pub looked_at: usize,
    /// How many objects there are at all.
    pub objects: usize,
}

/// Looks at all inputs as one: what one refers to may be in another.
pub fn lint(inputs: &[Input], options: &Options) -> Report {
    let mut report = Report::default();
    let mut objects = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        take_in(index, input, &mut objects, &mut report.findings);
    }
    report.objects = objects.len();
    let folders: Vec<String> = inputs.iter().map(|input| folder(&input.name)).collect();
    let mut claims: Vec<Claim<'_>> = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        if !schema::is_ours(object) {
            continue;
        }
        report.looked_at += 1;
        let world =
            World { objects: &objects, folders: &folders, from: object.input, namespace: &options.namespace };
        let mut book = Book::new(object);
        if schema::check(object, &mut book) {
            twice(&objects[..index], object, &mut book);
            match object.kind() {
                "Canary" => canary(&world, object, options, &mut claims, &mut book, &mut report),
                "MetricTemplate" => {
                    queries::metric_template(&world, object, own_namespace(object, options), &mut book);
                }
                "RouteTemplate" => route_templates::check(object, options, &mut book),
                _ => queries::alert_provider(&world, object, own_namespace(object, options), &mut book),
            }
        }
        report.findings.append(&mut book.findings);
    }
    report.findings.retain(|finding| {
        !options.ignored.iter().any(|code| code == finding.code.id()) && !silence::covers(inputs, finding)
    });
    report.findings.sort_by(|a, b| {
        let key = |finding: &Finding| (finding.input, finding.span.line, finding.span.column, finding.code);
        key(a).cmp(&key(b)).then_with(|| a.field.cmp(&b.field))
    });
    report.findings.dedup();
    report
}

fn own_namespace<'a>(object: &'a Object, options: &'a Options) -> &'a str {
    match object.namespace() {
        "" => &options.namespace,
        namespace => namespace,
    }
}

/// Everything about one Canary.
fn canary<'a>(
    world: &World<'a>,
    object: &'a Object,
    options: &Options,
    claims: &mut Vec<Claim<'a>>,
    book: &mut Book<'a>,
    report: &mut Report,
) {
    let settings = &options.settings;
    let Some(release) = reading::check(world, object, own_namespace(object, options), settings, book) else {
        return;
    };
    let claim = Claim {
        object,
        target: format!("{} {}", release.target.kind.as_str(), release.target.name),
        service: release.apex.clone(),
        namespace: object.namespace(),
    };
    rivals::check(world, &claim, claims, book);
    claims.push(claim);
    references::check(world, &release, settings, book);
    queries::check(world, &release, settings, book);
    let refused = book.findings.iter().any(|finding| finding.code == Code::Steps);
    if !refused && let Ok(canary) = decode::canary(&object.value) {
        steps::check(&canary, &release, book);
        thresholds::check(&release, book);
        let sight = options.rps.and_then(|rps| {
            let sight = sight::of(&release, rps)?;
            sight::check(&sight, &release, rps, book);
            Some(sight)
        });
        report.outlooks.push(Outlook {
            canary: object.title(),
            input: object.input,
            steps: pace::described(&release),
            length: pace::length(&release),
            sight,
        });
    }
}

/// The same object a second time in one text: the last one wins there. In several files they may be variants.
fn twice(earlier: &[Object], object: &Object, book: &mut Book<'_>) {
    let same = |other: &&Object| {
        other.input == object.input && other.group() == object.group() && other.title() == object.title()
    };
    if !object.name().is_empty() && earlier.iter().any(|other| same(&other)) {
        let sentence = format!("{} is there before in this text: remove one of the two", object.title());
        book.say(Code::Twice, "metadata.name", &sentence);
    }
}

/// Reads the objects of a text.
fn take_in(index: usize, input: &Input, objects: &mut Vec<Object>, findings: &mut Vec<Finding>) {
    let mut template = false;
    for document in yaml::read(&input.text) {
        let start = objects.len();
        let mut troubles = document.troubles;
        match document.root.map(|root| (yaml::unrendered(&root), root)) {
            Some((Some(span), _)) => troubles.push(yaml::Trouble {
                span,
                sort: yaml::Sort::Template,
                message: "is a template that has not been rendered".to_owned(),
            }),
            Some((None, root)) => unfold(index, root, objects),
            None => {}
        }
        let ours = objects[start..].iter().any(schema::is_ours);
        for trouble in troubles {
            let code = match trouble.sort {
                yaml::Sort::Syntax => Code::Syntax,
                // One line of a chart's template is as good as hundreds.
                yaml::Sort::Template if std::mem::replace(&mut template, true) => continue,
                yaml::Sort::Template => Code::Template,
                // What others write is not ours to judge.
                yaml::Sort::Duplicate if ours => Code::Duplicate,
                yaml::Sort::Word if ours => Code::Word,
                yaml::Sort::Duplicate | yaml::Sort::Word => continue,
            };
            let (message, cure) = finding::parted(&trouble.message);
            findings.push(Finding {
                code,
                severity: code.severity(),
                input: index,
                span: trouble.span,
                object: objects.get(start).filter(|_| ours).map(Object::title),
                field: String::new(),
                message: harmless(message),
                cure: harmless(cure.unwrap_or(code.cure())),
            });
        }
    }
}

/// An object, or those of a `List`.
fn unfold(input: usize, node: yaml::Node, objects: &mut Vec<Object>) {
    let value = node.value();
    if !value.is_object() {
        return;
    }
    let is_list =
        value["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) && value["items"].is_array();
    if !is_list {
        objects.push(Object { input, node, value: Arc::new(value) });
        return;
    }
    let yaml::Content::Map(entries) = node.content else { return };
    for entry in entries.into_iter().filter(|entry| entry.key == "items") {
        if let yaml::Content::List(items) = entry.node.content {
            items.into_iter().for_each(|item| unfold(input, item, objects));
        }
    }
}

fn folder(name: &str) -> String {
    name.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned())
}

/// The value of a text with one document, for those who need no places.
///
/// # Errors
/// What is wrong with it, with its line.
pub fn value(text: &str) -> Result<Vec<Value>, String> {
    let mut values = Vec::new();
    for document in yaml::read(text) {
        if let Some(trouble) = document.troubles.iter().find(|trouble| trouble.sort != yaml::Sort::Word) {
            return Err(format!("line {}: {}", trouble.span.line, trouble.message));
        }
        values.extend(document.root.map(|root| root.value()));
    }
    Ok(values)
}
