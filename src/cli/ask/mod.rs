//! `vexil get`, `status`, `watch`, `wait`: what is known of the Canaries of a cluster, with nothing but the right to
//! read.

use clap::Args;
use serde::Serialize;

pub(super) mod get;
mod known;
mod live;
mod news;
mod next;
mod seen;
mod sight;
pub(super) mod status;
#[cfg(all(test, feature = "embedded"))]
mod tests;
mod tree;
pub(super) mod wait;
pub(super) mod watch;

/// Whether there are colours.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(super) struct Colour {
    /// No colours, as without a terminal or with NO_COLOR
    #[arg(long)]
    no_color: bool,
}

/// The mesh of Canaries that do not name one.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Mesh {
    /// The controller's -mesh-provider, for Canaries without spec.provider (by default the one whose routes are there)
    #[arg(long, value_name = "PROVIDER")]
    mesh_provider: Option<String>,
}

impl Mesh {
    fn provider(&self) -> Option<&str> {
        self.mesh_provider.as_deref()
    }
}

/// An object as text for tools.
fn object_text(object: &impl Serialize, yaml: bool) -> anyhow::Result<String> {
    Ok(if yaml { serde_saphyr::to_string(object)? } else { serde_json::to_string_pretty(object)? + "\n" })
}
