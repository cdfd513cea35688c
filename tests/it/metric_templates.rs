//! The templates that we ship: each is one, and gives a query for a Canary.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vexil::manifest::decode;
use vexil::metrics::{Template, Variables, known};

#[test]
fn every_shipped_template_gives_a_query_without_holes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("metric-templates");
    let mut seen = 0;
    for provider in known() {
        for entry in fs::read_dir(folder.join(provider)).expect("a folder for each provider") {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).expect("a template");
            let object: Value = serde_saphyr::from_str(&text).expect("YAML");
            let template = decode::metric_template(&object)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(template.spec.provider.kind, provider, "{}", path.display());
            assert_eq!(template.metadata.name.as_deref(), path.file_stem().and_then(|name| name.to_str()));
            let variables = Variables {
                namespace: "shop".into(),
                target: "frontend".into(),
                interval: "1m".into(),
                ..Variables::default()
            };
            let query =
                Template::parse(&template.spec.query).and_then(|template| template.render(&variables));
            let query = query.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(query.contains("shop") && query.contains("frontend") && !query.contains("{{"), "{query}");
            assert_eq!(query.matches('(').count(), query.matches(')').count(), "{query}");
            assert!(
                text.contains(&format!(
                    "templateRef: {{name: {}}}",
                    template.metadata.name.unwrap_or_default()
                ))
            );
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen} templates");
}
