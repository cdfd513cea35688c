//! What a message of the API looks like: the numbers, names and types of its fields.

/// One message: the fields of an object, in order of their numbers.
#[derive(Debug)]
pub struct Message {
    pub fields: &'static [Field],
}

impl Message {
    /// The field of that number, if the API has one.
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        let at = self.fields.binary_search_by_key(&number, |field| field.number).ok()?;
        self.fields.get(at)
    }
}

/// One field of a message.
#[derive(Debug)]
pub struct Field {
    pub number: u32,
    /// The field's name in JSON; empty where its fields belong to the object around it.
    pub name: &'static str,
    pub shape: Shape,
    pub content: Type,
}

/// How often a field may occur, and what becomes of a zero value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// JSON leaves the field out while it is empty, zero or false.
    One,
    /// JSON tells a zero value like any other, for it differs from an absent one.
    ZeroToo,
    /// A list.
    List,
    /// An object of values by key.
    Map,
    /// The fields of this message stand in the object around it.
    Inline,
}

/// What a field holds, on the wire and in JSON.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    Text,
    /// Bytes, which JSON tells in base64.
    Bytes,
    Bool,
    Int,
    Double,
    /// A message around a list of texts.
    Texts,
    /// Seconds since 1970, which JSON tells as RFC 3339.
    Time,
    /// As [`Type::Time`], with microseconds.
    MicroTime,
    /// A message around a text such as `500m`.
    Quantity,
    /// A number or a text, such as `8080` or `25%`.
    IntOrString,
    /// A message around JSON.
    Json,
    /// A message around any object of the API, as JSON or as protobuf.
    Raw,
    Object(&'static Message),
    /// A schema, or a word whether anything may stand there.
    SchemaOrBool(&'static Message),
    /// A schema, or a list of them.
    SchemaOrSchemas(&'static Message),
    /// A schema, or a list of names.
    SchemaOrTexts(&'static Message),
}

pub const fn one(number: u32, name: &'static str, content: Type) -> Field {
    Field { number, name, shape: Shape::One, content }
}

pub const fn zero_too(number: u32, name: &'static str, content: Type) -> Field {
    Field { number, name, shape: Shape::ZeroToo, content }
}

pub const fn list(number: u32, name: &'static str, content: Type) -> Field {
    Field { number, name, shape: Shape::List, content }
}

pub const fn map(number: u32, name: &'static str, content: Type) -> Field {
    Field { number, name, shape: Shape::Map, content }
}

pub const fn inline(number: u32, name: &'static str, content: Type) -> Field {
    Field { number, name, shape: Shape::Inline, content }
}
