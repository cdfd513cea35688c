//! Which addresses may be called. Who may write a hook or a MetricTemplate makes the controller call what they name,
//! from its place in the network: the address that a connection really goes to decides, not the name in the URL.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use futures::FutureExt as _;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::{Host, Url};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which networks calls may reach. What is neither denied nor allowed may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    deny: Vec<IpNet>,
    allow: Vec<IpNet>,
}

/// A network that is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a network: write one like 10.0.0.0/8, fd00::/8 or 192.0.2.7")]
pub struct NotANetwork(String);

/// An address that may not be called.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{host} may not be called: {address} is in the denied network {network} (the flag -egress-allow makes exceptions)"
)]
pub struct Denied {
    host: String,
    address: IpAddr,
    network: IpNet,
}

impl Default for Egress {
    /// Denies [`Egress::ALWAYS_DENIED`] alone.
    fn default() -> Self {
        Self::new::<&str>(&[], &[]).expect("the networks that are always denied are networks")
    }
}

impl Egress {
    /// Networks that nobody's metrics or hooks live in: those of cloud metadata, which hands out credentials to whoever
    /// asks from the right place, link-local ones, and the unspecified addresses, which mean this host.
    pub const ALWAYS_DENIED: [&str; 9] = [
        "0.0.0.0/8",
        "169.254.0.0/16",
        // Metadata of Alibaba, of Azure and of Oracle.
        "100.100.100.200/32",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "::/128",
        "fe80::/10",
        // Metadata of Amazon and of Google.
        "fd00:ec2::/32",
        "fd20:ce::254/128",
    ];

    /// Denies the networks in `deny` and [`Egress::ALWAYS_DENIED`], but for what is in `allow`. A single address is a
    /// network as well.
    ///
    /// # Errors
    /// If one of them is no network.
    pub fn new<S: AsRef<str>>(deny: &[S], allow: &[S]) -> Result<Self, NotANetwork> {
        let always = Self::ALWAYS_DENIED.into_iter().map(network);
        Ok(Self {
            deny: always.chain(deny.iter().map(|text| network(text.as_ref()))).collect::<Result<_, _>>()?,
            allow: allow.iter().map(|text| network(text.as_ref())).collect::<Result<_, _>>()?,
        })
    }

    /// The same for addresses that no user has chosen: [`Egress::ALWAYS_DENIED`] may be called, what was denied by the
    /// flag may not.
    pub(super) fn for_own_addresses(&self) -> Self {
        let deny = self.deny.get(Self::ALWAYS_DENIED.len()..).unwrap_or_default().to_vec();
        Self { deny, allow: self.allow.clone() }
    }

    /// Fails if `host` may not be called at `address`.
    fn check(&self, host: &str, address: IpAddr) -> Result<(), Denied> {
        for form in forms(address) {
            let inside =
                |networks: &[IpNet]| networks.iter().find(|network| network.contains(&form)).copied();
            if inside(&self.allow).is_none()
                && let Some(network) = inside(&self.deny)
            {
                return Err(Denied { host: host.to_owned(), address: form, network });
            }
        }
        Ok(())
    }

    /// Fails if `url` names an address that may not be called. Names are left to [`Egress::resolver`], which sees what
    /// they stand for: no resolver is asked for an address.
    ///
    /// # Errors
    /// If it does.
    pub fn check_literal(&self, url: &Url) -> Result<(), Denied> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(&address.to_string(), address.into()),
            Some(Host::Ipv6(address)) => self.check(&address.to_string(), address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }
}

impl Egress {
    /// The addresses that `host` stands for and that may be called.
    ///
    /// # Errors
    /// If there are none: an [`std::io::Error`] of the resolver, or [`Denied`].
    pub(super) async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, BoxError> {
        let (mut open, mut denied) = (Vec::new(), None);
        for address in tokio::net::lookup_host((host, port)).await? {
            match self.check(host, address.ip()) {
                Ok(()) => open.push(address),
                Err(problem) => denied = Some(problem),
            }
        }
        match denied {
            Some(denied) if open.is_empty() => Err(denied.into()),
            _ => Ok(open),
        }
    }

    /// The resolver of the system, which leaves out the addresses that may not be called. For clients of one's own.
    pub fn resolver(&self) -> Arc<dyn Resolve> {
        Arc::new(Guarded(Arc::new(self.clone())))
    }
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |networks: &[IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        write!(f, "denied: {}; allowed nevertheless: {}", list(&self.deny), list(&self.allow))
    }
}

fn network(text: &str) -> Result<IpNet, NotANetwork> {
    let text = text.trim();
    let single = || IpAddr::from_str(text).map(IpNet::from);
    IpNet::from_str(text).or_else(|_| single()).map_err(|_| NotANetwork(text.to_owned()))
}

/// `address` and the IPv4 address that it carries, if it is one of those that translators and tunnels unpack.
fn forms(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match address {
        IpAddr::V6(address) => carried(address).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    std::iter::once(address).chain(inner)
}

fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match parts {
        // Mapped, and the forms of NAT64 and of 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        // Compatible, which `::` and `::1` look like and are not.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(from(high, low)),
        _ => None,
    }
}

/// The resolver of the system, without the addresses that may not be called: what it leaves out cannot be connected
/// to, whatever a name stands for at which time.
pub(super) struct Guarded(pub Arc<Egress>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.0);
        async move {
            let open = egress.addresses(name.as_str(), 0).await?;
            Ok(Box::new(open.into_iter()) as Addrs)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::metadata("http://169.254.169.254/latest/meta-data/iam", Some("169.254.0.0/16"))]
    #[case::tasks("http://169.254.170.2/v2/credentials", Some("169.254.0.0/16"))]
    #[case::as_a_number("http://2852039166/latest", Some("169.254.0.0/16"))]
    #[case::in_octal("http://0251.0376.0251.0376/", Some("169.254.0.0/16"))]
    #[case::in_hexadecimal("http://0xa9.0xfe.0xa9fe/", Some("169.254.0.0/16"))]
    #[case::with_a_dot("http://169.254.169.254./", Some("169.254.0.0/16"))]
    #[case::mapped("http://[::ffff:169.254.169.254]/", Some("169.254.0.0/16"))]
    #[case::compatible("http://[::169.254.169.254]/", Some("169.254.0.0/16"))]
    #[case::translated("http://[64:ff9b::a9fe:a9fe]/", Some("169.254.0.0/16"))]
    #[case::tunnelled("http://[2002:a9fe:a9fe::1]/", Some("169.254.0.0/16"))]
    #[case::amazon("http://[fd00:ec2::254]/latest", Some("fd00:ec2::/32"))]
    #[case::link_local("http://[fe80::a9fe:a9fe]/", Some("fe80::/10"))]
    #[case::alibaba("http://100.100.100.200/", Some("100.100.100.200/32"))]
    #[case::azure("http://168.63.129.16/", Some("168.63.129.16/32"))]
    #[case::unspecified("http://0.0.0.0:8080/", Some("0.0.0.0/8"))]
    #[case::short("http://0/", Some("0.0.0.0/8"))]
    #[case::unspecified_six("http://[::]:8080/", Some("::/128"))]
    #[case::loopback("http://127.0.0.1:9090/", None)]
    #[case::loopback_six("http://[::1]:9090/", None)]
    #[case::pods("http://10.42.0.7:9090/", None)]
    #[case::services("http://172.20.0.10/", None)]
    #[case::pods_six("http://[fd00:10:244::5]/", None)]
    #[case::shared("http://100.64.0.9/", None)]
    #[case::internet("http://203.0.113.9/", None)]
    #[case::a_name("http://169.254.169.254.nip.io/", None)]
    fn metadata_and_link_local_addresses_are_denied_however_they_are_written(
        #[case] url: &str,
        #[case] network: Option<&str>,
    ) {
        let checked = Egress::default().check_literal(&Url::parse(url).expect("a URL"));
        assert_eq!(network.map(str::to_owned), checked.err().map(|denied| denied.network.to_string()));
    }

    #[rstest]
    #[case::denied(&["10.0.0.0/8"], &[], "10.1.2.3", false)]
    #[case::exception(&["10.0.0.0/8"], &["10.96.0.0/12"], "10.97.0.1", true)]
    #[case::beside_the_exception(&["10.0.0.0/8"], &["10.96.0.0/12"], "10.1.2.3", false)]
    #[case::nothing_but(&["0.0.0.0/0", "::/0"], &["10.96.0.0/12"], "203.0.113.9", false)]
    #[case::single(&["192.0.2.7"], &[], "192.0.2.7", false)]
    #[case::its_neighbour(&["192.0.2.7"], &[], "192.0.2.8", true)]
    #[case::always_denied_stays(&["10.0.0.0/8"], &[], "169.254.169.254", false)]
    #[case::unless_allowed(&[], &["169.254.169.254"], "169.254.169.254", true)]
    #[case::and_mapped(&[], &["169.254.169.254"], "::ffff:169.254.169.254", true)]
    fn denied_networks_have_exceptions(
        #[case] deny: &[&str],
        #[case] allow: &[&str],
        #[case] address: &str,
        #[case] open: bool,
    ) {
        let egress = Egress::new(deny, allow).expect("networks");
        assert_eq!(open, egress.check("x", address.parse().expect("an address")).is_ok());
    }

    #[rstest]
    fn what_is_no_network_is_named(
        #[values("", "10.0.0.0/33", "10.0.0", "metadata", "fe80::/129")] text: &str,
    ) {
        let error = Egress::new(&[text], &[]).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("{text:?} is not a network")), "{error}");
    }
}
