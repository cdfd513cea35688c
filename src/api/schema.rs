//! From Rust types to the structural schemas that Kubernetes takes: no `null`, no formats that only the type system
//! knows, defaults only where they are meant; and the parts of a schema that are not a type's own.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A closed list of names: an enum that `of` parses once, so that whoever matches on it learns from the compiler what a
/// new name lacks.
macro_rules! names {
    ($(#[$about:meta])* $list:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $list {
            $($(#[$doc])* $variant,)+
        }

        impl $list {
            /// All of them, in the order in which people read them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// Their names in manifests.
            pub const NAMES: &[&str] = &[$($name),+];

            /// The name in manifests.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The one that a manifest calls `name`.
            pub fn of(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == name)
            }
        }
    };
}

names! {
    /// Types of a MetricTemplate's provider (spec 01 §2.1). `alertmanager` is additive.
    MetricBackend {
        /// Prometheus, or what speaks its API.
        Prometheus = "prometheus",
        /// InfluxDB.
        InfluxDb = "influxdb",
        /// Datadog.
        Datadog = "datadog",
        /// The cluster's external metrics API.
        ExternalMetrics = "externalmetrics",
        /// Google Cloud Monitoring.
        Stackdriver = "stackdriver",
        /// Amazon CloudWatch.
        CloudWatch = "cloudwatch",
        /// New Relic.
        NewRelic = "newrelic",
        /// Graphite.
        Graphite = "graphite",
        /// Dynatrace.
        Dynatrace = "dynatrace",
        /// Keptn.
        Keptn = "keptn",
        /// Splunk Observability Cloud.
        Splunk = "splunk",
        /// Prometheus's Alertmanager.
        Alertmanager = "alertmanager",
    }
}

names! {
    /// Types of an AlertProvider (spec 01 §2.2). Those from `webhook` on are additive.
    AlertService {
        /// Slack.
        Slack = "slack",
        /// Microsoft Teams.
        MsTeams = "msteams",
        /// Discord.
        Discord = "discord",
        /// Rocket.Chat.
        Rocket = "rocket",
        /// Google Chat.
        GoogleChat = "gchat",
        /// Any HTTP endpoint that takes JSON.
        Webhook = "webhook",
        /// Opsgenie.
        Opsgenie = "opsgenie",
        /// A room of Matrix.
        Matrix = "matrix",
        /// PagerDuty.
        PagerDuty = "pagerduty",
        /// Mails, through a mail server.
        Email = "email",
        /// The status of a commit on GitHub.
        GitHub = "github",
        /// Deployments of GitHub.
        GitHubDeployment = "githubdeployment",
    }
}

/// Pattern of intervals and time-outs. Open at the end, so that `1m30s` passes (and `5minutes`, unfortunately).
pub const DURATION: &str = "^[0-9]+(m|s)";

/// A default that the API server is to fill in. What serde's `default` says is for us alone and left out.
pub const DEFAULT: &str = "x-default";

/// The structural schema of `T`.
pub fn structural<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = generator.into_generator().into_root_schema_for::<T>();
    Structural.transform(&mut schema);
    schema.to_value()
}

/// An object of which nothing is checked and nothing dropped.
pub fn anything(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A number or a name.
pub fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}

/// `spec.ingressRef`.
pub fn ingress_ref(_: &mut SchemaGenerator) -> Schema {
    reference("Ingress")
}

/// `spec.routeRef`.
pub fn route_ref(_: &mut SchemaGenerator) -> Schema {
    reference("ApisixRoute")
}

/// A map to strings of which exactly one way to match is given.
pub fn header_matches(_: &mut SchemaGenerator) -> Schema {
    let ways = ["exact", "prefix", "suffix", "regex"];
    json_schema!({"type": "object", "additionalProperties": {
        "type": "object",
        "oneOf": each_required(&ways),
        "properties": strings(&ways),
    }})
}

/// A map to strings of which at most one way to match is given.
pub fn string_matches(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "additionalProperties": string_match()})
}

/// A string of which at most one way to match is given.
pub(super) fn string_match() -> Value {
    let ways = ["exact", "prefix", "regex"];
    let mut alternatives = vec![json!({"not": {"anyOf": each_required(&ways)}})];
    alternatives.extend(each_required(&ways));
    json!({"type": "object", "oneOf": alternatives, "properties": strings(&ways)})
}

/// One `required` a field, for `oneOf`.
pub(super) fn each_required(fields: &[&str]) -> Vec<Value> {
    fields.iter().map(|field| json!({"required": [field]})).collect()
}

/// Properties that are all strings.
pub(super) fn strings(fields: &[&str]) -> Value {
    fields
        .iter()
        .map(|field| ((*field).to_owned(), json!({"type": "string"})))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn reference(kind: &str) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["apiVersion", "kind", "name"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Accepted and not looked at."},
            "kind": {"type": "string", "enum": [kind], "description": "Kind of the object."},
            "name": {"type": "string", "description": "Name of the object."},
        },
    })
}

/// Turns what the derive says of a type into what the API server takes, innermost first: an optional enum is an
/// enum before it is optional.
struct Structural;

impl Transform for Structural {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        simplify(schema);
    }
}

fn simplify(schema: &mut Schema) {
    enumerate(schema);
    forget_null(schema);
    let Some(fields) = schema.as_object_mut() else { return };
    fields.remove("title");
    fields.remove("default");
    if let Some(default) = fields.remove(DEFAULT) {
        fields.insert("default".to_owned(), default);
    }
    // Numbers of the manifest are checked when they are read, with a message that names the field.
    if fields
        .get("format")
        .is_some_and(|format| ["double", "int64", "uint16"].iter().any(|known| format == known))
    {
        fields.remove("format");
    }
    if let Some(Value::String(description)) = fields.get_mut("description") {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
}

/// An enum whose variants carry docs comes as one alternative a variant.
fn enumerate(schema: &mut Schema) {
    let Some(alternatives) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let values: Option<Vec<Value>> = alternatives.iter().map(|one| one.get("const").cloned()).collect();
    if let Some(values) = values {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), "string".into());
        schema.insert("enum".to_owned(), values.into());
    }
}

/// An optional field is one that may be absent; a manifest that says `null` is dealt with by the API server.
fn forget_null(schema: &mut Schema) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    if let Some([one, null]) = alternatives.map(Vec::as_slice)
        && null.get("type").is_some_and(|name| name == "null")
        && let Some(Value::Object(one)) = Some(one.clone())
    {
        schema.remove("anyOf");
        for (key, value) in one {
            // A description of the field is better than one of its type.
            if schema.get(&key).is_none() {
                schema.insert(key, value);
            }
        }
    }
}
