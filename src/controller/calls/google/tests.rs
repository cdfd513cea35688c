//! Whose tokens there are. The library reads the environment of its process, so that a test of that starts one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::SignatureScheme;
use serde_json::Value;
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::metrics::testing::Sample;

const LONGEST: Duration = Duration::from_secs(30);

fn account_key() -> Secret {
    Sample::of("stackdriver").secret("serviceAccountKey").into()
}

#[tokio::test]
async fn an_account_signs_its_token_and_nobody_is_asked() {
    let token = Tokens::default().token(Some(&account_key()), LONGEST).await.expect("a token");
    let (statement, signature) = token.reveal().rsplit_once('.').expect("a signature");
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64");
    let parts: Vec<Value> =
        statement.split('.').map(|part| serde_json::from_slice(&decode(part)).expect("JSON")).collect();
    assert_eq!((&parts[0]["alg"], &parts[0]["kid"]), (&"RS256".into(), &"k1".into()));
    let account = "vexil@shop-1.iam.gserviceaccount.com";
    assert_eq!((&parts[1]["iss"], &parts[1]["scope"]), (&account.into(), &SCOPE.into()));
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms.mapping;
    let (_, algorithms) =
        known.iter().find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256).expect("RS256");
    let public = STANDARD.decode(PUBLIC_KEY).expect("base64");
    let valid = |statement: &str| {
        let signature = decode(signature);
        algorithms.iter().any(|one| one.verify_signature(&public, statement.as_bytes(), &signature).is_ok())
    };
    assert!(valid(statement) && !valid("e30.e30"));
}

const PUBLIC_KEY: &str = "MIIBCgKCAQEAv6VUCPAEhFb5CbRp0qrpyKsKez9/B1WtpqleE8CpgssdqVxr2GTvtZPmtF1c4PNRiKeMRtjQzjNmLjIuqZPfIm9gPr0Cuu7nR4g8pyGs/kLEGwoaFvpeJo7aLsDz5jcVjxHDDaouIhsw8ipcvFkVn+iSIXo4EFERT6G6efGgtuAWBgHDWx69kdQDHrFONvlQ9pLbBdK1OZoPJ5NEnGEazHiIGRxtJqFOSZmwLuDDdgZj0fgPIV1zkkzH8dTvnuFyyGCDAhq+VvGN8Rv65+v0GoE6jD+Tg+TJ6EvKqD+wOchZn9mk73PNzn/WX6Ug5GlJaCg+efrZToiiibezci38PwIDAQAB";

#[tokio::test]
async fn a_token_is_kept_while_it_holds() {
    let tokens = Tokens::default();
    let first = tokens.token(Some(&account_key()), LONGEST).await;
    assert_eq!(first, tokens.token(Some(&account_key()), LONGEST).await);
    assert_eq!(1, tokens.held.lock().await.len());
}

#[tokio::test]
async fn a_file_that_is_no_key_is_refused_and_not_shown() {
    for file in ["s3cret", "{\"private_key\":\"s3cret\"}", "[\"s3cret\"]"] {
        let why = Tokens::default().token(Some(&file.into()), LONGEST).await.unwrap_err();
        let expected = "no credentials for Google: the file is not that of a service account's key";
        assert_eq!(expected, why);
    }
}

#[tokio::test]
#[ignore = "the tests below start it in a process of its own"]
async fn this_process_in_an_environment_of_its_own() {
    let token = Tokens::default().token(None, LONGEST).await.map(|token| token.reveal().to_owned());
    println!("\nTOKEN {token:?}");
}

/// The token that a process with these variables has, and none besides.
async fn own_token(variables: &[(&str, &str)]) -> String {
    let nobody = tempfile::tempdir().expect("a folder");
    let ended = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["controller::calls::google::tests::this_process_in_an_environment_of_its_own"])
        .args(["--exact", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", nobody.path())
        .envs(variables.iter().copied())
        .output()
        .await
        .expect("it runs");
    let said = String::from_utf8_lossy(&ended.stdout);
    let token = said.lines().find_map(|line| line.strip_prefix("TOKEN "));
    token.map_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&ended.stderr)), str::to_owned)
}

/// A metadata server that answers like this.
async fn metadata(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(path("/computeMetadata/v1/instance/service-accounts/default/token"))
        .and(header("Metadata-Flavor", "Google"))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_workload_has_the_token_of_its_service_account_from_the_metadata_server() {
    let body = r#"{"access_token":"t0ken","expires_in":3599,"token_type":"Bearer"}"#;
    let server = metadata(ResponseTemplate::new(200).set_body_string(body)).await;
    let address = server.address().to_string();
    assert_eq!("Ok(\"t0ken\")", own_token(&[("GCE_METADATA_HOST", &address)]).await);
}

#[tokio::test]
async fn a_file_of_credentials_comes_before_the_metadata_server() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), account_key().reveal()).expect("it is written");
    let named = file.path().to_str().expect("a path of letters");
    let token = own_token(&[("GOOGLE_APPLICATION_CREDENTIALS", named)]).await;
    // Three parts, which it signed itself.
    assert!(token.starts_with("Ok(\"ey") && token.matches('.').count() == 2, "{token}");
}

#[tokio::test]
async fn what_a_metadata_server_says_is_never_shown() {
    for (status, body) in [(403, "s3cret"), (200, "s3cret"), (200, "{\"access_token\":[\"s3cret\"]}")] {
        let server = metadata(ResponseTemplate::new(status).set_body_string(body)).await;
        let address = server.address().to_string();
        let why = own_token(&[("GCE_METADATA_HOST", &address)]).await;
        assert!(why.starts_with("Err(\"no credentials for Google: ") && !why.contains("s3cret"), "{why}");
    }
}
