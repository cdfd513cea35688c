//! What a request to the API is about, read from its method and path. Pure.

use http::{Method, Request, Uri};

/// A request in the words of RBAC rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// The verb: `get`, `list`, `watch`, `create`, …
    pub verb: &'static str,
    /// Plural, with the subresource: `canaries/status`. `api` for what is not about objects.
    pub resource: String,
    /// The path of the URL.
    pub path: String,
    group: String,
}

impl Described {
    /// Reads a request.
    pub fn new<B>(request: &Request<B>) -> Self {
        Self::read(request.method(), request.uri())
    }

    fn read(method: &Method, uri: &Uri) -> Self {
        let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, rest) = match segments.as_slice() {
            ["api", _version, rest @ ..] => ("", rest),
            ["apis", group, _version, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let (resource, named) = match rest {
            [] => ("api".to_owned(), true),
            ["namespaces", _, plural, below @ ..] | [plural, below @ ..] => match below {
                [] => ((*plural).to_owned(), false),
                [_name] => ((*plural).to_owned(), true),
                [_name, sub, ..] => (format!("{plural}/{sub}"), true),
            },
        };
        let verb = match (method.as_str(), named) {
            ("GET" | "HEAD", _) if watches(uri) => "watch",
            ("GET" | "HEAD", true) => "get",
            ("GET" | "HEAD", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "other",
        };
        Self { verb, resource, path: uri.path().to_owned(), group: group.to_owned() }
    }

    /// Whether it opens a watch.
    pub fn is_watch(&self) -> bool {
        self.verb == "watch"
    }

    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb, "get" | "list" | "watch")
    }

    /// Whether it is about a Lease.
    pub fn is_lease(&self) -> bool {
        self.group == "coordination.k8s.io" && self.resource == "leases"
    }

    /// Whether only the leader may send it. The lease decides who leads, and an event only tells what happened.
    pub fn needs_claim(&self) -> bool {
        let event = self.resource == "events" && matches!(self.group.as_str(), "" | "events.k8s.io");
        self.is_write() && !event && !self.is_lease()
    }
}

fn watches(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::list("GET", "/apis/flagger.app/v1beta1/canaries?limit=500", "list canaries", false)]
    #[case::watch(
        "GET",
        "/apis/apps/v1/namespaces/shop/deployments?watch=true&limit=1",
        "watch deployments",
        false
    )]
    #[case::get("GET", "/api/v1/namespaces/shop/services/frontend", "get services", false)]
    #[case::a_namespace("GET", "/api/v1/namespaces/shop", "get namespaces", false)]
    #[case::namespaces("GET", "/api/v1/namespaces", "list namespaces", false)]
    #[case::status(
        "PATCH",
        "/apis/flagger.app/v1beta1/namespaces/shop/canaries/c/status",
        "patch canaries/status",
        true
    )]
    #[case::create("POST", "/api/v1/namespaces/shop/services?", "create services", true)]
    #[case::update("PUT", "/api/v1/namespaces/shop/services/s", "update services", true)]
    #[case::delete("DELETE", "/api/v1/namespaces/shop/services/s", "delete services", true)]
    #[case::delete_all("DELETE", "/api/v1/namespaces/shop/services", "deletecollection services", true)]
    #[case::event("POST", "/api/v1/namespaces/shop/events", "create events", false)]
    #[case::lease("PUT", "/apis/coordination.k8s.io/v1/namespaces/x/leases/l", "update leases", false)]
    #[case::version("GET", "/version", "get api", false)]
    #[case::discovery("GET", "/apis/flagger.app/v1beta1", "get api", false)]
    #[case::an_odd_write("POST", "/", "create api", true)]
    fn a_request_is_named_as_in_rbac_and_only_writes_need_leadership(
        #[case] method: &str,
        #[case] uri: &str,
        #[case] named: &str,
        #[case] needs_claim: bool,
    ) {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let what = Described::read(&method, &uri.parse().expect("a path"));
        assert_eq!(
            (named, needs_claim),
            (format!("{} {}", what.verb, what.resource).as_str(), what.needs_claim())
        );
    }
}
