//! The world of the demo: an online shop on an embedded cluster, behind the mesh that somebody chose.

use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::tags;
use crate::api::Provider;
use crate::model::release::Settings;
use crate::router::registry;
use crate::sim::World;

/// The objects of the shop behind Istio, as a user would apply them.
pub(super) const MANIFEST: &str = include_str!("shop.yaml");
pub(super) const NAMESPACE: &str = "shop";
/// Name of the Deployment, the autoscaler and the Canary.
pub(super) const APP: &str = "frontend";
/// The version that the manifest has.
pub(super) const FIRST: &str = "1.0";
pub(super) const GOOD: &str = "2.0";
pub(super) const BROKEN: &str = "3.0-broken";

/// A mesh or ingress that the shop is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mesh {
    pub provider: Provider,
    /// As `--mesh` had it, which can say more (`smi:v1alpha1:istio`).
    pub name: String,
}

impl Default for Mesh {
    fn default() -> Self {
        Self { provider: Provider::Istio, name: Provider::Istio.to_string() }
    }
}

/// The error for a name that means no mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mesh of that name can be simulated: write {}", registry::known_names())]
pub(super) struct UnknownMesh;

impl Mesh {
    /// The mesh that `name` means, as for `spec.provider`.
    ///
    /// # Errors
    /// If it means none that can be simulated.
    pub(super) fn parse(name: &str) -> Result<Self, UnknownMesh> {
        let provider = Provider::parse(name).filter(|provider| registry::mesh(*provider).is_some());
        provider.map(|provider| Self { provider, name: name.to_owned() }).ok_or(UnknownMesh)
    }

    /// What people call it.
    pub(super) fn title(&self) -> &'static str {
        let title = registry::mesh(self.provider).map_or("a mesh", |mesh| mesh.title);
        // Without the kinds that it writes.
        title.split(" (").next().unwrap_or(title)
    }

    /// What gives the shop another version.
    pub(super) fn set_image(&self, tag: &str) -> String {
        let image = image(tag);
        if self.provider == Provider::Knative {
            let patch = json!({"spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
            return format!("kubectl patch services.serving.knative.dev/{APP} --type merge -p '{patch}'");
        }
        format!("kubectl set image deployment/{APP} {APP}={image}")
    }
}

/// A cluster on which the shop was just applied; its pods are ready after `startup`.
pub(super) fn open(mesh: &Mesh, start: Option<DateTime<Utc>>, startup: Duration) -> anyhow::Result<World> {
    let settings = Settings { mesh_provider: mesh.name.clone(), ..Settings::default() };
    let builder = World::builder().mesh(mesh.provider).settings(settings);
    let world = match start {
        Some(start) => builder.start(start).build(),
        None => builder.build(),
    };
    world.kube.set_pod_rules(tags::pod_rules(startup));
    world.backend.read_freely();
    weather(&world, 0);
    for object in objects(mesh)? {
        world.apply(&object.to_string()).map_err(|why| anyhow!("the shop cannot be applied: {why}"))?;
    }
    Ok(world)
}

/// The shop behind this mesh: as behind Istio, but with the routes that users of the mesh bring and a Canary for it.
fn objects(mesh: &Mesh) -> anyhow::Result<Vec<Value>> {
    let shop = documents(MANIFEST)?;
    let Some(example) = example(mesh.provider) else { return Ok(shop) };
    let mut example = documents(example)?;
    let has_pods = example.iter().any(|object| object["kind"] == "Deployment");
    let kept: &[&str] =
        if has_pods { &["Namespace", "Deployment", "HorizontalPodAutoscaler"] } else { &["Namespace"] };
    let mut objects: Vec<Value> =
        shop.iter().filter(|object| kept.iter().any(|kind| object["kind"] == *kind)).cloned().collect();
    example.retain(|object| object["kind"] != "Deployment");
    for object in &mut example {
        if object["kind"] == "Canary" {
            // Several providers share an example.
            object["spec"]["provider"] = json!(mesh.provider.as_str());
            let canary = shop.iter().find(|object| object["kind"] == "Canary");
            for field in ["autoscalerRef", "progressDeadlineSeconds"] {
                if let Some(canary) = canary.filter(|_| has_pods) {
                    object["spec"][field] = canary["spec"][field].clone();
                }
            }
        } else if object["spec"]["template"]["spec"]["containers"].is_array() {
            object["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image(FIRST));
        }
    }
    objects.append(&mut example);
    for object in objects.iter_mut().filter(|object| object["kind"] == "Namespace") {
        object["metadata"]["labels"] = json!({});
    }
    Ok(objects)
}

/// The example whose routes and Canary users of the mesh would write; none for Istio, whose shop is complete.
fn example(provider: Provider) -> Option<&'static str> {
    Some(match provider {
        Provider::Istio => return None,
        Provider::Alb => include_str!("../../../examples/alb/weighted.yaml"),
        Provider::Apisix => include_str!("../../../examples/apisix/weighted.yaml"),
        Provider::AppMesh => include_str!("../../../examples/appmesh/weighted-v1beta1.yaml"),
        Provider::AppMeshV1Beta2 => include_str!("../../../examples/appmesh/weighted.yaml"),
        Provider::Contour => include_str!("../../../examples/contour/weighted.yaml"),
        Provider::GatewayApiV1 | Provider::GatewayApiV1Beta1 => {
            include_str!("../../../examples/gatewayapi/weighted.yaml")
        }
        Provider::Gloo => include_str!("../../../examples/gloo/weighted.yaml"),
        Provider::Knative => include_str!("../../../examples/knative/weighted.yaml"),
        Provider::Kubernetes => include_str!("../../../examples/kubernetes/blue-green.yaml"),
        Provider::Kuma => include_str!("../../../examples/kuma/weighted.yaml"),
        Provider::Linkerd => include_str!("../../../examples/linkerd/weighted.yaml"),
        Provider::Nginx => include_str!("../../../examples/nginx/weighted.yaml"),
        Provider::Osm => include_str!("../../../examples/osm/weighted.yaml"),
        Provider::Skipper => include_str!("../../../examples/skipper/weighted.yaml"),
        Provider::SmiV1Alpha1 | Provider::SmiV1Alpha2 | Provider::SmiV1Alpha3 => {
            include_str!("../../../examples/smi/weighted.yaml")
        }
        Provider::Traefik => include_str!("../../../examples/traefik/weighted.yaml"),
    })
}

fn documents(yaml: &str) -> anyhow::Result<Vec<Value>> {
    let all: Vec<Value> =
        serde_saphyr::from_multiple(yaml).map_err(|why| anyhow!("the shop is no YAML: {why}"))?;
    Ok(all.into_iter().filter(|object| !object.is_null()).collect())
}

/// Checks come so often from now on.
pub(super) fn set_interval(world: &World, interval: &str) -> anyhow::Result<()> {
    let patch = json!({"spec": {"analysis": {"interval": interval}}});
    world
        .kube
        .patch("kubectl", "canaries.flagger.app", NAMESPACE, APP, patch)
        .map(drop)
        .map_err(|why| anyhow!("the interval cannot be set: {why}"))
}

/// What is measured from now on: a little more or less at each step.
pub(super) fn weather(world: &World, step: usize) {
    world.backend.behave(move |image| tags::behaviour(image).at(step, image));
}

/// The image of the frontend with this tag.
pub(super) fn image(tag: &str) -> String {
    format!("shop/{APP}:{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn the_shop_can_be_applied() {
        let world = open(&Mesh::default(), None, Duration::ZERO).expect("a good manifest");
        let image_of = |world: &World| {
            let deployment = world.kube.get("deployments.apps", NAMESPACE, APP).expect("applied");
            deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().map(str::to_owned)
        };
        assert_eq!(Some(image(FIRST)), image_of(&world));
        assert!(world.kube.get("canaries.flagger.app", NAMESPACE, APP).is_some());
        set_interval(&world, "10s").expect("it is there");
    }

    #[tokio::test(start_paused = true)]
    async fn behind_every_mesh_a_good_version_is_promoted_and_a_broken_one_is_not() {
        for name in registry::known() {
            let mesh = Mesh::parse(name).expect("it is known");
            let world = open(&mesh, None, Duration::from_secs(2)).expect("a good manifest");
            set_interval(&world, "10s").expect("it is there");
            let controller = world.start_controller();
            for (tag, phase) in [(FIRST, "Initialized"), (GOOD, "Succeeded"), (BROKEN, "Failed")] {
                world.set_image(NAMESPACE, APP, &image(tag));
                let ended = world.until(HOUR, |world| world.phase(NAMESPACE, APP) == phase).await;
                assert!(ended, "{name} {tag}: {:#?}", world.events(NAMESPACE, APP));
            }
            controller.stop().await;
        }
    }

    #[test]
    fn an_unknown_mesh_is_refused_with_those_that_there_are() {
        for name in ["", "consul", "crossover", "smi:istio"] {
            let why = Mesh::parse(name).expect_err("it means nothing").to_string();
            assert!(why.contains("apisix, ") && why.contains(" or traefik"), "{why}");
        }
        assert_eq!(
            Ok("smi:v1alpha1:istio".to_owned()),
            Mesh::parse("smi:v1alpha1:istio").map(|mesh| mesh.name)
        );
    }
}
