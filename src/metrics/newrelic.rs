//! New Relic: one number of an NRQL query, from the Insights query API or, if the address ends in `/graphql`, from
//! NerdGraph (spec 04 §2.6).

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::api::metric_template::MetricProvider;
use crate::model::answer::excerpt;
use crate::model::call::{Body, Call, Heard, Next, Secret};

use super::shared::{
    MULTIPLE, NOT_A_QUERY, SHOWN, TIMEOUT, endpoint, no_data, object, one_call, one_probe, query, required,
};
use super::{Asked, Error, Measured, Provider, SecretData};

/// An account at New Relic.
#[derive(Clone, Debug)]
pub(super) struct NewRelic {
    url: String,
    key: Secret,
    /// The number of the account, if NerdGraph is asked; the Insights API has it in its URL.
    account: Option<u64>,
}

impl NewRelic {
    /// # Errors
    /// If the address is no URL, or the secret lacks account or key.
    pub fn new(spec: &MetricProvider, secret: Option<&SecretData>) -> Result<Self, Error> {
        let address = spec.address.as_deref().unwrap_or_default().trim();
        let address = if address.is_empty() { DEFAULT_ADDRESS } else { address };
        let lacking = |key: &str| format!("does not contain the key '{key}'");
        let account = required(PROVIDER, secret, ACCOUNT, &lacking(ACCOUNT))?;
        let key = required(PROVIDER, secret, KEY, &lacking(KEY))?.into();
        // It becomes a part of the URL.
        let number = account.parse().map_err(|_| Error::Credentials {
            provider: PROVIDER,
            problem: format!("contain a {ACCOUNT} that is not a number"),
        })?;
        let plain = endpoint(PROVIDER, address, "")?;
        Ok(if plain.ends_with("/graphql") {
            Self { url: plain, key, account: Some(number) }
        } else {
            let url = endpoint(PROVIDER, address, &format!("/v1/accounts/{number}/query"))?;
            Self { url, key, account: None }
        })
    }

    fn ask(&self, nrql: String) -> Call {
        let (header, call) = match self.account {
            None => ("X-Query-Key", Call { query: vec![("nrql".to_owned(), nrql)], ..Call::get(&self.url) }),
            Some(account) => {
                let variables = json!({"account": account, "nrql": nrql});
                let body = json!({"query": NERDGRAPH, "variables": variables});
                ("API-Key", Call::post(&self.url, Body::json(&body)))
            }
        };
        Call { headers: vec![(header.to_owned(), self.key.clone())], timeout: TIMEOUT, ..call }
    }

    fn results(&self, body: &[u8]) -> Result<Vec<Value>, String> {
        let answered = match self.account {
            None => object::<Answered>(body)?,
            Some(_) => {
                let NerdGraph { data, errors } = object(body)?;
                if let Some(error) = errors.first() {
                    return Err(failed(&error.message));
                }
                let account = data.and_then(|data| data.actor).and_then(|actor| actor.account);
                account.and_then(|account| account.nrql).unwrap_or_default()
            }
        };
        if let Some(error) = answered.error.filter(|error| !error.is_empty()) {
            return Err(failed(&error));
        }
        if answered.facets.is_some_and(|facets| !facets.is_empty()) {
            return Err(format!("{MULTIPLE}: the query has a FACET clause"));
        }
        answered.results.ok_or_else(|| format!("{NOT_A_QUERY}: it has no results"))
    }

    fn read(&self, body: &[u8]) -> Result<Measured, String> {
        match self.results(body)?.as_slice() {
            [] => Ok(no_data(PROVIDER, body)),
            [Value::Object(fields)] => number(fields, body),
            [_] => Err(format!("{NOT_A_QUERY}: its result is no object")),
            many => Err(format!("{MULTIPLE}: {} results, select one number without FACET", many.len())),
        }
    }
}

impl Provider for NewRelic {
    fn name(&self) -> &'static str {
        PROVIDER
    }

    fn next(&self, asked: &Asked, heard: &[Heard]) -> Next<Measured> {
        let call = || Ok(self.ask(since(&query(PROVIDER, asked)?, asked.interval.as_secs())));
        one_call(PROVIDER, heard, call, |body| self.read(body))
    }

    fn probe(&self, asked: &Asked, heard: &[Heard]) -> Next<Result<(), String>> {
        let call = || self.ask(since("SELECT * FROM Metric LIMIT 1", asked.interval.as_secs()));
        one_probe(PROVIDER, heard, call, |body| self.results(body).map(|_| ()))
    }
}

/// The parts of an answer that count.
#[derive(Default, Deserialize)]
struct Answered {
    results: Option<Vec<Value>>,
    facets: Option<Vec<Value>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct NerdGraph {
    data: Option<Data>,
    #[serde(default)]
    errors: Vec<GraphError>,
}

#[derive(Deserialize)]
struct GraphError {
    #[serde(default)]
    message: String,
}

/// Where something failed, all below it is null.
#[derive(Deserialize)]
struct Data {
    actor: Option<Actor>,
}

#[derive(Deserialize)]
struct Actor {
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    nrql: Option<Answered>,
}

/// The field `result`, or else the only number there is: `average`, `count`, `percentiles.95`.
fn number(fields: &Map<String, Value>, body: &[u8]) -> Result<Measured, String> {
    let mut candidates = Vec::new();
    match fields.get("result") {
        Some(result) => candidates.push(result),
        None => {
            for (_, value) in fields.iter().filter(|(name, _)| !BOUNDS.contains(&name.as_str())) {
                match value {
                    Value::Object(inner) => candidates.extend(inner.values()),
                    other => candidates.push(other),
                }
            }
            candidates.retain(|value| value.is_number() || value.is_null());
        }
    }
    match candidates.as_slice() {
        [] | [Value::Null] => Ok(no_data(PROVIDER, body)),
        [one] => match one.as_f64() {
            Some(number) => Ok(Measured::number(number)),
            None => Err(format!("the result is not a number: {}", excerpt(one.to_string().as_bytes(), 80))),
        },
        many => Err(format!("{MULTIPLE}: {} fields, select one", many.len())),
    }
}

fn failed(error: &str) -> String {
    format!("the query failed: {}", excerpt(error.as_bytes(), SHOWN))
}

/// The query with its time window, unless it has one.
fn since(query: &str, seconds: u64) -> String {
    let mut outside = String::with_capacity(query.len());
    let mut quote = None;
    let mut characters = query.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            // What is escaped does not end a text.
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), close) if open == close => {
                quote = None;
                outside.push(' ');
            }
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, other) => outside.push(other.to_ascii_uppercase()),
        }
    }
    let mut words = outside.split(|c: char| !c.is_alphanumeric() && c != '_');
    match words.any(|word| word == "SINCE") {
        true => query.to_owned(),
        false => format!("{query} SINCE {seconds} seconds ago"),
    }
}

const PROVIDER: &str = "newrelic";
const DEFAULT_ADDRESS: &str = "https://insights-api.newrelic.com";
const ACCOUNT: &str = "newrelic_account_id";
const KEY: &str = "newrelic_query_key";
/// Fields that say where a bucket lies, not what was measured.
const BOUNDS: [&str; 3] = ["beginTimeSeconds", "endTimeSeconds", "inspectedCount"];
const NERDGRAPH: &str = "query($account: Int!, $nrql: Nrql!) \
                         { actor { account(id: $account) { nrql(query: $nrql) { results } } } }";

#[cfg(test)]
mod tests;
