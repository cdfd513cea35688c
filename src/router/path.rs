//! Where something stands within an object, as RouteTemplates write it: `spec.http[].route[]`,
//! `metadata.annotations['example.com/weight']`, `status.conditions[type=Ready].status`.

use serde_json::{Map, Value, json};

/// A path from the root of an object, or of an item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// The field of this name.
    Field(String),
    /// The items of the list.
    Items,
    /// The items of the list whose field says this.
    Where(String, String),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err("is empty: write where it stands, like spec.weight".to_owned());
        }
        if trimmed.len() > MAX_LENGTH {
            return Err(format!("is longer than {MAX_LENGTH} bytes"));
        }
        let mut steps = Vec::new();
        let mut rest = trimmed;
        while !rest.is_empty() {
            let (step, left) = match rest.strip_prefix('[') {
                Some(bracket) => bracketed(bracket)?,
                None => field(rest.strip_prefix('.').filter(|_| !steps.is_empty()).unwrap_or(rest))?,
            };
            steps.push(step);
            rest = left;
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("has more than {MAX_STEPS} steps"));
        }
        Ok(Self { steps })
    }

    /// What stands there, the first of several; `None` if nothing does.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.all(value).into_iter().next()
    }

    /// All that stands there, in the order of the lists on the way.
    pub fn all<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        found
    }

    /// `value` with `there` at the path, and what is missing on the way.
    pub fn put(&self, value: &mut Value, there: Value) {
        let mut place = value;
        for step in &self.steps {
            place = step.made(place);
        }
        *place = there;
    }

    /// The list whose items the path ends in; `None` if it ends in a field.
    pub fn list(&self) -> Option<Self> {
        match self.steps.split_last() {
            Some((Step::Items, list)) if !list.is_empty() => Some(Self { steps: list.to_vec() }),
            _ => None,
        }
    }

    /// Whether it leads from field to field alone, so that at most one value stands there.
    pub fn is_single(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Field(_)))
    }

    /// The field of the root that it begins with.
    pub fn root(&self) -> &str {
        match self.steps.first() {
            Some(Step::Field(name)) => name,
            _ => "",
        }
    }

    /// The name by which the overlay knows a list: `spec.http[].route`.
    pub fn of_list(&self) -> String {
        let mut text = String::new();
        for step in &self.steps {
            match step {
                Step::Field(name) if text.is_empty() => text.push_str(name),
                Step::Field(name) => {
                    text.push('.');
                    text.push_str(name);
                }
                Step::Items | Step::Where(..) => text.push_str("[]"),
            }
        }
        text
    }
}

impl Step {
    /// Where it leads, made if nothing is there.
    fn made<'v>(&self, value: &'v mut Value) -> &'v mut Value {
        match self {
            Self::Field(name) => {
                if !value.is_object() {
                    *value = Value::Object(Map::new());
                }
                &mut value[name.as_str()]
            }
            Self::Items | Self::Where(..) => {
                if !value.is_array() {
                    *value = Value::Array(Vec::new());
                }
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let found = match self {
                    Self::Where(field, wanted) => {
                        items.iter().position(|item| item[field.as_str()] == **wanted)
                    }
                    _ => (!items.is_empty()).then_some(0),
                };
                let (index, new) = (found.unwrap_or(items.len()), found.is_none());
                if let (true, Some(items)) = (new, value.as_array_mut()) {
                    items.push(match self {
                        Self::Where(field, wanted) => json!({ field.as_str(): wanted }),
                        _ => Value::Null,
                    });
                }
                &mut value[index]
            }
        }
    }

    fn of<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Items => value.as_array().into_iter().flatten().collect(),
            Self::Where(field, wanted) => {
                let items = value.as_array().into_iter().flatten();
                items.filter(|item| item[field.as_str()] == **wanted).collect()
            }
        }
    }
}

fn field(text: &str) -> Result<(Step, &str), String> {
    let end = text.find(['.', '[', ']']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err(format!(
            "has no name of a field before {text:?}: write it like spec.http[].route[].weight"
        ));
    }
    Ok((Step::Field(name.to_owned()), rest))
}

/// What stands in brackets, which were opened already.
fn bracketed(text: &str) -> Result<(Step, &str), String> {
    if let Some(rest) = text.strip_prefix(']') {
        return Ok((Step::Items, rest));
    }
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return match quoted
                .split_once(quote)
                .and_then(|(name, rest)| Some((name, rest.strip_prefix(']')?)))
            {
                Some((name, rest)) if !name.is_empty() => Ok((Step::Field(name.to_owned()), rest)),
                _ => Err(format!("does not end the quotes of [{text}: write ['name']")),
            };
        }
    }
    let inside = text.split_once(']').and_then(|(inside, rest)| Some((inside.split_once('=')?, rest)));
    match inside {
        Some(((name, value), rest)) if !name.is_empty() => {
            Ok((Step::Where(name.to_owned(), value.to_owned()), rest))
        }
        _ => Err(format!(
            "cannot be understood at [{text}: write [] for all items, [type=Ready] or ['a.name']"
        )),
    }
}

const MAX_LENGTH: usize = 512;
const MAX_STEPS: usize = 32;

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("spec.weight", json!([7]))]
    #[case("spec.http[].route[].to.host", json!(["a", "b", "c"]))]
    #[case("spec.http[].route", json!([[{"to": {"host": "a"}}, {"to": {"host": "b"}}], [{"to": {"host": "c"}}]]))]
    #[case("metadata.annotations['x.io/weight']", json!(["10"]))]
    #[case("metadata[\"annotations\"][\"x.io/weight\"]", json!(["10"]))]
    #[case("status.conditions[type=Ready].status", json!(["True"]))]
    #[case("spec.nothing.there[]", json!([]))]
    #[case("spec.weight[].x", json!([]))]
    fn what_stands_there_is_found(#[case] path: &str, #[case] expected: Value) {
        let object = json!({
            "metadata": {"annotations": {"x.io/weight": "10"}},
            "spec": {"weight": 7, "http": [
                {"route": [{"to": {"host": "a"}}, {"to": {"host": "b"}}]},
                {"route": [{"to": {"host": "c"}}]},
            ]},
            "status": {"conditions": [{"type": "Seen", "status": "False"}, {"type": "Ready", "status": "True"}]},
        });
        let found: Vec<Value> =
            Path::parse(path).expect("a path").all(&object).into_iter().cloned().collect();
        assert_eq!(Value::Array(found), expected);
    }

    #[rstest]
    #[case("")]
    #[case(".spec")]
    #[case("spec..weight")]
    #[case("spec.")]
    #[case("spec[")]
    #[case("spec['a")]
    #[case("spec[0]")]
    #[case("spec]")]
    #[case("spec weight")]
    fn what_is_no_path_is_refused(#[case] path: &str) {
        assert!(Path::parse(path).is_err());
    }

    #[rstest]
    #[case("spec.weight")]
    #[case("status.conditions[type=Ready].status")]
    #[case("spec.http[].route[].weight")]
    fn what_is_put_there_is_found_there(#[case] path: &str) {
        let path = Path::parse(path).expect("a path");
        for mut value in [json!({}), json!({"status": {"conditions": [{"type": "Seen"}]}, "spec": 1})] {
            path.put(&mut value, json!("x"));
            assert_eq!(path.first(&value), Some(&json!("x")), "{value}");
        }
    }

    #[test]
    fn the_list_of_the_last_items_has_a_name() {
        let list = Path::parse("spec.http[].route[]").expect("a path").list().expect("a list");
        assert_eq!(list.of_list(), "spec.http[].route");
        assert_eq!(Path::parse("spec.weight").expect("a path").list(), None);
    }
}
