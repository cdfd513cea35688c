//! No mesh (spec 03 §3): the apex Service points at the primary all the time, so there is nothing to tell anybody.

use super::{Error, Router};
use crate::model::object::{ObjectId, Objects, Write};
use crate::model::release::Release;
use crate::model::traffic::{Capabilities, RouteState, RouteWish};
use crate::model::workload::TargetShape;

/// Plain Kubernetes Services.
pub struct Kubernetes;

impl Router for Kubernetes {
    fn capabilities(&self, _release: &Release) -> Capabilities {
        Capabilities {
            weights: false,
            matching: false,
            mirror_weighted: false,
            mirror_blue_green: false,
            session_affinity: false,
        }
    }

    fn reads(&self, _release: &Release) -> Vec<ObjectId> {
        Vec::new()
    }

    /// Always the primary.
    fn state(&self, _release: &Release, _seen: &Objects) -> Result<Option<RouteState>, Error> {
        Ok(Some(RouteState::default()))
    }

    fn plan(
        &self,
        _release: &Release,
        _shape: &TargetShape,
        _wish: &RouteWish,
        _seen: &Objects,
    ) -> Result<Vec<Write>, Error> {
        Ok(Vec::new())
    }

    fn finalize(&self, _release: &Release, _seen: &Objects) -> Result<Vec<Write>, Error> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::traffic::Split;
    use crate::router::testing::{release, shape};

    // spec: 03/NOP-01
    #[test]
    fn traffic_stays_on_the_primary_and_nothing_is_written() {
        let (release, nothing) = (release(), Objects::default());
        let wish = RouteWish { split: Split::CANARY, ..RouteWish::default() };
        assert_eq!(Kubernetes.plan(&release, &shape(), &wish, &nothing), Ok(vec![]));
        assert_eq!(Kubernetes.finalize(&release, &nothing), Ok(vec![]));
        assert_eq!(
            Kubernetes.state(&release, &nothing),
            Ok(Some(RouteState { split: Split::PRIMARY, mirrored: false }))
        );
    }
}
