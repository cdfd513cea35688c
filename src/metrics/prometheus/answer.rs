//! What an answer of `/api/v1/query` says.

use prometheus_http_query::response::{Data, PromqlResult};
use serde::Deserialize;
use serde_json::Value;

use crate::metrics::shared::{MULTIPLE, NO_VALUES, SHOWN, come_back, not_json, reason};
use crate::model::answer::{ELSEWHERE, Measured, excerpt, said};
use crate::model::call::Answer;

/// The one number in an answer, or why there is none.
pub(super) fn measure(answer: &Answer) -> Measured {
    // A redirect that leads elsewhere is not followed, and its page is no result.
    if answer.status >= 300 {
        return Measured::Failed(refused(answer));
    }
    match read(&answer.body) {
        Ok(measured) => measured,
        Err(why) => Measured::Failed(why),
    }
}

/// The parts of an answer that Prometheus itself fills in.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    #[serde(default)]
    status: String,
    data: Option<Value>,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

fn read(body: &[u8]) -> Result<Measured, String> {
    let json: Value = serde_json::from_slice(body).map_err(|_| not_json(body))?;
    let Envelope { status, data, error_type, error, warnings } = serde_json::from_value(json)
        .map_err(|_| format!("{NOT_PROMETHEUS}: its members have other types"))?;
    if status == "error" {
        return Err(excerpt(format!("{error_type}: {error}").as_bytes(), SHOWN));
    }
    let data = data.ok_or_else(|| format!("{NOT_PROMETHEUS}: it has no data"))?;
    refuse_other_samples(&data)?;
    // The parser's own words would repeat what it found.
    let result: PromqlResult = serde_json::from_value(data)
        .map_err(|_| format!("{NOT_PROMETHEUS}: its data are neither a number nor series of numbers"))?;
    match result.data() {
        Data::Scalar(sample) => Ok(Measured::number(sample.value())),
        Data::Matrix(_) => Err(MULTIPLE.to_owned()),
        Data::Vector(series) => match series.as_slice() {
            [] => Ok(Measured::NoData(no_values(&warnings))),
            [one] => Ok(Measured::number(one.sample().value())),
            many => Err(format!("{MULTIPLE}: {} series, make them one with sum() or max()", many.len())),
        },
    }
}

/// Samples that are no single number, told apart before their shape becomes a riddle of the parser.
fn refuse_other_samples(data: &Value) -> Result<(), String> {
    if data.get("resultType").and_then(Value::as_str) == Some("string") {
        return Err("the result is a string, not a number".to_owned());
    }
    for series in data.get("result").and_then(Value::as_array).into_iter().flatten() {
        if series.get("values").is_some() {
            return Err(MULTIPLE.to_owned());
        }
        if series.get("value").is_none()
            && (series.get("histogram").is_some() || series.get("histograms").is_some())
        {
            return Err(
                "the result is a native histogram, take a number from it, with histogram_quantile() for \
                        example"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

/// Begins with the reference's words, which alerts search for.
fn refused(answer: &Answer) -> String {
    let status = answer.status;
    let said = if status < 400 { ELSEWHERE.to_owned() } else { said(&answer.body, SHOWN) };
    format!("error response: Status {status} {}: {said}{}", reason(status), come_back(answer))
}

const NOT_PROMETHEUS: &str = "the answer is not one of Prometheus";

fn no_values(warnings: &[String]) -> String {
    match warnings.first() {
        None => NO_VALUES.to_owned(),
        Some(warning) => format!("{NO_VALUES} ({})", excerpt(warning.as_bytes(), SHOWN)),
    }
}
