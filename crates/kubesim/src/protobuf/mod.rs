//! Request bodies in protobuf, which Go's clients and `kubectl create` send, become the JSON that the server works on.
//!
//! Such a body is four bytes of magic and an envelope (`runtime.Unknown`) that names apiVersion and kind; inside is the
//! message of that kind. Which fields it has is in [`messages`], a table generated from the Go types; the result is
//! what a Go client would have sent as JSON, without its nulls.

mod messages;
mod schema;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};
use thiserror::Error;

use self::schema::{Field, Message, Shape, Type};
use self::wire::{Content, Fields, varint};

/// What each such body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How deep messages may be nested: what Go's JSON and protobuf's own libraries allow, roughly, and little enough
/// for any stack.
const DEPTH: usize = 100;

/// Why a body cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{}{why}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct Malformed {
    /// e.g. `spec.replicas`; empty for the body itself.
    path: String,
    why: String,
}

impl Malformed {
    fn new(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: why.into() }
    }

    fn within(mut self, name: &str) -> Self {
        match self.path.as_str() {
            "" => self.path = name.to_owned(),
            _ if name.is_empty() => {}
            inner => self.path = format!("{name}.{inner}"),
        }
        self
    }
}

/// The object of a body, as JSON.
pub fn to_json(body: &[u8]) -> Result<Value, Malformed> {
    envelope(body, 0)
}

fn envelope(body: &[u8], depth: usize) -> Result<Value, Malformed> {
    let inner = body.strip_prefix(MAGIC);
    let inner = inner.ok_or_else(|| Malformed::new("protobuf of Kubernetes begins with \"k8s\\0\""))?;
    let (mut api_version, mut kind, mut raw, mut encoding) = ("", "", &[][..], "");
    for field in Fields::of(inner) {
        match field? {
            (1, Content::Bytes(type_meta)) => {
                for field in Fields::of(type_meta) {
                    match field? {
                        (1, content) => api_version = text(content)?,
                        (2, content) => kind = text(content)?,
                        _ => {}
                    }
                }
            }
            (2, Content::Bytes(bytes)) => raw = bytes,
            (3, content) => encoding = text(content)?,
            _ => {}
        }
    }
    if !encoding.is_empty() {
        return Err(Malformed::new(format!("the content encoding {encoding:?} is not known")));
    }
    let known = messages::KINDS.iter().find(|(version, name, _)| *version == api_version && *name == kind);
    let Some((_, _, message)) = known else {
        let why = format!("{kind:?} of {api_version:?} is not read from protobuf: send application/json");
        return Err(Malformed::new(why));
    };
    let mut out = Map::new();
    out.insert("apiVersion".into(), json!(api_version));
    out.insert("kind".into(), json!(kind));
    object(message, raw, &mut out, depth + 1)?;
    Ok(Value::Object(out))
}

/// Adds the fields of a message to an object. A field that the API does not know is left out, as a server does
/// that is older than its client.
fn object(
    message: &Message,
    bytes: &[u8],
    out: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), Malformed> {
    if depth > DEPTH {
        return Err(Malformed::new(format!("messages are nested deeper than {DEPTH}")));
    }
    for field in Fields::of(bytes) {
        let (number, content) = field?;
        if let Some(field) = message.field(number) {
            add(field, content, out, depth).map_err(|why| why.within(field.name))?;
        }
    }
    Ok(())
}

fn add(
    field: &Field,
    content: Content<'_>,
    out: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), Malformed> {
    match (field.shape, field.content) {
        (Shape::Inline, Type::Object(message)) => object(message, bytes(content)?, out, depth + 1)?,
        (Shape::List, Type::Int) if matches!(content, Content::Bytes(_)) => {
            // Numbers of a list may stand packed in one field.
            let mut packed = bytes(content)?;
            while !packed.is_empty() {
                let number = varint(&mut packed)?;
                push(out, field.name, json!(number.cast_signed()));
            }
        }
        (Shape::List, of) => {
            // A null would move the places of those that follow.
            let item = value(of, content, depth)?.unwrap_or(Value::Null);
            push(out, field.name, item);
        }
        (Shape::Map, of) => {
            let (key, item) = entry(of, bytes(content)?, depth)?;
            if let Some(entries) = slot(out, field.name, || Value::Object(Map::new())).as_object_mut() {
                entries.insert(key, item);
            }
        }
        // What is told twice is one message in two parts.
        (_, Type::Object(message)) => {
            let place = slot(out, field.name, || Value::Object(Map::new()));
            if let Some(fields) = place.as_object_mut() {
                object(message, bytes(content)?, fields, depth + 1)?;
            }
        }
        (shape, of) => match value(of, content, depth)? {
            Some(told) if shape != Shape::One || !is_zero(of, &told) => {
                drop(out.insert(field.name.into(), told))
            }
            _ => drop(out.remove(field.name)),
        },
    }
    Ok(())
}

fn slot<'a>(out: &'a mut Map<String, Value>, name: &str, empty: fn() -> Value) -> &'a mut Value {
    out.entry(name).or_insert_with(empty)
}

fn push(out: &mut Map<String, Value>, name: &str, item: Value) {
    if let Some(items) = slot(out, name, || json!([])).as_array_mut() {
        items.push(item);
    }
}

fn entry(of: Type, message: &[u8], depth: usize) -> Result<(String, Value), Malformed> {
    let (mut key, mut told) = ("", None);
    for field in Fields::of(message) {
        match field? {
            (1, content) => key = text(content)?,
            (2, content) => told = value(of, content, depth).map_err(|why| why.within(key))?,
            _ => {}
        }
    }
    let absent = || match of {
        Type::Text | Type::Bytes => json!(""),
        Type::Quantity => json!("0"),
        Type::Bool => json!(false),
        Type::Int | Type::Double | Type::IntOrString => json!(0),
        Type::Texts => json!([]),
        _ => json!({}),
    };
    Ok((key.to_owned(), told.unwrap_or_else(absent)))
}

/// Whether JSON of a Go client leaves this value out where it may. Messages are always told.
fn is_zero(of: Type, value: &Value) -> bool {
    match of {
        Type::Text | Type::Bytes => value == "",
        Type::Bool => value == false,
        Type::Int => value.as_i64() == Some(0),
        Type::Double => value.as_f64() == Some(0.0),
        Type::Texts => value.as_array().is_some_and(Vec::is_empty),
        _ => false,
    }
}

/// One value; `None` for what JSON tells as null.
fn value(of: Type, content: Content<'_>, depth: usize) -> Result<Option<Value>, Malformed> {
    let told = match of {
        Type::Text => json!(text(content)?),
        Type::Bytes => json!(BASE64.encode(bytes(content)?)),
        Type::Bool => json!(number(content)? != 0),
        Type::Int => json!(number(content)?),
        Type::Double => double(content)?,
        Type::Texts => {
            let items: Result<Vec<_>, _> = occurrences(content, 1).map(|item| text(item?)).collect();
            json!(items?)
        }
        Type::Time => return time(content, SecondsFormat::Secs),
        Type::MicroTime => return time(content, SecondsFormat::Micros),
        Type::Quantity => json!(last(content, 1)?.map(text).transpose()?.unwrap_or("0")),
        Type::IntOrString => match last(content, 1)?.map(number).transpose()?.unwrap_or_default() {
            0 => json!(last(content, 2)?.map(number).transpose()?.unwrap_or_default()),
            _ => json!(last(content, 3)?.map(text).transpose()?.unwrap_or_default()),
        },
        Type::Json => return embedded(content),
        Type::Raw => match last(content, 1)?.map(bytes).transpose()? {
            Some(raw) if raw.starts_with(MAGIC) => envelope(raw, depth + 1)?,
            _ => return embedded(content),
        },
        Type::Object(message) => nested(message, content, depth)?,
        Type::SchemaOrBool(schema) => match last(content, 2)? {
            Some(told) => nested(schema, told, depth)?,
            None => json!(last(content, 1)?.map(number).transpose()?.unwrap_or_default() != 0),
        },
        Type::SchemaOrSchemas(schema) => {
            let all: Result<Vec<_>, _> =
                occurrences(content, 2).map(|item| nested(schema, item?, depth)).collect();
            match (all?, last(content, 1)?) {
                (all, _) if !all.is_empty() => Value::Array(all),
                (_, Some(told)) => nested(schema, told, depth)?,
                _ => return Ok(None),
            }
        }
        Type::SchemaOrTexts(schema) => {
            let all: Result<Vec<_>, _> = occurrences(content, 2).map(|item| text(item?)).collect();
            match (all?, last(content, 1)?) {
                (all, _) if !all.is_empty() => json!(all),
                (_, Some(told)) => nested(schema, told, depth)?,
                _ => return Ok(None),
            }
        }
    };
    Ok(Some(told))
}

fn nested(message: &Message, content: Content<'_>, depth: usize) -> Result<Value, Malformed> {
    let mut out = Map::new();
    object(message, bytes(content)?, &mut out, depth + 1)?;
    Ok(Value::Object(out))
}

/// JSON within a message.
fn embedded(content: Content<'_>) -> Result<Option<Value>, Malformed> {
    let raw = last(content, 1)?.map(bytes).transpose()?.unwrap_or_default();
    if raw.is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_slice(raw)
        .map_err(|why| Malformed::new(format!("the JSON in it is wrong: {why}")))?;
    Ok(Some(value).filter(|value| !value.is_null()))
}

fn time(content: Content<'_>, precision: SecondsFormat) -> Result<Option<Value>, Malformed> {
    let seconds = last(content, 1)?.map(number).transpose()?.unwrap_or_default();
    let nanos = last(content, 2)?.map(number).transpose()?.unwrap_or_default();
    if (seconds, nanos) == (0, 0) {
        return Ok(None);
    }
    let time = u32::try_from(nanos).ok().and_then(|nanos| DateTime::from_timestamp(seconds, nanos));
    let time = time.ok_or_else(|| Malformed::new(format!("{seconds} s and {nanos} ns are no time")))?;
    Ok(Some(json!(time.to_rfc3339_opts(precision, true))))
}

/// The contents of one field of a message that is told again and again.
fn occurrences<'a>(
    message: Content<'a>,
    number: u32,
) -> impl Iterator<Item = Result<Content<'a>, Malformed>> {
    let (inner, wrong) = match bytes(message) {
        Ok(inner) => (inner, None),
        Err(why) => (&[][..], Some(Err(why))),
    };
    let fields = Fields::of(inner).filter_map(move |field| match field {
        Ok((found, content)) => (found == number).then_some(Ok(content)),
        Err(why) => Some(Err(why)),
    });
    wrong.into_iter().chain(fields)
}

/// The content of one field of a message: the last counts.
fn last(message: Content<'_>, number: u32) -> Result<Option<Content<'_>>, Malformed> {
    occurrences(message, number).try_fold(None, |_, content| content.map(Some))
}

fn bytes(content: Content<'_>) -> Result<&[u8], Malformed> {
    match content {
        Content::Bytes(bytes) => Ok(bytes),
        _ => Err(Malformed::new("a number stands where bytes belong")),
    }
}

fn text(content: Content<'_>) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes(content)?).map_err(|_| Malformed::new("the text is not UTF-8"))
}

fn number(content: Content<'_>) -> Result<i64, Malformed> {
    match content {
        Content::Varint(number) => Ok(number.cast_signed()),
        _ => Err(Malformed::new("something else stands where an integer belongs")),
    }
}

fn double(content: Content<'_>) -> Result<Value, Malformed> {
    let Content::Fixed64(raw) = content else {
        return Err(Malformed::new("something else stands where a number of 64 bits belongs"));
    };
    let number = serde_json::Number::from_f64(f64::from_le_bytes(raw));
    number.map(Value::Number).ok_or_else(|| Malformed::new("the number is not finite"))
}

#[cfg(test)]
mod tests;
