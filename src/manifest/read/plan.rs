//! `spec.analysis` but for its strategy and metrics.

use std::time::Duration;

use url::Url;

use super::checks;
use crate::api::analysis::{Analysis, OnMetricError, OnNoData, SessionAffinity};
use crate::api::duration;
use crate::api::hooks::{AlertRef, HookType, Severity, Webhook};
use crate::api::reference::CrossRef;
use crate::manifest::defaults;
use crate::manifest::notes::{Notes, shown};
use crate::manifest::validate::EMPTY;
use crate::model::release::{Credentials, Hook, Plan, Settings, Steps, Strategy};
use crate::model::secrets::exposed;

/// The plan as written. Its strategy is a first guess, for routers to look at.
pub(super) fn read(
    analysis: &Analysis,
    path: &str,
    namespace: &str,
    settings: &Settings,
    notes: &mut Notes,
) -> Plan {
    Plan {
        interval: interval(analysis.interval.as_deref(), path, notes),
        threshold: threshold(analysis.threshold, path, notes),
        strategy: first_guess(analysis),
        mirror: analysis.mirror.unwrap_or_default(),
        mirror_weight: mirror_weight(analysis.mirror_weight, path, notes),
        step_weight_promotion: percent(
            analysis.step_weight_promotion,
            0,
            &format!("{path}.stepWeightPromotion"),
            notes,
        ),
        primary_ready_threshold: ready_threshold(analysis.primary_ready_threshold, path, "primary", notes),
        canary_ready_threshold: ready_threshold(analysis.canary_ready_threshold, path, "canary", notes),
        matches: analysis.matches.clone().unwrap_or_default(),
        metrics: checks::read(analysis, path, namespace, notes),
        hooks: hooks(analysis, path, namespace, settings, notes),
        alerts: alerts(analysis, path, namespace, notes),
        session_affinity: analysis
            .session_affinity
            .as_ref()
            .map(|written| affinity(written, &format!("{path}.sessionAffinity"), notes)),
        on_metric_error: analysis.on_metric_error.unwrap_or_default(),
        on_no_data: analysis.on_no_data.unwrap_or_default(),
    }
}

/// Of a Canary that is promoted without being analysed (spec 01 EC-3).
pub(super) fn without_analysis() -> Plan {
    Plan {
        interval: defaults::INTERVAL,
        threshold: defaults::THRESHOLD,
        strategy: Strategy::Weighted(ALL_AT_ONCE),
        mirror: false,
        mirror_weight: None,
        step_weight_promotion: 0,
        primary_ready_threshold: defaults::READY_THRESHOLD,
        canary_ready_threshold: defaults::READY_THRESHOLD,
        matches: Vec::new(),
        metrics: Vec::new(),
        hooks: Vec::new(),
        alerts: Vec::new(),
        session_affinity: None,
        on_metric_error: OnMetricError::default(),
        on_no_data: OnNoData::default(),
    }
}

fn first_guess(analysis: &Analysis) -> Strategy {
    let matching = analysis.matches.as_ref().is_some_and(|matches| !matches.is_empty());
    match u32::try_from(analysis.iterations.unwrap_or_default().clamp(0, MOST_ITERATIONS)) {
        Ok(iterations @ 1..) if matching => Strategy::AbTesting { iterations },
        Ok(iterations @ 1..) => Strategy::BlueGreen { iterations },
        _ => Strategy::Weighted(ALL_AT_ONCE),
    }
}

fn interval(written: Option<&str>, path: &str, notes: &mut Notes) -> Duration {
    let Some(text) = written.filter(|text| !text.is_empty()) else { return defaults::INTERVAL };
    let field = format!("{path}.interval");
    match duration::parse_nanos(text) {
        Err(_) => {
            notes.warn(&field, format!("{} is not a duration, 60s is used: {LIKE}", shown(text)));
            defaults::INTERVAL
        }
        Ok(nanos) => {
            let interval = Duration::from_nanos(u64::try_from(nanos).unwrap_or_default());
            if interval < defaults::SHORTEST_INTERVAL {
                notes.warn(&field, format!("{} is too short, 10s is used: write 10s or more", shown(text)));
            }
            interval.max(defaults::SHORTEST_INTERVAL)
        }
    }
}

fn threshold(written: Option<i64>, path: &str, notes: &mut Notes) -> i64 {
    if let Some(threshold @ ..0) = written {
        let message = format!(
            "{threshold} is no number of checks, {} is used: write how many failed checks end a release",
            defaults::THRESHOLD
        );
        notes.warn(&format!("{path}.threshold"), message);
    }
    written.filter(|threshold| *threshold > 0).unwrap_or(defaults::THRESHOLD)
}

fn mirror_weight(written: Option<i64>, path: &str, notes: &mut Notes) -> Option<u32> {
    let weight = percent(written, 0, &format!("{path}.mirrorWeight"), notes);
    (weight > 0).then_some(weight)
}

fn ready_threshold(written: Option<i64>, path: &str, side: &str, notes: &mut Notes) -> u32 {
    percent(written, defaults::READY_THRESHOLD, &format!("{path}.{side}ReadyThreshold"), notes)
}

/// A share, brought between 0 and 100.
fn percent(written: Option<i64>, otherwise: u32, field: &str, notes: &mut Notes) -> u32 {
    let Some(value) = written else { return otherwise };
    let used = value.clamp(0, 100);
    if used != value {
        notes.warn(field, format!("{value} is not a percentage, {used} is used: write 0 to 100"));
    }
    u32::try_from(used).unwrap_or(otherwise)
}

fn hooks(
    analysis: &Analysis,
    path: &str,
    namespace: &str,
    settings: &Settings,
    notes: &mut Notes,
) -> Vec<Hook> {
    let hooks = analysis.webhooks.iter().flatten().enumerate();
    hooks
        .map(|(index, hook)| {
            let path = format!("{path}.webhooks[{index}]");
            judge_secrecy(hook, &path, namespace, settings, notes);
            read_hook(hook, &path, settings, notes)
        })
        .collect()
}

/// Headers of Secrets are ours, so that they need not go where others read them. A password in an address is what
/// Flagger's users may have: it is worth a warning.
fn judge_secrecy(hook: &Webhook, path: &str, namespace: &str, settings: &Settings, notes: &mut Notes) {
    let Some(exposed) = exposed(&hook.url, namespace, hook.disable_tls.unwrap_or_default()) else { return };
    if hook.headers_from.is_some() && !settings.allow_insecure_credentials {
        let message = format!(
            "would be sent {exposed}: write an https address and leave disableTLS out, or set the controller's flag \
             -allow-insecure-credentials"
        );
        notes.refuse(&format!("{path}.headersFrom"), message);
    }
    if Url::parse(&hook.url).is_ok_and(|url| url.password().is_some()) {
        let message =
            format!("sends its password {exposed}: write an https address and leave disableTLS out");
        notes.warn(&format!("{path}.url"), message);
    }
}

fn read_hook(hook: &Webhook, path: &str, settings: &Settings, notes: &mut Notes) -> Hook {
    let address = Url::parse(&hook.url).ok();
    if !address.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        let message =
            format!("{} is not an address: write one like http://gate.test/check", shown(&hook.url));
        notes.refuse(&format!("{path}.url"), message);
    }
    let kind = match hook.kind {
        None | Some(HookType::Unset) => HookType::default(),
        Some(kind) => kind,
    };
    let retries = hook
        .retries
        .map_or(defaults::HOOK_RETRIES, |retries| u32::try_from(retries.max(0)).unwrap_or(u32::MAX));
    if hook.cloud_events.is_some() && kind != HookType::Event {
        let message = "only events are sent as CloudEvents: leave it out, or write type: event".to_owned();
        notes.warn(&format!("{path}.cloudEvents"), message);
    }
    Hook {
        name: hook.name.clone(),
        url: hook.url.clone(),
        kind,
        timeout: hook_timeout(hook.timeout.as_deref(), path, settings.max_webhook_timeout, notes),
        retries,
        disable_tls: hook.disable_tls.unwrap_or_default(),
        cloud_events: hook.cloud_events,
        mute_alert: hook.mute_alert.unwrap_or_default(),
        metadata: hook.metadata.clone().unwrap_or_default(),
        credentials: credentials(hook, path, notes),
    }
}

fn credentials(hook: &Webhook, path: &str, notes: &mut Notes) -> Credentials {
    let mut named = |field: &str, name: &str| {
        if name.is_empty() {
            notes.refuse(&format!("{path}.{field}.secretRef.name"), EMPTY.to_owned());
        }
        name.to_owned()
    };
    let headers = hook.headers_from.as_ref().map(|from| named("headersFrom", &from.secret_ref.name));
    let signing = hook.signature.as_ref().map(|signature| {
        let key = defaults::name(signature.secret_ref.key.as_deref(), "key").to_owned();
        (named("signature", &signature.secret_ref.name), key)
    });
    Credentials { headers, signing }
}

/// A hook that hangs holds one of the places that all calls share, so that its time is bounded.
fn hook_timeout(written: Option<&str>, path: &str, longest: Duration, notes: &mut Notes) -> Duration {
    let field = format!("{path}.timeout");
    let Some(text) = written.filter(|text| text.chars().count() > 1) else {
        return defaults::HOOK_TIMEOUT.min(longest);
    };
    let timeout = positive(text, &field, notes).unwrap_or(defaults::HOOK_TIMEOUT);
    if timeout > longest {
        let cap = duration::format(longest);
        let message = format!(
            "{} is too long, {cap} is used: the controller's flag -max-webhook-timeout allows no more",
            shown(text)
        );
        notes.warn(&field, message);
    }
    timeout.min(longest)
}

/// A duration that must be one; a problem otherwise.
pub(super) fn positive(text: &str, field: &str, notes: &mut Notes) -> Option<Duration> {
    match duration::parse_nanos(text).map(u64::try_from) {
        Ok(Ok(nanos @ 1..)) => return Some(Duration::from_nanos(nanos)),
        Ok(_) => notes.refuse(field, format!("{} is not more than 0s: {LIKE}", shown(text))),
        Err(_) => notes.refuse(field, format!("{} is not a duration: {LIKE}", shown(text))),
    }
    None
}

fn alerts(analysis: &Analysis, path: &str, namespace: &str, notes: &mut Notes) -> Vec<AlertRef> {
    let alerts = analysis.alerts.iter().flatten().enumerate();
    alerts
        .map(|(index, alert)| {
            let provider = &alert.provider_ref;
            if provider.name.is_empty() {
                notes.refuse(&format!("{path}.alerts[{index}].providerRef.name"), EMPTY.to_owned());
            }
            let severity = alert.severity.filter(|severity| *severity != Severity::Unset).unwrap_or_default();
            let provider_namespace = defaults::name(provider.namespace.as_deref(), namespace).to_owned();
            AlertRef {
                name: alert.name.clone(),
                severity: Some(severity),
                provider_ref: CrossRef { name: provider.name.clone(), namespace: Some(provider_namespace) },
            }
        })
        .collect()
}

fn affinity(written: &SessionAffinity, path: &str, notes: &mut Notes) -> SessionAffinity {
    if let Some(age @ ..0) = written.max_age {
        let message = format!(
            "{age} would take every cookie back at once, {} is used: write the seconds that it is to be kept",
            defaults::COOKIE_MAX_AGE
        );
        notes.warn(&format!("{path}.maxAge"), message);
    }
    SessionAffinity {
        primary_cookie_name: written.primary_cookie_name.clone().filter(|name| !name.is_empty()),
        max_age: Some(written.max_age.filter(|age| *age > 0).unwrap_or(defaults::COOKIE_MAX_AGE)),
        ..written.clone()
    }
}

/// One step to all of the traffic.
pub(super) const ALL_AT_ONCE: Steps = Steps::By { step: defaults::MAX_WEIGHT, max: defaults::MAX_WEIGHT };

/// As good as for ever, and no sum with it overflows.
const MOST_ITERATIONS: i64 = 1_000_000;

const LIKE: &str = "write one like 30s, 1m or 1m30s";
