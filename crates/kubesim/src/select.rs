//! Label and field selectors: which objects a list, a watch or a workload means.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Which labels an object must have. The empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// `None` matches nothing: what a missing selector of a workload means.
    requirements: Option<Vec<Requirement>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    Missing,
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Matches every object.
    pub fn everything() -> Self {
        Self { requirements: Some(Vec::new()) }
    }

    /// Matches no object.
    pub fn nothing() -> Self {
        Self { requirements: None }
    }

    /// Reads the form of the `labelSelector` parameter: `a=b,c!=d,e in (f,g),h,!i`.
    ///
    /// # Errors
    /// The text is no selector, or a key or value is no label.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = Words { rest: text, text };
        let mut requirements = Vec::new();
        if words.peek().is_none() {
            return Ok(Self::everything());
        }
        loop {
            requirements.push(words.requirement()?);
            match words.next() {
                None => break,
                Some(",") => {}
                Some(other) => return Err(words.unexpected(other, "',' or the end")),
            }
        }
        Ok(Self { requirements: Some(requirements) })
    }

    /// Reads the form in objects: `matchLabels` and `matchExpressions`. A null selector matches nothing,
    /// an empty one everything.
    ///
    /// # Errors
    /// An operator is unknown, or its values do not fit it.
    pub fn from_object(selector: &Value) -> Result<Self, String> {
        let Some(fields) = selector.as_object() else {
            return match selector {
                Value::Null => Ok(Self::nothing()),
                other => Err(format!("a label selector is an object, not {other}")),
            };
        };
        let mut requirements = Vec::new();
        for (key, value) in fields.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().ok_or_else(|| format!("label {key:?} is not a string"))?;
            check_key(key)?;
            check_value(value)?;
            requirements.push(Requirement { key: key.clone(), test: Test::In([value.into()].into()) });
        }
        for item in fields.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(Requirement::from_expression(item)?);
        }
        Ok(Self { requirements: Some(requirements) })
    }

    /// Reads a plain map of labels, as `spec.selector` of a Service. An empty or missing map matches nothing.
    pub fn from_labels(labels: &Value) -> Self {
        let Some(labels) = labels.as_object().filter(|l| !l.is_empty()) else {
            return Self::nothing();
        };
        let requirement = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            test: Test::In([value.as_str().unwrap_or_default().into()].into()),
        };
        Self { requirements: Some(labels.iter().map(requirement).collect()) }
    }

    /// Whether the selector asks for nothing, so that every object matches.
    #[cfg(feature = "table")]
    pub fn is_everything(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether an object with these labels is meant.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        match &self.requirements {
            None => false,
            Some(all) => all.iter().all(|r| r.test.holds(label(&r.key))),
        }
    }
}

impl Requirement {
    fn from_expression(item: &Value) -> Result<Self, String> {
        let key = item["key"].as_str().unwrap_or_default();
        check_key(key)?;
        let values: BTreeSet<String> = item["values"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|v| v.as_str().map(String::from).ok_or_else(|| format!("value {v} is not a string")))
            .collect::<Result<_, _>>()?;
        for value in &values {
            check_value(value)?;
        }
        let operator = item["operator"].as_str().unwrap_or_default();
        let test = match (operator, values.is_empty()) {
            ("In", false) => Test::In(values),
            ("NotIn", false) => Test::NotIn(values),
            ("In" | "NotIn", true) => {
                return Err("for 'in', 'notin' operators, values set can't be empty".into());
            }
            ("Exists", true) => Test::Exists,
            ("DoesNotExist", true) => Test::Missing,
            ("Exists" | "DoesNotExist", false) => {
                return Err("values set must be empty for exists and does not exist".into());
            }
            (other, _) => return Err(format!("{other:?} is not a valid label selector operator")),
        };
        Ok(Self { key: key.into(), test })
    }
}

impl Test {
    fn holds(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|l| l.parse::<i64>().ok());
        match self {
            Self::In(values) => label.is_some_and(|l| values.contains(l)),
            Self::NotIn(values) => label.is_none_or(|l| !values.contains(l)),
            Self::Exists => label.is_some(),
            Self::Missing => label.is_none(),
            Self::Above(bound) => number().is_some_and(|n| n > *bound),
            Self::Below(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

/// The words of a selector: `(`, `)`, `,`, `!`, `=`, `==`, `!=`, `<`, `>`, or a run of anything else.
struct Words<'a> {
    rest: &'a str,
    text: &'a str,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        let rest = self.rest.trim_start();
        let first = rest.chars().next()?;
        let length = match first {
            '=' if rest.starts_with("==") => 2,
            '!' if rest.starts_with("!=") => 2,
            '(' | ')' | ',' | '!' | '=' | '<' | '>' => 1,
            _ => rest.find(|c: char| c.is_whitespace() || "(),!=<>".contains(c)).unwrap_or(rest.len()),
        };
        Some(&rest[..length])
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.rest = &self.rest.trim_start()[word.len()..];
        Some(word)
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.peek() == Some("!") {
            self.next();
            let key = self.key()?;
            return Ok(Requirement { key, test: Test::Missing });
        }
        let key = self.key()?;
        let test = match self.peek() {
            None | Some(",") => Test::Exists,
            Some("=" | "==") => {
                self.next();
                Test::In([self.value()?].into())
            }
            Some("!=") => {
                self.next();
                Test::NotIn([self.value()?].into())
            }
            Some("in") => {
                self.next();
                Test::In(self.values()?)
            }
            Some("notin") => {
                self.next();
                Test::NotIn(self.values()?)
            }
            Some(">") => {
                self.next();
                Test::Above(self.number()?)
            }
            Some("<") => {
                self.next();
                Test::Below(self.number()?)
            }
            Some(other) => {
                return Err(self.unexpected(other, "in, notin, =, ==, !=, gt, lt"));
            }
        };
        Ok(Requirement { key, test })
    }

    fn key(&mut self) -> Result<String, String> {
        match self.next() {
            Some(word) if !is_symbol(word) => {
                check_key(word)?;
                Ok(word.into())
            }
            other => Err(self.unexpected(other.unwrap_or_default(), "identifier")),
        }
    }

    /// A single value; none at all is the empty one.
    fn value(&mut self) -> Result<String, String> {
        match self.peek() {
            None | Some("," | ")") => Ok(String::new()),
            Some(word) if !is_symbol(word) => {
                self.next();
                check_value(word)?;
                Ok(word.into())
            }
            Some(other) => Err(self.unexpected(other, "identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        match self.next() {
            Some("(") => {}
            other => return Err(self.unexpected(other.unwrap_or_default(), "'('")),
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            match self.next() {
                Some(",") => {}
                Some(")") => return Ok(values),
                other => return Err(self.unexpected(other.unwrap_or_default(), "',' or ')'")),
            }
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.value()?;
        word.parse().map_err(|_| {
            format!("unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an integer, found {word:?}")
        })
    }

    fn unexpected(&self, found: &str, wanted: &str) -> String {
        format!(
            "unable to parse requirement: found '{found}', expected: {wanted} (in selector {:?})",
            self.text
        )
    }
}

fn is_symbol(word: &str) -> bool {
    matches!(word, "(" | ")" | "," | "!" | "=" | "==" | "!=" | "<" | ">")
}

fn check_key(key: &str) -> Result<(), String> {
    super::kinds::names::qualified_name(key).map_or(Ok(()), |why| {
        Err(format!("unable to parse requirement: <nil>: Invalid value: {key:?}: {why}"))
    })
}

fn check_value(value: &str) -> Result<(), String> {
    super::kinds::names::label_value(value).map_or(Ok(()), |why| {
        Err(format!("unable to parse requirement: values[0]: Invalid value: {value:?}: {why}"))
    })
}

/// Conditions on fields, by dotted path: `metadata.name=x,status.phase!=Running`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    path: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Reads the form of the `fieldSelector` parameter. A backslash takes the meaning from `,`, `=` and itself.
    ///
    /// # Errors
    /// A term has no operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let terms = split_unescaped(text, ',')
            .into_iter()
            .filter(|term| !term.is_empty())
            .map(Term::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }

    /// Whether the object is meant. A missing field is the empty text.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (field(object, &term.path) == term.value) == term.equal)
    }

    /// The name that the selector demands, if it demands one: such a list is a read of one object.
    pub fn name(&self) -> Option<&str> {
        let term = self.terms.iter().find(|t| t.equal && t.path == "metadata.name")?;
        Some(&term.value)
    }

    /// The first path that a real API server would not select by for this kind; `None` if all are fine.
    pub fn unsupported_path(&self, group: &str, kind: &str) -> Option<&str> {
        let known = selectable_paths(group, kind);
        let fine =
            |path: &str| matches!(path, "metadata.name" | "metadata.namespace") || known.contains(&path);
        self.terms.iter().map(|t| t.path.as_str()).find(|path| !fine(path))
    }
}

impl Term {
    fn parse(text: &str) -> Result<Self, String> {
        let mut escaped = false;
        for (at, c) in text.char_indices() {
            let rest = &text[at..];
            let (equal, width) = match c {
                _ if escaped => {
                    escaped = false;
                    continue;
                }
                '\\' => {
                    escaped = true;
                    continue;
                }
                '!' if rest.starts_with("!=") => (false, 2),
                '=' if rest.starts_with("==") => (true, 2),
                '=' => (true, 1),
                _ => continue,
            };
            return Ok(Self { path: text[..at].into(), equal, value: unescape(&rest[width..]) });
        }
        Err(format!("invalid selector: '{text}'; can't understand '{text}'"))
    }
}

/// The paths beside name and namespace that built-in kinds can be selected by.
fn selectable_paths(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("", "Pod") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "Event") => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("apps", "ReplicaSet") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    }
}

fn field(object: &Value, path: &str) -> String {
    let value = match path {
        // A selector's word for a field that is spelled otherwise in the object.
        "source" => &object["source"]["component"],
        _ => path.split('.').fold(object, |at, key| &at[key]),
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Null if matches!(path, "spec.unschedulable" | "spec.hostNetwork") => "false".into(),
        Value::Null if path == "status.replicas" => "0".into(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn split_unescaped(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == separator {
            parts.push(&text[start..at]);
            start = at + c.len_utf8();
        }
    }
    parts.push(&text[start..]);
    parts
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
