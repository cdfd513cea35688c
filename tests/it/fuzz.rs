//! The fuzz targets over a fixed number of inputs, each made from the corpus by a generator with a seed: what
//! `make fuzz` looks for at length, in a few seconds and always the same.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rstest::rstest;
use serde_json::{Value, json};

#[path = "../../fuzz/subjects.rs"]
mod subjects;

#[rstest]
#[case::canary("canary", subjects::canary, 3_000)]
#[case::template("template", subjects::template, 3_000)]
#[case::loadtester("loadtester", subjects::loadtester, 5_000)]
#[case::metrics("metrics", subjects::metrics, 5_000)]
#[case::hook("hook", subjects::hook, 5_000)]
#[case::receiver("receiver", subjects::receiver, 3_000)]
#[case::request("request", subjects::request, 5_000)]
#[case::gate("gate", subjects::gate, 5_000)]
#[case::concord("concord", subjects::concord, 5_000)]
#[case::ngrinder("ngrinder", subjects::ngrinder, 5_000)]
fn what_strangers_send_is_borne(#[case] name: &str, #[case] subject: fn(&[u8]), #[case] count: usize) {
    let corpus = corpus(name);
    let mut chance = Chance(0x5eed_0000 + u64::try_from(name.len()).expect("a short name"));
    let made = (0..count).map(|_| chance.variation(&corpus)).collect::<Vec<_>>();
    for input in corpus.iter().chain(&made) {
        let outcome = catch_unwind(AssertUnwindSafe(|| subject(input)));
        assert!(outcome.is_ok(), "{name} falls over {:?}", String::from_utf8_lossy(input));
    }
}

/// The inputs that were kept, in the order of their names.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder}: {error}")).flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder} is empty");
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

/// Numbers that look like chance and are not (xorshift).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or_default() % limit.max(1)
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// One of the corpus, changed a few times: as JSON if it is that, also behind the two bytes of a status, or byte by byte.
    fn variation(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = self.of(corpus);
        for _ in 0..=self.below(4) {
            let json = |from: usize| {
                serde_json::from_slice::<Value>(bytes.get(from..)?).ok().map(|json| (from, json))
            };
            bytes = match json(0).or_else(|| json(2)) {
                Some((from, mut value)) if self.below(4) > 0 => {
                    self.change(&mut value);
                    [&bytes[..from], value.to_string().as_bytes()].concat()
                }
                _ => self.changed(bytes, corpus),
            };
        }
        bytes
    }

    /// Puts something odd in the place of a part of `value`.
    fn change(&mut self, value: &mut Value) {
        let deeper = self.below(6) > 0;
        match value {
            Value::Object(fields) if deeper && !fields.is_empty() => {
                let at = self.below(fields.len());
                if let Some(field) = fields.values_mut().nth(at) {
                    self.change(field);
                }
            }
            Value::Array(items) if deeper && !items.is_empty() => {
                let at = self.below(items.len());
                self.change(&mut items[at]);
            }
            other => *other = self.oddity(),
        }
    }

    fn oddity(&mut self) -> Value {
        let text = |text: &str| Value::String(text.to_owned());
        match self.below(14) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(u64::MAX),
            4 => json!(i64::MIN),
            5 => json!(1e308),
            6 => json!([]),
            7 => json!({}),
            8 => text(""),
            9 => text(&"é".repeat(1_000)),
            10 => text("99999999999999999999h"),
            11 => text("../../../\u{0}\n\u{202e}"),
            12 => json!([[[[[[{"a": [null]}]]]]]]),
            _ => text("http://[::1]:99999/%"),
        }
    }

    fn changed(&mut self, mut bytes: Vec<u8>, corpus: &[Vec<u8>]) -> Vec<u8> {
        const TOKENS: [&[u8]; 10] = [
            b"{{",
            b"}}",
            b"\"",
            b"[",
            b"{",
            b"\0",
            b"\xff\xfe",
            b"NaN",
            b"99999999999999999999",
            b"\xe2\x80\xa8",
        ];
        let at = self.below(bytes.len() + 1);
        match self.below(6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap_or_default(),
            2 => {
                let end = (at + self.below(20)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + self.below(200)).min(bytes.len());
                let part = bytes[at..end].to_vec();
                for _ in 0..self.below(50) {
                    bytes.splice(at..at, part.iter().copied());
                }
            }
            4 => {
                let other = self.of(corpus);
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            _ => {
                let token = self.of(&TOKENS);
                bytes.splice(at..at, token.iter().copied());
            }
        }
        bytes
    }
}
