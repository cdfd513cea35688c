//! The commands that readers type: the program understands those that are its own, and those that can be tried are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::markdown::Page;
use super::{for_users, others, pages, root};
use crate::demo::Shop;

/// Subcommands that the pages name before the program has them: what follows them is not looked at until it does.
const TO_COME: &[&str] = &[];

/// Programs that readers are asked to run and that nothing here tries.
const OTHERS: &[&str] = &[
    "argocd",
    "cargo",
    "cat",
    "cd",
    "curl",
    "docker",
    "echo",
    "export",
    "flux",
    "git",
    "jq",
    "kind",
    "kustomize",
    "ln",
    "openssl",
    "printf",
    "skopeo",
    "sudo",
];

/// A page with this line has its commands run, one after the other, against `vexil demo --listen`.
const RUNS: &str = "<!-- run on vexil demo -->";
/// On a page with this line only those of kubectl are.
const RUNS_KUBECTL: &str = "<!-- kubectl runs on vexil demo -->";

/// A command of a page, without what is piped into it or behind it.
struct Line {
    place: String,
    words: Vec<String>,
}

#[test]
fn every_command_of_ours_is_understood() {
    let mut seen = 0;
    for line in for_users().iter().chain(&others()).flat_map(lines) {
        let Some(argv) = ours(&line.words) else { continue };
        seen += 1;
        if argv.get(1).is_some_and(|command| TO_COME.contains(&command.as_str())) {
            continue;
        }
        if let Err(why) = vexil::cli::check(&argv) {
            panic!("{}: {}: {why}", line.place, argv.join(" "));
        }
    }
    assert!(seen > 10, "only {seen} commands were found");
}

#[test]
fn what_the_text_calls_a_command_is_one() {
    for page in for_users().iter().chain(&others()) {
        for (line, code) in page.inline() {
            // What comes behind a pipe is another's command.
            let first = |words: Vec<String>| words.split(|word| word == "|").next().map(<[String]>::to_vec);
            let Some(argv) = shlex::split(&code).and_then(first).and_then(|words| ours(&words)) else {
                continue;
            };
            let known = |word: &&String| !TO_COME.contains(&word.as_str()) && *word != "…";
            let Some(command) = argv.get(1).filter(known) else {
                continue;
            };
            // That page runs what it shows, wrong ones as well.
            if page.path == "docs/reference/exit-codes.md" {
                continue;
            }
            // A placeholder, or a command that the text only names.
            let whole = argv.len() > 2 && !code.contains('…') && !code.contains(char::is_uppercase);
            let argv = if whole { argv } else { ["vexil", command, "--help"].map(str::to_owned).to_vec() };
            if let Err(why) = vexil::cli::check(&argv) {
                panic!("{}:{line}: {code}: {why}", page.path);
            }
        }
    }
}

#[test]
fn a_command_that_does_not_exist_is_noticed() {
    let check = |text: &str| vexil::cli::check(&shlex::split(text).expect("words"));
    for wrong in [
        "vexil paus frontend",
        "vexil pause frontend --force",
        "vexil pause",
        "vexil demo --listen everywhere",
        "vexil controller -no-such-flag",
        "vexil controller mesh-provider=istio",
        "vexil loadtester -no-such-flag",
        "vexil -mesh-provider istio -no-such-flag",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
    for right in [
        "vexil --help",
        "vexil controller -help",
        "vexil -mesh-provider istio",
        "vexil loadtester -h",
        "vexil crds",
    ] {
        assert_eq!(Ok(()), check(right), "{right}");
    }
}

#[test]
fn targets_of_make_and_files_of_the_repository_exist() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("a Makefile");
    for line in for_users().iter().chain(&others()).flat_map(lines) {
        let [program, rest @ ..] = line.words.as_slice() else { continue };
        match program.as_str() {
            "make" => {
                let target = rest.first().expect("a target");
                assert!(makefile.contains(&format!("\n{target}:")), "{}: no target {target}", line.place);
            }
            "vexil" | "kubectl" | "helm" => {}
            program if program.contains('=') || OTHERS.contains(&program) || program.starts_with("e2e/") => {}
            program => assert!(root().join(program).exists(), "{}: what is {program}?", line.place),
        }
        for word in rest.iter().filter(|word| {
            ["deploy/", "examples/", "crds", "metric-templates/"].iter().any(|start| word.starts_with(start))
        }) {
            assert!(root().join(word).exists(), "{}: there is no {word}", line.place);
        }
    }
}

/// The pages name the archive as `deploy/image/pack` does, and say before how it comes about.
#[test]
fn the_image_that_is_pushed_is_the_one_that_make_leaves() {
    let archive = format!("target/image/vexil-{}.oci.tar", env!("CARGO_PKG_VERSION"));
    let mut seen = BTreeSet::new();
    for page in for_users().iter().chain(&others()) {
        let mut built = false;
        for line in lines(page) {
            built |= line.words.starts_with(&["make".to_owned(), "image".to_owned()]);
            for word in line.words.iter().filter(|word| word.ends_with(".oci.tar")) {
                assert_eq!(word.trim_start_matches("oci-archive:"), archive, "{}", line.place);
                assert!(built, "{}: there is no {archive} before make image", line.place);
                seen.insert(page.path.clone());
            }
        }
    }
    for page in ["README.md", "docs/on-a-cluster.md"] {
        assert!(seen.contains(page), "{page} does not say how the image gets to a cluster: {seen:?}");
    }
}

#[test]
fn what_helm_is_to_install_can_be_rendered() {
    let mut seen = 0;
    for line in for_users().iter().chain(&others()).flat_map(lines) {
        let [program, command, rest @ ..] = line.words.as_slice() else { continue };
        let ours = rest.iter().any(|word| word.starts_with("deploy/charts/"));
        if program != "helm" || !ours || !matches!(command.as_str(), "install" | "upgrade" | "template") {
            continue;
        }
        let not_for_rendering = ["--install", "--reuse-values", "--wait", "--create-namespace"];
        let rest = rest.iter().filter(|word| !not_for_rendering.contains(&word.as_str()));
        let mut helm = Command::new(crate::deploy::helm());
        helm.current_dir(root()).arg("template").args(rest);
        if line.words.iter().any(|word| word == "--reuse-values") {
            helm.args(["--set", "image.repository=registry.example.com/vexil"]);
        }
        let output = helm.output().expect("Helm runs");
        assert!(output.status.success(), "{}: {}", line.place, String::from_utf8_lossy(&output.stderr));
        seen += 1;
    }
    assert!(seen > 1, "the pages install with Helm");
}

#[test]
fn what_kustomize_is_to_install_can_be_rendered() {
    for line in for_users().iter().chain(&others()).flat_map(lines) {
        let Some(folder) = line.words.iter().skip_while(|word| *word != "-k").nth(1) else { continue };
        let output = Command::new("kubectl").current_dir(root()).args(["kustomize", folder]).output();
        let output = output.unwrap_or_else(|why| panic!("kubectl: {why}: run make setup"));
        assert!(output.status.success(), "{}: {}", line.place, String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn commands_for_the_demo_work_on_it() {
    let mut tried = 0;
    for page in pages() {
        let all = page.text.contains(RUNS);
        if !all && !page.text.contains(RUNS_KUBECTL) {
            continue;
        }
        let shop = Shop::open();
        shop.kubectl("wait canary/frontend --for=jsonpath={.status.phase}=Initialized --timeout=60s");
        for line in lines(&page) {
            let mut words = line.words.clone();
            // Whoever watches never ends.
            words.retain(|word| !matches!(word.as_str(), "-w" | "--watch"));
            let ours =
                ours(&words).filter(|argv| all && argv[1] != "demo" && !TO_COME.contains(&argv[1].as_str()));
            let mut command = match (ours, words[0].as_str()) {
                (Some(argv), _) => {
                    let mut command = Command::new(env!("CARGO_BIN_EXE_vexil"));
                    command.args(&argv[1..]);
                    command
                }
                (None, "kubectl") => {
                    let mut command = Command::new("kubectl");
                    command.args(&words[1..]);
                    command
                }
                _ => continue,
            };
            let home = Path::new(&shop.kubeconfig).parent().expect("a folder");
            command.env("KUBECONFIG", &shop.kubeconfig).env("HOME", home).current_dir(root());
            let output = command.output().expect("it runs");
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{}: {}\n{out}{err}", line.place, words.join(" "));
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried} commands were tried");
}

/// The command line of `vexil` that this is.
fn ours(words: &[String]) -> Option<Vec<String>> {
    let rest = match words.first()?.as_str() {
        "vexil" | "./vexil" | "target/release/vexil" => &words[1..],
        "kubectl" if words.get(1).is_some_and(|word| word == "canary") => &words[2..],
        "cargo" if words.get(1).is_some_and(|word| word == "run") => {
            words.split(|word| word == "--").nth(1)?
        }
        _ => return None,
    };
    Some(std::iter::once("vexil".to_owned()).chain(rest.iter().cloned()).collect())
}

/// The commands in the blocks of a page: all lines of `sh`, those behind a prompt in `console`.
fn lines(page: &Page) -> Vec<Line> {
    let mut all = Vec::new();
    for block in page.blocks(&["sh", "console"]) {
        let text = block.text.replace("\\\n", " ");
        let prompt = if block.language == "console" { "$ " } else { "" };
        for line in text.lines().filter_map(|line| line.strip_prefix(prompt)) {
            // What stands in quotes over several lines is a script, not a command of ours.
            let Some(words) = shlex::split(line) else { continue };
            for words in words.split(|word| matches!(word.as_str(), "|" | "&&" | "||" | ";")) {
                let words = words.split(|word| word.starts_with('>')).next().unwrap_or_default();
                if !words.is_empty() {
                    all.push(Line { place: block.place.clone(), words: words.to_vec() });
                }
            }
        }
    }
    all
}
