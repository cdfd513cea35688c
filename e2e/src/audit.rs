//! What the API server's audit log says about the controller: what it was refused, what it never used, how much it asks.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

/// A request, as far as rights are concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub verb: String,
    pub group: String,
    /// With the subresource, as rules name it: `deployments/status`.
    pub resource: String,
}

/// Everything that one user asked for.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub requests: BTreeMap<Request, usize>,
    /// Refused for lack of rights, with the path. Helm takes a right at about the moment at which it ends the pods that needed
    /// it: what those ask in their last seconds is not counted.
    pub refused: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    request_received_timestamp: DateTime<Utc>,
    #[serde(rename = "requestURI")]
    path: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// How long before its pods Helm may have taken a right.
const LAST_SECONDS: TimeDelta = TimeDelta::seconds(5);

/// Where the API server notes what its authorizer said. A 403 may come from admission as well, such as that of a namespace
/// that is on its way out: that is no lack of rights.
const DECISION: &str = "authorization.k8s.io/decision";

#[derive(Deserialize)]
struct User {
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// The pod that a token was issued for.
    fn pod(&self) -> Option<&str> {
        self.extra.get("authentication.kubernetes.io/pod-name")?.first().map(String::as_str)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    api_group: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Account {
    /// Reads the log for one user.
    pub fn of(user: &str, log: &str) -> Account {
        let mut account = Account::default();
        let leaving = leaving(log);
        for line in log.lines().filter(|line| line.contains(user)) {
            let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
            if line.user.username != user {
                continue;
            }
            let allowed = line.annotations.get(DECISION).is_some_and(|decision| decision == "allow");
            let left = line.user.pod().and_then(|pod| leaving.get(pod));
            let there = left.is_none_or(|left| line.request_received_timestamp < *left - LAST_SECONDS);
            if !allowed && there && line.response_status.and_then(|status| status.code) == Some(403) {
                account.refused.insert(format!("{} {}", line.verb, line.path));
            }
            if let Some(object) = line.object_ref {
                let resource = if object.subresource.is_empty() {
                    object.resource
                } else {
                    format!("{}/{}", object.resource, object.subresource)
                };
                let request = Request { verb: line.verb, group: object.api_group, resource };
                *account.requests.entry(request).or_default() += 1;
            }
        }
        account
    }

    /// What was asked for since an earlier account, but for watches and leases.
    pub fn since(&self, earlier: &Account) -> Vec<String> {
        let more = self.requests.iter().filter_map(|(request, n)| {
            let more = n - earlier.requests.get(request).copied().unwrap_or(0);
            let about_work = request.verb != "watch" && request.resource != "leases";
            (more > 0 && about_work).then(|| format!("{more} × {} {}", request.verb, request.resource))
        });
        more.collect()
    }

    /// How many requests there were but for watches and leases, which are not about work.
    pub fn work(&self) -> usize {
        let about_work = |request: &Request| request.verb != "watch" && request.resource != "leases";
        self.requests.iter().filter(|(request, _)| about_work(request)).map(|(_, n)| n).sum()
    }
}

/// When pods were told to end, by their names.
fn leaving(log: &str) -> BTreeMap<String, DateTime<Utc>> {
    let deletions = log.lines().filter(|line| line.contains(r#""verb":"delete""#));
    let lines = deletions.filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut leaving = BTreeMap::new();
    for line in lines {
        let Some(object) = line.object_ref.filter(|object| object.resource == "pods") else { continue };
        let at = line.request_received_timestamp;
        // The first word counts: once a pod is gone its node deletes it again.
        let told = leaving.entry(object.name).or_insert(at);
        *told = at.min(*told);
    }
    leaving
}

/// One right of a rule: what it allows on what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    pub group: String,
    pub resource: String,
    pub verb: String,
}

impl Right {
    /// All rights of the rules of a ClusterRole or Role.
    pub fn all(rules: &[k8s_openapi::api::rbac::v1::PolicyRule]) -> BTreeSet<Right> {
        let mut out = BTreeSet::new();
        for rule in rules {
            for group in rule.api_groups.iter().flatten() {
                for resource in rule.resources.iter().flatten() {
                    for verb in &rule.verbs {
                        out.insert(Right {
                            group: group.clone(),
                            resource: resource.clone(),
                            verb: verb.clone(),
                        });
                    }
                }
            }
        }
        out
    }

    fn allows(&self, request: &Request) -> bool {
        let fits = |rule: &str, asked: &str| rule == "*" || rule == asked;
        fits(&self.group, &request.group)
            && fits(&self.resource, &request.resource)
            && fits(&self.verb, &request.verb)
    }
}

/// Rights that are needed without a request that shows it. Admission asks whether the owner of an object may be held back
/// (`OwnerReferencesPermissionEnforcement`), and the API server notes only who made the object.
const BY_ADMISSION: [&str; 1] = ["canaries/finalizers"];

/// The rights that no request needed, as lines: one a resource with its verbs, and one for the groups of which nothing
/// was needed.
pub fn unused(rights: &BTreeSet<Right>, account: &Account) -> Vec<String> {
    let needed = |right: &Right| {
        BY_ADMISSION.contains(&&*right.resource)
            || account.requests.keys().any(|request| right.allows(request))
    };
    let touched: BTreeSet<&str> =
        rights.iter().filter(|right| needed(right)).map(|right| &*right.group).collect();
    let mut by_resource: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut whole: BTreeMap<&str, usize> = BTreeMap::new();
    for right in rights.iter().filter(|right| !needed(right)) {
        let group = if right.group.is_empty() { "core" } else { &right.group };
        if touched.contains(&*right.group) {
            by_resource.entry(format!("{group}/{}", right.resource)).or_default().push(&right.verb);
        } else {
            *whole.entry(group).or_default() += 1;
        }
    }
    let mut lines: Vec<String> =
        by_resource.into_iter().map(|(resource, verbs)| format!("{resource}: {}", verbs.join(" "))).collect();
    if !whole.is_empty() {
        let groups: Vec<String> = whole.iter().map(|(group, n)| format!("{group} ({n})")).collect();
        lines.push(format!("all of: {}", groups.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"{"verb":"get","user":{"username":"vexil"},"requestURI":"/a","objectRef":{"resource":"deployments","apiGroup":"apps","subresource":"status"},"responseStatus":{"code":200}}
{"verb":"list","user":{"username":"vexil"},"requestURI":"/b","objectRef":{"resource":"secrets"},"responseStatus":{"code":403}}
{"verb":"create","user":{"username":"vexil"},"requestURI":"/c","objectRef":{"resource":"events"},"responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"allow"}}
{"verb":"list","user":{"username":"vexil-e2e"},"requestURI":"/b","objectRef":{"resource":"pods"},"responseStatus":{"code":403}}
half a line"#;

    fn right(group: &str, resource: &str, verb: &str) -> Right {
        Right { group: group.into(), resource: resource.into(), verb: verb.into() }
    }

    #[test]
    fn refusals_of_the_user_are_found_and_those_of_others_are_not() {
        let account = Account::of("vexil", LOG);
        assert_eq!(account.refused, BTreeSet::from(["list /b".to_owned()]));
    }

    #[test]
    fn what_a_pod_asks_on_its_way_out_is_no_lack_of_rights() {
        let asked = |pod: &str, at: &str| {
            format!(
                r#"{{"verb":"get","user":{{"username":"vexil","extra":{{"authentication.kubernetes.io/pod-name":["{pod}"]}}}},"requestURI":"/{pod}/{at}","requestReceivedTimestamp":"2026-11-30T13:58:{at}Z","responseStatus":{{"code":403}}}}"#
            )
        };
        let end = |at: &str| {
            format!(
                r#"{{"verb":"delete","user":{{"username":"controller"}},"requestURI":"/p","requestReceivedTimestamp":"2026-11-30T13:58:{at}Z","objectRef":{{"resource":"pods","name":"old"}}}}"#
            )
        };
        let log = [
            asked("old", "40.3"),
            asked("old", "49.3"),
            end("49.4"),
            asked("old", "49.5"),
            end("49.6"),
            asked("new", "49.5"),
        ];
        let account = Account::of("vexil", &log.join("\n"));
        assert_eq!(account.refused, BTreeSet::from(["get /old/40.3".to_owned(), "get /new/49.5".to_owned()]));
    }

    #[test]
    fn a_right_that_no_request_needed_is_listed() {
        let account = Account::of("vexil", LOG);
        let rights = BTreeSet::from([
            right("apps", "deployments/status", "get"),
            right("apps", "deployments", "get"),
            right("apps", "deployments", "update"),
            right("example.org", "things", "get"),
            right("flagger.app", "canaries/finalizers", "update"),
        ]);
        assert_eq!(unused(&rights, &account), ["apps/deployments: get update", "all of: example.org (1)"]);
    }
}
