//! Checks of the cluster itself: its version and our CRDs.

use serde_json::Value;

use crate::api::crds;
use crate::model::object::Kind;

use super::asker::{Asked, Asker};
use super::finding::{Check, Finding};

pub(in crate::cli) const CRD: Kind =
    Kind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions")
        .cluster_wide();

/// What there is to know of the cluster.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Kubernetes {
    /// The cluster, for people.
    pub name: String,
    /// `major` and `minor`, as the API server says them.
    pub version: (String, String),
    /// Our CRDs by their names.
    pub crds: Vec<(String, Asked<Option<Value>>)>,
}

impl Kubernetes {
    pub(in crate::cli) async fn fetch(asker: &Asker, version: (String, String)) -> Self {
        let mut found = Vec::new();
        for crd in crds::crds() {
            let name = crd.metadata.name.unwrap_or_default();
            found.push((name.clone(), asker.get(&CRD.at("", &name)).await));
        }
        Self { name: asker.cluster.name.to_string(), version, crds: found }
    }
}

/// Checks of the cluster, before and after the installation.
pub(in crate::cli) const CLUSTER: &[Check<Kubernetes>] = &[
    Check {
        id: "api-answers",
        title: "the API server answers",
        judge: |it| Finding::fine(it.name.clone()).alone(),
    },
    Check { id: "api-version", title: "its version is one that Vexil works with", judge: version },
];

fn version(it: &Kubernetes) -> Vec<Finding> {
    let (major, minor) = &it.version;
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().ok();
    let shown = format!("{major}.{minor}");
    let finding = match (number(major), number(minor)) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => Finding::fine(shown),
        (Some(_), Some(_)) => Finding::wrong(
            format!("it is {shown}: EndpointSlices and autoscaling/v2 came with {}.{}", OLDEST.0, OLDEST.1),
            "upgrade the cluster",
        ),
        _ => Finding::warning(
            format!("it calls itself {shown:?}, which is no version of Kubernetes"),
            "ask /version of the API server: is a proxy in between?",
        ),
    };
    finding.alone()
}

/// The check of the CRDs before the installation.
pub(in crate::cli) const CRDS_BEFORE: &[Check<Kubernetes>] =
    &[Check { id: "crds-fit", title: "the CRDs are absent, or fit", judge: fit }];

fn fit(it: &Kubernetes) -> Vec<Finding> {
    let each = it.crds.iter().map(|(name, crd)| {
        let finding = match crd {
            Err(why) => Finding::unasked(why),
            Ok(None) => Finding::fine("not there yet"),
            Ok(Some(crd)) if !serves(crd) => not_served(crd),
            Ok(Some(crd)) => lacking(name, crd).unwrap_or_else(|| Finding::fine("there already")),
        };
        finding.about(name.as_str())
    });
    each.collect()
}

/// Checks of the CRDs after the installation.
pub(in crate::cli) const CRDS: &[Check<Kubernetes>] = &[
    Check { id: "crds-there", title: "the CRD is there and established", judge: there },
    Check {
        id: "crds-version",
        title: "the CRD serves v1beta1",
        judge: |it| {
            each_crd(it, |_, crd| Some(if serves(crd) { Finding::fine("") } else { not_served(crd) }))
        },
    },
    Check {
        id: "crds-fields",
        title: "the CRD has all of Vexil's fields",
        judge: |it| {
            each_crd(it, |name, crd| lacking(name, crd).or_else(|| serves(crd).then(|| Finding::fine(""))))
        },
    },
];

/// A finding of each CRD that is there.
fn each_crd(it: &Kubernetes, judge: impl Fn(&str, &Value) -> Option<Finding>) -> Vec<Finding> {
    let of = |(name, crd): &(String, Asked<Option<Value>>)| {
        let crd = crd.as_ref().ok()?.as_ref()?;
        judge(name, crd).map(|finding| finding.about(name.as_str()))
    };
    it.crds.iter().filter_map(of).collect()
}

fn there(it: &Kubernetes) -> Vec<Finding> {
    let each = it.crds.iter().map(|(name, crd)| {
        let finding = match crd {
            Err(why) => Finding::unasked(why),
            // It is Vexil's own: Flagger's CRDs do without it.
            Ok(None) if name == "routetemplates.flagger.app" => {
                Finding::fine("not installed, and only needed for spec.routeTemplateRef")
            }
            Ok(None) => Finding::wrong("it is not installed", apply()),
            Ok(Some(crd)) => match refused(crd) {
                Some(why) => Finding::wrong(why, "kubectl describe crd says more; mend it, or apply it anew"),
                None => Finding::fine(""),
            },
        };
        finding.about(name.as_str())
    });
    each.collect()
}

/// Why the API server does not serve the CRD, as it says itself.
fn refused(crd: &Value) -> Option<String> {
    let conditions = crd["status"]["conditions"].as_array()?;
    let text = |condition: &Value| condition["message"].as_str().unwrap_or_default().to_owned();
    let bad = conditions.iter().find(|condition| {
        (condition["type"] == "Established" || condition["type"] == "NamesAccepted")
            && condition["status"] == "False"
    })?;
    Some(format!("the API server does not take it: {}", text(bad)))
}

fn versions(crd: &Value) -> impl Iterator<Item = &Value> {
    crd["spec"]["versions"].as_array().into_iter().flatten()
}

fn serves(crd: &Value) -> bool {
    versions(crd).any(|version| version["name"] == VERSION && version["served"] == true)
}

fn not_served(crd: &Value) -> Finding {
    let names: Vec<&str> = versions(crd).filter_map(|version| version["name"].as_str()).collect();
    Finding::wrong(format!("it does not serve {VERSION} (it has {})", names.join(", ")), apply())
}

/// What is said of a CRD that lacks fields of ours.
fn lacking(name: &str, crd: &Value) -> Option<Finding> {
    let ours = crds::crds().into_iter().find(|crd| crd.metadata.name.as_deref() == Some(name))?;
    let ours = serde_json::to_value(ours).ok()?;
    let schema = |crd: &Value| {
        let version = versions(crd).find(|version| version["name"] == VERSION)?.clone();
        Some((version["schema"]["openAPIV3Schema"].clone(), version["subresources"]["status"].is_object()))
    };
    let ((ours, has_status), (theirs, their_status)) = (schema(&ours)?, schema(crd)?);
    let mut missing = Vec::new();
    compare(&ours, &theirs, "", &mut missing);
    if has_status && !their_status {
        missing.push("the subresource status".to_owned());
    }
    if missing.is_empty() {
        return None;
    }
    let more = missing.len().saturating_sub(FEW);
    missing.truncate(FEW);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(Finding::warning(
        format!(
            "it lacks {}{more}: the API server drops these fields without a word, so that what they ask for is not done",
            missing.join(", ")
        ),
        format!("it is Flagger's or an older one, and Helm never upgrades CRDs: {}", apply()),
    ))
}

/// The fields of `ours` that `theirs` would not keep.
fn compare(ours: &Value, theirs: &Value, path: &str, missing: &mut Vec<String>) {
    if theirs["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    if ours["items"].is_object() {
        compare(&ours["items"], &theirs["items"], path, missing);
    }
    for (name, field) in ours["properties"].as_object().into_iter().flatten() {
        let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
            continue;
        }
        match theirs["properties"].get(name) {
            Some(their) => compare(field, their, &at, missing),
            None => missing.push(at),
        }
    }
}

fn apply() -> String {
    format!("{} crds | kubectl apply --server-side --force-conflicts -f -", crate::cli::print::program())
}

/// The version of our API.
const VERSION: &str = "v1beta1";
/// The oldest Kubernetes that serves all built-in kinds that we use.
const OLDEST: (u32, u32) = (1, 23);
/// How many fields are named.
const FEW: usize = 4;

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::super::finding::Outcome;
    use super::*;

    #[rstest]
    #[case("1", "37", Outcome::Fine)]
    #[case("1", "23+", Outcome::Fine)]
    #[case("2", "0", Outcome::Fine)]
    #[case("1", "22", Outcome::Wrong)]
    #[case("", "x", Outcome::Warning)]
    fn an_old_cluster_is_told_of(#[case] major: &str, #[case] minor: &str, #[case] outcome: Outcome) {
        let it = Kubernetes { name: String::new(), version: (major.into(), minor.into()), crds: Vec::new() };
        assert_eq!(outcome, version(&it)[0].outcome);
    }

    fn ours(name: &str) -> Value {
        let crd = crds::crds().into_iter().find(|crd| crd.metadata.name.as_deref() == Some(name));
        serde_json::to_value(crd.expect("a CRD")).expect("JSON")
    }

    #[test]
    fn our_own_crds_lack_nothing() {
        for name in ["canaries.flagger.app", "metrictemplates.flagger.app", "alertproviders.flagger.app"] {
            assert_eq!(None, lacking(name, &ours(name)));
        }
    }

    #[rstest]
    #[case::in_a_list(
        "/schema/openAPIV3Schema/properties/spec/properties/analysis/properties/webhooks/items/properties/signature",
        "spec.analysis.webhooks.signature"
    )]
    #[case::of_the_status("/schema/openAPIV3Schema/properties/status/properties/blockers", "status.blockers")]
    #[case::subresource("/subresources/status", "the subresource status")]
    fn a_field_that_would_be_dropped_is_named(#[case] place: &str, #[case] said: &str) {
        let mut crd = ours("canaries.flagger.app");
        let (parent, field) = place.rsplit_once('/').expect("a path");
        for version in crd["spec"]["versions"].as_array_mut().expect("versions") {
            version.pointer_mut(parent).expect("a place").as_object_mut().expect("an object").remove(field);
        }
        let found = lacking("canaries.flagger.app", &crd).expect("a finding");
        assert!(found.says.contains(said), "{found:?}");
    }

    #[test]
    fn a_crd_that_keeps_everything_lacks_nothing() {
        let (mut missing, keeps) = (Vec::new(), json!({"x-kubernetes-preserve-unknown-fields": true}));
        compare(
            &json!({"properties": {"spec": {"properties": {"a": {}}}}}),
            &json!({"properties": {"spec": keeps}}),
            "",
            &mut missing,
        );
        assert!(missing.is_empty(), "{missing:?}");
    }
}
