//! Checks of Flagger's own installation: its version, its flags, and who else works on the same Canaries.

use crate::api::Provider;
use crate::cli::check::asker::Asked;
use crate::cli::check::finding::{Check, Finding};
use crate::cli::check::installation::{Controllers, Instance, Program, tag};
use crate::cli::go_flags::{self, Standing};
use crate::router::registry;

use super::stop;

/// The controller that the command is about, and the others.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    /// It, if it was found.
    pub it: Option<Instance>,
    /// All others.
    pub others: Vec<Instance>,
    /// Whether Deployments could be looked for.
    pub asked: Asked<()>,
    /// Where was looked; `None` for all namespaces.
    looked_in: Option<String>,
    /// Whether files stand for the cluster.
    files: bool,
}

impl Installed {
    /// The first of `controllers` that runs this program; one that runs comes before one that does not.
    pub(super) fn of(controllers: Controllers, program: Program, files: bool) -> Self {
        let Controllers { all, looked_in } = controllers;
        let asked = all.as_ref().map(|_| ()).map_err(Clone::clone);
        let mut others = all.unwrap_or_default();
        others.sort_by_key(|it| (it.program != program, it.wanted() == 0));
        let found = others.first().is_some_and(|it| it.program == program);
        let it = found.then(|| others.remove(0));
        Self { it, others, asked, looked_in, files }
    }
}

pub(super) const CHECKS: &[Check<Installed>] = &[
    Check { id: "flagger-found", title: "Flagger is there", judge: found },
    Check {
        id: "flagger-version",
        title: "its version is one that Vexil is compatible with",
        judge: version,
    },
    Check { id: "flagger-flags", title: "each of its flags means the same to Vexil", judge: flags },
    Check { id: "flagger-mesh", title: "Vexil knows its mesh", judge: mesh },
    Check { id: "flagger-alone", title: "no third controller works on the same Canaries", judge: alone },
    Check { id: "flagger-turn", title: "only one of the two can work at a time", judge: turn },
];

fn found(it: &Installed) -> Vec<Finding> {
    let place =
        it.looked_in.as_ref().map_or("in any namespace".to_owned(), |name| format!("in namespace {name}"));
    let finding = match (&it.asked, &it.it) {
        (Err(why), _) => Finding::unasked(why),
        (Ok(()), Some(flagger)) => Finding::fine(format!("Deployment {}", flagger.title())),
        (Ok(()), None) if it.files => Finding::skipped("its Deployment is not in the files"),
        (Ok(()), None) => Finding::warning(
            format!(
                "no Deployment {place} runs Flagger: its flags are not known, and the defaults are taken"
            ),
            "name its namespace with --controller-namespace, and the mesh with --mesh-provider",
        ),
    };
    finding.alone()
}

fn version(it: &Installed) -> Vec<Finding> {
    let Some(flagger) = &it.it else { return Vec::new() };
    let image = flagger.image();
    let tag = tag(image).map(|tag| tag.trim_start_matches('v')).unwrap_or_default();
    let number = |part: &str| part.split(['-', '+']).next().and_then(|part| part.parse::<u32>().ok());
    let mut parts = tag.split('.').map(number);
    let finding = match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => Finding::warning(
            format!(
                "it is {tag}: before {}.{} status and manifests were others, and nobody has tried them",
                OLDEST.0, OLDEST.1
            ),
            "upgrade Flagger first, or take over one Canary and look",
        ),
        (Some(major), Some(minor)) if (major, minor) > NEWEST => Finding::warning(
            format!("it is {tag}: Vexil is built against {}.{}", NEWEST.0, NEWEST.1),
            "what is newer in it Vexil may not have: read the changes of Flagger since then",
        ),
        (Some(_), Some(_)) => Finding::fine(tag.to_owned()),
        _ => Finding::skipped(format!("{image} does not say")),
    };
    finding.alone()
}

fn flags(it: &Installed) -> Vec<Finding> {
    let Some(flagger) = &it.it else { return Vec::new() };
    let mut found = Vec::new();
    let words = flagger.words();
    let mut same = 0;
    for word in &words {
        let Some((name, standing)) = go_flags::standing(word) else { continue };
        let about = format!("-{name}");
        match standing {
            Standing::Same => same += 1,
            Standing::Differs(how) => found.push(
                Finding::warning(format!("it {how}"), "leave it out if that is not what you want")
                    .about(about),
            ),
            Standing::NoEffect => {
                found.push(Finding::warning("it is accepted and has no effect", "leave it out").about(about))
            }
            Standing::Unknown => found.push(
                Finding::wrong("Vexil has no such flag, and would not start", "leave it out").about(about),
            ),
        }
    }
    match &flagger.flags {
        Ok(flags) => {
            found.extend(flags.warnings.iter().map(|why| Finding::warning(why.clone(), "correct it")))
        }
        Err(why) if found.iter().all(|it| it.outcome < crate::cli::check::finding::Outcome::Wrong) => {
            found.push(Finding::wrong(why.clone(), "correct it before Vexil is started with it"));
        }
        Err(_) => {}
    }
    if found.is_empty() { Finding::fine(format!("{same} flags")).alone() } else { found }
}

fn mesh(it: &Installed) -> Vec<Finding> {
    let Some(Ok(flags)) = it.it.as_ref().map(|flagger| &flagger.flags) else { return Vec::new() };
    let known = Provider::parse(&flags.mesh_provider).and_then(registry::mesh).is_some();
    let finding = if known {
        Finding::fine(flags.mesh_provider.clone())
    } else {
        Finding::wrong(
            format!(
                "-mesh-provider={} is none that Vexil knows; Flagger takes it for Istio",
                flags.mesh_provider
            ),
            format!("write one of: {}", registry::known().join(", ")),
        )
    };
    finding.alone()
}

fn alone(it: &Installed) -> Vec<Finding> {
    let Some(flagger) = &it.it else { return Vec::new() };
    let found: Vec<Finding> = it
        .others
        .iter()
        .filter(|other| other.wanted() > 0 && flagger.wanted() > 0)
        .filter(|other| other.is_shadow() || flagger.meets(other))
        .map(|other| {
            let what = if other.program == Program::Flagger { "another Flagger" } else { "Vexil" };
            let finding = if other.is_shadow() {
                Finding::fine("a shadow, which writes nothing")
            } else if flagger.elects_with(other) {
                Finding::warning(
                    format!("{what} runs beside it, and they elect one leader between them: either may work"),
                    stop(other),
                )
            } else {
                Finding::wrong(
                    format!(
                        "{what} runs beside it, and no lease is between them: both write the same objects"
                    ),
                    stop(other),
                )
            };
            finding.about(other.title())
        })
        .collect();
    if found.is_empty() { Finding::fine("").alone() } else { found }
}

fn turn(it: &Installed) -> Vec<Finding> {
    let Some(flagger) = &it.it else { return Vec::new() };
    let finding = match &flagger.flags {
        _ if flagger.wanted() == 0 => Finding::fine("it is stopped"),
        Err(_) => Finding::skipped("its flags cannot be read"),
        Ok(flags) if flags.enable_leader_election => Finding::fine(format!(
            "it elects a leader; a Vexil with -enable-leader-election and the lease of namespace {} waits for it",
            flags.lease_namespace()
        )),
        Ok(_) => Finding::warning(
            "it elects no leader: a Vexil that starts beside it would write the same objects",
            format!("stop it before Vexil starts: {}", stop(flagger)),
        ),
    };
    finding.alone()
}

/// The oldest and the newest version that the behaviour specification speaks of.
const OLDEST: (u32, u32) = (1, 0);
const NEWEST: (u32, u32) = (1, 44);
