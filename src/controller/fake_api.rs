//! An API server for the tests of this room: objects by path, versions, and whatever faults a test wishes.
//! Anything that needs watches, validation or other controllers is tested on `kubesim`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tower::util::BoxCloneService;

/// Clones are the same server.
#[derive(Clone, Default)]
pub struct FakeApi(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    calls: Vec<Call>,
    fault: Option<Rule>,
}

type Rule = Box<dyn FnMut(&Call) -> Fault + Send>;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: Method,
    pub path: String,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Call {
    /// `PUT /apis/…`
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What goes wrong with a request.
pub enum Fault {
    None,
    /// Refused with this status.
    Status(u16),
    /// Refused with this status and header.
    StatusWith(u16, &'static str, &'static str),
    /// No answer ever comes, and nothing is done.
    Silence,
    /// It is done, but no answer ever comes.
    Lost,
    /// It is done, but the connection breaks before the answer.
    DoneAndBroken,
    /// Answered, but only after so long.
    Slow(Duration),
    /// The connection breaks.
    Broken,
}

impl FakeApi {
    /// From now on every request is shown to `rule`.
    pub fn fault(&self, rule: impl FnMut(&Call) -> Fault + Send + 'static) {
        self.state().fault = Some(Box::new(rule));
    }

    pub fn no_fault(&self) {
        self.state().fault = None;
    }

    /// The object at `path`.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// All objects below `path`, in the order of their names.
    pub fn objects(&self, path: &str) -> Vec<Value> {
        self.state()
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(path))
            .map(|(_, object)| object.clone())
            .collect()
    }

    /// Puts an object there as if somebody else had done it.
    pub fn put(&self, path: &str, object: Value) {
        self.state().store(path, object);
    }

    pub fn delete(&self, path: &str) {
        self.state().objects.remove(path);
    }

    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The requests as `METHOD path`.
    pub fn lines(&self) -> Vec<String> {
        self.calls().iter().map(Call::line).collect()
    }

    /// A client of this server, without any layer.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.service(), "default")
    }

    pub fn service(&self) -> BoxCloneService<Request<Body>, Response<Full<Bytes>>, tower::BoxError> {
        let api = self.clone();
        BoxCloneService::new(tower::service_fn(move |request| {
            let api = api.clone();
            async move { api.answer(request).await }
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds this")
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Full<Bytes>>, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let call = Call {
            method: head.method,
            path: head.uri.path().to_owned(),
            headers: head.headers,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        let fault = {
            let mut state = self.state();
            state.calls.push(call.clone());
            state.fault.as_mut().map_or(Fault::None, |rule| rule(&call))
        };
        match fault {
            Fault::None => {}
            Fault::Status(code) => return Ok(failure(code)),
            Fault::StatusWith(code, header, value) => {
                let mut response = failure(code);
                response.headers_mut().insert(header, http::HeaderValue::from_static(value));
                return Ok(response);
            }
            Fault::Silence => std::future::pending::<()>().await,
            Fault::Lost => {
                self.state().carry_out(&call);
                std::future::pending::<()>().await
            }
            Fault::DoneAndBroken => {
                self.state().carry_out(&call);
                return Err("connection reset".into());
            }
            Fault::Slow(time) => tokio::time::sleep(time).await,
            Fault::Broken => return Err("connection reset".into()),
        }
        Ok(self.state().carry_out(&call))
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn carry_out(&mut self, call: &Call) -> Response<Full<Bytes>> {
        let found = self.objects.get(&call.path).cloned();
        match (call.method.as_str(), found) {
            ("POST", _) => {
                let name = call.body["metadata"]["name"].as_str().unwrap_or_default();
                let path = format!("{}/{name}", call.path);
                if self.objects.contains_key(&path) {
                    return failure(409);
                }
                success(201, &self.store(&path, call.body.clone()))
            }
            (_, None) => failure(404),
            ("GET", Some(object)) => success(200, &object),
            ("PUT", Some(object)) => {
                let expected = &call.body["metadata"]["resourceVersion"];
                if !expected.is_null() && expected != &object["metadata"]["resourceVersion"] {
                    return failure(409);
                }
                success(200, &self.store(&call.path, call.body.clone()))
            }
            ("PATCH", Some(mut object)) => {
                json_patch::merge(&mut object, &call.body);
                success(200, &self.store(&call.path, object))
            }
            ("DELETE", Some(object)) => {
                self.objects.remove(&call.path);
                success(200, &object)
            }
            _ => failure(405),
        }
    }
}

fn success(code: u16, object: &Value) -> Response<Full<Bytes>> {
    respond(code, object)
}

fn failure(code: u16) -> Response<Full<Bytes>> {
    let reason =
        StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()).unwrap_or("Unknown");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "reason": reason.replace(' ', ""), "message": reason,
    });
    respond(code, &status)
}

fn respond(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(code).expect("a valid status");
    response
}
