//! Which kinds of target there are. A new one is its file and a line here.

use super::Workload;
use super::daemonset::DaemonSet;
use super::deployment::Deployment;
use super::knative::Knative;
use super::service::Service;
use crate::model::release::TargetKind;

/// The workload of a kind.
pub fn workload(kind: TargetKind) -> &'static dyn Workload {
    match kind {
        TargetKind::Deployment => &Deployment,
        TargetKind::DaemonSet => &DaemonSet,
        TargetKind::Service => &Service,
        TargetKind::Knative => &Knative,
    }
}
