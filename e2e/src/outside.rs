//! The cluster from outside: bring it up in namespaces of its own, go inside, tear it down.
//!
//! One process (`unshare … supervise`) is the root of everything: its child is pid 1 of a process namespace, so that
//! killing it ends every process of the cluster, and with them their network, mounts and addresses. Nothing is left
//! on the machine but the folder of [`Place`].

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::place::Place;
use crate::{process, tools};

const BOOT_DEADLINE: Duration = Duration::from_secs(300);

/// How long the cluster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until `down`.
    Detached,
    /// At most as long as this process, however that ends.
    Attached,
}

/// Boots a cluster and waits until its control plane serves. Shows the progress.
pub fn up(place: &Place, lifetime: Lifetime) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "namespaces need root: run it with sudo");
    ensure!(!is_alive(place), "a cluster is up in {} already: see `down`", place.root().display());
    tools::check()?;
    if place.root().exists() {
        std::fs::remove_dir_all(place.root())
            .with_context(|| format!("cannot clear {}", place.root().display()))?;
    }
    place.create()?;
    let started = Instant::now();
    let mut root = start(place, lifetime)?;
    let mut log = Follower::new(place.supervisor_log());
    loop {
        log.show();
        if let Some(status) = root.try_wait()? {
            bail!("the cluster ended while it booted ({status}); see {}", place.logs().display());
        }
        if let Some(pid) = only_child(root.id()) {
            std::fs::write(place.supervisor_pid(), pid.to_string())?;
        }
        if place.ready().exists() {
            break;
        }
        if started.elapsed() > BOOT_DEADLINE {
            down(place)?;
            bail!(
                "the control plane did not come up within {} s; see {}",
                BOOT_DEADLINE.as_secs(),
                place.logs().display()
            );
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("control plane: up in {:.1} s", started.elapsed().as_secs_f64());
    // Reaped whenever it ends.
    std::thread::spawn(move || root.wait());
    Ok(())
}

fn start(place: &Place, lifetime: Lifetime) -> Result<Child> {
    // A copy, so that a build in between does not change what runs.
    let program = place.root().join("vexil-e2e");
    std::fs::copy(std::env::current_exe()?, &program)?;
    let log = process::append(&place.supervisor_log())?;
    // Either way a Ctrl-C at the terminal reaches this process alone, which then ends the cluster in good order.
    let mut command = match lifetime {
        Lifetime::Detached => Command::new("setsid"),
        Lifetime::Attached => {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).process_group(0);
            command
        }
    };
    command
        .args(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program)
        .arg("supervise")
        .env("E2E_DIR", place.root())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the cluster")
}

/// Whether a cluster runs in this place and serves.
pub fn is_up(place: &Place) -> bool {
    is_alive(place) && place.ready().exists()
}

fn is_alive(place: &Place) -> bool {
    let Some(pid) = process::read_pid(&place.supervisor_pid()) else { return false };
    // A pid that was written down long ago may be somebody else's today.
    let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    process::alive(pid) && command.ends_with("supervise\0")
}

/// Ends the cluster and everything in it; the folder stays.
pub fn down(place: &Place) -> Result<()> {
    if is_alive(place)
        && let Some(pid) = process::read_pid(&place.supervisor_pid())
    {
        process::signal(pid, Signal::KILL)?;
        ensure!(process::wait_gone(pid, Duration::from_secs(30)), "process {pid} does not end");
        println!("the cluster is down");
    }
    Ok(())
}

/// Ends the cluster and removes its folder.
pub fn down_and_clear(place: &Place) -> Result<()> {
    down(place)?;
    if place.root().exists() {
        std::fs::remove_dir_all(place.root())?;
    }
    Ok(())
}

/// Removes what a cluster that is down has left, but for the table of its runs.
pub fn clear_all_but_the_report(place: &Place) -> Result<()> {
    let report = place.root().join("report.txt");
    let table = std::fs::read_to_string(&report).ok();
    down_and_clear(place)?;
    if let Some(table) = table {
        std::fs::create_dir_all(place.root())?;
        std::fs::write(report, table)?;
    }
    Ok(())
}

/// Where [`keep_evidence`] puts a folder.
pub fn evidence(place: &Place) -> PathBuf {
    let mut name = place.root().as_os_str().to_owned();
    name.push("-failure");
    PathBuf::from(name)
}

/// Gives the evidence of the n-th time a name of its own.
pub fn number_evidence(place: &Place, n: u32) -> Result<()> {
    let from = evidence(place);
    let mut name = from.as_os_str().to_owned();
    name.push(format!("-{n}"));
    let to = PathBuf::from(name);
    if to.exists() {
        std::fs::remove_dir_all(&to)?;
    }
    if from.exists() {
        std::fs::rename(&from, &to)?;
        println!("that is now {}", to.display());
    }
    Ok(())
}

/// Puts the folder of a cluster that is down aside, for whoever looks for the failure.
pub fn keep_evidence(place: &Place) -> Result<PathBuf> {
    let kept = evidence(place);
    if kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    for useless in [place.etcd(), place.pods(), place.pki(), place.pids()] {
        let _ = std::fs::remove_dir_all(useless);
    }
    std::fs::rename(place.root(), &kept)?;
    Ok(kept)
}

/// A command that runs inside the cluster's namespaces.
pub fn inside(place: &Place, program: &Path) -> Result<Command> {
    let pid = process::read_pid(&place.supervisor_pid()).context("no cluster is up")?;
    let mut command = Command::new("nsenter");
    command
        .args(["-t", &pid.to_string(), "--net", "--mount", "--pid", "--"])
        .arg(program)
        .env("E2E_DIR", place.root())
        .env("KUBECONFIG", place.kubeconfig());
    let path = std::env::var("PATH").unwrap_or_default();
    let folder =
        |tool: tools::Tool| tool.path().parent().map(|p| p.display().to_string()).unwrap_or_default();
    command.env("PATH", format!("{}:{}:{path}", folder(tools::Tool::Kubectl), folder(tools::Tool::Helm)));
    Ok(command)
}

/// Runs a command to its end, or until this process is told to stop; then it gives none.
pub async fn wait_or_interrupt(mut command: Command) -> Result<Option<ExitStatus>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
    let pid = child.id();
    let ended = tokio::task::spawn_blocking(move || child.wait());
    tokio::select! {
        status = ended => Ok(Some(status??)),
        _ = interrupt.recv() => { process::signal(pid, Signal::TERM)?; Ok(None) }
        _ = terminate.recv() => { process::signal(pid, Signal::TERM)?; Ok(None) }
    }
}

/// The child of a process that has one.
fn only_child(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Copies what is new in a file to standard output.
struct Follower {
    path: PathBuf,
    seen: u64,
}

impl Follower {
    fn new(path: PathBuf) -> Follower {
        Follower { path, seen: 0 }
    }

    fn show(&mut self) {
        let Ok(mut file) = std::fs::File::open(&self.path) else { return };
        let mut text = Vec::new();
        if file.seek(SeekFrom::Start(self.seen)).is_ok() && file.read_to_end(&mut text).is_ok() {
            self.seen += text.len() as u64;
            let _ = std::io::stdout().write_all(&text);
        }
    }
}
