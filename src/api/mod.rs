//! The manifests: CRD types, their defaults, validation and old forms; and the plain words (traffic, objects,
//! readiness) that the rooms above share. No I/O.

pub mod alert_provider;
pub mod analysis;
pub mod answer;
pub mod canary;
pub mod crds;
pub mod decode;
pub mod defaults;
pub mod duration;
pub mod hooks;
pub mod legacy;
pub mod metric_template;
mod notes;
pub mod number;
pub mod object;
pub mod read;
pub mod release;
pub mod request;
pub mod schema;
pub mod service;
mod service_schema;
pub mod status;
pub mod traffic;
mod unknown;
mod validate;
pub mod workload;

pub use alert_provider::{AlertProvider, AlertProviderSpec};
pub use canary::{Canary, CanarySpec};
pub use metric_template::{MetricTemplate, MetricTemplateSpec};
pub use release::{Problem, Reading, Release, Settings};
pub use status::{CanaryCondition, CanaryStatus, Phase};
