//! A RouteTemplate, read and checked.

use crate::api::route_template::{
    CONDITIONS, RouteAccepted, RouteMatching, RouteObject, RouteTemplateSpec, RouteWeights,
};
use crate::model::nearest;
use crate::model::object::Kind;
use crate::model::release::Problem;
use crate::router::path::Path;
use crate::router::problem;
use crate::template::Template;

use super::kinds;
use super::words::{ROUTE, told};

/// The objects of a RouteTemplate.
pub(super) struct Compiled {
    pub objects: Vec<Object>,
}

/// One object, with its texts and paths read.
pub(super) struct Object {
    /// Where it stands: `spec.objects[0]`.
    pub field: String,
    pub kind: Kind,
    pub name: Template,
    pub template: Template,
    /// Lists by the name that the overlay has for them, and what tells their items apart.
    pub lists: Vec<(String, Path)>,
    pub weights: Option<Weights>,
    pub matching: Option<Matching>,
    pub mirror: Option<Path>,
    pub accepted: Option<Accepted>,
}

/// Where the weights stand.
pub(super) enum Weights {
    /// In lists of backends.
    Backends { list: Path, name: Path, weight: Path, unset: i128, primary: Template, canary: Template },
    /// In a place for each side; the primary's is the rest of 100 where it has none.
    Places { primary: Option<Path>, canary: Path, canary_text: String },
}

pub(super) struct Matching {
    pub conditions: Vec<String>,
    pub routed: Option<Path>,
}

pub(super) struct Accepted {
    pub path: Path,
    pub path_text: String,
    pub value: String,
    pub reason: Option<Path>,
    pub observed_generation: Option<Path>,
}

impl Compiled {
    /// Reads the template of `namespace`.
    ///
    /// # Errors
    /// What is wrong with it: field, value and cure.
    pub fn of(spec: &RouteTemplateSpec, namespace: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if spec.objects.is_empty() || spec.objects.len() > MOST_OBJECTS {
            let message =
                format!("has {} objects: write at least one, and at most {MOST_OBJECTS}", spec.objects.len());
            return Err(vec![problem("spec.objects", message)]);
        }
        if spec.objects.iter().all(|object| object.weights.is_none()) {
            let message = "has no object with weights, so that nobody could tell who gets the requests: add weights to \
                           the object that divides them";
            problems.push(problem("spec.objects", message));
        }
        let mut objects = Vec::new();
        for (index, object) in spec.objects.iter().enumerate() {
            let mut reader = Reader { field: format!("spec.objects[{index}]"), problems: &mut problems };
            objects.extend(reader.object(object, namespace));
        }
        if problems.is_empty() { Ok(Self { objects }) } else { Err(problems) }
    }
}

struct Reader<'a> {
    field: String,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn object(&mut self, object: &RouteObject, namespace: &str) -> Option<Object> {
        let kind = self.kind(object, namespace);
        let name = self.text("name", object.name.as_deref().unwrap_or("{{ .apex }}"));
        let template = self.text("template", &object.template);
        let mut lists = Vec::new();
        for (list, key) in object.lists.iter().flatten() {
            let at = format!("lists[{list}]");
            let list_path = self.path("lists", list);
            if let (Some(list), Some(key)) = (list_path, self.single(&at, key)) {
                lists.push((list.of_list(), key));
            }
        }
        let weights = object.weights.as_ref().and_then(|weights| self.weights(weights));
        if let Some(Weights::Backends { list, name, .. }) = &weights
            && !lists.iter().any(|(known, _)| *known == list.of_list())
        {
            lists.push((list.of_list(), name.clone()));
        }
        let by_place = matches!(weights, Some(Weights::Places { .. }));
        let matching = object.matching.as_ref().and_then(|matching| self.matching(matching, by_place));
        let mirror = object.mirror.as_ref().and_then(|path| self.path("mirror", path));
        let accepted = object.accepted.as_ref().and_then(|accepted| self.accepted(accepted));
        Some(Object {
            field: self.field.clone(),
            kind: kind?,
            name: name?,
            template: template?,
            lists,
            weights,
            matching,
            mirror,
            accepted,
        })
    }

    fn kind(&mut self, object: &RouteObject, namespace: &str) -> Option<Kind> {
        let (group, version) = object.api_version.split_once('/').unwrap_or(("", &object.api_version));
        let plural = match &object.plural {
            Some(plural) => plural.clone(),
            None => format!("{}s", object.kind.to_lowercase()),
        };
        let cluster_wide = match object.scope.as_deref() {
            None | Some("Namespaced") => false,
            Some("Cluster") => true,
            Some(other) => {
                self.refuse("scope", format!("{other:?} is not known: write Namespaced or Cluster"));
                return None;
            }
        };
        if let Some(why) = not_a_route(group, &object.kind) {
            self.refuse("apiVersion", format!("{:?} with kind {:?} {why}", object.api_version, object.kind));
            return None;
        }
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let words: [(&str, &str, bool); 4] = [
            ("apiVersion", group, group.chars().all(|c| lower(c) || c == '.' || c == '-')),
            ("apiVersion", version, version.chars().all(lower) && !version.is_empty()),
            (
                "kind",
                &object.kind,
                object.kind.chars().all(|c| c.is_ascii_alphanumeric()) && !object.kind.is_empty(),
            ),
            ("plural", &plural, plural.chars().all(|c| lower(c) || c == '-') && !plural.is_empty()),
        ];
        for (field, word, fits) in words {
            if !fits || word.len() > 253 {
                self.refuse(
                    field,
                    format!("{word:?} cannot be one: write it as kubectl api-resources shows it"),
                );
                return None;
            }
        }
        match kinds::kind(namespace, (group, version, &object.kind, &plural), cluster_wide) {
            Ok(kind) => Some(kind),
            Err(why) => {
                self.refuse("kind", why);
                None
            }
        }
    }

    fn weights(&mut self, weights: &RouteWeights) -> Option<Weights> {
        let Some(backends) = &weights.backends else {
            for (field, written) in [("name", &weights.name), ("weight", &weights.weight)] {
                if written.is_some() {
                    let message = "is for lists of backends: write weights.backends as well, or remove it";
                    self.refuse(&format!("weights.{field}"), message.to_owned());
                }
            }
            let Some(canary_text) = weights.canary.clone() else {
                let message = "says neither backends nor canary: write where the list of backends is, or where the \
                               canary's weight is";
                self.refuse("weights", message.to_owned());
                return None;
            };
            let canary = self.single("weights.canary", &canary_text);
            let primary = match &weights.primary {
                Some(path) => Some(self.single("weights.primary", path)?),
                None => None,
            };
            return Some(Weights::Places { primary, canary: canary?, canary_text });
        };
        let list = match self.path("weights.backends", backends).map(|path| path.list()) {
            Some(Some(list)) => Some(list),
            Some(None) => {
                let message = format!("{backends:?} does not end in a list: write {backends}[]");
                self.refuse("weights.backends", message);
                None
            }
            None => None,
        };
        let name = self.single("weights.name", weights.name.as_deref().unwrap_or("name"));
        let weight = self.single("weights.weight", weights.weight.as_deref().unwrap_or("weight"));
        let primary = self.text("weights.primary", weights.primary.as_deref().unwrap_or("{{ .primary }}"));
        let canary = self.text("weights.canary", weights.canary.as_deref().unwrap_or("{{ .canary }}"));
        Some(Weights::Backends {
            list: list?,
            name: name?,
            weight: weight?,
            unset: i128::from(weights.unset.unwrap_or(1)),
            primary: primary?,
            canary: canary?,
        })
    }

    fn matching(&mut self, matching: &RouteMatching, by_place: bool) -> Option<Matching> {
        for condition in &matching.conditions {
            if !CONDITIONS.contains(&condition.as_str()) {
                let meant = nearest(condition, CONDITIONS).map_or_else(
                    || format!("write one of {}", CONDITIONS.join(", ")),
                    |meant| format!("did you mean {meant}?"),
                );
                self.refuse("match.conditions", format!("{condition:?} is not known: {meant}"));
            }
        }
        let routed = match (&matching.routed, by_place) {
            (Some(path), true) => Some(self.path("match.routed", path)?),
            (Some(_), false) => {
                let message = "is for weights without backends: the rules tell it, remove it";
                self.refuse("match.routed", message.to_owned());
                None
            }
            (None, true) => {
                let message = "is missing: write what stands in the object while the requests that match go to the \
                               canary";
                self.refuse("match.routed", message.to_owned());
                None
            }
            (None, false) => None,
        };
        Some(Matching { conditions: matching.conditions.clone(), routed })
    }

    fn accepted(&mut self, accepted: &RouteAccepted) -> Option<Accepted> {
        let path = self.path("accepted.path", &accepted.path);
        let reason = accepted.reason.as_ref().map(|path| self.path("accepted.reason", path));
        let generation =
            accepted.observed_generation.as_ref().map(|path| self.path("accepted.observedGeneration", path));
        Some(Accepted {
            path: path?,
            path_text: accepted.path.clone(),
            value: accepted.value.clone().unwrap_or_else(|| "True".to_owned()),
            reason: reason.flatten(),
            observed_generation: generation.flatten(),
        })
    }

    fn text(&mut self, field: &str, text: &str) -> Option<Template> {
        match Template::parse(text, &ROUTE) {
            Ok(template) => Some(template),
            Err(error) => {
                self.refuse(field, told(&error));
                None
            }
        }
    }

    fn path(&mut self, field: &str, text: &str) -> Option<Path> {
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(why) => {
                self.refuse(field, format!("{text:?} {why}"));
                None
            }
        }
    }

    fn single(&mut self, field: &str, text: &str) -> Option<Path> {
        let path = self.path(field, text)?;
        if path.is_single() {
            return Some(path);
        }
        self.refuse(field, format!("{text:?} may mean several values: write a path without []"));
        None
    }

    fn refuse(&mut self, field: &str, message: String) {
        self.problems.push(problem(format!("{}.{field}", self.field), message));
    }
}

/// Why objects of this kind are none that a RouteTemplate may write: what the controller does for its workloads must not
/// be done in the name of who may write a template.
fn not_a_route(group: &str, kind: &str) -> Option<&'static str> {
    let of_kubernetes =
        !group.contains('.') || group.ends_with(".k8s.io") && group != "gateway.networking.k8s.io";
    match group {
        "networking.k8s.io" if kind == "Ingress" => None,
        "flagger.app" | "keda.sh" | "serving.knative.dev" => {
            Some("is no route: a RouteTemplate writes the objects of a mesh or ingress")
        }
        _ if of_kubernetes => Some(
            "is a kind of Kubernetes itself: a RouteTemplate writes the objects of a mesh or ingress, and Ingresses",
        ),
        _ => None,
    }
}

pub(super) const MOST_OBJECTS: usize = 8;
