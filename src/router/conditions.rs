//! Whether a mesh has taken an object in, for those that say so in the object's conditions.

use serde_json::Value;

use crate::model::object::ObjectId;
use crate::model::traffic::Acceptance;

/// What the conditions of these types say of the live object `id`, in the words of `mesh`, which wrote them. An object
/// without such conditions is taken for accepted: its mesh may be one that never says.
pub(super) fn accepted(id: &ObjectId, live: &Value, mesh: &str, types: &[&str]) -> Acceptance {
    let status = &live["status"];
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let told = conditions.iter().filter(|condition| types.iter().any(|kind| condition["type"] == *kind));
    if let Some(condition) = told.clone().find(|condition| condition["status"] != "True") {
        let text = |field: &str| condition[field].as_str().filter(|text| !text.is_empty());
        let why = text("message").or(text("reason")).unwrap_or("no reason is given");
        let kind = text("type").unwrap_or_default();
        return Acceptance::Pending(format!("{id} is not {kind}: {why}"));
    }
    // The object's own, where it has one, or the oldest of the conditions'.
    let of_conditions = told.filter_map(|condition| condition["observedGeneration"].as_i64()).min();
    let seen = status["observedGeneration"].as_i64().or(of_conditions);
    match (seen, live["metadata"]["generation"].as_i64()) {
        (Some(seen), Some(written)) if seen < written => {
            Acceptance::Pending(format!("{mesh} has not taken in the last change of {id} yet"))
        }
        _ => Acceptance::Accepted,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::model::object::Kind;

    const NOT_YET: &str = "Mesh has not taken in the last change of Service a.shop yet";

    #[rstest]
    #[case::nothing_said(json!({}), None)]
    #[case::accepted(json!({"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 3}]}), None)]
    #[case::of_another_type(json!({"conditions": [{"type": "Other", "status": "False"}]}), None)]
    #[case::refused(
        json!({"conditions": [{"type": "Accepted", "status": "False", "reason": "Bad", "message": "no such plugin"}]}),
        Some("Service a.shop is not Accepted: no such plugin")
    )]
    #[case::refused_without_a_message(
        json!({"conditions": [{"type": "Accepted", "status": "Unknown", "reason": "Bad", "message": ""}]}),
        Some("Service a.shop is not Accepted: Bad")
    )]
    #[case::refused_without_a_word(
        json!({"conditions": [{"type": "Accepted"}]}),
        Some("Service a.shop is not Accepted: no reason is given")
    )]
    #[case::of_an_older_generation(
        json!({"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 2}]}),
        Some(NOT_YET)
    )]
    #[case::an_older_generation_of_the_object(
        json!({"observedGeneration": 2, "conditions": [{"type": "Accepted", "status": "True"}]}),
        Some(NOT_YET)
    )]
    #[case::no_list(json!({"conditions": "none"}), None)]
    fn conditions_say_whether_an_object_is_taken_in(#[case] status: Value, #[case] expected: Option<&str>) {
        let live = json!({"metadata": {"generation": 3}, "status": status});
        let expected = expected.map_or(Acceptance::Accepted, |why| Acceptance::Pending(why.to_owned()));
        assert_eq!(accepted(&Kind::SERVICE.at("shop", "a"), &live, "Mesh", &["Accepted"]), expected);
    }
}
