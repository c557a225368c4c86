//! link-report-proxy: a caching reverse proxy for Constant Contact's email link reports.
//!
//! A module imports modules of lower layers only, never a sibling, and a type's name occurs once in the crate;
//! `tests/it/layers.rs` keeps both.
//!
//! | layer | module | what it is for |
//! |---|---|---|
//! | 6 | [`commands`] | what a person or an orchestrator asks of the binary |
//! | 5 | [`app`] | both stacks, top to bottom, and the life of the process |
//! | 4 | [`inbound`] | the data port: request -> report key -> response; the error table |
//! | 4 | [`admin`] | the admin port: metrics, readiness, explaining, purging |
//! | 4 | [`plan`] | a day replayed through the machines of `refresh`: what a refresh policy makes of it |
//! | 3 | [`cache`] | entries, freshness, single flight, stale answers, failing keys |
//! | 3 | [`quota`] | what may be spent: the daily budget, the pace within a second, the upstream's lockout |
//! | 3 | [`refresh`] | when a report is worth a call: campaigns, the rule, the price of a call; pure |
//! | 3 | [`resilience`] | circuit breaker and retry |
//! | 3 | [`token`] | the one OAuth token: renewed, persisted, sent; back-off after 401s |
//! | 3 | [`server`] | sockets, slow and idle peers, graceful drain, bearer auth: what both ports share |
//! | 2 | [`upstream`] | the HTTP client: connect, request, response, body |
//! | 2 | [`state`] | what outlives the process, as ports: the token's record, the day's calls; kept in memory or in a file |
//! | 1 | [`report`] | the domain: keys, reports, negative answers, errors, lifetimes; no I/O, no clock |
//! | 1 | [`middleware`] | steps that wrap an upstream call, as `async fn handle(call, next)` |
//! | 1 | [`settings`] | every key, its layers and its checks |
//! | 1 | [`telemetry`] | metrics and logs |
//! | 1 | `simulator` | a simulated Constant Contact, for tests and, with the feature `demo`, for that command |
//! | 0 | `backoff` | pauses that double, and jitter |
//! | 0 | `outage` | a repeated failure is reported once |
//!
//! Words with one meaning each: a *report* is the resource; a *key* is its activity id and `no_clicks`; a *flight* is one
//! fetch that many requests wait for; tokens are *renewed*, reports are *refreshed*; a *miss* finds no usable entry; an
//! *uncached report* has none; a *negative answer* is the upstream's 400 or 404; a *lockout* follows `quota_exceeded`.

pub mod admin;
pub mod app;
mod backoff;
pub mod cache;
pub mod commands;
pub mod inbound;
pub mod middleware;
mod outage;
pub mod plan;
pub mod quota;
pub mod refresh;
pub mod report;
pub mod resilience;
pub mod server;
pub mod settings;
#[cfg(any(test, feature = "demo"))]
pub mod simulator;
pub mod state;
pub mod telemetry;
pub mod token;
pub mod upstream;
