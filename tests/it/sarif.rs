//! What `vexil lint -o sarif` prints is held against the schema of SARIF 2.1.0 that OASIS publishes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vexil::lint::report::sarif;
use vexil::lint::{Input, Options, lint};

const SCHEMA: &str = include_str!("../data/sarif/schema-2.1.0.json");

fn validator() -> jsonschema::Validator {
    // As it is published two of its patterns have a bracket too many, which this validator takes for no pattern.
    let text = SCHEMA.replace("-[a-zA-Z]{2}]?$", "-[a-zA-Z]{2}$");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

fn manifests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            manifests(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn reports_of_all_manifests_are_valid_sarif() {
    let (validator, mut files) = (validator(), Vec::new());
    manifests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lint"), &mut files);
    assert!(files.len() > 100, "{}", files.len());
    let mut results = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        // Names as users have them: with blanks, and with characters that a URI does not have.
        let name = format!("my deploy/ä#{}?.yaml", file.file_stem().unwrap_or_default().display());
        let inputs = [Input { name, text }];
        let printed = sarif(&inputs, &lint(&inputs, &Options::default()), "0.1.0");
        results += printed["runs"][0]["results"].as_array().map_or(0, Vec::len);
        let wrong: Vec<String> = validator
            .iter_errors(&printed)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(wrong, Vec::<String>::new(), "{}", file.display());
    }
    assert!(results > 100, "{results}");
}

#[test]
fn the_schema_refuses_what_is_no_sarif() {
    let (validator, nothing) = (validator(), Input { name: "a.yaml".into(), text: "kind: Canary\n".into() });
    let inputs = [nothing];
    let good = sarif(&inputs, &lint(&inputs, &Options::default()), "0.1.0");
    assert!(validator.is_valid(&good));
    for (pointer, value) in [
        ("/version", json!("2.0")),
        ("/runs/0/tool/driver/name", json!(1)),
        ("/runs/0/tool/driver/rules/0/defaultConfiguration/level", json!("fatal")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).expect("it is there") = value;
        assert!(!validator.is_valid(&bad), "{pointer}");
    }
}
