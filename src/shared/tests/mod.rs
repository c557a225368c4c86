//! Tests of the store's backends: one conformance suite for the model, for the wire format and for real servers.

pub(super) mod backend;
mod cases;
mod conformance;
pub(super) mod every_operation;
pub(super) mod fake_server;
mod hostile;
mod leaving;
mod memory_faults;
pub(super) mod operation;
mod random_replica;
mod servers;
pub(super) mod test_server;
pub(super) mod wire_values;
