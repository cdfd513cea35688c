//! NGINX: what its annotations say, and what happens when the user's Ingress does not fit. How the objects look stands
//! in `tests/data/routers/nginx`.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::model::object::Write;
use crate::router::testing::{
    applied, behind_ingress, canary_gets, finalize, foreign, ingress, patched, plan, state, with,
};

mod ab;

const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// The user's Ingress and the copy at this share.
fn both(release: &Release, share: u32) -> Vec<Value> {
    let users = vec![ingress()];
    applied(&users, &plan(&Nginx, release, &canary_gets(share), &users).expect("planned"))
}

fn share(release: &Release, objects: &[Value]) -> Option<u32> {
    state(&Nginx, release, objects).expect("read").map(|state| state.split.canary())
}

/// The annotations of NGINX that the copy has, without their prefix.
fn orders(objects: &[Value]) -> Value {
    let copy =
        objects.iter().find(|object| object["metadata"]["name"] == "frontend-canary").expect("the copy");
    let all = copy["metadata"]["annotations"].as_object().expect("annotations");
    let ours = all.iter().filter_map(|(key, value)| {
        Some((key.strip_prefix(PREFIX)?.trim_start_matches('/').to_owned(), value.clone()))
    });
    Value::Object(ours.collect())
}

fn problems(release: &Release, settings: &Settings) -> Vec<String> {
    Nginx.problems(release, settings).iter().map(ToString::to_string).collect()
}

// spec: 03/NGX-05 03/NGX-11
#[test]
fn a_weight_comes_and_goes_with_the_share() {
    let release = behind_ingress();
    for share in [0, 50, 100, 0] {
        let objects = both(&release, share);
        assert_eq!(orders(&objects), json!({"canary": "true", "canary-weight": share.to_string()}));
    }
}

#[rstest]
#[case::part_of_another_total(json!({"canary-weight": "1", "canary-weight-total": "4"}), 25)]
#[case::rounded_up(json!({"canary-weight": "1", "canary-weight-total": "1000"}), 1)]
#[case::more_than_the_total(json!({"canary-weight": "300"}), 100)]
#[case::negative(json!({"canary-weight": "-5"}), 0)]
#[case::total_of_nothing(json!({"canary-weight": "5", "canary-weight-total": "0"}), 100)]
#[case::absent(json!({"canary-weight": null}), 0)]
fn a_share_is_what_nginx_makes_of_the_weight(#[case] changes: Value, #[case] expected: u32) {
    let release = behind_ingress();
    let mut objects = both(&release, 20);
    let changes: serde_json::Map<String, Value> = changes
        .as_object()
        .expect("changes")
        .iter()
        .map(|(k, v)| (format!("{PREFIX}/{k}"), v.clone()))
        .collect();
    objects[1] = with(&objects[1], json!({"metadata": {"annotations": changes}}));
    assert_eq!(share(&release, &objects), Some(expected));
    // And it is written in our words again.
    let kept = applied(&objects, &plan(&Nginx, &release, &canary_gets(expected), &objects).expect("planned"));
    assert_eq!(orders(&kept), json!({"canary": "true", "canary-weight": expected.to_string()}));
}

#[test]
fn a_weight_that_is_no_number_is_an_error_that_names_it() {
    let release = behind_ingress();
    let mut objects = both(&release, 20);
    let key = format!("{PREFIX}/canary-weight");
    objects[1] = with(&objects[1], json!({"metadata": {"annotations": {key.as_str(): "ten"}}}));
    let error = state(&Nginx, &release, &objects).expect_err("no number").to_string();
    assert_eq!(
        error,
        format!("Ingress frontend-canary.shop: failed to convert \"ten\" to int: {key} has to be a number")
    );
}

// spec: 03/NGX-01
#[rstest]
#[case::none(None)]
#[case::without_a_name(Some(""))]
fn a_release_without_an_ingress_is_refused(#[case] name: Option<&str>) {
    let mut release = behind_ingress();
    match (name, &mut release.ingress) {
        (Some(name), Some(ingress)) => ingress.name = name.to_owned(),
        (_, ingress) => *ingress = None,
    }
    let expected = "spec.ingressRef: is missing: name the Ingress that leads to Service frontend";
    assert_eq!(problems(&release, &Settings::default()), [expected]);
    assert_eq!(Nginx.reads(&release), []);
    assert_eq!(share(&release, &[]), None);
    assert_eq!(plan(&Nginx, &release, &canary_gets(0), &[]).expect_err("refused").to_string(), expected);
    assert_eq!(finalize(&Nginx, &release, &[]), Ok(vec![]));
}

// spec: 03/NGX-02 03/NGX-12
#[rstest]
#[case::missing(
    None,
    "Ingress frontend.shop does not exist: create it, with Service frontend as the backend of a path"
)]
#[case::to_another_service(
    Some(json!([{"http": {"paths": [{"path": "/", "backend": {"service": {"name": "other"}}}]}}])),
    "backend frontend not found in ingress frontend: make Service frontend the backend of a path"
)]
#[case::to_the_service_of_a_side(
    Some(json!([{"http": {"paths": [{"path": "/", "backend": {"service": {"name": "frontend-primary"}}}]}}])),
    "backend frontend not found in ingress frontend"
)]
#[case::a_rule_without_paths(Some(json!([{"host": "shop.example.com"}])), "backend frontend not found")]
#[case::rules_without_sense(Some(json!([1, null, {"http": {"paths": {}}}, {"http": {"paths": [7]}}])), "backend frontend not found")]
#[case::no_rules(Some(json!(null)), "backend frontend not found")]
fn an_ingress_that_does_not_lead_to_the_apex_is_an_error(
    #[case] rules: Option<Value>,
    #[case] expected: &str,
) {
    let users: Vec<Value> = rules
        .map(|rules| {
            let mut ingress = ingress();
            ingress["spec"] = json!({"rules": rules, "defaultBackend": {"service": {"name": "frontend"}}});
            ingress
        })
        .into_iter()
        .collect();
    let error = plan(&Nginx, &behind_ingress(), &canary_gets(0), &users).expect_err("no way").to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn rules_without_sense_are_left_out() {
    let mut users = ingress();
    let good = users["spec"]["rules"][0].clone();
    users["spec"]["rules"] = json!([1, null, {"http": 7}, good, {"http": {"paths": [null, {"backend": 1}]}}]);
    let release = behind_ingress();
    let objects = applied(
        std::slice::from_ref(&users),
        &plan(&Nginx, &release, &canary_gets(10), std::slice::from_ref(&users)).expect("planned"),
    );
    assert_eq!(objects[1]["spec"]["rules"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_canary_of_another_ingress_is_not_copied() {
    let key = format!("{PREFIX}/canary");
    let users = with(&ingress(), json!({"metadata": {"annotations": {key.as_str(): "true"}}}));
    let error = plan(&Nginx, &behind_ingress(), &canary_gets(0), &[users]).expect_err("refused").to_string();
    assert!(error.contains("is the canary of another Ingress itself"), "{error}");
}

#[rstest]
#[case::gone(None)]
#[case::led_elsewhere(Some("emergency"))]
fn an_ingress_that_its_user_leads_elsewhere_takes_the_share_away(#[case] backend: Option<&str>) {
    let release = behind_ingress();
    let mut objects = both(&release, 50);
    match backend {
        Some(name) => {
            objects[0]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!(name)
        }
        None => drop(objects.remove(0)),
    }
    // Also when the core wishes for what there was.
    let writes = plan(&Nginx, &release, &canary_gets(50), &objects).expect("planned");
    let annotations = &patched(&writes)["metadata"]["annotations"];
    assert_eq!(*annotations, json!({format!("{PREFIX}/canary-weight"): "0"}));
    let objects = applied(&objects, &writes);
    assert_eq!(share(&release, &objects), Some(0));
    // From now on it is told, and nothing is given any more.
    for wish in [0, 10] {
        assert!(matches!(plan(&Nginx, &release, &canary_gets(wish), &objects), Err(Error::Object(_))));
    }
}

// spec: 03/NGX-09
#[test]
fn the_users_ingress_is_in_no_write() {
    let release = behind_ingress();
    let key = "kubectl.kubernetes.io/last-applied-configuration";
    let users = with(
        &ingress(),
        json!({"metadata": {"annotations": {key: "{\"spec\":{\"rules\":[]}}", "flagger.app/made-by": "shop/frontend"}}}),
    );
    let mut objects = vec![users.clone()];
    for share in [0, 50, 100, 0] {
        let writes = plan(&Nginx, &release, &canary_gets(share), &objects).expect("planned");
        assert!(writes.iter().all(|write| write.id().name == "frontend-canary"), "{writes:?}");
        objects = applied(&objects, &writes);
    }
    assert_eq!(objects[0], users);
    assert!(objects[1]["metadata"]["annotations"][key].is_null());
}

#[test]
fn the_copy_is_deleted_when_everything_is_to_be_as_it_was() {
    let release = behind_ingress();
    let objects = both(&release, 50);
    let writes = finalize(&Nginx, &release, &objects).expect("planned");
    let copy = Pair::of(&release).expect("a pair").canarys;
    assert_eq!(writes, [Write::Delete { id: copy }]);
    assert_eq!(finalize(&Nginx, &release, &objects[..1]), Ok(vec![]));
    // One that was its user's is given back, not deleted.
    let taken = [objects[0].clone(), foreign(&objects[1])];
    let writes = finalize(&Nginx, &release, &taken).expect("planned");
    assert!(!writes.iter().any(|write| matches!(write, Write::Delete { .. })), "{writes:?}");
}

#[rstest]
#[case::empty("")]
#[case::slash("nginx.ingress.kubernetes.io/")]
#[case::capitals("NGINX.org")]
#[case::empty_part("nginx..org")]
fn a_prefix_that_begins_no_annotation_is_refused(#[case] prefix: &str) {
    let settings = Settings { ingress_annotations_prefix: prefix.into(), ..Settings::default() };
    let found = problems(&behind_ingress(), &settings);
    assert!(found.len() == 1 && found[0].starts_with("--ingress-annotations-prefix: "), "{found:?}");
}

#[test]
fn an_ingress_that_serves_its_own_users_is_not_turned_into_the_copy() {
    let release = behind_ingress();
    let mut stranger = with(&ingress(), json!({"metadata": {"name": "frontend-canary"}}));
    stranger["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!("beta");
    let planned = |stranger: &Value| plan(&Nginx, &release, &canary_gets(0), &[ingress(), stranger.clone()]);
    let error = planned(&stranger).expect_err("in the way").to_string();
    assert!(error.starts_with("Ingress frontend-canary.shop is in the way"), "{error}");
    assert_eq!(share(&release, &[ingress(), stranger.clone()]), None);
    // One that is a canary's already has no users of its own; and one that was taken over stays ours.
    let key = format!("{PREFIX}/canary");
    let marked = with(&stranger, json!({"metadata": {"annotations": {key.as_str(): "true"}}}));
    let taken = applied(&[ingress(), marked.clone()], &planned(&marked).expect("planned"));
    let mut drifted = with(&taken[1], json!({"metadata": {"annotations": {key.as_str(): null}}}));
    drifted["spec"] = stranger["spec"].clone();
    assert!(planned(&drifted).is_ok_and(|writes| writes.len() == 1));
}
