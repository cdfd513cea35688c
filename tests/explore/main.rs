//! Every state of the core, not a sample: the decision function that ships is explored breadth first in small worlds in
//! which anything may happen next. docs/correctness.md says what is checked and what was found.

mod canon;
mod catalogue;
mod check;
mod evidence;
mod machine;
mod moves;
mod print;
mod search;
mod spec;
mod story;
mod view;
mod world;

use std::sync::Mutex;
use std::time::Duration;

use vexil::model::release::{Steps, Strategy};
use vexil::model::traffic::Capabilities;
use vexil::rollout::strategy::{self, Advance, Position};

/// How many transitions were made, for each case, with what was found.
fn row(name: &str, found: &search::Found) -> String {
    let ends: Vec<String> = found.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
    format!(
        "| {name} | {} | {} | {} | {} | {:.1} | {} |",
        found.states,
        found.transitions,
        found.depth,
        if found.closed { "yes" } else { "no" },
        found.took.as_secs_f64(),
        ends.join(", ")
    )
}

/// Explores `specs` on as many threads as there are cores; the table, and the stories of what broke.
fn explored(specs: Vec<spec::Spec>, limits: search::Limits) -> (u64, Vec<String>) {
    let specs = Mutex::new(specs.into_iter());
    let results = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(spec) = specs.lock().expect("a list").next() else { break };
                    let found = search::explore(&spec, limits);
                    println!("{}", row(&spec.name, &found));
                    let mut results = results.lock().expect("a list");
                    results.0 += found.transitions;
                    results.1.extend(found.broken.iter().map(|broken| story::told(&spec, broken)));
                }
            });
        }
    });
    results.into_inner().expect("a list")
}

const HEAD: &str = "| case | states | transitions | depth | closed | seconds | where kind paths end |\n|---|--:|--:|--:|---|--:|---|";

/// The beginning of some spaces, in a few seconds.
#[test]
fn the_promises_hold_in_the_first_states() {
    const SOME: [&str; 9] = [
        "weighted: crashes, lies",
        "weighted: pods, bad",
        "weighted: acceptance, crashes",
        "weighted: drift",
        "A/B: crashes",
        "blue/green: pods, lies",
        "recreate: crashes, lies",
        "confirm-promotion: by hand",
        "skipAnalysis switched",
    ];
    let specs = catalogue::all().into_iter().filter(|spec| SOME.contains(&spec.name.as_str())).collect();
    let limits = search::Limits { states: 4_000, time: Duration::from_secs(20) };
    println!("{HEAD}");
    let (transitions, broken) = explored(specs, limits);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    assert!(transitions > 20_000, "only {transitions} transitions");
}

/// The whole catalogue: `make explore`. STATES bounds each case, SECONDS as well, ONLY chooses by name.
#[test]
#[ignore = "takes long: make explore"]
fn the_promises_hold_in_every_state() {
    let only = std::env::var("ONLY").unwrap_or_default();
    let number =
        |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let limits = search::Limits {
        states: usize::try_from(number("STATES", 5_000_000)).expect("a number"),
        time: Duration::from_secs(number("SECONDS", 120)),
    };
    let specs: Vec<_> = catalogue::all().into_iter().filter(|spec| spec.name.contains(&only)).collect();
    let cases = specs.len();
    println!("{HEAD}");
    let (transitions, broken) = explored(specs, limits);
    println!("{cases} cases, {transitions} transitions, {} counter-examples", broken.len());
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Every `stepWeight` and `maxWeight`, and every pair of `stepWeights`, from every share, against an oracle of its own.
#[test]
fn the_arithmetic_of_weights_is_right_from_every_share() {
    let at = |share| Position { share, mirrored: false, iterations: 0 };
    let shift = |steps: &Steps, share| {
        let mut plan = spec::Spec::new("weights").manifests.remove(0).analysis;
        plan.strategy = Strategy::Weighted(steps.clone());
        move_of(&strategy::advance(&plan, &Capabilities::WEIGHTS, at(share)))
    };
    for step in 1..=100 {
        for max in 1..=100 {
            let steps = Steps::By { step, max };
            let mut expected = 0;
            for _ in 0..=100 {
                let next = shift(&steps, expected);
                if expected >= max {
                    assert_eq!(next, None, "{steps:?} at {expected}");
                    break;
                }
                assert_eq!(next, Some((expected + step).min(100)), "{steps:?} at {expected}");
                expected = (expected + step).min(100);
            }
            assert!(expected >= max, "{steps:?} ends at {expected}");
        }
    }
    for low in 1..100 {
        for high in low + 1..=100 {
            let steps = Steps::List(vec![low, high]);
            for share in [0, low - 1, low, high - 1, high, 100] {
                let expected = match share {
                    share if share < low => Some(low),
                    share if share < high => Some(high),
                    _ => None,
                };
                assert_eq!(shift(&steps, share), expected, "{steps:?} at {share}");
            }
        }
    }
}

fn move_of(advance: &Advance) -> Option<u32> {
    match advance {
        Advance::Shift { split, .. } => {
            assert_eq!(split.primary() + split.canary(), 100);
            Some(split.canary())
        }
        _ => None,
    }
}
