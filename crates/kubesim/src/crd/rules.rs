//! `x-kubernetes-validations`: rules in CEL, evaluated with `self` and `oldSelf` as an API server binds them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use chrono::DateTime;
use kube_cel::KubeCelExt as _;
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use kube_cel::cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::Value;

use super::super::error::FieldError;
use super::formats;
use super::schema::Schema;
use super::validate::Twins;

/// One rule. It is compiled when it is first needed: most are never met.
pub(super) struct Rule {
    text: String,
    message: Option<String>,
    message_expression: Option<String>,
    reason: String,
    field_path: String,
    optional_old_self: bool,
    program: OnceLock<Result<Program, String>>,
    message_program: OnceLock<Option<Program>>,
}

impl Rule {
    pub fn read(rule: &Value, path: &str) -> Result<Self, String> {
        let text = |field: &str| rule[field].as_str().filter(|t| !t.trim().is_empty()).map(String::from);
        Ok(Self {
            text: text("rule")
                .ok_or_else(|| format!("{path}.rule: Required value: rule is not specified"))?,
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: text("reason").unwrap_or_default(),
            field_path: text("fieldPath").unwrap_or_default(),
            optional_old_self: rule["optionalOldSelf"] == true,
            program: OnceLock::new(),
            message_program: OnceLock::new(),
        })
    }

    fn program(&self) -> Result<&Program, &str> {
        let compiled = self.program.get_or_init(|| compile(&self.text));
        compiled.as_ref().map_err(String::as_str)
    }

    /// What is wrong with the value that `scope` binds to `self`; `None` if the rule holds.
    fn violation(&self, scope: &Context<'_>, old: Option<&Cel>) -> Option<String> {
        let program = match self.program() {
            Ok(program) => program,
            Err(why) => return Some(format!("rule compile error: {why}")),
        };
        let mut scope = scope.new_inner_scope();
        match old {
            _ if self.optional_old_self => {
                let old = old.cloned().map_or_else(OptionalValue::none, OptionalValue::of);
                scope.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(old)));
            }
            Some(old) => scope.add_variable_from_value("oldSelf", old.clone()),
            None if program.references().has_variable("oldSelf") => return None,
            None => {}
        }
        let scope = &scope;
        match program.execute(scope) {
            Ok(Cel::Bool(true)) => None,
            Ok(Cel::Bool(false)) => Some(self.explain(scope)),
            // A function of newer servers that the interpreter lacks: the rule cannot be judged.
            Err(ExecutionError::UndeclaredReference(_)) => None,
            Ok(_) => Some(format!("rule does not evaluate to a boolean: {}", self.text)),
            Err(why) => Some(format!("{why} evaluating rule: {}", self.explain(scope))),
        }
    }

    fn explain(&self, scope: &Context<'_>) -> String {
        let program = self
            .message_program
            .get_or_init(|| self.message_expression.as_ref().and_then(|text| compile(text).ok()));
        if let Some(Ok(Cel::String(text))) = program.as_ref().map(|p| p.execute(scope)) {
            return text.trim().to_string();
        }
        match &self.message {
            Some(message) => message.trim().to_string(),
            None => format!("failed rule: {}", self.text.trim()),
        }
    }

    fn error(&self, path: &str, type_: &str, message: &str) -> FieldError {
        let path = match (path, self.field_path.as_str()) {
            ("", "") => "<nil>".to_string(),
            ("", below) => below.trim_start_matches('.').to_string(),
            (path, below) => format!("{path}{below}"),
        };
        let found = Value::from(type_);
        match self.reason.as_str() {
            "FieldValueForbidden" => FieldError::forbidden(path, message),
            "FieldValueRequired" => FieldError::required(path, message),
            "FieldValueDuplicate" => FieldError::duplicate(path, &found),
            _ => FieldError::invalid(path, &found, message),
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("text", &self.text).finish_non_exhaustive()
    }
}

/// How deep a rule may be nested: more than any real one is.
const DEEPEST: usize = 40;

/// How deep a rule is parsed on the stack that is there. In a debug build each bracket takes some 150 KB of it.
const SHALLOW: usize = 5;

/// Compiles a rule. Deep ones get a stack of their own: the parser would overflow that of a runtime's thread.
fn compile(text: &str) -> Result<Program, String> {
    const STACK: usize = 32 << 20;
    let parse = || Program::compile(text).map_err(|why| why.to_string());
    let depth = depth(text);
    if depth <= SHALLOW {
        return parse();
    }
    if depth > DEEPEST {
        return Err(format!("the rule is nested more than {DEEPEST} deep"));
    }
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, parse);
        match parser.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(_)) => Err("the parser gave up".into()),
            Err(why) => Err(format!("the parser could not be started: {why}")),
        }
    })
}

/// How deep the parser has to go, at most.
fn depth(text: &str) -> usize {
    let (mut here, mut deepest) = (0_usize, 0);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => here += 1,
            ')' | ']' | '}' => here = here.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(here);
    }
    // Conditions nest to the right.
    deepest + text.matches('?').count().saturating_sub(1)
}

/// The rules that the object breaks.
pub(super) fn errors(schema: &Schema, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    thread_local! {
        // The functions are many; making them anew for each object costs more than the rules themselves.
        static FUNCTIONS: Context<'static> = Context::default().with_all();
    }
    let mut errors = Vec::new();
    FUNCTIONS.with(|functions| walk(schema, new, old, "", functions, &mut errors));
    errors
}

fn walk(
    schema: &Schema,
    new: &Value,
    old: Option<&Value>,
    path: &str,
    functions: &Context<'_>,
    errors: &mut Vec<FieldError>,
) {
    if !schema.has_rules || new.is_null() || old == Some(new) {
        return;
    }
    check(schema, new, old, path, functions, errors);
    match new {
        Value::Object(fields) => {
            for (name, value) in fields {
                let Some(below) = schema.field(name) else { continue };
                let here = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(below, value, old.and_then(|o| o.get(name)), &here, functions, errors);
            }
        }
        Value::Array(items) => {
            let Some(item) = &schema.items else { return };
            let twins = Twins::of(&schema.list, old);
            for (i, value) in items.iter().enumerate() {
                walk(item, value, twins.of_item(value), &format!("{path}[{i}]"), functions, errors);
            }
        }
        _ => {}
    }
}

fn check(
    schema: &Schema,
    new: &Value,
    old: Option<&Value>,
    path: &str,
    functions: &Context<'_>,
    errors: &mut Vec<FieldError>,
) {
    if schema.rules.is_empty() {
        return;
    }
    let mut scope = functions.new_inner_scope();
    scope.add_variable_from_value("self", to_cel(new, Some(schema)));
    let old = old.map(|old| to_cel(old, Some(schema)));
    for rule in &schema.rules {
        if let Some(message) = rule.violation(&scope, old.as_ref()) {
            errors.push(rule.error(path, &schema.type_, &message));
        }
    }
}

/// A value as CEL sees it: numbers and times typed by the schema, field names escaped.
fn to_cel(value: &Value, schema: Option<&Schema>) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(yes) => Cel::Bool(*yes),
        Value::Number(number) => match (number.as_i64(), schema) {
            (Some(whole), Some(s)) if s.type_ == "number" => Cel::Float(whole as f64),
            (Some(whole), _) => Cel::Int(whole),
            (None, Some(s)) if s.type_ == "integer" => number
                .as_f64()
                .filter(|f| f.fract() == 0.0)
                .map_or(Cel::Float(f64::NAN), |f| Cel::Int(f as i64)),
            (None, _) => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => text_to_cel(text, schema),
        Value::Array(items) => {
            let item = schema.and_then(|s| s.items.as_deref());
            Cel::List(Arc::new(items.iter().map(|i| to_cel(i, item)).collect()))
        }
        Value::Object(fields) => {
            let keep_names = schema.is_none_or(Schema::is_map);
            let map: HashMap<Key, Cel> = fields
                .iter()
                .map(|(name, value)| {
                    let key = if keep_names { name.clone() } else { escaped(name) };
                    (Key::String(Arc::new(key)), to_cel(value, schema.and_then(|s| s.field(name))))
                })
                .collect();
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

fn text_to_cel(text: &str, schema: Option<&Schema>) -> Cel {
    let typed = match schema.filter(|s| !s.int_or_string).map(|s| s.format.as_str()) {
        Some("date-time" | "datetime") => DateTime::parse_from_rfc3339(text).ok().map(Cel::Timestamp),
        Some("duration") => formats::duration(text).map(Cel::Duration),
        Some("byte") => base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Cel::Bytes(Arc::new(bytes))),
        _ => None,
    };
    typed.unwrap_or_else(|| Cel::String(Arc::new(text.to_string())))
}

/// How a rule has to spell a field whose name is a word or has signs of the language.
fn escaped(name: &str) -> String {
    const WORDS: &[&str] = &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if WORDS.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
