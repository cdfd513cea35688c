//! `vexil simulate`, as a user runs it. The whole reports stand in `tests/data/simulate/expected`; `UPDATE=1` rewrites
//! them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use assert_cmd::cargo::CommandCargoExt;
use rstest::rstest;
use serde_json::Value;
use vexil::manifest::{decode, read};
use vexil::model::release::{Release, Settings};
use vexil::router::registry;

fn simulate(arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("vexil").expect("the binary of this package");
    // Paths are shown as they are given.
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env("NO_COLOR", "1");
    command.arg("simulate").args(arguments).output().expect("it runs")
}

fn stdout(output: &Output) -> String {
    let (text, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the test's own, which nobody else has.
fn scratch(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("vexil-simulate-{}-{name}", std::process::id()));
    std::fs::write(&path, content).expect("a file");
    path
}

const CANARY: &str = "tests/data/simulate/canary.yaml";
const GATE: &str = "tests/data/simulate/gate.yaml";
const BLUE_GREEN: &str = "tests/data/simulate/blue-green.yaml";

#[rstest]
#[case("good", &[CANARY], &["✓ Promoted after", "0 requests failed that the old version would have answered"])]
#[case("failing", &[CANARY, "--error-rate", "5%"], &["✗ Rolled back after", "Stopped by     request-success-rate 9", "never over 10 %"])]
#[case("slow", &[CANARY, "--latency", "2s"], &["✗ Rolled back after", "Stopped by     request-duration"])]
#[case("never-ready", &[CANARY, "--never-ready"], &["✗ Rolled back after", "progress deadline exceeded", "Users          0 of "])]
#[case("metrics-down", &[CANARY, "--metrics-down", "10m"], &["✗ Rolled back after", "connection refused"])]
#[case("metrics-down-hold", &["tests/data/simulate/hold.yaml", "--metrics-down", "10m"], &["✓ Promoted after"])]
#[case("gate-opens", &[GATE, "--hooks-say", "approve-after", "20m"], &["waiting for promotion approval ask-the-team", "✓ Promoted after 2"])]
#[case("gate-stays-closed", &[GATE, "--hooks-say", "no", "--limit", "1h"], &["… Unfinished after 1 h", "ask-the-team"])]
#[case("rollback-hook", &[GATE, "--hooks-say", "rollback"], &["✗ Rolled back after", "manual webhook invoked"])]
#[case("blue-green", &[BLUE_GREEN], &["✓ Promoted after", "stands for a load test"])]
#[case("blue-green-failing", &[BLUE_GREEN, "--error-rate", "10%"], &["✗ Rolled back after", "0 of them failed"])]
#[case("blue-green-without-load", &["examples/kubernetes/blue-green.yaml"], &["no hook of type rollout runs a load test", "✗ Rolled back after"])]
#[case("ab-failing", &["examples/istio/ab.yaml", "--error-rate", "5%", "--matching", "20%"], &["✗ Rolled back after"])]
#[case("contour", &["examples/contour/weighted.yaml", "--error-rate", "5%"], &["✗ Rolled back after"])]
#[case("gateway", &["examples/gatewayapi/weighted.yaml"], &["✓ Promoted after"])]
#[case("knative", &["examples/knative/weighted.yaml", "--error-rate", "5%"], &["✗ Rolled back after"])]
#[case("phases", &[CANARY, "--scenario", "tests/data/simulate/phases.yaml"], &["somebody asks to pause", "frontend:new-version-2", "the metrics servers do not answer", "✓ Promoted after"])]
#[case("folder", &["tests/data/simulate/folder", "--error-rate", "4%"], &["cart.shop", "catalog.shop", "left out, the simulation does not need these kinds: Dashboard", "ConfigMap cart-settings.shop is not among the files", "push registry.example.com:5000/shop/cart:new-version"])]
fn a_release_is_told_from_its_push_to_its_end(
    #[case] name: &str,
    #[case] arguments: &[&str],
    #[case] tells: &[&str],
) {
    let output = simulate(&[&["-f"], arguments].concat());
    let told = stdout(&output);
    for part in tells {
        assert!(told.contains(part), "{part:?} is missing in:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "no codes for a terminal where there is none");
    let path = root().join(format!("tests/data/simulate/expected/{name}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &told).expect("the expected report");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(expected, told, "UPDATE=1 rewrites {}", path.display());
}

#[rstest]
#[case("text", "1")]
#[case("json", "2")]
#[case("markdown", "1")]
#[case("html", "1")]
fn the_same_seed_gives_the_same_report(#[case] format: &str, #[case] runs: &str) {
    let report = |seed: &str| {
        let arguments = ["-f", CANARY, "--error-rate", "1%", "--runs", runs, "--seed", seed, "-o", format];
        stdout(&simulate(&arguments))
    };
    let first = report("7");
    assert_eq!(first, report("7"));
    assert_ne!(first, report("8"));
}

#[test]
fn many_releases_tell_probabilities_and_those_of_a_good_version() {
    let arguments = ["-f", CANARY, "--error-rate", "20%", "--runs", "8", "-o", "json"];
    let report: Value = serde_json::from_str(&stdout(&simulate(&arguments))).expect("JSON");
    let study = &report["releases"][0]["study"];
    assert_eq!(8, study["runs"]);
    assert_eq!((0.0, 1.0), (number(&study["promoted"]["value"]), number(&study["rolledBack"]["value"])));
    // Wilson's bound for none of eight.
    assert!((number(&study["promoted"]["high"]) - 0.324).abs() < 0.001, "{study:#}");
    assert_eq!(0.0, number(&study["falseRollback"]["value"]), "a good version is not rolled back");
    assert!(number(&study["hurt"]["p50"]["value"]) > 20.0, "{study:#}");
    let example = &report["releases"][0]["example"];
    assert_eq!("rolledBack", example["verdict"]);
    let requests = &example["requests"];
    let (met, failed) = (number(&requests["newVersion"]), number(&requests["newVersionFailed"]));
    assert!((0.15..0.25).contains(&(failed / met)), "about a fifth fails: {requests}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn with_little_traffic_measurements_are_noisy() {
    let values = |rps: &str| {
        let arguments = ["-f", CANARY, "--error-rate", "0.9%", "--rps", rps, "-o", "json", "--runs", "1"];
        let report: Value = serde_json::from_str(&stdout(&simulate(&arguments))).expect("JSON");
        let timeline = report["releases"][0]["example"]["timeline"].as_array().cloned().unwrap_or_default();
        let checks = timeline.iter().filter_map(|entry| entry["checks"].as_array()).flatten();
        let rates = checks.filter(|check| check["name"] == "request-success-rate");
        rates.filter_map(|check| check["value"].as_f64()).collect::<Vec<f64>>()
    };
    let spread = |values: &[f64]| {
        let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(l, m), v| (l.min(*v), m.max(*v)));
        most - least
    };
    let (little, much) = (values("20"), values("5000"));
    assert!(little.len() >= 2 && much.len() >= 2, "{little:?} {much:?}");
    assert!(spread(&much) < 0.3 && spread(&little) > spread(&much), "{little:?} {much:?}");
}

#[test]
fn a_value_from_the_scenario_is_what_the_check_is_told() {
    let scenario =
        scratch("metrics.yaml", "metrics:\n  orders:\n    - {at: 0s, value: 1}\n    - {at: 3m, value: 7}\n");
    let told = stdout(&simulate(&["-f", GATE, "--scenario", &scenario.to_string_lossy()]));
    assert!(told.contains("✓ orders-without-payment 1 (at most 2)"), "{told}");
    assert!(told.contains("✗ orders-without-payment 7 (at most 2)"), "{told}");
    assert!(told.contains("Stopped by     orders-without-payment 7 (at most 2), failed 2 times"), "{told}");
}

#[rstest]
#[case("4", &["promote(error=20%) < 50%"], 0, "✓ promote(error=20%) < 50%  holds")]
#[case("4", &["promote(error=20%) > 60%"], 1, "✗ promote(error=20%) > 60%  does not hold")]
#[case("4", &["promote(error=20%) < 1%"], 2, "too few to tell: raise --runs")]
#[case("4", &["promote(error=20%) < 1%", "rollback() > 50%"], 1, "✗ rollback() > 50%  does not hold")]
#[case("8", &["duration(p50) < 1h", "hurt(error=20%) > 10", "rollback(never_ready) > 60%"], 0, "✓ hurt(error=20%) > 10  holds")]
fn assertions_set_the_exit_status(
    #[case] runs: &str,
    #[case] assertions: &[&str],
    #[case] status: i32,
    #[case] tells: &str,
) {
    let mut arguments = vec!["-f", CANARY, "--runs", runs];
    assertions.iter().for_each(|assertion| arguments.extend(["--assert", assertion]));
    let output = simulate(&arguments);
    let told = text(&output.stdout);
    assert_eq!(Some(status), output.status.code(), "{told}\n{}", text(&output.stderr));
    assert!(told.contains(tells), "{told}");
}

#[test]
fn an_assertion_that_cannot_be_read_is_marked_at_its_place() {
    let output = simulate(&["-f", CANARY, "--assert", "promote(errors=2%) < 1%"]);
    assert_eq!(Some(2), output.status.code());
    let errors = text(&output.stderr);
    assert!(errors.contains("\"errors\" is no argument"), "{errors}");
    assert!(errors.contains("\n  promote(errors=2%) < 1%\n          ^^^^^^\n"), "{errors}");
}

#[rstest]
#[case::nothing("", &[], "there is no Canary in ")]
#[case::other("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", &[], "there is no Canary in ")]
#[case::no_yaml("a: [", &[], "bad.yaml: ")]
#[case::no_object("- 1\n", &[], "is no Kubernetes object")]
#[case::no_name("apiVersion: flagger.app/v1beta1\nkind: Canary\nspec: {}\n", &[], "has no metadata.name")]
#[case::no_spec("apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: x}\n", &[], "Canary x.default, spec: is required and missing")]
#[case::provider("", &["-f", CANARY, "--mesh-provider", "itsio"], "")]
#[case::share("", &["--error-rate", "2"], "write 2% or 0.02")]
#[case::hooks("", &["--hooks-say", "maybe"], "is no answer of a hook")]
#[case::span("", &["--metrics-down", "soon"], "is not a length of time")]
#[case::runs("", &["-f", CANARY, "--runs", "0"], "--runs: 0 is not between")]
#[case::rps("", &["-f", CANARY, "--rps", "-1"], "rps: -1 is not between")]
#[case::format("", &["-o", "pdf"], "invalid value 'pdf'")]
#[case::scenario("", &["--scenario", "/nowhere.yaml"], "cannot read /nowhere.yaml")]
fn bad_input_is_told_and_ends_with_2(#[case] manifest: &str, #[case] more: &[&str], #[case] tells: &str) {
    let name = format!("{}-bad.yaml", tells.len() * 1000 + manifest.len() * 10 + more.len());
    let path = scratch(&name, manifest);
    let path = path.to_string_lossy().into_owned();
    let own = ["-f", path.as_str()];
    let given: &[&str] = if manifest.is_empty() && more.contains(&CANARY) { &[] } else { &own };
    let output = simulate(&[given, more].concat());
    let errors = text(&output.stderr);
    // A Canary that names its provider does not care for the flag.
    let expected = if tells.is_empty() { 0 } else { 2 };
    assert_eq!(Some(expected), output.status.code(), "{errors}");
    assert!(errors.contains(tells) && !errors.contains("panicked"), "{errors}");
}

#[test]
fn names_in_a_scenario_that_are_not_there_are_told() {
    let scenario = scratch(
        "names.yaml",
        "metrics: {errors: 1}\nhooks: {gat: no}\nphases: [{at: 1m, canary: fronted, push: true}]\n",
    );
    let output = simulate(&["-f", GATE, "--scenario", &scenario.to_string_lossy()]);
    assert_eq!(Some(2), output.status.code());
    let errors = text(&output.stderr);
    for name in [
        "the metric \"errors\"",
        "the hook \"gat\"",
        "the Canary \"fronted\"",
        "there is: ask-the-team, roll-back",
    ] {
        assert!(errors.contains(name), "{errors}");
    }
}

/// What the controller says about a manifest.
fn controllers_words(canary: &Value) -> Vec<String> {
    let settings = Settings::default();
    let facts = |release: &Release| registry::facts(release, &settings);
    let known = registry::known_names();
    let canary = decode::canary(canary).expect("it can be read");
    let reading = read::release(&canary, &settings, &read::Providers { known: &known, facts: &facts });
    reading.release.expect_err("it is refused").iter().map(ToString::to_string).collect()
}

#[test]
fn a_manifest_that_the_controller_refuses_is_refused_in_its_words() {
    let manifest = std::fs::read_to_string(root().join(CANARY)).expect("a file");
    let manifest =
        manifest.replace("stepWeight: 10", "stepWeight: -10").replace("provider: istio", "provider: itsio");
    let mut canary: Value = serde_saphyr::from_str(&manifest).expect("YAML");
    canary["metadata"]["namespace"] = "shop".into();
    let words = controllers_words(&canary);
    assert!(words.len() >= 2, "{words:?}");
    let path = scratch("refused.yaml", &manifest);
    let output = simulate(&["-f", &path.to_string_lossy()]);
    assert_eq!(Some(2), output.status.code());
    let errors = text(&output.stderr);
    for word in words {
        assert!(
            errors.contains(&format!("vexil: Canary frontend.shop, {word}\n")),
            "{word} is missing in {errors}"
        );
    }
}

#[test]
fn the_page_is_well_formed_and_needs_nothing_from_elsewhere() {
    let manifest =
        std::fs::read_to_string(root().join("tests/data/simulate/folder/cart.yml")).expect("a file");
    let manifest = manifest
        .replace("registry.example.com:5000/shop/cart@sha256:0123", "\"x/<script>alert(1)</script>&:1\"");
    let path = scratch("markup.yaml", &manifest);
    let page = scratch("page.html", "");
    let assertion = "promote(error=9%) < 90%";
    let path = path.to_string_lossy();
    let arguments = [
        "-f",
        &path,
        "-f",
        CANARY,
        "--error-rate",
        "4%",
        "--runs",
        "5",
        "--assert",
        assertion,
        "-o",
        "html",
        "--output",
        &page.to_string_lossy(),
    ];
    let output = simulate(&arguments);
    assert_eq!("", stdout(&output), "the report is in the file");
    let html = std::fs::read_to_string(&page).expect("the page");
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..roxmltree::ParsingOptions::default() };
    let page = roxmltree::Document::parse_with_options(&html, options).expect("well-formed");
    let elements: Vec<_> = page.descendants().filter(roxmltree::Node::is_element).collect();
    for element in &elements {
        let name = element.tag_name().name();
        assert!(
            !["script", "link", "img", "iframe", "object", "embed", "image", "use"].contains(&name),
            "{name}"
        );
        for attribute in element.attributes() {
            let name = attribute.name();
            assert!(!name.starts_with("on") && !["src", "href", "srcset", "style"].contains(&name), "{name}");
        }
    }
    let style = elements.iter().find(|element| element.has_tag_name("style")).and_then(|style| style.text());
    let style = style.expect("a style");
    assert!(style.contains("prefers-color-scheme") && !style.contains("url(") && !style.contains("@import"));
    let count = |name: &str| elements.iter().filter(|element| element.has_tag_name(name)).count();
    assert_eq!(2, count("h1"), "a section for each Canary");
    assert!(count("svg") >= 6 && count("path") >= 6, "charts");
    let said: String = page.descendants().filter_map(|node| node.text()).collect::<Vec<_>>().join(" ");
    assert!(said.contains("<script>alert(1)</script>"), "the text is there as text");
    assert!(said.contains(assertion), "{said}");
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let output = simulate(&["-f", CANARY, "--output", "/nowhere/report.txt"]);
    assert_eq!(Some(2), output.status.code());
    assert!(text(&output.stderr).contains("cannot write /nowhere/report.txt"), "{}", text(&output.stderr));
}

#[test]
fn an_example_of_every_mesh_can_be_simulated() {
    let mut simulated = 0;
    for mesh in registry::MESHES {
        let name = mesh.providers[0].as_str().split(':').next().unwrap_or_default();
        let folder = root().join("examples").join(name);
        let example = ["weighted.yaml", "blue-green.yaml"].map(|file| folder.join(file));
        let Some(path) = example.into_iter().find(|path| path.exists()) else { continue };
        let output = simulate(&["-f", &path.to_string_lossy(), "--error-rate", "30%", "--limit", "2h"]);
        let told = text(&output.stdout);
        let ended = told.contains("✗ Rolled back after");
        assert!(output.status.success() && ended, "{}:\n{told}\n{}", path.display(), text(&output.stderr));
        simulated += 1;
    }
    assert!(simulated >= 14, "{simulated}");
}
