//! Files in place of a cluster, in a build without the embedded cluster.

use std::path::PathBuf;

use crate::cli::cluster::{Cluster, Trouble};

/// Says what is missing.
///
/// # Errors
/// Always.
pub(super) fn cluster(_: &[PathBuf], _: &str) -> Result<Cluster, Trouble> {
    Err(Trouble::new("this build cannot look at files: build it with the feature `embedded`"))
}
