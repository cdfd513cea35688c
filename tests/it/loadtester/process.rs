//! The program `vexil loadtester` as its image runs it.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use rstest::rstest;
use serde_json::{Value, json};

use super::folder;

/// The program on a port of its own, and the lines of its log.
struct Program {
    child: Child,
    url: String,
    log: std::io::Lines<BufReader<std::process::ChildStderr>>,
    seen: Vec<String>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program");
        let log = BufReader::new(child.stderr.take().expect("a log")).lines();
        let mut program = Self { child, url: String::new(), log, seen: Vec::new() };
        let line = program.line("Starting load tester");
        let port = line.rsplit("port ").next().and_then(|rest| rest.split('"').next()).unwrap_or_default();
        program.url = format!("http://127.0.0.1:{port}");
        program
    }

    /// The next line that holds this; fails when the program has ended before.
    fn line(&mut self, part: &str) -> String {
        for line in self.log.by_ref().map_while(Result::ok) {
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
        panic!("no line with {part:?} in {:#?}", self.seen)
    }

    fn terminate(mut self) -> (Option<i32>, Vec<String>) {
        let ended = Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(ended.is_ok_and(|status| status.success()));
        self.seen.extend(self.log.by_ref().map_while(Result::ok));
        (self.child.wait().expect("an end").code(), std::mem::take(&mut self.seen))
    }
}

async fn task(url: &str, metadata: Value) -> (u16, String) {
    let body = json!({"name": "frontend", "namespace": "shop", "metadata": metadata}).to_string();
    vexil::http::install_tls_provider();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = http.post(url).body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a text"))
}

/// A folder with programs that print their arguments, one a line.
fn stubs(name: &str) -> std::path::PathBuf {
    let folder = folder(name);
    for program in ["helm", "kubectl"] {
        let path = folder.join(program);
        std::fs::write(
            &path,
            format!("#!/bin/sh\necho {program}\nfor a in \"$@\"; do echo \"<$a>\"; done\n"),
        )
        .expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    folder
}

#[rstest]
#[case::helm("helm", "test podinfo -n shop", "helm\n<test>\n<podinfo>\n<-n>\n<shop>\n")]
#[case::helm3("helmv3", "test podinfo", "helm\n<test>\n<podinfo>\n")]
#[case::kubectl("kubectl", "get pods", "kubectl\n<get>\n<pods>\n")]
#[case::quotes(
    "kubectl",
    r#"run x --overrides='{ "spec": {} }' --env "A=b c""#,
    "kubectl\n<run>\n<x>\n<--overrides={ \"spec\": {} }>\n<--env>\n<A=b c>\n"
)]
#[case::no_shell("kubectl", "get $(id) `id` ; id", "kubectl\n<get>\n<$(id)>\n<`id`>\n<;>\n<id>\n")]
#[tokio::test(flavor = "multi_thread")]
async fn helm_and_kubectl_get_the_words_of_the_command(
    #[case] kind: &str,
    #[case] cmd: &str,
    #[case] expected: &str,
) {
    // spec: 04/LT-09 04/LT-10 04/LT-18
    let name = format!("stubs-{}", expected.len() + kind.len());
    let path = format!("{}:{}", stubs(&name).display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(env!("CARGO_BIN_EXE_vexil"));
    let flags =
        ["loadtester", "-port=0", "-log-level=info", "-timeout=1h", "-namespace-regexp=", "-allow-commands"];
    let mut program = Program::start(command.args(flags).env("PATH", path));
    assert!(
        program.seen.iter().any(|line| line.contains("Starting load tester v0.1.0 API on port ")),
        "{:?}",
        program.seen
    );
    let answer = task(&program.url, json!({"type": kind, "cmd": cmd, "returnCmdOutput": "true"})).await;
    assert_eq!((200, expected.to_owned()), answer);
    let line = program.line("command finished");
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["level"], &line["canary"]), (&json!("info"), &json!("frontend.shop")));
    let (code, log) = program.terminate();
    assert_eq!(Some(0), code);
    assert!(log.iter().any(|line| line.contains("HTTP server stopped")), "{log:#?}");
}

#[rstest]
#[case::pattern(&["-namespace-regexp=("], "namespace-regexp")]
#[case::tasks(&["-tasks=/nowhere.yaml"], "/nowhere.yaml")]
#[case::keys(&["-hmac-keys=/nowhere"], "/nowhere")]
#[case::two_stores(&["-gates-file=x", "-gates-configmap=y"], "gates-configmap")]
#[case::networks(&["-egress-deny=x"], "is not a network")]
fn a_flag_that_cannot_be_followed_ends_the_program_with_a_reason(
    #[case] flags: &[&str],
    #[case] expected: &str,
) {
    // spec: 04/LT-18
    let mut command = Command::new(env!("CARGO_BIN_EXE_vexil"));
    command
        .arg("loadtester")
        .arg("-port=0")
        .args(flags)
        .env("KUBECONFIG", "/nowhere")
        .env_remove("KUBERNETES_SERVICE_HOST");
    let ended = command.output().expect("the program");
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(!ended.status.success() && text.contains(expected), "{text}");
}

#[test]
fn the_program_runs_as_flaggers_image_starts_it() {
    let link = folder("link").join("loadtester");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_vexil"), &link).expect("a link");
    let program =
        Program::start(Command::new(&link).args(["-port=0", "-log-level=info", "-zap-encoding=console"]));
    let (code, _) = program.terminate();
    assert_eq!(Some(0), code);
}
