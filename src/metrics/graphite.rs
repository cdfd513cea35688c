//! Graphite: the newest point of a target of its render API (spec 04 §2.7).

use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded;

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Auth, Call, Heard, Next};

use super::shared::{
    MULTIPLE, NO_VALUES, SHOWN, TIMEOUT, basic, collapsed, endpoint, json, one_call, one_probe, query, typed,
};
use super::{Asked, Error, Measured, Provider, SecretData};

/// A Graphite server, or what speaks its render API.
#[derive(Clone, Debug)]
pub(super) struct Graphite {
    /// The call of every query, without the query.
    call: Call,
}

impl Graphite {
    /// # Errors
    /// If the address is no URL, or the secret lacks user or password.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let url = endpoint(PROVIDER, spec.address.as_deref().unwrap_or_default().trim(), "/render")?;
        let auth = secret.map_or(Ok(Auth::None), |secret| basic(PROVIDER, secret))?;
        let insecure = spec.insecure_skip_verify.unwrap_or(false);
        Ok(Self { call: Call { auth, insecure, timeout: TIMEOUT, ..Call::get(url) } })
    }

    fn ask(&self, query: &str) -> Call {
        Call { query: parameters(query), ..self.call.clone() }
    }
}

impl Provider for Graphite {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        one_call(PROVIDER, heard, || Ok(self.ask(&query(PROVIDER, asked)?)), read)
    }

    fn probe(&self, _: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        // Nobody has a target of this name: that there is nothing to draw is the good answer.
        one_probe(PROVIDER, heard, || self.ask("target=test"), |body| targets(body).map(|_| ()))
    }
}

/// The parameters of a render call, read one by one, so that a `;` of a tag or a lone `%` stays what it is. Their order
/// is that of their names: the URL of a query is always the same.
fn parameters(query: &str) -> Vec<(String, String)> {
    let query = collapsed(query);
    let query = query.strip_prefix('?').unwrap_or(&query);
    let pairs = form_urlencoded::parse(query.as_bytes());
    // A line break in a manifest leaves a blank at the end of a value.
    let mut pairs: Vec<(String, String)> = pairs
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .filter(|(name, _)| name != "format")
        .collect();
    pairs.push(("format".to_owned(), "json".to_owned()));
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    pairs
}

/// A target of an answer.
#[derive(Deserialize)]
struct Target {
    #[serde(default)]
    target: String,
    /// Pairs of value and time.
    datapoints: Vec<Vec<Value>>,
}

fn targets(body: &[u8]) -> Result<Vec<Target>, String> {
    match json(body)? {
        Value::Object(object) if object.contains_key("error") => {
            Err(format!("the query failed: {}", excerpt(object["error"].to_string().as_bytes(), SHOWN)))
        }
        other => typed(other),
    }
}

fn read(body: &[u8]) -> Result<Measured, String> {
    let mut newest = Vec::new();
    for target in targets(body)? {
        if let Some(value) = last(&target)? {
            newest.push(value);
        }
    }
    match newest.as_slice() {
        [] => Ok(Measured::NoData(NO_VALUES.to_owned())),
        [one] => Ok(Measured::number(*one)),
        many => {
            Err(format!("{MULTIPLE}: {} targets, make them one with sumSeries() or maxSeries()", many.len()))
        }
    }
}

/// The newest point of a target that is not null.
fn last(target: &Target) -> Result<Option<f64>, String> {
    let mut found = None;
    for point in &target.datapoints {
        let [value, _] = point.as_slice() else {
            let name = excerpt(target.target.as_bytes(), 80);
            return Err(format!("a point of {name} has {} parts, not value and time", point.len()));
        };
        found = match value {
            Value::Null => found,
            Value::Number(number) => number.as_f64(),
            Value::String(text) => Some(text.trim().parse().map_err(|_| not_a_number(value))?),
            _ => return Err(not_a_number(value)),
        };
    }
    Ok(found)
}

fn not_a_number(value: &Value) -> String {
    format!("a value is not a number: {}", excerpt(value.to_string().as_bytes(), 80))
}

const PROVIDER: &str = "graphite";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;
    use crate::metrics::testing::{answered, asked, secret};

    fn graphite(address: &str) -> Graphite {
        let spec = MetricProvider {
            address: Some(address.to_owned()),
            insecure_skip_verify: Some(true),
            ..MetricProvider::default()
        };
        let credentials = secret(&[("username", "ann"), ("password", "pw\n")]);
        Graphite::new(&spec, Some(&credentials)).expect("valid")
    }

    fn sent(query: &str) -> Call {
        match graphite("https://graphite/g/").next(&asked(query), &[]) {
            Next::Send(call) => *call,
            other => panic!("{other:?}"),
        }
    }

    fn measured(body: &str) -> Measured {
        match graphite("http://graphite").next(&asked("target=a"), &[answered(200, body.as_bytes())]) {
            Next::Done(measured) => measured,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_is_a_render_call() {
        // spec: 04/PR-23
        let call = sent("target=sumSeries(\n  app.podinfo.*.errors)&from=-2min\n");
        assert_eq!("https://graphite/g/render", call.url());
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("format", "json"),
            pair("from", "-2min"),
            pair("target", "sumSeries( app.podinfo.*.errors)"),
        ];
        assert_eq!(expected, call.query.as_slice());
        assert_eq!(Auth::Basic { username: "ann".into(), password: "pw".into() }, call.auth);
        assert_eq!((true, Duration::from_secs(5)), (call.insecure, call.timeout));
    }

    #[rstest]
    #[case::tags("target=seriesByTag('a=b';'c=d')&from=-1min", "seriesByTag('a=b';'c=d')")]
    #[case::lone_percent("target=alias(a,'50%')", "alias(a,'50%')")]
    #[case::encoded("target=alias(a%2Cb,'50%25')", "alias(a,b,'50%')")]
    #[case::other_format("format=png&target=a", "a")]
    #[case::question_mark("?target=a", "a")]
    #[case::lines("target=sum(a)\n  &from=-1min", "sum(a)")]
    fn no_part_of_a_query_gets_lost(#[case] query: &str, #[case] target: &str) {
        let call = sent(query);
        let values = |name: &str| {
            let pairs = call.query.iter().filter(|(key, _)| key == name);
            pairs.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        assert_eq!((vec![target], vec!["json"]), (values("target"), values("format")));
    }

    #[rstest]
    #[case::newest("[[1,10],[2,20]]", Measured::Value(2.0))]
    #[case::null_is_not_newest("[[1.5,10],[null,20]]", Measured::Value(1.5))]
    #[case::text(r#"[["0.25",10]]"#, Measured::Value(0.25))]
    #[case::not_a_number(r#"[["NaN",10]]"#, Measured::NotANumber)]
    #[case::infinite(r#"[["inf",10]]"#, Measured::Failed("the result is +Inf, which no threshold can judge".into()))]
    #[case::word(r#"[["much",10]]"#, Measured::Failed("graphite: a value is not a number: \"much\"".into()))]
    #[case::list("[[[1],10]]", Measured::Failed("graphite: a value is not a number: [1]".into()))]
    #[case::triple("[[1,2,3]]", Measured::Failed("graphite: a point of a has 3 parts, not value and time".into()))]
    #[case::empty_pair("[[]]", Measured::Failed("graphite: a point of a has 0 parts, not value and time".into()))]
    #[case::nulls("[[null,10]]", Measured::NoData("no values found".into()))]
    #[case::no_points("[]", Measured::NoData("no values found".into()))]
    fn the_newest_point_with_a_value_counts(#[case] points: &str, #[case] expected: Measured) {
        // spec: 04/PR-23
        assert_eq!(expected, measured(&format!(r#"[{{"target":"a","datapoints":{points}}}]"#)));
    }

    #[test]
    fn a_target_without_values_says_nothing() {
        let body = r#"[{"target":"old","datapoints":[[null,1]]},{"target":"new","datapoints":[[7,1]]}]"#;
        assert_eq!(Measured::Value(7.0), measured(body));
    }

    #[test]
    fn it_is_there_if_it_draws_nothing() {
        // spec: 04/PR-24
        let graphite = graphite("http://graphite");
        let Next::Send(call) = graphite.probe(&asked(""), &[]) else { panic!("no call") };
        assert_eq!(("target".to_owned(), "test".to_owned()), call.query[1]);
        assert_eq!(Next::Done(Ok(())), graphite.probe(&asked(""), &[answered(200, b"[]")]));
        let refused = "graphite error response: no: 401 Unauthorized".to_owned();
        assert_eq!(Next::Done(Err(refused)), graphite.probe(&asked(""), &[answered(401, b"no")]));
    }

    #[rstest]
    #[case::no_username(&[("password", "pw")], "graphite credentials does not contain a username")]
    #[case::no_password(&[("username", "ann")], "graphite credentials does not contain a password")]
    fn a_secret_names_user_and_password(#[case] pairs: &[(&str, &str)], #[case] expected: &str) {
        let spec = MetricProvider { address: Some("http://graphite".into()), ..MetricProvider::default() };
        assert_eq!(expected, Graphite::new(&spec, Some(&secret(pairs))).unwrap_err().to_string());
    }

    #[test]
    fn the_address_is_needed() {
        let error = Graphite::new(&MetricProvider::default(), None).unwrap_err();
        assert_eq!("graphite address  is not a valid URL", error.to_string());
    }
}
