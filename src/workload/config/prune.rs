//! Copies that a primary does not refer to any more: they go with the release that did away with the reference
//! (spec 02 E4.5).

use serde_json::{Value, json};

use super::copies::other_owners;
use super::references::places;
use crate::model::object::{ObjectId, Objects, Write};
use crate::model::release::Release;

/// Deletes those of `owned` that are copies and to which the primary's `template` does not refer. A copy that other
/// Canaries share stays, and only loses this Canary as an owner.
pub(in crate::workload) fn prune(release: &Release, template: &Value, owned: &Objects) -> Vec<Write> {
    let needed = places(template);
    let is_needed = |id: &ObjectId| needed.iter().any(|place| place.kind == id.kind && place.name == id.name);
    let ending = format!("-primary-{}", release.name);
    let is_copy = |id: &ObjectId| id.name.ends_with("-primary") || id.name.ends_with(&ending);
    owned
        .iter()
        .filter(|(id, _)| is_copy(id) && !is_needed(id))
        .filter_map(|(id, copy)| {
            let others = other_owners(release, copy)?;
            Some(if others.is_empty() {
                Write::Delete { id: id.clone() }
            } else {
                Write::patch(id.clone(), copy, json!({"metadata": {"ownerReferences": others}}))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rstest::rstest;

    use super::*;
    use crate::model::object::Kind;
    use crate::workload::testing::release;

    fn ours() -> Value {
        json!({"kind": "Canary", "name": "frontend", "controller": true})
    }

    fn theirs() -> Value {
        json!({"kind": "Canary", "name": "checkout", "controller": false})
    }

    fn after_promotion(name: &str, owners: &[Value]) -> Vec<Write> {
        let template = json!({"spec": {"volumes": [{"configMap": {"name": "new-primary"}}]}});
        let id = Kind::CONFIG_MAP.at("shop", name);
        let copy = json!({"metadata": {"resourceVersion": "7", "ownerReferences": owners}});
        prune(&release(), &template, &[(id, Arc::new(copy))].into_iter().collect())
    }

    #[rstest]
    #[case::not_referred_to("old-primary", &[ours()], true)]
    #[case::our_own_version_of_a_shared_one("old-primary-frontend", &[ours()], true)]
    #[case::still_in_use("new-primary", &[ours()], false)]
    #[case::no_copy("old", &[ours()], false)]
    #[case::somebody_elses("old-primary", &[theirs()], false)]
    #[case::nobodys("old-primary", &[], false)]
    fn a_copy_goes_when_the_primary_does_not_refer_to_it_any_more(
        #[case] name: &str,
        #[case] owners: &[Value],
        #[case] goes: bool,
    ) {
        let deleted = vec![Write::Delete { id: Kind::CONFIG_MAP.at("shop", name) }];
        assert_eq!(after_promotion(name, owners), if goes { deleted } else { Vec::new() });
    }

    #[test]
    fn a_copy_that_others_share_stays_theirs() {
        let [Write::Patch { patch, .. }] = &after_promotion("old-primary", &[ours(), theirs()])[..] else {
            panic!("one patch");
        };
        assert_eq!(patch["metadata"]["ownerReferences"], json!([theirs()]));
    }
}
