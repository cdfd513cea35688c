//! The checklist of the compatibility specification (`docs/spec`): which tests show which row. `make test` prints the
//! table. A row that no test names stands in `checklist_to_come.txt`, which only ever gets shorter.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where tests stand.
const FOLDERS: [&str; 5] = ["src", "tests", "crates", "e2e/src", "benches"];

#[test]
fn every_row_of_the_checklist_is_shown_by_a_test_or_still_to_come() {
    let rows = rows();
    let mut shown = BTreeMap::new();
    for folder in FOLDERS {
        collect(&root().join(folder), &mut shown);
    }
    let to_come = to_come();
    print!("{}", table(&rows, &shown));

    let known: BTreeSet<&str> = rows.iter().map(|(row, _)| row.as_str()).collect();
    let unknown: Vec<&String> = shown.keys().filter(|row| !known.contains(row.as_str())).collect();
    assert!(unknown.is_empty(), "docs/spec has no such row: {unknown:?}");

    let missing: BTreeSet<&str> = known.into_iter().filter(|row| !shown.contains_key(*row)).collect();
    let lost: Vec<&&str> = missing.iter().filter(|row| !to_come.contains(**row)).collect();
    assert!(
        lost.is_empty(),
        "no test shows {lost:?} any more: tag the test that does with `// spec: <row>`, or write one"
    );
    if to_come.iter().any(|row| !missing.contains(row.as_str())) {
        assert!(
            std::env::var_os("UPDATE").is_some(),
            "more rows are shown than {LIST} knows: run UPDATE=1 cargo test --test it checklist"
        );
        let lines: Vec<String> = missing.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(root().join(LIST), lines.concat()).expect("writable");
    }
}

const LIST: &str = "tests/it/checklist_to_come.txt";

/// The rows of all chapters in their order, `02/C88`, with what each is about.
fn rows() -> Vec<(String, String)> {
    let mut chapters: Vec<PathBuf> = std::fs::read_dir(root().join("docs/spec"))
        .expect("the specification")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| name(path).starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    chapters.sort();
    chapters.iter().flat_map(|path| rows_of(&name(path)[..2], &read(path))).collect()
}

/// The rows of a chapter: the table lines below its heading "checklist" that begin with an id.
fn rows_of(chapter: &str, text: &str) -> Vec<(String, String)> {
    let (mut rows, mut level) = (Vec::new(), None);
    for line in text.lines() {
        let depth = line.bytes().take_while(|byte| *byte == b'#').count();
        if depth > 0 && line[depth..].starts_with(' ') {
            if line.to_lowercase().contains("checklist") {
                level = Some(depth);
            } else if level.is_some_and(|level| depth <= level) {
                level = None;
            }
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let (Some(_), ["", id, rest @ ..]) = (level, &cells[..])
            && is_id(id)
        {
            // A column of one letter says whether the reference is to be matched, mended or surpassed.
            let about = rest.iter().find(|cell| cell.chars().count() > 1).copied().unwrap_or_default();
            rows.push((format!("{chapter}/{id}"), about.to_owned()));
        }
    }
    rows
}

/// `C88`, `API-047`, `IST-04`, `C14a`
fn is_id(text: &str) -> bool {
    let letters = text.bytes().take_while(u8::is_ascii_uppercase).count();
    let rest = text[letters..].strip_prefix('-').unwrap_or(&text[letters..]);
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let tail = &rest[digits..];
    (1..=4).contains(&letters)
        && digits > 0
        && (tail.is_empty() || (tail.len() == 1 && tail.bytes().all(|byte| byte.is_ascii_lowercase())))
}

fn to_come() -> BTreeSet<String> {
    read(&root().join(LIST)).lines().map(str::to_owned).collect()
}

/// One line a row: its name, what it is about, and the tests that show it.
fn table(rows: &[(String, String)], shown: &BTreeMap<String, BTreeSet<String>>) -> String {
    let title = |about: &str| about.chars().take(WIDTH).collect::<String>();
    let covered = rows.iter().filter(|(row, _)| shown.contains_key(row)).count();
    let mut lines = format!("checklist: {covered} of {} rows are shown by a test\n", rows.len());
    for (row, about) in rows {
        let tests: Vec<&str> = shown.get(row).into_iter().flatten().map(String::as_str).collect();
        let by = match &tests[..] {
            [] => "(still to come)".to_owned(),
            [first] => (*first).to_owned(),
            [first, more @ ..] => format!("{first}, and {} more", more.len()),
        };
        lines += &format!("{row:<11} {:<WIDTH$}  {by}\n", title(about));
    }
    lines
}

const WIDTH: usize = 60;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_row_is_a_table_line_of_the_checklist_with_an_id() {
    let text = "# Chapter\n| C1 | elsewhere |\n## Checklist\n| ID | what |\n|---|---|\n| C2 | S | more |\n### Part\n| IST-04a | texts |\n## End\n| C3 | no |\n";
    let row = |id: &str, about: &str| (id.to_owned(), about.to_owned());
    assert_eq!(rows_of("02", text), [row("02/C2", "more"), row("02/IST-04a", "texts")]);
    assert_eq!(rows().len(), 591);
}

/// Notes the tests of a folder by the rows that they name.
fn collect(folder: &Path, shown: &mut BTreeMap<String, BTreeSet<String>>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, shown);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            for (row, test) in tagged(&read(&path)) {
                shown.entry(row).or_default().insert(test);
            }
        } else if let Some(case) = name(&path).strip_suffix(".in.yaml") {
            for row in tagged_case(&read(&path)) {
                shown.entry(row).or_default().insert(format!("{}/{case}", name(folder)));
            }
        }
    }
}

/// The rows that the comments of a router's case name: `# spec: 03/IST-01`.
fn tagged_case(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("# spec: ")).flat_map(ids).map(str::to_owned).collect()
}

/// The rows of a tag.
fn ids(tags: &str) -> impl Iterator<Item = &str> {
    tags.split_whitespace().filter(|tag| tag.split_once('/').is_some_and(|(_, id)| is_id(id)))
}

/// Rows and the tests that name them. A tag stands above its test, or inside of it.
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
        found.extend(ids(tags).map(|row| (row.to_owned(), test.to_owned())));
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
fn a_case_names_rows_in_its_comments() {
    let text = "# Ten per cent.\n# spec: 03/IST-01 03/OWN-01 and\ncanary: {spec: 03/IST-02}\n";
    assert_eq!(tagged_case(text), ["03/IST-01", "03/OWN-01"]);
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
    assert_eq!(
        tagged(&text),
        [of("02/C1", "first"), of("01/API-3", "first"), of("02/C2", "second"), of("02/C3", "second")]
    );
}
