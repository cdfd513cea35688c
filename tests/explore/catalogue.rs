//! The cases: each strategy, gate and rule, under the troubles that it has to stand. Thresholds and steps are small, so
//! that most spaces close.

use serde_json::{Value, json};
use vexil::model::traffic::Capabilities;

use super::spec::{Spec, Trouble};
use super::world::{A, B, C, X};

fn hooks(kinds: &[&str]) -> Value {
    let one = |kind: &&str| json!({"name": kind, "type": kind, "url": "http://hooks/"});
    let all: Vec<Value> = kinds.iter().map(one).collect();
    json!({"analysis": {"webhooks": all}})
}

fn analysis(fields: Value) -> Value {
    json!({"analysis": fields})
}

fn metric(fields: &Value) -> Value {
    let mut metric = json!({"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"});
    for (key, value) in fields.as_object().into_iter().flatten() {
        metric[key] = value.clone();
    }
    metric
}

fn ab() -> Value {
    analysis(json!({"iterations": 1, "match": [{"headers": {"x-canary": {"exact": "yes"}}}]}))
}

fn blue_green() -> Value {
    analysis(json!({"iterations": 1}))
}

fn mirrored() -> Value {
    analysis(json!({"mirror": true}))
}

fn two_steps() -> Value {
    analysis(json!({"stepWeight": 30, "maxWeight": 60}))
}

fn affine() -> Value {
    analysis(json!({"sessionAffinity": {"cookieName": "c", "primaryCookieName": "p"}}))
}

/// All cases.
pub fn all() -> Vec<Spec> {
    use Trouble::*;
    let spec = Spec::new;
    let bare = Capabilities::NONE;
    vec![
        // Strategies.
        spec("weighted: lies, silence").amid(&[Lies, Silence]),
        spec("weighted: pods, never ready").amid(&[Pods]).pushing(&[A, B, X]),
        spec("weighted: pods, bad").amid(&[Pods]).pushing(&[A, C]),
        spec("weighted: crashes, lies").amid(&[Crash, Lies]),
        spec("weighted: crashes, pods").amid(&[Crash, Pods]).pushing(&[A, B]),
        spec("weighted: sleep").amid(&[Sleep]),
        spec("weighted: late endpoints, pods").amid(&[Lag, Pods]).pushing(&[A, B]),
        spec("weighted: drift").amid(&[Drift]).pushing(&[A, B]),
        spec("weighted: acceptance, crashes").amid(&[Acceptance, Crash]).pushing(&[A, B]),
        spec("weighted: services").amid(&[Services]).pushing(&[A, B]),
        spec("weighted: primary deleted").amid(&[PrimaryGone]),
        spec("weighted: primary deleted, crashes").amid(&[PrimaryGone, Crash]).pushing(&[A, B]),
        spec("weighted: target deleted").amid(&[TargetGone]).pushing(&[A, B]),
        spec("weighted: refused, pods").amid(&[Refusal, Pods]).pushing(&[A, B]),
        spec("weighted: replicas pushed").amid(&[Replicas]),
        spec("weighted: by hand").amid(&[Hand]).pushing(&[A, B]),
        spec("weighted: by hand, bad").amid(&[Hand]).pushing(&[A, C]),
        spec("weighted: two pods").of_pods(2).amid(&[Pods]).pushing(&[A, B]),
        spec("weighted: threshold 2").with(analysis(json!({"threshold": 2}))).amid(&[Lies]),
        spec("two steps: crashes, lies").with(two_steps()).amid(&[Crash, Lies]),
        spec("two steps: pods").with(two_steps()).amid(&[Pods]).pushing(&[A, B]),
        spec("stepWeights: pods").with(analysis(json!({"stepWeights": [10, 60]}))).amid(&[Pods]).pushing(&[A, B]),
        spec("to 100: pods").with(analysis(json!({"stepWeight": 50, "maxWeight": 100}))).amid(&[Pods]).pushing(&[A, B]),
        spec("stepWeightPromotion: pods")
            .with(analysis(json!({"stepWeightPromotion": 50})))
            .amid(&[Pods])
            .pushing(&[A, B]),
        spec("stepWeightPromotion: crashes")
            .with(analysis(json!({"stepWeight": 90, "maxWeight": 90, "stepWeightPromotion": 40})))
            .amid(&[Crash, Lies]),
        spec("A/B: pods, lies").with(ab()).amid(&[Pods, Lies]).pushing(&[A, B]),
        spec("A/B: crashes").with(ab()).amid(&[Crash]),
        spec("A/B: drift").with(ab()).amid(&[Drift]).pushing(&[A, B]),
        spec("blue/green: pods, lies").with(blue_green()).amid(&[Pods, Lies]).pushing(&[A, B]),
        spec("blue/green: crashes").with(blue_green()).amid(&[Crash]),
        spec("blue/green: drift").with(blue_green()).amid(&[Drift]).pushing(&[A, B]),
        spec("no mesh: pods, crashes").on(bare).with(blue_green()).amid(&[Pods, Crash]).pushing(&[A, B]),
        spec("no mesh: by hand").on(bare).with(blue_green()).amid(&[Hand]),
        // Mirror, affinity, recreate.
        spec("mirror: pods").with(mirrored()).amid(&[Pods]).pushing(&[A, B]),
        spec("mirror: crashes, lies").with(mirrored()).amid(&[Crash, Lies]),
        spec("mirrored blue/green: pods")
            .with(analysis(json!({"iterations": 1, "mirror": true})))
            .amid(&[Pods])
            .pushing(&[A, B]),
        spec("affinity: crashes").with(affine()).amid(&[Crash]).pushing(&[A, B]),
        spec("affinity: pods").with(affine()).amid(&[Pods]).pushing(&[A, B]),
        spec("recreate: pods").recreating().amid(&[Pods]).pushing(&[A, B]),
        spec("recreate: crashes, lies").recreating().amid(&[Crash, Lies]),
        spec("recreate, A/B: acceptance").with(ab()).recreating().amid(&[Acceptance]),
        // Gates and hooks.
        spec("confirm-rollout: lies, crashes").with(hooks(&["confirm-rollout"])).amid(&[Lies, Crash]),
        spec("confirm-rollout: by hand").with(hooks(&["confirm-rollout"])).amid(&[Lies, Hand]).pushing(&[A, B]),
        spec("confirm-rollout: replicas pushed").with(hooks(&["confirm-rollout"])).amid(&[Lies, Replicas]),
        spec("confirm-promotion: lies, crashes").with(hooks(&["confirm-promotion"])).amid(&[Lies, Crash]),
        spec("confirm-promotion: by hand").with(hooks(&["confirm-promotion"])).amid(&[Lies, Hand]).pushing(&[A, B]),
        spec("confirm-promotion: pods").with(hooks(&["confirm-promotion"])).amid(&[Lies, Pods]).pushing(&[A, B]),
        spec("confirm-traffic-increase: lies, crashes")
            .with(hooks(&["confirm-traffic-increase"]))
            .amid(&[Lies, Crash]),
        spec("confirm-traffic-increase: by hand")
            .with(hooks(&["confirm-traffic-increase"]))
            .amid(&[Lies, Hand])
            .pushing(&[A, B]),
        spec("pre-rollout, rollout: lies").with(hooks(&["pre-rollout", "rollout"])).amid(&[Lies]),
        spec("post-rollout: lies, crashes").with(hooks(&["post-rollout"])).amid(&[Lies, Crash]),
        spec("rollback hook: lies, pods").with(hooks(&["rollback"])).amid(&[Lies, Pods]).pushing(&[A, B]),
        spec("rollback hook, A/B gate: lies")
            .with({
                let mut all = ab();
                all["analysis"]["webhooks"] = hooks(&["rollback", "confirm-promotion"])["analysis"]["webhooks"].clone();
                all
            })
            .amid(&[Lies]),
        // Metrics' own rules.
        spec("hold on silence").with(analysis(json!({"onNoData": "hold", "onMetricError": "hold"}))).amid(&[Silence]),
        spec("pass without data").with(analysis(json!({"onNoData": "pass"}))).amid(&[Silence]),
        spec("critical metric: lies")
            .with(analysis(json!({"threshold": 2, "metrics": [metric(&json!({"severity": "critical"}))]})))
            .amid(&[Lies, Crash]),
        spec("failureLimit: lies")
            .with(analysis(json!({"threshold": 2, "metrics": [metric(&json!({"failureLimit": 1}))]})))
            .amid(&[Lies, Silence]),
        spec("two metrics, one dry: lies")
            .with(analysis(json!({"metrics": [metric(&json!({})), metric(&json!({"name": "request-duration", "thresholdRange": {"max": 500}, "dryRun": true}))]})))
            .amid(&[Lies]),
        // Manifests that change.
        spec("skipAnalysis: pods, crashes")
            .with(json!({"skipAnalysis": true}))
            .amid(&[Pods, Crash])
            .pushing(&[A, B]),
        spec("skipAnalysis switched").or(json!({"skipAnalysis": true})).amid(&[Edit]),
        spec("skipAnalysis switched, pods").or(json!({"skipAnalysis": true})).amid(&[Edit, Pods]).pushing(&[A, B]),
        spec("suspended and resumed").or(json!({"suspend": true})).amid(&[Edit]),
        spec("suspended, pods").or(json!({"suspend": true})).amid(&[Edit, Pods]).pushing(&[A, B]),
        spec("steps edited").or(two_steps()).amid(&[Edit]),
        spec("strategy edited").or(blue_green()).amid(&[Edit]).pushing(&[A, B]),
        spec("threshold edited").or(analysis(json!({"threshold": 2}))).amid(&[Edit, Lies]).pushing(&[A, B]),
        spec("deletion").amid(&[Deletion, Crash]).pushing(&[A, B]),
        spec("revertOnDeletion: pods")
            .with(json!({"revertOnDeletion": true}))
            .amid(&[Deletion, Pods])
            .pushing(&[A, B]),
        spec("revertOnDeletion: crashes")
            .with(json!({"revertOnDeletion": true}))
            .amid(&[Deletion, Crash])
            .pushing(&[A, B]),
        spec("revertOnDeletion: target deleted")
            .with(json!({"revertOnDeletion": true}))
            .amid(&[Deletion, TargetGone])
            .pushing(&[A, B]),
        // Autoscalers and ConfigMaps.
        spec("autoscaler: scales, crashes")
            .with(json!({"autoscalerRef": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"}}))
            .amid(&[Scaler, Crash])
            .pushing(&[A, B]),
        spec("autoscaler: pods")
            .with(json!({"autoscalerRef": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "podinfo"}}))
            .amid(&[Pods])
            .pushing(&[A, B]),
        spec("ConfigMaps").tracking().amid(&[Config]).pushing(&[A, B]),
        spec("ConfigMaps: crashes, lies").tracking().amid(&[Config, Crash, Lies]).pushing(&[A, B]),
        // Everything at once.
        spec("everything, weighted")
            .amid(&[Pods, Lies, Crash, Drift, Acceptance, Hand, Refusal, PrimaryGone, TargetGone, Services, Sleep, Deletion])
            .pushing(&[A, B, C]),
        spec("everything, recreate and gates")
            .with(hooks(&["confirm-promotion", "rollback"]))
            .recreating()
            .amid(&[Pods, Lies, Crash, Drift, Acceptance, Hand, Refusal, PrimaryGone])
            .pushing(&[A, B]),
    ]
}
