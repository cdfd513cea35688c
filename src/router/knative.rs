//! Knative (spec 03 §18): the traffic of one Knative Service between its latest revision, the canary, and the one
//! that an annotation names, the primary.

use prometheus_http_query::Selector;
use serde_json::{Map, Value, json};

use super::checks::Unit;
use super::promql::{p99, pattern, percentage};
use super::{Access, Checks, Desired, Error, Mesh, Router, View, problem, right};
use crate::api::Provider;
use crate::model::object::{Kind, ObjectId};
use crate::model::release::Release;
use crate::model::traffic::{Capabilities, RouteState, RouteWish, Split};

/// Knative Serving.
pub static MESH: Mesh = Mesh {
    providers: &[Provider::Knative],
    title: "Knative (Service)",
    router: &Knative,
    abilities: Capabilities::WEIGHTS,
    // The Envoy of Knative's ingress reports each revision.
    checks: &Checks { success_rate, duration, unit: Unit::Milliseconds, bare_errors: false },
    honours: &[],
    rights: &[right(Kind::KNATIVE_SERVICE, Access::Change), right(Kind::KNATIVE_REVISION, Access::Read)],
};

/// Knative's own traffic split.
pub struct Knative;

impl Router for Knative {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities::WEIGHTS
    }

    fn reads(&self, release: &Release) -> Vec<ObjectId> {
        vec![id(release)]
    }

    /// Read by role: right after a promotion both entries lead to one revision (spec 02 E3.9).
    fn state(&self, view: &View<'_>) -> Result<Option<RouteState>, Error> {
        let View { release, seen, .. } = view;
        let Some(service) = seen.get(&id(release)) else { return Ok(None) };
        primary(release, service)?;
        let Some(traffic) = service["spec"]["traffic"].as_array() else { return Ok(None) };
        let percent = |entry: &Value| entry["percent"].as_u64().and_then(|share| u32::try_from(share).ok());
        let mut sides = traffic.iter().filter(|entry| !entry["tag"].is_string());
        let shares = match (sides.next(), sides.next(), sides.next()) {
            (Some(latest), Some(named), None)
                if latest["latestRevision"] == true && named["revisionName"].is_string() =>
            {
                Some((percent(latest).unwrap_or(0), percent(named).unwrap_or(0)))
            }
            _ => None,
        };
        match shares {
            Some((canary, primary)) if canary.checked_add(primary) == Some(100) => {
                Ok(Some(RouteState { split: Split::canary_gets(canary), mirrored: false }))
            }
            _ => Err(Error::Object(format!(
                "Knative Service {} does not split its traffic between the latest revision and a named one",
                release.target_title()
            ))),
        }
    }

    fn desired(&self, view: &View<'_>, wish: &RouteWish) -> Result<Vec<Desired>, Error> {
        let release = view.release;
        let Some(service) = view.seen.get(&id(release)) else {
            return Err(Error::Unsupported(problem(
                "spec.provider",
                format!(
                    "provider knative splits the traffic of Knative Services only, and there is none called {}: \
                     name another provider",
                    release.target_title()
                ),
            )));
        };
        let primary = primary(release, service)?;
        let mut wanted = vec![
            json!({"latestRevision": true, "percent": wish.split.canary()}),
            json!({"latestRevision": false, "revisionName": primary, "percent": wish.split.primary()}),
        ];
        wanted.extend(tagged(service));
        let live = service["spec"]["traffic"].as_array().map_or(&[][..], Vec::as_slice);
        if live.len() == wanted.len() && live.iter().zip(&wanted).all(|(live, wanted)| same(live, wanted)) {
            wanted = live.to_vec();
        }
        Ok(vec![Desired::new(id(release), json!({"traffic": wanted})).never_created()])
    }

    /// The Service is the user's: only its traffic was ours.
    fn gives_back(&self, _release: &Release) -> Vec<ObjectId> {
        Vec::new()
    }

    fn released(&self, view: &View<'_>) -> Result<Vec<Desired>, Error> {
        let Some(service) = view.seen.get(&id(view.release)) else { return Ok(Vec::new()) };
        // Without it the traffic was never ours.
        if primary(view.release, service).is_err() {
            return Ok(Vec::new());
        }
        let latest = json!({"latestRevision": true, "percent": 100});
        let traffic: Vec<Value> = [latest].into_iter().chain(tagged(service)).collect();
        let annotations = Map::from_iter([(Kind::PRIMARY_REVISION.to_owned(), Value::Null)]);
        let service = Desired::new(id(view.release), json!({"traffic": traffic}));
        Ok(vec![service.annotated(annotations).never_created()])
    }
}

fn success_rate(release: &Release, interval: &str) -> String {
    let cluster = cluster(release);
    let all = Selector::new().regex_eq("envoy_cluster_name", &cluster);
    percentage(
        "envoy_cluster_upstream_rq",
        &all.clone().regex_ne("envoy_response_code", "5.*"),
        &all,
        interval,
    )
}

fn duration(release: &Release, interval: &str) -> String {
    let cluster = cluster(release);
    p99(
        "envoy_cluster_upstream_rq_time_bucket",
        &Selector::new().regex_eq("envoy_cluster_name", &cluster),
        interval,
    )
}

/// The cluster that Envoy has for a revision. The route of the release is the revision's name.
fn cluster(release: &Release) -> String {
    pattern(&format!("{}/{}", release.namespace, release.route_name()))
}

fn id(release: &Release) -> ObjectId {
    Kind::KNATIVE_SERVICE.at(&release.namespace, &release.target.name)
}

fn primary<'a>(release: &Release, service: &'a Value) -> Result<&'a str, Error> {
    let name = service["metadata"]["annotations"][Kind::PRIMARY_REVISION].as_str();
    name.filter(|name| !name.is_empty()).ok_or_else(|| {
        Error::Object(format!(
            "Knative Service {} primary revision annotation not found",
            release.target_title()
        ))
    })
}

/// The addresses of single revisions, which are the user's; their share is ours.
fn tagged(service: &Value) -> Vec<Value> {
    let entries = service["spec"]["traffic"].as_array().into_iter().flatten();
    let mut tagged: Vec<Value> = entries.filter(|entry| entry["tag"].is_string()).cloned().collect();
    for fields in tagged.iter_mut().filter_map(Value::as_object_mut) {
        fields.remove("percent");
    }
    tagged
}

/// Whether two entries mean the same; Knative leaves out what is false or zero.
fn same(one: &Value, other: &Value) -> bool {
    let meant = |entry: &Value| -> Map<String, Value> {
        let mut fields = entry.as_object().cloned().unwrap_or_default();
        fields.retain(|_, value| !value.is_null() && *value != false && *value != 0);
        fields
    };
    meant(one) == meant(other)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::model::object::{Objects, Write};
    use crate::model::release::Settings;
    use crate::router::plan;
    use crate::router::testing::{release, shape};

    fn seen(annotated: Option<&str>, traffic: &Value) -> Objects {
        let release = release();
        let service = json!({
            "metadata": {"resourceVersion": "7", "annotations": annotated.map(|name| json!({Kind::PRIMARY_REVISION: name}))},
            "spec": {"traffic": traffic},
        });
        [(id(&release), Arc::new(service))].into_iter().collect()
    }

    fn looking<T>(seen: &Objects, look: impl Fn(&View<'_>) -> T) -> T {
        let (release, shape, settings) = (release(), shape(), Settings::default());
        look(&View { release: &release, shape: &shape, settings: &settings, seen })
    }

    fn state(seen: &Objects) -> Result<Option<RouteState>, Error> {
        looking(seen, |view| Knative.state(view))
    }

    fn routes(canary: u32, seen: &Objects) -> Result<Vec<Write>, Error> {
        let wish = RouteWish { split: Split::canary_gets(canary), ..RouteWish::default() };
        looking(seen, |view| plan::routes(&Knative, view, &wish))
    }

    fn released(seen: &Objects) -> Result<Vec<Write>, Error> {
        looking(seen, |view| plan::restoration(&Knative, view))
    }

    // spec: 03/KN-03
    #[test]
    fn the_latest_revision_is_the_canary_and_the_annotated_one_the_primary() {
        let before = seen(
            Some("podinfo-00001"),
            &json!([{"latestRevision": true, "percent": 0}, {"revisionName": "podinfo-00001", "percent": 100}, {"tag": "preview", "revisionName": "podinfo-00001"}]),
        );
        assert_eq!(state(&before), Ok(Some(RouteState::default())));
        assert_eq!(routes(0, &before), Ok(vec![]));
        let writes = routes(90, &before).expect("a write");
        let [Write::Patch { patch, .. }] = &writes[..] else { panic!("{writes:?}") };
        assert_eq!(
            patch["spec"]["traffic"],
            json!([
                {"latestRevision": true, "percent": 90},
                {"latestRevision": false, "revisionName": "podinfo-00001", "percent": 10},
                {"tag": "preview", "revisionName": "podinfo-00001"},
            ])
        );
    }

    // spec: 03/KN-04
    #[rstest]
    #[case::no_annotation(None, json!([{"latestRevision": true, "percent": 100}]), "primary revision annotation not found")]
    #[case::one_entry(Some("podinfo-00001"), json!([{"latestRevision": true, "percent": 100}]), "does not split its traffic")]
    #[case::a_tagged_one_is_no_side(Some("podinfo-00001"), json!([{"latestRevision": true, "percent": 100}, {"tag": "old", "revisionName": "podinfo-00001"}]), "does not split its traffic")]
    #[case::a_third(Some("podinfo-00001"), json!([{"latestRevision": true}, {"revisionName": "podinfo-00001", "percent": 50}, {"revisionName": "x", "percent": 50}]), "does not split its traffic")]
    #[case::no_flag(Some("podinfo-00001"), json!([{"percent": 100}, {"revisionName": "podinfo-00001"}]), "does not split its traffic")]
    fn traffic_that_is_not_ours_is_an_error_and_no_crash(
        #[case] annotated: Option<&str>,
        #[case] traffic: Value,
        #[case] why: &str,
    ) {
        let error = state(&seen(annotated, &traffic)).expect_err("not ours");
        assert!(error.to_string().contains(why), "{error}");
    }

    #[test]
    fn a_target_that_is_no_knative_service_is_refused() {
        let refused = routes(0, &Objects::default());
        assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    }

    #[test]
    fn right_after_a_promotion_the_shares_are_still_told_apart() {
        let traffic = json!([{"latestRevision": true, "percent": 60}, {"revisionName": "podinfo-00002", "percent": 40}]);
        let state = state(&seen(Some("podinfo-00002"), &traffic));
        assert_eq!(state, Ok(Some(RouteState { split: Split::canary_gets(60), mirrored: false })));
    }

    // spec: 03/KN-06
    #[test]
    fn without_the_canary_the_latest_revision_gets_everything_again() {
        let traffic = json!([
            {"latestRevision": true, "percent": 0},
            {"revisionName": "podinfo-00001", "percent": 100},
            {"tag": "preview", "latestRevision": true},
        ]);
        let writes = released(&seen(Some("podinfo-00001"), &traffic)).expect("a write");
        let [Write::Patch { patch, .. }] = &writes[..] else { panic!("{writes:?}") };
        assert_eq!(patch["metadata"]["annotations"][Kind::PRIMARY_REVISION], Value::Null);
        assert_eq!(
            patch["spec"]["traffic"],
            json!([{"latestRevision": true, "percent": 100}, {"tag": "preview", "latestRevision": true}])
        );
        assert_eq!(released(&Objects::default()), Ok(vec![]));
    }
}
