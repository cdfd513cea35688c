//! The faults that are in force: what becomes of each request of the controller.

use std::time::Duration;

use kubesim::{ApiStatus, Fate, RequestInfo, Verb};

use super::chance::Chance;
use super::history::{Broken, Trouble};

/// What is wrong now.
#[derive(Clone, Debug)]
pub struct Weather {
    pub chance: Chance,
    pub troubles: Vec<Trouble>,
    pub metrics: Option<Broken>,
    pub hooks: Option<Broken>,
    /// Hooks that say no.
    pub closed: Vec<&'static str>,
    /// The controller dies at the write after so many more.
    pub dies: Option<(u64, bool)>,
    /// It is dead: nothing that it still asks is heard.
    pub dead: bool,
}

impl Weather {
    pub fn fair(seed: u64) -> Self {
        Self {
            chance: Chance::seeded(seed ^ 0xfa17),
            troubles: Vec::new(),
            metrics: None,
            hooks: None,
            closed: Vec::new(),
            dies: None,
            dead: false,
        }
    }

    /// What becomes of a request of the controller, and whether it dies with it.
    pub fn fate(&mut self, request: &RequestInfo) -> (Fate, bool) {
        if self.dead {
            return (Fate::Drop, false);
        }
        if request.is_write()
            && let Some((left, after)) = &mut self.dies
        {
            if *left == 0 {
                let fate = if *after { Fate::DropAfter } else { Fate::Drop };
                self.dies = None;
                self.dead = true;
                return (fate, true);
            }
            *left -= 1;
        }
        let troubles = self.troubles.clone();
        let fate = troubles.into_iter().find_map(|trouble| self.of(trouble, request));
        (fate.unwrap_or(Fate::Pass), false)
    }

    fn of(&mut self, trouble: Trouble, request: &RequestInfo) -> Option<Fate> {
        let write = request.is_write();
        let watch = request.verb == Verb::Watch;
        let mut comes = |percent: u64| self.chance.percent(percent);
        match trouble {
            Trouble::Conflicts(percent) if write && request.verb != Verb::Create && comes(percent) => {
                let mut status = ApiStatus::internal("the object has been modified");
                status.code = 409;
                status.reason = "Conflict";
                Some(Fate::Fail(status))
            }
            Trouble::Throttled(percent, after) if comes(percent) => {
                Some(Fate::Fail(ApiStatus::too_many_requests(after)))
            }
            Trouble::Fails(percent, code) if comes(percent) => {
                let mut status = ApiStatus::internal("etcdserver: request timed out");
                status.code = code;
                Some(Fate::Fail(status))
            }
            Trouble::Forbidden(plural) if request.plural == plural => {
                let mut status = ApiStatus::internal(format!("{plural} is forbidden: no rule allows it"));
                status.code = 403;
                status.reason = "Forbidden";
                Some(Fate::Fail(status))
            }
            Trouble::Refused(plural) if write && request.plural == plural => {
                let mut status = ApiStatus::internal("admission webhook \"policy.test\" denied the request");
                status.code = 403;
                status.reason = "Forbidden";
                Some(Fate::Fail(status))
            }
            Trouble::Lost(percent) if write && comes(percent) => Some(match self.chance.within(0, 1) {
                0 => Fate::DisconnectAfter,
                _ => Fate::FailAfter(ApiStatus::timeout("the server did not answer in time")),
            }),
            Trouble::Dropped(percent) if !watch && comes(percent) => Some(Fate::Drop),
            Trouble::Late(millis) if !watch => Some(Fate::Delay(Duration::from_millis(millis))),
            _ => None,
        }
    }
}
