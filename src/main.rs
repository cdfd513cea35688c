//! `vexil`: see `vexil help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    vexil::http::install_tls_provider();
    vexil::cli::run(std::env::args().collect())
}
