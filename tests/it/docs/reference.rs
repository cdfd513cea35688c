//! The pages under `docs/reference`, which are generated from the program: `UPDATE=1` writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use regex::Regex;
use vexil::api::crds;
use vexil::cli::go_flags;
use vexil::controller::telemetry::Telemetry;

use super::holds;

mod fields;
mod phases;
mod source;

const NOTE: &str = "<!-- Generated from the program by `UPDATE=1 cargo test --test it docs`. -->\n";

#[test]
fn the_pages_of_the_crds_say_what_the_crds_say() {
    for (crd, file, title) in [
        (crds::canary(), "canary", "Fields of a Canary"),
        (crds::metric_template(), "metric-template", "Fields of a MetricTemplate"),
        (crds::alert_provider(), "alert-provider", "Fields of an AlertProvider"),
        (crds::route_template(), "route-template", "Fields of a RouteTemplate"),
    ] {
        let crd = serde_json::to_value(&crd).expect("a CRD is JSON");
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let description = schema["description"].as_str().unwrap_or_default();
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
        let mut page = format!(
            "# {title}\n\n{NOTE}\n`apiVersion: flagger.app/v1beta1`, `kind: {kind}`. {description}\n\nA field that must be there is marked with *\\**. \
             `kubectl explain {}.spec --recursive` shows the same.\n",
            kind.to_lowercase()
        );
        for part in ["spec", "status"] {
            if schema["properties"][part].is_object() {
                page += &fields::sections(part, &schema["properties"][part]);
            }
        }
        holds(&format!("docs/reference/{file}.md"), &page);
    }
}

#[test]
fn the_page_of_the_flags_lists_each() {
    let mut page = format!(
        "# Flags of the controller\n\n{NOTE}\n`vexil controller` takes Flagger's flags, with one dash or two, as `-flag=value` or `-flag value`; \
         switches stand alone or as `-flag=false`. A variable of the environment that is not empty wins over its flag. The chart sets \
         most of them from its values. Flags of the Kubernetes logging library (`-v`, `-logtostderr`, …) are accepted and have no effect.\n\n\
         | flag | value | default | what it does |\n|---|---|---|---|\n"
    );
    for flag in go_flags::described() {
        let value = if flag.value.is_empty() { "switch" } else { &flag.value };
        let default = if flag.default.is_empty() { String::new() } else { format!("`{}`", flag.default) };
        let variable = flag.variable.map(|name| format!(" (variable `{name}`)")).unwrap_or_default();
        let _ = writeln!(page, "| `-{}` | {value} | {default} | {}{variable} |", flag.name, cell(flag.help));
    }
    holds("docs/reference/flags.md", &page);
}

#[test]
fn the_page_of_the_series_lists_each() {
    let mut page = format!(
        "# Prometheus series of the controller\n\n{NOTE}\nServed at `/metrics` of `-port`. `flagger_*` have Flagger's names and labels, so that dashboards and \
         alerts go on working; `name` is the name of the *target*. The series of a Canary end with it. The load tester has \
         [series of its own](../loadtester.md#when-it-does-not-work).\n\n| series | type | labels | what it says |\n|---|---|---|---|\n"
    );
    for series in Telemetry::catalogue() {
        let labels: Vec<String> = series.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            series.name,
            series.kind,
            labels.join(", "),
            cell(series.help)
        );
    }
    page += "\nThe values of labels: `deployment_strategy` is `canary`, `blue-green` or `ab-testing`; `analysis_status` is `completed` or \
             `skipped`; `fate` is `written`, `repeated`, `dropped` or `failed`; `workload` is the name of the target, or of its primary.\n";
    holds("docs/reference/telemetry.md", &page);
}

#[test]
fn the_page_of_the_events_lists_each() {
    let mut page = format!(
        "# Events and alerts\n\n{NOTE}\nEvents of a Canary have the reason `Synced`; their type is `Normal` or `Warning`. In the texts `{{canary}}` and `{{target}}` stand for \
         name and namespace with a full stop between them (`frontend.shop`), `{{why}}`, `{{error}}` and the like for what happened. Texts that \
         Flagger has are Flagger's, word by word, so that rules that look for them go on working.\n"
    );
    let said = source::messages();
    for (title, alerts) in [("Events", false), ("Alerts", true)] {
        let _ = write!(page, "\n## {title}\n\n| text | when |\n|---|---|\n");
        for message in said.iter().filter(|message| message.alert == alerts) {
            let _ = writeln!(page, "| `{}` | {} |", message.text, message.when);
        }
    }
    page += "\n## Checks\n\n| text | when |\n|---|---|\n";
    let code = source::read("src/rollout/analysis.rs");
    for (text, within, when) in CHECKS {
        assert!(code.contains(within), "src/rollout/analysis.rs does not say {within:?} any more");
        let _ = writeln!(page, "| `{text}` | {when} |");
    }
    page += "\nTexts about pods that are not ready (`canary deployment frontend.shop not ready: waiting for rollout to finish: …`) name the numbers \
             that Kubernetes gives. What the API server, a mesh, a hook or a metrics server said is repeated as the last part of a text.\n";
    holds("docs/reference/events.md", &page);
}

/// What checks say, the words in the code, and when.
const CHECKS: &[(&str, &str, &str)] = &[
    (
        "Halt {canary} advancement success rate {value}% < {min}%",
        "advancement success rate {value:.2}%",
        "the built-in success rate is out of bounds",
    ),
    (
        "Halt {canary} advancement {metric} {value} < {min}",
        "advancement {} {value:.2} {relation}",
        "a metric is out of bounds; `>` for an upper bound",
    ),
    (
        "Halt advancement no values found for {provider} metric {metric} probably {target} is not receiving traffic: {why}",
        "metric request-success-rate probably {target} is not",
        "a built-in check has no value: no requests, or nobody counts them",
    ),
    (
        "Halt advancement no values found for metric: {metric}",
        "no values found for metric: {}",
        "an inline query has no value",
    ),
    (
        "Halt advancement no values found for custom metric: {metric}: {why}",
        "no values found for custom metric: {}",
        "a MetricTemplate's query has no value",
    ),
    (
        "Prometheus query failed: {why}",
        "Prometheus query failed: {why}",
        "a built-in check could not be asked",
    ),
    (
        "Metric query failed for {metric}: {why}",
        "Metric query failed for {}: {why}",
        "a MetricTemplate's query could not be asked",
    ),
];

#[tokio::test(start_paused = true)]
async fn the_page_of_the_conditions_says_what_a_release_shows() {
    let mut page = format!(
        "# Phases, conditions, blockers\n\n{NOTE}\n## Phases\n\n`status.phase`, the conditions that every Canary has in it, and what tools make of them: \
         [kstatus](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md) (Flux and others) by its rules, \
         Argo CD by [the check that it brings along](https://github.com/argoproj/argo-cd/blob/master/resource_customizations/flagger.app/Canary/health.lua). \
         The rows were taken from releases on the embedded cluster.\n\n\
         | phase | what it means | `Promoted` | `Ready` | `Reconciling` | kstatus | Argo CD |\n|---|---|---|---|---|---|---|\n"
    );
    let seen = phases::seen().await;
    for (name, about) in source::variants("src/api/status.rs", "Phase") {
        if name == "Unset" || name == "Terminated" {
            continue;
        }
        let row = seen.get(&name).unwrap_or_else(|| panic!("no release was seen in phase {name}"));
        let _ = writeln!(page, "| `{name}` | {about} | {row} |");
    }
    page += "\n`Reconciling` and `Stalled` are there only while they are true. Whatever the phase, a Canary that cannot go on has `Stalled=True` and \
             `Ready=False` with the same reason and message: kstatus calls that Failed.\n\n## Reasons of `Stalled`\n\n| reason | what it means |\n|---|---|\n";
    for (reason, about) in reasons() {
        let _ = writeln!(page, "| `{reason}` | {about} |");
    }
    page += "\n## Other conditions\n\n| condition | what it says |\n|---|---|\n";
    for (name, about) in source::conditions() {
        let _ = writeln!(page, "| `{name}` | {about} |");
    }
    page += "\n## Blockers\n\n`status.blockers[].type`: what a release waits for at this moment, with `message`, `since` and, where it ends by itself, \
             `until`.\n\n| type | what is waited for |\n|---|---|\n";
    for (name, about) in source::variants("src/api/status.rs", "BlockerKind") {
        let _ = writeln!(page, "| `{name}` | {about} |");
    }
    holds("docs/reference/conditions.md", &page);
}

/// Why a Canary cannot go on, and what that means to its owner.
const REASONS: &[(&str, &str)] = &[
    (
        "AnalysisUnusable",
        "checks of the analysis cannot be asked: a MetricTemplate or Secret is missing, a query is no template. The message names field and remedy",
    ),
    ("ConfigUnavailable", "a ConfigMap or Secret of the target cannot be read"),
    ("InvalidSpec", "the Canary cannot be run as it is written; the message names each field"),
    ("KindUnavailable", "a kind cannot be listed: its CRD is not installed, or the right is missing"),
    ("PrimaryMissing", "the primary was deleted, and nothing says which revision it ran"),
    (
        "PrimaryNotReady",
        "the primary does not get ready at its initialization; traffic and target are left alone",
    ),
    ("RoutesRefused", "the route belongs to somebody else, or does not fit"),
    ("ScalerUnusable", "the autoscaler cannot be found, or belongs to somebody else"),
    ("ServiceRefused", "a Service belongs to somebody else"),
    (
        "TargetNotReady",
        "a deletion with `revertOnDeletion` waits for the target, which does not get ready; the primary keeps the traffic",
    ),
    ("TargetUnusable", "the target does not exist, or has no label to select its pods by"),
    (
        "TrafficInterlock",
        "a change of the traffic was refused because nobody would answer; the message has the numbers of pods",
    ),
    ("WriteRefused", "the API server refuses a write again and again; the message has its words"),
];

/// The reasons that the code gives: each is explained, and each that is explained is given.
fn reasons() -> &'static [(&'static str, &'static str)] {
    let called = Regex::new(r#"(?s)blocked\([^;{}]*?"([A-Z][A-Za-z]+)"|stall\([^;{}]*?"([A-Z][A-Za-z]+)"|const (?:INTERLOCK|ANALYSIS_UNUSABLE): &str = "([A-Za-z]+)""#).expect("a pattern");
    let mut given = BTreeSet::new();
    for file in source::files(&["src/rollout", "src/controller"]) {
        let code = source::read(&file);
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for found in called.captures_iter(code) {
            given
                .extend((1..4).filter_map(|group| found.get(group)).map(|reason| reason.as_str().to_owned()));
        }
    }
    let explained: BTreeSet<String> = REASONS.iter().map(|(reason, _)| (*reason).to_owned()).collect();
    assert_eq!(explained, given);
    REASONS
}

#[test]
fn the_page_of_the_exit_codes_says_what_the_program_returns() {
    let mut page = format!(
        "# Exit codes\n\n{NOTE}\n| code | meaning |\n|---|---|\n| 0 | it did what it was asked to; for `controller` and `loadtester`: it ended after SIGTERM or SIGINT |\n\
         | 1 | it could not: there is no cluster, a file or flag cannot be used, the demo did not end as it should; for `controller` also that the lease was lost |\n\
         | 2 | the command line cannot be understood |\n\n[Commands that ask](../ask.md), [lint](../lint.md) and [simulate](../simulate.md) say in their pages which codes they have beside these. What was wrong stands on standard error. Each row was run:\n\n| command | code |\n|---|---|\n"
    );
    for words in [
        "crds",
        "--version",
        "controller -help",
        "controller -version",
        "pause frontend",
        "pause",
        "paus frontend",
        "demo --listen 0.0.0.0:0",
        "controller -no-such-flag",
        "controller -selector-labels=",
        "controller -mesh-provider=none-such",
        "controller -kubeconfig=/no/such/file",
        "loadtester -no-such-flag",
        "loadtester -tasks=/no/such/file",
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vexil"));
        command
            .args(words.split(' '))
            .env("KUBECONFIG", "/no/such/file")
            .env_remove("KUBERNETES_SERVICE_HOST");
        let code = command.output().expect("it runs").status.code().expect("no signal");
        let about = if words == "pause frontend" { ", without a cluster" } else { "" };
        let _ = writeln!(page, "| `vexil {words}`{about} | {code} |");
    }
    holds("docs/reference/exit-codes.md", &page);
}

/// Text for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}
