//! RouteTemplates before they route anything: which one a Canary names, and `vexil router test`, which tries the laws of
//! all routers on one. No cluster is needed.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::RouteTemplateSpec;
use crate::manifest::decode;
use crate::model::nearest;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::{Problem, RoutedBy, Settings};
use crate::model::traffic::{RouteWish, Split};
use crate::router::laws::{self, Trial, Verdict};
use crate::router::registry;
use crate::router::templated::{self, ROUTE_TEMPLATE};

use super::{Around, reading};

/// The RouteTemplate that a Canary names, whatever else is wrong with that.
pub fn named(canary: &Value) -> Option<ObjectId> {
    let reference = &canary["spec"]["routeTemplateRef"];
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let namespace = text(&reference["namespace"]).or_else(|| text(&canary["metadata"]["namespace"]));
    Some(ROUTE_TEMPLATE.at(&namespace.unwrap_or_default(), &text(&reference["name"])?))
}

/// A world of RouteTemplates alone, for those who looked them up; with the reason where they could not be looked up.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The templates.
    pub templates: Vec<Value>,
    /// Why there may be more.
    pub unreadable: Option<String>,
}

impl Known {
    fn ids(&self) -> impl Iterator<Item = (ObjectId, &Value)> {
        let text = |value: &Value, key: &str| value["metadata"][key].as_str().unwrap_or_default().to_owned();
        let id =
            move |template: &Value| ROUTE_TEMPLATE.at(&text(template, "namespace"), &text(template, "name"));
        self.templates.iter().map(move |template| (id(template), template))
    }
}

impl Around for Known {
    fn get(&self, id: &ObjectId) -> Option<Arc<Value>> {
        self.ids().find(|(known, _)| known == id).map(|(_, template)| Arc::new(template.clone()))
    }

    fn unreadable(&self, _kind: Kind) -> Option<String> {
        self.unreadable.clone()
    }

    fn ids(&self, kind: Kind) -> Vec<ObjectId> {
        if kind == ROUTE_TEMPLATE { self.ids().map(|(id, _)| id).collect() } else { Vec::new() }
    }
}

/// Looks up the template that a Canary names.
pub(super) fn find(around: &dyn Around, settings: &Settings, routed: &mut RoutedBy) {
    let id = ROUTE_TEMPLATE.at(&routed.namespace, &routed.name);
    routed.found = look(around, settings, &id);
}

fn look(around: &dyn Around, settings: &Settings, id: &ObjectId) -> Result<Arc<RouteTemplateSpec>, String> {
    let title = format!("RouteTemplate {}.{}", id.name, id.namespace);
    let Some(object) = around.get(id) else {
        return Err(match around.unreadable(ROUTE_TEMPLATE) {
            Some(why) => format!("{title} cannot be read: {why}"),
            None => format!("{title} does not exist: {}", instead(around, settings, id)),
        });
    };
    let template = decode::route_template(&object).map_err(|error| format!("{title}, {error}"))?;
    Ok(Arc::new(template.spec))
}

/// What to do about a RouteTemplate that is not there.
fn instead(around: &dyn Around, settings: &Settings, id: &ObjectId) -> String {
    let all = around.ids(ROUTE_TEMPLATE);
    let beside = all.iter().filter(|other| other.namespace == id.namespace);
    if let Some(meant) = nearest(&id.name, beside.map(|other| other.name.as_str())) {
        return format!("create it, or did you mean {meant}?");
    }
    match all.iter().find(|other| other.name == id.name) {
        Some(other) if !settings.no_cross_namespace_refs => format!(
            "create it, or write routeTemplateRef.namespace: {} if that of that namespace is meant",
            other.namespace
        ),
        _ => "create it, or correct routeTemplateRef".to_owned(),
    }
}

/// A law and what it says of a template.
pub struct Tried {
    /// The law, as a sentence.
    pub law: &'static str,
    /// The kind of release that it was tried with.
    pub release: &'static str,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What to do where it does not.
    pub cure: &'static str,
}

/// A template that is tried, with the Canaries that it routes for that.
pub struct Subject {
    object: Value,
    canary: Value,
    settings: Settings,
}

impl Subject {
    /// A template as it is written, for a Canary of yours, or for one of the house.
    pub fn new(template: &Value, canary: Option<&Value>, settings: Settings) -> Self {
        let mut object = template.clone();
        let mut canary = canary.cloned().unwrap_or_else(sample);
        for (object, name) in [(&mut object, "template"), (&mut canary, "frontend")] {
            let text = |key: &str, otherwise: &str| {
                let written = object["metadata"][key].as_str().filter(|text| !text.is_empty());
                written.unwrap_or(otherwise).to_owned()
            };
            let metadata = json!({"name": text("name", name), "namespace": text("namespace", "shop")});
            // Merged, since what stands there may be anything.
            json_patch::merge(object, &json!({"metadata": metadata}));
        }
        let named = json!({
            "metadata": {"uid": "u-1", "generation": 1},
            "spec": {
                "routeTemplateRef": {
                    "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"],
                },
                "routeRefs": null,
            },
        });
        json_patch::merge(&mut canary, &named);
        Self { object, canary, settings }
    }

    /// A trial of a release with changes to the Canary.
    ///
    /// # Errors
    /// If the template is wrong, or does not fit the Canary.
    pub fn trial(&self, changes: &Value, wish: RouteWish) -> Result<Trial, Vec<Problem>> {
        let mut canary = self.canary.clone();
        json_patch::merge(&mut canary, changes);
        let around = Known { templates: vec![self.object.clone()], unreadable: None };
        let release = *reading(&canary, &self.settings, &around).release?;
        let not_built = || {
            vec![Problem { field: "spec.provider".into(), message: registry::not_built(release.provider) }]
        };
        let router = registry::router_of(&release).ok_or_else(not_built)?;
        let kinds = router.reads(&release).into_iter().map(|id| id.kind).collect();
        Ok(Trial { router, release, settings: self.settings.clone(), kinds, wish, before: Vec::new() })
    }

    /// The objects that a wish makes.
    ///
    /// # Errors
    /// As [`Subject::trial`].
    pub fn written(&self, wish: RouteWish) -> Result<Vec<Value>, Vec<Problem>> {
        let changes = if wish.mirror { mirrored() } else { json!({}) };
        let trial = self.trial(&changes, wish)?;
        trial.after().map_err(|why| vec![Problem { field: "spec".into(), message: why.why }])
    }

    fn spec(&self) -> RouteTemplateSpec {
        serde_json::from_value(self.object["spec"].clone()).unwrap_or_default()
    }

    fn conditions(&self) -> Vec<String> {
        let spec = self.spec();
        spec.objects.into_iter().filter_map(|object| object.matching).flat_map(|one| one.conditions).collect()
    }

    /// Tries all laws.
    ///
    /// # Errors
    /// If the template is wrong by itself, so that no law can be tried.
    pub fn tried(&self) -> Result<Vec<Tried>, Vec<Problem>> {
        let spec = self.spec();
        let by_place = spec
            .objects
            .iter()
            .any(|object| object.weights.as_ref().is_some_and(|weights| weights.backends.is_none()));
        let mut all = Vec::new();
        let weighted = self.trial(&json!({"spec": {"analysis": {"match": null}}}), wish(10, false))?;
        all.extend(laws_of("weighted", &weighted, (0..=100).map(|canary| wish(canary, false)).collect()));
        all.push(Tried {
            law: "what the mesh says of an object is understood",
            release: "weighted",
            verdict: templated::acceptance_is_told(&weighted),
            cure: "accepted.path has to lead to what says it, and accepted.value to be what stands there then",
        });
        let conditions = self.conditions();
        if !conditions.is_empty() {
            let changes = json!({"spec": {"analysis": {
                "match": [entry(&conditions)], "iterations": 5, "stepWeight": null, "stepWeights": null,
                "maxWeight": null, "mirror": null,
            }}});
            let trial = self.trial(&changes, wish(100, false))?;
            let wishes = if by_place {
                vec![wish(0, false), wish(100, false)]
            } else {
                Vec::from(laws::next_wishes())
            };
            all.extend(laws_of("A/B test", &trial, wishes));
            all.push(Tried {
                law: "a share of the requests that match is not taken for everybody's",
                release: "A/B test",
                verdict: laws::a_matching_share_is_not_everybodys(&trial),
                cure: "the rule for everybody has to come last, and to give all to the primary where .matches is not empty",
            });
        }
        if spec.objects.iter().any(|object| object.mirror.is_some()) {
            let trial = self.trial(&mirrored(), wish(0, true))?;
            let wishes =
                vec![wish(0, false), wish(0, true), wish(20, false), wish(0, true), wish(100, false)];
            all.extend(laws_of("mirrored", &trial, wishes));
        }
        Ok(all)
    }
}

fn mirrored() -> Value {
    json!({"spec": {"analysis": {"match": null, "mirror": true}}})
}

fn laws_of(release: &'static str, trial: &Trial, wishes: Vec<RouteWish>) -> Vec<Tried> {
    let law = |law: &'static str, verdict: Verdict, cure: &'static str| Tried { law, release, verdict, cure };
    let cluster_wide = trial.kinds.iter().any(|kind: &Kind| kind.cluster_wide);
    let mut all = vec![
        law(
            "what is written is read back, at every weight",
            laws::what_is_planned_is_read(trial, wishes),
            "weights and mirror have to say where the template writes .primaryWeight, .canaryWeight and .mirror; what is \
             written in one case has to be null in the other",
        ),
        law(
            "what is there is not written again",
            laws::a_second_plan_is_empty(trial),
            "the template must write the same text for the same weights",
        ),
        law(
            "whatever somebody changes is found and put right",
            laws::each_drift_is_found(trial),
            "lists has to name what tells the items of a list apart",
        ),
        law(
            "what others add stays",
            laws::what_is_not_ours_stays(trial, &templated::lists(trial)),
            "name the list around the backends in lists as well, with what tells its items apart",
        ),
        law(
            "a crash between two writes ends where it would have ended",
            laws::a_crash_converges(trial).and_then(|()| laws::a_crash_gives_no_more(trial)),
            "write the object that divides the requests last",
        ),
        law(
            "the objects of another Canary are refused",
            laws::the_objects_of_another_canary_are_refused(trial),
            "the weights have to stand in an object that the template names for its Canary",
        ),
        law(
            "what was made is deleted with the Canary",
            laws::what_was_made_is_deleted(trial),
            "the names of the objects must not depend on the weights",
        ),
    ];
    if !cluster_wide {
        all.push(law(
            "what a user had there before is given back",
            laws::restoration_undoes_the_take_over(trial),
            "write fields below spec alone, and labels and annotations",
        ));
    }
    all
}

fn wish(canary: u32, mirror: bool) -> RouteWish {
    RouteWish { split: Split::canary_gets(canary), mirror, ..RouteWish::default() }
}

/// An entry of `spec.analysis.match` with the conditions that a template writes.
fn entry(conditions: &[String]) -> Value {
    let mut entry = json!({});
    for condition in conditions {
        match condition.split_once('.') {
            // One name has one condition.
            Some((field, how)) => entry[field][format!("x-{how}")] = json!({how: "insider"}),
            None => entry["sourceLabels"] = json!({"app": "caller"}),
        }
    }
    entry
}

/// The Canary of the house.
fn sample() -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop"},
        "spec": {
            "provider": "kubernetes",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "shop"},
            "service": {"port": 80},
            "analysis": {"interval": "30s", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        },
    })
}
