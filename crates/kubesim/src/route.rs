//! From method, path, query and headers to what is asked: pure, knows no kinds and no objects.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Method, header};

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// `/healthz`, `/readyz`, `/livez` and their sub-checks.
    Health,
    /// `/version`
    Version,
    /// `/api`: the versions of the core group.
    Api,
    /// `/apis`: the groups.
    Apis,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1` (group "") and `/apis/{group}/{version}`
    GroupVersion(String, String),
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiV3,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/{group}/{version}`
    OpenApiV3Of(String, String),
    /// A collection, an object, or a subresource of one.
    Resource(ResourcePath),
    /// Nothing that an API server serves.
    Unknown,
}

/// Where a resource stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourcePath {
    pub group: String,
    pub version: String,
    pub plural: String,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Route {
    /// Reads a decoded URL path.
    pub fn parse(path: &str) -> Self {
        let decoded: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(percent_decode).collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        match parts.as_slice() {
            ["healthz" | "readyz" | "livez", ..] => Self::Health,
            ["version"] => Self::Version,
            ["api"] => Self::Api,
            ["apis"] => Self::Apis,
            ["apis", group] => Self::Group((*group).into()),
            ["api", version] => Self::GroupVersion(String::new(), (*version).into()),
            ["apis", group, version] => Self::GroupVersion((*group).into(), (*version).into()),
            ["openapi", "v2"] => Self::OpenApiV2,
            ["openapi", "v3"] => Self::OpenApiV3,
            ["openapi", "v3", "api", version] => Self::OpenApiV3Of(String::new(), (*version).into()),
            ["openapi", "v3", "apis", group, version] => {
                Self::OpenApiV3Of((*group).into(), (*version).into())
            }
            ["api", version, rest @ ..] => ResourcePath::parse("", version, rest),
            ["apis", group, version, rest @ ..] => ResourcePath::parse(group, version, rest),
            _ => Self::Unknown,
        }
    }
}

impl ResourcePath {
    fn parse(group: &str, version: &str, rest: &[&str]) -> Route {
        let (namespace, rest) = match rest {
            // `namespaces/x/status` is a subresource of the namespace, `namespaces/x/pods` a collection inside it.
            ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, inner @ ..] if !inner.is_empty() => {
                (Some((*namespace).to_owned()), inner)
            }
            _ => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name), None),
            [plural, name, subresource] => (plural, Some(name), Some(subresource)),
            _ => return Route::Unknown,
        };
        Route::Resource(Self {
            group: group.into(),
            version: version.into(),
            plural: (*plural).into(),
            namespace,
            name: name.map(|s| (*s).to_owned()),
            subresource: subresource.map(|s| (*s).to_owned()),
        })
    }
}

/// What is done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads all objects of a collection.
    List,
    /// Follows the changes of a collection or of one object.
    Watch,
    /// Creates an object.
    Create,
    /// Replaces an object.
    Update,
    /// Changes parts of an object.
    Patch,
    /// Deletes an object.
    Delete,
    /// Deletes all objects of a collection.
    DeleteCollection,
}

impl Verb {
    /// The verb of a request; `None` when the method is not served there.
    pub fn of(method: &Method, path: &ResourcePath, query: &Query) -> Option<Self> {
        let named = path.name.is_some();
        Some(match *method {
            Method::GET if query.watch && path.subresource.is_none() => Self::Watch,
            Method::GET if named => Self::Get,
            Method::GET => Self::List,
            Method::POST if !named || path.subresource.is_some() => Self::Create,
            Method::PUT if named => Self::Update,
            Method::PATCH if named => Self::Patch,
            Method::DELETE if named => Self::Delete,
            Method::DELETE => Self::DeleteCollection,
            _ => return None,
        })
    }

    /// As RBAC and audit logs spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes objects.
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

impl std::fmt::Display for Verb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The query string, typed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    pub watch: bool,
    pub label_selector: String,
    pub field_selector: String,
    pub limit: Option<usize>,
    pub continue_token: Option<String>,
    pub resource_version: Option<String>,
    pub resource_version_match: Option<String>,
    pub send_initial_events: Option<bool>,
    pub allow_bookmarks: bool,
    pub timeout: Option<Duration>,
    pub dry_run: Vec<String>,
    pub field_manager: Option<String>,
    pub field_validation: Option<String>,
    pub force: bool,
    pub propagation_policy: Option<String>,
    pub grace_period: Option<i64>,
    pub orphan_dependents: Option<bool>,
    pub include_object: Option<String>,
}

impl Query {
    /// Reads a query string; says which parameter cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut q = Self::default();
        let pairs: BTreeMap<_, Vec<_>> =
            url::form_urlencoded::parse(text.as_bytes()).fold(BTreeMap::new(), |mut all, (k, v)| {
                all.entry(k.into_owned()).or_insert_with(Vec::new).push(v.into_owned());
                all
            });
        for (key, mut values) in pairs {
            let all = values.clone();
            let value = values.swap_remove(0);
            match key.as_str() {
                "watch" => q.watch = flag(&key, &value)?,
                "labelSelector" => q.label_selector = value,
                "fieldSelector" => q.field_selector = value,
                "limit" => q.limit = Some(number::<usize>(&key, &value)?).filter(|n| *n > 0),
                "continue" => q.continue_token = non_empty(value),
                "resourceVersion" => q.resource_version = non_empty(value),
                "resourceVersionMatch" => q.resource_version_match = non_empty(value),
                "sendInitialEvents" => q.send_initial_events = Some(flag(&key, &value)?),
                "allowWatchBookmarks" => q.allow_bookmarks = flag(&key, &value)?,
                "timeoutSeconds" => {
                    q.timeout = Some(number::<u64>(&key, &value)?).filter(|n| *n > 0).map(Duration::from_secs)
                }
                "dryRun" => q.dry_run = all,
                "fieldManager" => q.field_manager = non_empty(value),
                "fieldValidation" => q.field_validation = non_empty(value),
                "force" => q.force = flag(&key, &value)?,
                "propagationPolicy" => q.propagation_policy = non_empty(value),
                "gracePeriodSeconds" => q.grace_period = Some(number::<i64>(&key, &value)?),
                "orphanDependents" => q.orphan_dependents = Some(flag(&key, &value)?),
                "includeObject" => q.include_object = non_empty(value),
                // As a real API server: parameters that it does not know are not its business.
                _ => {}
            }
        }
        Ok(q)
    }
}

fn non_empty(value: String) -> Option<String> {
    Some(value).filter(|v| !v.is_empty())
}

fn flag(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        _ => Err(format!("query parameter {key}: {value:?} is not a boolean (use true or false)")),
    }
}

fn number<N: std::str::FromStr>(key: &str, value: &str) -> Result<N, String> {
    value.parse().map_err(|_| format!("query parameter {key}: {value:?} is not a whole number"))
}

/// In which shape the answer is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// The objects themselves.
    #[default]
    Full,
    /// `PartialObjectMetadata[List]`
    Metadata,
    /// `meta.k8s.io/v1 Table`
    Table,
    /// `apidiscovery.k8s.io/v2 APIGroupDiscoveryList`
    Discovery,
}

impl Shape {
    /// The first shape of the Accept header that is served here.
    pub fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        accept.split(',').find_map(Self::of_media_type).unwrap_or_default()
    }

    fn of_media_type(media: &str) -> Option<Self> {
        let mut parts = media.split(';').map(str::trim);
        if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
            return None;
        }
        let params: BTreeMap<&str, &str> = parts.filter_map(|p| p.split_once('=')).collect();
        match (params.get("as").copied(), params.get("g").copied(), params.get("v").copied()) {
            (None, ..) => Some(Self::Full),
            (Some("Table"), Some("meta.k8s.io"), Some("v1")) => {
                cfg!(feature = "table").then_some(Self::Table)
            }
            (
                Some("PartialObjectMetadata" | "PartialObjectMetadataList"),
                Some("meta.k8s.io"),
                Some("v1"),
            ) => Some(Self::Metadata),
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => Some(Self::Discovery),
            _ => None,
        }
    }
}

/// `%XX` decoded; what is not valid stays as it is.
fn percent_decode(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = (bytes[i] == b'%').then(|| part.get(i + 1..i + 3)).flatten();
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                i += 3;
            }
            None => {
                out.push(bytes[i]);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "table")]
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn path(group: &str, ns: Option<&str>, plural: &str, name: Option<&str>, sub: Option<&str>) -> Route {
        Route::Resource(ResourcePath {
            group: group.into(),
            version: "v1".into(),
            plural: plural.into(),
            namespace: ns.map(Into::into),
            name: name.map(Into::into),
            subresource: sub.map(Into::into),
        })
    }

    #[rstest]
    #[case::cluster_wide_list("/apis/apps/v1/deployments", path("apps", None, "deployments", None, None))]
    #[case::in_a_namespace(
        "/apis/apps/v1/namespaces/shop/deployments",
        path("apps", Some("shop"), "deployments", None, None)
    )]
    #[case::an_object("/api/v1/namespaces/shop/pods/a", path("", Some("shop"), "pods", Some("a"), None))]
    #[case::a_subresource(
        "/apis/apps/v1/namespaces/shop/deployments/a/scale",
        path("apps", Some("shop"), "deployments", Some("a"), Some("scale"))
    )]
    #[case::the_namespaces("/api/v1/namespaces", path("", None, "namespaces", None, None))]
    #[case::a_namespace("/api/v1/namespaces/shop", path("", None, "namespaces", Some("shop"), None))]
    #[case::status_of_a_namespace(
        "/api/v1/namespaces/shop/status",
        path("", None, "namespaces", Some("shop"), Some("status"))
    )]
    #[case::an_escaped_name("/api/v1/nodes/a%3Ab", path("", None, "nodes", Some("a:b"), None))]
    #[case::too_deep("/api/v1/nodes/a/b/c", Route::Unknown)]
    #[case::elsewhere("/metrics", Route::Unknown)]
    #[case::core_discovery("/api/v1", Route::GroupVersion(String::new(), "v1".into()))]
    #[case::openapi("/openapi/v3/apis/apps/v1", Route::OpenApiV3Of("apps".into(), "v1".into()))]
    fn paths(#[case] text: &str, #[case] expected: Route) {
        assert_eq!(expected, Route::parse(text));
    }

    #[test]
    fn a_watch_as_a_kube_client_asks_for_it() {
        let q = Query::parse("&watch=true&timeoutSeconds=290&allowWatchBookmarks=true&labelSelector=a%3Db%2Cc+in+%28d%29&resourceVersion=7").unwrap();
        assert!(q.watch && q.allow_bookmarks);
        assert_eq!("a=b,c in (d)", q.label_selector);
        assert_eq!(Some(Duration::from_secs(290)), q.timeout);
        assert_eq!(Some("7"), q.resource_version.as_deref());
    }

    #[rstest]
    #[case("limit=many", "query parameter limit: \"many\" is not a whole number")]
    #[case("watch=maybe", "query parameter watch: \"maybe\" is not a boolean (use true or false)")]
    fn an_unreadable_parameter_is_named(#[case] query: &str, #[case] expected: &str) {
        assert_eq!(Err(expected.to_owned()), Query::parse(query));
    }

    #[cfg(feature = "table")]
    #[rstest]
    #[case::none("", Shape::Full)]
    #[case::plain("application/json", Shape::Full)]
    #[case::kubectl_get(
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        Shape::Table
    )]
    #[case::metadata("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Shape::Metadata)]
    #[case::protobuf_first("application/vnd.kubernetes.protobuf,application/json", Shape::Full)]
    #[case::discovery(
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
        Shape::Discovery
    )]
    fn shapes(#[case] accept: &'static str, #[case] expected: Shape) {
        let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        assert_eq!(expected, Shape::of(&headers));
    }

    #[rstest]
    #[case(Method::POST, "/api/v1/namespaces/a/pods/x", None)]
    #[case(Method::POST, "/api/v1/namespaces/a/pods/x/eviction", Some(Verb::Create))]
    #[case(Method::DELETE, "/api/v1/namespaces/a/pods", Some(Verb::DeleteCollection))]
    #[case(Method::PUT, "/api/v1/namespaces/a/pods", None)]
    fn verbs(#[case] method: Method, #[case] text: &str, #[case] expected: Option<Verb>) {
        let Route::Resource(path) = Route::parse(text) else { panic!("not a resource: {text}") };
        assert_eq!(expected, Verb::of(&method, &path, &Query::default()));
    }
}
