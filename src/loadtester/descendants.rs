//! The children of a command, down to those that have left its process group: every descendant inherits a variable that
//! names the command, and is found by it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpgid, waitpid};

/// A command and all that it has started. When this is dropped, what is left of them ends.
pub struct Family {
    mark: String,
    leader: Option<Pid>,
    leader_runs: bool,
}

impl Family {
    /// Nobody yet.
    pub fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { mark: format!("{}-{number}", std::process::id()), leader: None, leader_runs: false }
    }

    /// The variable that members are known by, and its value.
    pub fn variable(&self) -> (&'static str, &str) {
        (VARIABLE, &self.mark)
    }

    /// `id` is the first member, and leads a process group of its own.
    pub fn begin(&mut self, id: Option<u32>) {
        self.leader = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        self.leader_runs = self.leader.is_some();
    }

    /// The first member has ended and was waited for: its number may be somebody else's from now on.
    pub fn leader_has_ended(&mut self) {
        self.leader_runs = false;
    }

    /// Members that run, without those that have thrown the variable away; and whether there may be others, which are
    /// just becoming another program and have no variables at this moment.
    fn members(&self) -> (HashSet<Pid>, bool) {
        let wanted = format!("{VARIABLE}={}", self.mark);
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let (mut members, mut unsure) = (HashSet::new(), false);
        for id in ids {
            // Not readable for others' processes, which are none of ours.
            let Ok(variables) = std::fs::read(format!("/proc/{id}/environ")) else { continue };
            if variables.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes()) {
                members.extend(Pid::from_raw(id));
            }
            unsure |= variables.is_empty() && becomes_another(id);
        }
        (members, unsure)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let Some(leader) = self.leader else { return };
        // Errors mean that they have ended already.
        if self.leader_runs {
            let _ = kill_process_group(leader, Signal::KILL);
        }
        let mut killed = HashSet::new();
        for _ in 0..ROUNDS {
            let (members, unsure) = self.members();
            // While one is ending its variables are still there, or gone already.
            if !unsure && members.iter().all(|member| killed.contains(member)) {
                break;
            }
            if unsure {
                std::thread::yield_now();
            }
            for member in members {
                let _ = kill_process(member, Signal::KILL);
                killed.insert(member);
            }
        }
        reap(leader, self.leader_runs, &killed);
    }
}

/// In a container this process is the first one, and so the heir of orphans: it has to take notice of their end. Never of
/// that of the leader, which is waited for elsewhere.
fn reap(leader: Pid, leader_runs: bool, killed: &HashSet<Pid>) {
    if !leader_runs {
        while let Ok(Some(_)) = waitpgid(leader, WaitOptions::NOHANG) {}
    }
    for member in killed.iter().filter(|member| **member != leader) {
        let _ = waitpid(Some(*member), WaitOptions::NOHANG);
    }
    if std::process::id() == 1 {
        orphans();
    }
}

/// Whether a process without variables is about to have some: it is neither at its end nor a part of the kernel.
fn becomes_another(id: i32) -> bool {
    const OF_THE_KERNEL: u32 = 0x0020_0000;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    // Behind the state are parent, group, session, terminal and its group, and then the flags.
    let (state, flags) = (fields.next(), fields.nth(5).and_then(|flags| flags.parse::<u32>().ok()));
    !matches!(state, None | Some("Z" | "X")) && flags.is_some_and(|flags| flags & OF_THE_KERNEL == 0)
}

/// Zombies whose parent we are and that no command of ours was the first of. Their process group is not their own number.
fn orphans() {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for id in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
        let (state, parent, group) = (fields.next(), fields.next(), fields.next());
        let leads = group == Some(id.to_string().as_str());
        if state == Some("Z") && parent == Some("1") && !leads {
            let _ = waitpid(Pid::from_raw(id), WaitOptions::NOHANG);
        }
    }
}

/// Known to commands too: a way to see from within whose child one is.
const VARIABLE: &str = "VEXIL_LOADTESTER_COMMAND";
/// How often the list of processes is gone through: whoever starts children while it ends has not many left to start them.
const ROUNDS: usize = 50;
