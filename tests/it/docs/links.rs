//! Links, anchors, and the table of contents.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::markdown::Page;
use super::{TO_COME, others, pages, root};

#[test]
fn every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let mut broken = Vec::new();
    for page in pages().into_iter().chain(others()) {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new("")).to_owned();
        for link in page.links() {
            if link.target.contains("://") || link.target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
            let target = if path.is_empty() { PathBuf::from(&page.path) } else { normal(&folder.join(path)) };
            let place = format!("{}:{}: {}", page.path, link.line, link.target);
            if target
                .strip_prefix("docs")
                .is_ok_and(|below| TO_COME.iter().any(|page| below == Path::new(page)))
            {
                continue;
            }
            if !root().join(&target).exists() {
                broken.push(format!("{place}: there is no {}", target.display()));
            } else if !anchor.is_empty() && target.extension().is_some_and(|end| end == "md") {
                let anchors = Page::read(&root().join(&target)).anchors();
                if !anchors.iter().any(|known| known == anchor) {
                    broken.push(format!("{place}: no such heading; there are {anchors:?}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_table_of_contents_lists_every_page_once() {
    let summary = Page::read(&root().join("docs/SUMMARY.md"));
    let mut listed = BTreeSet::new();
    for link in summary.links() {
        assert!(listed.insert(link.target.clone()), "{} is listed twice", link.target);
    }
    let there: BTreeSet<String> = pages()
        .into_iter()
        .filter_map(|page| page.path.strip_prefix("docs/").map(str::to_owned))
        .filter(|path| path != "SUMMARY.md")
        .collect();
    let missing: Vec<&String> = there.difference(&listed).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not list {missing:?}");
    for page in TO_COME {
        assert!(listed.contains(*page), "docs/SUMMARY.md does not list {page}");
    }
}

/// Without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}
