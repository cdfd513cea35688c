//! Child processes: run one to its end, keep one running, end one for sure.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// The command could not be started or failed; the text holds the command line and what it printed on stderr.
pub fn run<S: AsRef<std::ffi::OsStr>>(program: &str, arguments: &[S]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    run_command(&mut command, None)
}

/// As [`run`], with text on the command's standard input.
pub fn run_with_input<S: AsRef<std::ffi::OsStr>>(
    program: &str,
    arguments: &[S],
    input: &str,
) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    run_command(&mut command, Some(input))
}

/// As [`run`], for a command that was put together by the caller.
pub fn run_command(command: &mut Command, input: Option<&str>) -> Result<String> {
    let line = format!("{command:?}");
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {line}"))?;
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        // A child that ends early closes the pipe; its exit status tells why.
        let _ = pipe.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("cannot wait for {line}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        bail!("{line}: {}: {}{}", output.status, stderr.trim(), stdout.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A process that is started again whenever it ends, until told to stop: a static pod of ours.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    pub log: PathBuf,
    pub pid_file: PathBuf,
}

/// Starts a service in a thread of its own; `stop` ends the restarts, not the process.
pub fn keep_running(service: Service, stop: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            match start_service(&service) {
                Ok(status) if !stop.load(Ordering::SeqCst) => {
                    println!("{} ended ({}), starting it again", service.name, describe(status));
                }
                Ok(_) => {}
                Err(error) => println!("{}: {error:#}", service.name),
            }
            thread::sleep(Duration::from_millis(300));
        }
    })
}

fn start_service(service: &Service) -> Result<ExitStatus> {
    let log = append(&service.log)?;
    let mut child = Command::new(&service.program)
        .args(&service.arguments)
        .envs(service.environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot start {}", service.program.display()))?;
    std::fs::write(&service.pid_file, child.id().to_string())?;
    let status = child.wait()?;
    let _ = std::fs::remove_file(&service.pid_file);
    Ok(status)
}

/// Opens a log to append to, with its folder.
pub fn append(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

/// Sends a signal to one process; a process that is gone is no error.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    match rustix::process::kill_process(to_pid(pid)?, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process {pid}")),
    }
}

/// Sends a signal to a process group; a group that is gone is no error.
pub fn signal_group(pid: u32, signal: Signal) -> Result<()> {
    match rustix::process::kill_process_group(to_pid(pid)?, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process group {pid}")),
    }
}

/// Whether a process exists and has not ended yet (ended ones stay until their parent asks).
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in brackets and may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits until a process is gone; false when the deadline passes first.
pub fn wait_gone(pid: u32, deadline: Duration) -> bool {
    let start = Instant::now();
    while alive(pid) {
        if start.elapsed() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Reads a pid file.
pub fn read_pid(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The exit code as a shell would give it: 128 + n for signal n.
pub fn exit_code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn describe(status: ExitStatus) -> String {
    status
        .signal()
        .map_or_else(|| format!("exit code {}", exit_code(status)), |signal| format!("signal {signal}"))
}

fn to_pid(pid: u32) -> Result<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw).with_context(|| format!("{pid} is no process id"))
}
