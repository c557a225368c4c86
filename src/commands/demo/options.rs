//! The options of `demo`.

use clap::{Args, value_parser};
use secrecy::SecretString;

/// The arguments of `demo`.
#[derive(Debug, Clone, Args)]
pub(in crate::commands) struct DemoOptions {
    /// Let simulated viewers poll the reports of a busy day, sped up 60 times, and print what they get each 10 s
    #[arg(long)]
    busy: bool,
    /// Run N proxies that share calls and reports, on the ports of the settings and those that follow
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=10))]
    replicas: u16,
    /// Let them share through this Redis or Valkey instead of this process's memory; written like shared.url
    // A secret, since it may hold a password; the settings check it and never quote it.
    #[arg(long, value_name = "URL", requires = "replicas")]
    shared: Option<SecretString>,
    /// The port of the simulated Constant Contact; 0: the system chooses
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    simulator_port: u16,
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

    /// The number of proxies, from 1.
    #[cfg(feature = "demo")]
    pub(super) const fn replicas(&self) -> u16 {
        self.replicas
    }

    /// The store's URL, if they share one on a server.
    #[cfg(feature = "demo")]
    pub(super) const fn shared(&self) -> Option<&SecretString> {
        self.shared.as_ref()
    }

    /// The port of the simulated Constant Contact; 0: the system chooses.
    #[cfg(feature = "demo")]
    pub(super) const fn simulator_port(&self) -> u16 {
        self.simulator_port
    }

    /// The command line, without what may be secret.
    #[cfg(not(feature = "demo"))]
    pub(super) fn as_command(&self) -> String {
        let busy = match self.traffic() {
            DemoTraffic::ByHand => "",
            DemoTraffic::Busy => " --busy",
        };
        let replicas =
            if self.replicas > 1 { format!(" --replicas {}", self.replicas) } else { String::new() };
        let shared = if self.shared.is_some() { " --shared URL" } else { "" };
        let port = match self.simulator_port {
            0 => String::new(),
            port => format!(" --simulator-port {port}"),
        };
        ["demo", busy, &replicas, shared, &port].concat()
    }
}
