//! The demo that stays up: the shop on a loopback address, for people with kubectl, and for their controllers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::gates::{self, Gates};
use super::kubeconfig::Kubeconfig;
use super::shop::{self, APP, GOOD, Mesh};
use super::socket;
use super::{occupied, tags};
use crate::cli::print::{self, Line, Tone};
use crate::sim::World;
use kubesim::Listening;

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

/// The shop, and where it listens. Nothing of it is left once this is dropped.
pub(super) struct Open {
    pub world: World,
    pub kubeconfig: Kubeconfig,
    listening: Listening,
}

impl Open {
    /// Opens the shop behind `mesh` at `address`. It begins at `start`.
    ///
    /// # Errors
    /// If the address is taken or not of this machine, or the kubeconfig cannot be written.
    pub(super) async fn at(address: SocketAddr, mesh: &Mesh, start: DateTime<Utc>) -> anyhow::Result<Self> {
        let world = shop::open(mesh, Some(start), STARTUP)?;
        shop::set_interval(&world, INTERVAL)?;
        let gates = Gates(world.kube.clone());
        let routes = socket::routes(world.backend.clone(), gates.clone());
        let listening = world.kube.listen_beside(address, routes).await;
        let listening = listening.map_err(|why| occupied::explain(address, &why))?;
        // The controller inside knows both addresses of a gate.
        for address in [gates::ADDRESS.to_owned(), format!("{}{}", listening.url(), socket::GATES)] {
            world.backend.serve(&address, Arc::new(gates.clone()));
        }
        let kubeconfig = Kubeconfig::write(&listening)?;
        Ok(Self { world, kubeconfig, listening })
    }

    /// What a newcomer is told.
    pub(super) fn help(&self, mesh: &Mesh, controller: bool) -> Vec<Line> {
        let own = print::not_on_path();
        help(self.kubeconfig.path(), &self.listening.url(), mesh, controller, own.as_deref())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.listening.stop();
    }
}

/// Short, so that a small terminal has room for the picture below. `own` is the program, if its name alone is not enough.
fn help(kubeconfig: &Path, url: &str, mesh: &Mesh, controller: bool, own: Option<&Path>) -> Vec<Line> {
    let command = |text: &str, what: &str| {
        let line = Line::from("  ").with(Tone::Accent, text);
        match what {
            "" => line,
            what => line.padded(COLUMN).with(Tone::Faint, format!("  # {what}")),
        }
    };
    let without = if controller { "" } else { ", without a controller" };
    let title = format!("A shop on a Kubernetes cluster in memory{without}, behind {}.", mesh.title());
    let kubeconfig = kubeconfig.to_string_lossy();
    let kubeconfig = shlex::try_quote(&kubeconfig).unwrap_or(kubeconfig.as_ref().into());
    let mut lines = vec![
        format!("{title} Ctrl-C ends it.").as_str().into(),
        "In another terminal:".into(),
        command(&format!("export KUBECONFIG={kubeconfig}"), ""),
    ];
    if let Some(own) = own {
        let own = own.to_string_lossy();
        let own = shlex::try_quote(&own).unwrap_or(own.as_ref().into());
        lines.push(command(&format!("alias vexil={own}"), "or make install"));
    }
    if !controller {
        let flags = format!(
            "-kubeconfig \"$KUBECONFIG\" -mesh-provider {} -metrics-server {url}{}",
            mesh.name,
            socket::PROMETHEUS
        );
        lines.push(command(&format!("vexil controller {flags}"), ""));
        lines.push("  (or Flagger with these flags), and in a third, with the same KUBECONFIG:".into());
    }
    lines.extend([
        command("vexil get", "which releases there are"),
        command(&mesh.set_image(GOOD), "a new version"),
        command(&format!("vexil status {APP}"), "what happens to it, and why"),
        command(&format!("vexil watch {APP}"), "the same, live"),
    ]);
    let tags = ["3.0-broken", "4.0-slow", "5.0-crash", "6.0-missing", "7.0-errors-2.5"];
    lines.push(
        Line::from("The tag says how a version behaves: ").with(Tone::Strong, tags.join(", ")).plain("."),
    );
    let gates = if controller { gates::ADDRESS.to_owned() } else { format!("{url}{}", socket::GATES) };
    lines.push(Line::from(
        format!("Applications of yours, gates ({gates}NAME), other meshes: vexil demo --help").as_str(),
    ));
    lines.push(Line::new());
    lines
}

/// What `vexil demo --help` says below the flags.
pub(super) fn more_help() -> String {
    let tags: String = tags::MEANINGS.iter().map(|(tag, what)| format!("    {tag:<18} {what}\n")).collect();
    format!(
        "With --listen the cluster is yours. Apply whatever you like: each Deployment or\n\
         DaemonSet gets pods, each Canary gets traffic and metrics, and the tag of the\n\
         image of the first container says how a version behaves:\n\n\
         {tags}\n\
         Hooks: every address says yes, but for {gates}NAME, a gate that is\n\
         closed until you open it:\n\n    \
             kubectl patch canary {APP} --type merge -p \\\n      \
               '{{\"spec\":{{\"analysis\":{{\"webhooks\":[{{\"name\":\"promote\",\"type\":\"confirm-promotion\",\"url\":\"{gates}promote\"}}]}}}}}}'\n    \
             vexil approve {APP}                                   # this once\n    \
             kubectl annotate canary {APP} gates.demo/promote=open # until it is gone\n\n\
         A Prometheus at http://ADDRESS{prometheus} answers the built-in checks of all\n\
         Canaries, also for other controllers, and vector(N); the gates are at\n\
         http://ADDRESS{paths}NAME as well.",
        gates = gates::ADDRESS,
        prometheus = socket::PROMETHEUS,
        paths = socket::GATES,
    )
}

/// Where it is said what a command does.
const COLUMN: usize = 66;
/// Of the cluster's time, from the creation of a pod until it is ready.
const STARTUP: Duration = Duration::from_secs(4);
/// Short enough that a person stays to watch.
const INTERVAL: &str = "10s";

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

    #[test]
    fn a_newcomer_is_told_five_commands() {
        let lines =
            help(Path::new("/tmp/a b/kubeconfig"), "http://127.0.0.1:8001", &Mesh::default(), true, None);
        let text: Vec<String> = lines.iter().map(Line::text).collect();
        let commands: Vec<&str> = text
            .iter()
            .filter_map(|line| line.strip_prefix("  "))
            .map(|line| line.split("  #").next().unwrap_or_default().trim_end())
            .collect();
        let expected = [
            "export KUBECONFIG='/tmp/a b/kubeconfig'",
            "vexil get",
            "kubectl set image deployment/frontend frontend=shop/frontend:2.0",
            "vexil status frontend",
            "vexil watch frontend",
        ];
        assert_eq!(expected.to_vec(), commands);
        assert!(text.iter().all(|line| line.chars().count() <= 100), "{text:#?}");
    }

    #[test]
    fn who_cannot_type_its_name_alone_is_told_how_to() {
        let own = Some(Path::new("/src/vexil/target/debug/vexil"));
        let lines = help(Path::new("/tmp/kubeconfig"), "http://127.0.0.1:8001", &Mesh::default(), true, own);
        let text: Vec<String> = lines.iter().map(Line::text).collect();
        let alias =
            text.iter().position(|line| line.starts_with("  alias vexil=/src/vexil/target/debug/vexil "));
        let first = text.iter().position(|line| line.starts_with("  vexil get"));
        assert!(alias.is_some() && alias < first, "{text:#?}");
    }

    #[test]
    fn the_help_fits_a_terminal_of_80_columns() {
        // But for a command that is to be pasted whole.
        for line in more_help().lines().filter(|line| !line.contains("spec")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
