//! A pod's sandbox: network and host name of its own, held by a process that does nothing.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::cluster::network::NODE;
use crate::process;

/// The process that holds the namespaces; they vanish with it.
pub struct Sandbox {
    holder: Child,
    pub address: Ipv4Addr,
}

impl Sandbox {
    /// Makes the namespaces and joins them to the node's network.
    pub fn create(host_name: &str, address: Ipv4Addr) -> Result<Sandbox> {
        let own = std::env::current_exe()?;
        let mut holder = Command::new("unshare")
            .args(["--net", "--uts", "--"])
            .arg(own)
            .args(["pause", host_name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the sandbox")?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let sandbox = Sandbox { holder, address };
        ensure!(line.trim() == "ready", "the sandbox did not start");
        sandbox.connect()?;
        Ok(sandbox)
    }

    fn connect(&self) -> Result<()> {
        let pid = self.pid();
        let address = self.address;
        let [.., third, fourth] = address.octets();
        let link = format!("pod{third}-{fourth}");
        let node_side = format!(
            "link add {link} type veth peer name eth0 netns {pid}\nlink set {link} up\nroute add {address}/32 dev {link}\n"
        );
        process::run_with_input("ip", &["-batch", "-"], &node_side)?;
        let pod_side = format!(
            "link set lo up\naddr add {address}/32 dev eth0\nlink set eth0 up\n\
             route add {NODE}/32 dev eth0\nroute add default via {NODE}\n"
        );
        process::run_with_input("nsenter", &["-t", &pid.to_string(), "-n", "ip", "-batch", "-"], &pod_side)?;
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.holder.id()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// The holder's own program: names the host and waits for the node to let go.
pub fn pause(host_name: &str) -> Result<()> {
    rustix::system::sethostname(host_name.as_bytes()).context("cannot name the host")?;
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}
