//! Makes the machine busy: a process a core that does nothing but work, to see that no verdict depends on a quiet machine.

use std::hint::black_box;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// The processes; they end with this.
pub struct Busy(Vec<Child>);

impl Busy {
    /// Starts one for each core.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start() -> Result<Busy> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let program = std::env::current_exe()?;
        let mut all = Busy(Vec::new());
        for _ in 0..cores {
            // They end with this process however that ends.
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).arg(&program).arg("spin").stdin(Stdio::null());
            all.0.push(command.spawn().context("cannot keep a core busy")?);
        }
        println!("{cores} cores are kept busy");
        Ok(all)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended already needs neither.
            let _ = (child.kill(), child.wait());
        }
    }
}

/// Keeps a core busy for ever.
pub fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}
