//! Who may speak for which namespace.
//!
//! The namespace in a payload is what the caller claims. Without tokens and keys that is all there is to go by. With them, a
//! caller may claim its own namespace alone, or any if it is trusted as the controller is; the list of namespaces holds in
//! either case.

use std::collections::BTreeSet;

use regex::Regex;

/// Who called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Callers are not asked who they are.
    Anybody,
    /// One that has proved it.
    Known {
        /// For the log.
        name: String,
        /// The one namespace that it may speak for; any if there is none.
        namespace: Option<String>,
    },
}

impl Caller {
    /// For the log.
    pub fn name(&self) -> &str {
        match self {
            Self::Anybody => "somebody",
            Self::Known { name, .. } => name,
        }
    }
}

/// The namespaces that are served.
#[derive(Clone, Debug, Default)]
pub struct Namespaces {
    /// As the reference has it: found anywhere in the name.
    pub pattern: Option<Regex>,
    /// The exact names; any if it is empty.
    pub names: BTreeSet<String>,
}

impl Namespaces {
    /// Whether `caller` may speak for `namespace`.
    ///
    /// # Errors
    /// If not. The text says which rule was against it, for the log.
    pub fn allow(&self, caller: &Caller, namespace: &str) -> Result<(), String> {
        if self.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(namespace)) {
            return Err(format!("namespace {namespace} is not one that -namespace-regexp allows"));
        }
        if !self.names.is_empty() && !self.names.contains(namespace) {
            return Err(format!("namespace {namespace} is not one of -namespaces"));
        }
        match caller {
            Caller::Known { name, namespace: Some(own) } if own != namespace => {
                Err(format!("{name} may speak for namespace {own}, not for {namespace}"))
            }
            _ => Ok(()),
        }
    }

    /// A pattern that matches more than it may be meant to, in words.
    pub fn warning(&self) -> Option<String> {
        let pattern = self.pattern.as_ref()?.as_str();
        let anchored = pattern.starts_with('^') && pattern.ends_with('$') && !pattern.contains('|');
        (!anchored).then(|| {
            format!(
                "-namespace-regexp={pattern} is looked for anywhere in a name: \"test\" allows \"my-test-2\" too. Write \
                 ^({pattern})$, or list the names in -namespaces"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::any("", "", None, "shop", true)]
    #[case::found_within("test", "", None, "my-test-2", true)]
    #[case::not_found("test", "", None, "shop", false)]
    #[case::anchored("^test$", "", None, "my-test-2", false)]
    #[case::listed("", "shop,test", None, "test", true)]
    #[case::a_part("", "shop,test", None, "tes", false)]
    #[case::both_rules("shop", "shop,test", None, "test", false)]
    #[case::own("", "", Some("shop"), "shop", true)]
    #[case::claimed("", "", Some("shop"), "bank", false)]
    #[case::own_but_not_served("", "test", Some("shop"), "shop", false)]
    fn a_namespace_is_served_if_no_rule_is_against_it(
        #[case] pattern: &str,
        #[case] names: &str,
        #[case] own: Option<&str>,
        #[case] claimed: &str,
        #[case] allowed: bool,
    ) {
        let namespaces = Namespaces {
            pattern: (!pattern.is_empty()).then(|| Regex::new(pattern).expect("a pattern")),
            names: names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        };
        let caller = match own {
            Some(own) => Caller::Known { name: "x".into(), namespace: Some(own.into()) },
            None => Caller::Anybody,
        };
        assert_eq!(allowed, namespaces.allow(&caller, claimed).is_ok());
    }

    #[rstest]
    #[case("test", true)]
    #[case("^test$|^shop$", true)]
    #[case("^(test|shop)$", true)]
    #[case("^test$", false)]
    fn a_pattern_that_may_match_more_is_warned_about(#[case] pattern: &str, #[case] warned: bool) {
        let namespaces =
            Namespaces { pattern: Some(Regex::new(pattern).expect("a pattern")), ..Namespaces::default() };
        assert_eq!(warned, namespaces.warning().is_some());
    }
}
