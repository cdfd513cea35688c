//! Who else selects the target's pods by a label that the primary's pods do not have. While no release is under way the
//! target has no pods, so that what selects only them selects nothing.

use serde_json::{Value, json};

use crate::cli::check::asker::Asked;
use crate::cli::check::finding::{Finding, Outcome};
use crate::cli::check::selects::{Pods, matches};

use super::Facts;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn named(object: &Value) -> String {
    format!("{}.{}", text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]))
}

/// A finding of each object about which there is something to say; else that all is well.
fn told(
    it: &Facts,
    objects: &Asked<Vec<Value>>,
    judge: impl Fn(&Pods, &Value) -> Option<Finding>,
) -> Vec<Finding> {
    let Some(pods) = it.pods() else { return Vec::new() };
    let objects = match objects {
        Err(why) => return Finding::unasked(why).alone(),
        Ok(objects) => objects,
    };
    let found: Vec<Finding> =
        objects.iter().filter_map(|object| Some(judge(&pods, object)?.about(named(object)))).collect();
    if found.is_empty() { Finding::fine("").alone() } else { found }
}

/// The primary's value of the label in `by`, for a cure.
fn also(it: &Facts) -> String {
    let shape = it.shape.as_ref().and_then(|shape| shape.as_ref().ok());
    shape.map_or_else(String::new, |shape| format!("{}: {}-primary", shape.label_key, shape.label_value))
}

/// The names of the Services that belong to the release.
fn own_services(it: &Facts) -> [String; 3] {
    it.release.as_ref().map_or_else(Default::default, |release| {
        [release.apex.clone(), release.primary_service(), release.canary_service()]
    })
}

pub(super) fn services(it: &Facts) -> Vec<Finding> {
    let own = own_services(it);
    told(it, &it.around.services, |pods, service| {
        let name = text(&service["metadata"]["name"]);
        let is_own = own.iter().any(|own| own == name);
        let by = pods.only_target_by_labels(&service["spec"]["selector"]).filter(|_| !is_own)?;
        let apex = &own[0];
        Some(Finding::wrong(
            format!(
                "it selects {by}: only pods of the target, so that it leads to nobody between two releases"
            ),
            format!(
                "let its callers use the Service {apex}, or select {}, or a label that both have",
                also(it)
            ),
        ))
    })
}

pub(super) fn budgets(it: &Facts) -> Vec<Finding> {
    told(it, &it.around.budgets, |pods, budget| {
        let by = pods.only_target(&budget["spec"]["selector"])?;
        Some(Finding::warning(
            format!("it protects {by}: not the primary, which serves between two releases"),
            format!("add one for {}, or select a label that both have", also(it)),
        ))
    })
}

pub(super) fn policies(it: &Facts) -> Vec<Finding> {
    told(it, &it.around.policies, |pods, policy| {
        let by = pods.only_target(&policy["spec"]["podSelector"])?;
        Some(Finding::wrong(
            format!("it is for {by}: what it allows or forbids does not hold for the primary, which serves"),
            format!("add one for {}, or select a label that both have", also(it)),
        ))
    })
}

pub(super) fn admissions(it: &Facts) -> Vec<Finding> {
    told(it, &it.around.policies, |pods, policy| {
        let rules = list(&policy["spec"]["ingress"]).flat_map(|rule| list(&rule["from"]));
        let rules = rules.chain(list(&policy["spec"]["egress"]).flat_map(|rule| list(&rule["to"])));
        // A peer of other namespaces is none of ours, unless it means all.
        let here =
            |peer: &&Value| peer["namespaceSelector"].is_null() || peer["namespaceSelector"] == json!({});
        let peers: Vec<&Value> = rules.filter(here).map(|peer| &peer["podSelector"]).collect();
        let admits_primary = peers.iter().any(|selector| matches(selector, &pods.primary));
        let by = peers.iter().find_map(|selector| pods.only_target(selector)).filter(|_| !admits_primary)?;
        Some(Finding::wrong(
            format!("it admits {by}: the target's pods, and not those of the primary"),
            format!("admit {} as well, or a label that both have", also(it)),
        ))
    })
}

pub(super) fn monitors(it: &Facts) -> Vec<Finding> {
    let namespace = it.namespace().to_owned();
    let mut found = told(it, &it.around.pod_monitors, |pods, monitor| {
        let by =
            pods.only_target(&monitor["spec"]["selector"]).filter(|_| looks_into(monitor, &namespace))?;
        Some(Finding::warning(
            format!(
                "this PodMonitor selects {by}: the primary's pods are not scraped, and checks compare with nothing"
            ),
            format!("select {} as well, or a label that both have", also(it)),
        ))
    });
    let own = own_services(it);
    let services = it.around.services.clone().unwrap_or_default();
    let behind = told(it, &it.around.service_monitors, |pods, monitor| {
        if !looks_into(monitor, &namespace) {
            return None;
        }
        let selected = services.iter().filter(|service| {
            let labels = service["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            matches(&monitor["spec"]["selector"], &labels)
        });
        let (mut by, mut primary) = (None, false);
        for service in selected {
            let name = text(&service["metadata"]["name"]);
            let selector = &service["spec"]["selector"];
            // The Services of the release lead to the primary once it is there.
            primary |= own[..2].iter().any(|own| own == name)
                || matches(&json!({"matchLabels": selector}), &pods.primary);
            by = by.or_else(|| pods.only_target_by_labels(selector).map(|_| name.to_owned()));
        }
        let by = by.filter(|_| !primary)?;
        Some(Finding::warning(
            format!("this ServiceMonitor scrapes the pods behind Service {by}, and none of the primary"),
            format!("let it select the Service {} as well", own[0]),
        ))
    });
    let fine = |findings: &[Finding]| findings.iter().all(|it| it.outcome == Outcome::Fine);
    if fine(&found) {
        return behind;
    }
    if !fine(&behind) {
        found.extend(behind);
    }
    found
}

/// Whether a monitor of the Prometheus operator looks into `namespace`.
fn looks_into(monitor: &Value, namespace: &str) -> bool {
    let selector = &monitor["spec"]["namespaceSelector"];
    if selector["any"] == true {
        return true;
    }
    let mut names = list(&selector["matchNames"]).peekable();
    match names.peek() {
        Some(_) => names.any(|name| name == namespace),
        None => monitor["metadata"]["namespace"] == namespace,
    }
}

/// Autoscalers of the target that the Canary does not name.
pub(super) fn scalers(it: &Facts) -> Vec<Finding> {
    let (Some(release), Some(target)) = (&it.release, it.target_id()) else { return Vec::new() };
    let scalers = match &it.around.scalers {
        Err(why) => return Finding::unasked(why).alone(),
        Ok(scalers) => scalers,
    };
    let named_one = |scaler: &Value| {
        release.autoscaler.as_ref().is_some_and(|own| scaler["metadata"]["name"] == *own.name)
    };
    // The HPA of a ScaledObject is KEDA's.
    let of_another = |scaler: &Value| {
        list(&scaler["metadata"]["ownerReferences"]).any(|owner| owner["controller"] == true)
    };
    let found: Vec<Finding> = scalers
        .iter()
        .filter(|scaler| scales(scaler, target.kind.kind, &target.name) && !named_one(scaler) && !of_another(scaler))
        .map(|scaler| {
            let kind = text(&scaler["kind"]);
            Finding::warning(
                format!("this {kind} scales the target, and the Canary does not name it: the primary is not scaled"),
                format!("write spec.autoscalerRef with kind {kind} and name {}", text(&scaler["metadata"]["name"])),
            )
            .about(named(scaler))
        })
        .collect();
    if found.is_empty() { Finding::fine("").alone() } else { found }
}

/// Whether an autoscaler scales this workload.
pub(super) fn scales(scaler: &Value, kind: &str, name: &str) -> bool {
    let target = &scaler["spec"]["scaleTargetRef"];
    target["name"] == name && target["kind"].as_str().unwrap_or("Deployment") == kind
}
