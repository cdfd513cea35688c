//! The walls of the house: which room may use which, read from the `use` lines (ARCHITECTURE.md, The rooms).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may use. `cli` and `lib.rs` may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("model", &["api"]),
    ("manifest", &["api", "model"]),
    ("http", &[]),
    ("template", &[]),
    ("judge", &["api", "manifest", "metrics", "model", "rollout", "router"]),
    (
        "lint",
        &[
            "alert", "api", "judge", "manifest", "metrics", "model", "rollout", "router", "webhook",
            "workload",
        ],
    ),
    ("loadtester", &["api", "http", "model"]),
    ("alert", &["api", "model"]),
    ("metrics", &["api", "model", "template"]),
    ("rollout", &["api", "model"]),
    ("router", &["api", "model", "template"]),
    ("webhook", &["api", "model"]),
    ("workload", &["api", "model"]),
    (
        "controller",
        &[
            "alert", "api", "http", "judge", "manifest", "metrics", "model", "rollout", "router", "webhook",
            "workload",
        ],
    ),
    (
        "sim",
        &[
            "alert",
            "api",
            "controller",
            "http",
            "judge",
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
const PURE: &[&str] = &[
    "alert", "api", "judge", "lint", "manifest", "metrics", "model", "rollout", "router", "template",
    "webhook", "workload",
];
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

#[test]
fn the_modules_of_no_room_form_a_cycle() {
    let core = uses_within("rollout");
    assert!(core["machine"].contains("resting") && core["step"].contains("interlock"), "{core:?}");
    let rooms = MAY_USE.iter().map(|(room, _)| *room).chain(["cli"]);
    let circles: BTreeMap<&str, _> = rooms
        .map(|room| (room, without_what_ends(uses_within(room))))
        .filter(|(_, circle)| !circle.is_empty())
        .collect();
    assert!(circles.is_empty(), "these modules use each other in a circle, or use a circle: {circles:#?}");
}

/// Leaves only modules that are part of a cycle or use one: a module that uses nothing is taken away, then those that
/// only used such modules, and so on.
fn without_what_ends(mut uses: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    while let Some(module) = uses.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| module.clone()) {
        uses.remove(&module);
        uses.values_mut().for_each(|used| {
            used.remove(&module);
        });
    }
    uses
}

/// For each module of `room` its siblings that it uses, by its `use super::…` and `use crate::<room>::…` lines and by
/// the paths in its code. A folder counts as one module.
fn uses_within(room: &str) -> BTreeMap<String, BTreeSet<String>> {
    let folder = root().join("src").join(room);
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, text) in sources(room) {
        let inside = file.strip_prefix(&folder).expect("a file of the room");
        // The file `mod.rs` of a folder is one level higher than its neighbours.
        let depth = inside.components().count() - usize::from(inside.ends_with("mod.rs"));
        let module = inside.components().next().expect("a name").as_os_str().to_string_lossy();
        let module = module.trim_end_matches(".rs").to_owned();
        if module == "mod" {
            continue;
        }
        let up = "super::".repeat(depth);
        let code: String = code(&text).map(|(_, line)| line.trim()).collect::<Vec<_>>().join(" ");
        let used = uses.entry(module).or_default();
        for prefix in [up, format!("crate::{room}::")] {
            for (at, _) in code.match_indices(&prefix) {
                if !code[..at].ends_with("super::") {
                    used.extend(first_names(&code[at + prefix.len()..]));
                }
            }
        }
    }
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    for (module, used) in &mut uses {
        used.retain(|name| modules.contains(name) && name != module);
    }
    uses
}

/// The first name of a path, or those of a group of paths: `step` of `step::Plan`, `a` and `b` of `{a, b::{self, C}}`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names, mut expected) = (1, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => expected = true,
            c if expected && !c.is_whitespace() => {
                names.push(name(&group[at..]));
                expected = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
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
