//! The classes of Ingresses that can be divided, and the routers that do it.

use serde_json::Value;

use crate::router::Router;
use crate::router::alb::Alb;
use crate::router::ingress;
use crate::router::nginx::Nginx;
use crate::router::skipper::Skipper;

/// How a class of Ingresses is called in the names of classes.
const NGINX: &str = "nginx";
const SKIPPER: &str = "skipper";
const ALB: &str = "alb";

/// How much of an Ingress has to be meant.
#[derive(Clone, Copy)]
pub(super) enum Whole {
    /// Any paths.
    Paths,
    /// All paths of a rule that lead to the release, and why.
    Rule(&'static str),
    /// All that lead to the release, and why.
    Ingress(&'static str),
}

/// A controller of Ingresses that can divide requests.
#[derive(Clone, Copy)]
pub(super) enum Class {
    Nginx,
    Skipper,
    Alb,
}

impl Class {
    /// Who divides its Ingresses.
    pub(super) fn router(self) -> &'static dyn Router {
        match self {
            Self::Nginx => &Nginx,
            Self::Skipper => &Skipper,
            Self::Alb => &Alb,
        }
    }

    /// How much of an Ingress has to be meant.
    pub(super) fn takes(self) -> Whole {
        match self {
            Self::Nginx => Whole::Paths,
            Self::Skipper => Whole::Rule(
                "but Skipper chooses among all paths of a host at once: mean all of the rule, or write a rule of its own",
            ),
            Self::Alb => Whole::Ingress(
                "cannot be chosen for a load balancer, whose action is one for the whole Ingress: remove it, and give the \
                 other paths the number of the port in place of use-annotation",
            ),
        }
    }
}

/// The controller of an Ingress, by the name of its class: `nginx`, or with a word before or after it, `nginx-internal`.
///
/// # Errors
/// If it is none that can divide requests. The text goes behind the Ingress.
pub(super) fn of(live: &Value) -> Result<Class, String> {
    let known =
        format!("known are {NGINX}, {SKIPPER} and {ALB}, also as one word of several (internal-{NGINX})");
    let Some(class) = ingress::class(live) else {
        return Err(format!(
            "has no class, so that nobody knows who serves it: write spec.ingressClassName; {known}"
        ));
    };
    let words: Vec<&str> = class.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    let classes = [(NGINX, Class::Nginx), (SKIPPER, Class::Skipper), (ALB, Class::Alb)];
    let mut found = classes.into_iter().filter(|(name, _)| words.contains(name)).map(|(_, class)| class);
    match (found.next(), found.next()) {
        (Some(class), None) => Ok(class),
        _ if words.contains(&"traefik") => Err(format!(
            "has the class {class:?}, and no annotation gives weights to an Ingress of Traefik: adopt a TraefikService or an \
             HTTPRoute in its place, or serve it by Traefik's provider for NGINX's Ingresses (docs/routers.md)"
        )),
        _ => Err(format!("has the class {class:?}, whose way to divide requests is not known: {known}")),
    }
}
