//! What pods do once they are created: rules that look at the image.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What a rule may look at: one container of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// The container's name.
    pub container: String,
    /// The container's image.
    pub image: String,
    /// The node that the pod runs on.
    pub node: String,
}

/// How a container behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodBehaviour {
    /// How long from creation until it is ready.
    pub startup: Duration,
    /// Whether its image can be pulled.
    pub pulls: bool,
    /// Whether it ever becomes ready.
    pub ready: bool,
    /// How long after its start it crashes, each time.
    pub crash_after: Option<Duration>,
    /// How long it takes to stop (never longer than its grace period).
    pub stop: Duration,
}

impl Default for PodBehaviour {
    fn default() -> Self {
        Self::ready_after(Duration::from_secs(2))
    }
}

impl PodBehaviour {
    /// Starts, and is ready after this time.
    pub fn ready_after(startup: Duration) -> Self {
        Self { startup, pulls: true, ready: true, crash_after: None, stop: Duration::from_secs(1) }
    }

    /// Its image is not there: ErrImagePull, then ImagePullBackOff.
    pub fn bad_image() -> Self {
        Self { pulls: false, ready: false, ..Self::default() }
    }

    /// Runs, but fails its readiness probe.
    pub fn never_ready() -> Self {
        Self { ready: false, ..Self::default() }
    }

    /// Crashes this long after each start: CrashLoopBackOff.
    pub fn crashes_after(after: Duration) -> Self {
        Self { crash_after: Some(after), ..Self::default() }
    }

    /// Takes this long to stop.
    pub fn stops_in(self, stop: Duration) -> Self {
        Self { stop, ..self }
    }
}

type Matches = Arc<dyn Fn(&PodFacts) -> bool + Send + Sync>;

/// Which containers behave how: the last rule that matches counts.
///
/// By default a container is ready two seconds after its creation, and an image whose name contains `bad-image`
/// cannot be pulled.
#[derive(Clone)]
pub struct PodRules {
    otherwise: PodBehaviour,
    rules: Vec<(Matches, PodBehaviour)>,
}

impl Default for PodRules {
    fn default() -> Self {
        Self { otherwise: PodBehaviour::default(), rules: Vec::new() }
            .image("bad-image", PodBehaviour::bad_image())
    }
}

impl PodRules {
    /// How containers behave that no rule matches.
    pub fn otherwise(mut self, behaviour: PodBehaviour) -> Self {
        self.otherwise = behaviour;
        self
    }

    /// How containers behave whose image contains `part`.
    pub fn image(self, part: &str, behaviour: PodBehaviour) -> Self {
        let part = part.to_owned();
        self.rule(move |facts| facts.image.contains(&part), behaviour)
    }

    /// How containers behave that `matches` picks.
    pub fn rule(
        mut self,
        matches: impl Fn(&PodFacts) -> bool + Send + Sync + 'static,
        behaviour: PodBehaviour,
    ) -> Self {
        self.rules.push((Arc::new(matches), behaviour));
        self
    }

    /// How this container behaves.
    pub fn behaviour(&self, facts: &PodFacts) -> PodBehaviour {
        self.rules
            .iter()
            .rev()
            .find(|(matches, _)| matches(facts))
            .map_or(self.otherwise, |(_, behaviour)| *behaviour)
    }
}

impl fmt::Debug for PodRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let behaviours: Vec<_> = self.rules.iter().map(|(_, behaviour)| behaviour).collect();
        f.debug_struct("PodRules").field("otherwise", &self.otherwise).field("rules", &behaviours).finish()
    }
}
