//! The list of what the controllers look at next, and when.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::api::ControllerApi;
use super::slots::Slots;
use crate::store::{Key, ObjectId};

/// Something to look at again. Jobs of one pass are done in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// An object that is being deleted and has a finalizer of the garbage collector.
    Finalize(ObjectId),
    /// The dependents of an owner that may be gone, by the owner's uid.
    Collect(String),
    /// A namespace that is being deleted.
    Namespace(Arc<str>),
    Deployment(Key),
    ReplicaSet(Key),
    DaemonSet(Key),
    Pod(Key),
    Autoscaler(Key),
    /// The endpoints of a Service.
    Endpoints(Key),
    /// An object of a controller that was added, by the controller's number.
    Added(usize, ObjectId),
}

/// Jobs that are due, and jobs for later. A job that is on the list twice is done once.
#[derive(Debug, Default)]
pub struct Jobs {
    due: BTreeSet<Job>,
    later: BTreeSet<(Instant, Job)>,
}

impl Jobs {
    /// Puts a job on the list of the next pass.
    pub fn add(&mut self, job: Job) {
        self.due.insert(job);
    }

    /// Puts a job on the list for that time.
    pub fn add_at(&mut self, at: Instant, job: Job) {
        self.later.insert((at, job));
    }

    /// Takes the jobs that are due at `now` off the list.
    pub fn take_due(&mut self, now: Instant) -> BTreeSet<Job> {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            self.due.extend(self.later.pop_first().map(|(_, job)| job));
        }
        std::mem::take(&mut self.due)
    }

    /// Whether a job is due now. Those for later do not count.
    pub fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// When the first job for later is due.
    pub fn alarm(&self) -> Option<Instant> {
        self.later.first().map(|(at, _)| *at)
    }
}

/// What a controller works with: the cluster, the list of jobs, and where the built-in objects are kept.
pub struct Context<'a> {
    pub api: ControllerApi<'a>,
    pub jobs: &'a mut Jobs,
    pub slots: Slots,
}
