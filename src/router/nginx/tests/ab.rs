//! A/B tests behind NGINX: `analysis.match` as annotations, and what is refused.

use super::*;

fn ab_test(matches: Value) -> Release {
    let mut release = behind_ingress();
    release.analysis.strategy = Strategy::AbTesting { iterations: 3 };
    release.analysis.matches = serde_json::from_value(matches).expect("matches");
    release
}

// spec: 03/NGX-06
#[test]
fn the_orders_of_an_ab_test_go_with_the_share() {
    let release =
        ab_test(json!([{"headers": {"x-canary": {"exact": "a"}}}, {"headers": {"cookie": {"exact": "b"}}}]));
    let objects = both(&release, 100);
    // Also when somebody has taken the match out of the manifest meanwhile.
    for release in [release, behind_ingress()] {
        let back = applied(&objects, &plan(&Nginx, &release, &canary_gets(0), &objects).expect("planned"));
        assert_eq!(orders(&back), json!({"canary": "true", "canary-weight": "0"}));
    }
}

// spec: 03/NGX-07
#[rstest]
#[case::exact(
    json!([{"headers": {"x-canary": {"exact": "insider"}}}]),
    json!({"canary-by-header": "x-canary", "canary-by-header-value": "insider"})
)]
#[case::regex(
    json!([{"headers": {"user-agent": {"regex": ".*Firefox.*"}}}]),
    json!({"canary-by-header": "user-agent", "canary-by-header-pattern": ".*Firefox.*"})
)]
#[case::prefix(
    json!([{"headers": {"x-version": {"prefix": "2."}}}]),
    json!({"canary-by-header": "x-version", "canary-by-header-pattern": r"^2\."})
)]
#[case::suffix(
    json!([{"headers": {"x-user": {"suffix": "@example.com"}}}]),
    json!({"canary-by-header": "x-user", "canary-by-header-pattern": r"@example\.com$"})
)]
#[case::cookie(json!([{"headers": {"cookie": {"exact": "canary"}}}]), json!({"canary-by-cookie": "canary"}))]
#[case::cookie_with_its_value(
    json!([{"headers": {"Cookie": {"exact": "canary=always"}}}]),
    json!({"canary-by-cookie": "canary"})
)]
#[case::either(
    json!([{"headers": {"x-canary": {"exact": "insider"}}}, {"headers": {"cookie": {"exact": "canary"}}}]),
    json!({"canary-by-header": "x-canary", "canary-by-header-value": "insider", "canary-by-cookie": "canary"})
)]
fn a_match_becomes_annotations(#[case] matches: Value, #[case] expected: Value) {
    let release = ab_test(matches);
    let mut expected = expected;
    expected["canary"] = json!("true");
    assert_eq!(orders(&both(&release, 100)), expected);
    assert_eq!(problems(&release, &Settings::default()), [""; 0]);
}

// spec: 03/UNS-02
#[rstest]
#[case::two_headers_of_one_entry(
    json!([{"headers": {"a": {"exact": "1"}, "b": {"exact": "2"}}}]),
    "spec.analysis.match[0].headers: all have to match"
)]
#[case::a_header_and_a_cookie_of_one_entry(
    json!([{"headers": {"a": {"exact": "1"}, "cookie": {"exact": "2"}}}]),
    "spec.analysis.match[0].headers: all have to match"
)]
#[case::a_second_header(
    json!([{"headers": {"a": {"exact": "1"}}}, {"headers": {"b": {"exact": "2"}}}]),
    "spec.analysis.match[1].headers.b: is one too many"
)]
#[case::a_second_cookie(
    json!([{"headers": {"cookie": {"exact": "a"}}}, {"headers": {"Cookie": {"exact": "b"}}}]),
    "spec.analysis.match[1].headers.Cookie: is one too many"
)]
#[case::query(
    json!([{"queryParams": {"v": {"exact": "2"}}}]),
    "spec.analysis.match[0].queryParams: cannot be checked by NGINX"
)]
#[case::query_beside_a_header(
    json!([{"headers": {"a": {"exact": "1"}}, "queryParams": {"v": {"exact": "2"}}}]),
    "spec.analysis.match[0].queryParams: cannot be checked by NGINX"
)]
#[case::labels(json!([{"sourceLabels": {"app": "x"}}]), "spec.analysis.match[0].sourceLabels: are not known")]
#[case::nothing(json!([{}]), "spec.analysis.match[0]: has no condition")]
#[case::no_header(json!([{"headers": {}}]), "spec.analysis.match[0]: has no condition")]
#[case::nothing_to_compare(json!([{"headers": {"a": {}}}]), "spec.analysis.match[0].headers.a: needs one text")]
#[case::empty(json!([{"headers": {"a": {"exact": ""}}}]), "spec.analysis.match[0].headers.a: needs one text")]
#[case::two_texts(
    json!([{"headers": {"a": {"exact": "1", "prefix": "2"}}}]),
    "spec.analysis.match[0].headers.a: needs one text"
)]
#[case::no_name(json!([{"headers": {"a b": {"exact": "1"}}}]), "spec.analysis.match[0].headers.a b: is no name")]
#[case::cookie_of_another_value(
    json!([{"headers": {"cookie": {"exact": "canary=yes"}}}]),
    "spec.analysis.match[0].headers.cookie.exact: \"canary=yes\" is no name, and NGINX takes a cookie whose value is \
     always"
)]
#[case::cookie_by_regex(
    json!([{"headers": {"cookie": {"regex": "^(.*?;)?(canary=always)(;.*)?$"}}}]),
    "spec.analysis.match[0].headers.cookie: is not exact, but NGINX takes a cookie"
)]
fn what_nginx_cannot_compare_is_refused(#[case] matches: Value, #[case] expected: &str) {
    let release = ab_test(matches);
    let found = problems(&release, &Settings::default());
    assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    let planned = plan(&Nginx, &release, &canary_gets(100), &[ingress()]);
    assert!(matches!(planned, Err(Error::Unsupported(_))), "{planned:?}");
}

// spec: 03/NGX-08
#[test]
fn an_ab_test_is_read_from_its_annotations() {
    let release = ab_test(json!([{"headers": {"x-canary": {"exact": "insider"}}}]));
    assert_eq!(share(&release, &[ingress()]), None);
    assert_eq!(share(&release, &both(&release, 0)), Some(0));
    assert_eq!(share(&release, &both(&release, 100)), Some(100));
}

#[test]
fn a_promotion_in_steps_gives_all_matching_requests_back_at_once() {
    let release = ab_test(json!([{"headers": {"x-canary": {"exact": "insider"}}}]));
    let objects = both(&release, 100);
    let stepped = applied(&objects, &plan(&Nginx, &release, &canary_gets(60), &objects).expect("planned"));
    assert_eq!(orders(&stepped), json!({"canary": "true", "canary-weight": "0"}));
    assert_eq!(share(&release, &stepped), Some(0));
}

#[test]
fn weights_of_the_requests_that_match_are_refused() {
    let mut release = ab_test(json!([{"headers": {"x-canary": {"exact": "insider"}}}]));
    release.analysis.strategy = Strategy::Weighted(crate::model::release::Steps::By { step: 10, max: 50 });
    let found = problems(&release, &Settings::default());
    assert!(found.len() == 1 && found[0].starts_with("spec.analysis.match: cannot be combined"), "{found:?}");
    release.skip_analysis = true;
    assert_eq!(problems(&release, &Settings::default()), [""; 0]);
}
