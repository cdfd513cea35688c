//! Which kinds of target there are. A new one is its file and a line here.

use super::Workload;
use super::daemonset::DaemonSet;
use super::deployment::Deployment;
use crate::api::release::TargetKind;

/// The workload of a kind; `None` for those that this controller does not release yet.
pub fn workload(kind: TargetKind) -> Option<&'static dyn Workload> {
    match kind {
        TargetKind::Deployment => Some(&Deployment),
        TargetKind::DaemonSet => Some(&DaemonSet),
        TargetKind::Service | TargetKind::Knative => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(TargetKind::Deployment, true)]
    #[case(TargetKind::DaemonSet, true)]
    #[case(TargetKind::Service, false)]
    #[case(TargetKind::Knative, false)]
    fn every_kind_is_either_released_or_known_as_not_yet(#[case] kind: TargetKind, #[case] released: bool) {
        assert_eq!(workload(kind).is_some(), released);
    }
}
