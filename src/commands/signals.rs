//! SIGTERM and SIGINT: the first starts the graceful shutdown, the second ends the process at once.

use std::future::Future;

use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

/// Counts signals since it was created.
#[derive(Debug)]
pub(super) struct Signals(watch::Receiver<u32>);

// === impl Signals ===

impl Signals {
    pub(super) fn catch() -> anyhow::Result<Self> {
        let mut terminate =
            signal(SignalKind::terminate()).context("cannot install a handler for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot install a handler for SIGINT")?;
        let (count, seen) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                either(&mut terminate, &mut interrupt).await;
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(seen))
    }

    /// Completes with the first signal.
    pub(super) fn first(&self) -> impl Future<Output = ()> + use<> {
        self.nth(1)
    }

    /// Completes with the second signal.
    pub(super) fn second(&self) -> impl Future<Output = ()> + use<> {
        self.nth(2)
    }

    fn nth(&self, nth: u32) -> impl Future<Output = ()> + use<> {
        let mut seen = self.0.clone();
        async move {
            let _seen = seen.wait_for(|count| *count >= nth).await;
        }
    }
}

/// SIGHUP: the settings are read again. From now on it does not end the process.
pub(super) fn hangup() -> anyhow::Result<Signal> {
    signal(SignalKind::hangup()).context("cannot install a handler for SIGHUP")
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
