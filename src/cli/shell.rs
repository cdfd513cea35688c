//! What a shell is told of the command line: completions and man pages, from the same description that reads it.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;

/// Prints the completions of a shell.
pub(super) fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "vexil", &mut text);
    super::print::put(&String::from_utf8_lossy(&text))
}

/// Writes a man page for each command into a folder.
pub(super) fn man(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    clap_mangen::generate_to(Arguments::command().disable_help_subcommand(true), folder)
        .with_context(|| format!("cannot write man pages to {}", folder.display()))
}
