//! The walls of the house (DESIGN §2): which room may use which, read from the `use` lines.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may use. `cli` and `lib.rs` may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("model", &["api"]),
    ("manifest", &["api", "model"]),
    ("http", &[]),
    ("alert", &["api", "model"]),
    ("metrics", &["api", "model"]),
    ("rollout", &["api", "model"]),
    ("router", &["api", "model"]),
    ("webhook", &["api", "model"]),
    ("workload", &["api", "model"]),
    (
        "controller",
        &["alert", "api", "http", "manifest", "metrics", "model", "rollout", "router", "webhook", "workload"],
    ),
    (
        "sim",
        &[
            "alert",
            "api",
            "controller",
            "http",
            "manifest",
            "metrics",
            "model",
            "rollout",
            "router",
            "webhook",
            "workload",
        ],
    ),
];

/// Rooms without I/O, clock and chance, and what would bring them in.
const PURE: &[&str] =
    &["alert", "api", "manifest", "metrics", "model", "rollout", "router", "webhook", "workload"];
const IMPURE: &[&str] = &[
    "kube::Client",
    "kube::Api",
    "kube::client",
    "reqwest::",
    "tokio::",
    "std::fs",
    "std::net",
    "std::process",
    "SystemTime",
    "Instant",
    "Utc::now",
    "Timestamp::now",
    "rand::",
    "async fn",
];

#[test]
fn no_room_uses_a_room_above_it() {
    let rooms: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, allowed) in &rooms {
        for (file, text) in sources(room) {
            for (number, line) in code(&text) {
                for used in crate_paths(line) {
                    if used != *room && rooms.contains_key(used) && !allowed.contains(&used) {
                        wrong.push(format!("{}:{number} uses {used}: {}", file.display(), line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_pure_rooms_have_no_io_no_clock_and_no_chance() {
    let mut wrong = Vec::new();
    for room in PURE {
        for (file, text) in sources(room) {
            for (number, line) in code(&text) {
                if let Some(word) = IMPURE.iter().find(|word| line.contains(**word)) {
                    wrong.push(format!("{}:{number} has {word}: {}", file.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_room_has_its_row() {
    let mut rooms: Vec<String> = fs::read_dir(root().join("src"))
        .expect("the sources")
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|room| room != "cli")
        .collect();
    rooms.sort();
    let mut known: Vec<&str> = MAY_USE.iter().map(|(room, _)| *room).collect();
    known.sort_unstable();
    assert_eq!(rooms, known);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a room, without its tests.
fn sources(room: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    collect(&root().join("src").join(room), &mut found);
    assert!(!found.is_empty(), "no sources of {room}");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, found);
            }
        } else if name.ends_with(".rs") && !matches!(name.as_str(), "tests.rs" | "testing.rs") {
            let text = fs::read_to_string(&path).expect("a source");
            found.push((path, text));
        }
    }
}

/// Lines of code with their numbers: no comments, and nothing from the tests at the bottom on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    (1..).zip(text[..end].lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The first names of `crate::…` paths in a line.
fn crate_paths(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, _)| {
        let rest = &line[at + "crate::".len()..];
        &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())]
    })
}
