//! The stream of a computation: server-sent events, up to the one that ends the channel.
//!
//! ```text
//! event: data
//! data: {"logicalTimestampMs": 1792000000000, "data": [{"tsId": "AAAA", "value": 98.5}]}
//!
//! event: control-message
//! data: {"event": "END_OF_CHANNEL"}
//!
//! ```

use serde::Deserialize;
use serde_json::Value;

use crate::metrics::shared::{MULTIPLE, NO_VALUES, SHOWN, typed};
use crate::model::answer::{Measured, excerpt, said};

/// The newest value of the one series.
pub(super) fn read(body: &[u8]) -> Result<Measured, String> {
    let text = String::from_utf8_lossy(body);
    let mut series: Option<String> = None;
    let mut newest = None;
    for Event { name, data } in events(&text) {
        match name {
            "data" => {
                for Point { series: id, value } in typed::<Data>(json(&data)?)?.data {
                    let Some(value) = number(&value)? else { continue };
                    if series.as_ref().is_some_and(|known| *known != id) {
                        return Err(format!("{MULTIPLE}: make the series one with sum() or max()"));
                    }
                    (series, newest) = (Some(id), Some(value));
                }
            }
            "control-message" => match json(&data)?["event"].as_str() {
                Some("END_OF_CHANNEL") => {
                    return Ok(
                        newest.map_or_else(|| Measured::NoData(NO_VALUES.to_owned()), Measured::number)
                    );
                }
                Some("CHANNEL_ABORT") => return Err(failed(&data)),
                _ => {}
            },
            "error" => return Err(failed(&data)),
            _ => {}
        }
    }
    // What came instead may come from anywhere: it is in the log at level debug.
    Err(match body.trim_ascii().len() {
        0 => "the answer is empty".to_owned(),
        size => format!("the stream of {size} bytes ended before its channel, or is none"),
    })
}

/// A message of the stream.
struct Event<'a> {
    name: &'a str,
    data: String,
}

/// The events that are complete: the empty line behind them has come.
fn events(text: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    let (mut name, mut data) = ("message", Vec::new());
    // What stands behind the last line feed is not a whole line.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    for line in whole.lines() {
        if line.is_empty() {
            if !data.is_empty() {
                events.push(Event { name, data: data.join("\n") });
            }
            (name, data) = ("message", Vec::new());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => data.push(value),
            _ => {}
        }
    }
    events
}

/// Values of one moment.
#[derive(Deserialize)]
struct Data {
    data: Vec<Point>,
}

#[derive(Deserialize)]
struct Point {
    #[serde(rename = "tsId")]
    series: String,
    #[serde(default)]
    value: Value,
}

fn number(value: &Value) -> Result<Option<f64>, String> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        Value::String(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(unsupported(value)),
        },
        _ => Err(unsupported(value)),
    }
}

fn unsupported(value: &Value) -> String {
    format!("invalid response: UnsupportedValueType {}", excerpt(value.to_string().as_bytes(), 80))
}

fn json(data: &str) -> Result<Value, String> {
    serde_json::from_str(data)
        .map_err(|_| format!("invalid response: an event of {} bytes holds no JSON", data.len()))
}

/// The words of an error, wherever the service puts them.
fn failed(data: &str) -> String {
    let json: Value = serde_json::from_str(data).unwrap_or_default();
    let places = ["/message", "/abortInfo/sf_job_abortReason", "/errors/0/message", "/errors/0/code"];
    let words = places.iter().find_map(|place| json.pointer(place).and_then(Value::as_str));
    format!("error executing query: {}", said(words.unwrap_or(data).as_bytes(), SHOWN))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const END: &str = "event: control-message\ndata: {\"event\":\"END_OF_CHANNEL\"}\n\n";

    fn point(series: &str, value: &str) -> String {
        format!("event: data\ndata: {{\"data\":[{{\"tsId\":\"{series}\",\"value\":{value}}}]}}\n\n")
    }

    #[rstest]
    #[case::last_payload(point("A", "1") + &point("A", "2.5") + END, Ok(Measured::Value(2.5)))]
    #[case::null_is_skipped(point("A", "1") + &point("A", "null") + END, Ok(Measured::Value(1.0)))]
    #[case::whole_numbers(point("A", "-7") + END, Ok(Measured::Value(-7.0)))]
    #[case::nan(point("A", "\"NaN\"") + END, Ok(Measured::NotANumber))]
    #[case::nothing(END.to_owned(), Ok(Measured::NoData("no values found".into())))]
    #[case::two_series(point("A", "1") + &point("B", "2") + END, Err("query returned multiple values: make the series one with sum() or max()"))]
    #[case::other_type(point("A", "[1]") + END, Err("invalid response: UnsupportedValueType [1]"))]
    #[case::word(point("A", "\"much\"") + END, Err("invalid response: UnsupportedValueType \"much\""))]
    #[case::not_ended(point("A", "1"), Err("the stream of 51 bytes ended before its channel, or is none"))]
    fn the_last_payload_of_one_series_counts(#[case] body: String, #[case] expected: Result<Measured, &str>) {
        // spec: 04/PR-31
        assert_eq!(expected.map_err(str::to_owned), read(body.as_bytes()));
    }

    #[rstest]
    #[case::error(
        "event: error\ndata: {\"error\":400,\"message\":\"Unknown metric\"}\n\n",
        "error executing query: Unknown metric"
    )]
    #[case::abort(
        "event: control-message\ndata: {\"event\":\"CHANNEL_ABORT\",\"abortInfo\":{\"sf_job_abortReason\":\"too many series\"}}\n\n",
        "error executing query: too many series"
    )]
    #[case::code(
        "event: error\ndata: {\"errors\":[{\"code\":\"ANALYTICS_INTERNAL_ERROR\"}]}\n\n",
        "error executing query: ANALYTICS_INTERNAL_ERROR"
    )]
    #[case::other("event: error\ndata: what?\n\n", "error executing query: what?")]
    fn an_error_within_the_stream_is_one(#[case] event: &str, #[case] expected: &str) {
        assert_eq!(Err(expected.to_owned()), read((point("A", "1") + event + END).as_bytes()));
    }

    #[test]
    fn events_are_read_as_servers_write_them() {
        let body = ": hello\r\n\r\nevent:data\r\ndata: {\"data\":\r\ndata:  [{\"tsId\":\"A\",\"value\":3}]}\r\nid: 4\r\n\r\n\
                    event: metadata\r\ndata: {}\r\n\r\nevent: control-message\r\ndata: {\"event\":\"END_OF_CHANNEL\"}\r\n\r\n";
        assert_eq!(Ok(Measured::Value(3.0)), read(body.as_bytes()));
    }
}
