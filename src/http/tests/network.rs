//! The transport on real sockets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rstest::rstest;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use wiremock::matchers::{any, body_string, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::http::{Auth, Cause, Client, Egress, Oversize, Request, install_tls_provider};

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(template).mount(&server).await;
    server
}

/// The `Authorization` header of the last request.
async fn authorization(server: &MockServer) -> Option<String> {
    let requests = server.received_requests().await?;
    let values: Vec<_> = requests.last()?.headers.get_all("authorization").iter().collect();
    assert!(values.len() <= 1, "{values:?}");
    values.first().map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_call_arrives_as_it_was_described() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/api/run"))
        .and(query_param("a", "1"))
        .and(query_param("query", "sum(x{y=\"z &+%\"}) / 2"))
        .and(header("content-type", "application/json"))
        .and(header("x-scope", "shop"))
        .and(body_string("{}"))
        .respond_with(ResponseTemplate::new(201).set_body_string("done").insert_header("x-id", "7"))
        .mount(&server)
        .await;
    let mut request = Request::post(format!("{}/api/run?a=1", server.uri()), "application/json", "{}");
    request.headers.push(("X-Scope".into(), "shop".into()));
    request.query.push(("query".into(), "sum(x{y=\"z &+%\"}) / 2".into()));
    let answer = Client::default().send(request).await.unwrap();
    assert_eq!((201, "done", 1), (answer.status, str::from_utf8(&answer.body).unwrap(), answer.attempts));
    assert_eq!("7", answer.headers["x-id"]);
}

#[tokio::test]
async fn a_form_arrives_as_a_form() {
    let server = answering(ResponseTemplate::new(200)).await;
    let fields = [("query".to_owned(), "a{b=\"c &d\"}".to_owned()), ("x".to_owned(), "ä".to_owned())];
    Client::default().send(Request::form(server.uri(), &fields)).await.unwrap();
    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!("application/x-www-form-urlencoded", request.headers["content-type"]);
    assert_eq!(fields.to_vec(), url::form_urlencoded::parse(&request.body).into_owned().collect::<Vec<_>>());
}

#[rstest]
#[case::none("", Auth::None, None, None)]
#[case::bearer("", Auth::Bearer("t0ken".into()), None, Some("Bearer t0ken"))]
#[case::basic("", Auth::Basic { username: "ann".into(), password: "pw".into() }, None, Some("Basic YW5uOnB3"))]
#[case::in_the_url("ann:pw@", Auth::None, None, Some("Basic YW5uOnB3"))]
#[case::encoded_in_the_url("ann:p%77@", Auth::None, None, Some("Basic YW5uOnB3"))]
#[case::header("", Auth::None, Some("Digest x"), Some("Digest x"))]
#[case::header_before_url("bob:x@", Auth::None, Some("Digest x"), Some("Digest x"))]
#[case::credentials_before_all("bob:x@", Auth::Bearer("t0ken".into()), Some("Digest x"), Some("Bearer t0ken"))]
#[tokio::test]
async fn exactly_one_kind_of_credentials_is_sent(
    #[case] user: &str,
    #[case] auth: Auth,
    #[case] given: Option<&str>,
    #[case] sent: Option<&str>,
) {
    // spec: 04/PR-06
    let server = answering(ResponseTemplate::new(200)).await;
    let headers = given.map(|value| ("authorization".to_owned(), value.to_owned())).into_iter().collect();
    let url = format!("http://{user}{}/", server.address());
    Client::default().send(Request { auth, headers, ..Request::get(url) }).await.unwrap();
    assert_eq!(sent, authorization(&server).await.as_deref());
}

#[tokio::test]
async fn ten_megabytes_are_refused_or_cut() {
    let server = answering(ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 10_000_000])).await;
    let error = Client::default().send(Request::get(server.uri())).await.unwrap_err();
    assert_eq!(Cause::TooLarge { limit: 1024 * 1024 }, error.cause);

    let request = Request { oversize: Oversize::Cut, max_bytes: 100, ..Request::get(server.uri()) };
    assert_eq!(100, Client::default().send(request).await.unwrap().body.len());
}

#[rstest]
#[case::flooding(true)]
#[case::silent(false)]
#[tokio::test]
async fn an_answer_that_never_ends_is_given_up(#[case] floods: bool) {
    // spec: 04/PR-08
    let address = endless(floods);
    let limit = if floods { Duration::from_secs(30) } else { Duration::from_millis(50) };
    let request = Request { timeout: limit, ..Request::get(format!("http://{address}/")) };
    let error = Client::default().send(request).await.unwrap_err();
    let expected = if floods { Cause::TooLarge { limit: 1024 * 1024 } } else { Cause::Timeout(limit) };
    assert_eq!(expected, error.cause);
}

/// A server that starts an answer and does not end it.
fn endless(floods: bool) -> SocketAddr {
    serve_once(move |socket| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n[");
        while floods && socket.write_all(&[b'1'; 4096]).is_ok() {}
        // Holds the connection open until the client leaves.
        let _ = socket.read(&mut [0]);
    })
}

/// A server that reads one request and then does as told.
fn serve_once(answer: impl FnOnce(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]);
        answer(&mut socket);
    });
    address
}

#[tokio::test]
async fn redirects_are_followed_but_not_for_ever() {
    let server = MockServer::start().await;
    let to = |target: &str| ResponseTemplate::new(302).insert_header("Location", target);
    Mock::given(path("/old")).respond_with(to("/new")).mount(&server).await;
    Mock::given(path("/new"))
        .and(method("GET"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    Mock::given(path("/loop")).respond_with(to("/loop")).mount(&server).await;
    Mock::given(path("/file")).respond_with(to("file:///etc/passwd")).mount(&server).await;
    let client = Client::default();
    let post = |path: &str| client.send(Request::post(format!("{}{path}", server.uri()), "text/plain", "x"));

    assert_eq!(200, post("/old").await.unwrap().status);
    assert_eq!(Cause::TooManyRedirects, post("/loop").await.unwrap_err().cause);
    let refused = post("/file").await;
    assert!(
        refused
            .as_ref()
            .map_or_else(|error| matches!(error.cause, Cause::InvalidUrl(_)), |answer| answer.status == 302),
        "{refused:?}"
    );
}

#[rstest]
#[case::elsewhere("away", 307)]
#[case::at_home("home", 200)]
#[tokio::test]
async fn a_redirect_to_another_origin_is_the_answer(#[case] to: &str, #[case] status: u16) {
    let other = answering(ResponseTemplate::new(200)).await;
    let server = MockServer::start().await;
    let away = ResponseTemplate::new(307).insert_header("location", other.uri().as_str());
    Mock::given(path("/away")).respond_with(away).mount(&server).await;
    let home = ResponseTemplate::new(307).insert_header("location", "/here");
    Mock::given(path("/home")).respond_with(home).mount(&server).await;
    Mock::given(path("/here")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    // With and without anything to give away.
    let mut signed = Request::post(format!("{}/{to}", server.uri()), "application/json", "{}");
    signed.headers.push(("X-Vexil-Signature".into(), "sha256=0".into()));
    for request in [Request::get(format!("{}/{to}", server.uri())), signed] {
        assert_eq!(status, Client::default().send(request).await.unwrap().status);
    }
    assert_eq!(0, other.received_requests().await.unwrap_or_default().len());
}

#[tokio::test]
async fn a_name_that_stands_for_a_denied_address_is_not_called() {
    let server = answering(ResponseTemplate::new(200)).await;
    let client = |allow: &[&str]| Client::within(Egress::new(&["127.0.0.0/8", "::1"], allow).unwrap());
    let port = server.address().port();
    for host in ["localhost", "127.0.0.1", "2130706433", "[::ffff:127.0.0.1]"] {
        let error = client(&[]).send(Request::get(format!("http://{host}:{port}/x"))).await.unwrap_err();
        assert!(matches!(error.cause, Cause::Denied(_)), "{host}: {error:?}");
        assert_eq!(0, error.attempts, "{host}");
        let text = error.to_string();
        assert!(text.contains("may not be called") && text.contains("-egress-allow"), "{text}");
    }
    // Not as a proxy either, which sees what calls carry.
    let proxy = Some(format!("http://localhost:{port}"));
    let error = client(&[]).send(Request { proxy, ..Request::get("http://a.test/") }).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Denied(_)), "{error:?}");
    assert_eq!(0, server.received_requests().await.unwrap_or_default().len());

    let answer = client(&["127.0.0.1"]).send(Request::get(format!("http://localhost:{port}/x"))).await;
    assert_eq!(200, answer.unwrap().status);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::default().send(Request::get(format!("http://{address}/x"))).await.unwrap_err();
    // People's alerts search for these words.
    assert_eq!(
        format!("GET http://{address}/x: cannot connect: dial tcp {address}: connect: connection refused"),
        error.to_string()
    );
    let proxy = Some(format!("http://{address}"));
    let through =
        Client::default().send(Request { proxy, ..Request::get("http://a.test/") }).await.unwrap_err();
    assert_eq!(
        Cause::Connect(format!("dial tcp {address}: connect: connection refused")),
        through.cause,
        "it is the proxy that is not there"
    );
}

#[tokio::test]
async fn an_answer_that_is_not_http_is_an_error() {
    let address = serve_once(|socket| drop(socket.write_all(b"SSH-2.0-OpenSSH_9.9\r\n")));
    let error = Client::default().send(Request::get(format!("http://{address}/"))).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Broken(_)), "{error:?}");
}

#[rstest]
#[case::name("x y", "1")]
#[case::value("x", "a\nb")]
#[tokio::test]
async fn a_header_that_cannot_be_sent_is_named_without_its_value(#[case] name: &str, #[case] value: &str) {
    let headers = vec![(name.to_owned(), value.to_owned())];
    let error =
        Client::default().send(Request { headers, ..Request::get("http://localhost/") }).await.unwrap_err();
    assert_eq!((Cause::InvalidHeader(name.to_owned()), 0), (error.cause, error.attempts));
}

#[tokio::test]
async fn a_proxy_gets_the_whole_address() {
    let proxy = answering(ResponseTemplate::new(200)).await;
    let request = Request { proxy: Some(proxy.uri()), ..Request::get("http://metrics.invalid/api?x=1") };
    assert_eq!(200, Client::default().send(request).await.unwrap().status);
    assert_eq!("http://metrics.invalid/api?x=1", proxy.received_requests().await.unwrap()[0].url.as_str());

    let broken =
        Request { proxy: Some("http://bob:s3cret@:80".into()), ..Request::get("http://metrics.invalid/") };
    let error = Client::default().send(broken).await.unwrap_err();
    assert!(
        matches!(&error.cause, Cause::InvalidProxy { proxy, .. } if proxy == "http://bob:xxxxx@:80"),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_unless_the_caller_accepts_any() {
    // spec: 01/API-127 04/PR-07
    let address = tls_server();
    let request = Request::get(format!("https://{address}/"));
    let error = Client::default().send(request.clone()).await.unwrap_err();
    assert_eq!(Cause::Tls("UnknownIssuer".into()), error.cause);

    let answer = Client::default().send(Request { insecure: true, ..request }).await.unwrap();
    assert_eq!((200, &b"ok"[..]), (answer.status, &answer.body[..]));
}

#[tokio::test]
async fn a_ca_of_ones_own_is_trusted_and_a_certificate_of_ones_own_is_shown() {
    install_tls_provider();
    let ours = rcgen::generate_simple_self_signed(["vexil".to_owned()]).unwrap();
    let mut known = rustls::RootCertStore::empty();
    known.add(ours.cert.der().clone()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(known)).build().unwrap();
    let address = tls_server_with(rustls::ServerConfig::builder().with_client_cert_verifier(verifier));
    let pem = |kind: &str, base64: &str| format!("-----BEGIN {kind}-----\n{base64}\n-----END {kind}-----\n");
    let identity = format!("{}\n{}", ours.cert.pem(), ours.signing_key.serialize_pem());
    let request = Request {
        ca: Some(pem("CERTIFICATE", CERTIFICATE)),
        identity: Some(identity),
        ..Request::get(format!("https://localhost:{}/", address.port()))
    };
    let answer = Client::default().send(request.clone()).await.unwrap();
    assert_eq!((200, &b"ok"[..]), (answer.status, &answer.body[..]));
    assert!(!format!("{request:?}").contains("BEGIN"), "{request:?}");

    let nobody = Request { identity: None, ..request.clone() };
    Client::default().send(nobody).await.expect_err("the server asks who is there");
    let another = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let distrusting = Request { ca: Some(another.cert.pem()), ..request };
    let error = Client::default().send(distrusting).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Tls(_)), "{error}");
}

/// An HTTPS server with a certificate that nobody signed; answers every connection once.
fn tls_server() -> SocketAddr {
    install_tls_provider();
    tls_server_with(rustls::ServerConfig::builder().with_no_client_auth())
}

fn tls_server_with(
    builder: rustls::ConfigBuilder<rustls::ServerConfig, rustls::server::WantsServerCert>,
) -> SocketAddr {
    let certificate = CertificateDer::from(BASE64.decode(CERTIFICATE).unwrap());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(BASE64.decode(KEY).unwrap()));
    let config = Arc::new(builder.with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket.unwrap());
            if stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    address
}

// Made for this test with `openssl`: self-signed, for localhost, good for a hundred years, used nowhere else.
const CERTIFICATE: &str = "MIIBozCCAUqgAwIBAgIUIe6SxOzUpuApJB1R+6tiPksa6DMwCgYIKoZIzj0EAwIwGjEYMBYGA1UEAwwPdmV4aWwtaHR0cC10ZXN0MCAXDTI2MTEyMDIzMTg1M1oYDzIxMjYxMDI3MjMxODUzWjAaMRgwFgYDVQQDDA92ZXhpbC1odHRwLXRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAThZq5unyJ6WCwtaD2fYTDoOjwr7zRjaFG1eGGIOL78lqLR60O0sBYM0jjVN1C271hl6i0BDMHiEnkzweLaNZMKo2wwajAdBgNVHQ4EFgQUa4QVDMa47NqtFhUnB+H9W3MscXswHwYDVR0jBBgwFoAUa4QVDMa47NqtFhUnB+H9W3MscXswDAYDVR0TAQH/BAIwADAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDRwAwRAIgDryAfZNJuDF1ZCRAApv4Sz4j3DkEmaJf42MOGGpdYFgCIA64VwurqwS9jfBFEfHuhizl3dYzEI6UMzIWVyg1ztfH";
const KEY: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgekoKZv30xgEEpkmzr5jbrG6Yjfn5nAVpRmVhqxQy+tihRANCAAThZq5unyJ6WCwtaD2fYTDoOjwr7zRjaFG1eGGIOL78lqLR60O0sBYM0jjVN1C271hl6i0BDMHiEnkzweLaNZMK";
