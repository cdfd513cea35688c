//! Alertmanager: how many alerts fire that have the labels of a query. Additive.
//!
//! The query is that of Alertmanager itself: matchers with commas between them, `namespace="shop",severity=~"critical|page"`.
//! Alerts that are silenced or inhibited do not count. That none fires is the value 0, not a lack of data.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::api::metric_template::MetricProvider;
use crate::model::answer::said;
use crate::model::call::{Auth, Call, Heard, Next};

use super::shared::{
    NOT_A_QUERY, SHOWN, TIMEOUT, endpoint, headers, json, object, one_call, one_probe, query, token_or_basic,
    typed,
};
use super::{Asked, Error, Measured, Provider, SecretData};

/// An Alertmanager, or what speaks its API (v2).
#[derive(Clone, Debug)]
pub(super) struct Alertmanager {
    /// The call for alerts, without the matchers.
    alerts: Call,
    /// The call for its own state.
    status: Call,
}

impl Alertmanager {
    /// # Errors
    /// If the address is no URL, or the secret has neither a token nor username and password.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let auth = secret.map_or(Ok(Auth::None), |secret| token_or_basic(PROVIDER, secret))?;
        let call = |path: &str| -> Result<Call, Error> {
            let address = spec.address.as_deref().unwrap_or_default().trim();
            Ok(Call {
                headers: headers(spec),
                auth: auth.clone(),
                insecure: spec.insecure_skip_verify.unwrap_or(false),
                timeout: TIMEOUT,
                ..Call::get(endpoint(PROVIDER, address, path)?)
            })
        };
        Ok(Self { alerts: call("/api/v2/alerts")?, status: call("/api/v2/status")? })
    }

    fn ask(&self, asked: &Asked) -> Result<Call, String> {
        let text = query(PROVIDER, asked)?;
        let switches = [("active", "true"), ("silenced", "false"), ("inhibited", "false")];
        let switches = switches.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let filters = matchers(&text)?.into_iter().map(|matcher| ("filter".to_owned(), matcher));
        Ok(Call { query: switches.into_iter().chain(filters).collect(), ..self.alerts.clone() })
    }
}

impl Provider for Alertmanager {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        one_call(PROVIDER, heard, || self.ask(asked), read)
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        #[derive(Deserialize)]
        struct Status {
            #[expect(dead_code, reason = "that it is there tells an Alertmanager")]
            cluster: Map<String, Value>,
        }
        one_probe(PROVIDER, heard, || self.status.clone(), |body| object::<Status>(body).map(|_| ()))
    }
}

/// The matchers of a query, each as Alertmanager takes it. Commas inside of quotes are part of a value.
fn matchers(query: &str) -> Result<Vec<String>, String> {
    let inner = query.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(query);
    let (mut found, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in inner.chars() {
        match c {
            ',' if !quoted => {
                found.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
        found.last_mut().expect("one at least").push(c);
    }
    let found: Vec<String> =
        found.iter().map(|matcher| matcher.trim().to_owned()).filter(|matcher| !matcher.is_empty()).collect();
    if quoted {
        return Err(format!("{PROVIDER}: a quote of the query is not closed"));
    }
    // A query without matchers would stop every release for any alert of the cluster.
    if found.is_empty() {
        return Err(Error::EmptyQuery { provider: PROVIDER }.to_string());
    }
    match found.iter().find(|matcher| !is_matcher(matcher)) {
        Some(other) => Err(format!(
            "{PROVIDER}: {other:?} of the query is no matcher: write label=\"value\", or !=, =~ or !~ instead of ="
        )),
        None => Ok(found),
    }
}

/// Whether `text` begins with the name of a label and one of the four ways to compare.
fn is_matcher(text: &str) -> bool {
    let name =
        text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')).count();
    let starts_well = text.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    let rest = text[name..].trim_start();
    name > 0 && starts_well && ["=", "!=", "!~"].iter().any(|way| rest.starts_with(way))
}

#[derive(Deserialize)]
struct Alert {
    #[expect(dead_code, reason = "that it has labels tells an alert")]
    labels: Map<String, Value>,
    status: State,
}

#[derive(Deserialize)]
struct State {
    state: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    /// It is new, and nobody has been told of it yet.
    Unprocessed,
    Active,
    /// It is silenced or inhibited.
    Suppressed,
}

fn read(body: &[u8]) -> Result<Measured, String> {
    let list = match json(body)? {
        list @ Value::Array(_) => list,
        Value::Object(_) => return Err(format!("the query failed: {}", said(body, SHOWN))),
        _ => return Err(format!("{NOT_A_QUERY}: it is no list")),
    };
    // Of a structure serde would take a list as well, field by field.
    if list.as_array().is_some_and(|alerts| !alerts.iter().all(|alert| alert["status"].is_object())) {
        return Err(format!("{NOT_A_QUERY}: not all of it are alerts"));
    }
    let alerts: Vec<Alert> = typed(list)?;
    let firing = alerts.iter().filter(|alert| alert.status.state != Stage::Suppressed).count();
    // Nobody has so many alerts that the number would not be exact.
    Ok(Measured::Value(u32::try_from(firing).map_or(f64::MAX, f64::from)))
}

const PROVIDER: &str = "alertmanager";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::metrics::testing::{answered, asked, secret};

    fn alertmanager(address: &str) -> Alertmanager {
        let spec = MetricProvider { address: Some(address.into()), ..MetricProvider::default() };
        Alertmanager::new(&spec, None).expect("valid")
    }

    fn call(query: &str) -> Result<Vec<String>, String> {
        match alertmanager("http://alertmanager:9093").next(&asked(query), &[]) {
            Next::Send(call) => Ok(call
                .query
                .into_iter()
                .filter(|(name, _)| name == "filter")
                .map(|(_, value)| value)
                .collect()),
            Next::Done(Measured::Failed(why)) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    fn measured(body: &str) -> Measured {
        match alertmanager("http://a").next(&asked("a=b"), &[answered(200, body.as_bytes())]) {
            Next::Done(measured) => measured,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_asks_for_alerts_that_nobody_has_muted() {
        let backend = alertmanager("https://alerts.test/alertmanager/");
        let Next::Send(call) = backend.next(&asked("namespace=\"shop\""), &[]) else { panic!("no call") };
        assert_eq!("https://alerts.test/alertmanager/api/v2/alerts", call.url());
        let pairs = [
            ("active", "true"),
            ("silenced", "false"),
            ("inhibited", "false"),
            ("filter", "namespace=\"shop\""),
        ];
        assert_eq!(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(), call.query);
    }

    #[rstest]
    #[case::one("alertname=\"Down\"", &["alertname=\"Down\""])]
    #[case::lines("alertname = \"Down\",\n  severity=~\"a|b\",\n", &["alertname = \"Down\"", "severity=~\"a|b\""])]
    #[case::braces("{a!=\"b\", c!~\"d.*\"}", &["a!=\"b\"", "c!~\"d.*\""])]
    #[case::comma("a=\"b,c\\\",d\",e=f", &["a=\"b,c\\\",d\"", "e=f"])]
    fn each_matcher_is_a_filter(#[case] query: &str, #[case] expected: &[&str]) {
        assert_eq!(Ok(expected.iter().map(|text| (*text).to_owned()).collect()), call(query));
    }

    #[rstest]
    #[case::nothing(" {} ", "the alertmanager query is empty")]
    #[case::open("a=\"b", "alertmanager: a quote of the query is not closed")]
    #[case::promql(
        "ALERTS > 0",
        "alertmanager: \"ALERTS > 0\" of the query is no matcher: write label=\"value\", or !=, =~ or !~ instead of ="
    )]
    fn what_is_no_list_of_matchers_is_refused(#[case] query: &str, #[case] expected: &str) {
        assert_eq!(Err(expected.to_owned()), call(query));
    }

    #[rstest]
    #[case::none("[]", 0.0)]
    #[case::one(r#"[{"labels":{"alertname":"Down"},"status":{"state":"active"}}]"#, 1.0)]
    #[case::muted(r#"[{"labels":{"alertname":"Down"},"status":{"state":"suppressed"}}]"#, 0.0)]
    fn the_value_is_the_number_of_firing_alerts(#[case] body: &str, #[case] value: f64) {
        assert_eq!(Measured::Value(value), measured(body));
    }

    #[rstest]
    #[case::texts(r#"["a"]"#, "alertmanager: the answer is not one of a query: not all of it are alerts")]
    #[case::no_labels(
        r#"[{"status":{"state":"active"}}]"#,
        "alertmanager: the answer is not one of a query: its members have other types"
    )]
    #[case::a_number("7", "alertmanager: the answer is not one of a query: it is no list")]
    fn what_is_no_list_of_alerts_is_an_error(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(Measured::Failed(expected.into()), measured(body));
    }

    #[test]
    fn it_is_there_if_it_tells_its_state() {
        let backend = alertmanager("http://a");
        let probe = |heard: &[Heard]| backend.probe(&asked(""), heard);
        let Next::Send(call) = probe(&[]) else { panic!("no call") };
        assert_eq!("http://a/api/v2/status", call.url());
        let ready = br#"{"cluster":{"status":"ready"},"versionInfo":{"version":"0.28.0"}}"#;
        assert_eq!(Next::Done(Ok(())), probe(&[answered(200, ready)]));
        assert!(matches!(probe(&[answered(200, b"{}")]), Next::Done(Err(_))));
    }

    #[test]
    fn a_token_or_a_user_lets_it_in() {
        let spec = MetricProvider { address: Some("http://a".into()), ..MetricProvider::default() };
        let of =
            |pairs: &[(&str, &str)]| Alertmanager::new(&spec, Some(&secret(pairs))).map(|it| it.alerts.auth);
        assert_eq!(Ok(Auth::Bearer("t".into())), of(&[("token", "t")]));
        let basic = Auth::Basic { username: "ann".into(), password: "pw".into() };
        assert_eq!(Ok(basic), of(&[("username", "ann"), ("password", "pw")]));
        assert!(of(&[("key", "t")]).is_err());
    }
}
