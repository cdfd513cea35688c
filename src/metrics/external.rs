//! External metrics of Kubernetes: what an adapter serves under `external.metrics.k8s.io`, asked through the cluster's
//! own API or at the adapter itself (spec 04 §2.13).

use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Address, Auth, Call, Heard, Method, Next, What};
use crate::model::quantity;

use super::shared::{
    MULTIPLE, NO_VALUES, NOT_A_QUERY, SHOWN, TIMEOUT, accepted, credential, endpoint, object, one_call, query,
};
use super::{Asked, Error, Measured, Provider, SecretData};

/// An API that serves external metrics.
#[derive(Clone, Debug)]
pub(super) struct External {
    /// Where the API is, if it is not the cluster's, which knows this controller and no other token.
    address: Option<String>,
    auth: Auth,
    insecure: bool,
}

impl External {
    /// # Errors
    /// If the address is no URL, or the token no text.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let address = spec.address.as_deref().map(str::trim).filter(|address| !address.is_empty());
        let token = secret.map_or(Ok(None), |secret| credential(PROVIDER, secret, "token"))?;
        let token = token.filter(|token| !token.is_empty());
        Ok(Self {
            address: address.map(|address| endpoint(PROVIDER, address, "")).transpose()?,
            auth: token.map_or(Auth::None, |token| Auth::Bearer(token.into())),
            insecure: spec.insecure_skip_verify.unwrap_or(false),
        })
    }

    /// The token of this controller goes to the cluster's API alone, whatever a template has for an address.
    fn get(&self, wanted: &Wanted) -> Call {
        let path = wanted.path();
        let call = match &self.address {
            None => Call::new(Method::Get, Address::Cluster(path)),
            Some(address) => Call {
                auth: self.auth.clone(),
                insecure: self.insecure,
                ..Call::get(format!("{}{path}", address.trim_end_matches('/')))
            },
        };
        let selector = wanted.selector.iter().map(|selector| ("labelSelector".to_owned(), selector.clone()));
        Call { query: selector.collect(), timeout: TIMEOUT, ..call }
    }
}

impl Provider for External {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        let call = || {
            let query = query(PROVIDER, asked)?;
            let wanted = Wanted::parse(&query).map_err(|why| format!("{PROVIDER}: {why}"))?;
            Ok(self.get(&wanted))
        };
        one_call(PROVIDER, heard, call, read)
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        Next::Done(match heard.last().map(|heard| &heard.what) {
            None | Some(What::Waited) => {
                let namespace = "kube-system".to_owned();
                let dummy = Wanted { namespace, metric: "dummy-metric".to_owned(), selector: None };
                return Next::send(self.get(&dummy));
            }
            // An adapter that does not know this metric is there all the same.
            Some(What::Answer(answer)) if answer.status == 404 => Ok(()),
            Some(what) => accepted(PROVIDER, what).map(|_| ()),
        })
    }
}

/// What a query asks for.
#[derive(Debug, PartialEq)]
struct Wanted {
    namespace: String,
    metric: String,
    selector: Option<String>,
}

impl Wanted {
    /// `[<namespace>/]<metric>[?labelSelector=<selector>]`
    fn parse(query: &str) -> Result<Self, String> {
        let malformed =
            |why: &str| format!("malformed query string {:?}: {why}", excerpt(query.as_bytes(), 80));
        let (place, parameters) = query.split_once('?').unwrap_or((query, ""));
        let (namespace, metric) = place.split_once('/').unwrap_or(("default", place));
        let (namespace, metric) = (namespace.trim(), metric.trim());
        if metric.contains('/') {
            return Err(malformed("it has more than one slash"));
        }
        if metric.is_empty() {
            return Err("metric name cannot be empty".to_owned());
        }
        if namespace.is_empty() || !namespace.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(malformed("what stands before the slash is not the name of a namespace"));
        }
        // A path would swallow these.
        if matches!(metric, "." | "..") {
            return Err(malformed("this is not the name of a metric"));
        }
        let mut selector = None;
        for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
            match &*name {
                "labelSelector" => selector = Some(value.into_owned()),
                other => return Err(malformed(&format!("{other} is not a parameter, labelSelector is"))),
            }
        }
        Ok(Self { namespace: namespace.to_owned(), metric: metric.to_owned(), selector })
    }

    /// Below the root of an API server, with everything in it that is not for a path percent-encoded.
    fn path(&self) -> String {
        let root = "http://root/apis/external.metrics.k8s.io/v1beta1/namespaces";
        let mut url = Url::parse(root).expect("a constant URL is one");
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.push(&self.namespace).push(&self.metric);
        }
        url.path().to_owned()
    }
}

/// A list of metrics.
#[derive(Deserialize)]
struct List {
    items: Option<Vec<Item>>,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    value: Value,
}

fn read(body: &[u8]) -> Result<Measured, String> {
    let list: List = object(body)?;
    if list.kind == "Status" {
        return Err(format!("the query failed: {}", excerpt(list.message.as_bytes(), SHOWN)));
    }
    let items = list.items.ok_or_else(|| format!("{NOT_A_QUERY}: it has no items"))?;
    let none = || Measured::NoData(format!("no external metrics found: {NO_VALUES}"));
    match items.as_slice() {
        [] => Ok(none()),
        [one] => match &one.value {
            Value::Null => Ok(none()),
            Value::String(text) => match quantity::number(text) {
                Some(number) => Ok(Measured::number(number)),
                None => Err(not_a_quantity(&one.value)),
            },
            Value::Number(number) => Ok(number.as_f64().map_or_else(none, Measured::number)),
            _ => Err(not_a_quantity(&one.value)),
        },
        many => Err(format!("{MULTIPLE}: {} metrics, choose one with labelSelector", many.len())),
    }
}

fn not_a_quantity(value: &Value) -> String {
    format!("the value is not a quantity: {}", excerpt(value.to_string().as_bytes(), 80))
}

const PROVIDER: &str = "externalmetrics";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::metrics::testing::{answered, asked, place, secret};

    fn external(address: Option<&str>, token: Option<&str>) -> Result<External, Error> {
        let spec = MetricProvider {
            address: address.map(str::to_owned),
            insecure_skip_verify: Some(true),
            ..MetricProvider::default()
        };
        let data = token.map(|token| secret(&[("token", token)]));
        External::new(&spec, data.as_ref())
    }

    fn sent(external: &External, query: &str) -> Call {
        match external.next(&asked(query), &[]) {
            Next::Send(call) => *call,
            other => panic!("{other:?}"),
        }
    }

    const ROOT: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces";

    #[rstest]
    #[case::metric("queue_length", "default/queue_length", None)]
    #[case::namespace("shop/queue_length\n", "shop/queue_length", None)]
    #[case::selector(
        "shop/q?labelSelector=app%3Dpodinfo%2Ctier%3Dweb",
        "shop/q",
        Some("app=podinfo,tier=web")
    )]
    #[case::plain_selector("shop/q?labelSelector=app=podinfo", "shop/q", Some("app=podinfo"))]
    #[case::datadog("shop/datadogmetric@shop:errors", "shop/datadogmetric@shop:errors", None)]
    #[case::odd("shop/a b%2F#", "shop/a%20b%252F%23", None)]
    fn a_query_names_metric_namespace_and_selector(
        #[case] query: &str,
        #[case] path: &str,
        #[case] selector: Option<&str>,
    ) {
        // spec: 04/PR-34
        let call = sent(&external(None, None).expect("valid"), query);
        assert_eq!(format!("cluster {ROOT}/{path}"), place(&call));
        let expected = selector.map(|selector| ("labelSelector".to_owned(), selector.to_owned()));
        assert_eq!(expected.into_iter().collect::<Vec<_>>(), call.query);
    }

    #[rstest]
    #[case::slashes("a/b/c", "externalmetrics: malformed query string \"a/b/c\": it has more than one slash")]
    #[case::no_metric("shop/", "externalmetrics: metric name cannot be empty")]
    #[case::only_a_selector("?labelSelector=a", "externalmetrics: metric name cannot be empty")]
    #[case::up(
        "../x",
        "externalmetrics: malformed query string \"../x\": what stands before the slash is not the name of a namespace"
    )]
    #[case::further_up(
        "shop/..",
        "externalmetrics: malformed query string \"shop/..\": this is not the name of a metric"
    )]
    #[case::parameter(
        "shop/a?watch=true",
        "externalmetrics: malformed query string \"shop/a?watch=true\": watch is not a parameter, labelSelector is"
    )]
    #[case::nothing("  ", "the externalmetrics query is empty")]
    fn a_query_that_is_none_says_why(#[case] query: &str, #[case] why: &str) {
        // spec: 04/PR-34
        let step = external(None, None).expect("valid").next(&asked(query), &[]);
        assert_eq!(Next::Done(Measured::Failed(why.to_owned())), step);
    }

    #[test]
    fn an_address_of_its_own_gets_the_token_of_the_secret_and_no_other() {
        // spec: 04/PR-35
        let address = "https://datadog-cluster-agent-metrics-server:8443/";
        let url = format!("https://datadog-cluster-agent-metrics-server:8443{ROOT}/shop/errors");
        for (token, auth) in
            [(Some("t0ken\n"), Auth::Bearer("t0ken".into())), (None, Auth::None), (Some(" "), Auth::None)]
        {
            let call = sent(&external(Some(address), token).expect("valid"), "shop/errors");
            assert_eq!((url.clone(), auth, true), (place(&call), call.auth, call.insecure));
            assert!(call.headers.is_empty());
        }
    }

    #[test]
    fn the_cluster_is_asked_as_this_controller() {
        let call = sent(&external(None, Some("t0ken")).expect("valid"), "shop/errors");
        assert_eq!((format!("cluster {ROOT}/shop/errors"), Auth::None), (place(&call), call.auth));
    }

    #[rstest]
    #[case::micro(r#"[{"value":"1111100u"}]"#, Ok(Measured::Value(1.1111)))]
    #[case::milli(r#"[{"value":"250m"}]"#, Ok(Measured::Value(0.25)))]
    #[case::kilo(r#"[{"value":"1k"}]"#, Ok(Measured::Value(1000.0)))]
    #[case::number(r#"[{"value":3}]"#, Ok(Measured::Value(3.0)))]
    #[case::none("[]", Ok(Measured::NoData("no external metrics found: no values found".into())))]
    #[case::word(r#"[{"value":"much"}]"#, Err("externalmetrics: the value is not a quantity: \"much\""))]
    #[case::several(
        r#"[{"value":"1"},{"value":"2"}]"#,
        Err("externalmetrics: query returned multiple values: 2 metrics, choose one with labelSelector")
    )]
    fn the_one_quantity_counts(#[case] items: &str, #[case] expected: Result<Measured, &str>) {
        // spec: 04/PR-34
        let body = format!(r#"{{"kind":"ExternalMetricValueList","items":{items}}}"#);
        let step = external(None, None).expect("valid").next(&asked("a"), &[answered(200, body.as_bytes())]);
        let expected = expected.unwrap_or_else(|why| Measured::Failed(why.to_owned()));
        assert_eq!(Next::Done(expected), step);
    }

    #[rstest]
    #[case::list(200, Ok(()))]
    #[case::unknown_metric(404, Ok(()))]
    #[case::forbidden(403, Err("externalmetrics error response: no: 403 Forbidden"))]
    #[case::no_adapter(503, Err("externalmetrics error response: no: 503 Service Unavailable"))]
    fn it_is_there_if_it_looks_for_a_metric(#[case] status: u16, #[case] expected: Result<(), &str>) {
        let external = external(None, None).expect("valid");
        let Next::Send(call) = external.probe(&asked(""), &[]) else { panic!("no call") };
        assert_eq!(format!("cluster {ROOT}/kube-system/dummy-metric"), place(&call));
        let step = external.probe(&asked(""), &[answered(status, b"no")]);
        assert_eq!(Next::Done(expected.map_err(str::to_owned)), step);
    }
}
