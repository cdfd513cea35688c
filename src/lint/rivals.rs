//! Canaries that would undo each other's work.

use super::book::Book;
use super::code::Code;
use super::world::{Object, World};

/// A Canary, and what it claims.
pub struct Claim<'a> {
    /// The Canary.
    pub object: &'a Object,
    /// Its target, `Deployment frontend`.
    pub target: String,
    /// The name of its Service.
    pub service: String,
    /// Its namespace as written.
    pub namespace: &'a str,
}

/// Writes down which of the earlier Canaries has the same target or Service as `claim`. Canaries of one name are variants
/// of one object, of which the cluster has one.
pub fn check(world: &World<'_>, claim: &Claim<'_>, earlier: &[Claim<'_>], book: &mut Book<'_>) {
    let others = || {
        earlier.iter().filter(|other| {
            other.object.name() != claim.object.name()
                && (other.namespace == claim.namespace
                    || world.is_in(
                        other.object,
                        if claim.namespace.is_empty() { world.namespace } else { claim.namespace },
                    ))
        })
    };
    if let Some(other) = others().find(|other| other.target == claim.target) {
        let sentence = format!(
            "{} is the target of Canary {} as well: delete one of the two",
            claim.target,
            other.object.name()
        );
        book.say(Code::SharedTarget, "spec.targetRef.name", &sentence);
    } else if let Some(other) = others().find(|other| other.service == claim.service) {
        let sentence = format!(
            "Service {} belongs to Canary {} as well: write another spec.service.name into one of the two",
            claim.service,
            other.object.name()
        );
        let field = if book.exists("spec.service.name") { "spec.service.name" } else { "spec.service" };
        book.say(Code::SharedService, field, &sentence);
    }
}
