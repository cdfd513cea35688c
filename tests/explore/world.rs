//! The small world around one Canary: two workloads with a few pods, the route, the manifest, what people ask for, and
//! what the controller remembers. It is a plain value of about a hundred bytes, so that millions of worlds can be told
//! apart and stored. All times are seconds before now (`Ago`), so that a world does not change by growing older.

/// A revision of the target, by its place in [`REVISIONS`].
pub type Rev = u8;

/// How many revisions there are.
pub const REVS: usize = 4;
/// Promoted at the beginning.
pub const A: Rev = 0;
/// Its checks pass.
pub const B: Rev = 1;
/// Its checks fail.
pub const C: Rev = 2;
/// Its pods never become ready.
pub const X: Rev = 3;
/// No revision.
pub const NONE: Rev = 9;
/// Their names.
pub const REVISIONS: [&str; REVS] = ["vx1-aaaaaaaa", "vx1-bbbbbbbb", "vx1-cccccccc", "vx1-xxxxxxxx"];

/// The letter of a revision, for stories.
pub fn letter(rev: Rev) -> &'static str {
    ["A (first)", "B (good)", "C (bad checks)", "X (never ready)"].get(usize::from(rev)).unwrap_or(&"none")
}

/// Seconds since something happened; `None` if it did not.
pub type Ago = Option<i16>;

/// A workload and its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pods {
    /// Whether the workload exists.
    pub there: bool,
    /// Which object it is: another one after it was deleted and created again.
    pub uid: u8,
    /// `metadata.generation`.
    pub generation: u8,
    /// The template.
    pub rev: Rev,
    /// The contents of the ConfigMap that the template refers to.
    pub config: u8,
    /// Replicas asked for.
    pub want: u8,
    /// Ready pods of each revision.
    pub ready: [u8; REVS],
    /// Whether the Deployment reports that its deadline is over.
    pub stuck: bool,
}

impl Pods {
    /// A workload that does not exist.
    pub const GONE: Self = Self {
        there: false,
        uid: 1,
        generation: 1,
        rev: A,
        config: 0,
        want: 0,
        ready: [0; REVS],
        stuck: false,
    };

    /// Ready pods of the present template.
    pub fn fresh(&self) -> u8 {
        self.ready[usize::from(self.rev)]
    }

    /// Ready pods of all revisions: those that answer.
    pub fn serving(&self) -> u8 {
        self.ready.iter().sum()
    }

    /// Ready pods of other revisions.
    pub fn old(&self) -> u8 {
        self.serving() - self.fresh()
    }

    /// Whether the rollout is complete.
    pub fn complete(&self) -> bool {
        self.want > 0 && self.fresh() >= self.want && self.old() == 0
    }

    /// Gives it another template. Its pods are replaced one by one, or all at once.
    pub fn roll(&mut self, rev: Rev, at_once: bool) {
        if self.rev != rev {
            self.rev = rev;
            self.stuck = false;
            self.generation += 1;
            if at_once {
                self.ready = [0; REVS];
            }
        }
    }

    /// Asks for another number of pods. Pods that are too many stop to answer at once.
    pub fn scale(&mut self, want: u8) {
        if self.want == want {
            return;
        }
        self.want = want;
        self.generation += 1;
        self.stuck = false;
        for rev in 0..REVS {
            let over = self.serving().saturating_sub(want);
            if rev != usize::from(self.rev) || want == 0 {
                self.ready[rev] -= over.min(self.ready[rev]);
            }
        }
        let (over, rev) = (self.serving().saturating_sub(want), usize::from(self.rev));
        self.ready[rev] -= over.min(self.ready[rev]);
    }
}

/// Whether the mesh has routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    Absent,
    There,
    /// They cannot be read.
    Refused,
}

/// What the mesh is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Routes {
    pub seen: Seen,
    /// The canary's share in percent; the primary has the rest.
    pub share: u8,
    pub mirrored: bool,
    /// Whether somebody changed something else than the split.
    pub drifted: bool,
    /// Whether the mesh works by it.
    pub accepted: bool,
    /// Letters of the cookies of canary, primary and last run; 0 for none.
    pub cookies: [u8; 3],
}

/// What the controller remembers between two looks, and a crash forgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// Answers of the present step: a code of the question (0 for none), and what was heard.
    pub answers: [(u16, u8); SLOTS],
    pub unrecorded: Ago,
    pub wait_recorded: Ago,
    pub behind: Ago,
    /// Since when primary and canary have had a pod that would answer.
    pub answering: [Ago; 2],
    /// Whether it has seen the primary.
    pub primary: bool,
}

/// The most answers of one step.
pub const SLOTS: usize = 7;

/// What the checker has to remember of the history. The controller never sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// The revision whose analysis the next fields are about.
    pub rev: Rev,
    /// The largest share at which a round of checks has passed.
    pub share: u8,
    /// Rounds of checks that have passed.
    pub rounds: u8,
    /// Whether the pre-rollout hooks have passed.
    pub started: bool,
    /// Whether every promotion gate was open when it was last asked.
    pub gate: bool,
    /// Whether every gate of the traffic was open in the present step.
    pub traffic: bool,
    /// The largest share that the controller has given the canary in this run, and when.
    pub top: u8,
    pub raised: Ago,
    /// When the canary lost its last share.
    pub parted: Ago,
    /// The revision that failed last.
    pub failed: Rev,
    /// Whether it failed in its promotion, so that the canary may keep the traffic.
    pub stood_in: bool,
    /// The template that the primary was last given by a promotion, or at first.
    pub promoted: Rev,
}

/// The world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The status as stored, by its number in the machine's collection.
    pub status: u32,
    pub target: Pods,
    pub primary: Pods,
    /// Pods behind the Services, as the EndpointSlices tell; they can be late.
    pub ends: [u8; 2],
    /// Services of apex, primary and canary: whether they are there.
    pub services: [bool; 3],
    pub scaler: bool,
    pub scaler_paused: bool,
    pub routes: Routes,
    /// Which of the spec's manifests is in force, and its generation.
    pub manifest: u8,
    pub generation: u8,
    /// Whether the present manifest cannot be used.
    pub refused: bool,
    pub deleting: bool,
    pub finalizer: bool,
    /// Whether the Canary is gone for good.
    pub gone: bool,
    /// Whether the traffic was given back to the user.
    pub given_back: bool,
    /// The request in the annotation: its place in `Action::ALL` + 1, the revision, and a word that tells it apart.
    pub request: Option<(u8, Rev, u8)>,
    pub memory: Memory,
    pub ghost: Ghost,
}

impl World {
    /// A Deployment that serves, and a Canary that was just created for it.
    pub fn new(pods: u8) -> Self {
        let mut ready = [0; REVS];
        ready[usize::from(A)] = pods;
        Self {
            status: 0,
            target: Pods { there: true, want: pods, ready, ..Pods::GONE },
            primary: Pods::GONE,
            ends: [0, pods],
            services: [false; 3],
            scaler: false,
            scaler_paused: false,
            routes: Routes {
                seen: Seen::Absent,
                share: 0,
                mirrored: false,
                drifted: false,
                accepted: true,
                cookies: [0; 3],
            },
            manifest: 0,
            generation: 1,
            refused: false,
            deleting: false,
            finalizer: false,
            gone: false,
            given_back: false,
            request: None,
            memory: Memory::default(),
            ghost: Ghost {
                rev: NONE,
                share: 0,
                rounds: 0,
                started: false,
                gate: false,
                traffic: false,
                top: 0,
                raised: None,
                parted: None,
                failed: NONE,
                stood_in: false,
                promoted: NONE,
            },
        }
    }

    /// The primary's and the canary's pods that its Service leads to.
    pub fn endpoints(&self) -> [Option<u8>; 2] {
        [self.services[1].then_some(self.ends[0]), self.services[2].then_some(self.ends[1])]
    }

    /// Lets the EndpointSlices follow the pods.
    pub fn follow(&mut self) {
        self.ends = [self.primary.serving(), self.target.serving()];
    }

    /// A crash: what only the process knew is lost.
    pub fn forget(&mut self) {
        self.memory = Memory::default();
    }

    /// Time goes on by `seconds`. What is older than `horizon` is all the same age.
    pub fn age(&mut self, seconds: i16, horizon: i16) {
        let older = |ago: &mut Ago| *ago = ago.map(|ago| ago.saturating_add(seconds).min(horizon));
        older(&mut self.memory.unrecorded);
        older(&mut self.memory.wait_recorded);
        older(&mut self.memory.behind);
        // Nothing asks for more than whether the proxies had their time.
        for ago in &mut self.memory.answering {
            *ago = ago.map(|ago| ago.saturating_add(seconds).min(5));
        }
        for (ago, limit) in [(&mut self.ghost.raised, 10), (&mut self.ghost.parted, 5)] {
            *ago = ago.map(|ago| ago.saturating_add(seconds)).filter(|ago| *ago < limit);
        }
    }

    /// What was heard of the question with this code.
    pub fn heard(&self, code: u16) -> Option<u8> {
        self.memory.answers.iter().find(|(asked, _)| *asked == code).map(|(_, heard)| *heard)
    }
}
