//! Gates: closed, open, and what they outlive.

use kubesim::KubeSim;
use rstest::rstest;
use serde_json::{Value, json};
use vexil::loadtester::{Settings, Store};

use super::{careful, folder, start};

fn frontend() -> Value {
    json!({"name": "frontend", "namespace": "shop"})
}

fn approved() -> (u16, String) {
    (200, "Approved".to_owned())
}

fn forbidden() -> (u16, String) {
    (403, "Forbidden".to_owned())
}

#[tokio::test]
async fn one_gate_is_always_open_and_one_never() {
    // spec: 04/LT-02
    let tester = start(careful()).await;
    for method in ["GET", "POST"] {
        assert_eq!((200, "OK".to_owned()), tester.send(method, "/gate/approve", &[], b"whatever").await);
        assert_eq!(forbidden(), tester.send(method, "/gate/halt", &[], b"").await);
    }
    tester.stop().await;
}

#[rstest]
#[case("gate", "rollback")]
#[case("rollback", "gate")]
#[tokio::test]
async fn a_gate_is_closed_until_it_is_opened_and_the_other_kind_stays_as_it_is(
    #[case] kind: &str,
    #[case] other: &str,
) {
    // spec: 04/LT-03 04/LT-04
    let tester = start(careful()).await;
    let (check, other) = (format!("/{kind}/check"), format!("/{other}/check"));
    assert_eq!(forbidden(), tester.post(&check, frontend()).await);
    assert_eq!((202, String::new()), tester.post(&format!("/{kind}/open"), frontend()).await);
    assert_eq!(approved(), tester.post(&check, frontend()).await);
    assert_eq!(forbidden(), tester.post(&other, frontend()).await);
    for neighbour in [
        json!({"name": "frontend", "namespace": "shop2"}),
        json!({"name": "rollback.frontend", "namespace": "shop"}),
    ] {
        assert_eq!(forbidden(), tester.post(&check, neighbour.clone()).await);
        assert_eq!(forbidden(), tester.post(&other, neighbour).await);
    }
    let series = format!("vexil_loadtester_gates_open{{kind=\"{kind}\"}}");
    assert_eq!(Some(1.0), tester.series(&series).await);
    assert_eq!((202, String::new()), tester.post(&format!("/{kind}/close"), frontend()).await);
    assert_eq!(forbidden(), tester.post(&check, frontend()).await);
    tester.stop().await;
}

#[tokio::test]
async fn a_gate_that_was_opened_for_a_revision_is_closed_for_the_next() {
    let tester = start(careful()).await;
    let of = |checksum: &str| json!({"name": "frontend", "namespace": "shop", "checksum": checksum});
    tester.post("/gate/open", of("758df7c9fc")).await;
    assert_eq!(approved(), tester.post("/gate/check", of("758df7c9fc")).await);
    assert_eq!(forbidden(), tester.post("/gate/check", of("7c9d467496")).await);
    // Without one it is open for all that come.
    tester.post("/gate/open", frontend()).await;
    assert_eq!(approved(), tester.post("/gate/check", of("7c9d467496")).await);
    tester.stop().await;
}

#[tokio::test]
async fn a_gate_closes_when_its_time_is_over() {
    let now = || {
        std::fs::read_to_string(clock()).map_or_else(|_| at(0), |text| at(text.parse().expect("a number")))
    };
    fn clock() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gate-clock-{}", std::process::id()))
    }
    fn at(seconds: i64) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::from_timestamp(seconds, 0).expect("a time")
    }
    std::fs::write(clock(), "1000").expect("writable");
    let tester = start(Settings { now, ..careful() }).await;
    let open = |time: &str| json!({"name": "frontend", "namespace": "shop", "metadata": {"for": time}});
    assert_eq!(202, tester.post("/gate/open", open("10m")).await.0);
    assert_eq!(approved(), tester.post("/gate/check", frontend()).await);
    std::fs::write(clock(), "1601").expect("writable");
    assert_eq!(forbidden(), tester.post("/gate/check", frontend()).await);
    for time in ["soon", "0s", "9000h", "-1h"] {
        let (status, text) = tester.post("/gate/open", open(time)).await;
        assert!(status == 400 && text.contains(time), "{status} {text}");
    }
    tester.stop().await;
}

/// The settings of a load tester that keeps its gates in the same place as the one before.
fn kept(place: &str, sim: &KubeSim, file: &std::path::Path) -> Settings {
    let store = match place {
        "file" => Store::File(file.to_owned()),
        _ => {
            let client = kube::Client::new(sim.service("loadtester"), "vexil");
            Store::ConfigMap(Box::new(kube::Api::namespaced(client, "vexil")), "loadtester-gates".into())
        }
    };
    Settings { store, ..careful() }
}

#[rstest]
#[case::file("file")]
#[case::config_map("ConfigMap")]
#[tokio::test]
async fn gates_survive_a_restart(#[case] place: &str) {
    let file = folder(&format!("gates-{place}")).join("gates.json");
    let sim = KubeSim::builder().build();
    let first = start(kept(place, &sim, &file)).await;
    first.post("/gate/open", frontend()).await;
    first.post("/rollback/open", json!({"name": "backend", "namespace": "shop"})).await;
    first.post("/gate/open", json!({"name": "backend", "namespace": "shop"})).await;
    first.post("/gate/close", json!({"name": "backend", "namespace": "shop"})).await;
    // As SIGKILL would: nothing is written at the end.
    first.running.abort();
    let second = start(kept(place, &sim, &file)).await;
    assert_eq!(approved(), second.post("/gate/check", frontend()).await);
    assert_eq!(forbidden(), second.post("/rollback/check", frontend()).await);
    assert_eq!(
        approved(),
        second.post("/rollback/check", json!({"name": "backend", "namespace": "shop"})).await
    );
    assert_eq!(
        forbidden(),
        second.post("/gate/check", json!({"name": "backend", "namespace": "shop"})).await
    );
    second.stop().await;
}

#[tokio::test]
async fn replicas_agree_about_gates_in_a_config_map_and_lose_none_to_each_other() {
    let sim = KubeSim::builder().build();
    let file = folder("replicas");
    let (one, two) = (start(kept("map", &sim, &file)).await, start(kept("map", &sim, &file)).await);
    // What the chart makes.
    sim.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "loadtester-gates", "namespace": "vexil"}}));
    let open = |number: u32| json!({"name": format!("canary-{number}"), "namespace": "shop"});
    let opened = futures::future::join_all((0..10).map(|number| {
        let tester = if number % 2 == 0 { &one } else { &two };
        tester.post("/gate/open", open(number))
    }));
    assert!(opened.await.iter().all(|(status, _)| *status == 202));
    for number in 0..10 {
        for tester in [&one, &two] {
            assert_eq!(approved(), tester.post("/gate/check", open(number)).await, "{number}");
        }
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_store_that_cannot_be_read_closes_every_gate_and_says_so() {
    let file = folder("broken").join("gates.json");
    let settings = || Settings { store: Store::File(file.clone()), ..careful() };
    let tester = start(settings()).await;
    tester.post("/gate/open", frontend()).await;
    std::fs::write(&file, "{\"gates\": [").expect("writable");
    for path in ["/gate/check", "/rollback/check", "/gate/open"] {
        let (status, text) = tester.post(path, frontend()).await;
        assert!(status == 503 && text.contains("gates.json"), "{path}: {status} {text}");
    }
    assert_eq!(503, tester.get("/readyz").await.0);
    assert_eq!(200, tester.get("/healthz").await.0);
    tester.stop().await;
    let refused = vexil::loadtester::LoadTester::bind(settings()).await.err().expect("refused").to_string();
    assert!(refused.contains("gates.json") && refused.contains("delete it"), "{refused}");
}
