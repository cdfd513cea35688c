//! What Vexil does otherwise than Flagger, as far as it touches one Canary. docs/differences.md has all of it.

use serde_json::Value;

use crate::api::Provider;
use crate::api::hooks::HookType;
use crate::cli::check::finding::Finding;
use crate::model::release::{Release, ScalerKind, Strategy, TargetKind};

use super::canary::Facts;

/// A difference, whom it touches, and what it is.
struct Difference {
    about: &'static str,
    touches: fn(&Facts, &Release) -> bool,
    says: &'static str,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        about: "spec.skipAnalysis",
        touches: |_, release| release.skip_analysis,
        says: "Vexil waits for the primary's pods when it initialises it; Flagger does not wait",
    },
    Difference {
        about: "spec.revertOnDeletion",
        touches: |_, release| release.revert_on_deletion,
        says: "pods come first, then the routes, and five seconds pass before the primary goes; Flagger gives the routes back \
               while proxies still send to the primary",
    },
    Difference {
        about: "spec.suspend",
        touches: |_, release| release.suspend,
        says: "also while it is suspended a side without ready pods loses its share of the traffic",
    },
    Difference {
        about: "spec.autoscalerRef",
        touches: |_, release| {
            release.autoscaler.as_ref().is_some_and(|it| it.kind == ScalerKind::ScaledObject)
        },
        says: "the primary's ScaledObject follows edits at once, and the target's is paused by one annotation alone",
    },
    Difference {
        about: "spec.autoscalerRef",
        touches: |_, release| {
            release.autoscaler.as_ref().is_some_and(|it| it.kind == ScalerKind::HorizontalPodAutoscaler)
        },
        says: "the primary's HorizontalPodAutoscaler follows edits of yours at once, not with the next promotion",
    },
    Difference {
        about: "spec.targetRef",
        touches: |_, release| release.target.kind == TargetKind::Knative,
        says: "its revisions are told apart by their role, and a deletion gives all traffic to the latest revision",
    },
    Difference {
        about: "spec.targetRef",
        touches: |facts, _| {
            let strategy = facts.target.as_ref().map(|target| &target["spec"]["strategy"]);
            strategy
                .is_some_and(|it| it["type"] == "Recreate" || it["rollingUpdate"]["maxUnavailable"] == "100%")
        },
        says: "all its pods are replaced at once: at the promotion the traffic goes to the canary first",
    },
    Difference {
        about: "spec.service.portDiscovery",
        touches: |_, release| release.service.port_discovery == Some(true),
        says: "ports that change in a new revision reach the Services of apex and primary with the promotion, not with the push",
    },
    Difference {
        about: "spec.analysis.sessionAffinity",
        touches: |_, release| release.analysis.session_affinity.is_some(),
        says: "the cookie of a run is in the status before it is in the routes, and the one that deletes it has the domain and \
               path of the one that set it",
    },
    Difference {
        about: "spec.analysis.webhooks",
        touches: |_, release| has_hook(release, HookType::Rollback),
        says: "the rollback hook is called while the release waits for its first approval as well",
    },
    Difference {
        about: "spec.analysis.webhooks",
        touches: |_, release| {
            has_hook(release, HookType::ConfirmPromotion)
                && !matches!(release.analysis.strategy, Strategy::Weighted(_))
        },
        says: "the gate of the promotion is asked every interval and opens with its first yes; Flagger asks it every second \
               tick, and twice",
    },
    Difference {
        about: "spec.analysis.webhooks",
        touches: |_, release| has_hook(release, HookType::PostRollout),
        says: "the hook after a release is called again if the controller died meanwhile: at least once, not at most once",
    },
    Difference {
        about: "spec.provider",
        touches: |_, release| {
            matches!(release.provider, Provider::GatewayApiV1 | Provider::GatewayApiV1Beta1)
        },
        says: "a step waits until the gateway has accepted the route, and an HTTPRoute of yours that is taken over keeps its \
               other rules and filters",
    },
    Difference {
        about: "spec.provider",
        touches: |_, release| release.provider == Provider::Nginx,
        says: "the canary's Ingress leaves out paths that lead to other Services, and follows edits of yours in the middle of a \
               run",
    },
    Difference {
        about: "spec.provider",
        touches: |_, release| release.provider == Provider::Traefik,
        says: "when the canary gets everything the primary is not in the list; with Flagger one request of a hundred goes there",
    },
    Difference {
        about: "spec.analysis.metrics",
        touches: |facts, _| uses_template(&facts.canary),
        says: "a MetricTemplate or a Secret that is missing holds a release before it begins, and is said at once; with Flagger \
               every check fails, and the release is rolled back",
    },
];

fn has_hook(release: &Release, kind: HookType) -> bool {
    release.analysis.hooks.iter().any(|hook| hook.kind == kind)
}

fn uses_template(canary: &Value) -> bool {
    let metrics = canary["spec"]["analysis"]["metrics"].as_array();
    metrics.into_iter().flatten().any(|metric| metric["templateRef"].is_object())
}

/// The differences that touch this Canary.
pub(super) fn judge(it: &Facts) -> Vec<Finding> {
    let Some(release) = &it.release else { return Vec::new() };
    let those = DIFFERENCES.iter().filter(|difference| (difference.touches)(it, release));
    let found: Vec<Finding> = those
        .map(|one| {
            Finding::warning(
                one.says,
                "nothing, if you do not rely on the former; docs/differences.md has the reasons",
            )
            .about(one.about)
        })
        .collect();
    if found.is_empty() { Finding::fine("").alone() } else { found }
}
