//! link-report-proxy: a caching reverse proxy for Constant Contact's email link reports.
//!
//! A module imports modules of lower layers only, never a sibling, and a type's name occurs once in the crate;
//! `tests/it/layers.rs` keeps both.
//!
//! | layer | module | what it is for |
//! |---|---|---|
//! | 6 | `fuzz` | what is fuzzed; for tests only |
//! | 6 | [`commands`] | the commands of the binary and their exit codes |
//! | 5 | [`app`] | both stacks, top to bottom; start, graceful drain and shutdown |
//! | 4 | [`inbound`] | the data port: request -> report key -> response; the error table; load shedding |
//! | 4 | [`admin`] | the admin port: metrics, readiness, explaining entries, purging |
//! | 4 | [`plan`] | a day replayed through the machines of `refresh`: what a refresh policy makes of it |
//! | 3 | [`cache`] | entries, freshness, single flight, stale-while-revalidate, stale-if-error, back-off of failing keys |
//! | 3 | [`quota`] | call limits: the daily budget, the limit per second, the lockout after `quota_exceeded` |
//! | 3 | [`resilience`] | circuit breaker and retry |
//! | 3 | [`token`] | the OAuth access token: renewing, storing, sending; back-off after 401s |
//! | 3 | [`server`] | the HTTP/1 server of both ports: header and idle timeouts, graceful drain, bearer auth |
//! | 2 | [`upstream`] | the HTTP client: connect, request, response, body |
//! | 2 | [`state`] | the state that outlives the process: the token's record, the day's calls, the refresh plan; in files or in memory |
//! | 2 | [`shared`] | what the replicas of one API key share, over Redis or Valkey: calls, reports, flights, the sealed token |
//! | 1 | [`report`] | the domain: keys, reports, negative answers, errors, lifetimes; no I/O, no clock |
//! | 1 | [`refresh`] | when a report is worth a call: campaigns, the rule, the price of a call; pure |
//! | 1 | [`middleware`] | layers made of an `async fn(request, next)` |
//! | 1 | [`settings`] | every setting: defaults, file, environment, and their checks |
//! | 1 | [`telemetry`] | metrics, logs and traces |
//! | 1 | `simulator` | a simulated Constant Contact, for tests and, with the feature `demo`, for that command |
//! | 0 | `backoff` | exponential back-off and jitter |
//! | 0 | `outage` | logs a repeated failure once |
//!
//! Each of these words has one meaning. A *report* is the resource. A *key* is its activity id and `no_clicks`. An *entry*
//! is a cached report or negative answer. A *flight* is one fetch that many requests wait for. Tokens are *renewed*,
//! reports are *refreshed*. A *miss* is a request that finds no usable entry. An *uncached* report has no entry. A
//! *negative answer* is the upstream's 400 or 404. A *lockout* follows the upstream's `quota_exceeded`.

pub mod admin;
pub mod app;
mod backoff;
pub mod cache;
pub mod commands;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
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
pub mod shared;
#[cfg(any(test, feature = "demo"))]
pub mod simulator;
pub mod state;
pub mod telemetry;
pub mod token;
pub mod upstream;
