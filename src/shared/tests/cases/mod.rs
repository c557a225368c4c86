//! The cases of the conformance suite.

pub(super) mod calls;
pub(super) mod changes;
pub(super) mod epochs;
pub(super) mod flights;
pub(super) mod members;
pub(super) mod purges;
pub(super) mod replica;
pub(super) mod reports;
pub(super) mod tokens;
