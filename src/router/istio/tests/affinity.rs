//! Cookies that keep a client on its side (spec 03 §4).

use super::*;
use crate::api::analysis::SessionAffinity;
use crate::model::traffic::Cookies;

fn sticky(primary_cookie: Option<&str>, manifest: Value) -> Release {
    let mut release = shop(manifest);
    release.analysis.session_affinity = Some(SessionAffinity {
        cookie_name: "ck".into(),
        primary_cookie_name: primary_cookie.map(Into::into),
        max_age: Some(300),
        domain: Some("shop.example.com".into()),
        ..SessionAffinity::default()
    });
    release
}

fn with_cookies(canary: u32, cookies: [Option<&str>; 3]) -> RouteWish {
    let [canary_cookie, primary, previous] = cookies.map(|cookie| cookie.map(ToOwned::to_owned));
    RouteWish { cookies: Cookies { canary: canary_cookie, primary, previous }, ..wish(canary) }
}

fn running() -> RouteWish {
    with_cookies(10, [Some("ck=AbCdEfGhIj"), Some("pk=KlMnOpQrSt"), None])
}

fn add(route: &Value, index: usize, cookie: &str) -> Value {
    let mut route = route.clone();
    route[index]["headers"] = json!({"response": {"add": {"Set-Cookie": cookie}}});
    route
}

// spec: 03/SA-04 02/C55
#[test]
fn a_client_that_met_the_canary_stays_with_it() {
    let release = sticky(None, json!({}));
    let objects = fresh(&release, &running());
    assert_eq!(
        virtual_service_of(&objects)["spec"]["http"],
        json!([
            {"match": [{"headers": {"Cookie": {"regex": ".*ck.*AbCdEfGhIj.*"}}}], "route": split(0, 100)},
            {"route": add(&split(90, 10), 1, "ck=AbCdEfGhIj; Max-Age=300; Domain=shop.example.com")},
        ])
    );
    assert_eq!(state(&release, &objects).expect("a state").expect("objects").split.canary(), 10);
}

// spec: 03/SA-06
#[test]
fn a_client_that_met_the_primary_stays_until_the_next_step() {
    let http = http_of(&sticky(Some("pk"), json!({})), &running());
    assert_eq!(http.as_array().map(Vec::len), Some(3));
    assert_eq!(
        http[1],
        json!({"match": [{"headers": {"Cookie": {"regex": ".*pk.*KlMnOpQrSt.*"}}}], "route": split(100, 0)})
    );
    assert_eq!(
        http[2]["route"][0]["headers"]["response"]["add"]["Set-Cookie"],
        "pk=KlMnOpQrSt; Max-Age=30; Domain=shop.example.com"
    );
}

// spec: 03/SA-09 03/IST-29
#[test]
fn the_rules_stay_in_the_middle_of_a_run_and_follow_an_edit() {
    let manifest = json!({"match": [{"uri": {"prefix": "/"}, "headers": {"x-shop": {"exact": "eu"}}}]});
    let release = sticky(None, manifest.clone());
    let objects = fresh(&release, &running());
    assert_eq!(plan(&release, &running(), &objects), []);
    assert_eq!(
        virtual_service_of(&objects)["spec"]["http"][0]["match"],
        json!([{"uri": {"prefix": "/"}, "headers": {
            "x-shop": {"exact": "eu"}, "Cookie": {"regex": ".*ck.*AbCdEfGhIj.*"},
        }}])
    );
    let edited = sticky(None, with(&manifest, json!({"hosts": ["b.example.com"]})));
    let writes = plan(&edited, &running(), &objects);
    assert_eq!(patched(&writes), json!({"spec": {"hosts": ["b.example.com", "frontend"]}}));
}

// spec: 03/SA-07 03/SA-12
#[test]
fn after_the_run_a_client_forgets_the_cookie_and_nobody_else_is_told() {
    let headers = json!({"headers": {"response": {"add": {"x-shop": "1"}}}});
    let release = sticky(Some("pk"), headers.clone());
    let objects = fresh(&release, &with_cookies(0, [None, None, Some("ck=AbCdEfGhIj")]));
    let http = virtual_service_of(&objects)["spec"]["http"].clone();
    assert_eq!(http[0]["match"], json!([{"headers": {"Cookie": {"regex": ".*ck.*AbCdEfGhIj.*"}}}]));
    assert_eq!(
        http[0]["headers"]["response"]["add"],
        json!({"x-shop": "1", "Set-Cookie": "ck=AbCdEfGhIj; Max-Age=-1; Domain=shop.example.com"})
    );
    assert_eq!(http[0]["route"], split(100, 0));
    assert_eq!(http[1], json!({"route": split(100, 0), "headers": headers["headers"]}));
    assert_eq!(state(&release, &objects).expect("a state").expect("objects").split, Split::PRIMARY);
}

#[test]
fn at_rest_without_a_past_there_is_one_rule() {
    let http = http_of(&sticky(None, json!({})), &wish(0));
    assert_eq!(http, json!([{"route": split(100, 0)}]));
}

#[test]
fn a_mirror_is_seen_beside_cookies() {
    let release = sticky(None, json!({}));
    let wish = RouteWish { mirror: true, ..with_cookies(0, [None, None, Some("ck=a")]) };
    assert!(state(&release, &fresh(&release, &wish)).expect("a state").expect("objects").mirrored);
}
