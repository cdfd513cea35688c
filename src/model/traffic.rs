//! Traffic between primary and canary: the words that the core and the routers share.

use std::time::Duration;

use serde::Serialize;

/// How long every proxy is given to hear of a change, unless its mesh takes longer: the pods of a side stay so long after
/// it lost its traffic, and a side whose first pods got ready waits so long for traffic.
pub const SETTLE: Duration = Duration::from_secs(5);

/// Who gets how much. The two sides always add up to 100, so only one is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Split {
    canary: u32,
}

impl Split {
    /// All traffic on the primary.
    pub const PRIMARY: Self = Self { canary: 0 };
    /// All traffic on the canary.
    pub const CANARY: Self = Self { canary: 100 };

    /// The canary gets `percent`, at most 100.
    pub fn canary_gets(percent: u32) -> Self {
        Self { canary: percent.min(100) }
    }

    /// The canary's share in percent.
    pub fn canary(self) -> u32 {
        self.canary
    }

    /// The primary's share in percent.
    pub fn primary(self) -> u32 {
        100 - self.canary
    }
}

/// One of the three Services of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Side {
    /// The Service that users call.
    Apex,
    /// The Service in front of the primary.
    Primary,
    /// The Service in front of the canary.
    Canary,
}

/// What a mesh is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteWish {
    /// How the requests are shared between primary and canary.
    pub split: Split,
    /// Copy requests to the canary as well.
    pub mirror: bool,
    /// The cookies that keep a user on one side.
    pub cookies: Cookies,
}

/// Session affinity cookies, `name=VALUE` each, as they stand in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cookies {
    /// The cookie of users on the canary.
    pub canary: Option<String>,
    /// The cookie of users on the primary.
    pub primary: Option<String>,
    /// Of the last run: clients that still hold it are told to drop it.
    pub previous: Option<String>,
}

/// What a mesh is told now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteState {
    /// How the requests are shared between primary and canary.
    pub split: Split,
    /// Whether requests are copied to the canary as well.
    pub mirrored: bool,
}

/// Whether the mesh works by the routes that it was told. A route that was written is not yet a route that works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Acceptance {
    /// It does, or it never says.
    #[default]
    Accepted,
    /// It does not yet; the text is the mesh's reason, for the user.
    Pending(String),
}

/// What a router can do; everything else is refused before a release starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Split by weight; without it a release is blue/green.
    pub weights: bool,
    /// Send requests that match to the canary.
    pub matching: bool,
    /// Copy requests to the canary in a weighted release.
    pub mirror_weighted: bool,
    /// Copy requests to the canary in a blue/green release.
    pub mirror_blue_green: bool,
    /// Keep a user on one side by a cookie.
    pub session_affinity: bool,
}

impl Capabilities {
    /// A split by weight, and nothing else.
    pub const WEIGHTS: Self = Self {
        weights: true,
        matching: false,
        mirror_weighted: false,
        mirror_blue_green: false,
        session_affinity: false,
    };

    /// Everything that a router can do.
    pub const ALL: Self = Self {
        weights: true,
        matching: true,
        mirror_weighted: true,
        mirror_blue_green: true,
        session_affinity: true,
    };

    /// No share of the traffic can be moved.
    pub const NONE: Self = Self {
        weights: false,
        matching: false,
        mirror_weighted: false,
        mirror_blue_green: false,
        session_affinity: false,
    };
}
