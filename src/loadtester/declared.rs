//! Tasks that the one who runs the load tester has declared: the only commands that run unless requests may bring their own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;

use super::payload::Metadata;
use crate::api::duration;

/// The declared tasks, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared(BTreeMap<String, Entry>);

/// A declared task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As a webhook would have it.
    pub metadata: Metadata,
    /// The namespaces that may run it; all if it is empty.
    namespaces: BTreeSet<String>,
    /// How long it may run; as long as any other task if there is none.
    pub timeout: Option<Duration>,
}

impl Entry {
    /// The namespaces that may run it; all if there are none.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().map(String::as_str)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tasks: BTreeMap<String, Wire>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    metadata: Metadata,
    #[serde(default)]
    namespaces: BTreeSet<String>,
    timeout: Option<String>,
}

impl Declared {
    /// Reads the file of `-tasks`.
    ///
    /// # Errors
    /// If it is not one; the text says where.
    pub fn read(yaml: &str) -> Result<Self, String> {
        let file: File = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let entry = |(name, wire): (String, Wire)| {
            let timeout = wire.timeout.as_deref().map(duration::parse).transpose();
            let timeout = timeout.map_err(|error| format!("tasks.{name}.timeout: {error}"))?;
            if wire.metadata.contains_key("task") {
                return Err(format!("tasks.{name}.metadata.task: a declared task cannot name another"));
            }
            Ok((name, Entry { metadata: wire.metadata, namespaces: wire.namespaces, timeout }))
        };
        file.tasks.into_iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// The task that a hook of the namespace asks for: by its name in `task`, or by saying exactly what was declared.
    ///
    /// # Errors
    /// If it names one that there is not, or not for this namespace, or says more than its name.
    pub fn find(&self, metadata: &Metadata, namespace: &str) -> Result<Option<&Entry>, String> {
        let open = |entry: &Entry| entry.namespaces.is_empty() || entry.namespaces.contains(namespace);
        let Some(name) = metadata.get("task") else {
            return Ok(self.0.values().find(|entry| open(entry) && entry.metadata == *metadata));
        };
        if metadata.len() > 1 {
            return Err("metadata task stands alone: all else is what was declared with it".to_owned());
        }
        match self.0.get(name).filter(|entry| open(entry)) {
            Some(entry) => Ok(Some(entry)),
            None => {
                let known = self.0.iter().filter(|(_, entry)| open(entry)).map(|(name, _)| name.as_str());
                let known: Vec<&str> = known.collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name = super::payload::shortened(name);
                Err(format!("no task {name:?} is declared for namespace {namespace} (there are: {known})"))
            }
        }
    }

    /// What was declared, with the names.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const FILE: &str = "tasks:\n  smoke:\n    metadata: {type: bash, cmd: echo hello}\n    timeout: 3m\n  \
                        bank:\n    metadata: {cmd: hey http://bank}\n    namespaces: [bank]\n";

    fn of(pairs: &[(&str, &str)]) -> Metadata {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[rstest]
    #[case::by_name(&[("task", "smoke")], Some("echo hello"))]
    #[case::by_what_it_says(&[("type", "bash"), ("cmd", "echo hello")], Some("echo hello"))]
    #[case::a_blank_more(&[("type", "bash"), ("cmd", "echo hello ")], None)]
    #[case::another_type(&[("cmd", "echo hello")], None)]
    #[case::a_key_more(&[("type", "bash"), ("cmd", "echo hello"), ("returnCmdOutput", "true")], None)]
    #[case::others(&[("cmd", "hey http://bank")], None)]
    fn a_task_is_found_by_its_name_or_by_its_whole_text(
        #[case] asked: &[(&str, &str)],
        #[case] cmd: Option<&str>,
    ) {
        let declared = Declared::read(FILE).expect("a file");
        let found = declared.find(&of(asked), "shop").expect("no error");
        assert_eq!(cmd, found.map(|entry| entry.metadata["cmd"].as_str()));
    }

    #[rstest]
    #[case(&[("task", "bank")], "no task \"bank\" is declared for namespace shop (there are: smoke)")]
    #[case(&[("task", "smoke"), ("cmd", "rm -rf /")], "metadata task stands alone")]
    fn a_name_gives_nothing_but_what_was_declared(#[case] asked: &[(&str, &str)], #[case] expected: &str) {
        let declared = Declared::read(FILE).expect("a file");
        let why = declared.find(&of(asked), "shop").expect_err("refused");
        assert!(why.starts_with(expected), "{why}");
    }

    #[rstest]
    #[case("", "")]
    #[case("tasks: [a]", "")]
    #[case("tasks: {a: {metadata: {cmd: x}, timeouts: 3m}}", "timeouts")]
    #[case("tasks: {a: {metadata: {cmd: x}, timeout: soon}}", "tasks.a.timeout")]
    #[case("tasks: {a: {metadata: {task: b}}}", "tasks.a.metadata.task")]
    fn a_file_that_is_none_is_refused(#[case] file: &str, #[case] expected: &str) {
        let why = Declared::read(file).expect_err("refused");
        assert!(why.contains(expected), "{why}");
    }
}
