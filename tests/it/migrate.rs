//! `vexil migrate check` and `vexil migrate back`: the program itself over what Flagger leaves in a cluster, well and with
//! one thing wrong. Each check has a case that makes it fail.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::flagger::{FIRST_HASH, Flagger, NEXT};

const DOCS: &str = include_str!("../../docs/from-flagger.md");

/// How the program ended.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

/// The folder of a test, with what `kubectl get -o yaml` would have written into it.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let name = format!("migrate-{name}-{}", std::process::id());
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&home).expect("a directory");
        Self(home)
    }

    fn vexil(&self, line: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vexil"));
        command.args(line.split(' ').filter(|word| !word.is_empty())).current_dir(&self.0);
        command.env("KUBECONFIG", self.0.join("config")).env("HOME", &self.0);
        command.env_remove("KUBERNETES_SERVICE_HOST");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().expect("vexil runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs the command over these objects.
    fn over(&self, objects: &[Value], line: &str) -> Said {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        std::fs::write(self.0.join("dump.yaml"), list.to_string()).expect("written");
        self.vexil(&format!("migrate {line} -f dump.yaml"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Said {
    /// The first finding with this mark and title: its own line, and those below it.
    fn finding(&self, mark: &str, title: &str) -> Option<String> {
        let head = format!("{mark} {title}");
        let is_head = |line: &&str| {
            line.strip_prefix(&head).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ' ']))
        };
        let mut lines = self.out.lines().skip_while(|line| !is_head(line));
        let first = lines.next()?.to_owned();
        let below = lines.take_while(|line| line.starts_with("  "));
        Some(below.fold(first, |all, line| all + "\n" + line))
    }

    /// The lines with these marks.
    fn marked(&self, marks: &[char]) -> Vec<&str> {
        self.out.lines().filter(|line| line.starts_with(marks) && !line.contains(" to look at")).collect()
    }
}

/// Flagger as its chart installs it.
fn controller(image: &str, args: &[&str]) -> Value {
    let name = if image.contains("flagger") { "flagger" } else { "vexil" };
    let labels = json!({"app.kubernetes.io/name": name});
    let own: &[&str] = if name == "vexil" { &["controller"] } else { &[] };
    let args: Vec<&str> = own.iter().chain(args).copied().collect();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "istio-system", "labels": labels},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "flagger", "image": image, "args": args}]},
            },
        },
    })
}

const IMAGE: &str = "ghcr.io/fluxcd/flagger:1.41.0";
const ARGS: &[&str] = &[
    "-log-level=info",
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus.istio-system:9090",
    "-enable-config-tracking=true",
    "-slack-user=flagger",
    "-enable-leader-election=true",
    "-leader-election-namespace=istio-system",
];

/// All objects of a cluster that a Canary can lead to.
fn dump(flagger: &Flagger) -> Vec<Value> {
    let kinds = [
        "canaries.flagger.app",
        "deployments.apps",
        "services",
        "endpointslices.discovery.k8s.io",
        "horizontalpodautoscalers.autoscaling",
        "virtualservices.networking.istio.io",
        "destinationrules.networking.istio.io",
    ];
    kinds.iter().flat_map(|kind| flagger.world.kube.list(kind, None)).collect()
}

/// A cluster with Flagger and one Canary at rest, changed by `change`.
type Change = fn(&mut Vec<Value>);

fn object<'a>(objects: &'a mut [Value], kind: &str, name: &str) -> &'a mut Value {
    let found = objects.iter_mut().find(|it| it["kind"] == kind && it["metadata"]["name"] == name);
    found.expect("an object to change")
}

fn canary(objects: &mut [Value]) -> &mut Value {
    object(objects, "Canary", "frontend")
}

fn arguments(objects: &mut [Value], more: &[&str]) {
    let all: Vec<&str> = ARGS.iter().chain(more).copied().collect();
    object(objects, "Deployment", "flagger")["spec"]["template"]["spec"]["containers"][0]["args"] =
        json!(all);
}

fn set_image(objects: &mut [Value], image: &str) {
    object(objects, "Deployment", "flagger")["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!(image);
}

fn phase(objects: &mut [Value], phase: &str, weight: i64) {
    canary(objects)["status"]["phase"] = json!(phase);
    canary(objects)["status"]["canaryWeight"] = json!(weight);
}

fn pushed(objects: &mut [Value]) {
    let target = object(objects, "Deployment", "frontend");
    target["spec"]["template"]["spec"]["containers"][0]["image"] = json!(NEXT);
}

/// One thing that is wrong, and what is said of it; the last part is of the cure.
struct Case(&'static str, Change, &'static str, &'static [&'static str], i32);

const CHECK: &[Case] = &[
    Case("flagger-version", |it| set_image(it, "flagger:0.9.1"), "‼", &["0.9.1", "upgrade Flagger first"], 0),
    Case(
        "flagger-version",
        |it| set_image(it, "flagger:1.99.0"),
        "‼",
        &["built against", "read the changes"],
        0,
    ),
    Case(
        "flagger-flags",
        |it| arguments(it, &["-threadiness=4"]),
        "‼",
        &["-threadiness", "holds up no other", "leave it out"],
        0,
    ),
    Case("flagger-flags", |it| arguments(it, &["-v=2"]), "‼", &["-v", "has no effect", "leave it out"], 0),
    Case(
        "flagger-flags",
        |it| arguments(it, &["-no-such=2"]),
        "✗",
        &["-no-such", "has no such flag", "leave it out"],
        1,
    ),
    Case(
        "flagger-flags",
        |it| arguments(it, &["-port=x"]),
        "✗",
        &["invalid value \"x\" for flag -port", "correct it"],
        1,
    ),
    Case(
        "flagger-mesh",
        |it| arguments(it, &["-mesh-provider=itsio"]),
        "✗",
        &["takes it for Istio", "write one of"],
        1,
    ),
    Case(
        "flagger-alone",
        |it| it.push(controller("x/vexil:1", &[])),
        "✗",
        &["vexil.istio-system", "no lease is between", "--replicas=0"],
        1,
    ),
    Case(
        "flagger-alone",
        |it| it.push(controller("x/vexil:1", ARGS)),
        "‼",
        &["elect one leader", "--replicas=0"],
        0,
    ),
    Case(
        "flagger-turn",
        |it| arguments(it, &["-enable-leader-election=false"]),
        "‼",
        &["elects no leader", "scale deployment/flagger --replicas=0"],
        0,
    ),
    Case(
        "migrate-usable",
        |it| {
            canary(it)["spec"]["analysis"] =
                json!({"interval": "30s", "threshold": 5, "stepWeights": [50, 20]})
        },
        "✗",
        &["does not rise over 50", "correct the field"],
        1,
    ),
    Case(
        "migrate-warnings",
        |it| {
            canary(it)["spec"]["analysis"]["metrics"][0] =
                json!({"name": "request-success-rate", "threshold": 99})
        },
        "‼",
        &["threshold", "the warning goes"],
        0,
    ),
    Case(
        "migrate-warnings",
        |it| {
            canary(it)["spec"]["analysis"]["metrics"][0] =
                json!({"name": "x", "templateRef": {"name": "none"}, "thresholdRange": {"max": 1}})
        },
        "‼",
        &["none", "do what it asks for"],
        0,
    ),
    Case(
        "migrate-at-rest",
        |it| phase(it, "Progressing", 25),
        "‼",
        &["Progressing at weight 25", "kubectl -n shop wait canary/frontend"],
        0,
    ),
    Case(
        "migrate-at-rest",
        |it| phase(it, "WaitingPromotion", 0),
        "✗",
        &["does not say which weight", "wait until it is over"],
        1,
    ),
    Case(
        "migrate-adopted",
        |it| pushed(it),
        "‼",
        &["a release starts at once, to Progressing", "release it with Flagger first"],
        0,
    ),
    Case(
        "migrate-objects",
        |it| object(it, "Service", "frontend")["spec"]["selector"] = json!({"app": "frontend"}),
        "‼",
        &[
            "Service frontend.shop",
            "spec.selector.app: \"frontend\" → \"frontend-primary\"",
            "say it in the Canary",
        ],
        0,
    ),
    Case(
        "migrate-objects",
        |it| it.retain(|it| it["kind"] != "DestinationRule"),
        "‼",
        &["DestinationRule frontend-", "would be made", "say it in the Canary"],
        0,
    ),
    Case(
        "migrate-differences",
        |it| canary(it)["spec"]["revertOnDeletion"] = json!(true),
        "‼",
        &["spec.revertOnDeletion", "five seconds", "docs/differences.md"],
        0,
    ),
];

const BACK: &[Case] = &[
    Case(
        "back-at-rest",
        |it| phase(it, "Progressing", 25),
        "✗",
        &["Progressing at weight 25", "vexil abort frontend -n shop"],
        1,
    ),
    Case(
        "back-at-rest",
        |it| phase(it, "Failed", 0),
        "✗",
        &["Flagger would take that", "wait for the phase Succeeded"],
        1,
    ),
    Case(
        "back-primary",
        |it| pushed(it),
        "✗",
        &["that the primary does not run", "let Vexil release it first"],
        1,
    ),
    Case(
        "back-fields",
        |it| canary(it)["spec"]["analysis"]["onNoData"] = json!("hold"),
        "‼",
        &["spec.analysis.onNoData", "the API server drops it", "leave it out"],
        0,
    ),
];

fn hold(command: &str, base: &[Value], home: &Home, cases: &[Case]) {
    let titles: Value =
        serde_json::from_str(&home.vexil(&format!("migrate {command} --list -o json")).out).expect("JSON");
    let title = |id: &str| {
        let all = titles.as_array().expect("a list");
        let found = all.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("{id} is a check"));
        found["title"].as_str().expect("a title").to_owned()
    };
    let mut wrong = Vec::new();
    for Case(id, change, mark, parts, code) in cases {
        let mut objects = base.to_vec();
        change(&mut objects);
        let said = home.over(&objects, command);
        let Some(found) = said.finding(mark, &title(id)) else {
            wrong.push(format!("{id}: no line {mark} {}\n{}{}", title(id), said.out, said.err));
            continue;
        };
        let see = format!("see docs/from-flagger.md#{id}");
        let wanted = parts.iter().copied().chain([see.as_str()]);
        let missing = wanted.into_iter().find(|part| !said.out.contains(*part));
        if let Some(part) = missing {
            wrong.push(format!("{id}: {part:?} is missing in\n{}", said.out));
        }
        let cure = parts.last().copied().unwrap_or_default();
        if !found.split_once("→ ").is_some_and(|(_, after)| after.contains(cure)) {
            wrong.push(format!("{id}: the cure does not say {cure:?}:\n{found}"));
        }
        if said.code != Some(*code) {
            wrong.push(format!("{id}: exit status {:?}\n{}", said.code, said.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // flagger-found fails in a cluster alone, and has a test of its own.
    let cases = cases.iter().map(|case| case.0).chain(["flagger-found"]).collect::<BTreeSet<&str>>();
    for check in titles.as_array().into_iter().flatten() {
        let id = check["id"].as_str().expect("an id");
        assert!(cases.contains(id), "{id} has no case");
        assert!(DOCS.contains(&format!("\n### {id}\n")), "{id} has no section in docs/from-flagger.md");
    }
}

async fn base() -> Vec<Value> {
    let mut objects = dump(&Flagger::initialised().await);
    objects.push(controller(IMAGE, ARGS));
    objects
}

#[tokio::test(start_paused = true)]
async fn what_flagger_leaves_is_fine_and_each_thing_that_is_wrong_is_said() {
    let (base, home) = (base().await, Home::new("check"));
    let said = home.over(&base, "check");
    assert_eq!(said.code, Some(0), "{said:?}");
    // Its autoscaler is something that Vexil does otherwise.
    assert_eq!(
        said.marked(&['✗', '‼']),
        ["‼ nothing of it is among what Vexil does otherwise: spec.autoscalerRef"],
        "{}",
        said.out
    );
    for line in [
        "✓ Flagger is there  (Deployment flagger.istio-system)",
        "✓ its version is one that Vexil is compatible with  (1.41.0)",
        "✓ each of its flags means the same to Vexil  (7 flags)",
        "✓ Vexil takes it over as it is  (no release starts)",
        "✓ the take-over changes none of its objects  (2 get a label or an annotation)",
    ] {
        assert!(said.out.contains(line), "{line:?} is missing in\n{}", said.out);
    }
    hold("check", &base, &home, CHECK);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_is_new_or_goes_has_no_release_under_way() {
    let (base, home) = (base().await, Home::new("new"));
    for (phase, at_rest, objects) in [
        ("", "no controller has looked at it yet: Vexil would initialise it", "it is not initialised yet"),
        ("Initializing", "it is being initialised: Vexil goes on with that", "it is not initialised yet"),
        ("Terminating", "it is being deleted: Vexil would give back what it changed", "it is being deleted"),
    ] {
        let mut all = base.clone();
        if phase.is_empty() {
            canary(&mut all).as_object_mut().expect("an object").remove("status");
            all.retain(|it| !it["metadata"]["name"].as_str().unwrap_or_default().starts_with("frontend-"));
        } else {
            self::phase(&mut all, phase, 0);
        }
        let said = home.over(&all, "check");
        let found = said.finding("‼", "no release is under way");
        assert!(found.is_some_and(|found| found.contains(at_rest)), "{phase:?}: {}", said.out);
        let skipped = format!("– the take-over changes none of its objects  ({objects}");
        assert!(said.out.contains(&skipped), "{phase:?}: {}", said.out);
        assert!(!said.out.contains("a release is under way:"), "{phase:?}: {}", said.out);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shadow_beside_flagger_is_no_third_controller() {
    let (mut objects, home) = (base().await, Home::new("shadow"));
    objects.push(controller("x/vexil:1", &["-shadow"]));
    let said = home.over(&objects, "check");
    assert!(
        said.out.contains("✓ no third controller works on the same Canaries: vexil.istio-system  (a shadow"),
        "{}",
        said.out
    );
}

#[tokio::test(start_paused = true)]
async fn the_way_back_says_what_is_to_be_done_for_canaries_that_flagger_can_have() {
    let flagger = Flagger::initialised().await;
    let controller_of_ours = flagger.world.start_controller();
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    controller_of_ours.stop().await;
    let mut objects = dump(&flagger);
    objects.push(controller("x/vexil:1", ARGS));
    let home = Home::new("back");
    let said = home.over(&objects, "back");
    assert_eq!(said.code, Some(0), "{said:?}");
    let commands = "To do, in this order, before Flagger is started\n  \
        kubectl -n istio-system scale deployment/vexil --replicas=0\n  \
        kubectl -n shop patch canary frontend --subresource=status --type=merge -p '{\"status\":null}'\n";
    assert!(said.out.ends_with(commands), "{}", said.out);
    let said = home.over(&objects, "back -o json");
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(report["commands"].as_array().map(Vec::len), Some(2), "{report:#}");
    hold("back", &objects, &home, BACK);
    // For one that is not ready there is nothing to type.
    pushed(&mut objects);
    let said = home.over(&objects, "back");
    assert!(!said.out.contains("To do"), "{}", said.out);
}

#[tokio::test(start_paused = true)]
async fn files_that_lack_something_are_said() {
    let home = Home::new("files");
    let objects = base().await;
    let only: Vec<Value> = objects.iter().filter(|it| it["kind"] == "Canary").cloned().collect();
    let said = home.over(&only, "check");
    assert_eq!(said.code, Some(0), "{said:?}");
    for line in [
        "– Flagger is there  (its Deployment is not in the files)",
        "– Vexil takes it over as it is  (its target is not in the files)",
    ] {
        assert!(said.out.contains(line), "{line:?} is missing in\n{}", said.out);
    }
    // What our CRDs refuse and Flagger's take is not lost.
    let mut negative = only.clone();
    canary(&mut negative)["spec"]["analysis"]["threshold"] = json!(-1);
    let said = home.over(&negative, "check");
    assert!(said.out.contains("\nCanary frontend.shop\n"), "{said:?}");
    canary(&mut negative)["metadata"]["name"] = json!("No Name");
    let said = home.over(&negative, "check");
    assert!(said.code == Some(2) && said.out.contains("Canary No Name cannot be read"), "{said:?}");
    let said = home.over(&[], "check");
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.out.contains("the files have no object") && said.out.contains("kubectl get canaries"),
        "{said:?}"
    );
    for (line, says) in [
        ("check -f nowhere.yaml", "cannot read nowhere.yaml"),
        ("check", "there is no kubeconfig"),
        ("check --context other -f dump.yaml", "cannot be used with"),
        ("chek", "unrecognized subcommand"),
        ("check --frob", "unexpected argument"),
    ] {
        let said = home.vexil(&format!("migrate {line}"));
        assert_eq!(said.code, Some(2), "{line}: {said:?}");
        assert!(said.out.contains(says) || said.err.contains(says), "{line}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_asked_and_not_changed() {
    let flagger = Flagger::initialised().await;
    let kube = flagger.world.kube.clone();
    kube.put(controller(IMAGE, ARGS));
    let listening = kube.listen(([127, 0, 0, 1], 0).into()).await.expect("a free loopback port");
    let home = Home::new("cluster");
    std::fs::write(home.0.join("config"), listening.kubeconfig()).expect("written");
    let vexil = |line: &str| tokio::task::block_in_place(|| home.vexil(line));
    let said = vexil("migrate check");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("✓ Vexil takes it over as it is  (no release starts)"), "{}", said.out);
    let said = vexil("migrate check frontent -n shop");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("there is no Canary frontent in namespace shop"), "{}", said.out);
    // A revision that somebody pushed; nothing is done about it.
    flagger.world.set_image("shop", "frontend", NEXT);
    let said = vexil("migrate check frontend");
    assert!(said.out.contains("a release starts at once"), "{}", said.out);
    assert!(kube.delete("deploy", "istio-system", "flagger"));
    let said = vexil("migrate check");
    let found = said.finding("‼", "Flagger is there").expect("a line");
    for part in
        ["no Deployment in any namespace runs Flagger", "→ name its namespace with --controller-namespace"]
    {
        assert!(found.contains(part), "{part:?} is missing in {found}");
    }
    let writes = kube.requests().into_iter().filter(|request| request.is_write());
    assert_eq!(writes.map(|request| request.to_string()).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(FIRST_HASH, flagger.world.status("shop", "frontend")["lastAppliedSpec"]);
}
