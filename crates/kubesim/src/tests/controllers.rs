//! Controllers of others, inside the cluster.

use std::time::Duration;

use serde_json::json;

use crate::{Controller, ControllerApi, KubeSim, Object, ObjectId};

/// Copies each ConfigMap named `source` to one named `copy`, and counts in the copy how often it has looked.
struct Copies;

impl Controller for Copies {
    fn watches(&self, object: &Object) -> bool {
        object.value()["kind"] == "ConfigMap" && object.value()["metadata"]["name"] == "source"
    }

    fn sync(&mut self, api: &mut ControllerApi<'_>, id: &ObjectId) -> Option<Duration> {
        let namespace = &*id.key.namespace;
        let copy = api.id("cm", namespace, "copy")?;
        let Some(source) = api.object(id).map(|source| source.value()["data"].clone()) else {
            api.delete(&copy);
            return None;
        };
        match api.object(&copy).map(|copy| copy.value().clone()) {
            Some(mut value) => {
                let looked = value["data"]["looked"].as_str().map_or(0, str::len);
                value["data"] = source;
                value["data"]["looked"] = json!("i".repeat(looked + 1));
                api.update(&copy, value);
                (looked == 0).then_some(Duration::from_secs(5))
            }
            None => {
                let value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "copy"}, "data": source});
                api.create("v1/ConfigMap", namespace, value)?;
                Some(Duration::from_secs(5))
            }
        }
    }
}

fn copy(sim: &KubeSim) -> Option<serde_json::Value> {
    sim.get("cm", "shop", "copy").map(|copy| copy["data"].clone())
}

#[tokio::test(start_paused = true)]
async fn a_controller_from_outside_sees_changes_writes_objects_and_comes_back_in_time() {
    let sim = KubeSim::builder().build();
    sim.add_controller(Copies);
    let source = |sky: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "source", "namespace": "shop"},
            "data": {"sky": sky},
        })
    };
    sim.put(source("blue"));
    sim.settled().await;
    assert_eq!(copy(&sim), Some(json!({"sky": "blue"})));
    assert!(sim.requests().is_empty(), "its writes are no requests");

    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(copy(&sim), Some(json!({"sky": "blue", "looked": "i"})), "it looked once more");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(copy(&sim), Some(json!({"sky": "blue", "looked": "ii"})), "and once more, as it asked");

    sim.delete("cm", "shop", "source");
    sim.settled().await;
    assert_eq!(copy(&sim), None);
}

#[tokio::test(start_paused = true)]
async fn what_the_cluster_refuses_a_controller_is_not_there_and_does_no_harm() {
    struct Wrong;
    impl Controller for Wrong {
        fn watches(&self, object: &Object) -> bool {
            object.value()["kind"] == "Secret"
        }
        fn sync(&mut self, api: &mut ControllerApi<'_>, id: &ObjectId) -> Option<Duration> {
            assert!(api.id("nonsense", "shop", "x").is_none());
            assert!(api.create("v1/Nonsense", "shop", json!({})).is_none());
            assert!(
                api.create(
                    "v1/ConfigMap",
                    "shop",
                    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "Not A Name"}})
                )
                .is_none()
            );
            let gone = api.id("cm", "shop", "gone").expect("a kind that there is");
            api.update(&gone, json!({}));
            api.update_status(&gone, json!({"a": 1}));
            api.delete(&gone);
            api.delete(id);
            None
        }
    }
    let sim = KubeSim::builder().without_workloads().build();
    sim.add_controller(Wrong);
    sim.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "shop"}}));
    sim.settled().await;
    assert!(sim.get("secret", "shop", "s").is_none());
    assert!(sim.list("cm", Some("shop")).iter().all(|object| object["metadata"]["name"] != "gone"));
}
