//! The clients by name: the label `client`, and the calls that each has caused.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use prometheus::{IntCounter, IntCounterVec};

use super::series::SeriesFactory;

/// How many names there can be while the process runs.
const CAPACITY: usize = 256;

/// The names of clients that no token names, by their numbers: those of `report::ClientNumber`.
const RESERVED: [&str; 4] = ["anonymous", "proxy", "unnamed", "other"];

/// The clients' names, each with a number that it keeps while the process runs. Cheap to clone; reading one takes no lock.
#[derive(Debug, Clone)]
pub struct ClientMetrics {
    calls: IntCounterVec,
    table: Arc<ClientTable>,
}

#[derive(Debug)]
struct ClientTable {
    clients: [OnceLock<NamedClient>; CAPACITY],
    /// The number of the next new name.
    next: Mutex<usize>,
    /// The day of `calls_before`: days since 1970-01-01.
    day: Mutex<u64>,
}

#[derive(Debug)]
struct NamedClient {
    name: Box<str>,
    calls: IntCounter,
    /// Those of the days before.
    calls_before: AtomicU64,
}

// === impl ClientMetrics ===

impl ClientMetrics {
    pub(super) fn new(series: &SeriesFactory<'_>) -> Self {
        let calls = series.counters(
            "client_calls_total",
            "Calls sent to the upstream, by the client whose request was the reason (proxy: none was).",
            &["client"],
        );
        let clients = [const { OnceLock::new() }; CAPACITY];
        let table = ClientTable { clients, next: Mutex::new(0), day: Mutex::new(0) };
        let metrics = Self { calls, table: Arc::new(table) };
        for name in RESERVED {
            let _number = metrics.number(name);
        }
        metrics
    }

    /// The number of the client with this name; a name that is new gets the next one. `None`: there are 256 already.
    pub fn number(&self, name: &str) -> Option<usize> {
        let mut next = self.table.next.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            self.table.clients.iter().position(|slot| slot.get().is_some_and(|client| *client.name == *name));
        known.or_else(|| {
            let slot = self.table.clients.get(*next)?;
            slot.get_or_init(|| NamedClient {
                name: name.into(),
                calls: self.calls.with_label_values(&[name]),
                calls_before: AtomicU64::new(0),
            });
            let number = *next;
            *next += 1;
            Some(number)
        })
    }

    /// The name of the client with this number.
    pub fn name(&self, number: usize) -> &str {
        self.client(number).map_or("other", |client| &client.name)
    }

    /// A call was sent because of a request of the client with this number.
    pub fn called(&self, number: usize) {
        if let Some(client) = self.client(number) {
            client.calls.inc();
        }
    }

    /// Now is this day, in days since 1970-01-01. To be called before a call of that day is counted.
    pub fn on_day(&self, day: u64) {
        let mut known = self.table.day.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != day {
            *known = day;
            for client in self.known() {
                client.calls_before.store(client.calls.get(), Ordering::Relaxed);
            }
        }
    }

    /// Each client's name, with the calls that it has caused today.
    pub fn calls_today(&self) -> impl Iterator<Item = (&str, u64)> {
        let today = |client: &NamedClient| {
            client.calls.get().saturating_sub(client.calls_before.load(Ordering::Relaxed))
        };
        self.known().map(move |client| (&*client.name, today(client)))
    }

    /// Whether no token has this name.
    pub fn is_reserved(name: &str) -> bool {
        RESERVED.contains(&name)
    }

    fn known(&self) -> impl Iterator<Item = &NamedClient> {
        self.table.clients.iter().filter_map(OnceLock::get)
    }

    fn client(&self, number: usize) -> Option<&NamedClient> {
        self.table.clients.get(number).and_then(OnceLock::get)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;

    #[test]
    fn a_name_keeps_its_number_and_the_table_is_full_at_some_time() {
        let clients = Metrics::new().clients;
        let first = clients.number("sales").unwrap();
        assert_eq!((clients.number("sales"), clients.name(first)), (Some(first), "sales"));
        let numbers: Vec<_> = (0..300).filter_map(|name| clients.number(&format!("client-{name}"))).collect();
        assert_eq!(numbers, (first + 1..256).collect::<Vec<_>>());
        assert_eq!(clients.number("sales"), Some(first));
    }

    #[test]
    fn calls_are_counted_by_name() {
        let metrics = Metrics::new();
        let sales = metrics.clients.number("sales").unwrap();
        metrics.clients.called(sales);
        metrics.clients.called(sales);
        assert!(
            metrics.render().unwrap().contains("link_report_proxy_client_calls_total{client=\"sales\"} 2\n")
        );
        assert_eq!(
            metrics.clients.calls_today().collect::<Vec<_>>(),
            [("anonymous", 0), ("proxy", 0), ("unnamed", 0), ("other", 0), ("sales", 2)]
        );
    }

    #[test]
    fn calls_of_earlier_days_are_not_those_of_today() {
        let metrics = Metrics::new();
        let sales = metrics.clients.number("sales").unwrap();
        let sales_today = || metrics.clients.calls_today().find(|(name, _)| *name == "sales").unwrap().1;
        metrics.clients.on_day(20_000);
        metrics.clients.called(sales);
        metrics.clients.called(sales);
        metrics.clients.on_day(20_000);
        assert_eq!(sales_today(), 2);
        metrics.clients.on_day(20_001);
        assert_eq!(sales_today(), 0);
        metrics.clients.called(sales);
        assert_eq!(sales_today(), 1);
        assert!(metrics.render().unwrap().contains("client_calls_total{client=\"sales\"} 3\n"));
    }
}
