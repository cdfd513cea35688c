//! `vexil demo`, as a newcomer runs it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use assert_cmd::cargo::CommandCargoExt;

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("vexil").expect("the binary of this package");
    command.arg("demo").args(arguments);
    command
}

/// The lines of `text` that are expected, in this order, with any others between them.
fn assert_in_order(text: &str, expected: &[&str]) {
    let mut lines = text.lines();
    for line in expected {
        assert!(lines.any(|shown| shown.contains(line)), "{line:?} is missing or out of order in:\n{text}");
    }
}

#[test]
fn a_good_and_a_bad_version_are_released_in_their_order() {
    let output =
        assert_cmd::Command::from(demo(&[])).timeout(Duration::from_secs(60)).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_in_order(
        &text,
        &[
            "Initialization done! frontend.shop",
            "Release 1 of 2: frontend 1.0 → 2.0",
            "New revision detected! Scaling up frontend.shop",
            "Starting canary analysis for frontend.shop",
            "Advance frontend.shop canary weight 10",
            "check    request-success-rate 99.",
            "primary 80 %, canary 20 %",
            "Advance frontend.shop canary weight 50",
            "Copying frontend.shop template spec to frontend-primary.shop",
            "Routing all traffic to primary",
            "Promotion completed! Scaling down frontend.shop",
            "Release 2 of 2: frontend 2.0 → 3.0-broken",
            "New revision detected! Scaling up frontend.shop",
            "Advance frontend.shop canary weight 10",
            "check    request-success-rate 93.",
            "Halt frontend.shop advancement success rate 93.",
            "primary 100 %, canary 0 %",
            "Rolling back frontend.shop failed checks threshold reached 5",
            "Canary failed! Scaling down frontend.shop",
            "Both releases ended as they should.",
            "2.0         Succeeded",
            "3.0-broken  Failed",
        ],
    );
    assert!(!text.contains('\u{1b}'), "no codes for a terminal where there is none");
}

#[test]
fn the_demo_is_the_same_every_time() {
    let lines = || {
        let output = assert_cmd::Command::from(demo(&[])).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        // The only line that tells our own time.
        text.lines()
            .filter(|line| !line.contains("of the cluster's time in"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(lines(), lines());
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let output = demo(&["--listen", "0.0.0.0:0"]).output().expect("it runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("0.0.0.0:0 is not a loopback address"), "{text}");
}

/// A demo that listens; it ends with the test.
struct Shop {
    process: Child,
    kubeconfig: String,
}

impl Shop {
    fn open() -> Self {
        let mut command = demo(&["--listen", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let export = loop {
            let line = lines.next().expect("the kubeconfig is told").expect("text");
            if let Some((_, path)) = line.split_once("export KUBECONFIG=") {
                break path.to_owned();
            }
        };
        // Somebody has to read on, or the demo would end for want of a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, kubeconfig: export }
    }

    /// What `kubectl` prints.
    fn kubectl(&self, arguments: &str) -> String {
        let mut command = Command::new("kubectl");
        // Its cache goes with the kubeconfig.
        let home = Path::new(&self.kubeconfig).parent().expect("a folder");
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", home);
        let output = command.args(arguments.split(' ')).output();
        let output = output.unwrap_or_else(|why| panic!("kubectl: {why}: run make setup"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kubectl {arguments}: {text}{complaints}");
        text
    }

    /// Ends it as Ctrl-C does; whether that was a success.
    fn interrupt(mut self) -> bool {
        let sent = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "the signal cannot be sent");
        self.process.wait().expect("it ends").success()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

// spec: 01/API-004 01/API-005
#[test]
fn kubectl_shows_the_columns_of_a_canary() {
    let shop = Shop::open();
    let wait = "wait canary/frontend --for=jsonpath={.status.phase}=Initialized --timeout=60s";
    shop.kubectl(wait);
    let short = shop.kubectl("get canaries");
    let rows: Vec<Vec<&str>> = short.lines().map(words).collect();
    assert_eq!(vec!["NAME", "STATUS", "WEIGHT", "LASTTRANSITIONTIME"], rows[0]);
    assert_eq!(["frontend", "Initialized", "0"], rows[1][..3]);
    let wide = shop.kubectl("get canaries -o wide");
    let columns = "NAME STATUS WEIGHT SUSPENDED FAILEDCHECKS INTERVAL MIRROR STEPWEIGHT STEPWEIGHTS MAXWEIGHT LASTTRANSITIONTIME READY REASON PAUSED";
    assert_eq!(words(columns), words(wide.lines().next().expect("a heading")));

    shop.kubectl("set image deployment/frontend frontend=shop/frontend:2.0");
    shop.kubectl("wait canary/frontend --for=jsonpath={.status.phase}=Progressing --timeout=60s");
    let told = shop.kubectl("describe canary frontend");
    assert!(told.contains("New revision detected! Scaling up frontend.shop"), "{told}");
    assert!(shop.interrupt());
}

#[test]
fn ctrl_c_ends_a_listening_demo_and_takes_its_kubeconfig_away() {
    let shop = Shop::open();
    let kubeconfig = PathBuf::from(&shop.kubeconfig);
    assert!(kubeconfig.exists());
    assert!(shop.interrupt());
    assert!(!kubeconfig.exists());
}
