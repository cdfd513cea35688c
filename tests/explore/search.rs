//! The search: breadth first, so that the first counter-example is a shortest one. Of a state that was met there remain a
//! fingerprint, the state that it came from, and the kind state that follows: 29 bytes, and with the table's slack 45.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

use super::check::{self, Broken};
use super::machine::Machine;
use super::moves::{self, Move, Next};
use super::print::Print;
use super::spec::Spec;
use super::world::World;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub states: usize,
    pub time: Duration,
}

/// The result of a search.
pub struct Found {
    pub states: usize,
    pub transitions: u64,
    pub depth: u32,
    pub closed: bool,
    pub statuses: usize,
    pub took: Duration,
    /// How the kind paths end, and from how many states.
    pub ends: BTreeMap<&'static str, usize>,
    pub broken: Option<Story>,
}

/// A counter-example.
pub struct Story {
    pub broken: Broken,
    /// From the first world on, what happened.
    pub path: Vec<Move>,
    pub depth: u32,
}

#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Known = HashMap<u128, u32, BuildHasherDefault<Same>>;

const ROOT: u32 = u32::MAX;
/// The kind state is not known: the state was not looked at any more.
const OPEN: u32 = u32::MAX;
const GOOD: u8 = 1;
const BAD: u8 = 2;

struct States {
    known: Known,
    parent: Vec<u32>,
    by: Vec<u16>,
    kind: Vec<u32>,
    owes: Vec<u8>,
    queue: VecDeque<(u32, u32, World)>,
}

fn print(world: &World) -> u128 {
    let mut print = Print::default();
    world.hash(&mut print);
    print.whole()
}

impl States {
    fn meet(&mut self, world: &World, parent: u32, by: u16, depth: u32) -> u32 {
        let next = u32::try_from(self.parent.len()).expect("fewer states than that");
        let number = *self.known.entry(print(world)).or_insert(next);
        if number == next {
            self.parent.push(parent);
            self.by.push(by);
            self.kind.push(OPEN);
            self.owes.push(0);
            self.queue.push_back((number, depth, *world));
        }
        number
    }

    fn path(&self, mut state: u32) -> Vec<u16> {
        let mut path = Vec::new();
        while self.parent[state as usize] != ROOT {
            path.push(self.by[state as usize]);
            state = self.parent[state as usize];
        }
        path.reverse();
        path
    }
}

/// Searches all worlds of `spec`.
#[expect(clippy::disallowed_methods, reason = "a search is bounded by the time that it may take")]
pub fn explore(spec: &Spec, limits: Limits) -> Found {
    let began = Instant::now();
    let mut machine = Machine::new(spec);
    let mut states = States {
        known: Known::default(),
        parent: Vec::new(),
        by: Vec::new(),
        kind: Vec::new(),
        owes: Vec::new(),
        queue: VecDeque::new(),
    };
    let first = machine.first();
    states.meet(&first, ROOT, 0, 0);
    let mut found = Found {
        states: 0,
        transitions: 0,
        depth: 0,
        closed: true,
        statuses: 0,
        took: Duration::ZERO,
        ends: BTreeMap::new(),
        broken: None,
    };
    // The ends of kind paths: each is a state of its own, and there are few.
    let mut ends: HashMap<u32, (World, Option<String>)> = HashMap::new();
    let mut all: Vec<Next> = Vec::new();
    while let Some((number, depth, world)) = states.queue.pop_front() {
        if states.parent.len() >= limits.states || number % 1024 == 0 && began.elapsed() > limits.time {
            found.closed = false;
            break;
        }
        found.depth = depth;
        let (kind, waits) = match moves::fork(&mut machine, &world, &mut all) {
            Ok(fork) => fork,
            Err((by, broken)) => {
                found.broken = Some(tell(spec, &states, number, by, broken, depth));
                break;
            }
        };
        found.transitions += all.len() as u64;
        for (place, next) in all.iter().enumerate() {
            let by = u16::try_from(place).expect("few things happen");
            let follows = states.meet(&next.world, number, by, depth + 1);
            if kind == Some(place) {
                states.kind[number as usize] = follows;
            }
            match next.owes {
                Some(true) => states.owes[follows as usize] |= GOOD,
                Some(false) => states.owes[follows as usize] |= BAD,
                None => {}
            }
        }
        if kind.is_none() {
            states.kind[number as usize] = number;
            ends.insert(number, (world, waits));
        }
    }
    if found.broken.is_none() {
        found.broken = live(&machine, &states, &ends, &mut found.ends).err().map(|(state, broken)| {
            let mut story = tell(spec, &states, state, None, broken, 0);
            story.depth = u32::try_from(story.path.len()).unwrap_or(0);
            story.path.extend(kind_path(spec, &story.path));
            story
        });
    }
    found.states = states.parent.len();
    found.statuses = machine.statuses.len();
    found.took = began.elapsed();
    found
}

/// From every state, once the world is kind, the controller's own path comes to an end, and to the right one.
fn live(
    machine: &Machine<'_>,
    states: &States,
    ends: &HashMap<u32, (World, Option<String>)>,
    counts: &mut BTreeMap<&'static str, usize>,
) -> Result<(), (u32, Broken)> {
    const UNKNOWN: u32 = u32::MAX - 1;
    let mut end = vec![OPEN; states.kind.len()];
    let mut path = Vec::new();
    let mut passed_from = vec![OPEN; states.kind.len()];
    for start in 0..u32::try_from(states.kind.len()).expect("few enough") {
        let mut at = start;
        path.clear();
        let found = loop {
            let next = states.kind[at as usize];
            if end[at as usize] != OPEN {
                break end[at as usize];
            }
            if next == OPEN {
                break UNKNOWN;
            }
            if next == at {
                break at;
            }
            if passed_from[at as usize] == start {
                let how = "it goes round in circles and comes to no end".to_owned();
                return Err((start, Broken { promise: "P11", how }));
            }
            passed_from[at as usize] = start;
            path.push(at);
            at = next;
        };
        for state in &path {
            end[*state as usize] = found;
        }
        end[start as usize] = found;
    }
    for (state, end) in end.into_iter().enumerate() {
        let number = u32::try_from(state).expect("few enough");
        if end == UNKNOWN {
            *counts.entry("not followed").or_default() += 1;
            continue;
        }
        let (world, waits) = &ends[&end];
        let owed = states.owes[state];
        let all = [None, (owed & GOOD > 0).then_some(true), (owed & BAD > 0).then_some(false)];
        for (place, owes) in all.into_iter().enumerate() {
            if place > 0 && owes.is_none() {
                continue;
            }
            let told =
                check::end(machine, world, waits.as_deref(), owes).map_err(|broken| (number, broken))?;
            if place == 0 {
                *counts.entry(told).or_default() += 1;
            }
        }
    }
    Ok(())
}

fn tell(spec: &Spec, states: &States, state: u32, by: Option<Move>, broken: Broken, depth: u32) -> Story {
    let mut machine = Machine::new(spec);
    let mut world = machine.first();
    let mut path = Vec::new();
    let mut all = Vec::new();
    for place in states.path(state) {
        let _ = moves::fork(&mut machine, &world, &mut all);
        let next = &all[usize::from(place)];
        path.push(next.what);
        world = next.world;
    }
    path.extend(by);
    Story { broken, path, depth }
}

/// What happens after `path` if nothing more goes wrong, up to the end or the beginning of a circle.
fn kind_path(spec: &Spec, path: &[Move]) -> Vec<Move> {
    let mut machine = Machine::new(spec);
    let mut world = machine.first();
    let mut all = Vec::new();
    for what in path {
        let _ = moves::fork(&mut machine, &world, &mut all);
        match all.iter().find(|next| next.what == *what) {
            Some(next) => world = next.world,
            None => return Vec::new(),
        }
    }
    let mut after = Vec::new();
    for _ in 0..60 {
        match moves::fork(&mut machine, &world, &mut all) {
            Ok((Some(kind), _)) => {
                after.push(all[kind].what);
                world = all[kind].world;
            }
            _ => break,
        }
    }
    after
}
