//! Cases of the cluster, before and after an installation.

use serde_json::{Value, json};

use super::bench::{Bench, PROMETHEUS, crd};
use super::{Case, WARNED, WRONG, case, hold};

pub const PRE_COMMAND: &str =
    "check --pre -n vexil-system --mesh-provider istio --metrics-server http://prometheus.monitoring:9090";
const PRE: &str =
    "--pre -n vexil-system --mesh-provider istio --metrics-server http://prometheus.monitoring:9090";
const CANARIES: &str = "canaries.flagger.app";

/// The CRD of Canaries, changed.
fn change_crd(bench: &Bench, change: impl Fn(&mut Value)) {
    let mut found = bench.kube.get("crd", "", CANARIES).expect("the CRD");
    change(&mut found);
    bench.answer(&crd(CANARIES), 200, &found.to_string());
}

fn without_blockers(crd: &mut Value) {
    for version in crd["spec"]["versions"].as_array_mut().expect("versions") {
        let status = &mut version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
        status.as_object_mut().expect("fields").remove("blockers");
    }
}

fn without_the_version(crd: &mut Value) {
    crd["spec"]["versions"].as_array_mut().expect("versions").retain(|version| version["name"] != "v1beta1");
}

fn old_cluster(bench: &Bench) {
    let version = json!({
        "major": "1", "minor": "21", "gitVersion": "v1.21.0", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    });
    bench.answer("/version", 200, &version.to_string());
}

fn flagger(bench: &Bench) {
    bench.put(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "flagger", "namespace": "istio-system", "labels": {"app.kubernetes.io/name": "flagger"}},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "flagger"}},
            "template": {"metadata": {"labels": {"app": "flagger"}}, "spec": {"containers": [{
                "name": "flagger", "image": "ghcr.io/fluxcd/flagger:1.41.0",
                "command": ["./flagger", "-mesh-provider=istio"],
            }]}},
        },
    }));
}

pub const BEFORE: &[Case] = &[
    case("api-version", PRE, old_cluster, WRONG, &["it is 1.21", "upgrade the cluster"]),
    case(
        "namespace-there",
        "--pre -n nowhere --mesh-provider istio --metrics-server http://prometheus.monitoring:9090",
        |_| {},
        WARNED,
        &["there is no namespace nowhere", "--create-namespace"],
    ),
    case(
        "install-rights",
        PRE,
        |it| it.deny("create customresourcedefinitions"),
        WRONG,
        &["you may not create customresourcedefinitions.apiextensions.k8s.io", "administrator"],
    ),
    case(
        "grant-rights",
        PRE,
        |it| ["escalate clusterroles", "patch virtualservices"].into_iter().for_each(|right| it.deny(right)),
        WRONG,
        &["you may not patch virtualservices.networking.istio.io", "escalate on clusterroles"],
    ),
    case(
        "crds-fit",
        PRE,
        |it| change_crd(it, without_the_version),
        WRONG,
        &[CANARIES, "does not serve v1beta1", "vexil crds"],
    ),
    case(
        "crds-fit",
        PRE,
        |it| change_crd(it, without_blockers),
        WARNED,
        &["lacks status.blockers", "vexil crds"],
    ),
    case(
        "no-other-controller",
        PRE,
        flagger,
        WARNED,
        &["flagger.istio-system", "Flagger runs there", "install in its namespace, istio-system"],
    ),
    case(
        "mesh-known",
        "--pre -n vexil-system --mesh-provider istoi --metrics-server http://prometheus.monitoring:9090",
        |_| {},
        WRONG,
        &["\"istoi\" is none", "did you mean istio?"],
    ),
    case(
        "mesh-served",
        "--pre -n vexil-system --mesh-provider contour --metrics-server http://prometheus.monitoring:9090",
        |_| {},
        WRONG,
        &["httpproxies of projectcontour.io/v1", "there is no such kind", "install Contour"],
    ),
    case(
        "mesh-served",
        PRE,
        |it| {
            it.refuse("/apis/networking.istio.io/v1beta1", 404, "not found");
        },
        WRONG,
        &[
            "destinationrules of networking.istio.io/v1beta1",
            "it is served as v1, v1alpha3 alone",
            "that serves v1beta1",
        ],
    ),
    case(
        "prometheus-answers",
        PRE,
        |it| it.refuse(PROMETHEUS, 503, "no endpoints available for service \"prometheus\""),
        WRONG,
        &["prometheus.monitoring:9090 does not answer: no endpoints available", "look at its pods"],
    ),
    case(
        "prometheus-answers",
        PRE,
        |it| it.answer(PROMETHEUS, 200, "<html>"),
        WRONG,
        &["as Prometheus does", "is it the right address?"],
    ),
    case(
        "prometheus-answers",
        "--pre -n vexil-system --metrics-server http://prometheus.monitoring:80",
        |_| {},
        WRONG,
        &["has no port 80 (it has 9090)", "write one of its ports"],
    ),
    case(
        "prometheus-answers",
        "--pre -n vexil-system --metrics-server http://prometheus",
        |_| {},
        WRONG,
        &["there is no Service prometheus in namespace vexil-system", "with its namespace"],
    ),
    case(
        "prometheus-answers",
        "--pre -n vexil-system --metrics-server https://metrics.example.com",
        |_| {},
        WARNED,
        &["can only be asked from inside the cluster", "the controller's log says"],
    ),
];

pub const AFTER: &[Case] = &[
    case(
        "crds-there",
        "",
        |it| it.refuse(&crd(CANARIES), 404, "not found"),
        WRONG,
        &[CANARIES, "it is not installed", "vexil crds"],
    ),
    case(
        "crds-version",
        "",
        |it| change_crd(it, without_the_version),
        WRONG,
        &["does not serve v1beta1", "vexil crds"],
    ),
    case(
        "crds-fields",
        "",
        |it| change_crd(it, without_blockers),
        WARNED,
        &["lacks status.blockers", "Helm never upgrades CRDs"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_an_installation_lacks_is_told_before_it() {
    hold("before", true, BEFORE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crds_that_do_not_fit_are_told() {
    hold("crds", false, AFTER).await;
}

pub fn beside(bench: &Bench) {
    flagger(bench);
}
