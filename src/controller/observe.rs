//! Makes a [`Snapshot`] from the caches: values, no handles. It reads nothing from the API.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::api::Provider;
use crate::api::status::CanaryStatus;
use crate::judge;
use crate::judge::checks::{self, METRIC_TEMPLATE};
use crate::manifest::decode::{self, DecodeError};
use crate::model::by_hand::Request;
use crate::model::object::{Kind, ObjectId, Objects, Write};
use crate::model::release::{Problem, Release, Settings, TargetKind};
use crate::model::traffic::{RouteState, RouteWish};
use crate::model::workload::{Presence, PrimaryFacts, TargetFacts, TargetShape, is_own_revision};
use crate::rollout::{Checkable, Endpoints, Lifecycle, RoutesSeen, ServicesSeen, Snapshot, Turn, cookies};
use crate::router::endpoints::{self, ENDPOINT_SLICE};
use crate::router::templated::ROUTE_TEMPLATE;
use crate::router::{self, Router, View, services};
use crate::workload::{self, Workload, config};

use super::caches::{Caches, Claim, Refusal, Sight, State};
use super::memory::Memory;

/// The result of one look at a Canary.
pub enum Observation {
    /// It does not exist any more.
    Gone,
    /// The caches are not ready, or have not seen our last writes. The next look is when they change, and at this time
    /// at the latest.
    NotYet(Option<DateTime<Utc>>),
    /// Its manifest cannot be used.
    Unusable(Box<Unusable>),
    /// Its status says something that we do not understand.
    Foreign(Foreign),
    /// It can be decided on.
    Complete(Box<Observed>),
}

/// A Canary whose manifest cannot be used, and why.
pub struct Unusable {
    /// The Canary as it is stored.
    pub object: Arc<Value>,
    /// Its status, as far as it can be read.
    pub status: CanaryStatus,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// What can be seen of it all the same: its traffic has to be kept safe. `None` for one that has none of its own.
    pub seen: Option<Box<Observed>>,
}

/// A Canary with a status that another controller wrote, most likely a newer one of ours.
pub struct Foreign {
    /// The Canary as the caches hold it.
    pub object: Arc<Value>,
    error: DecodeError,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the status cannot be read: {}. Status, traffic and workloads stay as they are. A newer controller may have \
             written it: run that one, or remove the status to begin anew",
            self.error
        )?;
        let Lifecycle { deleting, has_finalizer, .. } = lifecycle(&self.object);
        if deleting && has_finalizer {
            write!(f, "; to let it go without reverting anything, remove the finalizer {FINALIZER}")?;
        }
        Ok(())
    }
}

/// A snapshot together with the objects that it was made of: a plan is decided on the snapshot and carried out on the
/// objects.
pub struct Observed {
    /// What a decision knows.
    pub snapshot: Snapshot,
    /// What a plan is carried out on.
    pub scene: Scene,
    /// Why there may be objects that we cannot see. What is to be undone might be among them.
    pub hidden: Option<String>,
}

/// The objects behind a snapshot.
pub struct Scene {
    /// The Canary as it is stored.
    pub canary: Arc<Value>,
    /// Its manifest, read and with its defaults.
    pub release: Release,
    /// How the target's pods are selected, and which ports they have.
    pub shape: TargetShape,
    /// All objects that were looked at.
    pub objects: Objects,
    /// What knows the kind of the target.
    pub workload: &'static dyn Workload,
    /// What knows the mesh.
    pub router: &'static dyn Router,
    /// The primary as it was when it was last seen, if it is gone.
    pub lost_primary: Option<(ObjectId, Arc<Value>)>,
}

/// Looks at the Canary `id`: finds it, reads its manifest, gathers the objects around it, and describes all of them in
/// a snapshot. Each of the four steps may end the look early.
pub fn observe(
    caches: &Caches,
    settings: &Settings,
    id: &ObjectId,
    memory: &mut Memory,
    now: DateTime<Utc>,
) -> Observation {
    match look(caches, settings, id, memory, now) {
        ControlFlow::Continue(observed) => Observation::Complete(Box::new(observed)),
        ControlFlow::Break(ended) => ended,
    }
}

/// A step of a look: it goes on with a value, or the look ends.
type Look<T> = ControlFlow<Observation, T>;

fn look(
    caches: &Caches,
    settings: &Settings,
    id: &ObjectId,
    memory: &mut Memory,
    now: DateTime<Utc>,
) -> Look<Observed> {
    let object = find(caches, id, memory, now)?;
    let (manifest, problems) = understand(caches, settings, object, memory)?;
    let surroundings = gather(caches, settings, &manifest, memory)?;
    let checkable = checks::seen(caches, settings, &manifest.release, now);
    let observed = describe(settings, manifest, surroundings, checkable, memory, now);
    if problems.is_empty() {
        return ControlFlow::Continue(observed);
    }
    let (object, status) = (Arc::clone(&observed.scene.canary), observed.snapshot.status.clone());
    let seen = Some(Box::new(observed));
    ControlFlow::Break(Observation::Unusable(Box::new(Unusable { object, status, problems, seen })))
}

/// The Canary, from after our own last writes.
fn find(caches: &Caches, id: &ObjectId, memory: &mut Memory, now: DateTime<Utc>) -> Look<Arc<Value>> {
    if caches.state(Kind::CANARY) != State::Ready {
        return ControlFlow::Break(Observation::NotYet(None));
    }
    let Some(seen) = caches.get_packed(id) else { return ControlFlow::Break(Observation::Gone) };
    let object = Arc::new(seen.open());
    memory.meet(&object);
    // Before anything is read, so that all of it is from after our own writes. Asked at the end, a watch may have
    // caught up in between: a Canary from before our write, and routes from after it.
    let unseen = memory.unseen(|id| caches.version(id), now);
    for kind in memory.given_up() {
        caches.doubt(kind);
    }
    if let Some(until) = unseen {
        return ControlFlow::Break(Observation::NotYet(Some(until)));
    }
    match caches.get_packed(id) {
        None => ControlFlow::Break(Observation::Gone),
        Some(newest) if newest == seen => ControlFlow::Continue(object),
        Some(newest) => ControlFlow::Continue(Arc::new(newest.open())),
    }
}

/// A Canary whose manifest can be used.
struct Manifest {
    object: Arc<Value>,
    status: CanaryStatus,
    release: Release,
    warnings: Vec<Problem>,
    workload: &'static dyn Workload,
    router: &'static dyn Router,
}

/// Reads the manifest, and finds who translates between the release and the cluster. With problems it is refused, and
/// the release is what was last usable, or all that can be read.
fn understand(
    caches: &Caches,
    settings: &Settings,
    object: Arc<Value>,
    memory: &mut Memory,
) -> Look<(Manifest, Vec<Problem>)> {
    let template = judge::route_template::named(&object);
    if let Some(id) = &template
        && caches.state(ROUTE_TEMPLATE) == State::Loading
    {
        memory.reads = Some(vec![id.clone()]);
        return ControlFlow::Break(Observation::NotYet(None));
    }
    let status = match status_of(&object, memory) {
        Ok(status) => status,
        Err(error) => return ControlFlow::Break(Observation::Foreign(Foreign { object, error })),
    };
    let reading = judge::reading(&object, settings, caches);
    let unusable = |object, status, problems| {
        ControlFlow::Break(Observation::Unusable(Box::new(Unusable { object, status, problems, seen: None })))
    };
    let (release, problems) = match reading.release {
        Ok(release) => {
            memory.understood(&object, |manifest| caches.pack(Kind::CANARY, manifest));
            let mut release = release;
            match &release.template {
                // A Canary that is being deleted is read whatever is wrong with its template.
                Some(routed) if !router::templated::is_usable(routed) => {
                    as_routed_before(&mut release, memory)
                }
                routed => memory.routed.clone_from(routed),
            }
            (*release, Vec::new())
        }
        Err(problems) => match usable(caches, memory, settings).or(reading.refused) {
            Some(mut release) => {
                as_routed_before(&mut release, memory);
                (*release, problems)
            }
            None => return unusable(object, status, problems),
        },
    };
    if let Some((rival, problem)) = rival(caches, &release, &object) {
        memory.reads = Some(vec![rival]);
        return unusable(object, status, vec![problem]);
    }
    // A provider that is not known any more left no routes that could be reverted.
    let known = router::registry::router_of(&release);
    let nothing_to_revert =
        || router::registry::router(Provider::Kubernetes).filter(|_| lifecycle(&object).deleting);
    let Some(router) = known.or_else(nothing_to_revert) else {
        let text = router::registry::not_built(release.provider);
        let problem = problem("spec.provider", &text);
        return unusable(object, status, if problems.is_empty() { vec![problem] } else { problems });
    };
    let workload = workload::registry::workload(release.target.kind);
    let mut warnings = reading.warnings;
    warnings.extend(judge::exposed_templates(caches, &release));
    ControlFlow::Continue((Manifest { object, status, release, warnings, workload, router }, problems))
}

/// The release as it was last read from a manifest that could be used.
fn usable(caches: &Caches, memory: &Memory, settings: &Settings) -> Option<Box<Release>> {
    judge::reading(&memory.usable()?, settings, caches).release.ok()
}

/// A template that went away, or that makes no sense any more, is no reason to lose sight of the traffic: as long as this
/// process remembers the last one that could be used, the routes are read, and kept safe, by that.
fn as_routed_before(release: &mut Release, memory: &Memory) {
    let (Some(routed), Some(before)) = (&mut release.template, &memory.routed) else { return };
    if (&routed.name, &routed.namespace) == (&before.name, &before.namespace) {
        routed.found.clone_from(&before.found);
    }
}

/// The objects around a release as the caches hold them.
#[derive(Default)]
struct Surroundings {
    objects: Objects,
    /// The kind that the API does not show, and why.
    refused: Option<String>,
    /// The same, if the kind exists and may have objects.
    hidden: Option<String>,
    /// The pods that would answer for primary and canary.
    endpoints: Endpoints,
}

impl Surroundings {
    /// Takes in what the caches know of these objects; whether all that is to be known is known.
    fn take_in(&mut self, caches: &Caches, ids: &[ObjectId]) -> bool {
        let mut complete = true;
        for id in ids {
            match caches.state(id.kind) {
                State::Loading => complete = false,
                State::Ready => match caches.look_up(id) {
                    Sight::There(object) => self.objects.insert(id.clone(), object),
                    // So that it can be said what was meant.
                    Sight::Absent if router::adopt::is_route(id.kind) => {
                        let all = caches.ids(id.kind).into_iter();
                        self.objects.note_names(all.filter(|other| other.namespace == id.namespace));
                    }
                    Sight::Absent => {}
                    Sight::Fetching => complete = false,
                },
                State::Unavailable(refusal) => {
                    self.cannot_see(id.kind, &refusal);
                    // What was known before is still the best guess.
                    self.objects.extend(caches.get(id).map(|object| (id.clone(), object)));
                }
            }
        }
        complete
    }

    fn cannot_see(&mut self, kind: Kind, refusal: &Refusal) {
        let why = format!("{} cannot be watched: {}", kind.kind, refusal.why);
        if !refusal.is_missing() {
            self.hidden = Some(why.clone());
        }
        self.refused = Some(why);
    }
}

/// Gathers all objects that the release looks at; those whose names stand in others come after these.
fn gather(
    caches: &Caches,
    settings: &Settings,
    manifest: &Manifest,
    memory: &mut Memory,
) -> Look<Surroundings> {
    let Manifest { release, workload, router, .. } = manifest;
    let mut reads = reads(release, *workload, *router);
    let mut around = Surroundings::default();
    let mut complete = around.take_in(caches, &reads);
    let named = workload.named_reads(release, &around.objects);
    complete &= around.take_in(caches, &named);
    reads.extend(named);
    reads.extend(judge::route_template::named(&manifest.object));
    if !complete {
        memory.reads = Some(reads);
        return ControlFlow::Break(Observation::NotYet(None));
    }
    if let Some(id) = workload.primary_id(release)
        && let Some(packed) = caches.get_packed(&id)
    {
        memory.primary = Some((id, packed));
    }
    let tracked =
        if settings.config_tracking { workload.config_reads(release, &around.objects) } else { Vec::new() };
    reads.extend(tracked.iter().cloned());
    let templates: Vec<ObjectId> = checks::templates(release).collect();
    if !templates.is_empty() && caches.state(METRIC_TEMPLATE) == State::Loading {
        memory.reads = Some(reads);
        return ControlFlow::Break(Observation::NotYet(None));
    }
    reads.extend(templates);
    let sides = [services::Side::Primary, services::Side::Canary].map(|side| services::id(release, side));
    reads.extend(sides.iter().map(|service| ENDPOINT_SLICE.at(&service.namespace, &service.name)));
    memory.reads = Some(reads);
    match caches.state(ENDPOINT_SLICE) {
        State::Loading => return ControlFlow::Break(Observation::NotYet(None)),
        // What the workloads say of their pods has to do.
        State::Unavailable(_) => {}
        State::Ready => {
            let [primary, canary] = sides.map(|service| {
                let slices = caches.slices(&service.namespace, &service.name);
                endpoints::ready(slices.iter().map(Arc::as_ref))
            });
            around.endpoints = Endpoints { primary, canary, ..Endpoints::default() };
        }
    }
    if look_at_configs(caches, tracked, &mut around.objects) {
        ControlFlow::Continue(around)
    } else {
        ControlFlow::Break(Observation::NotYet(None))
    }
}

/// Describes all that was found in a snapshot.
fn describe(
    settings: &Settings,
    manifest: Manifest,
    around: Surroundings,
    checkable: Checkable,
    memory: &mut Memory,
    now: DateTime<Utc>,
) -> Observed {
    let Manifest { object, mut status, release, warnings, workload, router } = manifest;
    let Surroundings { objects, refused, endpoints, hidden } = around;
    let shape = workload.shape(&release, settings, &objects);
    let mut target = match &shape {
        Ok(_) => workload.target(&release, settings, &objects, now).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let (Some(recorded), false) = (&mut status.tracked_configs, is_own_revision(&status.last_applied_spec))
    {
        config::understood(recorded, &objects);
    }
    if let Ok(target) = &mut target
        && settings.config_tracking
    {
        // What is not known has not changed.
        target.configs = target.configs.take().or_else(|| status.tracked_configs.clone());
    }
    let shape = shape.unwrap_or_default();
    let usable = target.is_ok();
    let view = View { release: &release, shape: &shape, settings, seen: &objects };
    let primary = workload.primary(&release, settings, &objects, now);
    let lost = lost_primary(workload, &release, &objects, memory);
    let snapshot = Snapshot {
        now,
        endpoints: since(behind(endpoints, primary.as_ref(), target.as_ref().ok(), memory, now), memory, now),
        capacity: settings.serving_capacity,
        warnings: warnings.iter().map(warning).collect(),
        target_warnings: target_port(&release, &objects).iter().map(Problem::to_string).collect(),
        lifecycle: Lifecycle {
            needs_cleanup: router::plan::needs_cleanup(router, &release, settings),
            ..lifecycle(&object)
        },
        capabilities: router.capabilities(&release),
        acceptance: router.acceptance(&view),
        settle: router.settles(&view),
        groundwork: presence_of(router::plan::groundwork(router, &view)),
        primary,
        primary_remembered: lost.is_some(),
        services: services_seen(&view, workload, usable),
        scaler: match usable {
            true => workload.scaler(&release, settings, &objects, true),
            false => Presence::InPlace,
        },
        routes: match refused {
            Some(why) => RoutesSeen::Refused(why),
            None if usable => routes(&view, &status, router),
            // Without a target nothing is repaired, and yet the traffic has to be where somebody answers.
            None => match router.state(&view) {
                Ok(Some(state)) => RoutesSeen::Seen { state, in_place: true },
                _ => RoutesSeen::Absent,
            },
        },
        target,
        checkable: Checkable { looked: memory.secrets_looked.clone(), ..checkable },
        // Whoever looks knows of all Canaries.
        turn: Turn::Free,
        answers: memory.answers.clone(),
        unrecorded_step_at: memory.unrecorded_step_at,
        exposed_at: memory.exposed_at,
        wait_recorded_at: memory.wait_recorded_at,
        images: workload.images(&release, &objects),
        request: Request::of(&object),
        cookie_values: None,
        release: release.clone(),
        status,
    };
    let scene = Scene { canary: object, release, shape, objects, workload, router, lost_primary: lost };
    Observed { snapshot, scene, hidden }
}

/// What is said of a port that the target does not have.
fn target_port(release: &Release, objects: &Objects) -> Option<Problem> {
    let kind = match release.target.kind {
        TargetKind::DaemonSet => Kind::DAEMON_SET,
        _ => Kind::DEPLOYMENT,
    };
    let id = kind.at(&release.namespace, &release.target.name);
    workload::target_port::undeclared(release, &id, objects.get(&id)?)
}

/// The primary as it was last seen, where it is gone; as long as it is there it is remembered.
fn lost_primary(
    workload: &dyn Workload,
    release: &Release,
    objects: &Objects,
    memory: &Memory,
) -> Option<(ObjectId, Arc<Value>)> {
    let id = workload.primary_id(release)?;
    if objects.get(&id).is_some() {
        return None;
    }
    let (remembered, primary) = memory.primary.as_ref()?;
    (*remembered == id).then(|| (id, Arc::new(primary.open())))
}

/// `endpoints`, with the time since which a Service does not lead to the pods that its workload calls ready.
fn behind(
    endpoints: Endpoints,
    primary: Option<&PrimaryFacts>,
    target: Option<&TargetFacts>,
    memory: &mut Memory,
    now: DateTime<Utc>,
) -> Endpoints {
    let lags =
        |known: Option<i32>, ready: Option<i32>| known == Some(0) && ready.is_some_and(|ready| ready > 0);
    let behind = lags(endpoints.primary, primary.map(|primary| primary.ready_pods))
        || lags(endpoints.canary, target.map(|target| target.ready_pods));
    memory.endpoints_behind_since = behind.then(|| memory.endpoints_behind_since.unwrap_or(now));
    Endpoints { behind_since: memory.endpoints_behind_since, ..endpoints }
}

/// `endpoints`, with the time since which each side has had one, counted from the look that saw it.
fn since(endpoints: Endpoints, memory: &mut Memory, now: DateTime<Utc>) -> Endpoints {
    let [primary, canary] = &mut memory.answering;
    Endpoints {
        primary_since: primary.since(endpoints.primary, now),
        canary_since: canary.since(endpoints.canary, now),
        ..endpoints
    }
}

/// The three Services. Without a usable target nothing can be said of those that select its pods.
fn services_seen(view: &View<'_>, workload: &dyn Workload, usable: bool) -> ServicesSeen {
    let presence = |side| match usable {
        true => services::presence(view.release, view.shape, side, view.seen),
        false => Presence::InPlace,
    };
    ServicesSeen {
        apex: presence(services::Side::Apex),
        primary: presence(services::Side::Primary),
        canary: match workload.canary_service(view.release, view.seen) {
            Some(writes) => presence_of(writes),
            None => presence(services::Side::Canary),
        },
    }
}

/// What it says of an object that these writes would bring it into place.
fn presence_of<E: std::fmt::Display>(writes: Result<Vec<Write>, E>) -> Presence {
    match writes {
        Ok(writes) => Presence::of(&writes),
        Err(error) => Presence::Refused(error.to_string()),
    }
}

/// The status with what the schema of an older CRD drops: it is remembered, or every look would write it again.
fn status_of(canary: &Value, memory: &Memory) -> Result<CanaryStatus, DecodeError> {
    let mut status = canary["status"].clone();
    if let Some(kept) = status.as_object_mut() {
        for (field, value) in &memory.dropped_fields {
            kept.entry(field).or_insert_with(|| value.clone());
        }
    }
    decode::status(&status)
}

/// An older Canary with the same target, or the same Service, and what is said about it (spec 02 §9.4). The older one
/// keeps what it has; the two would undo each other's work.
fn rival(caches: &Caches, release: &Release, canary: &Value) -> Option<(ObjectId, Problem)> {
    let target = &release.target;
    let claims = [
        ("spec.targetRef", Claim::Target(target.kind.as_str(), &target.name)),
        ("spec.service.name", Claim::Apex(&release.apex)),
    ];
    claims.into_iter().find_map(|(field, claim)| {
        let older = caches.older_claim(&release.namespace, claim, canary)?;
        let shared = match claim {
            Claim::Target(kind, _) => format!("{kind} {}", release.target_title()),
            Claim::Apex(apex) => format!("Service {apex}.{}", release.namespace),
        };
        let message = format!("{shared} belongs to the older Canary {older}: delete one of the two");
        Some((Kind::CANARY.at(&release.namespace, &older), problem(field, &message)))
    })
}

/// Everything that a release looks at, each once.
fn reads(release: &Release, workload: &dyn Workload, router: &dyn Router) -> Vec<ObjectId> {
    let mut reads = workload.reads(release);
    reads.extend(
        [services::Side::Canary, services::Side::Primary, services::Side::Apex]
            .map(|side| services::id(release, side)),
    );
    reads.extend(router.reads(release));
    reads.sort();
    reads.dedup();
    reads
}

/// Adds ConfigMaps and Secrets to `objects`, and for those that the API refuses to show the reason; `false` while
/// they are being listed. They are watched from the first release on that refers to one.
fn look_at_configs(caches: &Caches, tracked: Vec<ObjectId>, objects: &mut Objects) -> bool {
    let mut complete = true;
    for id in tracked {
        match caches.state(id.kind) {
            State::Loading => complete = false,
            State::Ready => objects.extend(caches.get(&id).map(|object| (id, object))),
            State::Unavailable(refusal) => objects.insert(id, Arc::new(config::unreadable(&refusal.why))),
        }
    }
    complete
}

/// The routes as the router reads them. Drift is what the router would write to keep the present traffic.
fn routes(view: &View<'_>, status: &CanaryStatus, router: &dyn Router) -> RoutesSeen {
    let wish = |state: RouteState| RouteWish {
        split: state.split,
        mirror: state.mirrored,
        cookies: cookies(status, state.split),
    };
    let plan = |state| router::plan::routes(router, view, &wish(state));
    match router.state(view) {
        Ok(Some(state)) => match plan(state) {
            Ok(writes) => RoutesSeen::Seen { state, in_place: writes.is_empty() },
            Err(error) => RoutesSeen::Refused(error.to_string()),
        },
        // Absent, or somebody else's object that routes to neither side: it is brought into place from scratch.
        Ok(None) | Err(router::Error::Object(_)) => match plan(RouteState::default()) {
            Ok(_) => RoutesSeen::Absent,
            Err(error) => RoutesSeen::Refused(error.to_string()),
        },
        Err(error @ (router::Error::Unsupported(_) | router::Error::Held(_))) => {
            RoutesSeen::Refused(error.to_string())
        }
    }
}

fn lifecycle(canary: &Value) -> Lifecycle {
    let finalizers = canary["metadata"]["finalizers"].as_array();
    Lifecycle {
        deleting: canary["metadata"]["deletionTimestamp"].is_string(),
        needs_cleanup: false,
        has_finalizer: finalizers.is_some_and(|all| all.iter().any(|name| name == FINALIZER)),
    }
}

/// What the provider makes of the strategy is told in the reference's words (spec 01 §8.3 W8–W10), the rest with
/// its field.
fn warning(warning: &Problem) -> String {
    if warning.field == "spec.analysis" { warning.message.clone() } else { warning.to_string() }
}

fn problem(field: &str, message: &str) -> Problem {
    Problem { field: field.to_owned(), message: message.to_owned() }
}

/// Held while `revertOnDeletion` has something to undo.
pub const FINALIZER: &str = "finalizer.flagger.app";
