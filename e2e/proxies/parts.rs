//! The programs that run beside the harness: Traefik, Prometheus, the controller. Each ends with the harness, however that ends.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use vexil_e2e::process;

/// A running program, which is killed when this is dropped.
pub struct Part {
    child: Child,
}

impl Part {
    /// Starts a program; what it prints is added to `<name>.log` in the folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, program: &Path, arguments: &[String], folder: &Path) -> Result<Part> {
        let log = process::append(&log_of(name, folder))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(std::path::absolute(program)?)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {} as {name}", program.display()))?;
        Ok(Part { child })
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// Where a part's words are.
pub fn log_of(name: &str, folder: &Path) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// A port of the loopback that nobody uses.
///
/// # Errors
/// There is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}
