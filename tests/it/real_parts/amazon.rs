//! CloudWatch of moto, which checks signatures, with keys and with a role that its STS gives to a token of Kubernetes; and the
//! signature of Amazon's Prometheus, which botocore checks before a real one.

use std::process::Command;
use std::sync::Arc;

use chrono::{DurationRound as _, TimeDelta};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use vexil::http::{Cause, Egress, Limits, Request, ReqwestTransport, Response, Transport};

use super::{Asked, Calls, Client, Clock, Measured, MetricProvider, asked, metrics, part, secret};

/// Leads calls of AWS to what stands for it. The name stays, since it is signed, and since moto goes by it.
struct Reroutes {
    network: ReqwestTransport,
    ways: Vec<(String, String)>,
}

impl Transport for Reroutes {
    fn send(&self, mut request: Request) -> BoxFuture<'_, Result<Response, Cause>> {
        async move {
            let way = self.ways.iter().find(|(real, _)| request.url.starts_with(real));
            let (real, address) = way.unwrap_or_else(|| panic!("{}", request.url));
            // Whoever takes on a role has no keys yet, which moto lets pass only as one of its first calls.
            if real.starts_with("https://sts.") {
                let mut free = Request::new(request.method.clone(), format!("{address}/moto-api/reset-auth"));
                free.body = "1".into();
                let answer = self.network.send(free).await?;
                assert_eq!(200, answer.status);
            }
            request.url = request.url.replace(real, address);
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
            request.headers.push(("Host".to_owned(), real.replace("https://", "")));
            self.network.send(request).await
        }
        .boxed()
    }
}

fn rerouted(ways: &[(&str, String)]) -> Calls {
    let ways = ways.iter().map(|(real, address)| ((*real).to_owned(), address.clone())).collect();
    let transport = Reroutes { network: ReqwestTransport::new(Egress::default()), ways };
    Calls::outside(Client::over(Arc::new(transport), Limits::default()))
}

/// What moto checks is one switch for all of it.
static MOTO: Mutex<()> = Mutex::const_new(());

fn cloudwatch() -> MetricProvider {
    MetricProvider {
        kind: "cloudwatch".into(),
        region: Some("eu-west-1".into()),
        ..MetricProvider::default()
    }
}

/// The query for what was put in.
fn errors() -> Asked {
    let query = r#"[{"id": "errors", "metricStat": {"stat": "Sum", "period": 60, "metric": {
        "namespace": "shop", "metricName": "Errors", "dimensions": [{"name": "app", "value": "frontend"}]}}}]"#;
    // Ends with a whole minute, as the values of a period do.
    let now = Clock::system().now().duration_trunc(TimeDelta::minutes(1)).expect("a minute");
    Asked { now: now + TimeDelta::minutes(1), ..asked(query) }
}

#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn cloudwatch_takes_our_signature_and_answers_with_its_newest_value() {
    let _alone = MOTO.lock().await;
    let calls = rerouted(&[("https://monitoring.eu-west-1.amazonaws.com", part("PROOF_MOTO"))]);
    let spec = cloudwatch();
    let (id, key) = (part("PROOF_MOTO_KEY"), part("PROOF_MOTO_SECRET"));
    let as_user = |secret_key: &str| {
        let secret = secret(&[("aws_access_key_id", &id), ("aws_secret_access_key", secret_key)]);
        metrics::provider(&spec, Some(&secret)).expect("a provider")
    };
    let asked = errors();
    let measured = calls.measure(as_user(&key).as_ref(), &asked).await;
    assert_eq!(Measured::Value(98.5), measured);
    let nothing = Asked { query: asked.query.replace("Errors", "Nothing"), ..asked.clone() };
    let measured = calls.measure(as_user(&key).as_ref(), &nothing).await;
    assert!(matches!(measured, Measured::NoData(_)), "{measured:?}");
    // Another key makes another signature, which is refused. What moto says of it is a page, which is not repeated.
    let measured = calls.measure(as_user("anothersecretkey").as_ref(), &asked).await;
    assert!(matches!(&measured, Measured::Failed(why) if why.contains("403")), "{measured:?}");
}

/// Says to the test below that it is the process with an environment of its own, which Amazon's library reads.
const WITHIN: &str = "PROOF_WITHIN";

/// As in a pod with a role (IRSA): a token of the service account in a file, the role's name, and no keys at all.
#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn cloudwatch_is_asked_with_the_role_that_sts_gives_to_the_service_account() {
    if std::env::var(WITHIN).is_ok() {
        let moto = part("PROOF_MOTO");
        let calls = rerouted(&[
            ("https://monitoring.eu-west-1.amazonaws.com", moto.clone()),
            ("https://sts.eu-west-1.amazonaws.com", moto),
        ]);
        let controllers = metrics::provider(&cloudwatch(), None).expect("a provider");
        let measured = calls.measure(controllers.as_ref(), &errors()).await;
        assert_eq!(Measured::Value(98.5), measured);
        return;
    }
    let _alone = MOTO.lock().await;
    let home = tempfile::tempdir().expect("a folder");
    let token = home.path().join("token");
    std::fs::write(&token, "header.payload.signature").expect("a file");
    let own_name = concat!(
        "real_parts::amazon::",
        "cloudwatch_is_asked_with_the_role_that_sts_gives_to_the_service_account"
    );
    let within = |role: &str| {
        let ended = Command::new(std::env::current_exe().expect("this program"))
            .args([own_name, "--exact", "--ignored"])
            .env_clear()
            .env("HOME", home.path())
            .env(WITHIN, "1")
            .env("PROOF_MOTO", part("PROOF_MOTO"))
            .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
            .env("AWS_ROLE_ARN", role)
            .output()
            .expect("it runs");
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        (ended.status.success(), format!("{out}{err}"))
    };
    let (there, said) = within(&part("PROOF_MOTO_ROLE"));
    assert!(there && said.contains("1 passed"), "{said}");
    // Nobody has given a role of another name the right to read.
    let (there, said) = within(&part("PROOF_MOTO_ROLE").replace("/vexil", "/nobody"));
    assert!(!there && said.contains("Failed("), "{said}");
}

#[tokio::test]
#[ignore = "needs the parts of make test-providers"]
async fn amazons_prometheus_takes_our_signature_and_no_other() {
    let real = "https://aps-workspaces.eu-west-1.amazonaws.com";
    let calls = rerouted(&[(real, part("PROOF_APS"))]);
    let spec = MetricProvider {
        kind: "prometheus".into(),
        address: Some(format!("{real}/workspaces/ws-1")),
        region: Some("eu-west-1".into()),
        ..MetricProvider::default()
    };
    let measure = async |key: &str, query: &str| {
        let keys = [("aws_access_key_id", part("PROOF_MOTO_KEY")), ("aws_secret_access_key", key.to_owned())];
        let secret = secret(&keys.each_ref().map(|(name, value)| (*name, value.as_str())));
        let amazons = metrics::provider(&spec, Some(&secret)).expect("a provider");
        calls.measure(amazons.as_ref(), &asked(query)).await
    };
    // With what a form escapes.
    let query = r#"sum(rabbitmq_queue_messages_ready{queue=~"front.nd|\u00fc/&+"}) + 1"#;
    assert_eq!(Measured::Value(18.0), measure(&part("PROOF_MOTO_SECRET"), query).await);
    let refused = measure("anothersecretkey", query).await;
    assert!(matches!(&refused, Measured::Failed(why) if why.contains("403")), "{refused:?}");
}
