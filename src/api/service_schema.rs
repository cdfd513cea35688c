//! Schema of those parts of `spec.service` that are handed on as they are (spec 01 §1.5). What it does not name is
//! dropped by the API server before we see it, as users know it.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::schema::{DEFAULT, each_required, string_match, strings};

/// `hosts`: names without a scheme. The bounds are far from what a route can have; without them the API server takes the
/// rule for too expensive.
pub fn hosts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 1024, "items": {
        "type": "string",
        "maxLength": 1024,
        "x-kubernetes-validations": [{
            "rule": "!self.contains('://')",
            "message": "is an address, not a host: write it without its scheme, like shop.example.com",
        }],
    }})
}

/// `match`: which requests the routes take.
pub fn request_matches(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {
        "type": "object",
        "properties": {
            "name": described("Name of the match.", string()),
            "uri": described("Path.", string_match()),
            "scheme": described("Scheme.", string_match()),
            "method": described("Method.", string_match()),
            "authority": described("Host.", string_match()),
            "headers": described("Header name to what its value must be.", map(string_match())),
            "withoutHeaders": described("Header name to what its value must not be.", map(string_match())),
            "queryParams": described("Query parameter to what its value must be.", map(string_match())),
            "ignoreUriCase": described("Take no notice of case in the path.", boolean()),
            "port": described("Port that the request is sent to.", integer()),
            "gateways": described("Gateways that the match is for.", list(string())),
            "sourceLabels": described("Labels of the pods that the request comes from.", map(string())),
            "sourceNamespace": described("Namespace that the request comes from.", string()),
        },
    }})
}

/// `retries`: of a request.
pub fn retries(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "properties": {
        "attempts": described("How often.", int32()),
        "perTryTimeout": described("Time-out of one try.", string()),
        "retryOn": described("Conditions under which a request is tried again, comma separated.", string()),
    }})
}

/// `headers`: what is added, set and removed.
pub fn header_operations(_: &mut SchemaGenerator) -> Schema {
    let operations = json!({"type": "object", "properties": {
        "add": described("Headers to add.", map(string())),
        "set": described("Headers to put in the place of those that are there.", map(string())),
        "remove": described("Headers to remove.", list(string())),
    }});
    json_schema!({"type": "object", "properties": {
        "request": described("On the way in.", operations.clone()),
        "response": described("On the way out.", operations),
    }})
}

/// `mirror`: further backends that get a copy of each request. An item without a backend would mirror to nowhere
/// and is refused.
pub fn mirrors(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {
        "type": "object",
        "required": ["backendRef"],
        "properties": {"backendRef": {
            "description": "The backend.",
            "type": "object",
            "required": ["name"],
            "properties": {
                "group": defaulted("", group()),
                "kind": defaulted("Service", kind()),
                "name": object_name(),
                "namespace": namespace(),
                "port": port(),
            },
            "x-kubernetes-validations": [{
                "message": "Must have port for Service reference",
                "rule": "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
            }],
        }},
    }})
}

/// `gatewayRefs`: the gateways that an HTTPRoute is attached to.
pub fn gateway_refs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 32, "items": {
        "type": "object",
        "required": ["name"],
        "properties": {
            "group": defaulted("gateway.networking.k8s.io", group()),
            "kind": defaulted("Gateway", kind()),
            "name": object_name(),
            "namespace": namespace(),
            "sectionName": described("One listener of the gateway.", section()),
            "port": port(),
        },
    }})
}

/// `corsPolicy`: cross-origin requests.
pub fn cors_policy(_: &mut SchemaGenerator) -> Schema {
    let ways = ["exact", "prefix", "regex"];
    json_schema!({"type": "object", "properties": {
        "allowOrigin": described("Origins, whole.", list(string())),
        "allowOrigins": described("Origins by exactly one of `exact`, `prefix`, `regex`.", list(json!({
            "type": "object",
            "oneOf": each_required(&ways),
            "properties": strings(&ways),
        }))),
        "allowMethods": described("Methods.", list(string())),
        "allowHeaders": described("Headers that a request may carry.", list(string())),
        "exposeHeaders": described("Headers that a script may read.", list(string())),
        "maxAge": described("How long a browser may keep the answer.", string()),
        "allowCredentials": described("Whether credentials may be sent.", boolean()),
    }})
}

/// `trafficPolicy`: of both DestinationRules (Istio).
pub fn traffic_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "properties": {
        "connectionPool": described("Connections.", json!({"type": "object", "properties": {"http": {
            "description": "HTTP connections.",
            "type": "object",
            "properties": {
                "h2UpgradePolicy": {"type": "string", "enum": ["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"]},
                "http1MaxPendingRequests": int32(),
                "http2MaxRequests": int32(),
                "idleTimeout": string(),
                "maxRequestsPerConnection": int32(),
                "maxRetries": int32(),
            },
        }}})),
        "loadBalancer": described("How a pod is chosen; exactly one of `simple`, `consistentHash`.", load_balancer()),
        "outlierDetection": described("When a pod is left out.", json!({"type": "object", "properties": {
            "baseEjectionTime": string(),
            "consecutive5xxErrors": integer(),
            "consecutiveErrors": int32(),
            "consecutiveGatewayErrors": int32(),
            "consecutiveLocalOriginFailures": int32(),
            "interval": string(),
            "maxEjectionPercent": int32(),
            "minHealthPercent": int32(),
            "splitExternalLocalOriginErrors": boolean(),
        }})),
        "tls": described("TLS towards the pods.", json!({"type": "object", "properties": {
            "mode": {"type": "string", "enum": ["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"]},
            "clientCertificate": string(),
            "privateKey": string(),
            "caCertificates": string(),
            "sni": string(),
            "subjectAltNames": list(string()),
        }})),
    }})
}

fn load_balancer() -> Value {
    let hashes = ["httpHeaderName", "httpCookie", "useSourceIp", "httpQueryParameterName"];
    let policies = ["ROUND_ROBIN", "LEAST_CONN", "RANDOM", "PASSTHROUGH", "LEAST_REQUEST"];
    json!({
        "type": "object",
        "oneOf": [
            {"required": ["simple"]},
            {"required": ["consistentHash"], "properties": {"consistentHash": {"oneOf": each_required(&hashes)}}},
        ],
        "properties": {
            "simple": {"type": "string", "enum": policies},
            "consistentHash": {"type": "object", "properties": {
                "httpHeaderName": string(),
                "httpCookie": {"type": "object", "properties": strings(&["name", "path", "ttl"])},
                "httpQueryParameterName": string(),
                "useSourceIp": boolean(),
                "minimumRingSize": integer(),
            }},
            "localityLbSetting": {"type": "object", "properties": {
                "enabled": boolean(),
                "distribute": list(json!({
                    "type": "object",
                    "properties": {"from": string(), "to": map(integer())},
                })),
                "failover": list(json!({"type": "object", "properties": strings(&["from", "to"])})),
            }},
            "warmupDurationSecs": string(),
        },
    })
}

fn string() -> Value {
    json!({"type": "string"})
}

fn boolean() -> Value {
    json!({"type": "boolean"})
}

fn integer() -> Value {
    json!({"type": "integer"})
}

fn int32() -> Value {
    json!({"type": "integer", "format": "int32"})
}

fn map(of: Value) -> Value {
    json!({"type": "object", "additionalProperties": of})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn group() -> Value {
    json!({"type": "string", "maxLength": 253, "pattern": format!("^$|{SUBDOMAIN}"), "description": "API group."})
}

fn kind() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
        "description": "Kind of the object.",
    })
}

fn object_name() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 253, "description": "Name of the object."})
}

fn namespace() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "description": "Namespace of the object; the Canary's when unset.",
    })
}

fn section() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": SUBDOMAIN})
}

fn port() -> Value {
    json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535, "description": "Port number."})
}

fn described(description: &str, mut schema: Value) -> Value {
    schema["description"] = description.into();
    schema
}

fn defaulted(default: &str, mut schema: Value) -> Value {
    schema[DEFAULT] = default.into();
    schema
}

/// A DNS subdomain.
const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
