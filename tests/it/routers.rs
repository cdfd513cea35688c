//! The laws of the routers: one suite over every mesh that is registered, and over every case that its folder under
//! `tests/data/routers` holds. A case is what a user of that mesh can review: `<case>.in.yaml` has a Canary, what the
//! traffic should be, and the objects that are there before; `<case>.out.yaml` the objects that are there afterwards.
//! `UPDATE=1 cargo test --test it routers` writes the latter.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use vexil::api::service::CustomMetadata;
use vexil::model::object::Write;
use vexil::router::laws::{self, Trial, next_wishes};
use vexil::router::registry;
use vexil::router::{Access, Items, plan};

use self::case::{Case, applied, cases, title};
use self::marks::{lost, mark};

mod adopted;
mod case;
mod claims;
mod cluster;
mod gateway;
mod harm;
mod ingresses;
mod marks;
mod neighbours;
mod references;
mod release;
mod shared_rule;
mod unsupported;

/// Runs `law` over all cases, and reports all that break it.
fn holds(law: impl Fn(&Case) -> Result<(), String>) {
    let all = cases();
    assert!(!all.is_empty(), "no cases under tests/data/routers");
    let broken: Vec<String> =
        all.iter().filter_map(|case| law(case).err().map(|why| format!("{}: {why}", case.title))).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn equal(what: &str, found: &[Value], expected: &[Value]) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}\n{}\nbut should be\n{}", case::yaml(found), case::yaml(expected)))
}

#[test]
fn every_mesh_with_objects_has_cases() {
    let with_cases: BTreeSet<&str> = cases().iter().map(|case| case.mesh.title).collect();
    for mesh in registry::all().filter(|mesh| !mesh.rights.is_empty()) {
        let folder = mesh.providers.first().map_or("adopted", |provider| provider.as_str());
        assert!(
            with_cases.contains(mesh.title),
            "{} has no cases: add tests/data/routers/{folder}/weighted.in.yaml and run with UPDATE=1",
            mesh.title,
        );
    }
}

#[test]
fn no_release_is_promised_more_than_the_mesh_can() {
    holds(|case| {
        let (can, abilities) = (case.mesh.router.capabilities(&case.release), case.mesh.abilities);
        let beyond = [
            can.weights && !abilities.weights,
            can.matching && !abilities.matching,
            can.mirror_weighted && !abilities.mirror_weighted,
            can.mirror_blue_green && !abilities.mirror_blue_green,
            can.session_affinity && !abilities.session_affinity,
        ];
        if beyond.contains(&true) { Err(format!("{can:?} is more than {abilities:?}")) } else { Ok(()) }
    });
}

// `nginx/prefix` has another prefix of annotations.
// spec: 03/NGX-04
#[test]
fn the_objects_are_those_that_users_of_the_mesh_have_reviewed() {
    holds(|case| {
        let after = case.after();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&case.expected_at, case::yaml(&after)).expect("writable");
        }
        let text = std::fs::read_to_string(&case.expected_at)
            .map_err(|error| format!("{}: {error}, run with UPDATE=1", case.expected_at.display()))?;
        equal("the objects are", &after, &case::documents(&text))
    });
}

/// Runs a law of those that RouteTemplates are tried with as well over all cases.
fn keeps(law: impl Fn(&Trial) -> laws::Verdict) {
    holds(|case| law(&case.trial()).map_err(|broken| broken.to_string()));
}

#[test]
fn what_is_planned_is_what_is_read() {
    // Also what follows in a release, each from what the one before has left.
    keeps(|trial| laws::what_is_planned_is_read(trial, next_wishes()));
}

#[test]
fn a_second_plan_is_empty() {
    keeps(laws::a_second_plan_is_empty);
}

#[test]
fn a_crash_between_any_two_writes_converges() {
    keeps(laws::a_crash_converges);
}

#[test]
fn a_crash_between_any_two_writes_gives_the_canary_no_more_than_before_and_after() {
    keeps(laws::a_crash_gives_no_more);
}

#[test]
fn a_share_of_the_requests_that_match_is_never_taken_for_a_share_of_everybodys() {
    let mut tried = 0;
    for case in cases().iter().filter(|case| !case.release.analysis.matches.is_empty()) {
        let law = laws::a_matching_share_is_not_everybodys(&case.trial());
        assert_eq!(law, Ok(()), "{}", case.title);
        tried += 1;
    }
    assert!(tried > 0, "no case has analysis.match");
}

#[test]
fn what_is_not_ours_survives_also_inside_list_items() {
    holds(|case| {
        let strangers = case.looking(&case.after(), |view| {
            let desired = case.mesh.router.desired(view, &case.wish).expect("planned before");
            let mut objects = case.after();
            for wanted in desired {
                let Some(object) = objects.iter_mut().find(|object| title(object) == wanted.id.to_string())
                else {
                    continue;
                };
                json_patch::merge(
                    object,
                    &json!({
                        "metadata": {"labels": {"team": "web"}, "annotations": {"team": "web"}},
                        "spec": {"x-foreign": {"a": 1}},
                    }),
                );
                let one_by_one = |items: Items| matches!(items, Items::Matched(_) | Items::Keyed(_));
                for (path, _) in wanted.lists.iter().filter(|(_, items)| one_by_one(*items)) {
                    mark(object, &path.split('.').collect::<Vec<_>>());
                }
            }
            objects
        });
        if !case.plan(&case.wish, &strangers).map_err(|error| error.to_string())?.is_empty() {
            return Err("what others add counts as drift".to_owned());
        }
        for wish in next_wishes() {
            let writes = case.plan(&wish, &strangers).map_err(|error| error.to_string())?;
            let objects = applied(&strangers, &writes);
            let kept = objects.iter().filter(|object| object["metadata"]["labels"]["team"] == "web").count();
            let had = strangers.iter().filter(|object| object["metadata"]["labels"]["team"] == "web").count();
            // A wish of another shape may need fewer items than before; the weights alone never do.
            let same_shape = case.wish.cookies == wish.cookies && case.wish.mirror == wish.mirror;
            let gone = if same_shape { lost(case, &wish, &strangers, &objects)? } else { Vec::new() };
            if kept != had || !gone.is_empty() {
                return Err(format!("{gone:?} is lost at {wish:?}:\n{}", case::yaml(&objects)));
            }
        }
        Ok(())
    });
}

#[test]
fn the_objects_of_another_canary_are_refused() {
    keeps(laws::the_objects_of_another_canary_are_refused);
}

#[test]
fn restoration_undoes_the_take_over() {
    keeps(laws::restoration_undoes_the_take_over);
}

#[test]
fn labels_that_come_in_two_edits_of_the_manifest_go_together() {
    let case = cases().into_iter().find(|case| case.title == "contour/take-over").expect("the case");
    let with = |labels: &[(&str, &str)]| {
        let mut case = case.clone();
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        case.release.service.apex = Some(CustomMetadata { labels: Some(labels), annotations: None });
        case
    };
    let mut users = case.before.clone();
    users[0]["metadata"]["labels"] = json!({"team": "users-own"});
    let mut objects = users.clone();
    for labels in [&[][..], &[("tier", "web")], &[("tier", "web"), ("team", "shop")]] {
        let edited = with(labels);
        objects = applied(&objects, &edited.plan(&case.wish, &objects).expect("planned"));
        assert_eq!(edited.plan(&case.wish, &objects), Ok(vec![]), "once for {labels:?}");
    }
    assert_eq!(objects[0]["metadata"]["labels"], json!({"app": "frontend", "team": "shop", "tier": "web"}));
    let back = case.looking(&objects, |view| plan::restoration(case.mesh.router, view)).expect("planned");
    assert_eq!(applied(&objects, &back), users);
}

#[test]
fn no_owner_is_named_in_another_cluster_and_deletion_removes_what_was_made() {
    // spec: 03/OWN-02
    holds(|case| {
        let case = case.clone().with_remote_mesh();
        if !case.before.is_empty() {
            return Ok(());
        }
        let objects = case.after();
        let remote: Vec<&Value> = objects.iter().filter(|object| !is_local(object)).collect();
        for object in &remote {
            if !object["metadata"]["ownerReferences"].is_null() {
                return Err(format!("{} names an owner", title(object)));
            }
        }
        if !case.plan(&case.wish, &objects).map_err(|error| error.to_string())?.is_empty() {
            return Err("a second plan is not empty".to_owned());
        }
        let needed = plan::needs_cleanup(case.mesh.router, &case.release, &case.settings);
        if needed == remote.is_empty() {
            return Err(format!("cleanup needed: {needed}"));
        }
        let removal = case.looking(&objects, |view| plan::removal(case.mesh.router, view));
        let removal = removal.map_err(|error| error.to_string())?;
        let left = applied(&objects, &removal);
        if left.iter().any(|object| !is_local(object)) {
            return Err(format!("is left behind:\n{}", case::yaml(&left)));
        }
        Ok(())
    });
}

fn is_local(object: &Value) -> bool {
    let group = object["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'))
        .map_or("", |(group, _)| group);
    ["", "networking.k8s.io", "serving.knative.dev"].contains(&group)
}

#[test]
fn every_kind_is_in_the_rights() {
    holds(|case| {
        let allowed = |write: &Write| {
            let access =
                case.mesh.rights.iter().find(|right| right.kind == write.id().kind).map(|right| right.access);
            match write {
                Write::Delete { .. } => access == Some(Access::Own),
                Write::Create { .. } => matches!(access, Some(Access::Own | Access::Make)),
                Write::Patch { .. } => access.is_some_and(|access| access != Access::Read),
            }
        };
        let writes = case.plan(&case.wish, &case.before).map_err(|error| error.to_string())?;
        if let Some(write) = writes.iter().find(|write| !allowed(write)) {
            return Err(format!("no right for {}", write.id()));
        }
        for id in case.mesh.router.reads(&case.release) {
            if !case.mesh.rights.iter().any(|right| right.kind == id.kind) {
                return Err(format!("no right to read {id}"));
            }
        }
        Ok(())
    });
}
