//! DaemonSets as targets (spec 02 §3): the primary is a second DaemonSet, and a parked target has a node selector
//! that no node satisfies.

use serde_json::{Value, json};

use super::primary::Copied;
use super::readiness::{self, Standard, number};
use super::templated::Templated;
use super::{Error, config};
use crate::model::object::{Kind, Objects};
use crate::model::release::Release;
use crate::model::workload::{Form, Lack, Readiness, Subject};

/// A DaemonSet as target.
pub struct DaemonSet;

impl Templated for DaemonSet {
    const KIND: Kind = Kind::DAEMON_SET;

    const COPIED: &'static [Copied] = &[
        ("minReadySeconds", || json!(0)),
        ("revisionHistoryLimit", || json!(10)),
        (
            "updateStrategy",
            || json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}),
        ),
    ];

    fn canary_called(&self, title: String) -> Subject {
        Subject::CanaryDaemonSet(title)
    }

    fn primary_called(&self, title: String) -> Subject {
        Subject::PrimaryDaemonSet(title)
    }

    /// Refuses other strategies than `RollingUpdate`: with them a new revision would not come by itself.
    fn check(&self, release: &Release, target: &Value) -> Result<(), Error> {
        match target["spec"]["updateStrategy"]["type"].as_str() {
            None | Some("" | "RollingUpdate") => Ok(()),
            Some(other) => Err(Error::Unusable(format!(
                "daemonset {} must have RollingUpdate strategy but have {other}",
                release.target_title()
            ))),
        }
    }

    fn template(&self, daemon_set: &Value) -> Value {
        let mut template = daemon_set["spec"]["template"].clone();
        if let Some(selector) = template.pointer_mut("/spec/nodeSelector").and_then(Value::as_object_mut) {
            selector.remove(PARKED);
        }
        template
    }

    /// 1 for a DaemonSet with pods, however many nodes there are.
    fn replicas(&self, daemon_set: &Value) -> i32 {
        i32::from(!is_parked(daemon_set))
    }

    fn ready_pods(&self, daemon_set: &Value) -> i32 {
        if is_parked(daemon_set) {
            0
        } else {
            number(&daemon_set["status"]["numberReady"]).unwrap_or(0).max(0)
        }
    }

    fn replaces_at_once(&self, target: &Value, primary: &Value) -> bool {
        let pods = number(&primary["status"]["desiredNumberScheduled"]).unwrap_or(0);
        let update = &target["spec"]["updateStrategy"]["rollingUpdate"];
        let surges = readiness::part_of(&update["maxSurge"], "0", pods) > 0;
        !surges && readiness::part_of(&update["maxUnavailable"], "1", pods) >= pods
    }

    fn readiness(&self, daemon_set: &Value, standard: Standard) -> Readiness {
        if is_parked(daemon_set) {
            return Readiness::Waiting { why: Lack::NothingWanted(Form::DaemonSet).into(), stuck_at: None };
        }
        readiness::daemon_set(daemon_set, standard)
    }

    fn primary_replicas(&self, _release: &Release, _target: &Value, _primary: Option<&Value>) -> Option<i32> {
        None
    }

    fn parked(&self, target: &Value) -> Value {
        if is_parked(target) {
            return json!({});
        }
        // A mark of renewed pods has no meaning once there are none.
        let mut changes = config::unmarked(&target["spec"]["template"]);
        changes["spec"]["template"]["spec"]["nodeSelector"][PARKED] = json!("true");
        changes
    }

    fn unparked(&self, _release: &Release, target: &Value, _seen: &Objects) -> Value {
        if !is_parked(target) {
            return json!({});
        }
        json!({"spec": {"template": {"spec": {"nodeSelector": {PARKED: null}}}}})
    }
}

fn is_parked(daemon_set: &Value) -> bool {
    !daemon_set["spec"]["template"]["spec"]["nodeSelector"][PARKED].is_null()
}

/// Node selector of a parked DaemonSet.
const PARKED: &str = "flagger.app/scale-to-zero";

#[cfg(test)]
mod tests;
