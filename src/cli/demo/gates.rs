//! The gates of the demo: hooks that say no until somebody opens them, with `vexil approve` or with an annotation of
//! the Canary.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use crate::http::{Cause, Request, Response, Transport};
use kubesim::KubeSim;

/// Where the gates are for the demo's own controller.
pub(super) const ADDRESS: &str = "http://gates.demo/";
/// The annotation that opens the gate NAME begins so.
const ANNOTATION: &str = "gates.demo/";
/// What the annotation says when the gate is open.
const OPEN: &str = "open";

/// Answers for the gates of all Canaries of a cluster.
#[derive(Clone)]
pub(super) struct Gates(pub KubeSim);

impl Gates {
    /// Status and text for a hook with this payload that asks whether the gate `name` is open.
    pub(super) fn answer(&self, name: &str, payload: &[u8]) -> (u16, String) {
        if !is_name(name) {
            return (400, format!("write the name of a gate, as in {ADDRESS}promote"));
        }
        let payload: Value = serde_json::from_slice(payload).unwrap_or_default();
        let (Some(canary), Some(namespace)) = (payload["name"].as_str(), payload["namespace"].as_str())
        else {
            return (400, "a gate is asked with the payload of a hook, which names the Canary".to_owned());
        };
        let Some(object) = self.0.get("canaries.flagger.app", namespace, canary) else {
            return (404, format!("there is no Canary {canary} in namespace {namespace}"));
        };
        let key = format!("{ANNOTATION}{name}");
        if object["metadata"]["annotations"][&key] == OPEN {
            return (200, format!("the gate {name} is open"));
        }
        let command = format!("kubectl annotate canary {canary} -n {namespace} {key}={OPEN}");
        (403, format!("the gate {name} is closed: {command}"))
    }
}

impl Transport for Gates {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        let path = request.url.split(['?', '#']).next().unwrap_or_default();
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let (status, text) = self.answer(name, &request.body);
        async move { Ok(Response::new(status, text)) }.boxed()
    }
}

/// Whether an annotation can have this name.
fn is_name(name: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (1..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && ends(name.chars().next())
        && ends(name.chars().next_back())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::sim::World;

    const PAYLOAD: &str = r#"{"name": "frontend", "namespace": "shop", "phase": "WaitingPromotion"}"#;

    #[rstest]
    #[case::closed("promote", PAYLOAD, json!({}), 403)]
    #[case::open("promote", PAYLOAD, json!({"gates.demo/promote": "open"}), 200)]
    #[case::another("promote", PAYLOAD, json!({"gates.demo/start": "open"}), 403)]
    #[case::not_quite("promote", PAYLOAD, json!({"gates.demo/promote": "no"}), 403)]
    #[case::nobody("promote", r#"{"name": "cart", "namespace": "shop"}"#, json!({}), 404)]
    #[case::no_payload("promote", "", json!({}), 400)]
    #[case::a_list("promote", "[]", json!({}), 400)]
    #[case::no_name("", PAYLOAD, json!({}), 400)]
    #[case::a_strange_name("a b\n", PAYLOAD, json!({}), 400)]
    #[tokio::test(start_paused = true)]
    async fn a_gate_says_no_until_its_annotation_says_open(
        #[case] name: &str,
        #[case] payload: &str,
        #[case] annotations: Value,
        #[case] status: u16,
    ) {
        let world = World::builder().build();
        world.apply(super::super::shop::MANIFEST).expect("the shop");
        let patch = json!({"metadata": {"annotations": annotations}});
        world.kube.patch("kubectl", "canaries.flagger.app", "shop", "frontend", patch).expect("it is there");
        assert_eq!(status, Gates(world.kube.clone()).answer(name, payload.as_bytes()).0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_waits_at_a_gate_until_it_is_opened() {
        let world = World::builder().build();
        world.backend.serve(ADDRESS, std::sync::Arc::new(Gates(world.kube.clone())));
        world.apply(super::super::shop::MANIFEST).expect("the shop");
        let patch = |patch: Value| {
            world
                .kube
                .patch("kubectl", "canaries.flagger.app", "shop", "frontend", patch)
                .expect("it is there")
        };
        let hook =
            json!({"name": "promote", "type": "confirm-promotion", "url": "http://gates.demo/promote"});
        patch(json!({"spec": {"analysis": {"webhooks": [hook]}}}));
        let controller = world.start_controller();
        let phase = async |phase: &str, limit| {
            let met =
                world.until(Duration::from_secs(limit), |world| world.phase("shop", "frontend") == phase);
            met.await
        };
        assert!(phase("Initialized", 600).await);
        world.set_image("shop", "frontend", "shop/frontend:2.0");
        assert!(phase("WaitingPromotion", 3600).await, "{:#?}", world.events("shop", "frontend"));
        assert!(!phase("Promoting", 3600).await, "the gate is closed");
        patch(json!({"metadata": {"annotations": {"gates.demo/promote": "open"}}}));
        assert!(phase("Succeeded", 600).await, "{:#?}", world.events("shop", "frontend"));
        controller.stop().await;
    }
}
