//! The check that an object may serve as part of a primary: what another controller manages is never taken over
//! (P9).

use serde_json::Value;

use super::Error;
use crate::model::object::{ObjectId, controller, is_canary};
use crate::model::release::Release;

/// Fails if the object's controller is anything but the release's Canary. An object without a controller
/// may have lost it, in a backup for example, and is used as it is. A Canary that was deleted and created again
/// goes on with what is there, whose owner it becomes (`adopted`).
pub(super) fn check(release: &Release, id: &ObjectId, object: &Value) -> Result<(), Error> {
    match controller(object) {
        Some(owner) if !is_canary(owner, &release.name) => {
            let text = |key: &str| owner[key].as_str().unwrap_or("?").to_owned();
            Err(Error::Unusable(format!(
                "{id} belongs to {} {} and cannot serve the primary of {}, delete or rename it",
                text("kind"),
                text("name"),
                release.target_title()
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::model::object::Kind;
    use crate::workload::testing::release;

    #[rstest]
    #[case::ours(json!([{"kind": "Canary", "name": "frontend", "controller": true}]), true)]
    #[case::nobody(json!([]), true)]
    #[case::an_owner_that_does_not_control(json!([{"kind": "App", "name": "shop"}]), true)]
    #[case::another_canary(json!([{"kind": "Canary", "name": "checkout", "controller": true}]), false)]
    #[case::another_kind_of_that_name(json!([{"apiVersion": "look.alike/v1", "kind": "Canary", "name": "frontend", "controller": true}]), false)]
    #[case::another_controller(json!([{"kind": "App", "name": "frontend", "controller": true}]), false)]
    fn only_what_another_controller_manages_is_refused(#[case] owners: Value, #[case] usable: bool) {
        let object = json!({"metadata": {"ownerReferences": owners}});
        let id = Kind::DEPLOYMENT.at("shop", "frontend-primary");
        assert_eq!(check(&release(), &id, &object).is_ok(), usable);
    }
}
