//! From a manifest to a [`Release`](crate::model::release::Release): decoding, defaults, validation, old forms and
//! unknown fields. Everything that is wrong is collected with its field; behind this door nobody judges a manifest
//! again. No I/O.

#![warn(missing_docs)]

pub mod decode;
pub mod defaults;
pub mod legacy;
mod notes;
pub mod read;
pub mod unknown;
mod validate;

pub use crate::model::nearest;
