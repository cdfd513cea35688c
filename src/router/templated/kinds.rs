//! The kinds of object that RouteTemplates name. A [`Kind`] is a few words that live as long as the process, so that it
//! can be copied and compared everywhere; the words of these come from the cluster, and so each distinct kind is kept
//! for good, once. Since every kind is also watched from then on, their number is bounded: in all, and for the
//! templates of one namespace, so that nobody takes the places of others.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::object::Kind;

/// The kind with these words, of a template in `namespace`.
///
/// # Errors
/// If there are too many kinds already.
pub(super) fn kind(
    namespace: &str,
    (group, version, name, plural): (&str, &str, &str, &str),
    cluster_wide: bool,
) -> Result<Kind, String> {
    let is = |kind: &Kind| {
        kind.group == group
            && kind.version == version
            && kind.kind == name
            && kind.plural == plural
            && kind.cluster_wide == cluster_wide
    };
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kind) = known.keys().copied().find(is) {
        return Ok(kind);
    }
    let of_namespace = known.values().filter(|first| **first == namespace).count();
    let full = if known.len() >= MOST {
        Some(format!("RouteTemplates name {MOST} kinds already"))
    } else if of_namespace >= MOST_OF_A_NAMESPACE {
        Some(format!("the RouteTemplates of namespace {namespace} name {MOST_OF_A_NAMESPACE} kinds already"))
    } else {
        None
    };
    if let Some(full) = full {
        return Err(format!(
            "{full}, and no more are watched: remove what is not used, and start the controller anew"
        ));
    }
    let kept = |word: &str| -> &'static str { Box::leak(Box::from(word)) };
    let kind = Kind::new(kept(group), kept(version), kept(name), kept(plural));
    let kind = if cluster_wide { kind.cluster_wide() } else { kind };
    known.insert(kind, namespace.to_owned());
    Ok(kind)
}

/// The kinds that were met, and the namespace of the first template that named them.
static KNOWN: Mutex<BTreeMap<Kind, String>> = Mutex::new(BTreeMap::new());

const MOST: usize = 64;
const MOST_OF_A_NAMESPACE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_kept_once_and_no_namespace_takes_all_places() {
        let name = |number: usize| format!("Flood{number}");
        let kind = |number: usize| kind("flood", ("flood.example.com", "v1", &name(number), "floods"), false);
        let first = kind(0).expect("a place");
        assert!(std::ptr::eq(first.kind, kind(0).expect("known").kind));
        let refused = (1..=MOST_OF_A_NAMESPACE).filter(|number| kind(*number).is_err()).count();
        assert_eq!(refused, 1);
        assert!(kind(3).is_ok(), "what is known stays");
        let why = kind(MOST_OF_A_NAMESPACE).expect_err("full");
        assert!(why.contains("namespace flood"), "{why}");
    }
}
