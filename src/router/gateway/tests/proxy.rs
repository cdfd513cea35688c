//! Where requests end under our rules, by the precedence that the Gateway API lays down for gateways.

use super::*;

/// A request: its path, and its headers by their lower-case names.
struct Request<'a> {
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

/// Weights of primary and canary in the rule that a gateway would choose.
fn chosen(route: &Value, request: &Request<'_>) -> (u64, u64) {
    let rules = live::rules(route).iter().enumerate();
    let all = rules
        .flat_map(|(index, rule)| live::list(&rule["matches"]).iter().map(move |entry| (index, rule, entry)));
    let matching = all.filter(|(_, _, entry)| takes(entry, request));
    let (_, rule, _) = matching
        .min_by_key(|(index, _, entry)| {
            let path = &entry["path"];
            let length = path["value"].as_str().map_or(0, str::len);
            let headers = live::list(&entry["headers"]).len();
            let rank = |number: usize| usize::MAX - number;
            (path["type"] != "Exact", rank(length), entry["method"].is_null(), rank(headers), *index)
        })
        .expect("a rule");
    let weight = |name: &str| {
        let backends = live::backends(rule).iter().filter(|backend| backend["name"] == name);
        backends.filter_map(|backend| backend["weight"].as_u64()).sum()
    };
    (weight("frontend-primary"), weight("frontend-canary"))
}

fn takes(entry: &Value, request: &Request<'_>) -> bool {
    let wanted = entry["path"]["value"].as_str().expect("a path");
    let path = match entry["path"]["type"].as_str() {
        Some("Exact") => request.path == wanted,
        _ => request.path.starts_with(wanted),
    };
    path && live::list(&entry["headers"]).iter().all(|condition| {
        let name = condition["name"].as_str().expect("a name").to_lowercase();
        let value = request.headers.iter().find(|(header, _)| *header == name).map(|(_, value)| *value);
        let wanted = condition["value"].as_str().expect("a value");
        match condition["type"].as_str() {
            Some("RegularExpression") => value.is_some_and(|value| holds_in_order(value, wanted)),
            _ => value == Some(wanted),
        }
    })
}

/// Whether the parts between the `.*` of an expression come in `value` in their order.
fn holds_in_order(value: &str, expression: &str) -> bool {
    let mut rest = value;
    expression.split(".*").all(|part| {
        let found = rest.find(part);
        rest = found.map_or("", |at| &rest[at + part.len()..]);
        found.is_some()
    })
}

const NOBODY: Request<'static> = Request { path: "/", headers: &[] };
const MET_CANARY: Request<'static> = Request { path: "/", headers: &[("cookie", "a=b; ck=AbCdEfGhIj; c=d")] };
const MET_PRIMARY: Request<'static> = Request { path: "/", headers: &[("cookie", "pk=KlMnOpQrSt")] };

#[test]
fn clients_keep_their_side_in_a_run_and_are_all_moved_off_the_canary_after_a_rollback() {
    let release = sticky(Some("pk"), json!({}));
    let during = route_of(&release, &running());
    assert_eq!(chosen(&during, &NOBODY), (90, 10));
    assert_eq!(chosen(&during, &MET_CANARY), (0, 100));
    assert_eq!(chosen(&during, &MET_PRIMARY), (100, 0));
    let after = onto(&[during], &release, &ended());
    for request in [NOBODY, MET_CANARY, MET_PRIMARY] {
        assert_eq!(chosen(&after, &request), (100, 0));
    }
}

#[test]
fn of_requests_in_an_ab_test_only_those_that_match_reach_the_canary() {
    let exact_and_prefix = json!({"match": [{"uri": {"exact": "/cart"}}, {"uri": {"prefix": "/"}}]});
    for service in [json!({}), exact_and_prefix] {
        let route = route_of(&ab(insiders(), service), &wish(100));
        for path in ["/", "/cart", "/cart/1"] {
            let insider = Request { path, headers: &[("x-canary", "insider")] };
            let stranger = Request { path, headers: &[("x-canary", "stranger")] };
            assert_eq!(chosen(&route, &insider), (0, 100), "{path}");
            assert_eq!(chosen(&route, &stranger), (100, 0), "{path}");
        }
    }
}
