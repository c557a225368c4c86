//! Creates every metric series at startup, at zero, with the label values of the enums that own them. An alert on
//! `increase()` misses the first event of a series that only appears with it.

use std::num::NonZeroU32;

use crate::{
    cache::SharedFlightResult,
    inbound::RequestOutcome,
    quota::{QuotaMode, Window},
    refresh::{ProbeOffReason, ProbeVerdict, ShadowStatus},
    report::{ClientNumber, DerivationMismatch, DerivedComparison, Reason},
    resilience::CircuitState,
    telemetry::{FleetMetrics, Metrics},
    token::TokenStatus,
};

/// Creates the series.
pub(super) fn announce(metrics: &Metrics) {
    announce_client(metrics, ClientNumber::ANONYMOUS);
    metrics.upstream.announce(&Reason::ALL.map(Reason::as_str));
    let (windows, modes) = (Window::ALL.map(Window::as_str), QuotaMode::ALL.map(QuotaMode::as_str));
    metrics.quota.announce(&windows, &modes, QuotaMode::Normal.as_str());
    let (states, off) = (ShadowStatus::<ProbeOffReason>::WORDS, ShadowStatus::<ProbeOffReason>::Off.as_str());
    let reasons = ProbeOffReason::ALL.map(ProbeOffReason::as_str);
    metrics.cache.probes.announce(&states, off, &ProbeVerdict::WORDS, &reasons);
    let reasons = DerivationMismatch::ALL.map(DerivationMismatch::as_str);
    metrics.cache.derivation.announce(&states, off, &DerivedComparison::WORDS, &reasons);
    metrics.circuit.announce(&CircuitState::ALL.map(CircuitState::as_str), CircuitState::Closed.as_str());
    metrics.token.announce(&TokenStatus::ALL.map(TokenStatus::as_str), TokenStatus::Missing.as_str());
}

/// Creates the series of the fleet.
pub(super) fn announce_fleet(metrics: &FleetMetrics, replicas: NonZeroU32) {
    let results = SharedFlightResult::ALL.map(SharedFlightResult::as_str);
    metrics.announce(&results, replicas.get().into());
}

/// Creates the series of a client's requests.
pub(super) fn announce_client(metrics: &Metrics, client: ClientNumber) {
    for outcome in RequestOutcome::ALL {
        for code in outcome.codes() {
            let _at_zero =
                metrics.requests.series(outcome.as_str(), code, metrics.clients.name(client.index()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_that_no_token_names_has_its_number() {
        let clients = Metrics::new().clients;
        for (number, name) in [
            (ClientNumber::ANONYMOUS, "anonymous"),
            (ClientNumber::PROXY, "proxy"),
            (ClientNumber::UNNAMED, "unnamed"),
            (ClientNumber::OTHER, "other"),
        ] {
            assert_eq!(clients.name(number.index()), name);
        }
    }

    #[test]
    fn every_series_an_alert_could_use_exists_from_the_start() {
        let metrics = Metrics::new();
        announce(&metrics);
        announce_fleet(&metrics.fleet(), NonZeroU32::new(4).unwrap());
        let text = metrics.render().unwrap();
        insta::assert_snapshot!(
            text.lines()
                .filter(|line| !line.starts_with("process_") && !line.contains(" process_"))
                .filter(|line| !line.contains("_bucket{") || line.contains("le=\"+Inf\""))
                .map(|line| line
                    .replace(env!("CARGO_PKG_VERSION"), "VERSION")
                    .replace(Metrics::revision(), "REVISION")
                    + "\n")
                .collect::<String>()
        );
    }
}
