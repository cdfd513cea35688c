//! A controller as its Deployment describes it: whose program it is, and with which flags it runs.

use serde_json::Value;

use crate::cli::check::asker::Account;
use crate::cli::go_flags::{self, ControllerFlags};

/// Whose program a container runs, as far as its image and arguments tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Program {
    Vexil,
    Flagger,
    Unknown,
}

/// A Deployment that runs a controller.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Instance {
    pub deployment: Value,
    pub container: Value,
    pub program: Program,
    pub flags: Result<ControllerFlags, String>,
}

impl Instance {
    /// The controller that `deployment` runs, if it runs one.
    pub(in crate::cli) fn of(deployment: Value) -> Option<Self> {
        let containers = deployment["spec"]["template"]["spec"]["containers"].as_array()?;
        let container = containers.iter().find(|container| is_controller(container))?.clone();
        let words = words(&container);
        let flags = match go_flags::parse(&words, |name| variable(&container, name)) {
            Ok(go_flags::Asked::Run(flags)) => Ok(*flags),
            Ok(_) => Err("it is told to print something and to end".to_owned()),
            Err(refused) => Err(refused.message),
        };
        Some(Self { program: program(&container), flags, container, deployment })
    }

    pub(in crate::cli) fn namespace(&self) -> &str {
        self.deployment["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    pub(in crate::cli) fn name(&self) -> &str {
        self.deployment["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// `vexil.vexil-system`.
    pub(in crate::cli) fn title(&self) -> String {
        format!("{}.{}", self.name(), self.namespace())
    }

    pub(in crate::cli) fn image(&self) -> &str {
        self.container["image"].as_str().unwrap_or_default()
    }

    /// The arguments of its program, without the subcommand.
    pub(in crate::cli) fn words(&self) -> Vec<String> {
        words(&self.container)
    }

    /// How many pods it should have.
    pub(in crate::cli) fn wanted(&self) -> i64 {
        self.deployment["spec"]["replicas"].as_i64().unwrap_or(1)
    }

    /// The labels of its pods, as a selector.
    pub(in crate::cli) fn selector(&self) -> String {
        let spec = &self.deployment["spec"];
        // A selector of expressions alone would mean all pods here: what they have to be is in their template.
        let labels = [&spec["selector"]["matchLabels"], &spec["template"]["metadata"]["labels"]];
        let labels = labels.into_iter().filter_map(Value::as_object).find(|labels| !labels.is_empty());
        let label = |(key, value): (&String, &Value)| format!("{key}={}", value.as_str().unwrap_or_default());
        labels.into_iter().flatten().map(label).collect::<Vec<_>>().join(",")
    }

    pub(in crate::cli) fn account(&self) -> Account {
        let pod = &self.deployment["spec"]["template"]["spec"];
        let name = pod["serviceAccountName"].as_str().filter(|name| !name.is_empty()).unwrap_or("default");
        Account { namespace: self.namespace().to_owned(), name: name.to_owned() }
    }

    /// The one namespace that it works in, empty for all; `None` if its flags cannot be read.
    pub(in crate::cli) fn works_in(&self) -> Option<&str> {
        self.flags.as_ref().ok().map(|flags| flags.namespace.as_str())
    }

    /// Whether it only says what it would do (`-shadow`).
    pub(in crate::cli) fn is_shadow(&self) -> bool {
        self.flags.as_ref().is_ok_and(|flags| flags.shadow)
    }

    /// Whether both work on Canaries of a common namespace. A shadow works on none.
    pub(in crate::cli) fn meets(&self, other: &Self) -> bool {
        if self.is_shadow() || other.is_shadow() {
            return false;
        }
        match (self.works_in(), other.works_in()) {
            (Some(a), Some(b)) => a.is_empty() || b.is_empty() || a == b,
            _ => true,
        }
    }

    /// Whether the two elect a leader between them.
    pub(in crate::cli) fn elects_with(&self, other: &Self) -> bool {
        match (&self.flags, &other.flags) {
            (Ok(a), Ok(b)) => {
                a.enable_leader_election
                    && b.enable_leader_election
                    && a.lease_namespace() == b.lease_namespace()
            }
            _ => false,
        }
    }
}

/// The arguments behind the program's name, without the subcommand.
fn words(container: &Value) -> Vec<String> {
    let list = |field: &str| {
        let words = container[field].as_array().into_iter().flatten();
        words.filter_map(|word| word.as_str().map(str::to_owned)).collect::<Vec<String>>()
    };
    let mut words: Vec<String> = list("command").into_iter().skip(1).chain(list("args")).collect();
    if words.first().is_some_and(|word| word == "controller") {
        words.remove(0);
    }
    words
}

/// A variable of the container whose value stands in it.
fn variable(container: &Value, name: &str) -> Option<String> {
    let variables = container["env"].as_array()?;
    let variable = variables.iter().find(|variable| variable["name"] == name)?;
    variable["value"].as_str().map(str::to_owned)
}

fn is_controller(container: &Value) -> bool {
    let name = container["name"].as_str().unwrap_or_default();
    let called = ["flagger", "vexil"].contains(&name) || program(container) != Program::Unknown;
    // The load tester has the same image.
    let first = |field: &str| container[field][0].as_str().unwrap_or_default().to_owned();
    called && first("args") != "loadtester" && !first("command").ends_with("loadtester")
}

fn program(container: &Value) -> Program {
    let image = container["image"].as_str().unwrap_or_default();
    match base_name(image) {
        "flagger" => Program::Flagger,
        "vexil" => Program::Vexil,
        _ if container["args"][0] == "controller" => Program::Vexil,
        _ => Program::Unknown,
    }
}

/// The last part of an image's name, without tag and digest.
fn base_name(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
}

/// The tag of an image; `None` if it has none.
pub(in crate::cli) fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next().unwrap_or_default();
    name.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("registry.example.com:5000/team/vexil:0.1.0", "vexil", Some("0.1.0"))]
    #[case("ghcr.io/fluxcd/flagger:1.41.0@sha256:abc", "flagger", Some("1.41.0"))]
    #[case("registry.example.com:5000/vexil", "vexil", None)]
    #[case("vexil@sha256:abc", "vexil", None)]
    #[case("", "", None)]
    fn an_image_has_a_name_and_a_tag(
        #[case] image: &str,
        #[case] name: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!((name, expected), (base_name(image), tag(image)));
    }

    fn instance(container: Value) -> Option<Instance> {
        Instance::of(
            json!({"spec": {"template": {"spec": {"containers": [{"name": "sidecar"}, container]}}}}),
        )
    }

    #[rstest]
    #[case::chart(json!({"name": "flagger", "image": "x/vexil:1", "args": ["controller", "-namespace=shop"]}), Some(Program::Vexil))]
    #[case::renamed_image(json!({"name": "flagger", "image": "x/rollouts:1", "args": ["controller", "-namespace=shop"]}), Some(Program::Vexil))]
    #[case::flagger(json!({"name": "flagger", "image": "x/flagger:1", "command": ["./flagger", "-namespace", "shop"]}), Some(Program::Flagger))]
    #[case::load_tester(json!({"name": "vexil", "image": "x/vexil:1", "args": ["loadtester"]}), None)]
    #[case::another(json!({"name": "prometheus", "image": "prom/prometheus"}), None)]
    fn a_controller_is_known_by_its_container(#[case] container: Value, #[case] program: Option<Program>) {
        let found = instance(container);
        assert_eq!(program, found.as_ref().map(|it| it.program));
        if let Some(found) = found {
            assert_eq!(Some("shop"), found.works_in());
        }
    }

    #[test]
    fn a_shadow_meets_nobody() {
        let of = |args: &[&str]| {
            instance(json!({"name": "flagger", "image": "vexil", "args": args})).expect("a controller")
        };
        let (shadow, working) = (of(&["controller", "-shadow"]), of(&["controller"]));
        assert!(shadow.is_shadow() && !working.is_shadow());
        assert!(!shadow.meets(&working) && !working.meets(&shadow) && working.meets(&working));
    }

    #[test]
    fn two_meet_where_they_work_in_one_namespace() {
        let in_namespace = |name: &str| {
            let args = json!(["controller", format!("-namespace={name}")]);
            instance(json!({"name": "flagger", "image": "vexil", "args": args})).expect("a controller")
        };
        assert!(in_namespace("a").meets(&in_namespace("a")) && in_namespace("").meets(&in_namespace("a")));
        assert!(!in_namespace("a").meets(&in_namespace("b")));
    }
}
