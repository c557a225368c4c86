//! Middleware: steps around a call, each an `async fn handle(request, next)`, and the adapters to and from tower.
//!
//! A step borrows the next one, so that a whole stack is one future: no box, no clone and no `poll_ready` per step.
//! [`TowerService`] adapts the tower service at the bottom, and [`SharedService`] makes the stack a tower service. This
//! module must not know what is called.

mod service;
mod step;

pub(crate) use service::SharedService;
pub use service::TowerService;
pub(crate) use step::{Middleware, Next, step};
