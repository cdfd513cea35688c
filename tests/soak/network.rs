//! Metrics servers and hooks of a history, in the place of the network.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use vexil::http::{Cause, Request, Response, Transport};

use super::history::{Broken, Version};
use super::observer::Shared;

/// The network around a controller.
#[derive(Clone)]
pub struct Network(pub Arc<Shared>);

impl Transport for Network {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async move {
            let query = request.query.iter().find(|(key, _)| key == "query").map(|(_, text)| text.as_str());
            let answer = match query {
                Some(query) => self.measure(query),
                None => self.hook(&request.url),
            };
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        }
        .boxed()
    }
}

type Answer = Option<Result<Response, Cause>>;

impl Network {
    fn measure(&self, query: &str) -> Answer {
        let mut seen = self.0.lock();
        let now = seen.now();
        if query == "vector(1)" {
            return Some(Ok(vector(Some("1".to_owned()))));
        }
        let slow = query.contains("histogram_quantile") || query.contains("duration");
        let check = if slow { "duration" } else { "success" };
        let version = seen.facts.target.as_ref().map_or(0, |target| target.version);
        let behaves = seen.version(version);
        let good = if slow { behaves != Version::Slow } else { behaves != Version::Errors };
        let broken = seen.weather.metrics;
        let good = good && broken != Some(Broken::SaysNo);
        let share = seen.facts.routes.map_or(0, |routes| routes.share);
        let counts = good && matches!(broken, None | Some(Broken::SaysNo));
        seen.checker.evidence.measured(version, check, counts, share, now);
        seen.say(|| {
            format!("metrics: {check} of version {version} {}", if counts { "passes" } else { "does not" })
        });
        if let Some(answer) = refused(broken) {
            return answer;
        }
        let value = match (slow, good) {
            (true, true) => "95",
            (true, false) => "2000",
            (false, true) => "100",
            (false, false) => "80",
        };
        Some(Ok(vector(match broken {
            Some(Broken::Nothing) => None,
            Some(Broken::NotANumber) => Some("NaN".to_owned()),
            _ => Some(value.to_owned()),
        })))
    }

    fn hook(&self, url: &str) -> Answer {
        let mut seen = self.0.lock();
        let hook = url.rsplit('/').next().unwrap_or_default().to_owned();
        let broken = seen.weather.hooks.filter(|_| hook != "event");
        // Whoever answers yes there asks for a rollback.
        let closed = seen.weather.closed.contains(&hook.as_str());
        let yes = hook != "rollback" && broken.is_none() && !closed;
        let version = seen.facts.target.as_ref().map_or(0, |target| target.version);
        seen.checker.evidence.answered(version, &hook, yes);
        if hook != "event" {
            seen.say(|| format!("hook: {hook} of version {version} says {}", if yes { "yes" } else { "no" }));
        }
        if let Some(answer) = refused(broken) {
            return answer;
        }
        Some(Ok(Response::new(if yes { 200 } else { 403 }, "")))
    }
}

fn refused(broken: Option<Broken>) -> Option<Answer> {
    match broken? {
        Broken::Unreachable => Some(Some(Err(Cause::Connect("connection refused".to_owned())))),
        Broken::Hangs => Some(None),
        Broken::Refuses => Some(Some(Ok(Response::new(500, "<html>")))),
        Broken::Nothing | Broken::NotANumber | Broken::SaysNo => None,
    }
}

/// An answer of Prometheus with one sample, or none.
fn vector(value: Option<String>) -> Response {
    let result: Vec<_> =
        value.into_iter().map(|value| json!({"metric": {}, "value": [1_545_905_245.458, value]})).collect();
    let body = json!({"status": "success", "data": {"resultType": "vector", "result": result}});
    Response::new(200, body.to_string())
}
