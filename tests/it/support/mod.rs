//! What the tests share. For those of the real binary: a simulated vendor in this process, the binary as a child,
//! and a client that sends exactly the bytes it is told to. For those in memory: the whole proxy over pipes.

pub(crate) mod in_process;
pub(crate) mod log;
pub(crate) mod pipe;
pub(crate) mod played;
pub(crate) mod played_day;
mod proxy;
pub(crate) mod state_lock;
mod upstream;
mod wire;

pub(crate) use self::proxy::{PATIENCE, Proxy, Run, environment};
pub(crate) use self::upstream::{Upstream, synthetic};
pub(crate) use self::wire::{Answer, Wire, get, path, request};

/// The sum of the series whose text begins with `prefix`, of a `/metrics` text; `None` where there is none.
pub(crate) fn sum_of_series(metrics: &str, prefix: &str) -> Option<f64> {
    let series = metrics.lines().filter(|line| line.starts_with(prefix));
    let samples = series.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    samples.reduce(|sum, sample| Some(sum? + sample?))?
}

/// Awaits `event` for at most [`PATIENCE`], so that a broken promise fails a test instead of hanging it.
pub(crate) async fn soon<F: Future>(what: &str, event: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, event).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain: {what}"),
    }
}

/// Asks `question` again and again until it answers `Some`: for events that only polling can see.
pub(crate) async fn until<T>(what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let mut pulse = tokio::time::interval(std::time::Duration::from_millis(20));
    soon(what, async {
        loop {
            pulse.tick().await;
            if let Some(found) = question().await {
                return found;
            }
        }
    })
    .await
}
