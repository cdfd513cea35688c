//! From a user's manifests to what is put into the simulated cluster: the objects in the order in which they are
//! applied, what is missing among them, and notes about all that is not as it was written.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::missing;
use super::network::HOOK_MARK;
use super::scenario::Scenario;
use super::values::Share;
use crate::api::Provider;
use crate::api::analysis::SessionAffinity;
use crate::api::hooks::HookType;
use crate::judge;
use crate::judge::route_template::Known;
use crate::model::object::Kind;
use crate::model::release::{MetricSource, Release, ScalerKind, Settings, Strategy, TargetKind};
use crate::router::templated::ROUTE_TEMPLATE;
use crate::sim::gateways;
use crate::sim::mesh;
use crate::sim::world::World;

/// A YAML text and where it is from.
#[derive(Clone, Debug)]
pub struct Source {
    /// As people call it: the path of a file.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is released.
    pub subjects: Vec<Subject>,
    /// What was invented or changed, for people.
    pub notes: Vec<String>,
    /// What the controller is told.
    pub(super) settings: Settings,
    /// In the order in which they are applied.
    pub(super) objects: Vec<Value>,
    providers: Vec<Provider>,
    keda: bool,
    /// CRDs of the kinds of routes that are adopted.
    adopted_kinds: Vec<Value>,
}

/// A release.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The Canary as the controller reads it.
    pub release: Release,
    /// What the target runs before the push.
    pub image: String,
}

impl Subject {
    /// `name.namespace` of the Canary.
    pub fn title(&self) -> String {
        self.release.title()
    }

    /// The names that a scenario can give values to: those of the checks and of their MetricTemplates.
    pub fn metric_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for check in &self.release.analysis.metrics {
            names.push(check.name.clone());
            if let MetricSource::Template { name, .. } = &check.source {
                names.push(name.clone());
            }
        }
        names.dedup();
        names
    }

    /// The names of the hooks.
    pub fn hook_names(&self) -> Vec<String> {
        self.release.analysis.hooks.iter().map(|hook| hook.name.clone()).collect()
    }
}

impl Plan {
    /// Reads manifests, for this scenario.
    ///
    /// # Errors
    /// All that is wrong with them, in the words of the controller where it would refuse them.
    pub fn read(sources: &[Source], scenario: &Scenario) -> Result<Self, Vec<String>> {
        let settings = Settings {
            mesh_provider: scenario
                .mesh_provider
                .clone()
                .unwrap_or_else(|| Settings::default().mesh_provider),
            ..Settings::default()
        };
        let mut given = Vec::new();
        let mut wrong = Vec::new();
        for source in sources {
            match objects(source) {
                Ok(objects) => given.extend(objects),
                Err(why) => wrong.push(why),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut plan = Self {
            subjects: Vec::new(),
            notes: Vec::new(),
            settings,
            objects: Vec::new(),
            providers: Vec::new(),
            keda: false,
            adopted_kinds: Vec::new(),
        };
        let (canaries, others): (Vec<Value>, Vec<Value>) =
            given.into_iter().partition(|object| object["kind"] == "Canary");
        if canaries.is_empty() {
            let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            return Err(vec![format!("there is no Canary in {}", names.join(", "))]);
        }
        let templates = others.iter().filter(|object| object["kind"] == ROUTE_TEMPLATE.kind);
        let known = Known { templates: templates.map(in_a_namespace).collect(), unreadable: None };
        let mut releases: Vec<Release> = Vec::new();
        for canary in &canaries {
            match plan.reading(canary, &known) {
                Ok(release) if releases.iter().any(|known| known.title() == release.title()) => {
                    wrong.push(format!("Canary {} is there twice", release.title()));
                }
                Ok(release) => releases.push(release),
                Err(problems) => wrong.extend(problems),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        plan.prepare(others, canaries, releases, scenario)?;
        Ok(plan)
    }

    /// A cluster with the kinds of all meshes, and nothing in it. Needs a runtime.
    pub(super) fn empty_world(&self) -> World {
        let gateway =
            |provider: &&Provider| matches!(provider, Provider::GatewayApiV1 | Provider::GatewayApiV1Beta1);
        let first = self.providers.first().copied().unwrap_or(Provider::Istio);
        let world = World::builder().settings(self.settings.clone()).mesh(first).build();
        let others = self.providers.iter().filter(|provider| **provider != first);
        others.flat_map(|provider| mesh::crds(*provider)).for_each(|crd| drop(world.kube.put(crd)));
        let adopts = self.adopted_kinds.iter().any(|crd| crd["spec"]["group"] == mesh::GATEWAY_API);
        let first_is_one = gateway(&&first);
        if !first_is_one && (adopts || self.providers.iter().skip(1).any(|provider| gateway(&provider))) {
            gateways::start(&world.kube);
        }
        self.adopted_kinds.iter().for_each(|crd| drop(world.kube.put(crd.clone())));
        if self.keda {
            world.kube.put(mesh::crd(&[Kind::SCALED_OBJECT]));
        }
        world
    }

    /// The release of a Canary.
    fn reading(&mut self, canary: &Value, known: &Known) -> Result<Release, Vec<String>> {
        let name = canary["metadata"]["name"].as_str().unwrap_or("without a name");
        let title = format!("Canary {name}.{}", namespace(canary));
        let settings = &self.settings;
        let reading = judge::reading(canary, settings, known);
        let warned = reading.warnings.iter().map(|warning| format!("{title}, {warning}"));
        self.notes.extend(warned);
        let release = reading
            .release
            .map_err(|all| all.iter().map(|why| format!("{title}, {why}")).collect::<Vec<_>>())?;
        if release.target.kind == TargetKind::Service {
            return Err(vec![format!(
                "{title}, spec.targetRef.kind: a release of a Service cannot be simulated: it has no pods of its own"
            )]);
        }
        Ok(*release)
    }

    /// Completes the objects and tries whether the cluster takes them.
    fn prepare(
        &mut self,
        mut others: Vec<Value>,
        mut canaries: Vec<Value>,
        releases: Vec<Release>,
        scenario: &Scenario,
    ) -> Result<(), Vec<String>> {
        for release in &releases {
            if !self.providers.contains(&release.provider) {
                self.providers.push(release.provider);
            }
            self.adopted_kinds.extend(mesh::adopted_crds(release));
            self.keda |=
                release.autoscaler.as_ref().is_some_and(|scaler| scaler.kind == ScalerKind::ScaledObject);
            self.tell(release, scenario);
        }
        // Gateways are started with the first provider.
        self.providers.sort_by_key(|provider| {
            !matches!(provider, Provider::GatewayApiV1 | Provider::GatewayApiV1Beta1)
        });
        others.iter_mut().for_each(|object| self.simulated_template(object));
        for release in &releases {
            missing::add(release, &mut others, &mut self.notes);
        }
        canaries.iter_mut().for_each(mark_hooks);
        self.objects = others;
        self.objects.extend(canaries);
        self.objects.iter_mut().for_each(forget_the_cluster);
        self.try_all()?;
        self.subjects = releases
            .into_iter()
            .map(|release| {
                let image = missing::target(&release, &self.objects)
                    .and_then(|target| target["spec"]["template"]["spec"]["containers"][0]["image"].as_str())
                    .unwrap_or_default()
                    .to_owned();
                Subject { release, image }
            })
            .collect();
        Ok(())
    }

    /// Tells what a reader of the results has to know about a release.
    fn tell(&mut self, release: &Release, scenario: &Scenario) {
        let title = release.title();
        let plan = &release.analysis;
        if release.own_provider.is_none() {
            let provider = &release.provider_name;
            self.notes
                .push(format!("{title}: spec.provider is not set, the mesh is {provider} (--mesh-provider)"));
        }
        if release.skip_analysis {
            self.notes.push(format!(
                "{title}: there is no analysis, so nothing can stop a version that gets ready"
            ));
        }
        let blue_green = matches!(plan.strategy, Strategy::BlueGreen { .. }) && !plan.mirror;
        match release.hooks(HookType::Rollout).next() {
            Some(hook) if blue_green => self.notes.push(format!(
                "{title}: the hook {} stands for a load test that sends as many requests to the canary as users send",
                hook.name
            )),
            None if blue_green && !release.skip_analysis => self.notes.push(format!(
                "{title}: no hook of type rollout runs a load test, so the canary gets no requests before it goes live"
            )),
            _ => {}
        }
        if let Some(SessionAffinity { .. }) = plan.session_affinity {
            self.notes.push(format!("{title}: users have no cookies here, each request goes by the weights"));
        }
        if matches!(plan.strategy, Strategy::AbTesting { .. }) {
            self.notes.push(format!(
                "{title}: the rules of the A/B test pick {} of the requests (--matching)",
                Share(scenario.usual.matching)
            ));
        }
        for check in &plan.metrics {
            let template = match &check.source {
                MetricSource::Template { name, .. } => name,
                MetricSource::Inline(_) => &check.name,
                _ => continue,
            };
            let known = [&check.name, template].into_iter().any(|name| scenario.metrics.contains_key(name));
            if !known && !check.rules.counts_samples {
                self.notes.push(format!(
                    "{title}: the check {} passes, its query is not understood; give its value with \
                     `metrics: {{{}: …}}` in the scenario file",
                    check.name, check.name
                ));
            }
        }
    }

    /// Lets the simulation answer for whatever backend a MetricTemplate names.
    fn simulated_template(&mut self, object: &mut Value) {
        if object["kind"] != "MetricTemplate" {
            return;
        }
        let (name, namespace) = (missing::name(object).to_owned(), namespace(object).to_owned());
        let provider = object["spec"]["provider"].clone();
        let kind = provider["type"].as_str().unwrap_or_default();
        if kind == "prometheus" {
            // What its Secret holds is nothing to us.
            if let Some(provider) = object["spec"]["provider"].as_object_mut() {
                provider.remove("secretRef");
            }
            return;
        }
        self.notes.push(format!(
            "MetricTemplate {name}.{namespace}: the simulation answers in the place of {kind}"
        ));
        object["spec"]["provider"] = json!({"type": "prometheus", "address": "http://simulated:9090"});
        object["spec"]["query"] = json!(format!(
            "simulated{{template=\"{name}.{namespace}\",canary=\"{{{{ name }}}}.{{{{ namespace }}}}\"}}"
        ));
    }

    /// Puts everything into a cluster. Kinds that it does not know are left out.
    fn try_all(&mut self) -> Result<(), Vec<String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.map_err(|why| vec![format!("no runtime: {why}")])?;
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        let mut wrong = Vec::new();
        let taken: Vec<Value> = runtime.block_on(async {
            let world = self.empty_world();
            let takes = |object: &Value| match world.kube.apply("kubectl", object.clone()) {
                Ok(_) => true,
                Err(status) => {
                    let why = status.to_string();
                    let kind = object["kind"].as_str().unwrap_or("object");
                    if why.contains("no matches for kind") && object["kind"].is_string() {
                        unknown.insert(kind.to_owned());
                    } else {
                        wrong.push(format!(
                            "{kind} {}.{}: the API server refuses it: {why}",
                            missing::name(object),
                            namespace(object)
                        ));
                    }
                    false
                }
            };
            let mut takes = takes;
            self.objects.iter().filter(|object| takes(object)).cloned().collect()
        });
        if !wrong.is_empty() {
            return Err(wrong);
        }
        if !unknown.is_empty() {
            let kinds: Vec<String> = unknown.into_iter().collect();
            self.notes
                .push(format!("left out, the simulation does not need these kinds: {}", kinds.join(", ")));
        }
        self.objects = taken;
        Ok(())
    }
}

/// The object with its namespace written out.
fn in_a_namespace(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["namespace"] = namespace(&object).into();
    object
}

/// The namespace of an object.
pub(super) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().filter(|name| !name.is_empty()).unwrap_or("default")
}

/// The objects of a text, those of lists included.
fn objects(source: &Source) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&source.text).map_err(|why| format!("{}: {why}", source.name))?;
    let mut found = Vec::new();
    for document in documents {
        let kind = document["kind"].as_str().unwrap_or_default();
        match (&document, document["items"].as_array()) {
            (Value::Null, _) => {}
            (_, Some(items)) if kind.ends_with("List") => found.extend(items.iter().cloned()),
            (Value::Object(_), _) if document["kind"].is_string() => found.push(document),
            _ => return Err(format!("{}: a document is no Kubernetes object: it has no kind", source.name)),
        }
    }
    for object in &mut found {
        let named = object["metadata"]["name"].is_string();
        if !named {
            let kind = object["kind"].as_str().unwrap_or_default();
            return Err(format!("{}: a {kind} has no metadata.name", source.name));
        }
        let own = namespace(object).to_owned();
        let kind = object["kind"].as_str().unwrap_or_default();
        if !matches!(kind, "Namespace" | "CustomResourceDefinition" | "ClusterRole" | "ClusterRoleBinding") {
            object["metadata"]["namespace"] = json!(own);
        }
    }
    Ok(found)
}

/// Gives each hook a mark by which its calls are known again.
fn mark_hooks(canary: &mut Value) {
    for analysis in ["analysis", "canaryAnalysis"] {
        let Some(hooks) = canary["spec"].get_mut(analysis).and_then(|analysis| analysis.get_mut("webhooks"))
        else {
            continue;
        };
        for (index, hook) in hooks.as_array_mut().into_iter().flatten().enumerate() {
            if hook["metadata"].is_null() {
                hook["metadata"] = json!({});
            }
            hook["metadata"][HOOK_MARK] = json!(index.to_string());
        }
    }
}

/// Removes what only the cluster writes, for manifests that were read from one.
fn forget_the_cluster(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for field in [
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "managedFields",
            "ownerReferences",
            "selfLink",
            "finalizers",
            "deletionTimestamp",
        ] {
            metadata.remove(field);
        }
    }
}
