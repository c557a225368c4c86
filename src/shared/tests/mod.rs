//! Tests of the store's backends: one conformance suite for the model, for the wire format and for real servers.

mod backend;
mod cases;
mod conformance;
mod every_operation;
mod fake_server;
mod hostile;
mod operation;
mod random_replica;
mod servers;
mod test_server;
mod wire_values;
