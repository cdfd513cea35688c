//! The figures of this process from the operating system, for the `process_*` series that dashboards expect.

use std::fs;

/// The figures of the process at one moment. A figure that cannot be read is 0; without `/proc` all of them are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// The CPU time that it has used, in seconds.
    pub cpu_seconds: f64,
    /// The memory that it has in RAM, in bytes.
    pub resident_bytes: f64,
    /// Its address space, in bytes.
    pub virtual_bytes: f64,
    /// How many files and sockets are open.
    pub open_fds: f64,
    /// How many files and sockets may be open.
    pub max_fds: f64,
    /// When it started, in seconds since 1970-01-01T00:00:00Z.
    pub start_seconds: f64,
}

impl Process {
    /// Reads the figures of this process.
    pub fn look() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open_fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let read = Self::read(
            &text("/proc/self/stat"),
            &text("/proc/self/status"),
            &text("/proc/self/limits"),
            &text("/proc/stat"),
        );
        #[expect(clippy::cast_precision_loss, reason = "a process has fewer files than 2^52")]
        Self { open_fds: open_fds as f64, ..read }
    }

    fn read(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The second field is the command in parentheses and may hold blanks: count from its end.
        let after_command: Vec<f64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
            .unwrap_or_default();
        let field = |number: usize| after_command.get(number - 3).copied().unwrap_or_default();
        let booted = number_after(system, "btime ");
        Self {
            cpu_seconds: (field(14) + field(15)) / TICKS_A_SECOND,
            resident_bytes: number_after(status, "VmRSS:") * 1024.0,
            virtual_bytes: number_after(status, "VmSize:") * 1024.0,
            open_fds: 0.0,
            max_fds: number_after(limits, "Max open files"),
            start_seconds: if booted > 0.0 { booted + field(22) / TICKS_A_SECOND } else { 0.0 },
        }
    }
}

/// The number after `name` on the line that begins with it.
fn number_after(text: &str, name: &str) -> f64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// Linux shows times to user space in hundredths of a second on every architecture.
const TICKS_A_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 1000 1 2";
        let process = Process::read(
            stat,
            "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t  1024 kB\n",
            "Max open files            1024                 4096                 files\n",
            "cpu 1 2 3\nbtime 1700000000\n",
        );
        let expected = Process {
            cpu_seconds: 2.0,
            resident_bytes: 1_048_576.0,
            virtual_bytes: 2_097_152.0,
            open_fds: 0.0,
            max_fds: 1024.0,
            start_seconds: 1_700_000_010.0,
        };
        assert_eq!(expected, process);
    }

    #[test]
    fn nothing_to_read_is_no_panic() {
        assert_eq!(Process::default(), Process::read("", "", "", ""));
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let process = Process::look();
        assert!(
            process.resident_bytes > 0.0 && process.open_fds > 0.0 && process.start_seconds > 1.6e9,
            "{process:?}"
        );
    }
}
