//! `vexil check`: the program itself against a cluster in which all is well, and against the same with one thing wrong. Each
//! check has a case that makes it fail, and what is printed then is looked at: the line, the cure, the address in the docs,
//! and the exit status.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use bench::{Bench, Said};

use crate::deploy::rights::rights;
use crate::deploy::{chart, holds_between};

mod bench;
mod canary;
mod cluster;
mod controller;

const DOCS: &str = include_str!("../../docs/check.md");

/// One thing that is wrong, and what is said of it.
pub struct Case {
    pub id: &'static str,
    /// The arguments behind `vexil check`.
    pub line: &'static str,
    pub change: fn(&Bench),
    pub mark: &'static str,
    /// Parts of the finding, the last one of its cure.
    pub parts: &'static [&'static str],
    pub code: i32,
}

pub const WRONG: (&str, i32) = ("✗", 1);
pub const WARNED: (&str, i32) = ("‼", 0);

/// A case whose check says `outcome`.
pub const fn case(
    id: &'static str,
    line: &'static str,
    change: fn(&Bench),
    outcome: (&'static str, i32),
    parts: &'static [&'static str],
) -> Case {
    Case { id, line, change, mark: outcome.0, parts, code: outcome.1 }
}

/// The titles of all checks by their ids.
fn titles(said: &Said) -> BTreeMap<String, String> {
    let all: Vec<Value> = serde_json::from_str(&said.out).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    all.iter().map(|check| (text(&check["id"]), text(&check["title"]))).collect()
}

/// Runs each case on a cluster of its own.
async fn hold(name: &str, bare: bool, cases: &[Case]) {
    let mut wrong = Vec::new();
    let mut known = None;
    for (index, case) in cases.iter().enumerate() {
        let name = format!("{name}-{index}");
        let bench = if bare { Bench::bare(&name).await } else { Bench::open(&name).await };
        let titles = known.get_or_insert_with(|| titles(&bench.vexil("check --list -o json")));
        (case.change)(&bench);
        let said = bench.vexil(&format!("check {}", case.line));
        let title = titles.get(case.id).unwrap_or_else(|| panic!("{} is a check", case.id));
        let Some(found) = said.finding(case.mark, title) else {
            wrong.push(format!(
                "{}: no line {:?}\n{}{}",
                case.id,
                format!("{} {title}", case.mark),
                said.out,
                said.err
            ));
            continue;
        };
        let see = format!("see docs/check.md#{}", case.id);
        for part in case.parts.iter().copied().chain(["  → ", see.as_str()]) {
            if !found.contains(part) {
                wrong.push(format!("{}: {part:?} is missing in\n{found}", case.id));
            }
        }
        let cure = case.parts.last().copied().unwrap_or_default();
        if !found.split_once("→ ").is_some_and(|(_, after)| after.contains(cure)) {
            wrong.push(format!("{}: the cure does not say {cure:?}:\n{found}", case.id));
        }
        if said.code != Some(case.code) {
            wrong.push(format!("{}: exit status {:?}\n{}", case.id, said.code, said.out));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

const SHOP: &str = "check frontend -n shop";

#[tokio::test(flavor = "multi_thread")]
async fn where_all_is_well_each_check_says_so() {
    let bench = Bench::open("fine").await;
    let said = bench.vexil(SHOP);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let bad: Vec<&str> = said.out.lines().filter(|line| line.starts_with(['✗', '‼'])).collect();
    assert_eq!(bad, Vec::<&str>::new(), "{}", said.out);
    for line in
        ["✓ the metric is answered with a number now: latency  (1)", "✓ one of its pods leads  (vexil-1)"]
    {
        assert!(said.out.contains(line), "{line:?} is missing in\n{}", said.out);
    }
    assert!(!said.out.contains('\u{1b}') && said.err.is_empty(), "{said:?}");
    // The checks change nothing.
    let writes = bench.kube.requests().into_iter().filter(|request| request.is_write());
    let writes: Vec<String> = writes
        .filter(|request| !request.plural.ends_with("reviews"))
        .map(|request| request.path.clone())
        .collect();
    assert_eq!(writes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn before_an_installation_all_is_well_as_well() {
    let bench = Bench::bare("before").await;
    let said = bench.vexil(cluster::PRE_COMMAND);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    assert!(!said.out.contains(['✗', '‼']), "{}", said.out);
    assert!(
        said.out.contains(
            "✓ the cluster serves the kinds of the mesh: virtualservices of networking.istio.io/v1beta1"
        ),
        "{}",
        said.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_check_has_a_case_and_a_section_in_the_docs() {
    let bench = Bench::bare("list").await;
    let ids: BTreeSet<String> = titles(&bench.vexil("check --list -o json")).into_keys().collect();
    let cases = [cluster::BEFORE, cluster::AFTER, controller::CASES, canary::CASES].concat_ids();
    let missing: Vec<&String> = ids.iter().filter(|id| !cases.contains(id.as_str())).collect();
    assert_eq!(missing, Vec::<&String>::new(), "these have no case");
    let sections: BTreeSet<String> =
        DOCS.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(ids, sections, "docs/check.md has a section for each check, and for nothing else");
    assert!(ids.len() >= 30, "{}", ids.len());
}

trait ConcatIds {
    fn concat_ids(&self) -> BTreeSet<&'static str>;
}

impl ConcatIds for [&'static [Case]; 4] {
    fn concat_ids(&self) -> BTreeSet<&'static str> {
        // These two have tests of their own.
        let others = ["api-answers", "canary-there"];
        self.iter().flat_map(|cases| cases.iter()).map(|case| case.id).chain(others).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_does_not_answer_ends_with_2() {
    let bench = Bench::bare("nobody").await;
    std::fs::write(bench.home.join("nobody"), bench::kubeconfig("http://127.0.0.1:1")).expect("written");
    let line = format!("check --kubeconfig {}", bench.home.join("nobody").display());
    let said = bench.vexil(&line);
    assert_eq!(said.code, Some(2), "{said:?}");
    let found = said.finding("‼", "the API server answers").expect("a line");
    for part in [
        "could not be asked: the cluster of context bench (http://127.0.0.1:1) does not answer",
        "→ nothing listens there",
        "see docs/check.md#api-answers",
    ] {
        assert!(found.contains(part), "{part:?} is missing in {found}");
    }
    let said = bench.vexil(&format!("{line} -o json"));
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(report["exitStatus"], 2);
    assert_eq!(report["groups"][0]["checks"][0]["outcome"], "unasked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_is_not_there_is_wrong() {
    let bench = Bench::open("missing").await;
    let said = bench.vexil("check frontent -n shop");
    assert_eq!(said.code, Some(1), "{said:?}");
    let found = said.finding("✗", "the Canary is there").expect("a line");
    for part in [
        "there is no Canary frontent in namespace shop",
        "→ did you mean frontend?",
        "see docs/check.md#canary-there",
    ] {
        assert!(found.contains(part), "{part:?} is missing in {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_asked_ends_with_2_and_says_which_right_is_missing() {
    let bench = Bench::open("forbidden").await;
    let gone = |path: &str| bench.refuse(path, 403, "User \"bob\" cannot do that");
    gone("/apis/coordination.k8s.io/v1/namespaces/vexil-system/leases/flagger-leader-election");
    gone("/apis/policy/v1/namespaces/shop/poddisruptionbudgets");
    gone(bench::PROMETHEUS);
    gone(&bench::page("vexil-1", "/metrics"));
    let said = bench.vexil(SHOP);
    assert_eq!(said.code, Some(2), "{said:?}");
    for (title, part) in [
        ("the lease is held", "user bob may not get leases.coordination.k8s.io"),
        ("one of its pods leads", "resources [pods/proxy], verbs [get]"),
        (
            "no PodDisruptionBudget is for the target alone",
            "user bob may not list poddisruptionbudgets.policy",
        ),
        ("the Prometheus of built-in checks answers", "resources [services/proxy], verbs [get, create]"),
    ] {
        let found = said.finding("‼", title).unwrap_or_else(|| panic!("{title}\n{}", said.out));
        assert!(
            found.contains("could not be asked: ") && found.contains(part),
            "{part:?} is missing in {found}"
        );
    }
    // With something wrong beside it, that counts more.
    bench.delete("deploy", "shop", "frontend-primary");
    assert_eq!(bench.vexil(SHOP).code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rights_that_are_asked_for_are_those_that_the_chart_gives() {
    let bench = Bench::open("rights").await;
    bench.vexil("check");
    let values = [
        "meshProvider=istio",
        "leaderElection.enabled=true",
        "rbac.metricProviders={}",
        "rbac.targets={Deployment}",
        "rbac.autoscalers={HorizontalPodAutoscaler}",
    ];
    let given: BTreeSet<(String, String, String)> = rights(&chart(&values))
        .into_iter()
        .filter(|(_, _, resource, _)| !resource.starts_with('/'))
        .map(|(verb, group, resource, _)| (verb, group, resource))
        .collect();
    let asked = bench.asked();
    let none = Vec::<&(String, String, String)>::new();
    assert_eq!(asked.difference(&given).collect::<Vec<_>>(), none, "the chart does not give these");
    assert_eq!(given.difference(&asked).collect::<Vec<_>>(), none, "nobody asks for these");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_holds_what_is_printed() {
    let bench = Bench::open("json").await;
    bench.delete("deploy", "shop", "frontend-primary");
    let said = bench.vexil("check -A -o json");
    assert_eq!(said.code, Some(1), "{said:?}");
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&report["exitStatus"], &report["counts"]["wrong"]), (&json!(1), &json!(1)));
    let groups = report["groups"].as_array().expect("groups");
    let titles: Vec<&str> = groups.iter().filter_map(|group| group["title"].as_str()).collect();
    assert_eq!(titles, ["Kubernetes", "CRDs", "Controller", "Mesh", "Metrics", "Canary frontend.shop"]);
    let checks = groups[5]["checks"].as_array().expect("checks");
    let primary = checks.iter().find(|check| check["id"] == "primary-ready").expect("the check");
    assert_eq!(primary["outcome"], "wrong");
    assert_eq!(primary["see"], "docs/check.md#primary-ready");
    assert!(primary["cure"].as_str().is_some_and(|cure| !cure.is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_canaries_those_that_are_well_take_a_line() {
    let bench = Bench::open("many").await;
    let mut second = bench.kube.get("canaries.flagger.app", "shop", "frontend").expect("the Canary");
    second["metadata"] = json!({"name": "cart", "namespace": "shop"});
    second["spec"]["targetRef"]["name"] = "cart".into();
    bench.put(second);
    let said = bench.vexil("check -n shop");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("\nCanary cart.shop\n"), "{}", said.out);
    assert!(said.out.contains("\n✓ Canary frontend.shop  "), "{}", said.out);
    assert!(bench.vexil("check -n shop --verbose").out.contains("\nCanary frontend.shop\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_docs_show_what_is_printed() {
    let bench = Bench::open("docs").await;
    canary::budget(&bench);
    canary::no_endpoints(&bench);
    let said = bench.vexil(SHOP);
    let lines = said.out.lines().map(|line| {
        // What differs from time to time.
        let line = line.replace(&bench.url, "https://10.0.0.1:6443").replace("context bench", "context prod");
        match line.split_once("(renewed ") {
            Some((before, _)) => format!("{before}(renewed 1 s ago)"),
            None => line,
        }
    });
    let text: String = lines.map(|line| line + "\n").collect();
    let shown = format!("\n```console\n$ vexil {SHOP}\n{text}```\n\n");
    holds_between("docs/check.md", "<!-- output: begin", "<!-- output: end", &shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_never_printed() {
    let bench = Bench::open("secrets").await;
    bench.patch("secrets", "shop", "slack", json!({"data": {"address": "czNjcjN0"}}));
    for line in [SHOP.to_owned(), format!("{SHOP} -o json")] {
        let said = bench.vexil(&line);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(!said.out.contains("s3cr3t") && !said.out.contains("czNjcjN0"), "{}", said.out);
    }
}
