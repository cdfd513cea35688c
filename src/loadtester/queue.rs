//! The tasks that run and wait: no task twice at once, never more than there is room for, and all ended when the load tester
//! ends.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::sync::{Semaphore, watch};
use tracing::{error, info, warn};

use super::command::Output;
use super::payload::{Canary, shortened};
use super::task::{Mode, Task, Tools};

/// How many tasks there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tasks that run at once.
    pub running: usize,
    /// Tasks that wait for a place.
    pub waiting: usize,
    /// Tasks of one Canary, running or waiting.
    pub of_one: usize,
}

/// How a task has ended: what it said, and why it failed if it did.
pub type Ended = Result<String, String>;

/// What has become of a task.
pub enum Taken {
    /// It was started, or waits for its place. The end of the last run is told if that failed and nobody was told yet.
    Started(watch::Receiver<Option<Ended>>, Option<String>),
    /// The same task is there already.
    Already(watch::Receiver<Option<Ended>>),
    /// There is no room; the text says for what.
    Full(String),
}

/// The tasks. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    room: Room,
    tools: Tools,
    places: Semaphore,
    state: Mutex<State>,
    stop: watch::Sender<bool>,
    /// Tasks that are there.
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    present: BTreeMap<String, (Canary, watch::Receiver<Option<Ended>>)>,
    /// Failures that are to be told with the next call.
    untold: BTreeMap<String, String>,
    running: usize,
}

impl Queue {
    /// No tasks yet.
    pub fn new(room: Room, tools: Tools) -> Self {
        let (stop, count) = (watch::Sender::new(false), watch::Sender::new(0));
        let places = Semaphore::new(room.running);
        Self(Arc::new(Inner { room, tools, places, state: Mutex::default(), stop, count }))
    }

    /// Takes a task in, unless it is there already. It goes on whatever becomes of its caller.
    pub fn take(&self, task: Task) -> Taken {
        let mut state = self.state();
        if let Some((_, ended)) = state.present.get(&task.identity) {
            info!(canary = %task.canary, "command skipped {} is already running", shortened(&task.text()));
            self.0.tools.telemetry.task(task.kind, "skipped");
            return Taken::Already(ended.clone());
        }
        let of_one = state.present.values().filter(|(canary, _)| *canary == task.canary).count();
        if of_one >= self.0.room.of_one {
            return Taken::Full(format!("{of_one} tasks of {} run or wait, which is the most", task.canary));
        }
        let all = state.present.len();
        if *self.0.stop.borrow() || all >= self.0.room.running + self.0.room.waiting {
            return Taken::Full(format!(
                "{all} tasks run or wait, which is the most (-max-running, -max-waiting)"
            ));
        }
        let (sender, ended) = watch::channel(None);
        let untold = state.untold.remove(&task.identity);
        state.present.insert(task.identity.clone(), (task.canary.clone(), ended.clone()));
        self.count(&state);
        drop(state);
        let queue = self.clone();
        tokio::spawn(async move {
            // A fault of ours must not keep the place for ever.
            let result = AssertUnwindSafe(queue.go(&task)).catch_unwind().await;
            let result =
                result.unwrap_or_else(|_| Err("the load tester has a fault: see its log".to_owned()));
            queue.leave(&task, &result);
            sender.send_replace(Some(result));
        });
        Taken::Started(ended, untold)
    }

    async fn go(&self, task: &Task) -> Ended {
        let mut stop = self.0.stop.subscribe();
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        let work = async {
            let _place = self.0.places.acquire().await.map_err(|error| error.to_string())?;
            let _running = Running::new(self);
            let text = task.text();
            info!(canary = %task.canary, "task starting {}", shortened(&text));
            let output = Output::default();
            let result = task.run(&self.0.tools, &output).await;
            let said = output.text();
            let log_output =
                matches!(task.mode, Mode::Background { log_output: true, .. }) || !task.is_command();
            match &result {
                Ok(()) if log_output => {
                    info!(canary = %task.canary, output = said, "command finished {}", shortened(&text))
                }
                Ok(()) => info!(canary = %task.canary, "command finished {}", shortened(&text)),
                Err(why) => {
                    warn!(canary = %task.canary, output = end_of(&said), "command failed {} {why}", shortened(&text))
                }
            }
            match result {
                Ok(()) => Ok(said),
                Err(why) if task.is_command() => Err(format!("command {text} failed: {said}: {why}")),
                Err(why) => Err(why),
            }
        };
        tokio::select! {
            biased;
            () = stopped => Err("the load tester was stopped".to_owned()),
            ended = work => ended,
        }
    }

    fn leave(&self, task: &Task, result: &Ended) {
        let mut state = self.state();
        state.present.remove(&task.identity);
        state.untold.remove(&task.identity);
        if let (Err(why), Mode::Background { report: true, .. }) = (result, task.mode) {
            if state.untold.len() >= MOST_UNTOLD {
                error!("more than {MOST_UNTOLD} results were never asked for: they are forgotten");
                state.untold.clear();
            }
            state.untold.insert(task.identity.clone(), why.clone());
        }
        self.count(&state);
        drop(state);
        // Counted when it has left: whoever sees that can start it again.
        let outcome = if result.is_ok() { "succeeded" } else { "failed" };
        self.0.tools.telemetry.task(task.kind, outcome);
    }

    /// Ends all tasks, takes no more, and returns when all have ended.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        let mut count = self.0.count.subscribe();
        let _ = count.wait_for(|count| *count == 0).await;
    }

    fn count(&self, state: &State) {
        let all = state.present.len();
        self.0.tools.telemetry.queue(state.running, all.saturating_sub(state.running));
        self.0.count.send_replace(all);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a task among those that run, for as long as it is there.
struct Running<'a>(&'a Queue);

impl<'a> Running<'a> {
    fn new(queue: &'a Queue) -> Self {
        let mut state = queue.state();
        state.running += 1;
        queue.count(&state);
        drop(state);
        Self(queue)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running = state.running.saturating_sub(1);
        self.0.count(&state);
    }
}

/// The end of a command's output, for the log.
fn end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(2000);
    (from..=text.len()).find_map(|at| text.get(at..)).unwrap_or_default()
}

const MOST_UNTOLD: usize = 1000;
