//! link-report-proxy: a caching reverse proxy for Constant Contact's email link reports.
//!
//! The map of the house. A room imports lower floors only, never a sibling; `tests/it/floors.rs` holds it to that.
//!
//! | floor | room | what it is for |
//! |---|---|---|
//! | 6 | [`commands`] | what a person or an orchestrator asks of the binary |
//! | 5 | [`app`] | both stacks, top to bottom, and the life from start to end |
//! | 4 | [`inbound`] | the road in: a request's head to a question, what was served to an answer's head |
//! | 4 | [`admin`] | the second port: metrics, readiness, explaining, purging |
//! | 3 | [`cache`] | remember, coalesce, serve stale |
//! | 3 | [`admission`] | may this call be made now |
//! | 3 | [`token`] | the one OAuth token: renewed, persisted, stamped |
//! | 3 | [`door`] | sockets, slow clients, draining, bearer tokens: what both ports share |
//! | 2 | [`upstream`] | the road out: one call, from the domain's words to the wire and back |
//! | 2 | [`state`] | what outlives the process |
//! | 1 | [`report`] | the domain: keys, answers, refusals, errors, lifetimes; no I/O, no clock |
//! | 1 | [`settings`] | every key, its layers and its checks |
//! | 1 | [`telemetry`] | metrics and logs |
//! | 1 | [`simulator`] | a simulated Constant Contact, for `demo` and for tests |

pub mod admin;
pub mod admission;
pub mod app;
pub mod cache;
pub mod commands;
pub mod door;
pub mod inbound;
pub mod report;
pub mod settings;
pub mod simulator;
pub mod state;
pub mod telemetry;
pub mod token;
pub mod upstream;
