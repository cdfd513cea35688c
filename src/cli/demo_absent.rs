//! `vexil demo` in a build without the embedded cluster, such as the controller's image: says so.

use anyhow::bail;
use clap::Args;

/// Whatever the demo would take.
#[derive(Args)]
pub(super) struct Arguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    ignored: Vec<String>,
}

pub(super) fn run(_: &Arguments) -> anyhow::Result<()> {
    bail!(
        "this build has no embedded cluster, so there is no demo: the controller's image leaves it out \
         (build with `cargo build --release`, whose default features have it)"
    )
}
