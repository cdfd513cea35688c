//! Whom the alerts of a Canary do not reach, and why. It is told once, in an event and in a condition, until they do.
//!
//! The condition outlives this process, what is known here does not: a recipient that the condition names stands there
//! until something is known of it again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::api::status::{ALERTS_DELIVERED, CanaryStatus};
use crate::controller::caches::{Noticed, lock};
use crate::controller::lanes::Trouble;
use crate::model::object::ObjectId;

/// Whom a message is for. `Display` is what people see of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recipient {
    /// The notifier of the controller.
    Global,
    /// This AlertProvider.
    Provider(ObjectId),
}

impl Recipient {
    /// The AlertProvider, if it is one.
    pub fn provider(&self) -> Option<&ObjectId> {
        match self {
            Self::Global => None,
            Self::Provider(id) => Some(id),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => write!(f, "alert can't be sent:"),
            Self::Provider(id) => write!(f, "alert provider {}.{}", id.name, id.namespace),
        }
    }
}

/// What is known of the recipients of all Canaries. Clones are the same.
#[derive(Clone)]
pub struct Health {
    known: Arc<Mutex<BTreeMap<ObjectId, BTreeMap<Recipient, Known>>>>,
    /// Told of a Canary about whose recipients there is news.
    news: mpsc::UnboundedSender<Noticed>,
}

/// What is known of a recipient; no trouble means that it was reached.
struct Known {
    trouble: Option<Trouble>,
    /// The version of its AlertProvider that this is known of.
    version: Option<String>,
}

/// What the status should say of the recipients.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Reason and message of the condition; none if all is well.
    pub condition: Option<(String, String)>,
    /// Those that cannot be reached, with the reason.
    pub faults: BTreeMap<Recipient, String>,
    /// Those to look at again: the status names them and nothing is known of them, or they have changed since.
    pub doubtful: Vec<Recipient>,
}

impl Health {
    pub(super) fn new(news: mpsc::UnboundedSender<Noticed>) -> Self {
        Self { known: Arc::default(), news }
    }

    /// Notes what became of something for `recipient` that was about `canary`. One that was reached is well for all.
    pub(super) fn note(
        &self,
        canary: &ObjectId,
        recipient: &Recipient,
        trouble: Option<Trouble>,
        version: Option<String>,
    ) {
        let mut known = lock(&self.known);
        if trouble.is_none() {
            for (other, recipients) in known.iter_mut().filter(|(other, _)| *other != canary) {
                if let Some(entry) = recipients.get_mut(recipient)
                    && entry.trouble.take().is_some()
                {
                    let _ = self.news.send(Noticed::Object(other.clone()));
                }
            }
        }
        known.entry(canary.clone()).or_default().insert(recipient.clone(), Known { trouble, version });
    }

    /// What the status `before` of `canary` should say of its `recipients`, whose AlertProviders are there in the versions
    /// that `version` gives.
    pub fn report(
        &self,
        canary: &ObjectId,
        before: &CanaryStatus,
        recipients: &[Recipient],
        version: impl Fn(&Recipient) -> Option<String>,
    ) -> Report {
        let before = before.condition(ALERTS_DELIVERED);
        let named = |recipient: &Recipient| {
            before.is_some_and(|said| said.message.contains(&format!("{recipient} ")))
        };
        let mut all = lock(&self.known);
        let mut nothing = BTreeMap::new();
        let known = all.get_mut(canary).unwrap_or(&mut nothing);
        let mut report = Report::default();
        let mut reason = None;
        let mut unknown = false;
        for recipient in recipients.iter().collect::<BTreeSet<_>>() {
            let Some(entry) = known.get_mut(recipient) else {
                if named(recipient) {
                    unknown = true;
                    report.doubtful.push(recipient.clone());
                }
                continue;
            };
            let Some(trouble) = &entry.trouble else { continue };
            reason = reason.or(Some(trouble.reason));
            report.faults.insert(recipient.clone(), trouble.why.clone());
            let now = version(recipient);
            if entry.version != now {
                entry.version = now;
                report.doubtful.push(recipient.clone());
            }
        }
        let said = before.map(|said| (said.reason.clone(), said.message.clone()));
        report.condition = match reason {
            Some(_) if unknown && report.faults.keys().all(named) => said,
            Some(reason) => Some((reason.to_owned(), joined(report.faults.values()))),
            None if unknown => said,
            None => None,
        };
        // Only looking shows nothing of a receiver that refuses.
        if before.is_some_and(|said| said.reason != UNUSABLE) {
            report.doubtful.retain(|recipient| report.faults.contains_key(recipient));
        }
        report
    }

    /// Forgets a Canary that is gone.
    pub fn forget(&self, canary: &ObjectId) {
        lock(&self.known).remove(canary);
    }
}

fn joined<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    let text = texts.map(String::as_str).collect::<Vec<_>>().join("; ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Reason: the AlertProvider or its Secret is missing, or cannot be used as it is.
pub(super) const UNUSABLE: &str = "ProviderUnusable";
/// Characters of the condition's message.
const LONGEST: usize = 1024;
