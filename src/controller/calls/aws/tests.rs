//! Where keys come from, with a scripted other side, and what is signed with them. The library reads the environment of
//! its process, so that a test of that starts one.

use std::collections::BTreeMap;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::controller::calls::tests::{Line, Script};
use crate::http::Limits;
use crate::model::call::Call;

use super::*;

fn noon() -> DateTime<Utc> {
    "2026-07-21T12:00:00Z".parse().expect("a time")
}

fn keys(id: &str, secret: &str, token: Option<&str>) -> AwsKeys {
    AwsKeys {
        access_key_id: id.into(),
        secret_access_key: secret.into(),
        session_token: token.map(Secret::from),
    }
}

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

/// What the other side answers, and when keys are asked for.
#[derive(Default, Serialize, Deserialize)]
struct Scene {
    answers: Vec<(u16, String)>,
    asked_at: Vec<DateTime<Utc>>,
}

/// Name, key and token.
type Had = Result<(String, String, Option<String>), String>;

/// What became of it: what each asking had, and which calls were made.
#[derive(Serialize, Deserialize)]
struct Outcome {
    had: Vec<Had>,
    calls: Vec<String>,
    /// Body and headers of the first.
    first: Option<(String, BTreeMap<String, String>)>,
}

impl Scene {
    fn of(answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        Self { answers, asked_at: vec![noon()] }
    }

    /// Plays it in a process with these variables, and none besides.
    fn play(&self, variables: &[(&str, &str)]) -> Outcome {
        let nobody = tempfile::tempdir().expect("a folder");
        let ended = Command::new(std::env::current_exe().expect("this program"))
            .args(["controller::calls::aws::tests::a_keyring_in_an_environment_of_its_own"])
            .args(["--exact", "--ignored", "--nocapture"])
            .env_clear()
            .env("HOME", nobody.path())
            .env(SCENE, serde_json::to_string(self).expect("JSON"))
            .envs(variables.iter().copied())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&ended.stdout);
        let outcome = said.lines().find_map(|line| line.split_once(SCENE)).map(|(_, outcome)| outcome);
        let outcome = outcome.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&ended.stderr)));
        serde_json::from_str(outcome).expect("JSON")
    }
}

const SCENE: &str = "VEXIL_SCENE";

#[tokio::test(start_paused = true)]
#[ignore = "the tests below start it in a process of its own"]
async fn a_keyring_in_an_environment_of_its_own() {
    let scene = std::env::var(SCENE).expect("a scene");
    let scene: Scene = serde_json::from_str(&scene).expect("JSON");
    let lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", "300");
    let says = |(status, body): (u16, String)| Line::With(status, vec![lifetime], body);
    let mut lines: Vec<Line> = scene.answers.into_iter().map(says).collect();
    if lines.is_empty() {
        lines.push(Line::Refuses);
    }
    let script = Script::of(&lines);
    let http = http::Client::over(script.clone(), Limits::default());
    let (keyring, mut had) = (Keyring::default(), Vec::new());
    for at in scene.asked_at {
        had.push(keyring.keys(&http, "eu-west-1", at).await.map(|keys| {
            let token = keys.session_token.map(|token| token.reveal().to_owned());
            (keys.access_key_id, keys.secret_access_key.reveal().to_owned(), token)
        }));
    }
    let asked = script.asked();
    let calls = asked.iter().map(|request| format!("{} {}", request.method, request.url)).collect();
    let first = asked.first().map(|request| {
        let headers = request.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()));
        (String::from_utf8_lossy(&request.body).into_owned(), headers.collect())
    });
    println!("\n{SCENE}{}", serde_json::to_string(&Outcome { had, calls, first }).expect("JSON"));
}

fn had(id: &str, secret: &str, token: Option<&str>) -> Had {
    Ok((id.to_owned(), secret.to_owned(), token.map(str::to_owned)))
}

/// A file with the token of a service account.
fn token_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "jwt").expect("it is written");
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("a path of letters")
}

const ISSUED: &str = r#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s3cr3t","Token":"t0ken","Expiration":"2126-07-21T13:00:00Z"}"#;

#[test]
fn keys_of_the_environment_come_first_and_need_no_call() {
    let outcome = Scene::of(&[]).play(&[
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "s3cr3t"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
    ]);
    assert_eq!((vec![had("AKID", "s3cr3t", None)], Vec::new()), (outcome.had, outcome.calls));
}

#[test]
fn a_profile_names_keys_as_well() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let text = "[release]\naws_access_key_id = AKPR\naws_secret_access_key = s3cr3t\n";
    std::fs::write(file.path(), text).expect("it is written");
    let variables = [("AWS_PROFILE", "release"), ("AWS_SHARED_CREDENTIALS_FILE", path(&file))];
    let outcome = Scene::of(&[]).play(&variables);
    assert_eq!((vec![had("AKPR", "s3cr3t", None)], Vec::new()), (outcome.had, outcome.calls));
}

#[test]
fn the_role_of_the_service_account_is_taken_on_once_while_it_holds() {
    let answer = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
        <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
        <SecretAccessKey>s3cr3t</SecretAccessKey><SessionToken>t0ken</SessionToken>\
        <Expiration>2026-07-21T13:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";
    let token = token_file();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path(&token)),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x"),
        ("AWS_ROLE_SESSION_NAME", "release"),
    ];
    let scene = Scene::of(&[(200, answer)]);
    let twice = Scene { asked_at: vec![noon(), noon() + TimeDelta::minutes(54)], ..scene };
    let outcome = twice.play(&variables);
    assert_eq!(vec![had("ASIA", "s3cr3t", Some("t0ken")); 2], outcome.had);
    assert_eq!(vec!["POST https://sts.eu-west-1.amazonaws.com/"], outcome.calls);
    let (body, _) = outcome.first.expect("a call");
    let expected = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx\
                    &RoleSessionName=release&WebIdentityToken=jwt";
    assert_eq!(expected, body);

    // Shortly before their end they are fetched again.
    let later = Scene { asked_at: vec![noon(), noon() + TimeDelta::minutes(56)], ..twice };
    assert_eq!(2, later.play(&variables).calls.len());
}

#[test]
fn a_pod_identity_is_asked_for_with_its_token() {
    let token = token_file();
    let outcome = Scene::of(&[(200, ISSUED)]).play(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path(&token)),
    ]);
    assert_eq!(vec![had("ASIA", "s3cr3t", Some("t0ken"))], outcome.had);
    assert_eq!(vec!["GET http://169.254.170.23/v1/credentials"], outcome.calls);
    let (_, headers) = outcome.first.expect("a call");
    assert_eq!(Some("jwt"), headers.get("authorization").map(String::as_str));
}

#[test]
fn the_role_of_the_machine_comes_last() {
    let outcome = Scene::of(&[(200, "session"), (200, "node-role"), (200, ISSUED)]).play(&[]);
    assert_eq!(vec![had("ASIA", "s3cr3t", Some("t0ken"))], outcome.had);
    let expected = [
        "PUT http://169.254.169.254/latest/api/token",
        "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/",
        "GET http://169.254.169.254/latest/meta-data/iam/security-credentials/node-role",
    ];
    assert_eq!(expected.as_slice(), outcome.calls);
}

#[test]
fn without_an_identity_the_error_says_where_it_was_looked_for() {
    let why = |variables: &[(&str, &str)]| match Scene::of(&[]).play(variables).had.remove(0) {
        Err(why) => why,
        Ok(keys) => panic!("{keys:?}"),
    };
    let expected = "no credentials for AWS: neither the environment nor a profile, a role of the service account, the \
                    container or the machine has any";
    assert_eq!(expected, why(&[("AWS_EC2_METADATA_DISABLED", "true")]));
    let refused = why(&[]);
    assert!(
        refused.starts_with("no credentials for AWS: ") && refused.contains("169.254.169.254"),
        "{refused}"
    );
    assert!(refused.contains("refused"), "{refused}");
    let lost = why(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/gone"), ("AWS_ROLE_ARN", "r")]);
    assert!(lost.contains("/gone"), "{lost}");
}

#[test]
fn a_role_that_is_refused_says_so_with_the_word_of_the_service() {
    let token = token_file();
    let variables =
        [("AWS_WEB_IDENTITY_TOKEN_FILE", path(&token)), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/x")];
    let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>s3cr3t</Message></Error></ErrorResponse>";
    let outcome = Scene::of(&[(403, body)]).play(&variables);
    let Err(why) = &outcome.had[0] else { panic!("{:?}", outcome.had) };
    assert!(why.contains("POST https://sts.eu-west-1.amazonaws.com/: status 403 AccessDenied"), "{why}");
    assert!(!why.contains("s3cr3t"), "{why}");
}

#[test]
fn what_a_service_of_keys_says_is_never_shown() {
    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials")];
    for (status, body) in [
        (200, r#"{"AccessKeyId":"ASIA","SecretAccessKey":["s3cr3t"]}"#),
        (200, "s3cr3t"),
        (403, r#"{"Code":"s3cr3t and more"}"#),
        (302, "s3cr3t"),
    ] {
        let outcome = Scene::of(&[(status, body)]).play(&variables);
        let Err(why) = &outcome.had[0] else { panic!("{:?}", outcome.had) };
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
