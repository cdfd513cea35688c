//! `vexil demo`, as a newcomer runs it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use assert_cmd::cargo::CommandCargoExt;

pub(crate) fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("vexil").expect("the binary of this package");
    command.arg("demo").args(arguments).env_remove("MAKELEVEL");
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
fn who_came_by_make_is_told_to_go_on_with_make() {
    let last = |make: Option<&str>| {
        let mut command = demo(&[]);
        make.map(|level| command.env("MAKELEVEL", level));
        let output = command.output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(last(None), "Now you: vexil demo --listen 127.0.0.1:8001 keeps the shop up for kubectl.");
    let by_make = "Now you: make demo ARGS=\"--listen 127.0.0.1:8001\" keeps the shop up for kubectl.";
    assert_eq!(last(Some("1")), by_make);
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let output = demo(&["--listen", "0.0.0.0:0"]).output().expect("it runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("0.0.0.0:0 is not a loopback address"), "{text}");
}

/// A demo that listens; it ends with the test.
pub(crate) struct Shop {
    process: Child,
    pub(crate) kubeconfig: PathBuf,
    /// What it said before the first thing happened.
    help: Vec<String>,
    /// Where it and its clients keep their files.
    home: PathBuf,
}

impl Shop {
    pub(crate) fn open() -> Self {
        Self::with(&[])
    }

    fn with(arguments: &[&str]) -> Self {
        static SHOPS: AtomicUsize = AtomicUsize::new(0);
        let number = SHOPS.fetch_add(1, Ordering::Relaxed);
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let home = home.join(format!("shop-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&home).expect("a folder");
        Self::within(&home, arguments)
    }

    fn within(home: &Path, arguments: &[&str]) -> Self {
        let mut command = demo(&["--listen", "127.0.0.1:0"]);
        command.args(arguments).env("TMPDIR", home);
        // As after make install.
        let mut path =
            vec![PathBuf::from(env!("CARGO_BIN_EXE_vexil")).parent().expect("a folder").to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command.env("PATH", std::env::join_paths(path).expect("a PATH"));
        let mut process = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        let help: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        let export = help.iter().find_map(|line| line.trim().strip_prefix("export KUBECONFIG="));
        let kubeconfig = PathBuf::from(export.expect("the kubeconfig is told"));
        // Somebody has to read on, or the demo would end for want of a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, kubeconfig, help, home: home.to_owned() }
    }

    /// Where it listens, with the port.
    fn address(&self) -> String {
        let text = std::fs::read_to_string(&self.kubeconfig).expect("a kubeconfig");
        let server = text.lines().find_map(|line| line.trim().strip_prefix("server: http://"));
        server.expect("a server").to_owned()
    }

    /// A program that talks to it.
    fn client(&self, program: &str, arguments: &str) -> Output {
        let mut command = match program {
            "vexil" => Command::cargo_bin("vexil").expect("the binary of this package"),
            _ => Command::new(program),
        };
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", self.kubeconfig.parent().expect("a folder"));
        let output = command.args(arguments.split(' ')).output();
        output.unwrap_or_else(|why| panic!("{program}: {why}: run make setup"))
    }

    /// What a program prints that must succeed.
    fn run(&self, program: &str, arguments: &str) -> String {
        let output = self.client(program, arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments}: {text}{complaints}");
        text
    }

    /// What `kubectl` prints.
    pub(crate) fn kubectl(&self, arguments: &str) -> String {
        self.run("kubectl", arguments)
    }

    /// Sends it a signal.
    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.is_ok_and(|sent| sent.success()), "the signal cannot be sent");
    }

    /// Ends it as Ctrl-C does; whether that was a success.
    fn interrupt(mut self) -> bool {
        self.signal("-INT");
        self.process.wait().expect("it ends").success()
    }

    /// What there is in its folder of temporary files.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.home).expect("its folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
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

#[rstest::rstest]
fn however_a_listening_demo_is_told_to_end_it_leaves_nothing(
    #[values("-INT", "-TERM", "-HUP", "-QUIT")] signal: &str,
) {
    let mut shop = Shop::open();
    assert!(shop.kubeconfig.exists());
    shop.kubectl("get canaries");
    shop.signal(signal);
    assert!(shop.process.wait().expect("it ends").success(), "{signal}");
    assert_eq!(Vec::<PathBuf>::new(), shop.left(), "{signal}");
}

#[test]
fn what_a_demo_leaves_that_is_killed_is_taken_away_by_the_next_one() {
    let mut killed = Shop::open();
    killed.signal("-KILL");
    killed.process.wait().expect("it ends");
    assert!(killed.kubeconfig.exists(), "nobody could take it away");
    let next = Shop::within(&killed.home, &[]);
    assert!(!killed.kubeconfig.exists());
    assert!(next.kubeconfig.exists());
    assert!(next.interrupt());
    assert_eq!(Vec::<PathBuf>::new(), killed.left());
}

#[test]
fn a_second_demo_on_the_same_port_says_who_has_it_and_what_to_do() {
    let shop = Shop::open();
    let address = shop.address();
    let second = demo(&["--listen", &address]).env("TMPDIR", &shop.home).output().expect("it runs");
    assert!(!second.status.success());
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    let process = shop.process.id();
    for part in [
        format!("another vexil demo (process {process}) has {address}"),
        format!("export KUBECONFIG={}", shop.kubeconfig.display()),
        format!("kill {process}"),
        "vexil demo --listen 127.0.0.1:0".to_owned(),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }
    assert!(shop.kubeconfig.exists(), "the first one goes on");

    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = other.local_addr().expect("an address").to_string();
    let second = demo(&["--listen", &address]).output().expect("it runs");
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(told.contains(&format!("(process {}) has {address}", std::process::id())), "{told}");
}

#[test]
fn the_commands_that_a_newcomer_is_told_work() {
    let shop = Shop::open();
    let told: Vec<&str> = shop.help.iter().filter_map(|line| line.strip_prefix("  ")).collect();
    let commands: Vec<&str> =
        told.iter().map(|line| line.split("  #").next().unwrap_or_default().trim()).collect();
    let [export, get, set_image, status, watch] = commands[..] else { panic!("five commands: {commands:?}") };
    assert!(export.starts_with("export KUBECONFIG="), "{export}");
    shop.kubectl("wait canary/frontend --for=jsonpath={.status.phase}=Initialized --timeout=60s");
    let vexil = |command: &str| shop.run("vexil", command.strip_prefix("vexil ").expect("a command of ours"));
    assert!(vexil(get).contains("frontend"));
    let set_image = set_image.strip_prefix("kubectl ").expect("a command of kubectl");
    assert_eq!("deployment.apps/frontend image updated\n", shop.kubectl(set_image));
    shop.kubectl("wait canary/frontend --for=jsonpath={.status.phase}=Progressing --timeout=60s");
    assert!(vexil(status).contains("2.0"));
    assert_eq!("vexil watch frontend", watch);
    assert!(shop.interrupt());
}

#[test]
fn the_help_says_what_tags_mean_and_how_a_gate_is_opened() {
    let output = demo(&["--help"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "--mesh <NAME>",
        "--no-controller",
        "3.0-broken",
        "7.0-errors-2.5",
        "8.0-latency-800ms",
        "http://gates.demo/promote",
        "kubectl annotate canary frontend gates.demo/promote=open",
        "/prometheus",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn an_unknown_mesh_is_refused_with_those_that_there_are() {
    let output = demo(&["--listen", "127.0.0.1:0", "--mesh", "consul"]).output().expect("it runs");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("consul") && told.contains("apisix, ") && told.contains(" or traefik"), "{told}");
}

#[test]
fn behind_another_mesh_the_shop_has_what_its_users_bring() {
    let shop = Shop::with(&["--mesh", "nginx"]);
    assert!(shop.help[0].contains("NGINX"), "{:?}", shop.help);
    shop.kubectl("wait canary/frontend --for=jsonpath={.status.phase}=Initialized --timeout=60s");
    let ingresses = shop.kubectl("get ingresses -o name");
    assert!(ingresses.contains("ingress.networking.k8s.io/frontend\n"), "{ingresses}");
    assert!(ingresses.contains("ingress.networking.k8s.io/frontend-canary\n"), "{ingresses}");
    assert!(shop.interrupt());
}

#[test]
fn a_controller_from_outside_takes_over_where_none_runs() {
    let shop = Shop::with(&["--no-controller"]);
    assert!(shop.help[0].contains("without a controller"), "{:?}", shop.help);
    let told = shop.help.iter().find_map(|line| line.trim().strip_prefix("vexil controller "));
    let told = told.expect("how to start one").replace("\"$KUBECONFIG\"", &shop.kubeconfig.to_string_lossy());
    assert_eq!("", shop.kubectl("get canary frontend -o jsonpath={.status.phase}"), "nobody has seen it");

    let mut controller = Command::cargo_bin("vexil").expect("the binary of this package");
    controller.arg("controller").args(told.split(' ')).args(["-port", "0"]);
    controller.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut controller = controller.spawn().expect("it starts");
    let said = BufReader::new(controller.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let said = std::thread::spawn(move || said.collect::<Vec<String>>());
    let wait = "wait canary/frontend --for=jsonpath={.status.phase}=Initialized --timeout=60s";
    shop.kubectl(wait);
    shop.kubectl("set image deployment/frontend frontend=shop/frontend:2.0-errors-7");
    // A measurement that was made over the socket.
    shop.kubectl("wait canary/frontend --for=jsonpath={.status.failedChecks}=1 --timeout=90s");
    let events = shop.kubectl("get events");
    assert!(events.contains("success rate 93.00% < 99%"), "{events}");
    controller.kill().expect("it runs");
    controller.wait().expect("it ends");
    let said = said.join().expect("its log");
    assert!(said.iter().any(|line| line.contains("Connected to metrics server")), "{said:#?}");
    assert!(shop.interrupt());
}

#[test]
fn what_people_do_with_kubectl_works_or_says_why_not() {
    let shop = Shop::open();
    let printed = |arguments: &str, expected: &str| {
        let text = shop.kubectl(arguments);
        assert!(text.contains(expected), "kubectl {arguments}: {text}");
    };
    printed("create ns mine", "namespace/mine created");
    printed("run lone -n mine --image=mine/lone:1.0", "pod/lone created");
    shop.kubectl("wait pod/lone -n mine --for=condition=Ready --timeout=30s");
    printed("create deployment api -n mine --image=mine/api:1.0 --replicas=2", "deployment.apps/api created");
    printed("rollout status deployment/api -n mine --timeout=30s", "successfully rolled out");
    printed("scale deployment/api -n mine --replicas=3", "deployment.apps/api scaled");
    printed("set image deployment/api -n mine api=mine/api:2.0-crash", "image updated");
    printed("run crashing -n mine --image=mine/lone:2.0-crash", "pod/crashing created");
    let reason = "{.status.containerStatuses[0].state.waiting.reason}";
    shop.kubectl(&format!(
        "wait pod/crashing -n mine --for=jsonpath={reason}=CrashLoopBackOff --timeout=60s"
    ));
    printed("rollout undo deployment/api -n mine", "rolled back");
    printed("rollout status deployment/api -n mine --timeout=60s", "successfully rolled out");
    printed("describe deployment api -n mine", "mine/api:1.0");
    printed("describe pod lone -n mine", "mine/lone:1.0");
    for (arguments, why) in [
        ("logs lone -n mine", "there are no logs"),
        ("port-forward pod/lone -n mine 0:80", "no port can be forwarded"),
        ("exec lone -n mine -- true", "no command can be run"),
        ("attach lone -n mine", "there is no process to attach to"),
        ("logs nobody -n mine", "pods \"nobody\" not found"),
    ] {
        let refused = shop.client("kubectl", arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let told = String::from_utf8_lossy(&refused.stdout).into_owned();
        assert!(said.contains(why), "kubectl {arguments}: {told}{said}");
        assert_eq!(
            said.contains("only simulated"),
            !why.ends_with("not found"),
            "kubectl {arguments}: {said}"
        );
    }
    assert!(shop.interrupt());
}
