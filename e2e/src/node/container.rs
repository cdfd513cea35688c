//! A container: a process with a root of its own, made of the image's files and the volumes; the images that stand for
//! programs of the machine have its folders in it too.
//!
//! The node starts `vexil-e2e contain FILE` in the pod's network and in a fresh mount namespace; that builds the root,
//! moves into it, drops privileges if asked to, and becomes the container's program under the same process id.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_bind_recursive, mount_change, mount_remount,
};
use serde::{Deserialize, Serialize};

use crate::process;

/// Everything that a container's process needs; written by the node, read by the process itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    pub root: PathBuf,
    /// The root file system of the image; without one the container has the machine's programs.
    #[serde(default)]
    pub image: Option<PathBuf>,
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub working_directory: String,
    pub user: Option<u32>,
    pub group: Option<u32>,
    pub read_only_root: bool,
    /// Small files by their path in the container.
    pub texts: BTreeMap<String, String>,
    pub mounts: Vec<Mount>,
}

/// A file or folder of the machine that the container sees somewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    pub from: PathBuf,
    pub to: String,
    pub read_only: bool,
}

/// Starts a container in a sandbox. The child's pid is the container's main process.
pub fn start(plan: &Plan, plan_file: &Path, sandbox: u32, log: &Path) -> Result<Child> {
    std::fs::write(plan_file, serde_json::to_vec(plan)?)?;
    let out = process::append(log)?;
    // nsenter, unshare and contain each become the next: the pid stays.
    Command::new("nsenter")
        .args(["-t", &sandbox.to_string(), "--net", "--uts", "--", "unshare", "--mount", "--"])
        .arg(std::env::current_exe()?)
        .arg("contain")
        .arg(plan_file)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0)
        .spawn()
        .context("cannot start the container")
}

/// Runs a command inside a running container; true when it ends with 0.
pub fn execute(main_pid: u32, command: &[String], environment: &BTreeMap<String, String>) -> Result<bool> {
    let status = Command::new("nsenter")
        .args(["-t", &main_pid.to_string(), "--net", "--uts", "--mount", "--root", "--wd", "--"])
        .args(command)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .status()?;
    Ok(status.success())
}

/// Becomes the container's program.
///
/// # Errors
/// Returns only when that failed.
pub fn contain(plan_file: &Path) -> Result<std::convert::Infallible> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(plan_file)?)?;
    build_root(&plan)?;
    std::os::unix::fs::chroot(&plan.root)?;
    std::env::set_current_dir(&plan.working_directory)
        .with_context(|| format!("working directory {}", plan.working_directory))?;
    let Some((program, arguments)) = plan.command.split_first() else { bail!("there is no command to run") };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&plan.environment);
    if let Some(group) = plan.group {
        command.gid(group);
    }
    if let Some(user) = plan.user {
        command.uid(user);
    }
    Err(command.exec()).with_context(|| format!("exec: \"{program}\""))
}

fn build_root(plan: &Plan) -> Result<()> {
    let root = plan.root.as_path();
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    std::fs::create_dir_all(root)?;
    let options = CString::new("mode=0755")?;
    mount("container", root, "tmpfs", MountFlags::empty(), options.as_c_str())
        .context("cannot mount the root")?;
    match &plan.image {
        Some(image) => unpack(image, root)?,
        None => borrow(root)?,
    }
    for name in ["proc", "sys", "dev"] {
        let target = root.join(name);
        std::fs::create_dir_all(&target)?;
        mount_bind_recursive(Path::new("/").join(name), &target)
            .with_context(|| format!("cannot mount /{name}"))?;
    }
    for (path, text) in &plan.texts {
        let target = inside(root, path);
        std::fs::create_dir_all(target.parent().unwrap_or(root))?;
        std::fs::write(target, text)?;
    }
    for mount in &plan.mounts {
        show(&mount.from, &inside(root, &mount.to), mount.read_only)
            .with_context(|| format!("cannot mount {} at {}", mount.from.display(), mount.to))?;
    }
    std::fs::create_dir_all(inside(root, &plan.working_directory))?;
    if plan.read_only_root {
        mount_remount(root, MountFlags::BIND | MountFlags::RDONLY, c"")?;
    }
    Ok(())
}

/// What is in the image.
fn unpack(image: &Path, root: &Path) -> Result<()> {
    let from = image.join(".");
    process::run_command(Command::new("cp").arg("--archive").arg(from).arg(root), None)
        .with_context(|| format!("cannot unpack {}", image.display()))?;
    std::fs::create_dir_all(root.join("run"))?;
    std::fs::create_dir_all(root.join("var"))?;
    symlink("/run", root.join("var/run"))?;
    Ok(())
}

/// The programs of the machine.
fn borrow(root: &Path) -> Result<()> {
    for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let host = Path::new("/").join(name);
        let target = root.join(name);
        if let Ok(link) = std::fs::read_link(&host) {
            symlink(link, target)?;
        } else if host.is_dir() {
            std::fs::create_dir(&target)?;
            mount_bind_recursive(&host, &target)?;
        }
    }
    for (name, mode) in [
        ("etc", 0o755),
        ("run", 0o755),
        ("root", 0o755),
        ("home", 0o755),
        ("var", 0o755),
        ("tmp", 0o1777),
        ("var/tmp", 0o1777),
    ] {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode))?;
    }
    symlink("/run", root.join("var/run"))?;
    for name in [
        "passwd",
        "group",
        "nsswitch.conf",
        "ld.so.cache",
        "ssl",
        "ca-certificates",
        "alternatives",
        "localtime",
    ] {
        let host = Path::new("/etc").join(name);
        if host.exists() {
            show(&host, &root.join("etc").join(name), false)?;
        }
    }
    Ok(())
}

fn show(from: &Path, to: &Path, read_only: bool) -> Result<()> {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
    } else {
        std::fs::create_dir_all(to.parent().unwrap_or(to))?;
        if !to.exists() {
            std::fs::File::create(to)?;
        }
    }
    mount_bind(from, to)?;
    if read_only {
        mount_remount(to, MountFlags::BIND | MountFlags::RDONLY, c"")?;
    }
    Ok(())
}

/// A path of the container below its root. `/var/run` is a link to `/run`, which must not lead out of the new root.
fn inside(root: &Path, path: &str) -> PathBuf {
    let path = path.strip_prefix("/var/run").map_or_else(|| path.to_owned(), |rest| format!("/run{rest}"));
    root.join(path.trim_start_matches('/'))
}
