//! Routers in files: the ready ones under `route-templates/` keep the laws of all routers and tell their meshes what the
//! built-in routers tell them; what is wrong with one is found before a cluster sees it.

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rstest::rstest;
use serde_json::{Value, json};
use vexil::judge::Nowhere;
use vexil::judge::route_template::Subject;
use vexil::model::object::Kind;
use vexil::model::release::Settings;
use vexil::model::traffic::{RouteWish, Split};
use vexil::router::laws::{Trial, applied};
use vexil::router::registry;

mod release;

/// The ready templates, and the provider whose built-in router writes the same objects.
const READY: [(&str, &str); 11] = [
    ("apisix", "apisix"),
    ("appmesh", "appmesh:v1beta2"),
    ("contour", "contour"),
    ("gateway-api", "gatewayapi:v1"),
    ("gloo", "gloo"),
    ("istio", "istio"),
    ("kuma", "kuma"),
    ("linkerd", "linkerd"),
    ("nginx", "nginx"),
    ("smi", "smi:v1alpha2"),
    ("traefik", "traefik"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("route-templates")
}

fn template(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).expect("a template");
    serde_saphyr::from_str(&text).expect("YAML")
}

fn canary(provider: &str) -> Value {
    json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "frontend", "namespace": "shop", "uid": "u-1", "generation": 1},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "frontend"},
            "ingressRef": {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": "shop"},
            "routeRef": {"apiVersion": "apisix.apache.org/v2", "kind": "ApisixRoute", "name": "shop"},
            "service": {"port": 80, "gatewayRefs": [{"name": "public"}]},
            "analysis": {"interval": "30s", "threshold": 5, "maxWeight": 50, "stepWeight": 10},
        },
    })
}

/// What users bring, of which the built-in routers make theirs.
fn brought() -> Vec<Value> {
    vec![
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"rules": [{"host": "shop.example.com", "http": {"paths": [{
                "path": "/", "pathType": "Prefix", "backend": {"service": {"name": "frontend", "port": {"number": 80}}},
            }]}}]},
        }),
        json!({
            "apiVersion": "apisix.apache.org/v2",
            "kind": "ApisixRoute",
            "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"http": [{
                "name": "frontend", "match": {"hosts": ["shop.example.com"], "paths": ["/*"]},
                "backends": [{"serviceName": "frontend", "servicePort": 80}],
            }]},
        }),
    ]
}

fn built_in(provider: &str) -> Trial {
    let settings = Settings::default();
    let reading = vexil::judge::reading(&canary(provider), &settings, &Nowhere);
    let release = *reading.release.expect("a Canary that can be used");
    let mesh = registry::mesh_of(&release).expect("a mesh");
    let kinds: Vec<Kind> = mesh.rights.iter().map(|right| right.kind).collect();
    Trial { router: mesh.router, release, settings, kinds, wish: RouteWish::default(), before: brought() }
}

fn gets(percent: u32) -> RouteWish {
    RouteWish { split: Split::canary_gets(percent), ..RouteWish::default() }
}

#[test]
fn there_is_a_ready_template_for_each_of_ten_meshes_and_none_is_longer_than_forty_lines() {
    let mut found: Vec<String> = std::fs::read_dir(folder())
        .expect("the folder")
        .filter_map(|entry| {
            entry.expect("a file").file_name().into_string().ok()?.strip_suffix(".yaml").map(str::to_owned)
        })
        .collect();
    found.sort();
    assert_eq!(found, READY.map(|(name, _)| name));
    for name in found {
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).expect("a template");
        assert!(text.lines().count() < 40, "{name} has {} lines", text.lines().count());
    }
}

#[test]
fn the_ready_templates_keep_all_laws() {
    for (name, provider) in READY {
        for canary in [None, Some(canary(provider))] {
            let subject = Subject::new(&template(name), canary.as_ref(), Settings::default());
            let tried = subject.tried().unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            assert!(tried.len() >= 8, "{name}");
            for tried in tried {
                assert!(
                    tried.verdict.is_ok(),
                    "{name}, {}, {}: {:?}",
                    tried.release,
                    tried.law,
                    tried.verdict
                );
            }
        }
    }
}

#[test]
fn lint_finds_nothing_in_the_ready_templates() {
    for (name, _) in READY {
        let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).expect("a template");
        let input = vexil::lint::Input { name: format!("{name}.yaml"), text };
        let report = vexil::lint::lint(&[input], &vexil::lint::Options::default());
        assert!(report.looked_at == 1 && report.findings.is_empty(), "{name}: {:#?}", report.findings);
    }
}

#[test]
fn a_ready_template_tells_its_mesh_what_the_built_in_router_tells_it() {
    for (name, provider) in READY {
        let own = built_in(provider);
        let subject = Subject::new(&template(name), Some(&canary(provider)), Settings::default());
        let by_template = subject.trial(&json!({}), gets(0)).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        for percent in [0, 10, 50, 100] {
            let wish = gets(percent);
            let read =
                |state: Option<vexil::model::traffic::RouteState>| state.map(|state| state.split.canary());
            // What the template writes, in the eyes of the built-in router.
            let mut objects = own.before.clone();
            objects.extend(by_template.wished(&wish, &[]).expect("written"));
            assert_eq!(
                own.state(&objects).map(read),
                Ok(Some(percent)),
                "{name} at {percent}:\n{objects:#?}"
            );
            // And the other way round.
            let objects = applied(&own.before, &own.plan(&wish, &own.before).expect("planned"));
            assert_eq!(
                by_template.state(&objects).map(read),
                Ok(Some(percent)),
                "{name} reads {percent} of\n{objects:#?}"
            );
        }
    }
}

#[rstest]
#[case::the_wrong_way_round(
    "/spec/objects/0/template",
    "spec: {backends: [{name: {{ .canary }}, weight: {{ .primaryWeight }}}, {name: {{ .primary }}, weight: {{ .canaryWeight }}}]}",
    "what is written is read back, at every weight"
)]
#[case::no_weight_at_all(
    "/spec/objects/0/template",
    "spec: {backends: [{name: {{ .primary }}}, {name: {{ .canary }}}]}",
    "what is written is read back, at every weight"
)]
#[case::rounded(
    "/spec/objects/0/template",
    "spec: {backends: [{name: {{ .primary }}, weight: {{ if gt .canaryWeight 50 }}0{{ else }}1{{ end }}}, {name: {{ .canary }}, weight: {{ if gt .canaryWeight 50 }}1{{ else }}0{{ end }}}]}",
    "what is written is read back, at every weight"
)]
#[case::everybody_comes_first(
    "/spec/objects/0/template",
    "spec: {rules: [{backends: [{name: {{ .primary }}, weight: {{ if .matches }}100{{ else }}{{ .primaryWeight }}{{ end }}}, {name: {{ .canary }}, weight: {{ if .matches }}0{{ else }}{{ .canaryWeight }}{{ end }}}]}{{ range .matches }}, {if: {{ toJson .headers }}, backends: [{name: {{ $.primary }}, weight: {{ $.primaryWeight }}}, {name: {{ $.canary }}, weight: {{ $.canaryWeight }}}]}{{ end }}]}",
    "a share of the requests that match is not taken for everybody's"
)]
#[case::a_mirror_that_stays(
    "/spec/objects/0/template",
    "spec: {backends: [{name: {{ .primary }}, weight: {{ .primaryWeight }}}, {name: {{ .canary }}, weight: {{ .canaryWeight }}}]{{ if .mirror }}, copy: {to: {{ .canary }}}{{ end }}}",
    "what is written is read back, at every weight"
)]
fn a_template_that_breaks_a_law_is_found(#[case] field: &str, #[case] value: &str, #[case] law: &str) {
    let mut template = json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "RouteTemplate",
        "metadata": {"name": "lanes"},
        "spec": {"objects": [{
            "apiVersion": "mesh.example.com/v1",
            "kind": "Lane",
            "template": "spec: {backends: [{name: {{ .primary }}, weight: {{ .primaryWeight }}}, {name: {{ .canary }}, weight: {{ .canaryWeight }}}], copy: {{ if .mirror }}{to: {{ .canary }}}{{ else }}null{{ end }}}",
            "lists": {},
            "weights": {"backends": "spec.backends[]"},
            "mirror": "spec.copy",
        }]},
    });
    let broken = |template: &Value| -> Vec<&'static str> {
        let subject = Subject::new(template, None, Settings::default());
        let tried = subject.tried().unwrap_or_else(|problems| panic!("{problems:?}"));
        tried.into_iter().filter(|tried| tried.verdict.is_err()).map(|tried| tried.law).collect()
    };
    assert_eq!(broken(&template), Vec::<&str>::new(), "as it was");
    let object = &mut template["spec"]["objects"][0];
    if value.contains("rules:") {
        object["weights"]["backends"] = json!("spec.rules[].backends[]");
        object["match"] = json!({"conditions": ["headers.exact"]});
        object.as_object_mut().expect("an object").remove("mirror");
    }
    *template.pointer_mut(field).expect("a field") =
        if field.ends_with("lists") { serde_json::from_str(value).expect("JSON") } else { json!(value) };
    let found = broken(&template);
    assert!(found.contains(&law), "{found:?}");
}

fn vexil() -> Command {
    Command::cargo_bin("vexil").expect("the program")
}

#[test]
fn the_command_tells_what_holds_and_what_does_not_by_its_exit_code() {
    let tested = |text: String| {
        let mut command = vexil();
        let output = command.args(["router", "test", "-f", "-"]).write_stdin(text).output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stdout).expect("text"))
    };
    let (code, out) = tested(std::fs::read_to_string(folder().join("istio.yaml")).expect("a template"));
    assert!(code == Some(0) && out.ends_with("RouteTemplate istio: all 26 laws hold\n"), "{out}");
    let text = std::fs::read_to_string(folder().join("smi.yaml")).expect("a template");
    let (code, out) = tested(text.replace("weight: {{ .canaryWeight }}", "weight: 10"));
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("broken  weighted  what is written is read back, at every weight\n"), "{out}");
    assert!(out.contains("weights and mirror have to say where"), "the cure: {out}");
    assert!(out.contains("kind: TrafficSplit"), "the object: {out}");
}

#[test]
fn the_command_shows_what_would_be_written() {
    let shown = vexil()
        .args(["router", "test", "--print", "35", "-f"])
        .arg(folder().join("smi.yaml"))
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let object: Value = serde_saphyr::from_str(&String::from_utf8(shown).expect("text")).expect("YAML");
    assert_eq!(object["spec"]["backends"][0], json!({"service": "frontend-canary", "weight": 35}));
}

#[test]
fn a_file_without_a_template_is_no_template_that_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    vexil().args(["router", "test", "-f"]).arg(folder.join("crds/canary.yaml")).assert().code(2);
}

#[rstest]
#[case::no_fields("{kind: RouteTemplate, spec: 7}")]
#[case::no_metadata("{kind: RouteTemplate, metadata: 7, spec: {objects: 7}}")]
#[case::no_objects("{kind: RouteTemplate, metadata: {name: a}, spec: {objects: []}}")]
#[case::an_empty_one(
    "{kind: RouteTemplate, metadata: {name: a}, spec: {objects: [{apiVersion: a.b/v1, kind: C, template: ''}]}}"
)]
fn what_is_hardly_a_template_is_refused_in_words(#[case] text: &str) {
    let output = vexil().args(["router", "test", "-f", "-"]).write_stdin(text).output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be used: spec"), "{said}");
}
