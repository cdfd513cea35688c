//! `vexil`: see `vexil help`.

use std::process::ExitCode;

/// The allocator of musl, which the image is built with, is slow.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    vexil::http::install_tls_provider();
    vexil::cli::run(std::env::args().collect())
}
