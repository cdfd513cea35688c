//! The keys that the metadata of a hook of `type: load` may have, as its page lists them.

/// Keys with one meaning.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Their names; `header.*` stands for any that begins so.
    pub names: &'static [&'static str],
    /// The value that holds without them; empty if there is none.
    pub default: &'static str,
    /// What they say.
    pub about: &'static str,
}

/// All of them.
pub const KEYS: [Key; 15] = [
    Key {
        names: &["url"],
        default: "",
        about: "`http`, `https`, `grpc` or `grpcs` (below). Services of the Canary's own namespace (`podinfo-canary.test`, \
                `….test.svc`); others need `-load-hosts`",
    },
    Key { names: &["duration"], default: "1m", about: "shorter than `-timeout`" },
    Key { names: &["qps"], default: "10", about: "requests a second in all, up to `-load-max-qps` (1000)" },
    Key {
        names: &["connections"],
        default: "2",
        about: "each has one request at a time, up to `-load-max-connections` (100)",
    },
    Key { names: &["method"], default: "GET", about: "of a request over HTTP" },
    Key { names: &["body"], default: "", about: "of a request over HTTP" },
    Key { names: &["header.*"], default: "", about: "`header.Host` is what a gateway routes by" },
    Key {
        names: &["bodyBase64"],
        default: "",
        about: "the message of a call over gRPC, encoded as protobuf",
    },
    Key {
        names: &["service"],
        default: "",
        about: "which of a gRPC server's services its health check asks about",
    },
    Key { names: &["timeout"], default: "10s", about: "of one request" },
    Key { names: &["insecure"], default: "false", about: "take any certificate" },
    Key {
        names: &["minSuccessRate"],
        default: "",
        about: "percent of requests with a status below 400, of calls with the code `OK`",
    },
    Key {
        names: &["maxP50", "maxP90", "maxP95", "maxP99"],
        default: "",
        about: "the longest time (`500ms`) that so many percent may take",
    },
    Key {
        names: &["wait"],
        default: "false",
        about: "answer when the load has ended: 200 with its figures, or 500 with what was wrong. For `pre-rollout`; the hook's \
                `timeout` has to be longer than the load",
    },
    Key {
        names: &["report"],
        default: "false",
        about: "answer at once (202), and tell the *next* call if this load has failed",
    },
];

/// Whether a hook may have a key of this name. `type` and `task` say what is to be done, not how.
pub fn is_known(name: &str) -> bool {
    name.starts_with("header.") || matches!(name, "type" | "task") || names().any(|known| known == name)
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    KEYS.iter().flat_map(|key| key.names.iter().copied())
}
