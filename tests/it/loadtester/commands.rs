//! Commands: refused unless they are allowed, what they answer, and how they end.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use vexil::loadtester::{Declared, Room, Rules, Settings};

use super::{careful, folder, open, start, until};

#[rstest]
#[case::by_default(json!({"cmd": "touch ran"}), "cmd")]
#[case::bash(json!({"type": "bash", "cmd": "touch ran"}), "bash")]
#[case::helm(json!({"type": "helm", "cmd": "test x"}), "helm")]
#[case::helm3(json!({"type": "helmv3", "cmd": "test x"}), "helmv3")]
#[case::kubectl(json!({"type": "kubectl", "cmd": "delete ns x"}), "kubectl")]
#[case::concord(json!({"type": "concord", "server": "http://127.0.0.1:1", "apiKeyPath": "/etc/passwd"}), "concord")]
#[case::ngrinder(json!({"type": "ngrinder", "server": "http://127.0.0.1:1"}), "ngrinder")]
#[tokio::test]
async fn what_a_request_brings_along_is_refused_with_the_flag_that_would_allow_it(
    #[case] metadata: serde_json::Value,
    #[case] kind: &str,
) {
    let tester = start(careful()).await;
    let (status, text) = tester.task(metadata).await;
    assert_eq!(403, status);
    for word in [&format!("type {kind} "), "-allow-commands", "cmd.allow=true", "-tasks", "type load"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    tester.stop().await;
}

#[tokio::test]
async fn a_payload_without_a_task_is_refused_with_a_reason() {
    // spec: 04/LT-05 04/LT-11
    let tester = start(open()).await;
    let missing = (400, "metadata not found in payload".to_owned());
    assert_eq!(missing, tester.task(json!({})).await);
    assert_eq!(missing, tester.post("/", json!({"name": "frontend", "namespace": "shop"})).await);
    assert_eq!(400, tester.send("POST", "/", &[], b"{").await.0);
    let unknown = (400, "unknown task type k6".to_owned());
    assert_eq!(unknown, tester.task(json!({"type": "k6", "cmd": "run"})).await);
    assert_eq!(405, tester.get("/").await.0);
    tester.stop().await;
}

#[tokio::test]
async fn a_command_without_a_type_runs_in_the_background() {
    // spec: 04/LT-07
    let tester = start(open()).await;
    let ran = folder("background").join("ran");
    let cmd = format!("echo $CANARY_NAME.$CANARY_NAMESPACE > {}", ran.display());
    assert_eq!((202, String::new()), tester.task(json!({"cmd": cmd})).await);
    until("the command has run", async || {
        std::fs::read_to_string(&ran).is_ok_and(|text| text == "frontend.shop\n")
    })
    .await;
    // Any other path does the same.
    std::fs::remove_file(&ran).expect("a file");
    let body = json!({"name": "frontend", "namespace": "shop", "metadata": {"type": "cmd", "cmd": cmd}});
    until("the first has ended", async || {
        tester.series("vexil_loadtester_tasks_total{outcome=\"succeeded\",type=\"cmd\"}").await == Some(1.0)
    })
    .await;
    assert_eq!(202, tester.post("/some/where", body).await.0);
    until("it has run again", async || ran.exists()).await;
    for metadata in [json!({"type": "cmd"}), json!({"cmd": ""}), json!({"cmd": "  ", "logCmdOutput": "true"})]
    {
        assert_eq!((400, "cmd not found in metadata".to_owned()), tester.task(metadata).await);
    }
    tester.stop().await;
}

#[rstest]
#[case::silent("echo hello", false, 200, "")]
#[case::returned("echo hello; echo world >&2", true, 200, "hello\nworld\n")]
#[case::bash_alone("[[ abc == a* ]] && echo yes", true, 200, "yes\n")]
#[case::failed("echo no >&2; exit 3", false, 500, "command echo no >&2; exit 3 failed: no\n: exit status 3")]
#[case::not_there("nonesuch", false, 500, "command nonesuch failed: ")]
#[tokio::test]
async fn a_blocking_command_answers_with_its_end(
    #[case] cmd: &str,
    #[case] returned: bool,
    #[case] status: u16,
    #[case] expected: &str,
) {
    // spec: 04/LT-08
    let tester = start(open()).await;
    let (found, text) =
        tester.task(json!({"type": "bash", "cmd": cmd, "returnCmdOutput": returned.to_string()})).await;
    assert_eq!(status, found);
    if cmd == "nonesuch" {
        assert!(text.starts_with(expected) && text.ends_with(": exit status 127"), "{text}");
    } else {
        assert_eq!(expected, text);
    }
    tester.stop().await;
}

#[tokio::test]
async fn a_command_that_runs_is_not_started_again_until_it_has_ended() {
    // spec: 04/LT-12
    let tester = start(open()).await;
    let folder = folder("twice");
    let (count, go) = (folder.join("count"), folder.join("go"));
    let cmd = format!("echo x >> {}; until [ -e {} ]; do sleep 0.02; done", count.display(), go.display());
    let runs = || std::fs::read_to_string(&count).map_or(0, |text| text.lines().count());
    for _ in 0..3 {
        assert_eq!(202, tester.task(json!({"cmd": cmd})).await.0);
    }
    until("it runs", async || runs() == 1).await;
    assert_eq!(
        Some(2.0),
        tester.series("vexil_loadtester_tasks_total{outcome=\"skipped\",type=\"cmd\"}").await
    );
    std::fs::write(&go, "").expect("writable");
    until("it has ended", async || {
        tester.series("vexil_loadtester_tasks_total{outcome=\"succeeded\",type=\"cmd\"}").await == Some(1.0)
    })
    .await;
    assert_eq!(202, tester.task(json!({"cmd": cmd})).await.0);
    until("it runs again", async || runs() == 2).await;
    tester.stop().await;
}

#[tokio::test]
async fn a_caller_that_comes_back_waits_for_the_run_that_it_has_left() {
    let tester = start(open()).await;
    let folder = folder("again");
    let (count, go) = (folder.join("count"), folder.join("go"));
    let cmd = format!(
        "echo x >> {}; until [ -e {} ]; do sleep 0.02; done; echo done",
        count.display(),
        go.display()
    );
    let metadata = json!({"type": "bash", "cmd": cmd, "returnCmdOutput": "true"});
    let left = tokio::time::timeout(Duration::from_millis(300), tester.task(metadata.clone())).await;
    assert!(left.is_err(), "it has not ended");
    until("it runs", async || count.exists()).await;
    let (answer, ()) = tokio::join!(tester.task(metadata), async {
        until("the second caller is there", async || {
            tester.series("vexil_loadtester_tasks_total{outcome=\"skipped\",type=\"bash\"}").await
                == Some(1.0)
        })
        .await;
        std::fs::write(&go, "").expect("writable");
    });
    assert_eq!((200, "done\n".to_owned()), answer);
    assert_eq!("x\n", std::fs::read_to_string(&count).expect("a file"));
    tester.stop().await;
}

#[tokio::test]
async fn the_next_call_is_told_how_a_command_in_the_background_has_ended_if_it_asks_for_that() {
    let tester = start(open()).await;
    for (report, second) in [("true", 500), ("false", 202)] {
        let metadata = json!({"cmd": format!("echo {report}; exit 7"), "report": report});
        let ended = "vexil_loadtester_tasks_total{outcome=\"failed\",type=\"cmd\"}";
        let before = tester.series(ended).await.unwrap_or(0.0);
        assert_eq!(202, tester.task(metadata.clone()).await.0);
        until("it has ended", async || tester.series(ended).await.unwrap_or(0.0) > before).await;
        let (status, text) = tester.task(metadata).await;
        assert_eq!(second, status);
        assert_eq!(report == "true", text.ends_with("failed: true\n: exit status 7"), "{text}");
    }
    tester.stop().await;
}

#[rstest]
#[case::children("sleep 3001 & sleep 3001")]
#[case::grandchildren("(sh -c 'sleep 3001; true' & wait) | cat")]
#[case::another_session("setsid sleep 3001 & setsid setsid sleep 3001; sleep 3001")]
#[case::deaf("trap '' TERM INT HUP; while true; do sleep 3001; done")]
#[case::left_behind("setsid sleep 3001 >/dev/null 2>&1 </dev/null & true")]
#[tokio::test]
async fn a_command_ends_with_all_its_children(#[case] cmd: &str) {
    // spec: 04/LT-17
    let open = open();
    // A mark that finds them again: nobody else sleeps as long as that.
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let sleep = format!("sleep {}.{number}", 40_000 + std::process::id());
    let tester =
        start(Settings { rules: Rules { timeout: Duration::from_secs(1), ..open.rules }, ..open }).await;
    let (status, text) = tester.task(json!({"type": "bash", "cmd": cmd.replace("sleep 3001", &sleep)})).await;
    if cmd.ends_with("& true") {
        assert_eq!(200, status, "{text}");
    } else {
        assert!(
            status == 500 && text.ends_with("ended after 1s, which is as long as it may take"),
            "{status} {text}"
        );
    }
    until("nobody sleeps", async || sleepers(&sleep) == 0).await;
    assert_eq!(Some(0.0), tester.series("vexil_loadtester_tasks_running").await);
    tester.stop().await;
}

/// Processes with this command line that are not at their end.
fn sleepers(command: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("processes").flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").trim() == command).count()
}

#[tokio::test]
async fn commands_end_with_the_load_tester() {
    let tester = start(open()).await;
    let sleep = format!("sleep {}.9", 40_000 + std::process::id());
    assert_eq!(202, tester.task(json!({"cmd": format!("setsid {sleep} & {sleep}")})).await.0);
    until("they sleep", async || sleepers(&sleep) == 2).await;
    tester.stop().await;
    until("nobody sleeps", async || sleepers(&sleep) == 0).await;
}

#[tokio::test]
async fn output_without_end_is_cut_and_its_end_kept() {
    let tester = start(open()).await;
    let cmd = "head -c 30000000 /dev/zero | tr '\\0' x; echo the end";
    let (status, text) = tester.task(json!({"type": "bash", "cmd": cmd, "returnCmdOutput": "true"})).await;
    assert_eq!(200, status);
    assert!(text.ends_with("xthe end\n") && text.len() < 100_000, "{}", text.len());
    assert!(text.starts_with('(') && text.contains("bytes before this are left out"), "{}", &text[..80]);
    tester.stop().await;
}

#[tokio::test]
async fn there_is_only_so_much_room_and_one_canary_does_not_get_all_of_it() {
    let room = Room { running: 2, waiting: 3, of_one: 3 };
    let tester = start(Settings { room, ..open() }).await;
    let go = folder("room").join("go");
    let task = |canary: &str, number: u32| {
        let cmd = format!(": {number}; until [ -e {} ]; do sleep 0.02; done", go.display());
        json!({"name": canary, "namespace": "shop", "metadata": {"cmd": cmd}})
    };
    for number in 0..3 {
        assert_eq!(202, tester.post("/", task("greedy", number)).await.0);
    }
    let (status, text) = tester.post("/", task("greedy", 3)).await;
    assert!(status == 503 && text.contains("3 tasks of greedy.shop"), "{text}");
    for number in 0..2 {
        assert_eq!(202, tester.post("/", task("modest", number)).await.0);
    }
    let (status, text) = tester.post("/", task("late", 0)).await;
    assert!(status == 503 && text.contains("-max-running"), "{text}");
    until("two run", async || tester.series("vexil_loadtester_tasks_running").await == Some(2.0)).await;
    assert_eq!(Some(3.0), tester.series("vexil_loadtester_tasks_waiting").await);
    std::fs::write(&go, "").expect("writable");
    let ended = "vexil_loadtester_tasks_total{outcome=\"succeeded\",type=\"cmd\"}";
    until("all have run", async || tester.series(ended).await == Some(5.0)).await;
    assert_eq!(202, tester.post("/", task("late", 0)).await.0);
    tester.stop().await;
}

#[tokio::test]
async fn a_declared_task_runs_by_its_name_or_by_its_very_words() {
    let careful = careful();
    let file = "tasks:\n  greet:\n    metadata: {type: bash, cmd: 'echo hello $CANARY_NAMESPACE', returnCmdOutput: 'true'}\n  \
                slow:\n    metadata: {type: bash, cmd: 'echo begun; sleep 3000'}\n    timeout: 200ms\n";
    let declared = Declared::read(file).expect("a file");
    let tester = start(Settings { rules: Rules { declared, ..careful.rules }, ..careful }).await;
    let hello = (200, "hello shop\n".to_owned());
    assert_eq!(hello, tester.task(json!({"task": "greet"})).await);
    let words = json!({"type": "bash", "cmd": "echo hello $CANARY_NAMESPACE", "returnCmdOutput": "true"});
    assert_eq!(hello, tester.task(words).await);
    assert_eq!(403, tester.task(json!({"type": "bash", "cmd": "echo hello"})).await.0);
    assert_eq!(403, tester.task(json!({"task": "greet", "cmd": "id"})).await.0);
    let (status, text) = tester.task(json!({"task": "other"})).await;
    assert!(status == 403 && text.contains("there are: greet, slow"), "{text}");
    let (status, text) = tester.task(json!({"task": "slow"})).await;
    assert!(status == 500 && text.contains("failed: begun") && text.contains("ended after 200ms"), "{text}");
    tester.stop().await;
}

#[tokio::test]
async fn a_declared_task_that_cannot_run_stops_the_start() {
    for (metadata, expected) in
        [("{type: bash}", "cmd not found"), ("{type: load, url: x}", "url"), ("{type: k6}", "unknown")]
    {
        let careful = careful();
        let declared =
            Declared::read(&format!("tasks: {{smoke: {{metadata: {metadata}}}}}")).expect("a file");
        let settings = Settings { rules: Rules { declared, ..careful.rules }, ..careful };
        let refused = vexil::loadtester::LoadTester::bind(settings).await.err().expect("refused").to_string();
        assert!(refused.contains("task smoke") && refused.contains(expected), "{refused}");
    }
}
