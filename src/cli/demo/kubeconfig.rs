//! The kubeconfig of a demo that listens: in a folder of its own for as long as the demo runs. What a demo leaves that
//! was killed is taken away by the next one.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use kubesim::Listening;

use super::shop::NAMESPACE;

/// A kubeconfig in a folder of its own, until this is dropped.
pub(super) struct Kubeconfig {
    folder: PathBuf,
    path: PathBuf,
    /// Locked as long as the demo runs, however it ends.
    _lock: File,
}

/// A demo that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    pub process: String,
    pub kubeconfig: PathBuf,
}

impl Kubeconfig {
    /// Writes one for what listens, with the shop's namespace as the default.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(listening: &Listening) -> anyhow::Result<Self> {
        let text = listening.kubeconfig().replace("namespace: default", &format!("namespace: {NAMESPACE}"));
        Self::write_in(&std::env::temp_dir(), &text)
    }

    fn write_in(parent: &Path, text: &str) -> anyhow::Result<Self> {
        sweep(parent);
        let folder = own_folder(parent)
            .with_context(|| format!("no folder for the kubeconfig can be made in {}", parent.display()))?;
        let path = folder.join("kubeconfig");
        let lock = lock(&folder).and_then(|lock| fs::write(&path, text).map(|()| lock));
        match lock {
            Ok(lock) => Ok(Self { folder, path, _lock: lock }),
            Err(why) => {
                let _ = fs::remove_dir_all(&folder);
                Err(why).with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        // What cannot be removed is small and tells nothing.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The demo of this user that listens at `address`, if there is one.
pub(super) fn running_at(address: SocketAddr) -> Option<Running> {
    let server = format!("server: http://{address}");
    own_folders(&std::env::temp_dir()).find_map(|folder| {
        let kubeconfig = folder.join("kubeconfig");
        let text = fs::read_to_string(&kubeconfig).ok()?;
        let is_it = text.lines().any(|line| line.trim() == server) && is_alive(&folder);
        let process = folder.file_name()?.to_str()?.strip_prefix(PREFIX)?.split('-').next()?.to_owned();
        is_it.then_some(Running { process, kubeconfig })
    })
}

/// Takes away what demos left that could not do so themselves.
fn sweep(parent: &Path) {
    for folder in own_folders(parent).filter(|folder| folder.join(LOCK).exists() && !is_alive(folder)) {
        let _ = fs::remove_dir_all(folder);
    }
}

/// The folders of demos of this user.
fn own_folders(parent: &Path) -> impl Iterator<Item = PathBuf> {
    let me = rustix::process::geteuid().as_raw();
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let is_ours = entry.file_name().to_str()?.starts_with(PREFIX)
            && entry.metadata().is_ok_and(|folder| folder.is_dir() && folder.uid() == me);
        is_ours.then(|| entry.path())
    })
}

/// Whether the demo of this folder still runs.
fn is_alive(folder: &Path) -> bool {
    let file = File::open(folder.join(LOCK));
    file.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// A lock in this folder. It gets its name when it is locked: one without its demo is nobody's.
fn lock(folder: &Path) -> io::Result<File> {
    let unnamed = folder.join("lock-to-be");
    let lock = File::create(&unnamed)?;
    lock.lock()?;
    fs::rename(unnamed, folder.join(LOCK))?;
    Ok(lock)
}

/// A folder that was not there before, so that nobody else can have prepared it.
fn own_folder(parent: &Path) -> io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let folder = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => number += 1,
            created => return created.map(|()| folder),
        }
    }
}

const PREFIX: &str = "vexil-demo-";
const LOCK: &str = "lock";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_demo_left_is_taken_away_and_what_another_needs_is_not() {
        let parent = std::env::temp_dir().join(format!("of-a-test-{}", std::process::id()));
        fs::create_dir_all(&parent).expect("a folder");
        let alive = Kubeconfig::write_in(&parent, "one").expect("written");
        // The lock of a process that was killed is nobody's.
        let left = parent.join("vexil-demo-1-0");
        fs::create_dir(&left).expect("a folder");
        fs::write(left.join(LOCK), "").expect("a file");
        let strange = parent.join("vexil-demo-of-mine");
        fs::create_dir(&strange).expect("a folder");
        let next = Kubeconfig::write_in(&parent, "two").expect("written");
        assert!(alive.path().exists() && next.path().exists() && strange.exists());
        assert!(!left.exists());
        let folders = [alive.folder.clone(), next.folder.clone()];
        drop((alive, next));
        assert!(folders.iter().all(|folder| !folder.exists()));
        fs::remove_dir_all(parent).expect("it goes");
    }
}
