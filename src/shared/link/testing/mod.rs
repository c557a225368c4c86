//! Servers for tests: a fake one over pipes, and a real one.

mod fake_server;
mod fake_store;
mod real_server;
mod resp;

pub(in crate::shared) use fake_server::StoreFault;
pub(in crate::shared) use fake_store::{FakeEngine, FakeStore};
pub(in crate::shared) use real_server::RealServer;
