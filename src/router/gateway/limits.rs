//! How large the API lets a route be. What is larger would be refused with each write, a rollback's as well.

use serde_json::Value;

use super::live::list;

/// Headers of one operation (`add`, `set`, `remove`) of a filter.
pub(super) const HEADERS: usize = 16;
const PARENTS: usize = 32;
const HOSTNAMES: usize = 16;
const RULES: usize = 16;
const MATCHES_OF_A_RULE: usize = 64;
const MATCHES: usize = 128;
const CONDITIONS: usize = 16;
const FILTERS: usize = 16;
const CORS: [(&str, usize); 4] =
    [("allowOrigins", 64), ("allowMethods", 9), ("allowHeaders", 64), ("exposeHeaders", 64)];

/// What of a route's spec is more than the API takes, with the numbers; `None` if nothing is.
pub(super) fn exceeded(spec: &Value) -> Option<String> {
    let rules = list(&spec["rules"]);
    let matches = rules.iter().map(|rule| list(&rule["matches"]).len()).sum();
    let whole = [
        (list(&spec["parentRefs"]).len(), PARENTS, "parents of the route (spec.service.gatewayRefs)"),
        (list(&spec["hostnames"]).len(), HOSTNAMES, "host names of the route (spec.service.hosts)"),
        (rules.len(), RULES, "rules of the route"),
        (matches, MATCHES, "matches in all rules of the route"),
    ];
    let each = rules.iter().flat_map(of_rule);
    let mut all = whole.into_iter().chain(each);
    all.find(|(found, most, _)| found > most)
        .map(|(found, most, what)| format!("{found} {what}, and the Gateway API takes {most}"))
}

fn of_rule(rule: &Value) -> Vec<(usize, usize, &'static str)> {
    let mut all = vec![(
        list(&rule["matches"]).len(),
        MATCHES_OF_A_RULE,
        "matches of one rule (entries of spec.analysis.match times entries of spec.service.match)",
    )];
    for entry in list(&rule["matches"]) {
        all.push((list(&entry["headers"]).len(), CONDITIONS, "headers in one match"));
        all.push((list(&entry["queryParams"]).len(), CONDITIONS, "query parameters in one match"));
    }
    let filters = list(&rule["filters"]);
    all.push((filters.len(), FILTERS, "filters of one rule (headers, rewrite, mirrors, CORS)"));
    for filter in filters {
        for modifier in [&filter["requestHeaderModifier"], &filter["responseHeaderModifier"]] {
            for operation in ["add", "set", "remove"] {
                let found = list(&modifier[operation]).len();
                all.push((found, HEADERS, "headers in one operation of spec.service.headers"));
            }
        }
        for (field, most) in CORS {
            all.push((
                list(&filter["cors"][field]).len(),
                most,
                "items in one list of spec.service.corsPolicy",
            ));
        }
    }
    all
}
