//! `vexil simulate` in a build without the embedded cluster, such as the controller's image: says so.

use std::process::ExitCode;

use clap::Args;

/// Whatever the simulation would take.
#[derive(Args)]
pub(super) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    ignored: Vec<String>,
}

/// Cannot be said: 2.
pub(super) fn run(_: &Arguments) -> ExitCode {
    super::print::complain(format_args!(
        "vexil: this build has no embedded cluster, so nothing can be simulated: the controller's image leaves it out \
         (build with `cargo build --release`, whose default features have it)"
    ));
    ExitCode::from(2)
}
