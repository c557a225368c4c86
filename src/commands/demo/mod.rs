//! `demo`: the proxy in front of a simulated Constant Contact, in one process, on loopback. With `--busy`, simulated
//! viewers poll the reports of a busy day ([`busy_day`], [`viewers`]), and lines tell what they get ([`progress`]). With
//! `--replicas`, several proxies share a store ([`replicas`]).

#[cfg(feature = "demo")]
mod answers;
#[cfg(feature = "demo")]
mod busy_day;
#[cfg(feature = "demo")]
mod command;
#[cfg(feature = "demo")]
mod day_before;
#[cfg(feature = "demo")]
mod greeting;
#[cfg(not(feature = "demo"))]
mod not_built;
mod options;
#[cfg(feature = "demo")]
mod progress;
#[cfg(feature = "demo")]
mod replicas;
#[cfg(feature = "demo")]
mod viewers;

#[cfg(feature = "demo")]
pub(super) use command::run;
#[cfg(not(feature = "demo"))]
pub(super) use not_built::run;
pub(super) use options::DemoOptions;
