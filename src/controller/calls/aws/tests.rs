//! Where keys come from, with a scripted other side, and what is signed with them.

use std::collections::BTreeMap;

use crate::controller::calls::tests::{Line, Script};
use crate::http::Limits;
use crate::model::call::Call;

use super::*;

fn noon() -> DateTime<Utc> {
    "2026-07-21T12:00:00Z".parse().expect("a time")
}

fn keyring(variables: &[(&str, &str)]) -> Keyring {
    let all: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Keyring::new(Environment {
        variable: Box::new(move |name| all.get(name).cloned()),
        file: Box::new(|path| match path {
            "/token" => Ok("jwt\n".to_owned()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
        }),
    })
}

fn keys(id: &str, secret: &str, token: Option<&str>) -> AwsKeys {
    AwsKeys {
        access_key_id: id.into(),
        secret_access_key: secret.into(),
        session_token: token.map(Secret::from),
    }
}

async fn ask(keyring: &Keyring, script: &std::sync::Arc<Script>) -> Result<AwsKeys, String> {
    let http = http::Client::over(script.clone(), Limits::default());
    keyring.keys(&http, "eu-west-1", noon()).await
}

/// `PUT http://…` of each call that was made.
fn made(script: &Script) -> Vec<String> {
    script.asked().iter().map(|request| format!("{} {}", request.method, request.url)).collect()
}

const ISSUED: &str = r#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s3cr3t","Token":"t0ken","Expiration":"2026-07-21T13:00:00Z"}"#;

#[test]
fn a_signature_covers_headers_and_body() {
    // Computed from the description of Signature Version 4, not with the library.
    let headers = [
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Target", "GraniteServiceVersion20100801.GetMetricData"),
    ];
    let request = Request {
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: bytes::Bytes::from_static(b"{\"StartTime\":0}"),
        ..Request::new(Method::POST, "https://monitoring.eu-west-1.amazonaws.com/")
    };
    let identity =
        AwsIdentity { region: "eu-west-1".into(), service: "monitoring".into(), keys: None, at: noon() };
    let signed =
        signature(&request, &identity, &keys("AKIDEXAMPLE", "s3cr3t", Some("t0ken"))).expect("a signature");
    let signed: BTreeMap<_, _> = signed.into_iter().collect();
    assert_eq!(signed["authorization"], AUTHORIZATION);
    assert_eq!(
        (signed["x-amz-date"].as_str(), signed["x-amz-security-token"].as_str()),
        ("20260721T120000Z", "t0ken")
    );
}

const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260721/eu-west-1/monitoring/aws4_request, \
                             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
                             Signature=fccd4e8fe357b14dad5a22c9707545ade7edd80a0156ddb6cf32347b55c6a7fd";

#[tokio::test(start_paused = true)]
async fn keys_of_the_environment_come_first_and_need_no_call() {
    let script = Script::of(&[Line::Refuses]);
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "s3cr3t"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
    ];
    assert_eq!(Ok(keys("AKID", "s3cr3t", None)), ask(&keyring(&variables), &script).await);
    assert!(script.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_role_of_the_service_account_is_taken_on_once_while_it_holds() {
    let answer = r#"{"AssumeRoleWithWebIdentityResponse":{"AssumeRoleWithWebIdentityResult":{"Credentials":
        {"AccessKeyId":"ASIA","SecretAccessKey":"s3cr3t","SessionToken":"t0ken","Expiration":1.7846388E9}}}}"#;
    let script = Script::of(&[Line::Says(200, answer)]);
    let keyring =
        keyring(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")]);
    for _ in 0..2 {
        assert_eq!(Ok(keys("ASIA", "s3cr3t", Some("t0ken"))), ask(&keyring, &script).await);
    }
    assert_eq!(vec!["POST https://sts.eu-west-1.amazonaws.com/"], made(&script));
    let request = &script.asked()[0];
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let expected = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx\
                    &RoleSessionName=vexil&WebIdentityToken=jwt";
    assert_eq!(expected, body.as_str());
    assert!(request.headers.contains(&("Accept".to_owned(), "application/json".to_owned())));

    // An hour later they are fetched again.
    let http = http::Client::over(script.clone(), Limits::default());
    keyring.keys(&http, "eu-west-1", noon() + TimeDelta::minutes(56)).await.expect("keys");
    assert_eq!(2, script.asked().len());
}

#[tokio::test(start_paused = true)]
async fn a_pod_identity_is_asked_for_with_its_token() {
    let script = Script::of(&[Line::Says(200, ISSUED)]);
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token"),
    ];
    assert_eq!(Ok(keys("ASIA", "s3cr3t", Some("t0ken"))), ask(&keyring(&variables), &script).await);
    assert_eq!(vec!["GET http://169.254.170.23/v1/credentials"], made(&script));
    assert_eq!(vec![("Authorization".to_owned(), "jwt".to_owned())], script.asked()[0].headers);
}

#[tokio::test(start_paused = true)]
async fn the_role_of_the_machine_comes_last() {
    let script =
        Script::of(&[Line::Says(200, "session"), Line::Says(200, "node-role\n"), Line::Says(200, ISSUED)]);
    assert_eq!(Ok(keys("ASIA", "s3cr3t", Some("t0ken"))), ask(&keyring(&[]), &script).await);
    let expected = [
        "PUT http://169.254.169.254/latest/api/token",
        "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/node-role",
    ];
    assert_eq!(expected.as_slice(), made(&script));
}

#[tokio::test(start_paused = true)]
async fn without_an_identity_the_error_says_where_it_was_looked_for() {
    let none = Script::of(&[Line::Refuses]);
    let disabled = keyring(&[("AWS_EC2_METADATA_DISABLED", "true")]);
    let expected =
        "no credentials for AWS: the environment names no keys, no role and no place to get them from";
    assert_eq!(Err(expected.to_owned()), ask(&disabled, &none).await);
    let why = ask(&keyring(&[]), &none).await.unwrap_err();
    assert!(why.starts_with(expected) && why.contains("169.254.169.254") && why.contains("refused"), "{why}");
    let lost = keyring(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/gone"), ("AWS_ROLE_ARN", "r")]);
    assert_eq!(Err("no credentials for AWS: /gone: no such file".to_owned()), ask(&lost, &none).await);
}

#[tokio::test(start_paused = true)]
async fn what_a_service_of_keys_says_is_never_shown() {
    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")];
    for (status, body) in [
        (200, r#"{"AccessKeyId":"ASIA","SecretAccessKey":["s3cr3t"]}"#),
        (200, "s3cr3t"),
        (403, r#"{"Code":"s3cr3t and more"}"#),
        (302, "s3cr3t"),
    ] {
        let why = ask(&keyring(&variables), &Script::of(&[Line::Says(status, body)])).await.unwrap_err();
        assert!(why.starts_with("no credentials for AWS: ") && !why.contains("s3cr3t"), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_signed_and_a_refusal_that_repeats_the_token_does_not_give_it_away() {
    let script =
        Script::of(&[Line::Says(403, "the canonical string holds x-amz-security-token:t0ken-of-mine")]);
    let calls = super::super::Calls::outside(http::Client::over(script.clone(), Limits::default()));
    let identity = AwsIdentity {
        region: "eu-west-1".into(),
        service: "monitoring".into(),
        keys: Some(keys("AKID", "s3cr3t", Some("t0ken-of-mine"))),
        at: noon(),
    };
    let call = Call {
        auth: crate::model::call::Auth::Aws(Box::new(identity)),
        ..Call::get("https://monitoring.eu-west-1.amazonaws.com/")
    };
    let answer = calls.send(&call).await.expect("an answer");
    assert_eq!(
        "the canonical string holds x-amz-security-token:xxxxx",
        String::from_utf8_lossy(&answer.body)
    );
    let request = &script.asked()[0];
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"authorization") && names.contains(&"x-amz-date"), "{names:?}");
}
