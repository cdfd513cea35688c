//! Which requests the rules are for.

use super::*;

fn matches_of(release: &Release) -> Value {
    rules_of(release, &wish(0))[0]["matches"].clone()
}

// spec: 03/GW-08
#[rstest]
#[case(json!({"regex": "/a.*"}), json!({"type": "RegularExpression", "value": "/a.*"}))]
#[case(json!({"exact": "/a"}), json!({"type": "Exact", "value": "/a"}))]
#[case(json!({"prefix": "/a"}), json!({"type": "PathPrefix", "value": "/a"}))]
fn a_path_is_compared_as_the_manifest_says(#[case] uri: Value, #[case] path: Value) {
    assert_eq!(matches_of(&shop(json!({"match": [{"uri": uri}]}))), json!([{"path": path}]));
}

#[test]
fn all_that_can_be_checked_is() {
    let release = shop(json!({"match": [{
        "name": "shop", "uri": {"prefix": "/a"}, "method": {"exact": "GET"},
        "headers": {"x-a": {"regex": "1|2"}}, "queryParams": {"q": {"exact": "1"}, "Q": {"regex": "2"}},
    }]}));
    assert_eq!(problems(&release), [] as [String; 0]);
    assert_eq!(
        matches_of(&release),
        json!([{
            "path": {"type": "PathPrefix", "value": "/a"},
            "method": "GET",
            "headers": [{"type": "RegularExpression", "name": "x-a", "value": "1|2"}],
            // Unlike those of headers, two spellings of a parameter are two parameters.
            "queryParams": [
                {"type": "RegularExpression", "name": "Q", "value": "2"},
                {"type": "Exact", "name": "q", "value": "1"},
            ],
        }])
    );
}

#[test]
fn an_ab_test_is_within_what_the_service_takes() {
    let service = json!({"match": [
        {"uri": {"prefix": "/a"}, "headers": {"X-Canary": {"regex": ".+"}, "x-shop": {"exact": "eu"}}},
        {"uri": {"prefix": "/b"}},
    ]});
    let entries =
        json!([{"headers": {"x-canary": {"exact": "insider"}}}, {"queryParams": {"q": {"exact": "1"}}}]);
    let rules = rules_of(&ab(entries, service), &wish(100));
    let of = |index: usize| rules[0]["matches"][index].clone();
    // Each entry of the test with each of the service; of two conditions on one header it is the narrower one's.
    assert_eq!(
        of(0)["headers"],
        json!([
            {"type": "Exact", "name": "x-canary", "value": "insider"},
            {"type": "Exact", "name": "x-shop", "value": "eu"},
        ])
    );
    assert_eq!(
        [of(0), of(1), of(2), of(3)].map(|entry| entry["path"]["value"].clone()),
        ["/a", "/b", "/a", "/b"]
    );
    assert_eq!(of(3)["queryParams"], json!([{"type": "Exact", "name": "q", "value": "1"}]));
    assert_eq!(rules[0]["matches"].as_array().map(Vec::len), Some(4));
    assert_eq!(rules[1]["matches"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_cookie_is_asked_for_within_what_the_service_takes() {
    let service = json!({"match": [{"uri": {"prefix": "/a"}, "headers": {"x-shop": {"exact": "eu"}}}]});
    let rules = rules_of(&sticky(None, service), &running());
    let headers = rules[0]["matches"][0]["headers"].as_array().expect("headers");
    assert_eq!(headers.len(), 2);
    assert_eq!(rules[0]["matches"][0]["path"]["value"], "/a");
}

#[test]
fn a_replaced_prefix_takes_a_rule_for_each_match() {
    let service = json!({
        "match": [{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/b"}}],
        "rewrite": {"uri": "/", "type": "ReplacePrefixMatch"},
    });
    let release = shop(service);
    let rules = rules_of(&release, &wish(10));
    assert_eq!(rules.len(), 2);
    assert!(rules.iter().all(|rule| rule["backendRefs"] == split(90, 10)), "{rules:#?}");
    let mut route = route_of(&release, &wish(10));
    // Somebody gives one of them another share: it is mended.
    route["spec"]["rules"][0]["backendRefs"] = split(0, 100);
    let after = onto(&[route], &release, &wish(10));
    assert_eq!(after["spec"]["rules"][0]["backendRefs"], split(90, 10));
}
