//! The checklist of spec 02: which tests show which row. `make test` prints the table; a row without a test, and a tag
//! without a row, is an error.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const ROWS: &str = include_str!("checklist.txt");

#[test]
fn every_row_of_the_checklist_is_shown_by_a_test() {
    let rows: Vec<(&str, &str)> = ROWS.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut shown = BTreeMap::new();
    for folder in ["src", "tests", "e2e/src", "benches"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut shown);
    }
    print!("{}", table(&rows, &shown));

    let shows = |row: &&str| shown.contains_key(*row);
    let missing: Vec<&str> = rows.iter().map(|(row, _)| *row).filter(|row| !shows(row)).collect();
    assert!(missing.is_empty(), "no test shows {}", missing.join(", "));
    let known: BTreeSet<&str> = rows.iter().map(|(row, _)| *row).collect();
    let unknown: Vec<&String> = shown.keys().filter(|row| !known.contains(row.as_str())).collect();
    assert!(unknown.is_empty(), "there is no such row: {unknown:?}");
}

/// One line a row: its name, what it is about, and the tests that show it.
fn table(rows: &[(&str, &str)], shown: &BTreeMap<String, BTreeSet<String>>) -> String {
    let width = rows.iter().map(|(_, title)| title.chars().count()).max().unwrap_or_default();
    let none = BTreeSet::new();
    let mut lines = format!("checklist of spec 02: {} rows\n", rows.len());
    for (row, title) in rows {
        let tests: Vec<&str> = shown.get(*row).unwrap_or(&none).iter().map(String::as_str).collect();
        let (first, more) = tests.split_at(tests.len().min(2));
        let more = if more.is_empty() { String::new() } else { format!(", and {} more", more.len()) };
        lines += &format!("{row:<5} {title:<width$}  {}{more}\n", first.join(", "));
    }
    lines
}

/// Notes the tests of a folder by the rows that they name.
fn collect(folder: &Path, shown: &mut BTreeMap<String, BTreeSet<String>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, shown);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source file");
            for (row, test) in tagged(&text) {
                shown.entry(row).or_default().insert(test);
            }
        }
    }
}

/// Rows of chapter 02 and the tests that name them. A tag stands above its test, or inside of it.
fn tagged(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let Some(tags) = line.trim().strip_prefix("// spec: ") else { continue };
        let inside = lines[..index].iter().rposition(|line| function(line).is_some());
        let open = inside.is_some_and(|start| depth(&lines[start..index]) > 0);
        let test = match inside.filter(|_| open) {
            Some(start) => function(lines[start]),
            None => lines[index..].iter().find_map(|line| function(line)),
        };
        let Some(test) = test else { continue };
        let rows = tags.split_whitespace().filter_map(|tag| tag.strip_prefix("02/C"));
        found.extend(rows.map(|row| (format!("C{row}"), test.to_owned())));
    }
    found
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("fn ")?;
    let starts =
        before.split_whitespace().all(|word| matches!(word, "async" | "pub" | "pub(super)" | "const"));
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (starts && end > 0 && rest[end..].starts_with(['(', '<'])).then(|| &rest[..end])
}

/// How many braces are open at the end of `lines`, by their indentation: texts hold braces as well.
fn depth(lines: &[&str]) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let Some(start) = lines.first() else { return 0 };
    let closed = lines[1..].iter().any(|line| line.trim() == "}" && indent(line) == indent(start));
    usize::from(!closed)
}

#[test]
fn a_tag_belongs_to_the_test_below_it_or_around_it() {
    // Written so that it is not taken for tags of this file.
    let text = "
TAG 02/C1 01/API-3
#[rstest]
#[case::one(json!({}))]
async fn first(#[case] value: Value) {
    let text = \"}\";
}

#[test]
fn second() {
    TAG 02/C2
    if true {
    }
    TAG 02/C3
}
";
    let text = text.replace("TAG", "// spec:");
    let of = |row: &str, test: &str| (row.to_owned(), test.to_owned());
    assert_eq!(tagged(&text), [of("C1", "first"), of("C2", "second"), of("C3", "second")]);
}
