//! The cluster's name server: `<service>.<namespace>.svc.cluster.local`, over UDP, and nothing else.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::UdpSocket;

use super::network;
use super::services::Names;

const TYPE_A: u16 = 1;
const ZONE: &str = ".svc.cluster.local";

/// Starts answering.
pub async fn start(names: Names) -> Result<()> {
    let socket = UdpSocket::bind((network::DNS, 53)).await.context("cannot listen for names")?;
    tokio::spawn(serve(Arc::new(socket), names));
    Ok(())
}

async fn serve(socket: Arc<UdpSocket>, names: Names) {
    let mut buffer = [0u8; 1500];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = answer(&buffer[..length], |name| look_up(&names, name)) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

fn look_up(names: &Names, name: &str) -> Option<Vec<Ipv4Addr>> {
    let (service, namespace) = name.strip_suffix(ZONE)?.split_once('.')?;
    names.read().ok()?.get(&(namespace.to_owned(), service.to_owned())).cloned()
}

/// The answer to a query with one question; none to what is no query.
fn answer(query: &[u8], look_up: impl Fn(&str) -> Option<Vec<Ipv4Addr>>) -> Option<Vec<u8>> {
    let header = query.get(..12)?;
    if header[2] & 0x80 != 0 {
        return None;
    }
    let (name, end) = question_name(query)?;
    let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
    let question = query.get(12..end + 4)?;
    let found = look_up(&name);
    let addresses = match &found {
        Some(addresses) if kind == TYPE_A => addresses.as_slice(),
        _ => &[],
    };
    let code: u8 = if found.is_some() { 0 } else { 3 };
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&header[..2]);
    // Authoritative answer; recursion wanted is echoed, recursion offered.
    out.extend_from_slice(&[0x84 | (header[2] & 0x01), 0x80 | code]);
    out.extend_from_slice(&1u16.to_be_bytes());
    out.extend_from_slice(&u16::try_from(addresses.len()).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(question);
    for address in addresses {
        // The name of the question, type A, class IN, 1 second to live, 4 bytes.
        out.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        out.extend_from_slice(&address.octets());
    }
    Some(out)
}

fn question_name(query: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut labels: Vec<String> = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        if length > 63 {
            return None;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut out = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            out.push(u8::try_from(label.len()).expect("short label"));
            out.extend_from_slice(label.as_bytes());
        }
        out.push(0);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out
    }

    fn known(name: &str) -> Option<Vec<Ipv4Addr>> {
        (name == "shop.test.svc.cluster.local").then(|| vec![Ipv4Addr::new(10, 96, 1, 2)])
    }

    #[test]
    fn a_known_service_has_its_address() {
        let answer = answer(&query("Shop.test.svc.cluster.local", TYPE_A), known).expect("answer");
        assert_eq!(answer[..2], [0xab, 0xcd]);
        assert_eq!(answer[3] & 0x0f, 0);
        assert!(answer.ends_with(&[0, 4, 10, 96, 1, 2]));
    }

    #[test]
    fn a_known_service_has_no_other_records_but_exists() {
        let answer = answer(&query("shop.test.svc.cluster.local", 28), known).expect("answer");
        assert_eq!((answer[3] & 0x0f, answer[7]), (0, 0));
    }

    #[test]
    fn an_unknown_name_does_not_exist() {
        let answer = answer(&query("shop.test.svc.cluster.local.test.svc.cluster.local", TYPE_A), known)
            .expect("answer");
        assert_eq!(answer[3] & 0x0f, 3);
    }

    #[test]
    fn broken_queries_get_no_answer() {
        let whole = query("shop.test.svc.cluster.local", TYPE_A);
        for length in 0..whole.len() {
            assert_eq!(answer(&whole[..length], known), None, "{length} bytes");
        }
    }
}
