//! What a history is made of: plain values that are drawn from a seed, run by `stage.rs`, and taken apart by `shrink.rs`.
//! All times are seconds after the moment when the Canary was first initialised.

/// All that is drawn from a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    pub seed: u64,
    pub spec: Spec,
    /// Version `n` behaves as the entry `n - 1` says; the first one is good.
    pub versions: Vec<Version>,
    /// How long pods take to be ready.
    pub startup: u64,
    /// How long pods take to stop.
    pub stop: u64,
    pub script: Vec<(u64, Act)>,
    pub faults: Vec<Fault>,
    /// When the last fault has ended and the world is kind.
    pub kind_from: u64,
    /// The push or deletion that has to end as it deserves.
    pub end: End,
    /// Whether the last act waits until all is at rest.
    pub rests_before_end: bool,
}

/// Which mesh or ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Router {
    Istio,
    Gateway,
    Kubernetes,
}

/// How the release advances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    By { step: u64, max: u64 },
    List(Vec<u64>),
    AbTesting(u64),
    BlueGreen(u64),
}

/// What the manifests say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    pub router: Router,
    pub strategy: Strategy,
    pub daemon_set: bool,
    pub replicas: u64,
    pub autoscaler: bool,
    /// Whether a rollout stops all old pods first.
    pub recreate: bool,
    pub interval: u64,
    pub threshold: u64,
    pub deadline: u64,
    pub promotion_step: Option<u64>,
    pub mirror: bool,
    pub affinity: bool,
    pub skip_analysis: bool,
    pub revert: bool,
    pub suspend: bool,
    /// Makes the reader refuse the manifest.
    pub broken: bool,
    /// Checks without data neither pass nor fail.
    pub holds: bool,
    /// Built-in checks, or else MetricTemplates.
    pub builtin: bool,
    pub hooks: Vec<&'static str>,
    pub timeout: u64,
}

/// How a version behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Good,
    Errors,
    Slow,
    NeverReady,
    Crashes,
    NoImage,
    /// The canary's pods become ready, the primary's never.
    PrimaryNeverReady,
}

/// What people and other programs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Push(usize),
    Threshold(u64),
    Timeout(u64),
    SkipAnalysis(bool),
    Suspend(bool),
    Break(bool),
    Reverting(bool),
    Steps(u64),
    Ask(&'static str),
    DeleteCanary,
    CreateCanary,
    DeleteTarget,
    /// The target as it was, with this version.
    CreateTarget(usize),
    /// All pods of a side are not ready any more.
    Die(Side),
    /// All pods are ready again.
    Recover,
    DeletePrimary,
    DeleteService(&'static str),
    Drift(u64),
    DeleteRoutes,
    Scale(u64),
    Load(u64),
    /// A hook says no from now on.
    Close(&'static str),
    /// It says yes again.
    Open(&'static str),
    /// The primary is scaled to zero in the controller's name. No history has it, but the test of the shrinker.
    Misdeed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Primary,
    Canary,
}

/// Something that goes wrong from a time to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub from: u64,
    pub to: u64,
    pub what: Trouble,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// So many percent of the controller's writes conflict.
    Conflicts(u64),
    /// So many percent of its requests are answered 429 with this `Retry-After`.
    Throttled(u64, u32),
    /// So many percent of its requests are answered with this code.
    Fails(u64, u16),
    /// Every request for a resource is answered 403.
    Forbidden(&'static str),
    /// Writes of a resource are refused by an admission hook.
    Refused(&'static str),
    /// So many percent of its writes are carried out, and the answer is lost.
    Lost(u64),
    /// So many percent of its requests are never answered.
    Dropped(u64),
    /// Requests take so many milliseconds.
    Late(u64),
    /// All watches end at the beginning.
    WatchesEnd,
    /// All watches fall silent at the beginning, and do not end.
    WatchesSilent,
    /// The watches are told nothing before the end.
    WatchesLag,
    /// The history of the API server is forgotten, and the watches end.
    Expired,
    /// The cluster's own controllers take so many milliseconds.
    ClusterSlow(u64),
    /// Metrics servers behave so.
    Metrics(Broken),
    /// Hooks behave so.
    Hooks(Broken),
    /// The controller dies at its write of this number after the beginning, before it is carried out or after, and is
    /// started again at the end.
    Crash { write: u64, after: bool },
    /// Another controller leads from the end on.
    Handover,
}

/// How a server is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Unreachable,
    Hangs,
    Refuses,
    Nothing,
    NotANumber,
    /// It says no whatever is true.
    SaysNo,
}

/// How a history ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    GoodPush,
    BadPush,
    /// The target goes back to what was promoted.
    Back,
    Deletion,
}

/// The plural words of the kinds that faults are about.
pub const KINDS: [&str; 6] =
    ["deployments", "services", "endpointslices", "canaries", "virtualservices", "horizontalpodautoscalers"];
