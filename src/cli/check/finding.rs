//! What a check found, and how a check is written down: an id, a title, and a pure judgement of facts that were fetched
//! before.

use serde::Serialize;

use super::PAGE;
use super::asker::NotAsked;

/// How a check ended, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::cli) enum Outcome {
    /// All is well.
    Fine,
    /// The check says nothing here, and why is told.
    Skipped,
    /// It works, and somebody should look at it.
    Warning,
    /// The cluster did not answer this question, or may not be asked it.
    Unasked,
    /// It does not work.
    Wrong,
}

/// One finding of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Finding {
    /// What it is about, where a check looks at several things.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found, with the numbers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cure: String,
}

impl Finding {
    fn new(outcome: Outcome, says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { about: String::new(), outcome, says: says.into(), cure: cure.into() }
    }

    /// All is well, and `says` shows by what that is known; it may be empty.
    pub(in crate::cli) fn fine(says: impl Into<String>) -> Self {
        Self::new(Outcome::Fine, says, "")
    }

    /// There is nothing to say, because of `why`.
    pub(in crate::cli) fn skipped(why: impl Into<String>) -> Self {
        Self::new(Outcome::Skipped, why, "")
    }

    /// It works, and somebody should look at it.
    pub(in crate::cli) fn warning(says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Outcome::Warning, says, cure)
    }

    /// It does not work.
    pub(in crate::cli) fn wrong(says: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Outcome::Wrong, says, cure)
    }

    /// The cluster did not say.
    pub(in crate::cli) fn unasked(why: &NotAsked) -> Self {
        Self::new(Outcome::Unasked, format!("could not be asked: {}", why.why), why.cure.clone())
    }

    /// The same about one of several things.
    pub(in crate::cli) fn about(self, about: impl Into<String>) -> Self {
        Self { about: about.into(), ..self }
    }

    /// Alone in a list, as judgements answer.
    pub(in crate::cli) fn alone(self) -> Vec<Self> {
        vec![self]
    }
}

/// A check of facts of one sort.
pub(in crate::cli) struct Check<F: 'static> {
    /// The name of the check, which is also that of its section in docs/check.md.
    pub id: &'static str,
    /// What is true when all is well.
    pub title: &'static str,
    /// The judgement. No finding at all means that there is nothing to judge.
    pub judge: fn(&F) -> Vec<Finding>,
}

/// A finding with the check that it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Row {
    /// [`Check::id`].
    pub id: &'static str,
    /// [`Check::title`].
    pub title: &'static str,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Where the docs explain it, if it is not fine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub see: String,
}

impl Row {
    pub(in crate::cli) fn new(id: &'static str, title: &'static str, finding: Finding) -> Self {
        let explained = finding.outcome > Outcome::Skipped;
        let see = if explained { format!("{PAGE}#{id}") } else { String::new() };
        Self { id, title, finding, see }
    }
}

/// All findings of these checks, which `page` explains.
pub(in crate::cli) fn judged_on<F>(page: &str, checks: &'static [Check<F>], facts: &F) -> Vec<Row> {
    let mut rows = judged(checks, facts);
    rows.iter_mut().for_each(|row| row.see = row.see.replace(PAGE, page));
    rows
}

/// All findings of these checks.
pub(in crate::cli) fn judged<F>(checks: &'static [Check<F>], facts: &F) -> Vec<Row> {
    let rows = |check: &'static Check<F>| {
        (check.judge)(facts).into_iter().map(|finding| Row::new(check.id, check.title, finding))
    };
    checks.iter().flat_map(rows).collect()
}

/// The ids and titles of these checks.
pub(in crate::cli) fn titles<F>(
    checks: &'static [Check<F>],
) -> impl Iterator<Item = (&'static str, &'static str)> {
    checks.iter().map(|check| (check.id, check.title))
}
