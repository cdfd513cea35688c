//! The small part of JSONPath that printer columns use: `.status.phase`, `.spec.list[0].name`,
//! `.status.conditions[?(@.type=="Ready")].status`, `.metadata.labels['a.b/c']`, `.metadata.labels.a\.b`.

use serde_json::Value;

/// A way into an object.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Negative ones count from the end.
    Index(i64),
    All,
    Where(Filter),
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    path: JsonPath,
    /// None: the field exists.
    test: Option<(Comparison, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// # Errors
    /// The text is no path of the supported kind.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(inner);
        let inner = inner.strip_prefix(['$', '@']).unwrap_or(inner);
        let mut steps = Vec::new();
        let mut rest = inner;
        while let Some(first) = rest.chars().next() {
            let (step, length) = match first {
                '[' => bracket(rest)?,
                '.' => {
                    let (name, length) = field(&rest[1..]);
                    (Some(name), length + 1)
                }
                // A path may begin with a field's name.
                _ if steps.is_empty() => {
                    let (name, length) = field(rest);
                    (Some(name), length)
                }
                _ => return Err(format!("{text:?}: unexpected {first:?}")),
            };
            match step {
                Some(Step::Field(name)) if name == "*" => steps.push(Step::All),
                Some(Step::Field(name)) if name.is_empty() && length == 1 && rest.len() == 1 => {}
                Some(Step::Field(name)) if name.is_empty() => {
                    return Err(format!("{text:?}: a field without name"));
                }
                Some(step) => steps.push(step),
                None => return Err(format!("{text:?}: cannot read {rest:?}")),
            }
            rest = &rest[length..];
        }
        Ok(Self(steps))
    }

    /// The first value that the path leads to.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.all(value).into_iter().next()
    }

    fn all<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![value];
        for step in &self.0 {
            found = found.into_iter().flat_map(|v| step.follow(v)).collect();
        }
        found
    }
}

impl Step {
    fn follow<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(fields)) => fields.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(items)) => {
                let place = if *index < 0 { index + items.len() as i64 } else { *index };
                usize::try_from(place).ok().and_then(|i| items.get(i)).into_iter().collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(fields)) => fields.values().collect(),
            (Self::Where(filter), Value::Array(items)) => items.iter().filter(|i| filter.holds(i)).collect(),
            _ => Vec::new(),
        }
    }
}

impl Filter {
    fn holds(&self, item: &Value) -> bool {
        let found = self.path.first(item);
        let Some((comparison, wanted)) = &self.test else { return found.is_some() };
        let Some(found) = found else { return false };
        let order = match (found.as_f64(), wanted.as_f64()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => found.as_str().zip(wanted.as_str()).map(|(a, b)| a.cmp(b)),
        };
        match comparison {
            Comparison::Equal => found == wanted || order.is_some_and(|o| o.is_eq()),
            Comparison::NotEqual => found != wanted && order.is_none_or(|o| o.is_ne()),
            Comparison::Less => order.is_some_and(|o| o.is_lt()),
            Comparison::LessOrEqual => order.is_some_and(|o| o.is_le()),
            Comparison::Greater => order.is_some_and(|o| o.is_gt()),
            Comparison::GreaterOrEqual => order.is_some_and(|o| o.is_ge()),
        }
    }
}

/// A field's name up to the next `.` or `[`, and how much of the text it took.
fn field(text: &str) -> (Step, usize) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '.' | '[' => return (Step::Field(name), at),
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            c => name.push(c),
        }
    }
    (Step::Field(name), text.len())
}

/// What stands in brackets, and how much of the text it took.
fn bracket(text: &str) -> Result<(Option<Step>, usize), String> {
    let end = closing(text).ok_or_else(|| format!("{text:?}: a bracket is not closed"))?;
    let inner = text[1..end].trim();
    let step = if inner == "*" {
        Some(Step::All)
    } else if let Some(name) = quoted(inner) {
        Some(Step::Field(name.replace("\\.", ".")))
    } else if let Some(filter) = inner.strip_prefix("?(").and_then(|t| t.strip_suffix(')')) {
        Some(Step::Where(Filter::parse(filter)?))
    } else {
        inner.parse().ok().map(Step::Index)
    };
    Ok((step, end + 1))
}

/// The place of the bracket that closes the first one.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => quote = Some(c),
            ('[', None) => depth += 1,
            (']', None) => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn quoted(text: &str) -> Option<&str> {
    let strip = |q: char| text.strip_prefix(q).and_then(|t| t.strip_suffix(q));
    strip('\'').or_else(|| strip('"'))
}

impl Filter {
    fn parse(text: &str) -> Result<Self, String> {
        let operators = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        let found = operators.iter().filter_map(|(sign, c)| Some((text.find(sign)?, sign.len(), *c)));
        let Some((at, length, comparison)) = found.min_by_key(|(at, length, _)| (*at, usize::MAX - length))
        else {
            return Ok(Self { path: JsonPath::parse(text)?, test: None });
        };
        let wanted = text[at + length..].trim();
        let wanted = match quoted(wanted) {
            Some(text) => Value::from(text),
            None => serde_json::from_str(wanted).map_err(|_| format!("{text:?}: {wanted:?} is no value"))?,
        };
        Ok(Self { path: JsonPath::parse(&text[..at])?, test: Some((comparison, wanted)) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(".status.phase", json!("Succeeded"))]
    #[case("{.status.phase}", json!("Succeeded"))]
    #[case("$.status.phase", json!("Succeeded"))]
    #[case(".spec.list[1].name", json!("b"))]
    #[case(".spec.list[-1].name", json!("b"))]
    #[case(".spec.list[*].name", json!("a"))]
    #[case(".spec.list[7].name", Value::Null)]
    #[case(r#".status.conditions[?(@.type=="Ready")].status"#, json!("False"))]
    #[case(".status.conditions[?(@.type == 'Ready')].status", json!("False"))]
    #[case(r#".status.conditions[?(@.type!="Ready")].status"#, json!("True"))]
    #[case(".status.conditions[?(@.at>=2)].status", json!("False"))]
    #[case(".status.conditions[?(@.none)].status", Value::Null)]
    #[case(r".metadata.labels.app\.kubernetes\.io/name", json!("web"))]
    #[case(".metadata.labels['app.kubernetes.io/name']", json!("web"))]
    #[case(".spec.missing.deep", Value::Null)]
    #[case(".status.phase.deeper", Value::Null)]
    fn a_path_leads_to_its_value(#[case] path: &str, #[case] expected: Value) {
        let object = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": "web"}},
            "spec": {"list": [{"name": "a"}, {"name": "b"}]},
            "status": {"phase": "Succeeded", "conditions": [
                {"type": "Live", "status": "True", "at": 1}, {"type": "Ready", "status": "False", "at": 2}]},
        });
        let path = JsonPath::parse(path).expect("a path");
        assert_eq!(expected, path.first(&object).cloned().unwrap_or_default());
    }

    #[rstest]
    #[case(".a[")]
    #[case(".a[x]")]
    #[case(".a..b")]
    #[case(".a[?(@.b==)]")]
    #[case(".a[0]b")]
    fn what_is_no_path_is_refused(#[case] path: &str) {
        assert!(JsonPath::parse(path).is_err(), "{:?}", JsonPath::parse(path));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[.a\\[\\]()'\"?@=<>*0-9\\\\é{}$-]{0,20}") {
            if let Ok(path) = JsonPath::parse(&text) {
                let _ = path.first(&json!({"a": [{"a": 1}]}));
            }
        }
    }
}
