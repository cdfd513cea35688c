//! The demo that stays up: the shop on a loopback address, for people with kubectl.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::print::{Line, Tone};
use kubesim::Listening;

use super::shop::{APP, BROKEN, GOOD, NAMESPACE, SLOW, STUCK, image};

/// Reads `127.0.0.1:8001`, and what people write for it: `localhost:8001`, `:8001`, `8001`.
///
/// # Errors
/// If it is no address of this machine with a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, NotAnAddress> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':')).unwrap_or(text);
    match port.parse() {
        Ok(port) => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        Err(_) => Err(NotAnAddress),
    }
}

/// The error for a text that is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an address and a port, as in 127.0.0.1:8001 (port 0 picks a free one)")]
pub(super) struct NotAnAddress;

/// A kubeconfig in a folder of its own, until this is dropped.
pub(super) struct Kubeconfig {
    folder: PathBuf,
    path: PathBuf,
}

impl Kubeconfig {
    /// Writes one for what listens, with the shop's namespace as the default.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write(listening: &Listening) -> anyhow::Result<Self> {
        let text = listening.kubeconfig().replace("namespace: default", &format!("namespace: {NAMESPACE}"));
        let folder = own_folder(&std::env::temp_dir()).context("no folder for the kubeconfig")?;
        let path = folder.join("kubeconfig");
        let written = fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()));
        let kubeconfig = Self { folder, path };
        written.map(|()| kubeconfig)
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

/// A folder that was not there before, so that nobody else can have prepared it.
fn own_folder(parent: &Path) -> io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let folder = parent.join(format!("vexil-demo-{}-{number}", std::process::id()));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => number += 1,
            created => return created.map(|()| folder),
        }
    }
}

/// What a newcomer is told; short, so that a small terminal has room for the picture below.
pub(super) fn help(kubeconfig: &Path) -> Vec<Line> {
    let command = |text: String| Line::from("  ").with(Tone::Accent, text);
    let tag =
        |line: Line, name: &str, what: &str| line.with(Tone::Strong, format!("  {name:<12}")).plain(what);
    vec![
        "A shop on a Kubernetes cluster in memory; Ctrl-C ends it. In another terminal:".into(),
        command(format!("export KUBECONFIG={}", kubeconfig.display())),
        command("kubectl get canaries -w".to_owned()),
        command(format!("kubectl set image deployment/{APP} {APP}={}", image(GOOD))),
        "The tag of the image says how it behaves:".into(),
        tag(tag(Line::new(), GOOD, "good, as all others    "), SLOW, "some requests take 1.4 s"),
        tag(tag(Line::new(), BROKEN, "7 % of requests fail   "), STUCK, "pods never become ready"),
        Line::new(),
    ]
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1:8001", "127.0.0.1:8001")]
    #[case("[::1]:0", "[::1]:0")]
    #[case("localhost:8001", "127.0.0.1:8001")]
    #[case(":8001", "127.0.0.1:8001")]
    #[case("8001", "127.0.0.1:8001")]
    fn an_address_may_be_written_short(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Ok(expected.to_owned()), address(text).map(|address| address.to_string()));
    }

    #[rstest]
    #[case("")]
    #[case("127.0.0.1")]
    #[case("shop.example.com:80")]
    #[case("70000")]
    fn what_is_no_address_is_refused_with_an_example(#[case] text: &str) {
        assert!(address(text).is_err_and(|why| why.to_string().contains("127.0.0.1:8001")));
    }
}
