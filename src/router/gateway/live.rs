//! What a live route says.

use serde_json::Value;

use crate::model::release::Release;

/// The two Services of a release, as the backends of rules.
pub(super) struct Sides {
    pub primary: String,
    pub canary: String,
    apex: String,
    namespace: String,
}

impl Sides {
    pub(super) fn of(release: &Release) -> Self {
        Self {
            primary: release.primary_service(),
            canary: release.canary_service(),
            apex: release.apex.clone(),
            namespace: release.namespace.clone(),
        }
    }

    /// Weight of the primary in a rule, if the rule leads there.
    pub(super) fn primary(&self, rule: &Value) -> Option<u64> {
        self.weight(rule, &self.primary)
    }

    /// Weight of the canary in a rule, if the rule leads there.
    pub(super) fn canary(&self, rule: &Value) -> Option<u64> {
        self.weight(rule, &self.canary)
    }

    /// Whether a rule leads to one of the two.
    pub(super) fn are_in(&self, rule: &Value) -> bool {
        self.primary(rule).or(self.canary(rule)).is_some()
    }

    /// Whether a rule leads to the Service that users call.
    pub(super) fn apex_is_in(&self, rule: &Value) -> bool {
        self.weight(rule, &self.apex).is_some()
    }

    /// Whether a rule leads to the Service that users call, and nowhere else.
    pub(super) fn apex_is_all_of(&self, rule: &Value) -> bool {
        self.apex_is_in(rule) && backends(rule).iter().all(|backend| self.is(backend, &self.apex))
    }

    /// The percentages of primary and canary. A single backend gets everything.
    pub(super) fn shares(&self, rule: &Value) -> (u64, u64) {
        let share = |weight: Option<u64>| match weight {
            Some(weight) if backends(rule).len() == 1 && weight > 0 => 100,
            weight => weight.unwrap_or(0),
        };
        (share(self.primary(rule)), share(self.canary(rule)))
    }

    fn weight(&self, rule: &Value, name: &str) -> Option<u64> {
        let those = backends(rule).iter().filter(|backend| self.is(backend, name));
        those.map(|backend| backend["weight"].as_u64().unwrap_or(1)).reduce(u64::saturating_add)
    }

    /// Whether a backend, or that of a mirror, is this Service of the release's namespace.
    pub(super) fn is(&self, backend: &Value, name: &str) -> bool {
        let text = |field: &str, default: &str| backend[field].as_str().unwrap_or(default).to_owned();
        backend["name"] == name
            && text("kind", "Service") == "Service"
            && ["", "core"].contains(&text("group", "").as_str())
            && text("namespace", &self.namespace) == self.namespace
    }

    /// The live backend that a side is like: its own, else that of the Service that users call, else the primary's.
    pub(super) fn backend<'a>(&self, rule: &'a Value, name: &str) -> Option<&'a Value> {
        let of = |name: &str| backends(rule).iter().find(|backend| self.is(backend, name));
        of(name).or_else(|| of(&self.apex)).or_else(|| of(&self.primary))
    }
}

/// The rules of a route.
pub(super) fn rules(route: &Value) -> &[Value] {
    list(&route["spec"]["rules"])
}

/// The backends of a rule.
pub(super) fn backends(rule: &Value) -> &[Value] {
    list(&rule["backendRefs"])
}

/// The items of a list; none where there is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
