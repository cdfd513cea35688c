//! Who may call, and for which namespace.

use hmac::{Hmac, Mac};
use http::{Request, Response};
use regex::Regex;
use rstest::rstest;
use serde_json::{Value, json};
use sha2::Sha256;
use vexil::api::hooks::HookType;
use vexil::api::{CanaryStatus, Phase};
use vexil::loadtester::{Namespaces, Proofs, Settings};
use vexil::model::release::{Credentials, Hook};
use vexil::model::signature;
use vexil::webhook;

use super::{careful, folder, names, open, start};

fn of(namespace: &str) -> Value {
    json!({"name": "frontend", "namespace": namespace, "metadata": {"type": "bash", "cmd": "true"}})
}

#[tokio::test]
async fn a_namespace_that_the_pattern_does_not_find_is_forbidden_wherever_it_counts() {
    // spec: 04/LT-06
    let pattern = Some(Regex::new("test").expect("a pattern"));
    let tester =
        start(Settings { namespaces: Namespaces { pattern, ..Namespaces::default() }, ..open() }).await;
    let forbidden = (403, "Forbidden".to_owned());
    for path in [
        "/",
        "/gate/check",
        "/gate/open",
        "/gate/close",
        "/rollback/check",
        "/rollback/open",
        "/rollback/close",
    ] {
        assert_eq!(forbidden, tester.post(path, of("shop")).await, "{path}");
    }
    // It is looked for anywhere in the name.
    assert_eq!((200, String::new()), tester.post("/", of("my-test-2")).await);
    assert_eq!(202, tester.post("/gate/open", of("my-test-2")).await.0);
    for path in ["/healthz", "/metrics", "/gate/approve"] {
        assert_eq!(200, tester.get(path).await.0, "{path}");
    }
    assert_eq!(Some(7.0), tester.series("vexil_loadtester_refused_total{reason=\"namespace\"}").await);
    tester.stop().await;
}

#[tokio::test]
async fn the_list_of_namespaces_holds_however_a_namespace_is_written() {
    let tester =
        start(Settings { namespaces: Namespaces { pattern: None, names: names(&["shop"]) }, ..open() }).await;
    assert_eq!(200, tester.post("/", of("shop")).await.0);
    for namespace in
        ["bank", "shop2", "ashop", "", "shop/../bank", "Shop", "shop ", "shop\n", "shop\u{0}", "*"]
    {
        let (status, _) = tester.post("/", of(namespace)).await;
        assert!(status == 403 || status == 400, "{namespace:?}: {status}");
    }
    for body in [
        r#"{"name":"frontend","namespace":"shop","namespace":"bank","metadata":{"cmd":"true"}}"#,
        r#"{"name":"frontend","namespace":"bank","Namespace":"shop","metadata":{"cmd":"true"}}"#,
        r#"{"name":"frontend","Namespace":"shop","metadata":{"cmd":"true"}}"#,
    ] {
        let (status, _) = tester.send("POST", "/", &[], body.as_bytes()).await;
        assert!(status == 403 || status == 400, "{body}: {status}");
    }
    tester.stop().await;
}

/// A call of the controller's hook, signed as it does that.
fn signed(namespace: &str, key: &str, at: i64) -> (Vec<(String, String)>, Vec<u8>) {
    let hook = Hook {
        name: "gate".into(),
        url: "http://loadtester.test/gate/check".into(),
        kind: HookType::ConfirmRollout,
        timeout: std::time::Duration::from_secs(10),
        retries: 0,
        disable_tls: false,
        mute_alert: false,
        cloud_events: None,
        metadata: std::collections::BTreeMap::default(),
        credentials: Credentials { signing: Some(("gate".into(), "key".into())), ..Credentials::default() },
    };
    let payload = webhook::Payload::new("frontend", namespace, Phase::Progressing, &CanaryStatus::default());
    let secret = [("key".to_owned(), key.as_bytes().to_vec())].into();
    let now = chrono::DateTime::from_timestamp(at, 0).expect("a time");
    let draft = webhook::request(&hook, &payload);
    let call = draft.finish(&[("gate".to_owned(), secret)].into(), now).expect("a call");
    let headers =
        call.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
    (headers, call.body.bytes())
}

const NOW: i64 = 1_763_726_400;

#[rstest]
#[case::own_key("shop", "shop-key", NOW, 403)]
#[case::key_of_all("bank", "all-key", NOW, 403)]
#[case::key_of_another("bank", "shop-key", NOW, 401)]
#[case::no_key("shop", "x", NOW, 401)]
#[case::late("shop", "shop-key", NOW - 299, 403)]
#[case::too_late("shop", "shop-key", NOW - 301, 401)]
#[case::too_early("shop", "shop-key", NOW + 301, 401)]
#[tokio::test]
async fn a_signature_speaks_for_the_namespace_of_its_key(
    #[case] namespace: &str,
    #[case] key: &str,
    #[case] at: i64,
    #[case] expected: u16,
) {
    let keys = folder(&format!("keys-{namespace}-{key}-{at}"));
    for (file, key) in [("shop", "shop-key"), ("_all", "all-key"), ("empty", "")] {
        std::fs::write(keys.join(file), key).expect("writable");
    }
    let now = || chrono::DateTime::from_timestamp(NOW, 0).expect("a time");
    let tester = start(Settings { proofs: Proofs::default().keys(keys), now, ..careful() }).await;
    let (headers, body) = signed(namespace, key, at);
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // A closed gate says 403 to whom it believes.
    let (status, text) = tester.send("POST", "/gate/check", &headers, &body).await;
    assert_eq!(expected, status, "{text}");
    let mut other = body.clone();
    other.push(b' ');
    assert_eq!(401, tester.send("POST", "/gate/check", &headers, &other).await.0);
    let (status, text) = tester.send("POST", "/gate/open", &[], &body).await;
    assert!(status == 401 && text.contains("X-Vexil-Signature"), "{text}");
    // An empty key signs nothing, although anybody can compute what it would.
    let (_, body) = signed("empty", "x", NOW);
    let mut mac = Hmac::<Sha256>::new_from_slice(b"").expect("any length");
    mac.update(format!("{NOW}.").as_bytes());
    mac.update(&body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let (time, signature) = (NOW.to_string(), format!("sha256={hex}"));
    let headers = [(signature::TIMESTAMP, time.as_str()), (signature::SIGNATURE, signature.as_str())];
    assert_eq!(401, tester.send("POST", "/gate/check", &headers, &body).await.0);
    assert_eq!(200, tester.get("/healthz").await.0);
    tester.stop().await;
}

/// A cluster that knows a few tokens, which are called like their users, and those for others.
fn cluster() -> kube::Client {
    let service = tower::service_fn(|request: Request<kube::client::Body>| async move {
        assert_eq!("/apis/authentication.k8s.io/v1/tokenreviews", request.uri().path());
        let body = request.into_body().collect_bytes().await.expect("a body");
        let asked: Value = serde_json::from_slice(&body).expect("JSON");
        let token = asked["spec"]["token"].as_str().unwrap_or_default();
        let status = match token {
            "unknown" => json!({"authenticated": false, "error": "no such token"}),
            "broken" => json!({"authenticated": true}),
            "elsewhere" => {
                json!({"authenticated": true, "user": {"username": "system:serviceaccount:shop:ci"}, "audiences": ["vault"]})
            }
            user => {
                json!({"authenticated": true, "user": {"username": user}, "audiences": asked["spec"]["audiences"]})
            }
        };
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": asked["spec"], "status": status});
        let answer = Response::builder()
            .status(201)
            .body(http_body_util::Full::new(bytes::Bytes::from(review.to_string())));
        Ok::<_, std::io::Error>(answer.expect("an answer"))
    });
    kube::Client::new(service, "vexil")
}

#[rstest]
#[case::own_account("system:serviceaccount:shop:ci", "shop", 202)]
#[case::account_of_another("system:serviceaccount:bank:ci", "shop", 403)]
#[case::the_controller("system:serviceaccount:flagger-system:flagger", "shop", 202)]
#[case::a_trusted_person("ana@example.com", "shop", 202)]
#[case::another_person("eve@example.com", "shop", 401)]
#[case::unknown("unknown", "shop", 401)]
#[case::no_user("broken", "shop", 401)]
#[case::meant_for_others("elsewhere", "shop", 401)]
#[tokio::test]
async fn a_token_speaks_for_the_namespace_of_its_account(
    #[case] token: &str,
    #[case] namespace: &str,
    #[case] expected: u16,
) {
    let trusted = names(&["flagger-system/flagger", "ana@example.com"]);
    let proofs = Proofs::default().tokens(cluster(), "loadtester", trusted);
    let tester = start(Settings { proofs, ..careful() }).await;
    let body = of(namespace).to_string();
    let bearer = format!("Bearer {token}");
    // Twice: the second answer is remembered.
    for _ in 0..2 {
        let (status, text) =
            tester.send("POST", "/gate/open", &[("Authorization", &bearer)], body.as_bytes()).await;
        assert_eq!(expected, status, "{text}");
    }
    for headers in [vec![], vec![("Authorization", "Basic eDp5")], vec![("X-Vexil-Signature", "sha256=00")]] {
        let (status, text) = tester.send("POST", "/gate/open", &headers, body.as_bytes()).await;
        assert!(status == 401 && text.contains("service account"), "{status} {text}");
    }
    tester.stop().await;
}
