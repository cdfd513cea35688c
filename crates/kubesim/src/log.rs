//! The request log: who asked what, when (on the cluster's clock), and what was answered.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::route::Verb;

/// A request for a resource, before it is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestInfo {
    /// Counts the resource requests of the cluster, from 1.
    pub number: u64,
    /// Counts the writing requests of the cluster, from 1; `None` for a read.
    pub write: Option<u64>,
    /// When it came, on the cluster's clock.
    pub at: DateTime<Utc>,
    /// The client's name (its user agent up to the first slash).
    pub caller: String,
    /// What is to be done.
    pub verb: Verb,
    /// The API group; empty for core.
    pub group: String,
    /// The version within the group, e.g. `v1`.
    pub version: String,
    /// The kind, e.g. `Deployment`.
    pub kind: String,
    /// The word in paths, e.g. `deployments`.
    pub plural: String,
    /// The namespace; `None` for cluster-wide objects and for lists of all namespaces.
    pub namespace: Option<String>,
    /// The object's name; `None` for a collection.
    pub name: Option<String>,
    /// e.g. `status`; `None` for the object itself.
    pub subresource: Option<String>,
    /// Path and query.
    pub path: String,
    /// What was sent.
    pub body: Bytes,
}

impl RequestInfo {
    /// Whether it would change objects.
    pub fn is_write(&self) -> bool {
        self.write.is_some()
    }

    /// Whether it is about this kind: its kind or plural name, in any case.
    pub fn is_kind(&self, kind: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) || self.plural.eq_ignore_ascii_case(kind)
    }
}

/// `controller: patch canaries shop/frontend/status`
impl fmt::Display for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.caller, self.verb, self.plural)?;
        let parts = [&self.namespace, &self.name, &self.subresource];
        let object: Vec<&str> = parts.into_iter().flatten().map(String::as_str).collect();
        if object.is_empty() { Ok(()) } else { write!(f, " {}", object.join("/")) }
    }
}

/// A request and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What was asked.
    pub info: RequestInfo,
    /// The HTTP status of the answer; 0 for one that was never answered.
    pub code: u16,
}

impl Deref for Request {
    type Target = RequestInfo;

    fn deref(&self) -> &RequestInfo {
        &self.info
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.info, self.code)
    }
}

/// The last requests, oldest first.
#[derive(Debug)]
pub(super) struct Log {
    requests: VecDeque<Request>,
    limit: usize,
}

impl Log {
    pub(super) fn new(limit: usize) -> Self {
        Self { requests: VecDeque::new(), limit }
    }

    pub(super) fn push(&mut self, request: Request) {
        if self.requests.len() >= self.limit {
            self.requests.pop_front();
        }
        if self.limit > 0 {
            self.requests.push_back(request);
        }
    }

    pub(super) fn clear(&mut self) {
        self.requests.clear();
    }

    pub(super) fn to_vec(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }
}
