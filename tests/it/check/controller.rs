//! Cases of the controller.

use serde_json::json;

use super::bench::{Bench, page};
use super::{Case, WARNED, WRONG, case, cluster, hold};

fn arguments(bench: &Bench, arguments: &[&str]) {
    let all = ["controller", "-mesh-provider=istio", "-metrics-server=http://prometheus.monitoring:9090"];
    let all: Vec<&str> = all.into_iter().chain(arguments.iter().copied()).collect();
    bench.patch_container(&json!({"args": all}));
}

fn pod(bench: &Bench, status: &serde_json::Value) {
    bench.patch("pods", "vexil-system", "vexil-2", json!({"status": status}));
}

fn waiting(bench: &Bench, reason: &str) {
    let state = json!({"waiting": {"reason": reason, "message": "Back-off pulling image"}});
    pod(
        bench,
        &json!({"containerStatuses": [{"name": "flagger", "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state}]}),
    );
}

fn restarts(bench: &Bench, reason: &str) {
    let last = json!({"terminated": {"reason": reason, "exitCode": 137}});
    pod(
        bench,
        &json!({"containerStatuses": [{"name": "flagger", "ready": true, "restartCount": 4, "image": "", "imageID": "", "state": {"running": {}}, "lastState": last}]}),
    );
}

/// One pod counts this beside what is well.
fn counts(bench: &Bench, series: &str) {
    bench.metrics("vexil-1", &format!("vexil_leader 1\n{series}\n"));
}

pub const CASES: &[Case] = &[
    case(
        "controller-found",
        "",
        |it| it.delete("deploy", "vexil-system", "vexil"),
        WRONG,
        &["no Deployment in any namespace", "README.md, Install"],
    ),
    case(
        "controller-found",
        "--controller-namespace elsewhere",
        |_| {},
        WRONG,
        &["no Deployment in namespace elsewhere", "install it"],
    ),
    case(
        "controller-image",
        "",
        |it| it.patch_container(&json!({"image": "ghcr.io/fluxcd/flagger:1.41.0"})),
        WRONG,
        &["the image of Flagger", "set image.repository"],
    ),
    case(
        "controller-flags",
        "",
        |it| arguments(it, &["-enable-leader-election=maybe"]),
        WRONG,
        &["enable-leader-election", "correct the arguments"],
    ),
    case(
        "controller-version",
        "",
        |it| {
            for pod in ["vexil-1", "vexil-2"] {
                let leads = u8::from(pod == "vexil-1");
                it.answer(
                    &page(pod, "/metrics"),
                    200,
                    &format!("flagger_info{{version=\"0.0.9\"}} 1\nvexil_leader {leads}\n"),
                );
            }
        },
        WARNED,
        &["it is 0.0.9, and this is", "upgrade the older"],
    ),
    case(
        "controller-ready",
        "",
        |it| it.patch_controller(json!({"status": {"readyReplicas": 1}})),
        WRONG,
        &["1 of 2", "rollout status deployment/vexil"],
    ),
    case(
        "controller-ready",
        "",
        |it| it.patch_controller(json!({"spec": {"replicas": 0}})),
        WRONG,
        &["scaled to 0", "--replicas=1"],
    ),
    case(
        "controller-pods",
        "",
        |it| waiting(it, "ImagePullBackOff"),
        WRONG,
        &["vexil-2", "ImagePullBackOff: Back-off", "push the image"],
    ),
    case(
        "controller-pods",
        "",
        |it| waiting(it, "CrashLoopBackOff"),
        WRONG,
        &["CrashLoopBackOff", "logs vexil-2 --previous"],
    ),
    case(
        "controller-pods",
        "",
        |it| restarts(it, "OOMKilled"),
        WARNED,
        &["killed for its memory", "resources.limits.memory"],
    ),
    case(
        "controller-pods",
        "",
        |it| restarts(it, "Error"),
        WARNED,
        &["4 restarts, the last after Error (exit code 137)", "--previous"],
    ),
    case(
        "controller-replicas",
        "",
        |it| arguments(it, &[]),
        WRONG,
        &["2 replicas and no leader election", "leaderElection.enabled"],
    ),
    case(
        "controller-pod-security",
        "",
        |it| it.patch_container(&json!({"securityContext": {"runAsNonRoot": null}})),
        WARNED,
        &["also asks for runAsNonRoot: true", "securityContext.enabled=true"],
    ),
    case(
        "controller-pod-security",
        "",
        |it| {
            it.patch_container(&json!({"securityContext": null}));
            it.patch(
                "ns",
                "",
                "vexil-system",
                json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
            );
        },
        WRONG,
        &["no new pod starts", "securityContext.enabled=true"],
    ),
    case(
        "one-controller",
        "",
        cluster::beside,
        WRONG,
        &["flagger.istio-system", "Flagger runs beside it", "scale deployment/flagger --replicas=0"],
    ),
    case(
        "lease-held",
        "",
        |it| it.delete("leases", "vexil-system", "flagger-leader-election"),
        WRONG,
        &["nobody leads", "account-rights"],
    ),
    case(
        "lease-held",
        "",
        |it| it.patch_lease(json!({"holderIdentity": ""})),
        WRONG,
        &["nobody holds it", "ask again"],
    ),
    case(
        "lease-fresh",
        "",
        |it| it.patch_lease(json!({"renewTime": "2026-01-01T00:00:00.000000Z"})),
        WRONG,
        &["holds for 600 s", "your own clock"],
    ),
    case(
        "lease-own",
        "",
        |it| it.patch_lease(json!({"holderIdentity": "flagger-7f_1"})),
        WRONG,
        &["flagger-7f holds the lease of namespace vexil-system", "who is that?"],
    ),
    case(
        "controller-readyz",
        "",
        |it| it.answer(&page("vexil-2", "/readyz"), 503, "the caches are not filled yet"),
        WRONG,
        &["vexil-2", "503: the caches are not filled yet", "its log names the kind"],
    ),
    case(
        "controller-leads",
        "",
        |it| it.metrics("vexil-1", "vexil_leader 0\n"),
        WRONG,
        &["none of them does", "lease-own"],
    ),
    case(
        "controller-leads",
        "",
        |it| it.metrics("vexil-2", "vexil_leader 1\n"),
        WRONG,
        &["several do at once: vexil-1, vexil-2", "leaderElection.enabled"],
    ),
    case(
        "controller-watches",
        "",
        |it| counts(it, "vexil_watch_up{resource=\"services\"} 0"),
        WRONG,
        &["the API does not show it services", "its log says"],
    ),
    case(
        "requests-allowed",
        "",
        |it| counts(it, "vexil_api_requests_total{code=\"403\",resource=\"httpproxies\",verb=\"patch\"} 2"),
        WARNED,
        &["it was refused: patch httpproxies (2)", "rbac.meshes"],
    ),
    case(
        "requests-throttled",
        "",
        |it| counts(it, "vexil_api_requests_total{code=\"429\",resource=\"canaries\",verb=\"patch\"} 5"),
        WARNED,
        &["patch canaries (5)", "is the API server overloaded"],
    ),
    case(
        "events-written",
        "",
        |it| counts(it, "vexil_events_total{fate=\"dropped\"} 9"),
        WARNED,
        &["9 were too many at once", "the status of each Canary"],
    ),
    case(
        "account-rights",
        "",
        |it| it.deny("patch deployments"),
        WRONG,
        &["vexil.vexil-system may not patch deployments.apps", "rbac.create=true"],
    ),
    case(
        "account-rights",
        "",
        |it| it.deny("update leases"),
        WRONG,
        &["update leases.coordination.k8s.io in vexil-system", "rbac.create=true"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_controller_is_told_with_its_cure() {
    hold("controller", false, CASES).await;
}
