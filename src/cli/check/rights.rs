//! The rights that the controller needs, and those of whoever installs it. tests/it/check.rs holds the first against what
//! the chart gives.

use std::collections::BTreeSet;

use crate::api::Provider;
use crate::cli::go_flags::ControllerFlags;
use crate::model::object::Kind;
use crate::model::release::{ScalerKind, TargetKind};
use crate::router::{self, Access, adopt, registry};

use super::asker::Right;

/// What Canaries name beyond what every controller needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub providers: BTreeSet<Provider>,
    pub targets: BTreeSet<TargetKind>,
    pub scalers: BTreeSet<ScalerKind>,
    /// The kinds of routes that they adopt.
    pub routes: BTreeSet<Kind>,
    /// The kinds that their RouteTemplates write.
    pub templated: BTreeSet<Kind>,
}

/// Rights in the namespaces of the Canaries, for a controller with these flags and Canaries that name this.
pub(super) fn needed(flags: &ControllerFlags, named: &Named) -> BTreeSet<Right> {
    let mut rights = BTreeSet::new();
    let mut add = |group, resource, verbs: &[&'static str]| {
        rights.extend(verbs.iter().map(|verb| Right { verb, group, resource }));
    };
    add("", "events", &["create", "patch"]);
    add("flagger.app", "canaries", &["list", "watch", "patch"]);
    add("flagger.app", "canaries/status", &["patch"]);
    add("flagger.app", "canaries/finalizers", &["update"]);
    add("flagger.app", "alertproviders", &["list", "watch"]);
    add("flagger.app", "metrictemplates", &["list", "watch"]);
    if !named.templated.is_empty() {
        add("flagger.app", "routetemplates", &["list", "watch"]);
    }
    add("", "services", ALL);
    add("discovery.k8s.io", "endpointslices", &["list", "watch"]);
    if flags.enable_config_tracking {
        for resource in ["configmaps", "secrets"] {
            add("", resource, ALL);
            add("", resource, &["get", "delete"]);
        }
    }
    add("apps", "deployments", ALL);
    if named.targets.contains(&TargetKind::DaemonSet) {
        add("apps", "daemonsets", ALL);
    }
    for scaler in &named.scalers {
        match scaler {
            ScalerKind::HorizontalPodAutoscaler => add("autoscaling", "horizontalpodautoscalers", ALL),
            ScalerKind::ScaledObject => add("keda.sh", "scaledobjects", ALL),
        }
    }
    let default = Provider::parse(&flags.mesh_provider);
    // A mesh in another cluster is written with another account.
    let here = flags.kubeconfig_service_mesh.is_empty();
    for provider in named.providers.iter().copied().chain(default).filter(|_| here) {
        for right in registry::mesh(provider).map_or(&[][..], |mesh| mesh.rights) {
            give(&mut add, right);
        }
    }
    for right in adopt::MESH.rights.iter().filter(|right| here && named.routes.contains(&right.kind)) {
        give(&mut add, right);
    }
    for kind in named.templated.iter().filter(|_| here) {
        add(kind.group, kind.plural, &["list", "watch", "create", "patch", "delete"]);
    }
    rights
}

/// Adds what a router does with a kind.
fn give(add: &mut impl FnMut(&'static str, &'static str, &[&'static str]), right: &router::Right) {
    let (group, resource) = (right.kind.group, right.kind.plural);
    add(group, resource, &["list", "watch"]);
    match right.access {
        Access::Own => add(group, resource, &["create", "patch", "delete"]),
        Access::Make => add(group, resource, &["create", "patch"]),
        Access::Change => add(group, resource, &["patch"]),
        Access::Read => {}
    }
}

/// Rights in the namespace of the lease.
pub(super) fn of_leader(flags: &ControllerFlags) -> BTreeSet<Right> {
    let verbs: &[&'static str] =
        if flags.enable_leader_election { &["create", "get", "update", "watch"] } else { &[] };
    verbs.iter().map(|verb| Right { verb, group: "coordination.k8s.io", resource: "leases" }).collect()
}

/// What an installation creates in its namespace.
pub(super) const IN_NAMESPACE: &[Right] = &[
    Right { verb: "create", group: "apps", resource: "deployments" },
    Right { verb: "create", group: "", resource: "serviceaccounts" },
    // Helm keeps its releases in Secrets.
    Right { verb: "create", group: "", resource: "secrets" },
    Right { verb: "create", group: "rbac.authorization.k8s.io", resource: "roles" },
    Right { verb: "create", group: "rbac.authorization.k8s.io", resource: "rolebindings" },
];

/// What it creates in the whole cluster.
pub(super) const IN_CLUSTER: &[Right] = &[
    Right { verb: "create", group: "apiextensions.k8s.io", resource: "customresourcedefinitions" },
    Right { verb: "create", group: "rbac.authorization.k8s.io", resource: "clusterroles" },
    Right { verb: "create", group: "rbac.authorization.k8s.io", resource: "clusterrolebindings" },
];

/// Whoever may do this may give rights that they do not have.
pub(super) const ESCALATE: Right =
    Right { verb: "escalate", group: "rbac.authorization.k8s.io", resource: "clusterroles" };

const ALL: &[&str] = &["list", "watch", "create", "patch"];
