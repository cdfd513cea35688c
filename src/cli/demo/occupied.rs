//! What is said when the demo cannot listen: who has the port, and what to do.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::kubeconfig::{Running, running_at};

/// Why the demo cannot listen at `address`, for people.
pub(super) fn explain(address: SocketAddr, why: &io::Error) -> anyhow::Error {
    let text = match why.kind() {
        ErrorKind::AddrInUse => match running_at(address) {
            Some(demo) => by_a_demo(address, &demo),
            None => by_another(address, holder(address.port()).as_deref()),
        },
        ErrorKind::PermissionDenied => format!(
            "{address}: only root may listen on a port below 1024\n  Take a higher one: vexil demo --listen 127.0.0.1:8001"
        ),
        ErrorKind::AddrNotAvailable => format!(
            "{address} is no address of this machine\n  Take one that is: vexil demo --listen 127.0.0.1:{}",
            address.port()
        ),
        ErrorKind::InvalidInput => why.to_string(),
        _ => format!("cannot listen on {address}: {why}"),
    };
    anyhow::Error::msg(text)
}

fn by_a_demo(address: SocketAddr, demo: &Running) -> String {
    format!(
        "another vexil demo (process {}) has {address}\n  \
           use it:       export KUBECONFIG={}\n  \
           or end it:    kill {}\n  \
           or have two:  vexil demo --listen 127.0.0.1:0",
        demo.process,
        demo.kubeconfig.display(),
        demo.process
    )
}

fn by_another(address: SocketAddr, holder: Option<&str>) -> String {
    let holder = holder.unwrap_or("a process of another user, or one that cannot be told,");
    format!(
        "{holder} has {address}\n  Take another port, or let one be picked: vexil demo --listen 127.0.0.1:0"
    )
}

/// Which process of this user listens on this port, as far as Linux tells.
fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables.iter().flat_map(|table| listening(table, port)).collect();
    let has_one = |process: &str| {
        let files = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| sockets.iter().any(|socket| target.as_os_str() == socket.as_str()))
    };
    let names =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut processes = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let process = processes.find(|process| has_one(process))?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    Some(format!("{name} (process {process})"))
}

/// The sockets that listen on this port, in a table of Linux, by the name that a process has for them.
fn listening(table: &str, port: u16) -> impl Iterator<Item = String> {
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let listens = fields.get(3) == Some(&"0A") && u16::from_str_radix(local, 16) == Ok(port);
        listens.then(|| format!("socket:[{}]", fields.get(9).copied().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_the_port_is_told_with_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let said = explain(address, &ErrorKind::AddrInUse.into()).to_string();
        assert!(said.contains(&format!("(process {}) has {address}", std::process::id())), "{said}");
        assert!(said.contains("vexil demo --listen 127.0.0.1:0"), "{said}");
    }

    #[test]
    fn a_port_that_only_root_has_is_told() {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let said = explain(address, &ErrorKind::PermissionDenied.into()).to_string();
        assert!(said.contains("only root") && said.contains("127.0.0.1:8001"), "{said}");
    }
}
