//! What we write is what Istio's own schema accepts, without a field that the API server would drop in silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::api::analysis::SessionAffinity;
use crate::model::traffic::Cookies;

#[test]
fn the_crd_accepts_what_we_write() {
    let Some(schemas) = schemas() else { return };
    for (release, wish) in cases() {
        for object in fresh(&release, &wish) {
            let kind = object["kind"].as_str().unwrap_or_default();
            let schema = schemas.get(kind).unwrap_or_else(|| panic!("no schema of {kind}"));
            let validator = jsonschema::validator_for(schema).expect("a schema");
            let errors: Vec<_> = validator.iter_errors(&object).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:#?} in {object:#}");
            let mut dropped = Vec::new();
            unknown_fields(schema, &object, kind, &mut dropped);
            assert_eq!(dropped, [] as [String; 0], "{object:#}");
        }
    }
}

/// One of everything.
fn cases() -> Vec<(Release, RouteWish)> {
    let rich = shop(json!({
        "gateways": ["istio-ingress/public", "mesh"],
        "hosts": ["shop.example.com"],
        "portDiscovery": true,
        "match": [{"uri": {"prefix": "/"}, "ignoreUriCase": true, "withoutHeaders": {"x": {"exact": "y"}}}],
        "rewrite": {"uri": "/", "authority": "shop", "type": "ReplacePrefixMatch"},
        "timeout": "15s",
        "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "gateway-error"},
        "headers": {"request": {"add": {"a": "b"}, "set": {"c": "d"}, "remove": ["e"]}},
        "corsPolicy": {"allowOrigins": [{"exact": "https://a"}], "allowCredentials": false, "maxAge": "24h"},
        "trafficPolicy": {
            "connectionPool": {"http": {"http2MaxRequests": 100, "idleTimeout": "1h"}},
            "loadBalancer": {"consistentHash": {"httpCookie": {"name": "user", "ttl": "0s"}}},
            "outlierDetection": {"consecutive5xxErrors": 5, "interval": "10s"},
            "tls": {"mode": "ISTIO_MUTUAL"},
        },
        "apex": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
    }));
    let mut mirroring = rich.clone();
    mirroring.analysis.mirror_weight = Some(50);
    let mut sticky = rich.clone();
    sticky.analysis.session_affinity = Some(SessionAffinity {
        cookie_name: "ck".into(),
        primary_cookie_name: Some("pk".into()),
        ..Default::default()
    });
    let cookies =
        Cookies { canary: Some("ck=a".into()), primary: Some("pk=b".into()), previous: Some("ck=c".into()) };
    let matching = ab(
        json!([
            {"headers": {"x": {"regex": ".*"}}, "queryParams": {"q": {"exact": "1"}}},
            {"sourceLabels": {"app": "loadgenerator"}},
        ]),
        json!({"match": [{"uri": {"prefix": "/"}}]}),
    );
    vec![
        (shop(json!({})), wish(0)),
        (shop(json!({"delegation": true, "portDiscovery": true})), wish(50)),
        (shop(json!({"appProtocol": "tcp", "match": [{"port": 6379}]})), wish(30)),
        (rich, wish(100)),
        (mirroring, mirrored()),
        (sticky.clone(), RouteWish { cookies: cookies.clone(), ..wish(10) }),
        (sticky, RouteWish { cookies, ..wish(0) }),
        (matching, wish(100)),
    ]
}

/// The schemas of Istio's kinds, if the collection of CRDs lies beside the repository.
fn schemas() -> Option<BTreeMap<String, Value>> {
    // `file!` is relative to the repository when the crate is built in it.
    let source = Path::new(file!()).ancestors().find(|path| path.ends_with("src"))?;
    let path: PathBuf = source.parent()?.join("../shared/crds/istio.yaml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: no Istio CRDs at {}", path.display());
        return None;
    };
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("CRDs");
    let schema = |crd: &Value| {
        let versions = crd["spec"]["versions"].as_array()?;
        let version = versions.iter().find(|version| version["name"] == "v1beta1")?;
        Some((
            crd["spec"]["names"]["kind"].as_str()?.to_owned(),
            version["schema"]["openAPIV3Schema"].clone(),
        ))
    };
    Some(documents.iter().filter_map(schema).collect())
}

/// Paths of fields that the schema does not know.
fn unknown_fields(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = format!("{path}.{key}");
                if path.ends_with(".metadata") && path.matches('.').count() == 1
                    || ["apiVersion", "kind"].contains(&key.as_str())
                {
                    continue;
                }
                let inner = schema["properties"].get(key).or(schema.get("additionalProperties"));
                match inner {
                    Some(inner) => unknown_fields(inner, value, &path, found),
                    None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
                    None => found.push(path),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                unknown_fields(&schema["items"], item, path, found);
            }
        }
        _ => {}
    }
}
