//! Commands: a program with its children, their output, and their end.

use std::io::ErrorKind;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::descendants::Family;

/// A command that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The program, looked for on the PATH.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What was asked for, for answers and the log.
    pub text: String,
    /// Variables that it finds beside those of the load tester.
    pub variables: Vec<(String, String)>,
}

/// The end of what a command said, standard output and error as they came. Can be read while it runs.
#[derive(Clone, Default)]
pub struct Output(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    lost: u64,
}

impl Output {
    /// As text, with a line in place of what was too much.
    pub fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept.bytes);
        if kept.lost == 0 {
            text.into_owned()
        } else {
            format!("({} bytes before this are left out)\n{text}", kept.lost)
        }
    }

    /// Adds a text of our own.
    pub fn say(&self, text: &str) {
        self.add(text.as_bytes());
    }

    fn add(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes.extend_from_slice(bytes);
        // Not for each piece that comes: moving the rest costs.
        if kept.bytes.len() > 2 * MOST {
            let too_much = kept.bytes.len() - MOST;
            kept.bytes.drain(..too_much);
            kept.lost += too_much as u64;
        }
    }
}

impl Script {
    /// Runs it to its end: until it has ended and nobody holds its output any more. If this future is dropped, the command
    /// ends at once; in either case so do the children that it has left.
    ///
    /// # Errors
    /// If it cannot be started, or ends with anything but success.
    pub async fn run(&self, output: &Output) -> Result<(), String> {
        let (reader, writer) = std::io::pipe().map_err(|error| error.to_string())?;
        let mut family = Family::new();
        let mut child = self.spawn(writer, &family)?;
        family.begin(child.id());
        let mut reader = pipe::Receiver::from_owned_fd(reader.into()).map_err(|error| error.to_string())?;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => output.add(&buffer[..count]),
            }
        }
        let ended = child.wait().await;
        family.leader_has_ended();
        match ended {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string().replace("exit status: ", "exit status ")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The ends of the pipe that this process holds are closed when it returns.
    fn spawn(&self, writer: std::io::PipeWriter, family: &Family) -> Result<Child, String> {
        let second = writer.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(self.program);
        command
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env(family.variable().0, family.variable().1)
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(second)
            .process_group(0);
        command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => format!(
                "{} cannot be started: it is not in this image; commands need that of deploy/Dockerfile.loadtester",
                self.program
            ),
            _ => format!("{} cannot be started: {error}", self.program),
        })
    }
}

/// Bytes of output that are kept.
pub const MOST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_not_in_the_image_is_said_with_the_image_that_has_it() {
        let script = Script {
            program: "no-such-program",
            arguments: Vec::new(),
            text: String::new(),
            variables: Vec::new(),
        };
        let why = script.run(&Output::default()).await.expect_err("it is not here");
        assert!(why.starts_with("no-such-program cannot be started: it is not in this image"), "{why}");
        assert!(why.ends_with("deploy/Dockerfile.loadtester"), "{why}");
    }
}
