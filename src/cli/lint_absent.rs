//! `vexil lint` in a build without it.

use std::process::ExitCode;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _all: Vec<String>,
}

/// Says what is missing.
pub(super) fn run(_: &Arguments) -> ExitCode {
    super::print::complain("vexil: this build has no lint: build it with the feature `embedded`");
    ExitCode::from(2)
}
