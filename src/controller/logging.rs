//! The controller's log: one line an event on standard error, with the keys and their order that log pipelines of
//! the reference's users know (spec 01 §5.5): `level`, `ts`, `caller`, `msg`, `canary`, then what else there is.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::str::FromStr;

use chrono::SecondsFormat;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::clock::Clock;

/// The least serious level whose lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Every line.
    Debug,
    /// Lines about what happens, and worse.
    #[default]
    Info,
    /// Lines about what is wrong, and worse.
    Warn,
    /// Lines about errors. The flag's values `fatal` and `panic` mean this level as well, as Vexil has no worse ones.
    Error,
}

impl FromStr for Verbosity {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        match text {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "fatal" | "panic" => Ok(Self::Error),
            _ => Err(UnknownLevel(text.to_owned())),
        }
    }
}

/// The error for a level that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown log level {0:?} (use debug, info, warn or error)")]
pub struct UnknownLevel(pub String);

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON object a line.
    #[default]
    Json,
    /// Columns for people, separated by tabs.
    Console,
}

/// A subscriber that writes to `out`. Lines of the libraries below us are only written from `warn` on.
pub fn subscriber<W>(
    verbosity: Verbosity,
    encoding: Encoding,
    clock: Clock,
    out: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let ours = match verbosity {
        Verbosity::Debug => LevelFilter::DEBUG,
        Verbosity::Info => LevelFilter::INFO,
        Verbosity::Warn => LevelFilter::WARN,
        Verbosity::Error => LevelFilter::ERROR,
    };
    let filter =
        Targets::new().with_target(env!("CARGO_CRATE_NAME"), ours).with_default(ours.min(LevelFilter::WARN));
    tracing_subscriber::registry().with(Lines { encoding, clock, out }.with_filter(filter))
}

struct Lines<W> {
    encoding: Encoding,
    clock: Clock,
    out: W,
}

impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut all = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                all.named.extend(fields.named.clone());
            }
        }
        event.record(&mut all);
        let time = self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut line = match self.encoding {
            Encoding::Json => json_line(&time, event.metadata(), all),
            Encoding::Console => console_line(&time, event.metadata(), all),
        };
        line.push('\n');
        // There is nobody left to tell if the log cannot be written.
        let _ = self.out.make_writer_for(event.metadata()).write_all(line.as_bytes());
    }
}

fn json_line(time: &str, metadata: &Metadata<'_>, mut fields: Fields) -> String {
    let mut line = format!("{{\"level\":\"{}\",\"ts\":\"{time}\"", level(metadata));
    let mut add = |key: &str, value: &Value| {
        // Writing to a string cannot fail.
        let _ = write!(line, ",{}:{value}", json!(key));
    };
    add("caller", &json!(caller(metadata)));
    add("msg", &json!(fields.message));
    if let Some(canary) = fields.named.remove("canary") {
        add("canary", &canary);
    }
    for (key, value) in &fields.named {
        add(key, value);
    }
    line.push('}');
    line
}

fn console_line(time: &str, metadata: &Metadata<'_>, fields: Fields) -> String {
    let mut line = format!("{time}\t{}\t{}\t{}", level(metadata), caller(metadata), fields.message);
    if !fields.named.is_empty() {
        let _ = write!(line, "\t{}", json!(fields.named));
    }
    line
}

fn level(metadata: &Metadata<'_>) -> &'static str {
    match *metadata.level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// `<dir>/<file>:<line>`
fn caller(metadata: &Metadata<'_>) -> String {
    let path = metadata.file().unwrap_or("unknown");
    let from = path.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
    format!("{}:{}", &path[from..], metadata.line().unwrap_or_default())
}

/// The fields of a span or an event. Keys of ours that a field would double are kept apart by an underscore.
#[derive(Clone, Default)]
struct Fields {
    message: String,
    named: BTreeMap<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            name @ ("level" | "ts" | "caller" | "msg") => drop(self.named.insert(format!("{name}_"), value)),
            name => drop(self.named.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no NaN: then the word.
        let number = serde_json::Number::from_f64(value);
        self.put(field, number.map_or_else(|| json!(value.to_string()), Value::Number));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, json!(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, json!(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, json!(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, json!(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, json!(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use rstest::rstest;
    use tracing::{debug, error, info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `speak` makes the log say.
    async fn logged(verbosity: Verbosity, encoding: Encoding, speak: impl FnOnce()) -> String {
        let sink = Sink::default();
        let out = sink.clone();
        let clock = Clock::starting_at("2026-07-21T10:00:00.0425Z".parse().expect("a time"));
        tracing::subscriber::with_default(subscriber(verbosity, encoding, clock, move || out.clone()), speak);
        String::from_utf8(sink.0.lock().expect("no panic").clone()).expect("text")
    }

    /// The line without the number of the source line, which changes.
    fn without_line_number(line: &str) -> String {
        let (before, after) = line.split_once("logging.rs:").expect("a caller");
        format!("{before}logging.rs{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_json_with_the_keys_in_order() {
        // spec: 01/API-097
        let text = logged(Verbosity::Info, Encoding::Json, || {
            let span = info_span!("canary", canary = "frontend.shop", revision = tracing::field::Empty);
            span.record("revision", "5d4f");
            span.in_scope(|| info!(weight = 20, passed = true, "Advance \"frontend\"\ncanary weight {}", 20));
        })
        .await;
        assert_eq!(
            "{\"level\":\"info\",\"ts\":\"2026-07-21T10:00:00.042Z\",\"caller\":\"controller/logging.rs\",\
             \"msg\":\"Advance \\\"frontend\\\"\\ncanary weight 20\",\"canary\":\"frontend.shop\",\
             \"passed\":true,\"revision\":\"5d4f\",\"weight\":20}\n",
            without_line_number(&text)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_console_form_has_columns() {
        let text =
            logged(Verbosity::Info, Encoding::Console, || warn!(canary = "frontend.shop", "look here")).await;
        assert_eq!(
            "2026-07-21T10:00:00.042Z\twarn\tcontroller/logging.rs\tlook here\t{\"canary\":\"frontend.shop\"}\n",
            without_line_number(&text)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_line_can_be_parsed_whatever_the_fields_are() {
        let text = logged(Verbosity::Info, Encoding::Json, || {
            info!(ts = "mine", level = 3, value = f64::NAN, name = ?Some("x"), "a tab\there, a quote \" and \u{1}");
        })
        .await;
        let line: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            ("info", "2026-07-21T10:00:00.042Z"),
            (line["level"].as_str().unwrap(), line["ts"].as_str().unwrap())
        );
        assert_eq!(
            json!(["mine", 3, "NaN", "Some(\"x\")"]),
            json!([line["ts_"], line["level_"], line["value"], line["name"]])
        );
    }

    #[rstest]
    #[case("debug", &["debug", "info", "warn", "error"])]
    #[case("info", &["info", "warn", "error"])]
    #[case("warn", &["warn", "error"])]
    #[case("warning", &["warn", "error"])]
    #[case("error", &["error"])]
    #[case("fatal", &["error"])]
    #[case("panic", &["error"])]
    #[tokio::test(start_paused = true)]
    async fn a_level_shows_itself_and_all_above(#[case] level: &str, #[case] shown: &[&str]) {
        // spec: 01/API-097 01/API-098
        let text = logged(level.parse().expect("a level"), Encoding::Json, || {
            debug!("a");
            info!("b");
            warn!("c");
            error!("d");
        })
        .await;
        let levels: Vec<String> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).expect("JSON")["level"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(shown, levels);
    }

    #[tokio::test(start_paused = true)]
    async fn libraries_are_only_heard_when_they_warn() {
        let text = logged(Verbosity::Debug, Encoding::Json, || {
            info!(target: "kube_client::client", "chatter");
            warn!(target: "kube_client::client", "trouble");
        })
        .await;
        assert!(text.contains("trouble") && !text.contains("chatter"), "{text}");
    }

    #[test]
    fn an_unknown_level_says_which_there_are() {
        let error = "loud".parse::<Verbosity>().expect_err("no such level");
        assert_eq!("unknown log level \"loud\" (use debug, info, warn or error)", error.to_string());
    }
}
