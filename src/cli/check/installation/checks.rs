//! Checks of a controller: its Deployment, its flags, its rights, and who else is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::cli::check::asker::{Asked, NotAsked};
use crate::cli::check::finding::{Check, Finding};
use crate::cli::print::program;

use super::{Controllers, Installation, Pages, Program, Sample, leading, pods, samples, tag};

/// The check that there is one.
pub(in crate::cli::check) const FOUND: &[Check<Controllers>] =
    &[Check { id: "controller-found", title: "a controller is installed", judge: found }];

/// Checks of the one that there is.
pub(in crate::cli::check) const CHECKS: &[Check<Installation>] = &[
    Check { id: "controller-image", title: "its image is that of Vexil", judge: image },
    Check { id: "controller-flags", title: "its flags can be read", judge: flags },
    Check { id: "controller-version", title: "it has the version of this command", judge: version },
    Check { id: "controller-ready", title: "its replicas are ready", judge: pods::ready },
    Check { id: "controller-pods", title: "its pods run", judge: pods::run },
    Check { id: "controller-replicas", title: "only one of its replicas works", judge: replicas },
    Check {
        id: "controller-pod-security",
        title: "its pods are as restricted as they can be",
        judge: pods::security,
    },
    Check { id: "one-controller", title: "no other controller works on the same Canaries", judge: one },
    Check { id: "lease-held", title: "the lease is held", judge: leading::held },
    Check { id: "lease-fresh", title: "the lease is fresh", judge: leading::fresh },
    Check { id: "lease-own", title: "one of its pods holds the lease", judge: leading::own },
    Check {
        id: "controller-readyz",
        title: "/readyz says that the caches are filled",
        judge: leading::readyz,
    },
    Check { id: "controller-leads", title: "one of its pods leads", judge: leading::leads },
    Check { id: "controller-watches", title: "what it knows of the cluster is up to date", judge: watches },
    Check { id: "requests-allowed", title: "no request of it was refused", judge: allowed },
    Check { id: "requests-throttled", title: "the API server has not throttled it", judge: throttled },
    Check { id: "events-written", title: "its events were written", judge: events },
    Check { id: "account-rights", title: "its account has the rights that it needs", judge: rights },
];

fn found(it: &Controllers) -> Vec<Finding> {
    let place =
        it.looked_in.as_ref().map_or("in any namespace".to_owned(), |name| format!("in namespace {name}"));
    let finding = match (&it.all, it.chosen()) {
        (Err(why), _) => Finding::unasked(&NotAsked {
            cure: "name the namespace of the controller with --controller-namespace".to_owned(),
            ..why.clone()
        }),
        (Ok(_), Some((chosen, _))) => Finding::fine(format!("Deployment {}", chosen.title())),
        (Ok(_), None) => Finding::wrong(
            format!(
                "no Deployment {place} has the labels of Vexil's or Flagger's chart, nor a container of theirs"
            ),
            format!("install it (README.md, Install); {} check --pre looks at what that needs", program()),
        ),
    };
    finding.alone()
}

fn image(it: &Installation) -> Vec<Finding> {
    let image = it.it.image();
    let cure = "set image.repository and image.tag to the image that you built of Vexil";
    let pages: Vec<&str> = it.pages.iter().filter_map(|(_, pages)| pages.metrics.as_deref().ok()).collect();
    let ours = pages.iter().any(|page| page.contains("\nvexil_leader "));
    let finding = match it.it.program {
        Program::Vexil | Program::Unknown if ours => Finding::fine(image),
        Program::Vexil if pages.is_empty() => Finding::fine(image),
        Program::Flagger => Finding::wrong(format!("{image} is the image of Flagger"), cure),
        Program::Unknown if pages.is_empty() => Finding::warning(
            format!("{image} has a name that tells nothing, and its pods show no metrics"),
            cure,
        ),
        _ => Finding::wrong(format!("{image} shows no series of Vexil: another program runs in it"), cure),
    };
    finding.alone()
}

fn flags(it: &Installation) -> Vec<Finding> {
    match &it.it.flags {
        Err(why) => {
            Finding::wrong(why.clone(), "correct the arguments of its container, or the chart's values")
                .alone()
        }
        Ok(flags) if flags.warnings.is_empty() => Finding::fine("").alone(),
        Ok(flags) => {
            let warned = flags.warnings.iter();
            warned
                .map(|why| Finding::warning(why.clone(), "correct the arguments of its container"))
                .collect()
        }
    }
}

fn version(it: &Installation) -> Vec<Finding> {
    let page = it.pages.iter().find_map(|(_, pages)| pages.metrics.as_ref().ok());
    let told = page.and_then(|page| Some(samples(page, "flagger_info").first()?.label("version").to_owned()));
    let tag = tag(it.it.image()).map(|tag| tag.trim_start_matches('v').to_owned());
    let is_version = |text: &String| text.starts_with(|c: char| c.is_ascii_digit());
    let finding = match told.or(tag).filter(is_version) {
        Some(version) if version == OURS => Finding::fine(version),
        Some(version) => Finding::warning(
            format!("it is {version}, and this is {OURS}: they may not mean the same by a field"),
            "upgrade the older of the two",
        ),
        None => Finding::skipped(format!("{} does not say", it.it.image())),
    };
    finding.alone()
}

fn replicas(it: &Installation) -> Vec<Finding> {
    let elects = it.it.flags.as_ref().is_ok_and(|flags| flags.enable_leader_election);
    let finding = match it.it.wanted() {
        0 | 1 => Finding::fine("there is one"),
        _ if elects => Finding::fine("they elect a leader"),
        replicas => Finding::wrong(
            format!("it has {replicas} replicas and no leader election: all of them write at once"),
            "set leaderElection.enabled in the chart, or -enable-leader-election=true; or keep one replica",
        ),
    };
    finding.alone()
}

/// What is said of another controller beside `it`, if the two get in each other's way.
fn one(it: &Installation) -> Vec<Finding> {
    let rivals = it.others.iter().filter(|other| other.wanted() > 0 && it.it.meets(other));
    let told: Vec<Finding> = rivals
        .map(|other| {
            let what = if other.program == Program::Flagger { "Flagger" } else { "another controller" };
            let stop = format!(
                "kubectl -n {} scale deployment/{} --replicas=0, or give each a namespace of its own (-namespace)",
                other.namespace(),
                other.name()
            );
            if it.it.elects_with(other) {
                Finding::warning(
                    format!("{what} runs beside it, and they elect one leader between them: either may do the work"),
                    stop,
                )
            } else {
                Finding::wrong(
                    format!("{what} runs beside it, and no lease is between them: both write the same objects"),
                    stop,
                )
            }
            .about(other.title())
        })
        .collect();
    if told.is_empty() { Finding::fine("").alone() } else { told }
}

/// The series `name` of all pods; a pod whose page cannot be read is why there are none.
pub(super) fn series(it: &Installation, name: &str) -> Asked<Vec<(String, Sample)>> {
    let mut all = Vec::new();
    for (pod, pages) in &it.pages {
        let page = pages.metrics.as_ref().map_err(Clone::clone)?;
        all.extend(samples(page, name).into_iter().map(|sample| (pod.clone(), sample)));
    }
    Ok(all)
}

/// How many requests ended so, by verb and resource.
fn requests(it: &Installation, wanted: impl Fn(&Sample) -> bool) -> Asked<BTreeMap<String, f64>> {
    let mut counts = BTreeMap::new();
    for (_, sample) in
        series(it, "vexil_api_requests_total")?.into_iter().filter(|(_, sample)| wanted(sample))
    {
        let key = format!("{} {}", sample.label("verb"), sample.label("resource"));
        *counts.entry(key).or_insert(0.0) += sample.value;
    }
    Ok(counts)
}

fn shown(counts: &BTreeMap<String, f64>) -> String {
    counts.iter().map(|(what, count)| format!("{what} ({count})")).collect::<Vec<_>>().join(", ")
}

/// Whether nothing can be said by the series of its pods: there are no pods to ask, or they run another program.
fn is_silent(it: &Installation) -> bool {
    let other = |pages: &Pages| pages.metrics.as_ref().is_ok_and(|page| !page.contains("\nvexil_"));
    it.pages.is_empty() || it.pages.iter().all(|(_, pages)| other(pages))
}

fn watches(it: &Installation) -> Vec<Finding> {
    if is_silent(it) {
        return Vec::new();
    }
    let finding = match series(it, "vexil_watch_up") {
        Err(why) => Finding::unasked(&why),
        Ok(watched) if watched.is_empty() => Finding::skipped("this version does not show them"),
        Ok(watched) => {
            let down: BTreeSet<&str> = watched
                .iter()
                .filter(|(_, sample)| sample.value == 0.0)
                .map(|(_, sample)| sample.label("resource"))
                .collect();
            let kinds: BTreeSet<&str> = watched.iter().map(|(_, sample)| sample.label("resource")).collect();
            if down.is_empty() {
                Finding::fine(format!("{} kinds", kinds.len()))
            } else {
                let down = down.into_iter().collect::<Vec<_>>().join(", ");
                Finding::wrong(
                    format!("the API does not show it {down}: it works with what it saw last, or holds"),
                    "account-rights tells whether it may list and watch them; its log says what the API answers",
                )
            }
        }
    };
    finding.alone()
}

fn counted(it: &Installation, codes: &[&str], says: &str, cure: &str) -> Vec<Finding> {
    if is_silent(it) {
        return Vec::new();
    }
    let finding = match requests(it, |sample| codes.contains(&sample.label("code")) && sample.value > 0.0) {
        Err(why) => Finding::unasked(&why),
        Ok(counts) if counts.is_empty() => Finding::fine(""),
        Ok(counts) => Finding::warning(format!("{says}: {}", shown(&counts)), cure),
    };
    finding.alone()
}

fn allowed(it: &Installation) -> Vec<Finding> {
    counted(
        it,
        &["401", "403"],
        "since its start it was refused",
        "account-rights tells whether the rights are still missing: helm upgrade with rbac.create, and rbac.meshes for the \
         meshes that Canaries name",
    )
}

fn throttled(it: &Installation) -> Vec<Finding> {
    counted(
        it,
        &["429"],
        "it was told to wait (429)",
        "is the API server overloaded, or has its flow control too little room for this account? Who asks so often?",
    )
}

fn events(it: &Installation) -> Vec<Finding> {
    if is_silent(it) {
        return Vec::new();
    }
    let finding = match series(it, "vexil_events_total") {
        Err(why) => Finding::unasked(&why),
        Ok(samples) => {
            let lost = |fate: &str| -> f64 {
                let those = samples.iter().filter(|(_, sample)| sample.label("fate") == fate);
                those.map(|(_, sample)| sample.value).sum()
            };
            match (lost("dropped"), lost("failed")) {
                (dropped, failed) if dropped + failed == 0.0 => Finding::fine(""),
                (dropped, failed) => Finding::warning(
                    format!("{dropped} were too many at once, {failed} were not taken by the API server"),
                    "the status of each Canary says all the same; for those that were not taken look at its log",
                ),
            }
        }
    };
    finding.alone()
}

fn rights(it: &Installation) -> Vec<Finding> {
    let account = it.it.account();
    let finding = match &it.lacks {
        Err(why) => Finding::skipped(format!("you may not ask for the rights of others: {}", why.why)),
        Ok(missing) if missing.is_empty() => Finding::fine(format!("{}.{}", account.name, account.namespace)),
        Ok(missing) => {
            let shown: Vec<String> = missing
                .iter()
                .take(FEW)
                .map(|(right, namespace)| match namespace.as_str() {
                    "" => right.to_string(),
                    namespace => format!("{right} in {namespace}"),
                })
                .collect();
            let more = missing.len().saturating_sub(FEW);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            Finding::wrong(
                format!("{}.{} may not {}{more}", account.name, account.namespace, shown.join(", ")),
                "helm upgrade with rbac.create=true, and rbac.meshes for the meshes that Canaries name",
            )
        }
    };
    finding.alone()
}

/// How many rights are named.
const FEW: usize = 6;
const OURS: &str = env!("CARGO_PKG_VERSION");
