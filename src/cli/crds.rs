//! `vexil crds`: the custom resource definitions as YAML.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;

use crate::api::crds;

/// Prints them, or writes one file a kind into `out`.
pub(super) fn run(out: Option<&Path>) -> anyhow::Result<()> {
    let Some(folder) = out else {
        let documents: Vec<String> = crds::crds().iter().map(crds::to_yaml).collect();
        return match std::io::stdout().write_all(documents.join("---\n").as_bytes()) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot print"),
        };
    };
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    for crd in crds::crds() {
        let path = folder.join(crds::file_name(&crd));
        std::fs::write(&path, crds::to_yaml(&crd))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
