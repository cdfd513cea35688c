//! What a hostile caller sends: each is answered, and the load tester goes on.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{careful, open, start};

#[tokio::test]
async fn no_payload_does_any_harm() {
    let deep = format!("{{\"name\":\"a\",\"namespace\":\"b\",\"metadata\":{}", "{\"a\":".repeat(50_000));
    let long = "x".repeat(200_000);
    let of = |metadata: serde_json::Value| {
        json!({"name": "a", "namespace": "b", "metadata": metadata}).to_string()
    };
    let bodies: Vec<Vec<u8>> = vec![
        vec![],
        b"null".to_vec(),
        b"0".to_vec(),
        b"\"\"".to_vec(),
        vec![0xff, 0xfe, 0x00],
        b"{\"name\":\"\\ud800\",\"namespace\":\"b\"}".to_vec(),
        deep.into_bytes(),
        b"[".repeat(100_000),
        vec![b'{'; 1_000_000],
        of(json!({"type": long})).into_bytes(),
        of(json!({"type": "bash", "cmd": long})).into_bytes(),
        of(json!({"type": "bash", "cmd": "\u{0}"})).into_bytes(),
        of(json!({"type": "helm", "cmd": "\"not closed"})).into_bytes(),
        of(json!({"type": "load"})).into_bytes(),
        of(json!({"type": "load", "url": "http://["})).into_bytes(),
        of(json!({"type": "load", "url": "http://a.b/", "qps": "4294967295", "connections": "4294967295"})).into_bytes(),
        of(json!({"type": "load", "url": "http://a.b/", "duration": "9223372036854775807ns"})).into_bytes(),
        of(json!({"type": "load", "url": "http://a.b/", "header.\r\nX": "y"})).into_bytes(),
        of(json!({"type": "concord", "server": "\u{0}", "apiKeyPath": "/dev/zero"})).into_bytes(),
        of(json!({"type": "concord", "pollInterval": "18446744073709551616"})).into_bytes(),
        of(json!({"type": "ngrinder", "server": "x", "clone": "99999999999999999999", "username": "u", "passwd": "eA=="})).into_bytes(),
        of(json!({"type": "ngrinder", "server": "x", "clone": "1", "username": "u", "passwd": "eA==", "pollInterval": "10s"})).into_bytes(),
        of(json!({"task": long})).into_bytes(),
        of(json!({"for": "9999999h"})).into_bytes(),
        of(json!((0..5000).map(|number| (number.to_string(), json!("x"))).collect::<serde_json::Map<_, _>>())).into_bytes(),
        json!({"name": "a", "namespace": "b", "phase": long, "checksum": "\n"}).to_string().into_bytes(),
    ];
    let paths = [
        "/",
        "/gate/check",
        "/gate/open",
        "/gate/close",
        "/rollback/check",
        "/rollback/open",
        "/../x",
        "/gate/%00",
        "/%ff",
    ];
    for settings in [careful(), open()] {
        let tester = start(settings).await;
        for path in paths {
            for body in &bodies {
                let (status, text) = tester.send("POST", path, &[], body).await;
                assert!(status >= 200 && text.len() < 300_000, "{path}: {status}");
                assert!(!text.contains("has a fault"), "{path}: {text}");
            }
        }
        for method in ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"] {
            for path in ["/", "/gate/open", "/rollback/open"] {
                let (status, _) = tester
                    .send(method, path, &[], br#"{"name":"a","namespace":"b","metadata":{"cmd":"true"}}"#)
                    .await;
                assert_eq!(405, status, "{method} {path}");
            }
        }
        assert_eq!((200, "OK".to_owned()), tester.get("/healthz").await);
        tester.stop().await;
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let tester = start(open()).await;
    let (status, _) = tester.send("POST", "/", &[], &vec![b' '; 300_000]).await;
    assert_eq!(413, status);
    tester.stop().await;
}

#[tokio::test]
async fn a_crowd_of_half_sent_requests_does_not_keep_a_probe_waiting() {
    let tester = start(open()).await;
    let address = tester.url.strip_prefix("http://").expect("an address").to_owned();
    let mut crowd = Vec::new();
    for number in 0..400 {
        let mut stream = TcpStream::connect(&address).await.expect("it listens");
        let begun = if number % 2 == 0 {
            "POST / HTTP/1.1\r\nHost: x\r\n"
        } else {
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"
        };
        // Those that had to make room already cannot be written to.
        let _ = stream.write_all(begun.as_bytes()).await;
        crowd.push(stream);
    }
    let mut probe = TcpStream::connect(&address).await.expect("it listens");
    probe.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    let answered =
        tokio::time::timeout(std::time::Duration::from_secs(5), probe.read_to_string(&mut answer)).await;
    answered.expect("at once").expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    drop(crowd);
    tester.stop().await;
}
