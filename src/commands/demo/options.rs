//! The options of `demo`.

use clap::Args;

/// The arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct DemoOptions {
    /// Let simulated viewers poll the reports of a busy day, sped up 60 times, and print what they get each 10 s
    #[arg(long)]
    busy: bool,
}

/// Who asks the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DemoTraffic {
    /// The person at the terminal.
    ByHand,
    /// Simulated viewers.
    Busy,
}

// === impl DemoOptions ===

impl DemoOptions {
    pub(super) fn traffic(&self) -> DemoTraffic {
        if self.busy { DemoTraffic::Busy } else { DemoTraffic::ByHand }
    }
}

// === impl DemoTraffic ===

impl DemoTraffic {
    /// The command line.
    #[cfg(not(feature = "demo"))]
    pub(super) const fn as_command(self) -> &'static str {
        match self {
            Self::ByHand => "demo",
            Self::Busy => "demo --busy",
        }
    }
}
