//! References from one object to another.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of an object that may live in another namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CrossRef {
    /// Name of the object.
    pub name: String,
    /// The Canary's namespace when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}
