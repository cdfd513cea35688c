//! From the path of a field, as messages name it, to the place in the text where a user has to look.

use super::yaml::{Content, Node, Span};

/// The place of `path` below `node`: the value of the field, its name where the value takes several lines, or, where the
/// field is missing, the name of what it is missing in.
pub fn of(node: &Node, path: &str) -> Span {
    let mut here = (node, node_start(node));
    let mut rest = path;
    while !rest.is_empty() {
        match step(here.0, rest) {
            Some((next, behind)) => {
                here = next;
                rest = behind;
            }
            None => return here.1,
        }
    }
    match &here.0.content {
        Content::Scalar(_)
            if here.0.span.line == here.0.span.end_line && here.0.span != empty(here.0.span) =>
        {
            here.0.span
        }
        _ => here.1,
    }
}

/// The name of the field `path`, where the name itself is what is wrong.
pub fn of_name(node: &Node, path: &str) -> Span {
    let mut here = (node, node_start(node));
    let mut rest = path;
    while let Some((next, behind)) = step(here.0, rest) {
        here = next;
        rest = behind;
    }
    here.1
}

/// Whether the field is there.
pub fn exists(node: &Node, path: &str) -> bool {
    let (mut node, mut rest) = (node, path);
    while !rest.is_empty() {
        match step(node, rest) {
            Some(((next, _), behind)) => (node, rest) = (next, behind),
            None => return false,
        }
    }
    true
}

/// One step down: the node and the place of its name, and what is left of the path. The longest name that fits is
/// taken, since names may have dots in them.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<((&'n Node, Span), &'p str)> {
    match &node.content {
        Content::Scalar(_) => None,
        Content::List(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            Some(((item, node_start(item)), rest.strip_prefix('.').unwrap_or(rest)))
        }
        Content::Map(entries) => {
            let fits = |key: &str| {
                let rest = path.strip_prefix(key)?;
                match rest.as_bytes().first() {
                    None | Some(b'[') => Some(rest),
                    Some(b'.') => Some(&rest[1..]),
                    Some(_) => None,
                }
            };
            entries
                .iter()
                .filter(|entry| !entry.key.is_empty())
                .filter_map(|entry| fits(&entry.key).map(|rest| ((&entry.node, entry.at), rest)))
                .min_by_key(|(_, rest)| rest.len())
        }
    }
}

/// Where a node begins: the name of its first field.
fn node_start(node: &Node) -> Span {
    match &node.content {
        Content::Map(entries) => entries.first().map_or(node.span, |entry| entry.at),
        Content::List(items) => items.first().map_or(node.span, node_start),
        Content::Scalar(_) => node.span,
    }
}

fn empty(span: Span) -> Span {
    Span { end_line: span.line, end_column: span.column, ..span }
}
