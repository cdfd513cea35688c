//! Puts questions to the cluster: objects, pages behind the API server's proxy, rights. What is not answered is a value
//! like an answer, so that judgements can say so.

use std::time::Duration;

use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::cli::cluster::{Cluster, Doing};
use crate::controller::calls::Calls;
use crate::http::{self, Egress};
use crate::judge::route_template::{self, Known};
use crate::model::answer::excerpt;
use crate::model::call::{Address, Answer, Body, Call, Method};
use crate::model::object::{Kind, ObjectId};

/// An answer, or why there is none.
pub(in crate::cli) type Asked<T> = Result<T, NotAsked>;

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct NotAsked {
    /// For the user.
    pub why: String,
    /// What may help.
    pub cure: String,
    /// Whether the cluster does not know the kind that was asked for.
    pub missing: bool,
}

impl NotAsked {
    pub(in crate::cli) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            cure: "ask again with the rights of an administrator".to_owned(),
            missing: false,
        }
    }
}

/// A right, as access reviews ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::cli) struct Right {
    pub verb: &'static str,
    pub group: &'static str,
    /// With its subresource, `canaries/status`.
    pub resource: &'static str,
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// Asks one cluster.
#[derive(Clone)]
pub(in crate::cli) struct Asker {
    pub cluster: Cluster,
    pub calls: Calls,
}

impl Asker {
    pub(in crate::cli) fn new(cluster: Cluster) -> Self {
        // Only calls of the cluster's own API are made: nothing goes to any other address.
        let calls = Calls::new(cluster.client.clone(), http::Client::within(Egress::default()));
        Self { cluster, calls }
    }

    fn refused(&self, doing: Doing, why: &kube::Error) -> NotAsked {
        let trouble = self.cluster.trouble(doing, why);
        let text = trouble.to_string();
        let cure = text.lines().nth(1).unwrap_or("try again in a moment").trim().to_owned();
        NotAsked { why: trouble.what().to_owned(), cure, missing: trouble.is_missing_kind() }
    }

    /// The objects of a kind in a namespace, or in all; none if the cluster does not know the kind.
    pub(in crate::cli) async fn list(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        labels: &str,
    ) -> Asked<Vec<Value>> {
        let selected = ListParams {
            label_selector: Some(labels.to_owned()).filter(|it| !it.is_empty()),
            ..ListParams::default()
        };
        let doing = Doing::listing(kind, namespace);
        match self.patiently(self.cluster.list(kind, namespace, &selected), doing).await {
            // The items of a list do not say their kind.
            Ok(mut objects) => {
                objects.iter_mut().for_each(|object| object["kind"] = kind.kind.into());
                Ok(objects)
            }
            Err(unknown) if unknown.missing => Ok(Vec::new()),
            Err(why) => Err(why),
        }
    }

    /// The objects of a kind in all namespaces, or, for whoever may not see these, in one.
    pub(in crate::cli) async fn list_widely(
        &self,
        kind: Kind,
        namespace: &str,
        labels: &str,
    ) -> Asked<Vec<Value>> {
        match self.list(kind, None, labels).await {
            Ok(all) => Ok(all),
            Err(why) => self.list(kind, Some(namespace), labels).await.map_err(|_| why),
        }
    }

    /// An object; `None` if it is not there.
    pub(in crate::cli) async fn get(&self, id: &ObjectId) -> Asked<Option<Value>> {
        self.patiently(self.cluster.get(id), Doing::reading(id)).await
    }

    /// The RouteTemplate that a Canary names, if it names one.
    pub(in crate::cli) async fn templates(&self, canary: &Value) -> Known {
        let Some(id) = route_template::named(canary) else { return Known::default() };
        match self.get(&id).await {
            Ok(found) => Known { templates: found.into_iter().collect(), unreadable: None },
            Err(why) => Known { unreadable: Some(why.why), ..Known::default() },
        }
    }

    /// An answer within some time: a server may take a connection and never say a word.
    async fn patiently<T>(
        &self,
        asking: impl Future<Output = Result<T, kube::Error>>,
        doing: Doing,
    ) -> Asked<T> {
        match timeout(PATIENCE, asking).await {
            Ok(answer) => answer.map_err(|why| self.refused(doing, &why)),
            Err(_) => Err(NotAsked {
                cure: "try again in a moment".to_owned(),
                ..NotAsked::new(format!("{}: no answer within {PATIENCE:?}", doing.subject()))
            }),
        }
    }

    /// What is answered under a path of the API, with any status.
    pub(in crate::cli) async fn page(&self, path: &str) -> Asked<Answer> {
        let call =
            Call { max_bytes: LONGEST_PAGE, ..Call::new(Method::Get, Address::Cluster(path.to_owned())) };
        self.send(&call).await
    }

    async fn send(&self, call: &Call) -> Asked<Answer> {
        self.calls.send(call).await.map_err(|silence| NotAsked {
            cure: "try again in a moment".to_owned(),
            ..NotAsked::new(excerpt(silence.to_string().as_bytes(), 300))
        })
    }

    /// Whether whoever runs the command may do this in `namespace`; an empty one means all.
    pub(in crate::cli) async fn may_i(&self, right: &Right, namespace: &str) -> Asked<bool> {
        self.review("selfsubjectaccessreviews", "SelfSubjectAccessReview", json!({}), right, namespace).await
    }

    /// Whether `account` may do this in `namespace`; an empty one means all.
    pub(in crate::cli) async fn may(&self, account: &Account, right: &Right, namespace: &str) -> Asked<bool> {
        let who = json!({
            "user": format!("system:serviceaccount:{}:{}", account.namespace, account.name),
            "groups": [
                "system:serviceaccounts",
                format!("system:serviceaccounts:{}", account.namespace),
                "system:authenticated",
            ],
        });
        self.review("subjectaccessreviews", "SubjectAccessReview", who, right, namespace).await
    }

    async fn review(
        &self,
        plural: &str,
        kind: &str,
        who: Value,
        right: &Right,
        namespace: &str,
    ) -> Asked<bool> {
        let (resource, part) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        let mut spec = who;
        spec["resourceAttributes"] = json!({
            "verb": right.verb, "group": right.group, "resource": resource, "subresource": part,
            "namespace": namespace,
        });
        // The one lease is named by its right.
        if resource == "leases" && right.verb != "create" {
            spec["resourceAttributes"]["name"] = crate::controller::lease::NAME.into();
        }
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let call = Call {
            body: Body::json(&review),
            ..Call::new(Method::Post, Address::Cluster(format!("/apis/authorization.k8s.io/v1/{plural}")))
        };
        let answer = self.send(&call).await?;
        match (answer.status, json_of(&answer)["status"]["allowed"].as_bool()) {
            (200 | 201, Some(allowed)) => Ok(allowed),
            (status, _) => Err(NotAsked::new(format!("{plural}: {status} {}", said(&answer)))),
        }
    }
}

/// How long an answer may take.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(15);
/// The metrics of a controller with thousands of Canaries have some megabytes.
const LONGEST_PAGE: usize = 16 << 20;

/// A ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Account {
    pub namespace: String,
    pub name: String,
}

/// The body as JSON; null if it is none.
pub(in crate::cli) fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

/// What an answer says, in one line: the message if it is a Status of the API server.
pub(in crate::cli) fn said(answer: &Answer) -> String {
    match api_status(answer) {
        Some(message) => excerpt(message.as_bytes(), 300),
        None => excerpt(&answer.body, 120),
    }
}

/// The message of an answer that the API server gave itself, in place of what is behind its proxy.
pub(in crate::cli) fn api_status(answer: &Answer) -> Option<String> {
    let body = json_of(answer);
    let own = answer.status >= 400 && body["kind"] == "Status" && body["apiVersion"] == "v1";
    own.then(|| body["message"].as_str().unwrap_or_default().to_owned())
}
