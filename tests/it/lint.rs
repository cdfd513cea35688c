//! `vexil lint`: what it says of bad manifests, and that it says nothing of good ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use vexil::lint::code::{Code, Severity};
use vexil::lint::report::{Look, json, sarif, text};
use vexil::lint::{Input, Options, Report, lint};
use vexil::sim::World;

/// A manifest of `tests/data/lint`, with what is to be found in it.
struct Case {
    path: PathBuf,
    text: String,
    options: Options,
}

impl Case {
    fn is_good(&self) -> bool {
        self.path.components().any(|part| part.as_os_str() == "good")
    }

    fn name(&self) -> String {
        self.path.strip_prefix(root()).expect("below the root").display().to_string()
    }

    fn report(&self) -> Report {
        lint(&[Input { name: self.name(), text: self.text.clone() }], &self.options)
    }

    /// What is found, a finding in two lines.
    fn found(&self) -> String {
        let mut found = String::new();
        for finding in self.report().findings {
            let place = format!("{}:{}", finding.span.line, finding.span.column);
            let level = finding.severity.as_str();
            let field = if finding.field.is_empty() { "-" } else { &finding.field };
            let (code, message) = (finding.code.id(), &finding.message);
            writeln!(found, "{place} {level} {code} {field}: {message}\n  {}", finding.cure)
                .expect("a string");
        }
        found
    }
}

#[test]
fn every_bad_manifest_is_answered_with_code_field_line_and_cure() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for case in cases().iter().filter(|case| !case.is_good()) {
        let found = case.found();
        let golden = case.path.with_extension("out");
        if update {
            std::fs::write(&golden, &found).expect("a folder that can be written to");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        if found.is_empty() || found != expected {
            wrong.push(format!("{}\nexpected\n{expected}found\n{found}", case.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_is_shown_by_a_bad_manifest_and_there_are_more_than_a_hundred_of_these() {
    let cases = cases();
    let bad: Vec<&Case> = cases.iter().filter(|case| !case.is_good()).collect();
    assert!(bad.len() >= 100, "{}", bad.len());
    let shown: BTreeSet<Code> =
        bad.iter().flat_map(|case| case.report().findings).map(|finding| finding.code).collect();
    let missing: Vec<&str> =
        Code::ALL.iter().filter(|code| !shown.contains(code)).map(|code| code.id()).collect();
    // These are for what the controller will say one day and no other code is for.
    let missing: Vec<&str> = missing.into_iter().filter(|id| !["VX313", "VX410"].contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?} are shown by no case");
}

#[test]
fn nothing_is_found_in_good_manifests() {
    for case in cases().iter().filter(|case| case.is_good()) {
        assert_eq!(case.found(), "", "{}", case.name());
        assert!(case.report().looked_at > 0, "{} has nothing in it", case.name());
    }
}

#[test]
fn what_is_shipped_is_clean_but_for_notes_on_secrets() {
    for folder in ["examples", "metric-templates"] {
        let files = manifests(&root().join(folder));
        assert!(files.len() > 40, "{folder} has {} files", files.len());
        for path in files {
            let report = lint(&[input(&path)], &Options::default());
            assert_eq!(report.looked_at, 1, "{}", path.display());
            let unexpected: Vec<_> =
                report.findings.iter().filter(|finding| finding.code != Code::NoSecret).collect();
            assert!(unexpected.is_empty(), "{}: {unexpected:#?}", path.display());
        }
        // Together they are variants of one another, which is nothing wrong either.
        let all: Vec<Input> = manifests(&root().join(folder)).iter().map(|path| input(path)).collect();
        let report = lint(&all, &Options::default());
        let worse: Vec<_> =
            report.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
        assert!(worse.is_empty(), "{folder}: {worse:#?}");
    }
}

#[test]
fn published_definitions_and_the_manifests_of_the_tests_are_read_as_the_other_reader_reads_them() {
    let mut files = manifests(&root().join("tests/data"));
    files.retain(|path| !path.starts_with(root().join("tests/data/lint")));
    files.extend(manifests(&root().join("crds")));
    let mut compared = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a text");
        let read = vexil::lint::value(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        // That reader refuses quoted texts that are wrapped at the indentation of their key.
        let Ok(other) = serde_saphyr::from_multiple::<Value>(&text) else {
            assert!(path.ends_with("crds/flagger.yaml"), "{}", path.display());
            assert_eq!(read.len(), 3);
            let described =
                &read[0].pointer("/spec/versions/0/schema/openAPIV3Schema/properties/kind/description");
            let words = described.and_then(Value::as_str).unwrap_or_default();
            assert!(
                words.starts_with("Kind is a string value representing the REST resource this object"),
                "{words}"
            );
            continue;
        };
        let other: Vec<Value> = other.into_iter().filter(|value| !value.is_null()).collect();
        assert_eq!(read, other, "{}", path.display());
        compared += 1;
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn the_table_in_the_docs_has_every_code() {
    let path = root().join("docs/lint.md");
    let docs = std::fs::read_to_string(&path).expect("the docs");
    let (begin, end) = ("<!-- codes -->\n", "<!-- /codes -->");
    let (head, rest) = docs.split_once(begin).expect("a mark");
    let (table, tail) = rest.split_once(end).expect("a mark");
    let mut expected =
        String::from("\n| code | severity | what it means | what to do |\n|---|---|---|---|\n");
    for code in Code::ALL {
        let (id, level) = (code.id(), code.severity().as_str());
        let cell = |text: &str| text.replace('|', "\\|");
        writeln!(expected, "| {id} | {level} | {} | {} |", cell(code.meaning()), cell(code.cure()))
            .expect("a string");
    }
    expected.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{head}{begin}{expected}{end}{tail}"))
            .expect("docs that can be written");
        return;
    }
    assert_eq!(table, expected, "UPDATE=1 writes it");
}

#[test]
fn no_mutation_of_a_manifest_makes_it_panic_and_every_place_is_in_the_text() {
    let texts: Vec<String> =
        ["examples/istio/weighted.yaml", "examples/nginx/ab.yaml", "examples/gatewayapi/mirroring.yaml"]
            .iter()
            .map(|path| std::fs::read_to_string(root().join(path)).expect("an example"))
            .chain([std::fs::read_to_string(root().join("tests/data/shop/legacy-v1alpha3.yaml"))
                .expect("a manifest")])
            .collect();
    let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..8_usize, "\\PC{0,3}");
    let strategy = (0..texts.len(), prop::collection::vec(edit, 1..6));
    let mut runner = TestRunner::new(Config { cases: 250, failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(which, edits)| {
            let mut text = texts[which].clone();
            for (at, to, sort, letters) in edits {
                text = mutated(&text, at, to, sort, &letters);
            }
            let inputs = [Input { name: "a.yaml".into(), text }];
            let report = lint(&inputs, &Options { rps: Some(3.0), ..Options::default() });
            let lines = inputs[0].text.split('\n').count();
            for finding in &report.findings {
                prop_assert!(finding.span.line >= 1 && finding.span.line <= lines, "{finding:?} of {lines}");
            }
            let shown = text_of(&inputs, &report);
            prop_assert!(!shown.contains('\u{1b}'), "{shown}");
            json(&inputs, &report);
            sarif(&inputs, &report, "0");
            Ok(())
        })
        .expect("no panic");
}

/// A text with something cut out, doubled, moved or put in.
fn mutated(
    text: &str,
    at: prop::sample::Index,
    to: prop::sample::Index,
    sort: usize,
    letters: &str,
) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return letters.to_owned();
    }
    let (from, other) = (at.index(lines.len()), to.index(lines.len()));
    let specials =
        ["*a", "&a", "<<: ", "? ", "- ", "{{ ", "---", "\t", "'", "\"", "|", "\u{1b}[31m", "[", "{", "!!x "];
    match sort {
        0 => drop(lines.remove(from)),
        1 => lines.insert(other, lines[from].clone()),
        2 => lines.swap(from, other),
        3 => lines[from].insert_str(0, "  "),
        4 => lines[from] = lines[from].trim_start().to_owned(),
        5 => {
            let column = to.index(lines[from].chars().count() + 1);
            let byte = lines[from].char_indices().nth(column).map_or(lines[from].len(), |(byte, _)| byte);
            lines[from].insert_str(byte, letters);
        }
        6 => {
            let key = lines[from].split(':').next().unwrap_or_default().to_owned();
            lines[from] = format!("{key}: {}", specials[to.index(specials.len())]);
        }
        _ => {
            let value = lines[other].split_once(':').map_or("", |(_, value)| value).to_owned();
            let key = lines[from].split(':').next().unwrap_or_default().to_owned();
            lines[from] = format!("{key}:{value}");
        }
    }
    lines.join("\n")
}

#[test]
fn a_value_of_any_type_in_any_place_is_answered() {
    let plain = std::fs::read_to_string(root().join("tests/data/lint/good/plain.yaml")).expect("a case");
    let wrong = [
        ("metadata:\n  name: frontend\n  namespace: shop\n", "metadata: 7\n"),
        ("  namespace: shop\n", "  namespace: shop\n  annotations: []\n"),
        ("  namespace: shop\n", "  namespace: shop\n  labels: text\n"),
        ("  service:\n    port: 80\n", "  service: 1\n"),
        ("    threshold: 5\n", "    threshold: []\n"),
    ];
    for (right, wrong) in wrong {
        assert!(plain.contains(right), "{right}");
        let text = plain.replacen(right, wrong, 1);
        let report = lint(&[Input { name: "a.yaml".into(), text }], &Options::default());
        assert!(!report.findings.is_empty(), "{wrong}");
    }
}

#[test]
fn aliases_of_aliases_are_no_way_to_fill_the_memory() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").expect("a string");
    }
    let report = lint(&[Input { name: "bomb.yaml".into(), text }], &Options::default());
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].code, Code::Syntax);
    let deep = format!("kind: Canary\nspec: {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let report = lint(&[Input { name: "deep.yaml".into(), text: deep }], &Options::default());
    assert_eq!(report.findings[0].code, Code::Syntax);
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_good_release_is_said_to_take_is_what_it_takes() {
    const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
    let variants = [
        ("stepWeight: 25", "stepWeight: 25"),
        ("stepWeight: 25", "stepWeight: 10"),
        ("stepWeight: 25\n", "stepWeight: 25\n    stepWeightPromotion: 20\n"),
    ];
    for (from, to) in variants {
        let manifest = QUARTERS.replace(from, to);
        let report = lint(&[Input { name: "a.yaml".into(), text: manifest.clone() }], &Options::default());
        let said = report.outlooks[0].length;
        let world = World::builder().build();
        let controller = world.start_controller();
        world.apply(&manifest).expect("a manifest that the cluster takes");
        let hour = Duration::from_secs(3600);
        assert!(world.until(hour, |world| world.phase("shop", "frontend") == "Initialized").await);
        let began = world.now();
        world.set_image("shop", "frontend", "registry.example.com/shop/frontend:2.0.0");
        assert!(world.until(hour, |world| world.phase("shop", "frontend") == "Succeeded").await);
        let took = (world.now() - began).to_std().expect("time passes");
        // Pods take a little to get ready, which nobody can say beforehand.
        assert!(took >= said && took < said + Duration::from_secs(45), "{to}: {said:?} said, {took:?} taken");
        controller.stop().await;
    }
}

#[test]
fn the_exit_code_says_whether_something_is_wrong() {
    let case = |path: &str| root().join("tests/data/lint").join(path);
    let code = |arguments: &[&str], path: &str| {
        vexil().args(arguments).arg(case(path)).output().expect("it runs").status.code()
    };
    assert_eq!(code(&[], "good/plain.yaml"), Some(0));
    assert_eq!(code(&["--strict"], "good/plain.yaml"), Some(0));
    assert_eq!(code(&[], "refused/step-zero.yaml"), Some(1));
    assert_eq!(code(&[], "judgement/overshoot.yaml"), Some(0));
    assert_eq!(code(&["--strict"], "judgement/overshoot.yaml"), Some(1));
    assert_eq!(code(&["--strict", "--ignore", "VX706"], "judgement/overshoot.yaml"), Some(0));
    assert_eq!(code(&["--strict"], "judgement/suspended.yaml"), Some(0));
    assert_eq!(code(&[], "good/no-such-file.yaml"), Some(2));
    assert_eq!(code(&["--ignore", "VX9"], "good/plain.yaml"), Some(2));
    assert_eq!(code(&["--rps", "-1"], "good/plain.yaml"), Some(2));
    assert_eq!(code(&["--mesh-provider", "istoi"], "good/plain.yaml"), Some(2));
    assert_eq!(code(&["--codes"], ""), Some(0));
}

#[test]
fn what_comes_in_on_stdin_is_checked_and_nothing_is_an_error() {
    let bad = std::fs::read_to_string(root().join("tests/data/lint/refused/step-zero.yaml")).expect("a case");
    let output = vexil().arg("-").write_stdin(bad).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).expect("a text");
    assert!(said.contains("error[VX304]: spec.analysis.stepWeight: 0 moves no traffic"), "{said}");
    assert!(said.contains("--> stdin:18:17"), "{said}");
    let output = vexil().arg("-").write_stdin("\n").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("a text");
    assert!(said.contains("nothing came in on stdin"), "{said}");
}

#[test]
fn a_finding_shows_its_line_with_a_mark_and_no_colours_where_there_is_no_terminal() {
    let path = root().join("tests/data/lint/refused/step-zero.yaml");
    let report = lint(&[input(&path)], &Options::default());
    let plain = text_of(&[input(&path)], &report);
    let expected = "\
error[VX304]: spec.analysis.stepWeight: 0 moves no traffic
  --> tests/data/lint/refused/step-zero.yaml:18:17
   |
18 |     stepWeight: 0
   |                 ^ Canary frontend.shop
   |
   = help: write a weight from 1 to 100, or use stepWeights or iterations instead

1 error in 1 object of Vexil (1 object in 1 file)
";
    assert_eq!(plain, expected);
    let coloured = text(&[input(&path)], &report, Look { colours: true, width: 100 });
    assert!(coloured.contains("\u{1b}["), "{coloured}");
    let output = vexil().arg(&path).output().expect("it runs");
    assert!(!String::from_utf8(output.stdout).expect("a text").contains('\u{1b}'));
}

#[test]
fn json_and_sarif_say_the_same_as_the_text() {
    let path = root().join("tests/data/lint/refused/steps-falling.yaml");
    let parsed = |form: &str| {
        let output = vexil().args(["--rps", "50", "-o", form]).arg(&path).output().expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let json = parsed("json");
    let finding = &json["findings"][0];
    assert_eq!(json["version"], 1);
    assert_eq!(json["summary"]["errors"], 1);
    assert_eq!(finding["code"], "VX304");
    assert_eq!(finding["field"], "spec.analysis.stepWeights[2]");
    assert_eq!(finding["line"], 18);
    assert_eq!(finding["object"]["name"], "frontend");
    let sarif = parsed("sarif");
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(result["ruleId"], "VX304");
    let rule = result["ruleIndex"].as_u64().and_then(|index| usize::try_from(index).ok()).expect("an index");
    assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], "VX304");
    assert_eq!(result["level"], "error");
    let region = &result["locations"][0]["physicalLocation"]["region"];
    assert_eq!((&region["startLine"], &region["startColumn"]), (&finding["line"], &finding["column"]));
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), Code::ALL.len());
}

#[test]
fn what_a_step_sees_is_told_where_the_traffic_is_known() {
    let path = root().join("tests/data/lint/good/plain.yaml");
    let output = vexil().args(["--rps", "100"]).arg(&path).output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("a text");
    assert!(said.contains("canary gets   requests   may fail   sees an error rate of"), "{said}");
    // 100 requests a second, a tenth of them for a minute: 600, of which 6 may fail.
    let row: Vec<&str> =
        said.lines().find(|line| line.contains("600")).expect("a row").split_whitespace().collect();
    assert_eq!(row[..4], ["10", "%", "600", "6"], "{said}");
    assert!(said.contains("a version that fails 10 % of its requests is promoted: almost never"), "{said}");
}

#[test]
fn a_folder_is_read_with_what_is_below_it_and_each_file_once() {
    let folder = root().join("tests/data/lint/good");
    let output = vexil().arg("-ojson").arg(&folder).arg(folder.join("plain.yaml")).output().expect("it runs");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let files = manifests(&folder);
    assert_eq!(json["summary"]["files"], files.len());
}

fn vexil() -> Command {
    let mut command = Command::cargo_bin("vexil").expect("the program");
    command.arg("lint").current_dir(root());
    command
}

fn text_of(inputs: &[Input], report: &Report) -> String {
    text(inputs, report, Look { colours: false, width: 140 })
}

fn input(path: &Path) -> Input {
    let name = path.strip_prefix(root()).unwrap_or(path).display().to_string();
    Input { name, text: std::fs::read_to_string(path).expect("a text") }
}

fn cases() -> Vec<Case> {
    let case = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a case");
        let options = options(&text);
        Case { path, text, options }
    };
    manifests(&root().join("tests/data/lint")).into_iter().map(case).collect()
}

/// What the comment of a case says of flags.
fn options(text: &str) -> Options {
    let flags = text.lines().find_map(|line| line.strip_prefix("# lint: ")).unwrap_or_default();
    let words: Vec<&str> = flags.split(' ').collect();
    let value: BTreeMap<&str, &str> = words.windows(2).map(|pair| (pair[0], pair[1])).collect();
    let mut options =
        Options { rps: value.get("--rps").and_then(|rps| rps.parse().ok()), ..Options::default() };
    options.settings.no_cross_namespace_refs = words.contains(&"--no-cross-namespace-refs");
    options
}

/// The manifests in a folder and below it.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            found.extend(manifests(&path));
        } else if path.extension().is_some_and(|ext| ext == "yaml" || ext == "json") {
            found.push(path);
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
