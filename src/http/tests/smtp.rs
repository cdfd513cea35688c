//! Mail over real sockets, to a mail server of the tests' own that says what it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rstest::rstest;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::http::{Auth, Cause, Client, Egress, Envelope, Request, Response};

/// What the server says to what begins with a word, in place of what it would say.
type Script = &'static [(&'static str, &'static str)];

#[derive(Clone, Copy, PartialEq)]
enum Encryption {
    Never,
    Offered,
    Always,
}

struct Server {
    port: u16,
    ca: String,
    /// What clients have said, line by line.
    heard: Arc<Mutex<Vec<String>>>,
}

async fn server(encryption: Encryption, script: Script) -> Server {
    crate::http::install_tls_provider();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (acceptor, log) = (acceptor.clone(), Arc::clone(&log));
            tokio::spawn(async move {
                if encryption == Encryption::Always {
                    let Ok(secure) = acceptor.accept(socket).await else { return };
                    talk(secure, script, false, true, &log).await;
                } else if talk(&mut socket, script, encryption == Encryption::Offered, true, &log).await {
                    let Ok(secure) = acceptor.accept(socket).await else { return };
                    log.lock().expect("a lock").push("(encrypted)".to_owned());
                    talk(secure, script, false, false, &log).await;
                }
            });
        }
    });
    Server { port, ca: cert.pem(), heard }
}

/// Talks with a client to its end; whether it wants encryption now.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    script: Script,
    offer: bool,
    greet: bool,
    heard: &Mutex<Vec<String>>,
) -> bool {
    let mut stream = BufReader::new(stream);
    let scripted = |word: &str| {
        script.iter().find(|(start, _)| word.starts_with(start)).map(|(_, says)| (*says).to_owned())
    };
    let mut says = match greet {
        true => scripted("(greeting)").unwrap_or_else(|| "220 mail.test ESMTP\r\n".to_owned()),
        false => String::new(),
    };
    let mut data = false;
    loop {
        if stream.write_all(says.as_bytes()).await.is_err() {
            return false;
        }
        let mut line = String::new();
        if !stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            return false;
        }
        let line = line.trim_end_matches("\r\n").to_owned();
        heard.lock().expect("a lock").push(line.clone());
        if data && line != "." {
            says = String::new();
            continue;
        }
        says = scripted(&line).unwrap_or_else(|| match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" if offer => "250-mail.test\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n".to_owned(),
            "EHLO" => "250-mail.test\r\n250 AUTH PLAIN LOGIN\r\n".to_owned(),
            "STARTTLS" => "220 go on\r\n".to_owned(),
            "AUTH" => "235 2.7.0 welcome\r\n".to_owned(),
            "DATA" => "354 go on\r\n".to_owned(),
            "QUIT" => "221 bye\r\n".to_owned(),
            _ => "250 2.0.0 queued as 7\r\n".to_owned(),
        });
        data = line == "DATA" && says.starts_with("354");
        if line == "STARTTLS" && says.starts_with("220") {
            let _ = stream.write_all(says.as_bytes()).await;
            return true;
        }
    }
}

fn mail(server: &Server, address: &str) -> Request {
    let to = vec!["team@example.com".to_owned(), "duty@example.com".to_owned()];
    let mail = Envelope { from: "releases@example.com".to_owned(), to };
    let text = "Subject: hello\r\n\r\nfirst\r\n.\r\n..last\r\n";
    Request {
        mail: Some(mail),
        ca: Some(server.ca.clone()),
        timeout: Duration::from_secs(20),
        ..Request::post(address.replace("PORT", &server.port.to_string()), "message/rfc822", text)
    }
}

fn with_password(request: Request) -> Request {
    let auth = Auth::Basic { username: "releases".into(), password: "s3cr3t".into() };
    Request { auth, ..request }
}

impl Server {
    fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("a lock").clone()
    }

    fn has_heard(&self, line: &str) -> bool {
        self.heard().iter().any(|heard| heard == line)
    }
}

fn text(answer: &Response) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

#[rstest]
#[case::from_the_start(Encryption::Always, "smtps://localhost:PORT")]
#[case::on_request(Encryption::Offered, "smtp://localhost:PORT")]
#[tokio::test]
async fn a_mail_arrives_whole_and_encrypted(#[case] encryption: Encryption, #[case] address: &str) {
    let server = server(encryption, &[]).await;
    let answer = Client::default().send(with_password(mail(&server, address))).await.expect("an answer");
    assert_eq!((200, "2.0.0 queued as 7".to_owned()), (answer.status, text(&answer)));
    let heard = server.heard();
    let at = |line: &str| {
        heard.iter().position(|heard| heard == line).unwrap_or_else(|| panic!("{line}: {heard:?}"))
    };
    // AUTH PLAIN of "\0releases\0s3cr3t".
    let login = at("AUTH PLAIN AHJlbGVhc2VzAHMzY3IzdA==");
    assert!(encryption == Encryption::Always || at("(encrypted)") < login, "{heard:?}");
    assert!(login < at("MAIL FROM:<releases@example.com>"), "{heard:?}");
    assert!(at("RCPT TO:<team@example.com>") < at("RCPT TO:<duty@example.com>"), "{heard:?}");
    let body = &heard[at("DATA") + 1..at("QUIT")];
    // Lines that begin with a dot have one more on their way.
    assert_eq!(["Subject: hello", "", "first", "..", "...last", "."].as_slice(), body);
}

#[tokio::test]
async fn a_relay_that_encrypts_nothing_is_used_only_where_the_address_says_so() {
    let server = server(Encryption::Never, &[]).await;
    let answer = Client::default().send(mail(&server, "smtp://localhost:PORT")).await.expect("an answer");
    assert_eq!(400, answer.status);
    assert!(text(&answer).contains("STARTTLS") && text(&answer).contains("?tls=none"), "{}", text(&answer));
    assert!(!server.heard().iter().any(|line| line.starts_with("MAIL")), "{:?}", server.heard());
    let plain = mail(&server, "smtp://localhost:PORT?tls=none");
    assert_eq!(200, Client::default().send(plain).await.expect("an answer").status);
    assert!(server.has_heard("Subject: hello"));
}

#[rstest]
#[case::from_the_start(Encryption::Always, "smtps://localhost:PORT")]
#[case::on_request(Encryption::Offered, "smtp://localhost:PORT")]
#[case::another_name(Encryption::Offered, "smtp://127.0.0.1:PORT")]
#[tokio::test]
async fn a_server_that_is_not_trusted_hears_nothing(#[case] encryption: Encryption, #[case] address: &str) {
    let server = server(encryption, &[]).await;
    let mut request = with_password(mail(&server, address));
    if !address.contains("127") {
        let CertifiedKey { cert, .. } =
            generate_simple_self_signed(["localhost".to_owned()]).expect("another");
        request.ca = Some(cert.pem());
    }
    let error = Client::default().send(request).await.expect_err("no answer");
    assert!(matches!(error.cause, Cause::Tls(_)), "{error}");
    assert!(!server.heard().iter().any(|line| line.starts_with("AUTH")), "{:?}", server.heard());
}

#[tokio::test]
async fn what_is_said_before_encryption_does_not_count_as_said_under_it() {
    // Somebody on the way adds to the consent what the client would take for the server's next words.
    let server = server(Encryption::Offered, &[("STARTTLS", "220 go on\r\n250 AUTH PLAIN\r\n")]).await;
    let error = Client::default()
        .send(with_password(mail(&server, "smtp://localhost:PORT")))
        .await
        .expect_err("no answer");
    assert!(matches!(error.cause, Cause::Connect(_)), "{error}");
    assert!(!server.heard().iter().any(|line| line.starts_with("AUTH")), "{:?}", server.heard());
}

#[rstest]
#[case::busy(&[("(greeting)", "421 4.3.2 try later\r\n")], 503, "421 4.3.2 try later")]
#[case::closed(&[("(greeting)", "554 go away\r\n")], 400, "554 go away")]
#[case::login(&[("AUTH", "535 5.7.8 wrong password\r\n")], 401, "535 5.7.8 wrong password")]
#[case::no_login(&[("EHLO", "250 mail.test\r\n")], 400, "takes no login")]
#[case::sender(&[("MAIL", "550 5.7.1 not you\r\n")], 400, "550 5.7.1 not you")]
#[case::recipients(&[("RCPT", "550 5.1.1 no such user\r\n")], 400, "550 5.1.1 no such user")]
#[case::greylisted(&[("RCPT", "451 4.7.1 later\r\n")], 503, "451 4.7.1 later")]
#[case::one_recipient(&[("RCPT TO:<team", "550 5.1.1 gone\r\n")], 207, "team@example.com (550 5.1.1 gone)")]
#[case::too_large(&[("DATA", "552 5.3.4 too large\r\n")], 400, "552 5.3.4 too large")]
#[case::spam(&[(".", "550 5.7.1 spam\r\n")], 400, "550 5.7.1 spam")]
#[case::rude(&[("QUIT", "\0\r\n")], 200, "queued")]
#[tokio::test]
async fn what_a_server_says_is_the_answer(#[case] script: Script, #[case] status: u16, #[case] says: &str) {
    let server = server(Encryption::Always, script).await;
    let request = with_password(mail(&server, "smtps://localhost:PORT"));
    let answer = Client::default().send(request).await.expect("an answer");
    assert!(answer.status == status && text(&answer).contains(says), "{} {}", answer.status, text(&answer));
    let whole = server.has_heard("DATA") && server.has_heard("Subject: hello");
    assert_eq!(matches!(status, 200 | 207) || says.contains("spam"), whole, "{:?}", server.heard());
}

#[rstest]
#[case::web(Encryption::Never, &[("(greeting)", "HTTP/1.1 400 Bad Request\r\n\r\n")], "no mail server")]
#[case::web_under_tls(Encryption::Always, &[("(greeting)", "HTTP/1.1 400 Bad Request\r\n\r\n")], "no mail server")]
#[case::code_alone(Encryption::Never, &[("(greeting)", "7\r\n")], "no mail server")]
#[case::other_script(Encryption::Always, &[("(greeting)", "220 \u{fffd}\u{0}\r\n"), ("EHLO", "\u{e4}\r\n")], "no mail server")]
#[tokio::test]
async fn what_is_no_mail_server_is_said_to_be_none(
    #[case] encryption: Encryption,
    #[case] script: Script,
    #[case] says: &str,
) {
    let server = server(encryption, script).await;
    let scheme = if encryption == Encryption::Always { "smtps" } else { "smtp" };
    let request = mail(&server, &format!("{scheme}://localhost:PORT"));
    let error = Client::default().send(request).await.expect_err("no answer").to_string();
    assert!(error.contains(says), "{error}");
}

#[rstest]
#[case::greeting_without_end(Encryption::Never, "220-hello\r\n", "no end")]
#[case::greeting_without_end_under_tls(Encryption::Always, "220-hello\r\n", "too much")]
#[case::line_without_end(Encryption::Never, "220 hello", "no end")]
#[case::line_without_end_under_tls(Encryption::Always, "220 hello", "too much")]
#[tokio::test]
async fn a_server_that_never_ends_is_not_listened_to(
    #[case] encryption: Encryption,
    #[case] says: &str,
    #[case] expected: &str,
) {
    let endless: &'static str = says.repeat(200_000).leak();
    let script: Script = vec![("(greeting)", endless)].leak();
    let server = server(encryption, script).await;
    let scheme = if encryption == Encryption::Always { "smtps" } else { "smtp" };
    let request = mail(&server, &format!("{scheme}://localhost:PORT"));
    let error = Client::default().send(request).await.expect_err("no answer").to_string();
    assert!(error.contains(expected) || error.contains("no mail server"), "{error}");
}

#[tokio::test]
async fn a_denied_network_gets_no_mail() {
    let server = server(Encryption::Never, &[]).await;
    let client = Client::within(Egress::new(&["127.0.0.0/8", "::1"], &[]).expect("networks"));
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let request = mail(&server, &format!("smtp://{host}:PORT?tls=none"));
        let error = client.send(request).await.expect_err("no answer");
        assert!(matches!(error.cause, Cause::Denied(_)), "{host}: {error}");
    }
    assert!(server.heard().is_empty(), "{:?}", server.heard());
}

#[rstest]
#[case::a_mail_to_a_web_server("https://mail.test", true)]
#[case::a_call_to_a_mail_server("smtp://mail.test", false)]
#[case::a_call_to_an_encrypted_one("smtps://mail.test", false)]
#[case::nowhere("smtp:mail.test", true)]
#[tokio::test]
async fn mails_go_to_mail_servers_and_nothing_else_does(#[case] address: &str, #[case] mail: bool) {
    let to = vec!["team@example.com".to_owned()];
    let mail = mail.then(|| Envelope { from: "releases@example.com".to_owned(), to });
    let request = Request { mail, ..Request::post(address, "message/rfc822", "x") };
    let error = Client::default().send(request).await.expect_err("refused");
    assert!(matches!(error.cause, Cause::InvalidUrl(_)) && error.attempts == 0, "{error}");
}

#[tokio::test]
async fn nobody_at_home_is_said_in_the_words_that_alerts_search_for() {
    let port =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let server = Server { port, ca: String::new(), heard: Arc::default() };
    let request = mail(&server, "smtp://127.0.0.1:PORT");
    let error = Client::default().send(request).await.expect_err("no answer").to_string();
    assert!(error.contains(&format!("dial tcp 127.0.0.1:{port}: connect: connection refused")), "{error}");
}
