//! The template language, by example.

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::metrics::testing::{check, podinfo};
use crate::model::release::Reference;

fn values() -> Variables {
    Variables {
        name: "podinfo".into(),
        namespace: "test".into(),
        target: "podinfo-app".into(),
        service: "podinfo-svc".into(),
        ingress: "podinfo-ing".into(),
        route: "podinfo-route".into(),
        interval: "1m".into(),
        variables: [("direction", "inbound"), ("x-y", "dash"), ("empty", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    }
}

fn render(source: &str) -> Result<String, String> {
    Template::parse(source).and_then(|template| template.render(&values())).map_err(|error| error.to_string())
}

#[test]
fn a_check_fills_in_the_names_of_its_release() {
    // spec: 04/TP-01
    let mut release = podinfo();
    release.name = "a".into();
    release.target.name = "b".into();
    let named = |name: &str| {
        let (api_version, kind, namespace) = Default::default();
        Some(Reference { api_version, kind, name: name.into(), namespace })
    };
    (release.apex, release.ingress, release.route) = ("c".into(), named("d"), named("e"));
    let mut check = check();
    check.interval = "90s".into();
    check.variables.insert("x".into(), "f".into());
    let template = "{{ name }} {{ namespace }} {{ target }} {{ service }} {{ ingress }} {{ route }} {{ interval }} {{ variables.x }}";
    let query = Template::parse(template).unwrap().render(&variables(&release, &check)).unwrap();
    assert_eq!("a test b c d e 90s f", query);
}

#[rstest]
#[case::plain("sum(up)", "sum(up)")]
#[case::empty("", "")]
#[case::blank(" \n", "")]
#[case::tight("{{target}}", "podinfo-app")]
#[case::variable("{{ variables.direction }}", "inbound")]
#[case::index("{{ index variables \"x-y\" }}", "dash")]
#[case::index_of_nothing("[{{ index variables \"nope\" }}]", "[]")]
#[case::map("{{ variables }}", "map[direction:inbound empty: x-y:dash]")]
#[case::printf("{{ printf \"kube_%s__%s\" namespace ingress }}", "kube_test__podinfo-ing")]
#[case::pipe("{{ target | printf \"%q\" }}", "\"podinfo-app\"")]
#[case::long_pipe("{{ target | len | printf \"%03d\" }}", "011")]
#[case::parentheses("{{ len (printf \"%s-%s\" name namespace) }}", "12")]
#[case::raw_string("{{ printf `%s\\d` name }}", "podinfo\\d")]
#[case::trimmed("a {{- name -}} b", "apodinfob")]
#[case::comment("a{{/* nothing */}}b", "ab")]
#[case::own_variable("{{ $x := target }}{{ $x }}/{{ $x }}", "podinfo-app/podinfo-app")]
#[case::if_else("{{ if eq namespace \"prod\" }}1{{ else if variables.empty }}2{{ else }}3{{ end }}", "3")]
#[case::with("{{ with variables.direction }}d={{ . }}{{ end }}", "d=inbound")]
#[case::with_map("{{ with variables }}{{ .direction }}{{ end }}", "inbound")]
#[case::range(
    "{{ range $k, $v := variables }}{{ $k }}={{ $v }},{{ end }}",
    "direction=inbound,empty=,x-y=dash,"
)]
#[case::and_or("{{ and name \"a\" }}{{ or variables.empty \"b\" }}{{ not name }}", "abfalse")]
#[case::compare("{{ lt 1 2 }}{{ le 2 2 }}{{ gt 1 2 }}{{ ge 2 2 }}{{ ne 1 2 }}", "truetruefalsetruetrue")]
#[case::escapers("{{ urlquery \"a b&c\" }} {{ html \"<\" }} {{ js \"'\" }}", "a+b%26c &lt; \\'")]
#[case::slice("{{ slice name 0 3 }}", "pod")]
#[case::prints("{{ print 1 2 }}{{ println \"x\" }}", "1 2x\n")]
#[case::defined(
    "{{ define \"m\" }}ns=\"{{ . }}\"{{ end }}{ {{ template \"m\" namespace }} }",
    "{ ns=\"test\" }"
)]
#[case::block("{{ block \"m\" name }}<{{ . }}>{{ end }}", "<podinfo>")]
#[case::not_escaped("{{ printf \"%s\" \"a\\\"b\" }}", "a\"b")]
#[case::published(
    "sum(rate(x{namespace=\"{{ namespace }}\",status!=\"{{ interval }}\"pod=~\"{{ target }}-.*\"}[{{ interval }}]))",
    "sum(rate(x{namespace=\"test\",status!=\"1m\"pod=~\"podinfo-app-.*\"}[1m]))"
)]
fn templates_render_as_in_go(#[case] source: &str, #[case] expected: &str) {
    // spec: 04/TP-01 04/TP-02 04/TP-04
    assert_eq!(Ok(expected.to_owned()), render(source));
}

#[rstest]
#[case::unknown_function("a\n  {{ nope }}", "template: query:2:6: function \"nope\" not defined")]
#[case::as_an_argument("{{ printf \"%s\" nope }}", "template: query:1:16: function \"nope\" not defined")]
#[case::in_a_branch(
    "{{ if false }}{{ nope.x }}{{ end }}",
    "template: query:1:18: function \"nope\" not defined"
)]
#[case::in_a_definition(
    "{{ define \"d\" }}{{ nope }}{{ end }}",
    "template: query:1:20: function \"nope\" not defined"
)]
fn a_function_that_does_not_exist_is_found_where_it_stands(#[case] source: &str, #[case] expected: &str) {
    // spec: 04/TP-03
    assert_eq!(Err(format!("template parsing failed: {expected}")), render(source));
}

#[rstest]
#[case::dash("{{ variables.x-y }}")]
#[case::open("sum({{ target )")]
#[case::empty_action("{{ }}")]
#[case::open_string("{{ printf \"%s }}")]
#[case::twice("{{ define \"a\" }}x{{ end }}{{ define \"a\" }}y{{ end }}")]
fn what_is_not_a_template_is_refused_with_its_place(#[case] source: &str) {
    // spec: 04/TP-03
    let error = Template::parse(source).unwrap_err();
    assert!(error.to_string().starts_with("template parsing failed: template: query:1:"), "{error}");
    assert!(error.place().is_some());
}

#[rstest]
#[case::no_end("{{ if name }}x", "1:4: {{if}} has no {{end}}")]
#[case::inner_end_only("a\n{{- range variables -}}\n{{ with . }}x{{ end }}", "2:5: {{range}} has no {{end}}")]
#[case::stray_end("sum(x){{ end }} > 5", "1:10: unexpected {{end}}")]
#[case::stray_else("a {{- else -}} b", "1:7: unexpected {{else}}")]
#[case::two_ends("{{ if name }}x{{ end }}{{end}}", "1:26: unexpected {{end}}")]
#[case::two_elses("{{ if name }}x{{ else }}y{{ else }}z{{ end }}", "1:29: unexpected token: Else")]
#[case::else_of_a_definition("{{ define \"a\" }}x{{ else }}y{{ end }}", "1:21: unexpected token: Else")]
fn a_block_without_its_end_does_not_swallow_the_query(#[case] source: &str, #[case] expected: &str) {
    // spec: 04/TP-03
    assert_eq!(Err(format!("template parsing failed: template: query:{expected}")), render(source));
}

#[rstest]
#[case::in_a_text("{{ \"}} {{ end }}\" }}", "}} {{ end }}")]
#[case::in_a_raw_text("{{ `\\` }}{{ `{{ if` }}", "\\{{ if")]
#[case::escaped_quote("{{ \"\\\"}}{{ end }}\" }}", "\"}}{{ end }}")]
#[case::in_a_comment("a{{/* }} {{ if x }} {{ end */}}b", "ab")]
#[case::in_a_trimmed_comment("a {{- /* {{ end }} */ -}} b", "ab")]
#[case::part_of_a_name("{{ $ended := name }}{{ $ended }}{{ index variables \"end\" }}", "podinfo")]
#[case::else_chain("{{ if false }}1{{ else if false }}2{{ else with \"\" }}3{{ else }}4{{ end }}", "4")]
fn words_that_are_no_keywords_do_not_count(#[case] source: &str, #[case] expected: &str) {
    assert_eq!(Ok(expected.to_owned()), render(source));
}

#[rstest]
#[case::missing("a\nb{{ variables.nope }}", "template: query:2:5: map has no entry for key \"nope\"")]
#[case::field("{{ .Name }}", "template: query:1:4: map has no entry for key \"Name\"")]
#[case::field_of_a_text("{{ name.x }}", "template: query: can't evaluate field x in type string")]
#[case::too_many("{{ name 1 }}", "template: query: wrong number of arguments: name expects 0, got 1")]
#[case::no_such_variable("{{ $x }}", "template: query:1:4: undefined variable \"$x\"")]
#[case::no_such_template("{{ template \"x\" }}", "template: query: undefined template: x")]
#[case::wrong_index("{{ index name \"a\" }}", "template: query: cannot index string with type string")]
fn what_does_not_fit_the_values_is_refused(#[case] source: &str, #[case] expected: &str) {
    // spec: 04/TP-02 04/TP-03
    assert_eq!(Err(format!("template excution failed: {expected}")), render(source));
}

#[test]
fn a_variable_is_missing_when_there_are_none() {
    let template = Template::parse("{{ variables.x }}").unwrap();
    let error = template.render(&Variables::default()).unwrap_err();
    assert!(error.to_string().ends_with("map has no entry for key \"x\""), "{error}");
}

#[rstest]
#[case::doubling(
    "{{ $x := \"a\" }}{{ range 64 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}",
    "a value is longer than 4096 bytes"
)]
#[case::doubling_in_a_pipe(
    "{{ $x := \"a\" }}{{ range 64 }}{{ $x = $x | printf \"%s%s\" $x }}{{ end }}",
    "a value is longer than 4096 bytes"
)]
#[case::doubling_calls(
    "{{ define \"t\" }}{{ template \"t\" (print . .) }}{{ end }}{{ template \"t\" \"a\" }}",
    "a value is longer than 4096 bytes"
)]
#[case::wide("{{ printf \"%65535d\" 1 }}", "format \"%65535d\" has a width over 999")]
#[case::wide_piped("{{ \"%65535d\" | printf }}", "format \"%65535d\" has a width over 999")]
#[case::wide_by_argument("{{ printf \"%*d\" 9999 1 }}", "format \"%*d\" has a width over 999")]
#[case::long_loop("{{ range 1000000000 }}{{ end }}", "range iteration budget exhausted")]
#[case::long_output("{{ range 9999 }}0123456789{{ end }}", "the query is longer than 65536 bytes")]
#[case::endless(
    "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}",
    "recursion limit exceeded"
)]
#[case::branching(
    "{{ define \"t\" }}{{ if lt (len .) 60 }}{{ template \"t\" (print . \"x\") }}{{ template \"t\" (print . \"x\") }}{{ end }}{{ end }}{{ template \"t\" \"\" }}",
    "more than 100000 calls"
)]
fn a_hostile_template_gets_neither_memory_nor_time(#[case] source: &str, #[case] expected: &str) {
    assert_eq!(Err(format!("template excution failed: template: query: {expected}")), render(source));
}

#[test]
fn templates_that_call_each_other_twice_end_as_well() {
    let mut source = String::from("{{ template \"t0\" }}");
    for level in 0..60 {
        let next = level + 1;
        source += &format!(
            "{{{{ define \"t{level}\" }}}}{{{{ template \"t{next}\" }}}}{{{{ template \"t{next}\" }}}}{{{{ end }}}}"
        );
    }
    source += "{{ define \"t60\" }}{{ end }}";
    assert_eq!(
        Err("template excution failed: template: query: more than 100000 calls".to_owned()),
        render(&source)
    );
}

#[rstest]
#[case::parentheses("(", ")")]
#[case::branches("{{ if name }}", "{{ end }}")]
fn deep_nesting_is_an_error(#[case] open: &str, #[case] close: &str) {
    let inside = |depth: usize| match open {
        "(" => format!("{{{{ {}name{} }}}}", "(".repeat(depth), ")".repeat(depth)),
        _ => format!("{}{}", open.repeat(depth), close.repeat(depth)),
    };
    assert!(render(&inside(20)).is_ok());
    assert!(render(&inside(1000)).is_err());
}

#[test]
fn a_template_of_any_length_is_either_read_or_refused() {
    assert!(render(&"x".repeat(30_000)).is_ok());
    assert_eq!(
        Err("template parsing failed: template: query: the template is longer than 32768 bytes".to_owned()),
        render(&"x".repeat(40_000))
    );
}

proptest! {
    #[test]
    fn no_text_is_too_strange(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "{{", "}}", "{{-", "-}}", "{{ end }}", "{{else}}", "{{ if name }}", "{{ range variables }}", "with", "/*", "*/",
                "\"", "`", "'", "\\", "$x", ":=", "=", "|", "(", ")", ".", "printf", "\"%5d\"", "index", "variables",
                " ", "\n", "ä", "1", "name", "{{ define \"q\" }}", "{{ template \"q\" }}", "{{ break }}",
            ]),
            0..24,
        )
    ) {
        let source = pieces.concat();
        if let Ok(template) = Template::parse(&source) {
            let _ = template.render(&values());
        }
    }
}
