//! What the Gateway API cannot do is refused with field and remedy, before anything happens.

use super::*;

fn many(count: usize, entry: impl Fn(usize) -> (String, Value)) -> Value {
    Value::Object((0..count).map(entry).collect())
}

// spec: 03/GW-01 03/GW-09
#[rstest]
#[case::no_parent(json!({"gatewayRefs": []}), "spec.service.gatewayRefs: must be specified when using Gateway API")]
#[case::parent_without_a_name(json!({"gatewayRefs": [{"namespace": "edge"}]}), "spec.service.gatewayRefs[0].name: is missing")]
#[case::parent_twice(
    json!({"gatewayRefs": [{"name": "a"}, {"name": "a"}]}),
    "spec.service.gatewayRefs[1]: names Gateway a.shop once more"
)]
#[case::parent_and_one_of_its_listeners(
    json!({"gatewayRefs": [{"name": "a", "sectionName": "http"}, {"name": "a"}]}),
    "spec.service.gatewayRefs[1]: names Gateway a.shop once more"
)]
#[case::every_host(json!({"hosts": ["*"]}), "spec.service.hosts[0]: \"*\" is no host name for the Gateway API: leave it out")]
#[case::host_with_a_port(json!({"hosts": ["a.example.com:80"]}), "spec.service.hosts[0]: \"a.example.com:80\" is no host name")]
#[case::header_prefix(
    json!({"match": [{"headers": {"x-a": {"prefix": "a.b"}}}]}),
    r#"spec.service.match[0].headers.x-a.prefix: cannot be checked by the Gateway API: write regex "a\.b.*" instead"#
)]
#[case::header_of_nothing(
    json!({"match": [{"headers": {"x-a": {}}}]}),
    "spec.service.match[0].headers.x-a: has nothing to compare: write exact or regex"
)]
#[case::empty_header(json!({"match": [{"headers": {"x-a": {"exact": ""}}}]}), "spec.service.match[0].headers.x-a.exact: is empty")]
#[case::pseudo_header(
    json!({"match": [{"headers": {":authority": {"exact": "a"}}}]}),
    "spec.service.match[0].headers.:authority: \":authority\" is no name"
)]
#[case::header_in_two_spellings(
    json!({"match": [{"headers": {"x-a": {"exact": "1"}, "X-A": {"exact": "2"}}}]}),
    "spec.service.match[0].headers.x-a: is the header X-A once more"
)]
#[case::query_prefix(
    json!({"match": [{"queryParams": {"q": {"prefix": "a"}}}]}),
    "spec.service.match[0].queryParams.q.prefix: cannot be checked"
)]
#[case::authority(
    json!({"match": [{"authority": {"exact": "a"}}]}),
    "spec.service.match[0].authority: cannot be checked by the Gateway API, so that more requests would match: write the \
     host into spec.service.hosts"
)]
#[case::without_headers(json!({"match": [{"withoutHeaders": {"x-a": {"exact": "1"}}}]}), "spec.service.match[0].withoutHeaders:")]
#[case::source_labels(json!({"match": [{"sourceLabels": {"app": "a"}}]}), "spec.service.match[0].sourceLabels:")]
#[case::gateways(json!({"match": [{"gateways": ["mesh"]}]}), "spec.service.match[0].gateways:")]
#[case::scheme(json!({"match": [{"scheme": {"exact": "https"}}]}), "spec.service.match[0].scheme:")]
#[case::port(json!({"match": [{"port": 80}]}), "spec.service.match[0].port:")]
#[case::case_of_paths(json!({"match": [{"ignoreUriCase": true}]}), "spec.service.match[0].ignoreUriCase:")]
#[case::uri_of_nothing(json!({"match": [{"uri": {}}]}), "spec.service.match[0].uri: has nothing that the Gateway API compares")]
#[case::relative_path(json!({"match": [{"uri": {"prefix": "a"}}]}), "spec.service.match[0].uri.prefix: \"a\" is no path")]
#[case::path_with_a_query(json!({"match": [{"uri": {"exact": "/a?b"}}]}), "spec.service.match[0].uri.exact: \"/a?b\" has a character")]
#[case::path_to_elsewhere(json!({"match": [{"uri": {"exact": "/a/../b"}}]}), "spec.service.match[0].uri.exact: \"/a/../b\" has /../")]
#[case::method_by_prefix(json!({"match": [{"method": {"prefix": "G"}}]}), "spec.service.match[0].method: needs exact")]
#[case::unknown_method(json!({"match": [{"method": {"exact": "get"}}]}), "spec.service.match[0].method: needs exact and one of GET,")]
#[case::no_duration(json!({"timeout": "soon"}), "spec.service.timeout: time: invalid duration")]
#[case::too_fine(json!({"timeout": "100us"}), "spec.service.timeout: 100us is no time-out for the Gateway API")]
#[case::longer_try(
    json!({"timeout": "1s", "backendTimeout": "2s"}),
    "spec.service.backendTimeout: 2s for one try is longer than 1s for the request"
)]
#[case::empty_value(
    json!({"headers": {"request": {"set": {"x-a": ""}}}}),
    "spec.service.headers.request.set.x-a: is empty"
)]
#[case::set_in_two_spellings(
    json!({"headers": {"request": {"set": {"x-a": "1", "X-A": "2"}}}}),
    "spec.service.headers.request.set.x-a: is one header in two spellings"
)]
#[case::rewritten_host(json!({"rewrite": {"authority": "a:80"}}), "spec.service.rewrite.authority: \"a:80\" is no host name")]
#[case::prefix_of_an_exact_path(
    json!({"match": [{"uri": {"exact": "/a"}}], "rewrite": {"uri": "/", "type": "ReplacePrefixMatch"}}),
    "spec.service.rewrite.type: ReplacePrefixMatch replaces the prefix that a request was matched by"
)]
#[case::mirror_without_a_port(
    json!({"mirror": [{"backendRef": {"name": "audit"}}]}),
    "spec.service.mirror[0].backendRef.port: is missing"
)]
#[case::mirror_of_ours(
    json!({"mirror": [{"backendRef": {"name": "frontend-canary", "port": 80}}]}),
    "spec.service.mirror[0].backendRef: is the canary of this release"
)]
#[case::origins_by_prefix(
    json!({"corsPolicy": {"allowOrigins": [{"prefix": "https://a"}]}}),
    "spec.service.corsPolicy.allowOrigins[0]: has no exact"
)]
#[case::origin_without_a_scheme(json!({"corsPolicy": {"allowOrigin": ["a.example.com"]}}), "spec.service.corsPolicy.allowOrigin: \"a.example.com\" is no origin")]
#[case::star_and_more(json!({"corsPolicy": {"allowMethods": ["*", "GET"]}}), "spec.service.corsPolicy.allowMethods: has \"*\" beside others")]
#[case::age_of_nothing(json!({"corsPolicy": {"maxAge": "0s"}}), "spec.service.corsPolicy.maxAge: 0s is outside of")]
fn a_service_that_a_route_cannot_say(#[case] manifest: Value, #[case] expected: &str) {
    let release = shop(manifest);
    let found = problems(&release);
    assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{found:#?}");
    // Whoever asks all the same is told so, too.
    if !expected.contains("rewrite.type") {
        let error = testing::plan(ROUTER, &release, &wish(0), &[]).expect_err("refused");
        assert_eq!(error.to_string(), found[0]);
    }
}

// spec: 03/GW-10 03/UNS-02
#[rstest]
#[case::header_prefix(json!([{"headers": {"x-canary": {"prefix": "in"}}}]), "spec.analysis.match[0].headers.x-canary.prefix: cannot be checked")]
#[case::header_suffix(json!([{"headers": {"x-canary": {"suffix": "er"}}}]), "spec.analysis.match[0].headers.x-canary.suffix: cannot be checked")]
#[case::source_labels(json!([{"sourceLabels": {"app": "a"}}]), "spec.analysis.match[0].sourceLabels: cannot be checked")]
#[case::labels_beside_a_header(
    json!([{"headers": {"x-a": {"exact": "1"}}, "sourceLabels": {"app": "a"}}]),
    "spec.analysis.match[0].sourceLabels: cannot be checked"
)]
#[case::nothing(json!([{"headers": {"x-a": {"exact": "1"}}}, {}]), "spec.analysis.match[1]: has no condition")]
#[case::no_header(json!([{"headers": {}}]), "spec.analysis.match[0]: has no condition")]
fn an_ab_test_never_becomes_a_rule_for_everybody(#[case] entries: Value, #[case] expected: &str) {
    let release = ab(entries, json!({}));
    let found = problems(&release);
    assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{found:#?}");
    assert!(matches!(testing::plan(ROUTER, &release, &wish(100), &[]), Err(Error::Unsupported(_))));
}

#[rstest]
#[case::entries_times_entries(
    json!({"match": (0..13).map(|n| json!({"uri": {"prefix": format!("/{n}")}})).collect::<Vec<_>>()}),
    5,
    "spec.service: makes 65 matches of one rule (entries of spec.analysis.match times entries of spec.service.match), \
     and the Gateway API takes 64"
)]
#[case::conditions(
    json!({"match": [{"headers": many(17, |n| (format!("x-{n}"), json!({"exact": "1"})))}]}),
    0,
    "spec.service: makes 17 headers in one match, and the Gateway API takes 16"
)]
#[case::rules(
    json!({
        "match": (0..9).map(|n| json!({"uri": {"prefix": format!("/{n}")}})).collect::<Vec<_>>(),
        "rewrite": {"uri": "/", "type": "ReplacePrefixMatch"},
    }),
    1,
    "spec.service: makes 18 rules of the route, and the Gateway API takes 16"
)]
#[case::mirrors(
    json!({"mirror": (0..16).map(|n| json!({"backendRef": {"name": format!("m{n}"), "port": 1}})).collect::<Vec<_>>()}),
    0,
    "spec.service: makes 17 filters of one rule"
)]
#[case::headers(
    json!({"headers": {"request": {"add": many(17, |n| (format!("x-{n}"), json!("1")))}}}),
    0,
    "spec.service: makes 17 headers in one operation"
)]
#[case::hosts(
    json!({"hosts": (0..17).map(|n| format!("h{n}.example.com")).collect::<Vec<_>>()}),
    0,
    "spec.service: makes 17 host names"
)]
fn a_route_that_would_grow_too_large(
    #[case] manifest: Value,
    #[case] entries: usize,
    #[case] expected: &str,
) {
    let entries: Vec<Value> =
        (0..entries).map(|n| json!({"headers": {"x-canary": {"exact": n.to_string()}}})).collect();
    let found = problems(&ab(json!(entries), manifest));
    assert!(matches!(&found[..], [one] if one.starts_with(expected)), "{found:#?}");
}

#[rstest]
#[case::set(json!({"set": {"set-cookie": "a=b"}}), "spec.service.headers.response.set.set-cookie")]
#[case::add(json!({"add": {"Set-Cookie": "a=b"}}), "spec.service.headers.response.add.Set-Cookie")]
#[case::remove(json!({"remove": ["SET-COOKIE"]}), "spec.service.headers.response.remove")]
fn cookies_of_the_manifest_do_not_stand_in_the_way_of_ours(#[case] response: Value, #[case] field: &str) {
    let manifest = json!({"headers": {"response": response}});
    let found = problems(&sticky(None, manifest.clone()));
    assert!(matches!(&found[..], [one] if one.starts_with(field)), "{found:#?}");
    assert_eq!(problems(&shop(manifest)), [] as [String; 0]);
}

#[test]
fn what_a_version_does_not_write_is_no_problem_of_it() {
    let release = shop(json!({"timeout": "soon", "corsPolicy": {"maxAge": "soon"}}));
    assert_eq!(BETA.problems(&release, &Settings::default()), []);
}

#[test]
fn all_problems_are_told_at_once() {
    let release = ab(json!([{}, {}]), json!({"gatewayRefs": [], "timeout": "soon", "hosts": ["*"]}));
    assert_eq!(problems(&release).len(), 5);
}
