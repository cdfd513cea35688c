//! The documentation: that its manifests are taken, its commands are understood, its tutorials happen as they are told,
//! its links lead somewhere, and that what is generated is what the program says.

use std::path::{Path, PathBuf};

mod alerts;
mod commands;
mod links;
mod loadtester;
mod manifests;
mod markdown;
mod picture;
mod reference;
mod tutorials;

use markdown::Page;

/// Pages that are listed before they are written: until they are there, links to them are believed.
const TO_COME: &[&str] = &[];

/// The pages of the book, by their path below `docs/`.
fn pages() -> Vec<Page> {
    let docs = root().join("docs");
    let mut paths = Vec::new();
    collect(&docs, &mut paths);
    paths.sort();
    paths.into_iter().map(|path| Page::read(&path)).collect()
}

/// The pages beside the book.
fn others() -> Vec<Page> {
    [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "examples/README.md",
        "metric-templates/README.md",
    ]
    .iter()
    .map(|path| Page::read(&root().join(path)))
    .collect()
}

/// What users read: the specification quotes manifests of others.
fn for_users() -> Vec<Page> {
    let mut all = pages();
    all.retain(|page| !page.path.starts_with("docs/spec"));
    all.push(Page::read(&root().join("README.md")));
    all
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|end| end == "md") {
            paths.push(path);
        }
    }
}

/// Holds a file against what it should be; writes it with `UPDATE=1`.
fn holds(path: &str, expected: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("writable");
        std::fs::write(&file, expected).expect("writable");
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "{path} is out of date: run UPDATE=1 cargo test --test it docs, and read the difference ({differs:?})"
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
