//! The types on the wire: the custom resources as users write them and as the API server stores them (spec 01), and
//! their CRDs. It does no I/O and uses nothing else of this project.

#![warn(missing_docs)]

pub mod alert_provider;
pub mod analysis;
pub mod canary;
pub mod crds;
pub mod duration;
pub mod hooks;
pub mod metric_template;
pub mod number;
pub mod provider;
pub mod reference;
pub mod route_template;
pub mod schema;
pub mod service;
pub mod service_field;
mod service_schema;
pub mod status;

pub use alert_provider::{AlertProvider, AlertProviderSpec};
pub use canary::{Canary, CanarySpec};
pub use metric_template::{MetricTemplate, MetricTemplateSpec};
pub use provider::Provider;
pub use route_template::{RouteTemplate, RouteTemplateSpec};
pub use service_field::ServiceField;
pub use status::{CanaryCondition, CanaryStatus, Phase};
