//! The API as a `tower::Service`: a request in, an answer (or a stream of watch events) out.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, StreamBody};
use serde_json::Value;

use super::cluster::{Cluster, Shared, lock};
use super::discovery;
use super::error::{ApiStatus, FieldError};
use super::fault::{Disconnected, Fate};
use super::log::{self, RequestInfo};
use super::openapi;
#[cfg(feature = "protobuf")]
use super::protobuf;
use super::read::{self, parse_revision, selection};
use super::registry::Served;
use super::render::View;
use super::review;
use super::route::{Query, ResourcePath, Route, Shape, Verb};
use super::store::{Key, Object, to_json};
use super::table::IncludeObject;
use super::watch::{self, Start, WatchRequest};
use super::write::{
    self, DeleteOptions, Deleted, Outcome, Part, Patch, Target, Writer, invalid_options, scale_of,
};

/// As a real API server.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// How long a watch stays open when its client does not say.
const WATCH_TIMEOUT: Duration = Duration::from_secs(1800);

/// The media type of bodies in protobuf.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The API, for one caller.
#[derive(Clone)]
pub struct ApiService {
    shared: Arc<Shared>,
    /// Who calls, if the requests do not say so themselves.
    caller: Arc<str>,
}

impl ApiService {
    pub(super) fn new(shared: Arc<Shared>, caller: &str) -> Self {
        Self { shared, caller: caller.into() }
    }
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Disconnected;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Disconnected>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Disconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (shared, caller) = (self.shared.clone(), self.caller.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match Limited::new(body, BODY_LIMIT).collect().await {
                Ok(body) => body.to_bytes(),
                Err(why) if why.is::<LengthLimitError>() => {
                    let most = format!("limit is {BODY_LIMIT}");
                    return Ok(refusal(&ApiStatus::too_large(format!("Request entity too large: {most}"))));
                }
                Err(why) => {
                    return Ok(refusal(&ApiStatus::bad_request(format!("the body cannot be read: {why}"))));
                }
            };
            let path = parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
            let caller = match parts.headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()) {
                Some(agent) => agent.split('/').next().unwrap_or_default().to_owned(),
                None => caller.to_string(),
            };
            Call { shared, caller, method: parts.method, path, headers: parts.headers, body }.answer().await
        })
    }
}

/// One request, read.
struct Call {
    shared: Arc<Shared>,
    caller: String,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    async fn answer(self) -> Result<Response<Body>, Disconnected> {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(why) => return Ok(refusal(&ApiStatus::bad_request(why))),
        };
        match Route::parse(path) {
            Route::Resource(at) => self.resource(&at, &query).await,
            _ if self.method != Method::GET => Ok(refusal(&ApiStatus::method_not_allowed())),
            route => Ok(self.meta(&route).unwrap_or_else(|status| refusal(&status))),
        }
    }

    /// Discovery, health and schemas.
    fn meta(&self, route: &Route) -> Result<Response<Body>, ApiStatus> {
        let cluster = self.shared.lock();
        let aggregated = Shape::of(&self.headers) == Shape::Discovery;
        let found = |value: Option<Value>| value.ok_or_else(ApiStatus::unknown_path);
        let value = match route {
            Route::Health => return Ok(text("ok")),
            Route::Version => discovery::version(),
            Route::Api if aggregated => {
                return Ok(aggregated_discovery(discovery::aggregated(
                    &cluster.registry.kinds(),
                    discovery::Root::Core,
                )));
            }
            Route::Apis if aggregated => {
                return Ok(aggregated_discovery(discovery::aggregated(
                    &cluster.registry.kinds(),
                    discovery::Root::Groups,
                )));
            }
            Route::Api => discovery::api_versions(),
            Route::Apis => discovery::api_groups(&cluster.registry.kinds()),
            Route::Group(group) => found(discovery::api_group(&cluster.registry.kinds(), group))?,
            Route::GroupVersion(group, version) => {
                found(discovery::api_resources(&cluster.registry.kinds(), group, version))?
            }
            Route::OpenApiV2 if self.accepts(openapi::PROTOBUF) => {
                let body = openapi::v2_protobuf(&cluster.registry.kinds());
                return Ok(response(StatusCode::OK, openapi::PROTOBUF_ANSWER, body.into()));
            }
            Route::OpenApiV2 => openapi::v2(&cluster.registry.kinds()),
            Route::OpenApiV3 => openapi::v3_index(&cluster.registry.kinds()),
            Route::OpenApiV3Of(group, version) => {
                let resources =
                    cluster.registry.iter().map(|s| (&s.kind, s.custom.as_ref().map(|c| &c.schema)));
                found(openapi::v3(resources, group, version))?
            }
            Route::Resource(_) | Route::Unknown => return Err(ApiStatus::unknown_path()),
        };
        Ok(json(StatusCode::OK, to_json(&value)))
    }

    fn accepts(&self, media_type: &str) -> bool {
        self.headers
            .get(header::ACCEPT)
            .and_then(|v| v.to_str().ok())
            .is_some_and(|accept| accept.contains(media_type))
    }

    async fn resource(self, at: &ResourcePath, query: &Query) -> Result<Response<Body>, Disconnected> {
        let Some(served) = self.shared.lock().registry.at(at).cloned() else {
            return Ok(refusal(&ApiStatus::unknown_path()));
        };
        let Some(verb) = Verb::of(&self.method, at, query) else {
            return Ok(refusal(&ApiStatus::method_not_allowed()));
        };
        let info = self.info(at, &served, verb);
        let interceptor = lock(&self.shared.interceptor).clone();
        let fate = interceptor.map_or(Fate::Pass, |decide| decide(&info));
        if let Fate::Delay(pause) = fate {
            tokio::time::sleep(pause).await;
        }
        let carried_out = !matches!(fate, Fate::Fail(_) | Fate::Drop | Fate::Disconnect);
        let answer = carried_out
            .then(|| self.carry_out(at, &served, verb, query).unwrap_or_else(|status| refusal(&status)));
        let silent = fate == Fate::HalfOpen && verb == Verb::Watch;
        let (answer, code) = match fate {
            Fate::Fail(status) | Fate::FailAfter(status) => (Some(refusal(&status)), status.code),
            Fate::Drop | Fate::DropAfter => (None, 0),
            Fate::Disconnect | Fate::DisconnectAfter => {
                lock(&self.shared.log).push(log::Request { info, code: 0 });
                return Err(Disconnected);
            }
            Fate::Pass | Fate::Delay(_) | Fate::HalfOpen => {
                let code = answer.as_ref().map_or(0, |a| a.status().as_u16());
                (answer, code)
            }
        };
        lock(&self.shared.log).push(log::Request { info, code });
        match answer {
            Some(answer) if silent => {
                Ok(answer.map(|_| StreamBody::new(futures::stream::pending()).boxed_unsync()))
            }
            Some(answer) => Ok(answer),
            None => std::future::pending().await,
        }
    }

    fn info(&self, at: &ResourcePath, served: &Served, verb: Verb) -> RequestInfo {
        let mut cluster = self.shared.lock();
        cluster.requests += 1;
        let write = verb.is_write().then(|| {
            cluster.writes += 1;
            cluster.writes
        });
        RequestInfo {
            number: cluster.requests,
            write,
            at: cluster.clock.now(),
            caller: self.caller.clone(),
            verb,
            group: at.group.clone(),
            version: at.version.clone(),
            kind: served.kind.kind.clone(),
            plural: at.plural.clone(),
            namespace: at.namespace.clone(),
            name: at.name.clone(),
            subresource: at.subresource.clone(),
            path: self.path.clone(),
            body: self.body.clone(),
        }
    }

    fn carry_out(
        &self,
        at: &ResourcePath,
        served: &Arc<Served>,
        verb: Verb,
        query: &Query,
    ) -> Result<Response<Body>, ApiStatus> {
        let across = at.namespace.is_none() && at.name.is_none() && verb != Verb::Create;
        if served.kind.namespaced != at.namespace.is_some() && !(served.kind.namespaced && across) {
            return Err(ApiStatus::unknown_path());
        }
        let namespace = at.namespace.as_deref();
        let view = View {
            served: served.clone(),
            shape: Shape::of(&self.headers),
            include: IncludeObject::parse(query.include_object.as_deref()),
        };
        if !served.kind.is_stored() {
            return self.review(served, verb, namespace.unwrap_or_default());
        }
        if verb == Verb::Watch {
            return self.watch(served, at, view, query);
        }
        let mut cluster = self.shared.lock();
        match &at.name {
            None => self.on_collection(&mut cluster, verb, namespace.unwrap_or_default(), &view, query),
            Some(name) => {
                let key = Key::new(namespace.unwrap_or_default(), name);
                let target = Target { served: served.clone(), key };
                match Part::of(served, at.subresource.as_deref()) {
                    Some(part) => self.on_object(&mut cluster, verb, &target, part, &view, query),
                    None => self.on_pod(&mut cluster, verb, &target, at.subresource.as_deref()),
                }
            }
        }
    }

    fn on_collection(
        &self,
        cluster: &mut Cluster,
        verb: Verb,
        namespace: &str,
        view: &View,
        query: &Query,
    ) -> Result<Response<Body>, ApiStatus> {
        let within = Some(namespace).filter(|namespace| !namespace.is_empty());
        match verb {
            Verb::List => {
                let page = cluster.list(&selection(&view.served, within, query)?, query)?;
                Ok(json(StatusCode::OK, view.list(&page.objects, &page.meta, cluster.clock.now())))
            }
            Verb::Create => {
                let writer = Writer::of(query, &self.caller, "CreateOptions")?;
                let outcome = cluster.create(&view.served, namespace, self.object()?, &writer)?;
                Ok(self.written(cluster, &outcome, view, Part::Main))
            }
            Verb::DeleteCollection => self.delete_all(cluster, within, view, query),
            _ => Err(ApiStatus::method_not_allowed()),
        }
    }

    fn on_object(
        &self,
        cluster: &mut Cluster,
        verb: Verb,
        target: &Target,
        part: Part,
        view: &View,
        query: &Query,
    ) -> Result<Response<Body>, ApiStatus> {
        match verb {
            Verb::Get => {
                let object = cluster.existing(target)?;
                Ok(json(StatusCode::OK, self.part_of(cluster, &object, view, part)))
            }
            Verb::Update => {
                let writer = Writer::of(query, &self.caller, "UpdateOptions")?;
                let outcome = cluster.update(target, part, self.object()?, &writer)?;
                Ok(self.written(cluster, &outcome, view, part))
            }
            Verb::Patch => {
                let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
                let patch = Patch::parse(content_type.unwrap_or_default(), self.object()?)?;
                let writer = Writer::of(query, &self.caller, "PatchOptions")?;
                if matches!(patch, Patch::Apply(_)) && query.field_manager.is_none() {
                    let error = FieldError::required("fieldManager", "is required for apply patch");
                    return Err(invalid_options("PatchOptions", error));
                }
                let outcome = cluster.patch(target, part, &patch, &writer)?;
                Ok(self.written(cluster, &outcome, view, part))
            }
            Verb::Delete if part == Part::Main => {
                let options = DeleteOptions::read(query, self.optional_object()?.as_ref())?;
                let answer = match cluster.delete(target, &options)? {
                    Deleted::Marked(object) => view.object(&object, cluster.clock.now()),
                    Deleted::Gone(object) => {
                        to_json(&ApiStatus::deleted(&target.served.kind, &target.key.name, object.uid()))
                    }
                };
                Ok(json(StatusCode::OK, answer))
            }
            _ => Err(ApiStatus::method_not_allowed()),
        }
    }

    fn delete_all(
        &self,
        cluster: &mut Cluster,
        namespace: Option<&str>,
        view: &View,
        query: &Query,
    ) -> Result<Response<Body>, ApiStatus> {
        let options = DeleteOptions::read(query, self.optional_object()?.as_ref())?;
        let page = cluster.list(&selection(&view.served, namespace, query)?, query)?;
        for object in &page.objects {
            let meta = |field| Cluster::metadata(object.value(), field);
            let key = Key::new(meta("namespace"), meta("name"));
            cluster.delete(&Target { served: view.served.clone(), key }, &options)?;
        }
        Ok(json(StatusCode::OK, view.list(&page.objects, &page.meta, cluster.clock.now())))
    }

    fn watch(
        &self,
        served: &Arc<Served>,
        at: &ResourcePath,
        view: View,
        query: &Query,
    ) -> Result<Response<Body>, ApiStatus> {
        let mut selection = selection(served, at.namespace.as_deref(), query)?;
        if let Some(name) = &at.name {
            selection.fields = super::select::FieldSelector::parse(&format!("metadata.name={name}"))
                .map_err(ApiStatus::bad_request)?;
        }
        read::check_versions(query)?;
        let revision = query.resource_version.as_deref().map(parse_revision).transpose()?;
        let start = match (query.send_initial_events, revision) {
            (Some(true), _) => Start::StreamingList,
            (Some(false), None) => Start::After(self.shared.lock().store.revision()),
            (_, None | Some(0)) => Start::Everything,
            (_, Some(asked)) => Start::After(asked),
        };
        let request = WatchRequest {
            caller: self.caller.clone(),
            selection,
            view,
            start,
            bookmarks: query.allow_bookmarks,
            timeout: query.timeout.unwrap_or(WATCH_TIMEOUT),
        };
        let stream = watch::open(self.shared.clone(), request).map(|lines| lines.map(Frame::data));
        let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// A review is answered, not stored.
    fn review(&self, served: &Served, verb: Verb, namespace: &str) -> Result<Response<Body>, ApiStatus> {
        if verb != Verb::Create {
            return Err(ApiStatus::method_not_allowed());
        }
        let mut review = self.object()?;
        write::envelope(served, namespace, &mut review)?;
        let answered = review::answer(served, &self.caller, review)?;
        Ok(json(StatusCode::CREATED, to_json(&answered)))
    }

    /// What only pods have: evictions, and a refusal that helps where a container would be needed.
    fn on_pod(
        &self,
        cluster: &mut Cluster,
        verb: Verb,
        target: &Target,
        subresource: Option<&str>,
    ) -> Result<Response<Body>, ApiStatus> {
        let subresource = subresource.filter(|_| target.served.is("", "Pod")).unwrap_or_default();
        match (subresource, verb) {
            ("eviction", Verb::Create) => {
                let eviction = self.object()?;
                let options = DeleteOptions::read(&Query::default(), eviction.get("deleteOptions"))?;
                cluster.delete(target, &options)?;
                cluster.delete(target, &options)?;
                let done = serde_json::json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                });
                Ok(json(StatusCode::CREATED, to_json(&done)))
            }
            ("eviction", _) => Err(ApiStatus::method_not_allowed()),
            _ => match missing(subresource) {
                None => Err(ApiStatus::unknown_path()),
                Some(missing) => {
                    cluster.existing(target)?;
                    let Key { namespace, name } = &target.key;
                    Err(ApiStatus::bad_request(format!(
                        "{missing}: the containers of this cluster in memory are only simulated \
                         (kubectl describe pod {name} -n {namespace} shows how they fare)"
                    )))
                }
            },
        }
    }

    fn part_of(&self, cluster: &Cluster, object: &Arc<Object>, view: &View, part: Part) -> Bytes {
        match part {
            Part::Scale => to_json(&scale_of(&view.served, object.value())),
            Part::Main | Part::Status => view.object(object, cluster.clock.now()),
        }
    }

    fn written(&self, cluster: &Cluster, outcome: &Outcome, view: &View, part: Part) -> Response<Body> {
        let code = if outcome.created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = json(code, self.part_of(cluster, &outcome.object, view, part));
        for warning in &outcome.warnings {
            let quoted: String =
                warning.chars().filter(|c| !c.is_control()).flat_map(char::escape_default).collect();
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }

    fn object(&self) -> Result<Value, ApiStatus> {
        self.optional_object()?.ok_or_else(|| ApiStatus::bad_request("the request has no body"))
    }

    fn sends_protobuf(&self) -> bool {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let says_so = content_type.is_some_and(|said| said.starts_with(PROTOBUF));
        self.body.starts_with(b"k8s\0") || says_so && !self.body.is_empty()
    }

    /// The body: JSON, YAML as people apply it, or protobuf as Go's clients send it.
    fn optional_object(&self) -> Result<Option<Value>, ApiStatus> {
        let unreadable = |why: String| ApiStatus::bad_request(format!("the body cannot be read: {why}"));
        if self.sends_protobuf() {
            #[cfg(feature = "protobuf")]
            return protobuf::to_json(&self.body).map(Some).map_err(|why| unreadable(why.to_string()));
            #[cfg(not(feature = "protobuf"))]
            return Err(ApiStatus::unsupported_media_type(&["application/json", "application/yaml"]));
        }
        match self.body.iter().find(|b| !b.is_ascii_whitespace()) {
            None => Ok(None),
            Some(b'{' | b'[') => {
                serde_json::from_slice(&self.body).map(Some).map_err(|why| unreadable(why.to_string()))
            }
            Some(_) => {
                let text = std::str::from_utf8(&self.body).map_err(|why| unreadable(why.to_string()))?;
                serde_saphyr::from_str(text).map(Some).map_err(|why| unreadable(why.to_string()))
            }
        }
    }
}

/// What a pod without processes does not have behind this subresource.
fn missing(subresource: &str) -> Option<&'static str> {
    Some(match subresource {
        "log" => "there are no logs",
        "portforward" => "no port can be forwarded",
        "exec" => "no command can be run",
        "attach" => "there is no process to attach to",
        "proxy" => "nobody listens",
        "ephemeralcontainers" => "no container can be added",
        _ => return None,
    })
}

fn json(code: StatusCode, body: Bytes) -> Response<Body> {
    response(code, "application/json", body)
}

fn aggregated_discovery(value: Value) -> Response<Body> {
    response(
        StatusCode::OK,
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        to_json(&value),
    )
}

fn text(body: &'static str) -> Response<Body> {
    response(StatusCode::OK, "text/plain", Bytes::from_static(body.as_bytes()))
}

fn refusal(status: &ApiStatus) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, to_json(&status.to_value()));
    if let Some(pause) = status.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(pause));
    }
    response
}

fn response(code: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
