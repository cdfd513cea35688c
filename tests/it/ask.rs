//! `vexil get`, `status`, `watch`, `wait` and what is said when a cluster cannot be asked: the program itself, against
//! the embedded cluster on a loopback port. How a release is drawn in each state is tested in src/cli/ask.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kubesim::{ApiStatus, Fate, KubeSim, Listening};
use rstest::rstest;
use serde_json::{Value, json};
use vexil::sim::World;

mod docs;

const QUARTERS: &str = include_str!("../data/shop/frontend-quarters.yaml");
const REVISION: &str = "vx1-5f6a1b2c3d4e5f60";

/// A cluster that listens, and a kubeconfig for it.
struct Shop {
    world: World,
    listening: Listening,
    home: PathBuf,
}

impl Shop {
    /// A shop whose Canary has a status that somebody has written: no controller runs here.
    async fn open(name: &str, status: Value) -> Self {
        let world = World::builder().build();
        world.apply(QUARTERS).expect("a manifest that the cluster takes");
        let shop = Self::over(name, world).await;
        shop.set(status);
        shop
    }

    async fn over(name: &str, world: World) -> Self {
        let listening = world.kube.listen(([127, 0, 0, 1], 0).into()).await.expect("a free loopback port");
        let home =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("ask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a directory for the kubeconfig");
        std::fs::write(home.join("config"), listening.kubeconfig()).expect("the kubeconfig is written");
        Self { world, listening, home }
    }

    fn kube(&self) -> &KubeSim {
        &self.world.kube
    }

    fn set(&self, status: Value) {
        let status = json!({"status": status});
        let set = self.kube().patch_status("test", "canaries.flagger.app", "shop", "frontend", status);
        set.expect("a status that the cluster takes");
    }

    fn command(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command.args(line.split(' ').filter(|word| !word.is_empty()));
        command.env("KUBECONFIG", self.home.join("config")).env("HOME", &self.home).env_remove("NO_COLOR");
        command.env_remove("KUBERNETES_SERVICE_HOST");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn vexil(&self, line: &str) -> Said {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_vexil")), line);
        tokio::task::block_in_place(|| command.output().expect("vexil runs")).into()
    }

    fn start(&self, line: &str) -> Child {
        self.command(Path::new(env!("CARGO_BIN_EXE_vexil")), line).spawn().expect("vexil starts")
    }

    fn address(&self) -> String {
        self.listening.url()
    }

    /// The request that was annotated, if one was.
    fn asked(&self) -> Value {
        let canary = self.kube().get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
        canary["metadata"]["annotations"]["flagger.app/request"].clone()
    }

    /// All requests of this resource are refused.
    fn refuse(&self, plural: &'static str, code: u16) {
        self.kube().intercept(move |request| {
            let reason = match code {
                401 => "Unauthorized",
                403 => "Forbidden",
                _ => "NotFound",
            };
            let message = r#"User "bob" cannot do that"#.to_owned();
            match request.plural == plural {
                true => Fate::Fail(ApiStatus { code, reason, message, details: None }),
                false => Fate::Pass,
            }
        });
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.listening.stop();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// How the program ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn progressing() -> Value {
    json!({
        "phase": "Progressing", "canaryWeight": 25, "failedChecks": 1, "iterations": 0,
        "lastAppliedSpec": REVISION,
        "releasing": {"name": REVISION, "images": ["registry.example.com/shop/frontend:2.0.0"]},
        "blockers": [{"type": "NextCheck", "message": "one interval between two steps", "since": "2026-01-01T09:00:00Z"}],
        "measurements": [{"name": "request-success-rate", "verdict": "Failed", "value": 93.1, "min": 99.0, "history": [99.8, 98.0, 93.1]}],
        "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Progressing", "message": "New revision detected, progressing canary analysis."}],
    })
}

fn gated() -> Value {
    let mut status = progressing();
    status["phase"] = "WaitingPromotion".into();
    status["blockers"] =
        json!([{"type": "Gate", "name": "qa", "message": "waiting for the approval of gate qa"}]);
    status
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn get_lists_the_canaries_with_what_they_wait_for() {
    let shop = Shop::open("get", gated()).await;
    let said = shop.vexil("get -n shop");
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(
        words(lines[0]),
        words("NAME PHASE WEIGHT READY REASON PAUSED WAITING FOR SINCE AGE"),
        "{said:?}"
    );
    assert_eq!(
        words(lines[1])[..9],
        ["frontend", "WaitingPromotion", "25", "%", "Unknown", "Progressing", "–", "gate", "qa"]
    );
    assert!(!said.out.contains('\u{1b}'), "no colours where there is no terminal");

    let wide = shop.vexil("get -A -o wide").out;
    assert!(wide.starts_with("NAMESPACE"), "{wide}");
    assert!(wide.contains("deployment/frontend") && wide.contains("1/5"), "{wide}");
    assert_eq!(shop.vexil("get -n shop -o name").out, "canary.flagger.app/frontend\n");
    let list: Value = serde_json::from_str(&shop.vexil("get -n shop -o json").out).expect("JSON");
    assert_eq!((&list["kind"], &list["items"][0]["metadata"]["name"]), (&json!("List"), &json!("frontend")));
    let one = shop.vexil("get frontend -n shop -o yaml").out;
    assert!(one.contains("kind: Canary") && one.contains("history:"), "{one}");
    assert!(!one.contains("managedFields"), "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_says_where_there_are_canaries() {
    let shop = Shop::open("empty", gated()).await;
    let said = shop.vexil("get");
    assert_eq!((said.code, said.out.as_str()), (Some(0), ""));
    assert_eq!(
        said.err.trim(),
        "There is no Canary in namespace default. There are some in shop: add -n shop, or -A."
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_a_tree_and_its_json_holds_the_same() {
    let shop = Shop::open("status", progressing()).await;
    for name in ["status", "explain"] {
        let said = shop.vexil(&format!("{name} frontend -n shop"));
        assert_eq!(said.code, Some(0), "{said:?}");
        for part in [
            "Canary frontend.shop",
            "├─ primary",
            "│  ├─ Deployment frontend-primary  not there",
            "✗ request-success-rate  93.10 %  at least 99 %   █▆▁",
            "1 of 5 failed checks",
            "4 more failed checks end it",
        ] {
            assert!(said.out.contains(part), "{part:?} is missing in:\n{}", said.out);
        }
    }
    let sight: Value =
        serde_json::from_str(&shop.vexil("status frontend -n shop -o json").out).expect("JSON");
    assert_eq!(sight["checks"][0]["measured"]["history"], json!([99.8, 98.0, 93.1]));
    assert_eq!(sight["canary"]["workload"], "Deployment frontend");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_named_and_the_rest_is_shown() {
    let shop = Shop::open("hidden", progressing()).await;
    shop.refuse("virtualservices", 403);
    let said = shop.vexil("status frontend -n shop");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("not shown"), "{}", said.out);
    assert!(said.out.contains("virtualservices.networking.istio.io"), "{}", said.out);
    assert!(said.out.contains("request-success-rate"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_plugin_of_kubectl_the_commands_are_the_same() {
    let shop = Shop::open("plugin", gated()).await;
    let plugin = shop.home.join("kubectl-canary");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_vexil"), &plugin).expect("a link");
    let run = |line: &str| -> Said {
        let mut command = shop.command(&plugin, line);
        tokio::task::block_in_place(|| command.output().expect("the plugin runs")).into()
    };
    assert!(run("get -n shop").out.contains("frontend"));
    // A flag in front is not the controller's here.
    assert!(run("--help").out.contains("Usage: kubectl canary <COMMAND>"), "{}", run("--help").out);
    let status = run("status frontend -n shop").out;
    assert!(status.contains("kubectl canary approve frontend -n shop"), "{status}");
    assert!(shop.vexil("help").out.contains("ln -s"), "the help says how to install it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_is_answered_with_the_one_that_was_meant() {
    let shop = Shop::open("unknown", gated()).await;
    for command in ["status", "get", "watch", "pause", "wait --for promoted"] {
        let said = shop.vexil(&format!("{command} frontent -n shop"));
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("there is no Canary frontent in namespace shop"), "{said:?}");
        assert!(said.err.contains("did you mean frontend?"), "{said:?}");
    }
    let elsewhere = shop.vexil("status frontend");
    assert!(elsewhere.err.contains("one of that name is in shop: add -n shop"), "{elsewhere:?}");
}

#[rstest]
#[case::forbidden(403, &["user bob may not get canaries.flagger.app in namespace shop", "verbs [get, list, watch]", "kubectl auth can-i get canaries.flagger.app -n shop"])]
#[case::unauthorised(401, &["does not accept your credentials", "log in again"])]
#[case::no_crd(404, &["the CRD canaries.flagger.app is not installed there", "vexil crds | kubectl apply"])]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_refuses_is_said_with_the_cluster_and_the_cure(
    #[case] code: u16,
    #[case] parts: &[&str],
) {
    let shop = Shop::open(&format!("refuses-{code}"), gated()).await;
    shop.refuse("canaries", code);
    for command in ["status frontend", "pause frontend", "wait frontend --for promoted"] {
        let said = shop.vexil(&format!("{command} -n shop"));
        assert_eq!(said.code, Some(1), "{said:?}");
        let cluster = format!("the cluster of context kubesim ({})", shop.address());
        for part in parts.iter().copied().chain([cluster.as_str()]) {
            assert!(said.err.contains(part), "{part:?} is missing in {}", said.err);
        }
        assert!(!said.err.contains("Error") && !said.err.contains("Status {"), "{}", said.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_that_cannot_be_used_is_named_and_never_quoted() {
    let shop = Shop::open("kubeconfig", gated()).await;
    let file = |name: &str, text: &str| {
        let path = shop.home.join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let none = shop.vexil("get --kubeconfig /nowhere/config");
    assert!(none.err.contains("there is no kubeconfig: /nowhere/config does not exist"), "{none:?}");
    assert!(none.err.contains("vexil demo --listen"), "{none:?}");

    let broken = file("broken", "apiVersion: v1\nkind: Config\nusers: [{name: a, user: {token: s3cr3t}\n");
    let said = shop.vexil(&format!("get --kubeconfig {broken}"));
    assert!(said.err.contains(&format!("{broken} is no kubeconfig")), "{said:?}");
    assert!(!said.err.contains("s3cr3t"), "{said:?}");

    let said = shop.vexil("get --context kubesmi");
    assert!(
        said.err.contains("has no context kubesmi") && said.err.contains("did you mean kubesim?"),
        "{said:?}"
    );

    let nobody = shop.listening.kubeconfig().replace(&shop.address(), "http://127.0.0.1:1");
    let said = shop.vexil(&format!("get --kubeconfig {}", file("nobody", &nobody)));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("context kubesim (http://127.0.0.1:1) does not answer: "), "{said:?}");
    assert!(said.err.contains("refused") && said.err.contains("is the cluster up"), "{said:?}");

    let exec = shop.listening.kubeconfig().replace(
        "user: {}",
        "user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, 'echo t0ken; exit 3'], interactiveMode: Never}}",
    );
    let said = shop.vexil(&format!("get --kubeconfig {}", file("exec", &exec)));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("the program that logs in has failed (exit status: 3)"), "{said:?}");
    assert!(!said.err.contains("t0ken"), "{said:?}");
    let absent = exec.replace("command: sh", "command: no-such-login");
    let said = shop.vexil(&format!("get --kubeconfig {}", file("absent", &absent)));
    assert!(said.err.contains("no login to the cluster of context kubesim"), "{said:?}");
    assert!(said.err.contains("the program that logs in is not installed"), "{said:?}");

    let tls = shop.listening.kubeconfig().replace("http://", "https://");
    let said = shop.vexil(&format!("get --kubeconfig {}", file("tls", &tls)));
    assert!(said.err.contains("is it http, and not https?"), "{said:?}");
}

#[rstest]
#[case::forbidden(
    403,
    "user bob may not list canaries.flagger.app in all namespaces of the cluster at http://127.0.0.1:"
)]
#[case::unauthorised(401, "does not accept your credentials (401 Unauthorized); they may have expired")]
#[case::no_crd(404, "the CRD canaries.flagger.app is not installed there")]
#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_controller_that_cannot_start_is_for_people(#[case] code: u16, #[case] part: &str) {
    // spec: 01/API-089
    let shop = Shop::open(&format!("starts-{code}"), gated()).await;
    shop.refuse("canaries", code);
    let file = shop.home.join("of-the-controller");
    std::fs::write(&file, shop.listening.kubeconfig()).expect("written");
    let said = shop.vexil(&format!("controller -kubeconfig {}", file.display()));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("Canary CRD is not registered: ") && said.err.contains(part), "{}", said.err);
    assert!(!said.err.contains("Status {") && !said.err.contains("ApiError"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_quotes_a_kubeconfig() {
    let shop = Shop::open("quotes", gated()).await;
    let file = shop.home.join("broken");
    std::fs::write(&file, "apiVersion: v1\nkind: Config\nusers: [{name: a, user: {token: s3cr3t}\n")
        .expect("written");
    let file = file.display();
    let said = shop.vexil(&format!("controller -kubeconfig {file}"));
    assert_eq!(said.code, Some(1), "{said:?}");
    let why =
        format!("Error building kubeconfig: {file} cannot be used: it is no YAML, or its fields are wrong");
    assert!(said.err.contains(&why), "{}", said.err);
    assert!(!said.err.contains("s3cr3t"), "{}", said.err);
    std::fs::copy(shop.home.join("broken"), shop.home.join("config")).expect("copied");
    let said = shop.vexil("loadtester -gates-configmap=gates");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("need a cluster: ") && !said.err.contains("s3cr3t"), "{}", said.err);
}

#[test]
fn whoever_closes_the_pipe_gets_the_exit_status_and_no_panic() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vexil"));
    let status = command.args(["get", "--kubeconfig", "/nowhere/config"]).stderr(writer).status();
    assert_eq!(status.expect("vexil runs").code(), Some(1));
}

#[rstest]
#[case::nothing_to_resume(progressing(), "resume frontend", "it is not paused")]
#[case::no_gate(progressing(), "approve frontend", "no gate waits for an approval")]
#[case::wrong_phase(
    progressing(),
    "retry frontend",
    "only a failed revision can be released again, the phase is Progressing"
)]
#[case::at_rest(json!({"phase": "Succeeded", "lastAppliedSpec": REVISION}), "abort frontend", "nothing is being released in phase Succeeded")]
#[case::too_late(json!({"phase": "Promoting", "lastAppliedSpec": REVISION}), "pause frontend", "the primary has been given the revision already")]
#[case::unknown_revision(
    progressing(),
    "pause frontend --revision vx1-00000000",
    "the revision vx1-00000000 is not known here"
)]
#[case::short_revision(progressing(), "pause frontend --revision vx1", "the revision vx1 is too short")]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_work_is_refused_before_it_is_asked(
    #[case] status: Value,
    #[case] line: &str,
    #[case] why: &str,
) {
    let shop = Shop::open(&format!("senseless-{}", line.replace(' ', "-")), status).await;
    let said = shop.vexil(&format!("{line} -n shop"));
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.err.contains("nothing was asked: ") && said.err.contains(why), "{said:?}");
    assert_eq!(shop.asked(), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_answers_says_so_with_a_code_of_its_own() {
    let shop = Shop::open("unanswered", progressing()).await;
    let said = shop.vexil("pause frontend -n shop --timeout 1 --context kubesim");
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(said.err.contains("is the controller running?"), "{said:?}");
    assert!(shop.asked().is_string());
}

/// Until `met`, for a generous time.
async fn until(met: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !met() {
        assert!(tokio::time::Instant::now() < deadline, "it does not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[rstest]
#[case::promoted("--for promoted", json!({"phase": "Succeeded"}), 0, "promotion reached")]
#[case::failed_instead("--for promoted", json!({"phase": "Failed"}), 3, "request-success-rate was 93.1")]
#[case::failed("--for failed", json!({"phase": "Failed"}), 0, "failure reached")]
#[case::revision("--for revision=1.0.0", json!({"phase": "Succeeded"}), 0, "promotion of 1.0.0 reached")]
#[case::phase("--for phase=failed", json!({"phase": "Failed"}), 0, "phase Failed reached")]
#[case::condition("--for condition=Ready=False", json!({"phase": "Failed", "conditions": [{"type": "Ready", "status": "False", "reason": "Failed", "message": "x"}]}), 0, "condition Ready=False reached")]
#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_when_a_release_has_come_there_and_asks_nothing_again(
    #[case] goal: &str,
    #[case] end: Value,
    #[case] code: i32,
    #[case] said: &str,
) {
    let mut status = progressing();
    // What no Vexil has recorded cannot be compared with the target.
    status["lastAppliedSpec"] = "6d5f".into();
    let name = goal.replace([' ', '='], "-") + &code.to_string();
    let shop = Shop::open(&format!("wait{name}"), status).await;
    let child = shop.start(&format!("wait frontend -n shop --timeout 30s {goal}"));
    until(|| shop.kube().open_watches() >= 2).await;
    let quiet = shop.kube().requests().len();
    shop.set(end);
    let ended: Said = tokio::task::block_in_place(|| child.wait_with_output()).expect("it ends").into();
    assert_eq!(shop.kube().requests().len(), quiet);
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.out.contains(said) || ended.err.contains(said), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_gives_up_in_time_and_says_what_holds_the_release_up() {
    let shop = Shop::open("too-late", gated()).await;
    let said = shop.vexil("wait frontend -n shop --for promoted --timeout 5s");
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(
        said.err.contains("no promotion within 5s; it is in phase WaitingPromotion and waits for gate qa"),
        "{said:?}"
    );

    let child = shop.start("wait frontend -n shop --for promoted");
    until(|| shop.kube().open_watches() >= 2).await;
    shop.kube().delete("canaries.flagger.app", "shop", "frontend");
    let ended: Said = tokio::task::block_in_place(|| child.wait_with_output()).expect("it ends").into();
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.err.contains("was deleted"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_prints_a_line_for_each_change_without_a_terminal() {
    let shop = Shop::open("watch", progressing()).await;
    for (line, prefix) in [("watch frontend -n shop", ""), ("watch -A", "frontend.shop  ")] {
        shop.set(progressing());
        let mut child = shop.start(line);
        let mut lines =
            BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
        let mut next = |part: &str| {
            tokio::task::block_in_place(|| lines.find(|line| line.contains(part))).expect("a line")
        };
        assert!(next("phase    Progressing").starts_with(prefix));
        shop.set(gated());
        next("phase    WaitingPromotion");
        next("waits    for gate qa");
        // A broken connection comes back, and nothing is told twice.
        shop.kube().close_watches();
        shop.set(json!({"phase": "Failed", "blockers": null}));
        assert!(next("phase    ").contains("Failed"));
        let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(kill.is_ok_and(|status| status.success()));
        assert!(child.wait().expect("it ends").success(), "SIGTERM is no failure");
    }
}
