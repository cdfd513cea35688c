//! Lists: selection, paging, and which resourceVersion they show.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::cluster::Cluster;
use super::convert::Conversion;
use super::error::{ApiStatus, Cause, Details, FieldError};
use super::registry::Served;
use super::render::ListMeta;
use super::route::Query;
use super::select::{FieldSelector, LabelSelector};
use super::store::{Key, Object, in_namespace};
use super::watch::Selection;
use super::write::invalid_options;

/// A page of a list.
pub(super) struct Page {
    pub objects: Vec<Arc<Object>>,
    pub meta: ListMeta,
}

/// Which objects of a resource a query selects.
pub(super) fn selection(
    served: &Served,
    namespace: Option<&str>,
    query: &Query,
) -> Result<Selection, ApiStatus> {
    let unreadable = |what: &str| {
        let what = what.to_owned();
        move |why: String| ApiStatus::bad_request(format!("unable to parse {what}: {why}"))
    };
    let fields = FieldSelector::parse(&query.field_selector).map_err(unreadable("fieldSelector"))?;
    if let Some(path) = fields.unsupported_path(&served.kind.group, &served.kind.kind) {
        return Err(ApiStatus::bad_request(match served.custom {
            Some(_) => format!("field label not supported: {path}"),
            None => format!(
                "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ),
        }));
    }
    let fields = match served.conversion {
        // What is selected is the stored object.
        Conversion::Event => {
            let stored = query
                .field_selector
                .replace("regarding.", "involvedObject.")
                .replace("reportingController", "reportingComponent");
            FieldSelector::parse(&stored).map_err(unreadable("fieldSelector"))?
        }
        _ => fields,
    };
    Ok(Selection {
        bucket: served.bucket,
        namespace: namespace.map(str::to_owned),
        labels: LabelSelector::parse(&query.label_selector).map_err(unreadable("labelSelector"))?,
        fields,
    })
}

impl Cluster {
    /// A list, or the next page of one.
    pub(super) fn list(&self, selection: &Selection, query: &Query) -> Result<Page, ApiStatus> {
        check_versions(query)?;
        let token = query.continue_token.as_deref().map(Token::parse).transpose()?;
        let revision = match &token {
            Some(token) => token.revision,
            None => self.revision_of_list(query)?,
        };
        let past = self.store.snapshot(selection.bucket, revision).map_err(|expired| match token {
            Some(_) => ApiStatus::expired_continue(),
            None => ApiStatus::expired(revision, expired.oldest),
        })?;
        let (namespace, after) = (selection.namespace.as_deref(), token.as_ref().map(|t| &t.last));
        let mut all: Vec<(&Key, &Arc<Object>)> = match (&past, selection.key()) {
            (Some(past), _) => in_namespace(past, namespace, after).collect(),
            (None, Some(key)) => self.store.entry(selection.bucket, &key).into_iter().collect(),
            (None, None) => self.store.list(selection.bucket, namespace, after).collect(),
        };
        all.retain(|(_, object)| selection.matches(object));
        let mut meta = ListMeta { revision, ..ListMeta::default() };
        if let Some(limit) = query.limit.filter(|limit| *limit < all.len()) {
            meta.remaining = Some(all.len() - limit);
            all.truncate(limit);
            meta.continue_token =
                all.last().map(|(key, _)| Token { revision, last: (*key).clone() }.to_string());
        }
        Ok(Page { objects: all.into_iter().map(|(_, object)| object.clone()).collect(), meta })
    }

    fn revision_of_list(&self, query: &Query) -> Result<u64, ApiStatus> {
        let current = self.store.revision();
        let Some(asked) = query.resource_version.as_deref() else { return Ok(current) };
        let asked = parse_revision(asked)?;
        if asked > current {
            return Err(too_new(asked, current));
        }
        match query.resource_version_match.as_deref() {
            Some("Exact") => Ok(asked),
            _ => Ok(current),
        }
    }
}

/// A resourceVersion that a client sent.
pub(super) fn parse_revision(text: &str) -> Result<u64, ApiStatus> {
    text.parse().map_err(|_| {
        ApiStatus::bad_request(format!("resourceVersion: Invalid value: {text:?}: must be a whole number"))
    })
}

/// A resourceVersion from the future: of another cluster, or of this one before it was started anew.
fn too_new(asked: u64, current: u64) -> ApiStatus {
    let mut status = ApiStatus::timeout(&format!("Too large resource version: {asked}, current: {current}"));
    let cause = Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    };
    status.details =
        Some(Box::new(Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() }));
    status
}

/// Which of the parameters about versions go together.
pub(super) fn check_versions(query: &Query) -> Result<(), ApiStatus> {
    let matched = query.resource_version_match.as_deref();
    let why = match (query.send_initial_events, query.resource_version.as_deref(), matched) {
        (Some(_), _, Some("NotOlderThan")) => return Ok(()),
        (Some(_), ..) => "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        (None, None, Some(_)) => "resourceVersionMatch is forbidden unless resourceVersion is provided",
        (None, Some("0"), Some("Exact")) => {
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
        }
        _ => return Ok(()),
    };
    Err(invalid_options("ListOptions", FieldError::forbidden("resourceVersionMatch", why)))
}

/// Where a list goes on.
struct Token {
    revision: u64,
    last: Key,
}

impl Token {
    fn parse(text: &str) -> Result<Self, ApiStatus> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let mut parts = text.splitn(3, '/');
            let (revision, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
            Some(Self { revision: revision.parse().ok()?, last: Key::new(namespace, name) })
        };
        read().ok_or_else(|| ApiStatus::bad_request("continue key is not valid"))
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Key { namespace, name } = &self.last;
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}/{namespace}/{name}", self.revision)))
    }
}
