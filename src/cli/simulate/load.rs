//! Reads the files that a simulation is about.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::sim::simulate::Source;

/// The texts of files, of the manifests in folders, and of standard input (`-`).
///
/// # Errors
/// All that cannot be read.
pub(super) fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, Vec<String>> {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for path in paths {
        let files = if path.is_dir() { manifests(path) } else { Ok(vec![path.clone()]) };
        match files {
            Ok(files) if files.is_empty() => {
                wrong.push(format!("{}: there is no file that ends in .yaml, .yml or .json", path.display()));
            }
            Ok(files) => {
                for file in files {
                    match text(&file) {
                        Ok(text) => found.push(Source { name: file.display().to_string(), text }),
                        Err(why) => wrong.push(why),
                    }
                }
            }
            Err(why) => wrong.push(why),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

/// The text of a file, or of standard input.
///
/// # Errors
/// If it cannot be read, or is longer than manifests are.
pub(super) fn text(path: &Path) -> Result<String, String> {
    let failed = |why: std::io::Error| format!("cannot read {}: {why}", path.display());
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(LONGEST).read_to_string(&mut text)
    } else {
        fs::File::open(path).map_err(failed)?.take(LONGEST).read_to_string(&mut text)
    };
    if read.map_err(failed)? as u64 == LONGEST {
        return Err(format!("{} is longer than {} MiB", path.display(), LONGEST >> 20));
    }
    Ok(text)
}

/// The manifests of a folder and of those in it, in the order of their names.
fn manifests(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |why: std::io::Error| format!("cannot read {}: {why}", folder.display());
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let hidden = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let ending = entry.extension().unwrap_or_default().to_string_lossy().into_owned();
        // A link could lead in a circle.
        if entry.is_dir() && !entry.is_symlink() && !hidden {
            found.extend(manifests(&entry)?);
        } else if entry.is_file() && matches!(ending.as_str(), "yaml" | "yml" | "json") {
            found.push(entry);
        }
    }
    Ok(found)
}

const LONGEST: u64 = 16 << 20;
