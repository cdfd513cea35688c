//! What a load is to be: read from the metadata of a hook of `type: load`, within limits.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::{Host, Url};

use super::super::payload::{Metadata, shortened};
use super::grpc::{self, Grpc};
use super::keys;
use crate::api::duration;
use crate::model::answer::excerpt;

/// What loads may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests a second of one load.
    pub qps: u32,
    /// Connections of one load.
    pub connections: u32,
    /// Hosts beside those of the caller's own namespace: exact, `*.example.com`, or `*` for any.
    pub hosts: Vec<String>,
}

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where requests go.
    pub url: Url,
    /// What is called over gRPC; none for requests over HTTP.
    pub grpc: Option<Grpc>,
    /// Their method.
    pub method: Method,
    /// Their headers.
    pub headers: HeaderMap,
    /// Their body.
    pub body: String,
    /// How long the load lasts.
    pub duration: Duration,
    /// Requests a second, over all connections.
    pub qps: u32,
    /// Connections, each with one request at a time.
    pub connections: u32,
    /// How long a request may take.
    pub timeout: Duration,
    /// Whether any certificate is good.
    pub insecure: bool,
    /// What the answers have to be like.
    pub wanted: Wanted,
}

/// What makes a load pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// In percent of requests.
    pub success_rate: Option<f64>,
    /// Quantiles in percent, and how long they may take.
    pub latencies: Vec<(f64, Duration)>,
}

impl Plan {
    /// Reads what a hook of the namespace says.
    ///
    /// # Errors
    /// If something is missing, wrong, unknown or too much; the text names key, value and remedy.
    pub fn read(metadata: &Metadata, namespace: &str, limits: &Limits) -> Result<Self, String> {
        if let Some(key) = metadata.keys().find(|key| !keys::is_known(key)) {
            return Err(format!(
                "metadata {:?} is unknown with type load: there are {}",
                shortened(key),
                keys::names().collect::<Vec<_>>().join(", ")
            ));
        }
        let bad = |key: &str, value: &str, why: &str| format!("metadata {key}={:?}: {why}", shortened(value));
        let text = metadata.get("url").ok_or("metadata url is required with type load")?;
        let over_grpc = grpc::address(text);
        let mut url = Url::parse(over_grpc.as_deref().unwrap_or(text))
            .map_err(|error| bad("url", text, &error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("url", text, "it is none of http, https, grpc and grpcs"));
        }
        let grpc = match over_grpc {
            Some(_) => Some(Grpc::read(metadata, &mut url)?),
            None => None,
        };
        if let Some(key) =
            ["bodyBase64", "service"].iter().find(|key| grpc.is_none() && metadata.contains_key(**key))
        {
            return Err(format!(
                "metadata {key} is for gRPC: write a url that begins with grpc:// or grpcs://"
            ));
        }
        may_be_loaded(&url, namespace, &limits.hosts).map_err(|why| bad("url", text, &why))?;
        let time = |key: &str, default: Duration| match metadata.get(key) {
            None => Ok(default),
            Some(text) => match duration::parse(text) {
                Ok(time) if !time.is_zero() => Ok(time),
                Ok(_) => Err(bad(key, text, "it is zero")),
                Err(error) => Err(bad(key, text, &excerpt(error.to_string().as_bytes(), 120))),
            },
        };
        let count = |key: &str, default: u32, most: u32, flag: &str| match metadata.get(key) {
            None => Ok(default.min(most)),
            Some(text) => match text.parse::<u32>() {
                Ok(number @ 1..) if number <= most => Ok(number),
                Ok(1..) => Err(bad(key, text, &format!("at most {most} are allowed (the flag {flag})"))),
                _ => Err(bad(key, text, "it is not a number above zero")),
            },
        };
        let switch = |key: &str| metadata.get(key).is_some_and(|value| super::super::payload::is_true(value));
        let method = metadata.get("method").map_or("GET", String::as_str);
        Ok(Self {
            headers: headers(metadata)?,
            method: Method::from_bytes(method.as_bytes())
                .map_err(|_| bad("method", method, "there is no such method"))?,
            body: metadata.get("body").cloned().unwrap_or_default(),
            duration: time("duration", Duration::from_secs(60))?,
            qps: count("qps", 10, limits.qps, "-load-max-qps")?,
            connections: count("connections", 2, limits.connections, "-load-max-connections")?,
            timeout: time("timeout", Duration::from_secs(10))?,
            insecure: switch("insecure"),
            wanted: Wanted {
                success_rate: match metadata.get("minSuccessRate") {
                    None => None,
                    Some(text) => match text.parse::<f64>() {
                        Ok(rate) if (0.0..=100.0).contains(&rate) => Some(rate),
                        _ => return Err(bad("minSuccessRate", text, "it is not a percentage")),
                    },
                },
                latencies: [("maxP50", 50.0), ("maxP90", 90.0), ("maxP95", 95.0), ("maxP99", 99.0)]
                    .into_iter()
                    .filter(|(key, _)| metadata.contains_key(*key))
                    .map(|(key, quantile)| Ok((quantile, time(key, Duration::ZERO)?)))
                    .collect::<Result<_, String>>()?,
            },
            url,
            grpc,
        })
    }

    /// Where it goes, for answers and the log.
    pub fn shown(&self) -> String {
        let shown = crate::http::shown_url(self.url.as_str());
        if self.grpc.is_some() { shown.replacen("http", "grpc", 1) } else { shown }
    }
}

fn headers(metadata: &Metadata) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (key, value) in metadata {
        let Some(name) = key.strip_prefix("header.") else { continue };
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("metadata {:?} names no header", shortened(key)))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("metadata {:?} is not the text of a header", shortened(key)))?;
        headers.insert(parsed, value);
    }
    Ok(headers)
}

/// Whoever may call the load tester must not bring down what belongs to others: without further words a load goes to Services
/// of the caller's own namespace.
fn may_be_loaded(url: &Url, namespace: &str, hosts: &[String]) -> Result<(), String> {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let listed = hosts.iter().any(|allowed| match allowed.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => suffix.starts_with('.') && host.ends_with(suffix),
        None => {
            host == *allowed
                || Host::parse(allowed).is_ok_and(|allowed| url.host() == Some(borrowed(&allowed)))
        }
    });
    let parts: Vec<&str> = host.split('.').collect();
    let own = match parts[..] {
        [_, found] | [_, found, "svc"] | [_, found, "svc", "cluster", "local"] => found == namespace,
        _ => false,
    };
    let named = matches!(url.host(), Some(Host::Domain(_)));
    if listed || (own && named) {
        return Ok(());
    }
    Err(format!(
        "{} is not a Service of namespace {namespace} (write NAME.{namespace}), and not one of -load-hosts",
        shortened(&host)
    ))
}

fn borrowed(host: &Host<String>) -> Host<&str> {
    match host {
        Host::Domain(name) => Host::Domain(name),
        Host::Ipv4(address) => Host::Ipv4(*address),
        Host::Ipv6(address) => Host::Ipv6(*address),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn read(pairs: &[(&str, &str)], hosts: &[&str]) -> Result<Plan, String> {
        let metadata = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Plan::read(&metadata, "shop", &Limits { qps: 1000, connections: 100, hosts })
    }

    #[rstest]
    #[case::own("http://frontend-canary.shop/", &[], true)]
    #[case::own_svc("http://frontend.shop.svc:8080/x", &[], true)]
    #[case::own_full("http://frontend.shop.svc.cluster.local./", &[], true)]
    #[case::another("http://frontend.bank/", &[], false)]
    #[case::without_namespace("http://frontend/", &[], false)]
    #[case::looks_like_it("http://frontend.shop.evil.example/", &[], false)]
    #[case::user_part("http://frontend.shop@bank.bank/", &[], false)]
    #[case::address("http://10.0.0.1/", &[], false)]
    #[case::listed("http://www.example.com/", &["www.example.com"], true)]
    #[case::listed_in_part("http://xwww.example.com/", &["www.example.com"], false)]
    #[case::suffix("http://www.example.com/", &["*.example.com"], true)]
    #[case::no_suffix("http://example.com.evil/", &["*.example.com"], false)]
    #[case::listed_address("http://127.0.0.1:99/", &["127.0.0.1"], true)]
    #[case::written_otherwise("http://2130706433/", &["127.0.0.1"], true)]
    #[case::six("http://[::1]:99/", &["[::1]"], true)]
    #[case::any("http://bank.bank/", &["*"], true)]
    #[case::grpc("grpc://frontend-canary.shop:9090", &[], true)]
    #[case::grpc_of_another("grpc://frontend.bank:9090", &[], false)]
    #[case::grpc_to_an_address("grpc://10.0.0.1:9090", &[], false)]
    #[case::grpc_written_otherwise("grpcs://0x7f.1:9090", &["127.0.0.1"], true)]
    #[case::file("file:///etc/passwd", &["*"], false)]
    fn a_load_goes_to_the_own_namespace_unless_a_flag_says_more(
        #[case] url: &str,
        #[case] hosts: &[&str],
        #[case] allowed: bool,
    ) {
        let read = read(&[("url", url)], hosts);
        assert_eq!(allowed, read.is_ok(), "{:?}", read.err());
    }

    #[rstest]
    #[case("qps", "0", "not a number above zero")]
    #[case("qps", "-1", "not a number above zero")]
    #[case("qps", "1001", "-load-max-qps")]
    #[case("qps", "99999999999999999999", "not a number above zero")]
    #[case("connections", "101", "-load-max-connections")]
    #[case("duration", "0s", "it is zero")]
    #[case("duration", "soon", "invalid duration")]
    #[case("timeout", "-1s", "negative")]
    #[case("minSuccessRate", "NaN", "not a percentage")]
    #[case("maxP99", "500", "missing unit")]
    #[case("method", "GE T", "no such method")]
    #[case("header.a b", "x", "names no header")]
    #[case("header.X-A", "x\ny", "not the text of a header")]
    #[case("service", "shop.Cart", "is for gRPC")]
    #[case("bodyBase64", "CAE=", "is for gRPC")]
    #[case("rate", "5", "is unknown with type load")]
    fn what_cannot_be_followed_is_named(#[case] key: &str, #[case] value: &str, #[case] expected: &str) {
        let why = read(&[("url", "http://frontend.shop/"), (key, value)], &[]).expect_err("refused");
        assert!(why.contains(expected) && why.contains(key), "{why}");
    }

    #[test]
    fn what_is_not_said_is_modest() {
        let plan = read(&[("url", "http://frontend.shop/")], &[]).expect("a plan");
        assert_eq!((10, 2, Duration::from_secs(60)), (plan.qps, plan.connections, plan.duration));
        assert_eq!((Method::GET, Wanted::default()), (plan.method, plan.wanted));
    }

    #[test]
    fn what_is_not_said_is_what_its_page_says() {
        let url = ("url", "http://frontend.shop/");
        let said = keys::KEYS.iter().filter(|key| !key.default.is_empty());
        let said: Vec<(&str, &str)> = said.map(|key| (key.names[0], key.default)).chain([url]).collect();
        let shown = |pairs| format!("{:?}", read(pairs, &[]).expect("a plan"));
        assert_eq!(shown(&[url]), shown(&said));
    }

    #[test]
    fn each_key_that_its_page_names_is_taken() {
        for name in keys::names().filter(|name| !["url", "header.*"].contains(name)) {
            let url = if ["bodyBase64", "service"].contains(&name) { "grpc" } else { "http" };
            let value = match name {
                "qps" | "connections" | "minSuccessRate" => "5",
                "bodyBase64" => "CAE=",
                "method" => "PUT",
                "body" | "service" => "x",
                "insecure" | "wait" | "report" => "true",
                _ => "5s",
            };
            let read = read(&[("url", &format!("{url}://frontend.shop/")), (name, value)], &[]);
            assert!(read.is_ok(), "{name}: {:?}", read.err());
        }
    }
}
