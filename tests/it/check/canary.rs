//! Cases of a Canary.

use serde_json::{Value, json};

use super::bench::{Bench, PROMETHEUS};
use super::{Case, WARNED, WRONG, case, hold};

const SHOP: &str = "frontend -n shop";

fn labelled(kind: &str, api: &str, spec: Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": "extra", "namespace": "shop"}, "spec": spec})
}

fn selector() -> Value {
    json!({"matchLabels": {"app": "frontend"}})
}

fn policies(bench: &Bench, spec: Value) {
    let policy = labelled("NetworkPolicy", "networking.k8s.io/v1", spec);
    bench.list("/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies", json!([policy]));
}

fn monitors(bench: &Bench, kind: &str) {
    let monitor = labelled(kind, "monitoring.coreos.com/v1", json!({"selector": selector()}));
    bench.list(&format!("/apis/monitoring.coreos.com/v1/{}s", kind.to_lowercase()), json!([monitor]));
}

fn extra_service(bench: &Bench) {
    let mut service =
        labelled("Service", "v1", json!({"selector": {"app": "frontend"}, "ports": [{"port": 80}]}));
    service["metadata"]["labels"] = json!({"app": "frontend"});
    bench.put(service);
}

fn analysis(bench: &Bench, analysis: Value) {
    bench.patch_canary(json!({"spec": {"analysis": analysis}}));
}

fn hook(bench: &Bench, hook: Value) {
    let mut all = json!({"name": "approval", "type": "confirm-promotion", "url": "http://gate.shop:8080/"});
    json_patch::merge(&mut all, &hook);
    analysis(bench, json!({"webhooks": [all]}));
}

fn template(bench: &Bench, spec: Value) {
    bench.patch("metrictemplates.flagger.app", "shop", "latency", json!({"spec": spec}));
}

fn status(bench: &Bench, status: Value) {
    bench.patch_canary(json!({"status": status}));
}

/// A release is under way, and the target has pods of which so many are ready.
fn under_way(bench: &Bench, ready: i64, of: Value) {
    bench.patch(
        "deploy",
        "shop",
        "frontend",
        json!({
            "spec": {"replicas": 2},
            "status": {
                "replicas": 2, "updatedReplicas": 2, "readyReplicas": ready, "availableReplicas": ready,
                "observedGeneration": 9,
            },
        }),
    );
    status(bench, of);
}

pub fn budget(bench: &Bench) {
    bench.put(labelled(
        "PodDisruptionBudget",
        "policy/v1",
        json!({"minAvailable": 1, "selector": selector()}),
    ));
}

pub fn no_endpoints(bench: &Bench) {
    let endpoints = json!([{"addresses": ["10.0.0.9"], "conditions": {"ready": false}}]);
    bench.patch("endpointslices", "shop", "gate-1", json!({"endpoints": endpoints}));
}

pub const CASES: &[Case] = &[
    case(
        "canary-usable",
        SHOP,
        |it| it.patch_canary(json!({"spec": {"provider": "knative"}})),
        WRONG,
        &["spec.targetRef", "as target if provider is set to knative", "correct the field"],
    ),
    case(
        "canary-warnings",
        SHOP,
        |it| it.patch_canary(json!({"spec": {"progressDeadlineSeconds": 0}})),
        WARNED,
        &["spec.progressDeadlineSeconds", "the warning goes"],
    ),
    case(
        "canary-watched",
        SHOP,
        |it| {
            it.patch_container(&json!({"args": ["controller", "-namespace=other", "-metrics-server=http://prometheus.monitoring:9090"]}));
        },
        WRONG,
        &["it works in namespace other alone", "empty the value namespace"],
    ),
    case(
        "canary-seen",
        SHOP,
        |it| status(it, Value::Null),
        WRONG,
        &["nobody has looked at it since", "the checks of the controller"],
    ),
    case(
        "canary-seen",
        SHOP,
        |it| it.patch_canary(json!({"spec": {"suspend": false}})),
        WARNED,
        &["generation 1, and the manifest is 2", "look at the controller"],
    ),
    case(
        "canary-stalled",
        SHOP,
        |it| {
            status(
                it,
                json!({"conditions": [{"type": "Stalled", "status": "True", "reason": "Blocked", "message": "spec.x: write y"}]}),
            )
        },
        WRONG,
        &["spec.x: write y", "it goes on by itself"],
    ),
    case(
        "canary-failed",
        SHOP,
        |it| status(it, json!({"phase": "Failed"})),
        WARNED,
        &["it failed", "vexil status frontend -n shop"],
    ),
    case(
        "canary-paused",
        SHOP,
        |it| it.patch_canary(json!({"spec": {"suspend": true}})),
        WARNED,
        &["spec.suspend is true", "set it to false"],
    ),
    case(
        "canary-paused",
        SHOP,
        |it| {
            status(
                it,
                json!({"conditions": [{"type": "Paused", "status": "True", "reason": "Paused", "message": "x", "lastTransitionTime": "2026-01-01T09:00:00Z"}]}),
            )
        },
        WARNED,
        &["it is paused by hand since", "vexil resume frontend -n shop"],
    ),
    case(
        "gate-waits",
        SHOP,
        |it| {
            under_way(
                it,
                2,
                json!({"phase": "WaitingPromotion", "blockers": [{"type": "Gate", "name": "qa", "message": "waiting for the approval of gate qa", "since": "2026-01-01T09:00:00Z"}]}),
            )
        },
        WARNED,
        &[": qa", "waiting for the approval of gate qa", "vexil approve frontend -n shop"],
    ),
    case(
        "target-there",
        SHOP,
        |it| it.delete("deploy", "shop", "frontend"),
        WRONG,
        &["there is no Deployment frontend in namespace shop", "correct spec.targetRef"],
    ),
    case(
        "target-selector",
        SHOP,
        |it| {
            it.delete("deploy", "shop", "frontend");
            it.put(json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "frontend", "namespace": "shop"},
                "spec": {"selector": {"matchLabels": {"tier": "web"}}, "template": {
                    "metadata": {"labels": {"tier": "web"}}, "spec": {"containers": [{"name": "a", "image": "a"}]},
                }},
            }));
        },
        WRONG,
        &["must contain one of [app name app.kubernetes.io/name]", "-selector-labels"],
    ),
    case(
        "target-claimed",
        SHOP,
        |it| {
            let mut other = it.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
            other["metadata"] = json!({"name": "other", "namespace": "shop"});
            it.put(other);
        },
        WRONG,
        &["so does Canary other", "delete one of them"],
    ),
    case(
        "target-ready",
        SHOP,
        |it| under_way(it, 0, json!({"phase": "Progressing"})),
        WARNED,
        &["canary deployment frontend.shop not ready", "kubectl describe"],
    ),
    case(
        "target-port",
        SHOP,
        |it| it.patch_canary(json!({"spec": {"service": {"targetPort": "htpp"}}})),
        WARNED,
        &["a port named \"htpp\"", "spec.service.targetPort"],
    ),
    case(
        "primary-ready",
        SHOP,
        |it| it.delete("deploy", "shop", "frontend-primary"),
        WRONG,
        &["there is no Deployment frontend-primary: nobody answers", "its log"],
    ),
    case(
        "primary-ready",
        SHOP,
        |it| it.patch("deploy", "shop", "frontend-primary", json!({"spec": {"replicas": 0}})),
        WRONG,
        &["frontend-primary is scaled to 0", "scale deployment/frontend-primary --replicas=1"],
    ),
    case(
        "autoscaler-there",
        SHOP,
        |it| it.delete("hpa", "shop", "frontend"),
        WRONG,
        &["there is no HorizontalPodAutoscaler frontend", "spec.autoscalerRef"],
    ),
    case(
        "autoscaler-target",
        SHOP,
        |it| it.patch("hpa", "shop", "frontend", json!({"spec": {"scaleTargetRef": {"name": "cart"}}})),
        WRONG,
        &["it scales Deployment cart", "spec.scaleTargetRef"],
    ),
    case(
        "autoscaler-known",
        SHOP,
        |it| it.patch_canary(json!({"spec": {"autoscalerRef": null}})),
        WARNED,
        &["frontend.shop", "the Canary does not name it", "write spec.autoscalerRef"],
    ),
    case(
        "canary-mesh",
        SHOP,
        |it| it.patch_canary(json!({"spec": {"provider": "contour"}})),
        WRONG,
        &["httpproxies of projectcontour.io/v1", "install Contour"],
    ),
    case(
        "routes-possible",
        SHOP,
        |it| {
            it.patch_canary(json!({"spec": {"provider": "nginx", "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "frontend"}}}))
        },
        WRONG,
        &["frontend", "create or correct that object"],
    ),
    case(
        "routes-accepted",
        SHOP,
        |it| it.delete("virtualservices.networking.istio.io", "shop", "frontend"),
        WRONG,
        &["are not there", "makes them anew"],
    ),
    case(
        "service-selects",
        SHOP,
        extra_service,
        WRONG,
        &["extra.shop", "it selects app=frontend", "select app: frontend-primary"],
    ),
    case(
        "budget-selects",
        SHOP,
        budget,
        WARNED,
        &["extra.shop", "it protects app=frontend", "add one for app: frontend-primary"],
    ),
    case(
        "policy-selects",
        SHOP,
        |it| policies(it, json!({"podSelector": selector()})),
        WRONG,
        &["it is for app=frontend", "add one for app: frontend-primary"],
    ),
    case(
        "policy-admits",
        SHOP,
        |it| {
            policies(
                it,
                json!({"podSelector": {"matchLabels": {"app": "cart"}}, "ingress": [{"from": [{"podSelector": selector()}]}]}),
            )
        },
        WRONG,
        &["it admits app=frontend", "admit app: frontend-primary as well"],
    ),
    case(
        "monitor-selects",
        SHOP,
        |it| monitors(it, "PodMonitor"),
        WARNED,
        &["this PodMonitor selects app=frontend", "select app: frontend-primary as well"],
    ),
    case(
        "monitor-selects",
        SHOP,
        |it| {
            extra_service(it);
            it.patch("svc", "shop", "frontend", json!({"metadata": {"labels": null}}));
            monitors(it, "ServiceMonitor");
        },
        (WARNED.0, 1),
        &["scrapes the pods behind Service extra", "let it select the Service frontend"],
    ),
    case(
        "template-there",
        SHOP,
        |it| it.delete("metrictemplates.flagger.app", "shop", "latency"),
        WRONG,
        &["there is no MetricTemplate latency in namespace shop", "templateRef"],
    ),
    case(
        "template-secret",
        SHOP,
        |it| template(it, json!({"provider": {"secretRef": {"name": "prom"}}})),
        WRONG,
        &["there is no Secret prom of namespace shop", "correct secretRef"],
    ),
    case(
        "template-secret",
        SHOP,
        |it| template(it, json!({"provider": {"type": "datadog", "secretRef": {"name": "slack"}}})),
        WRONG,
        &["Secret slack of namespace shop: ", "docs/metrics.md"],
    ),
    case(
        "metric-askable",
        SHOP,
        |it| analysis(it, json!({"metrics": [{"name": "reqest-success-rate", "interval": "1m"}]})),
        WRONG,
        &["is no built-in metric", "correct spec.analysis.metrics[0]"],
    ),
    case(
        "metric-askable",
        SHOP,
        |it| template(it, json!({"query": "latency{{ nonsense }}"})),
        WRONG,
        &[": latency", "the query of the MetricTemplate", "docs/metrics.md"],
    ),
    case(
        "metric-answers",
        SHOP,
        |it| it.answer(PROMETHEUS, 200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#),
        // The same Prometheus does not answer the question whether it is one.
        (WARNED.0, 1),
        &["neither canary nor primary has a value now", "is there traffic"],
    ),
    case(
        "metric-answers",
        SHOP,
        |it| it.prometheus("NaN"),
        (WARNED.0, 1),
        &["the result is NaN", "is there traffic"],
    ),
    case(
        "metric-answers",
        SHOP,
        |it| template(it, json!({"provider": {"address": "http://thanos.monitoring.svc:9090"}})),
        WRONG,
        &[": latency", "there is no Service thanos in namespace monitoring", "with its namespace"],
    ),
    case(
        "metric-answers",
        SHOP,
        |it| template(it, json!({"provider": {"address": "https://thanos.example.com"}})),
        WARNED,
        &["can only be asked from inside the cluster: thanos.example.com", "vexil status"],
    ),
    case(
        "alert-there",
        SHOP,
        |it| it.delete("alertproviders.flagger.app", "shop", "receiver"),
        WRONG,
        &["there is no AlertProvider receiver", "providerRef"],
    ),
    case(
        "alert-usable",
        SHOP,
        |it| {
            it.patch(
                "alertproviders.flagger.app",
                "shop",
                "receiver",
                json!({"spec": {"address": "nonsense"}}),
            )
        },
        WRONG,
        &["invalid webhook URL", "docs/alerts.md"],
    ),
    case(
        "alert-secret",
        SHOP,
        |it| it.patch("secrets", "shop", "slack", json!({"data": {"address": null}})),
        WRONG,
        &["secret does not contain an address", "docs/alerts.md"],
    ),
    case(
        "hook-service",
        SHOP,
        |it| hook(it, json!({"url": "http://gates.shop.svc:8080/"})),
        WRONG,
        &["approval", "there is no Service gates in namespace shop", "correct the url"],
    ),
    case(
        "hook-service",
        SHOP,
        |it| hook(it, json!({"url": "http://gate.shop:80/"})),
        WRONG,
        &["has no port 80 (it has 8080)", "correct the port"],
    ),
    case(
        "hook-endpoints",
        SHOP,
        no_endpoints,
        WRONG,
        &["no pod behind Service gate.shop is ready", "get endpointslices"],
    ),
    case(
        "hook-secret",
        SHOP,
        |it| it.delete("secrets", "shop", "gate-headers"),
        WRONG,
        &["there is no Secret gate-headers", "correct the hook"],
    ),
    case(
        "hook-secret",
        SHOP,
        |it| it.patch("secrets", "shop", "gate-headers", json!({"metadata": {"labels": null}})),
        WRONG,
        &["is not released for this", "label secret gate-headers flagger.app/use-in=hooks"],
    ),
    case(
        "hook-secret",
        SHOP,
        |it| hook(it, json!({"signature": {"secretRef": {"name": "gate-headers", "key": "key"}}})),
        WRONG,
        &["has no key \"key\"", "signature.secretRef"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_canary_is_told_with_its_cure() {
    let (first, second) = CASES.split_at(CASES.len() / 2);
    tokio::join!(hold("canary-a", false, first), hold("canary-b", false, second));
}
