//! Which resources the API has, and how they are called.
//!
//! The built-in ones are a table; custom ones are made from CustomResourceDefinitions (see `crd`).

pub mod names;

/// One resource in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceKind {
    /// API group; empty for core.
    pub group: String,
    pub version: String,
    /// e.g. `Deployment`.
    pub kind: String,
    /// e.g. `DeploymentList`.
    pub list_kind: String,
    /// The word in paths, e.g. `deployments`.
    pub plural: String,
    pub singular: String,
    /// What kubectl accepts for short, e.g. `deploy`.
    pub short_names: Vec<String>,
    /// Groups of resources that kubectl knows, e.g. `all`.
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether `…/{name}/status` exists. If so, main writes never touch `status`.
    pub has_status: bool,
    /// Whether `…/{name}/scale` exists.
    pub has_scale: bool,
    pub verbs: Vec<&'static str>,
}

/// All that can be done to a stored object.
pub const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

impl ResourceKind {
    /// `apps/v1`, or `v1` for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `deployments.apps`, or `pods` for core: how messages name a resource.
    pub fn resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `Deployment.apps`, or `Pod` for core: how messages name a kind.
    pub fn qualified_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }

    /// Whether the objects of this resource are kept, rather than answered at once.
    pub fn is_stored(&self) -> bool {
        self.verbs.contains(&"list")
    }

    /// Whether kubectl's `word` means this resource: its plural, singular, short name or kind, in any case.
    pub fn is_called(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        word == self.plural
            || word == self.singular
            || word == self.kind.to_lowercase()
            || self.short_names.contains(&word)
    }
}

fn qualified(word: &str, group: &str) -> String {
    if group.is_empty() { word.to_string() } else { format!("{word}.{group}") }
}

/// The built-in resources, groups in the order of a real cluster's discovery.
pub fn builtin() -> Vec<ResourceKind> {
    TABLE.iter().map(Row::kind).collect()
}

/// The built-in kind of that name, in its preferred version.
pub fn find(group: &str, kind: &str) -> Option<ResourceKind> {
    TABLE.iter().find(|row| row.group == group && row.kind == kind).map(Row::kind)
}

struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    traits: &'static [Trait],
}

#[derive(Clone, Copy, PartialEq)]
enum Trait {
    Namespaced,
    Status,
    Scale,
    /// Only `create`: the answer is in the reply, nothing is stored.
    Review,
}

use Trait::{Namespaced, Review, Scale, Status};

impl Row {
    fn kind(&self) -> ResourceKind {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        ResourceKind {
            group: self.group.into(),
            version: self.version.into(),
            kind: self.kind.into(),
            list_kind: format!("{}List", self.kind),
            plural: self.plural.into(),
            singular: self.kind.to_lowercase(),
            short_names: owned(self.short),
            categories: owned(self.categories),
            namespaced: self.traits.contains(&Namespaced),
            has_status: self.traits.contains(&Status),
            has_scale: self.traits.contains(&Scale),
            verbs: if self.traits.contains(&Review) { vec!["create"] } else { ALL_VERBS.to_vec() },
        }
    }
}

const fn row(
    (group, version): (&'static str, &'static str),
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    categories: &'static [&'static str],
    traits: &'static [Trait],
) -> Row {
    Row { group, version, kind, plural, short, categories, traits }
}

const CORE: (&str, &str) = ("", "v1");
const EXTENSIONS: (&str, &str) = ("apiextensions.k8s.io", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const EVENTS: (&str, &str) = ("events.k8s.io", "v1");
const ADMISSION: (&str, &str) = ("admissionregistration.k8s.io", "v1");
const AUTHENTICATION: (&str, &str) = ("authentication.k8s.io", "v1");
const AUTHORIZATION: (&str, &str) = ("authorization.k8s.io", "v1");
const AUTOSCALING: (&str, &str) = ("autoscaling", "v2");
const AUTOSCALING_OLD: (&str, &str) = ("autoscaling", "v1");
const BATCH: (&str, &str) = ("batch", "v1");
const NETWORKING: (&str, &str) = ("networking.k8s.io", "v1");
const POLICY: (&str, &str) = ("policy", "v1");
const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");
const COORDINATION: (&str, &str) = ("coordination.k8s.io", "v1");
const DISCOVERY: (&str, &str) = ("discovery.k8s.io", "v1");

/// For each group, the preferred version comes first.
const TABLE: &[Row] = &[
    row(CORE, "ConfigMap", "configmaps", &["cm"], &[], &[Namespaced]),
    row(CORE, "Endpoints", "endpoints", &["ep"], &[], &[Namespaced]),
    row(CORE, "Event", "events", &["ev"], &[], &[Namespaced]),
    row(CORE, "Namespace", "namespaces", &["ns"], &[], &[Status]),
    row(CORE, "Node", "nodes", &["no"], &[], &[Status]),
    row(CORE, "Pod", "pods", &["po"], &["all"], &[Namespaced, Status]),
    row(CORE, "Secret", "secrets", &[], &[], &[Namespaced]),
    row(CORE, "ServiceAccount", "serviceaccounts", &["sa"], &[], &[Namespaced]),
    row(CORE, "Service", "services", &["svc"], &["all"], &[Namespaced, Status]),
    row(APPS, "ControllerRevision", "controllerrevisions", &[], &[], &[Namespaced]),
    row(APPS, "DaemonSet", "daemonsets", &["ds"], &["all"], &[Namespaced, Status]),
    row(APPS, "Deployment", "deployments", &["deploy"], &["all"], &[Namespaced, Status, Scale]),
    row(APPS, "ReplicaSet", "replicasets", &["rs"], &["all"], &[Namespaced, Status, Scale]),
    row(APPS, "StatefulSet", "statefulsets", &["sts"], &["all"], &[Namespaced, Status, Scale]),
    row(EVENTS, "Event", "events", &["ev"], &[], &[Namespaced]),
    row(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", &[], &[], &[Review]),
    row(AUTHENTICATION, "TokenReview", "tokenreviews", &[], &[], &[Review]),
    row(
        AUTHORIZATION,
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        &[],
        &[],
        &[Namespaced, Review],
    ),
    row(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", &[], &[], &[Review]),
    row(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews", &[], &[], &[Review]),
    row(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", &[], &[], &[Review]),
    row(
        AUTOSCALING,
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        &["hpa"],
        &["all"],
        &[Namespaced, Status],
    ),
    row(
        AUTOSCALING_OLD,
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        &["hpa"],
        &["all"],
        &[Namespaced, Status],
    ),
    row(BATCH, "CronJob", "cronjobs", &["cj"], &["all"], &[Namespaced, Status]),
    row(BATCH, "Job", "jobs", &[], &["all"], &[Namespaced, Status]),
    row(NETWORKING, "IngressClass", "ingressclasses", &[], &[], &[]),
    row(NETWORKING, "Ingress", "ingresses", &["ing"], &[], &[Namespaced, Status]),
    row(POLICY, "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], &[], &[Namespaced, Status]),
    row(RBAC, "ClusterRoleBinding", "clusterrolebindings", &[], &[], &[]),
    row(RBAC, "ClusterRole", "clusterroles", &[], &[], &[]),
    row(RBAC, "RoleBinding", "rolebindings", &[], &[], &[Namespaced]),
    row(RBAC, "Role", "roles", &[], &[], &[Namespaced]),
    row(
        ADMISSION,
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        &[],
        &["api-extensions"],
        &[],
    ),
    row(
        ADMISSION,
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        &[],
        &["api-extensions"],
        &[],
    ),
    row(
        ADMISSION,
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        &[],
        &["api-extensions"],
        &[Status],
    ),
    row(
        ADMISSION,
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        &[],
        &["api-extensions"],
        &[],
    ),
    row(
        EXTENSIONS,
        "CustomResourceDefinition",
        "customresourcedefinitions",
        &["crd", "crds"],
        &["api-extensions"],
        &[Status],
    ),
    row(COORDINATION, "Lease", "leases", &[], &[], &[Namespaced]),
    row(DISCOVERY, "EndpointSlice", "endpointslices", &[], &[], &[Namespaced]),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("apps", "Deployment", "apps/v1", "deployments.apps", true, true, true)]
    #[case("apps", "DaemonSet", "apps/v1", "daemonsets.apps", true, true, false)]
    #[case("", "Pod", "v1", "pods", true, true, false)]
    #[case("", "ConfigMap", "v1", "configmaps", true, false, false)]
    #[case("", "Namespace", "v1", "namespaces", false, true, false)]
    #[case(
        "autoscaling",
        "HorizontalPodAutoscaler",
        "autoscaling/v2",
        "horizontalpodautoscalers.autoscaling",
        true,
        true,
        false
    )]
    #[case(
        "networking.k8s.io",
        "IngressClass",
        "networking.k8s.io/v1",
        "ingressclasses.networking.k8s.io",
        false,
        false,
        false
    )]
    #[case(
        "coordination.k8s.io",
        "Lease",
        "coordination.k8s.io/v1",
        "leases.coordination.k8s.io",
        true,
        false,
        false
    )]
    fn a_built_in_kind_is_as_in_a_real_cluster(
        #[case] group: &str,
        #[case] kind: &str,
        #[case] api_version: &str,
        #[case] resource: &str,
        #[case] namespaced: bool,
        #[case] status: bool,
        #[case] scale: bool,
    ) {
        let found = find(group, kind).expect("built in");
        assert_eq!(
            (api_version.to_string(), resource.to_string(), namespaced, status, scale),
            (found.api_version(), found.resource(), found.namespaced, found.has_status, found.has_scale)
        );
    }

    #[test]
    fn no_resource_is_listed_twice() {
        let all = builtin();
        let keys: BTreeSet<_> = all.iter().map(|k| (&k.group, &k.version, &k.plural)).collect();
        assert_eq!(all.len(), keys.len());
    }

    #[rstest]
    #[case("deploy", true)]
    #[case("Deployment", true)]
    #[case("deployments", true)]
    #[case("ds", false)]
    fn a_resource_answers_to_its_names(#[case] word: &str, #[case] yes: bool) {
        assert_eq!(yes, find("apps", "Deployment").expect("built in").is_called(word));
    }

    #[test]
    fn an_access_review_can_only_be_created() {
        let review = find("authorization.k8s.io", "SelfSubjectAccessReview").expect("built in");
        assert_eq!(vec!["create"], review.verbs);
        assert!(!review.is_stored());
    }
}
