//! A counter-example in words: what happened, what the controller wrote, what broke.

use std::fmt::Write;

use vexil::api::status::CanaryStatus;
use vexil::rollout::Effect;

use super::machine::{Machine, Turn};
use super::moves::{self, Move};
use super::search::Story;
use super::spec::Spec;
use super::view;
use super::world::{REVS, Rev, Seen, World, letter};

/// The story as lines.
pub fn told(spec: &Spec, story: &Story) -> String {
    let mut text = format!(
        "{}\n  broken: {} ({})\n  after {} things that happened:\n",
        spec.name, story.broken.promise, story.broken.how, story.depth
    );
    let mut machine = Machine::new(spec);
    let mut world = machine.first();
    let mut all = Vec::new();
    let mut quiet = String::new();
    // The initialization is always the same: it is left out where nothing else happens in it.
    let usual =
        |what: &Move| matches!(what, Move::Carried | Move::Heard(_, 1) | Move::Passed(_) | Move::Ready(_));
    let beginning = story.path.iter().take(8).take_while(|what| usual(what)).count();
    let beginning = if beginning == 8 { 8 } else { 0 };
    for (number, what) in story.path.iter().enumerate() {
        if number as u32 == story.depth && story.depth > 0 {
            let _ = writeln!(text, "      from here on nothing more goes wrong:");
        }
        let mut here = world;
        let wrote = match machine.decide(&mut here) {
            Turn::Act { effects, status, .. } => writes(machine.status(&here), &effects, &status),
            Turn::Wait { why, .. } => format!("waits: {why}"),
            _ => String::new(),
        };
        let text = if number < beginning { &mut quiet } else { &mut text };
        let _ = writeln!(text, "  {:>3}. {}", number + 1, words(spec, &world, *what, &wrote));
        let _ = moves::fork(&mut machine, &world, &mut all);
        match all.iter().find(|next| next.what == *what) {
            Some(next) => {
                if differs(&world, &next.world) {
                    let _ = writeln!(text, "       {}", picture(&machine, &next.world));
                }
                world = next.world;
            }
            None => break,
        }
    }
    let mut here = world;
    let next = match machine.decide(&mut here) {
        Turn::Act { effects, status, .. } => writes(machine.status(&here), &effects, &status),
        Turn::Wait { why, until, .. } => format!("waits {until:?}: {why}"),
        Turn::Ask(code) => format!("asks {}", question(spec, &here, code)),
        Turn::Gone => "is gone".into(),
    };
    let _ = writeln!(text, "  then the controller {next}");
    let status = machine.status(&world);
    let _ = writeln!(text, "  {} blockers {:?}", picture(&machine, &world), status.blockers);
    text
}

fn differs(one: &World, other: &World) -> bool {
    let plain = |world: &World| World { memory: Default::default(), ghost: one.ghost, ..*world };
    plain(one) != plain(other)
}

/// Both sides, the routes, and the status, in one line.
pub fn picture(machine: &Machine<'_>, world: &World) -> String {
    let pods = |pods: &super::world::Pods| {
        if !pods.there {
            return "gone".to_owned();
        }
        let ready: Vec<String> = (0..REVS)
            .filter(|rev| pods.ready[*rev] > 0)
            .map(|rev| format!("{}×{}", pods.ready[rev], &letter(rev as Rev)[..1]))
            .collect();
        format!(
            "{} wants {}, ready [{}]{}",
            &letter(pods.rev)[..1],
            pods.want,
            ready.join(" "),
            if pods.stuck { " STUCK" } else { "" }
        )
    };
    let routes = match world.routes.seen {
        Seen::There => format!(
            "{}/{}{}{}",
            100 - world.routes.share,
            world.routes.share,
            if world.routes.mirrored { " mirrored" } else { "" },
            if world.routes.accepted { "" } else { " not accepted" }
        ),
        other => format!("{other:?}"),
    };
    let status = machine.status(world);
    format!(
        "[primary {} | canary {} | routes {routes} | {} weight {} failed {} iterations {}{}]",
        pods(&world.primary),
        pods(&world.target),
        status.phase,
        status.canary_weight,
        status.failed_checks,
        status.iterations,
        status.settling().map_or(String::new(), |(next, _)| format!(", settling for {next}")),
    )
}

fn writes(old: &CanaryStatus, effects: &[Effect], new: &CanaryStatus) -> String {
    let mut all: Vec<String> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Route(cleared) => {
                let wish = cleared.wish();
                let mirror = if wish.mirror { " mirrored" } else { "" };
                format!("route {}/{}{mirror}", wish.split.primary(), wish.split.canary())
            }
            other => format!("{other:?}"),
        })
        .collect();
    if vexil::rollout::status::differs(old, new) {
        all.push(format!("status {} weight {}", new.phase, new.canary_weight));
    }
    format!("writes {}", all.join(", "))
}

fn question(spec: &Spec, world: &World, code: u16) -> String {
    match (view::hook_kind(spec, world, code), view::metric_of(code)) {
        (Some(kind), _) => format!("the hook {kind:?}"),
        (None, Some(index)) => format!("metric {index}"),
        _ => "the metric providers".into(),
    }
}

fn words(spec: &Spec, world: &World, what: Move, wrote: &str) -> String {
    let side = |is_target: bool| if is_target { "canary" } else { "primary" };
    match what {
        Move::Heard(code, heard) => {
            let answer = ["", "yes", "no", "no data", "NaN", "an error"][usize::from(heard)];
            format!("the controller asks {}: {answer}", question(spec, world, code))
        }
        Move::Carried => format!("the controller {wrote}"),
        Move::Crashed(0) => "the controller is killed and started again".into(),
        Move::Crashed(writes) => format!("the controller is killed after {writes} writes of: {wrote}"),
        Move::Failed(writes) => format!("a write fails after {writes} writes of: {wrote}"),
        Move::Noted => format!("the controller {wrote}"),
        Move::Passed(seconds) => format!("{seconds} s pass ({wrote})"),
        Move::Slept => "nobody looks for a long time".into(),
        Move::Ready(target) => format!("a pod of the {} becomes ready", side(target)),
        Move::OldGone(target) => format!("an old pod of the {} goes", side(target)),
        Move::Died(target, rev) => format!("a ready pod of the {} ({}) dies", side(target), letter(rev)),
        Move::Stuck(target) => format!("the {} misses its deadline", side(target)),
        Move::Followed => "the EndpointSlices follow the pods".into(),
        Move::Accepted => "the mesh accepts the route".into(),
        Move::Pushed(rev, scaled) => {
            format!("somebody pushes {}{}", letter(rev), if scaled { ", with replicas" } else { "" })
        }
        Move::Edited(manifest) => format!("somebody edits the Canary (manifest {manifest})"),
        Move::Refused => "somebody edits the Canary so that it cannot be used".into(),
        Move::Mended => "somebody mends the Canary".into(),
        Move::Deleted => "somebody deletes the Canary".into(),
        Move::Moved(share) => format!("somebody gives the canary {share}%"),
        Move::Mirrored => "somebody switches mirroring on".into(),
        Move::Drifted => "somebody edits the routes".into(),
        Move::RoutesGone => "somebody deletes the routes".into(),
        Move::RoutesHidden => "the routes cannot be read".into(),
        Move::RoutesBack => "the routes can be read again".into(),
        Move::Asked(action) => format!("somebody asks to {}", action.as_str()),
        Move::PrimaryDeleted => "somebody deletes the primary".into(),
        Move::TargetDeleted => "somebody deletes the target".into(),
        Move::TargetBack => "somebody creates the target again".into(),
        Move::ServiceDeleted(place) => {
            format!("somebody deletes the {} Service", ["apex", "primary", "canary"][usize::from(place)])
        }
        Move::Autoscaled(target, want) => format!("the autoscaler gives the {} {want} pods", side(target)),
        Move::ConfigEdited => "somebody edits the ConfigMap".into(),
    }
}
