//! Steps that wrap a call, each an `async fn handle(request, next)`, and the two places where they meet tower.
//!
//! A step borrows what stands below it, so that a whole stack of them is one future: no box, no clone and no
//! `poll_ready` for each. Below them stands a [`TowerService`]; above them [`SharedService`] makes one of them all. Must
//! never know what is called.

mod service;
mod step;

pub(crate) use service::SharedService;
pub use service::TowerService;
pub(crate) use step::{Middleware, Next, step};
