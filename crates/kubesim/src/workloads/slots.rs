//! The buckets that the controllers use all the time.

use crate::registry::Registry;
use crate::store::BucketId;

/// Where the objects of the built-in workloads are kept.
#[derive(Clone, Copy, Debug)]
pub struct Slots {
    pub namespaces: BucketId,
    pub deployments: BucketId,
    pub replica_sets: BucketId,
    pub daemon_sets: BucketId,
    pub revisions: BucketId,
    pub pods: BucketId,
    pub nodes: BucketId,
    pub services: BucketId,
    pub slices: BucketId,
    pub autoscalers: BucketId,
}

impl Slots {
    /// Looks them up once.
    pub fn of(registry: &Registry) -> Self {
        let slot = |group: &str, plural: &str| {
            registry.bucket(group, plural).expect("the built-in resources are registered first")
        };
        Self {
            namespaces: slot("", "namespaces"),
            deployments: slot("apps", "deployments"),
            replica_sets: slot("apps", "replicasets"),
            daemon_sets: slot("apps", "daemonsets"),
            revisions: slot("apps", "controllerrevisions"),
            pods: slot("", "pods"),
            nodes: slot("", "nodes"),
            services: slot("", "services"),
            slices: slot("discovery.k8s.io", "endpointslices"),
            autoscalers: slot("autoscaling", "horizontalpodautoscalers"),
        }
    }
}
