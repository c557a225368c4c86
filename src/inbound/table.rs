//! The response that shows a report as a table. It is made anew for each request, off the runtime's threads: only the report
//! itself is kept in memory.

use std::{io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::{RequestId, Responder, negotiate::Negotiated};
use crate::{
    cache::Served,
    quota::WallClock,
    report::{Answer, Cause, FetchError, LocalDenial, NoClicks, ReportKey, Representation, TableFormat},
    server::{Body, Coding},
};

/// How many tables are made at a time: a large report takes tens of milliseconds and its size in memory.
const AT_A_TIME: usize = 4;

/// What a request wants to see of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// The upstream's bytes.
    Report,
    /// A table made from it.
    Table(TableFormat),
    /// Not the report: whether its activity was sent.
    Activity,
}

/// Builds the responses that are tables.
#[derive(Debug)]
pub(crate) struct TableResponder {
    responder: Arc<Responder>,
    clock: WallClock,
    turns: Arc<Semaphore>,
    /// From the request's head on (`server.request_timeout`).
    deadline: Duration,
}

// === impl TableResponder ===

impl TableResponder {
    /// Takes the usual headers from `responder`, and from `clock` when a report was given. A request waits for its turn until
    /// `deadline` after its head.
    pub(crate) fn new(responder: Arc<Responder>, clock: WallClock, deadline: Duration) -> Self {
        Self { responder, clock, turns: Arc::new(Semaphore::new(AT_A_TIME)), deadline }
    }

    /// The response to a request for the report `key` in this format, whose head came at `start`.
    ///
    /// # Errors
    /// [`LocalDenial::Overloaded`] if its turn has not come in time; [`Cause::Internal`] if no table could be made.
    pub(super) async fn respond(
        &self,
        (key, format): (ReportKey, TableFormat),
        served: &Served,
        (negotiated, start): (Negotiated, Instant),
        headers: &HeaderMap,
        id: &RequestId,
    ) -> Result<Response<Body>, FetchError> {
        match served.entry.answer() {
            Answer::Report(_) => {}
            Answer::Negative(_) => {
                return Ok(self.responder.respond_plain(served, negotiated, headers, Some(id)));
            }
        }
        let turn = timeout_at(start + self.deadline, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(LocalDenial::Overloaded)?;
        // A miss, and whoever had to wait for a turn, has waited since the lookup.
        let served = &Served { age: served.entry.age(Instant::now()), ..served.clone() };
        let table =
            self.table((key, format), served, negotiated.coding(), turn).await.ok_or(Cause::Internal)?;
        let mut response = self.responder.show_made(served, negotiated, headers, &table);
        if response.status() == StatusCode::OK {
            let disposition =
                HeaderValue::from_str(&disposition(key, format)).map_err(|_| Cause::Internal)?;
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(format)));
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        Ok(response)
    }

    async fn table(
        &self,
        (key, format): (ReportKey, TableFormat),
        served: &Served,
        coding: Coding,
        turn: OwnedSemaphorePermit,
    ) -> Option<Representation> {
        let as_of = self.clock.now().checked_sub(served.age)?;
        let entry = Arc::clone(&served.entry);
        // Ends early only with the runtime, or by a panic, which the panic hook has logged. It goes on, and keeps its turn, when
        // the client hangs up.
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let plain = entry.report()?.table(key.id, as_of, format)?;
            match coding {
                Coding::Identity => Some(plain),
                Coding::Gzip => {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                    encoder.write_all(plain.body()).ok()?;
                    Some(Representation::new(&encoder.finish().ok()?))
                }
            }
        });
        made.await.ok().flatten()
    }
}

const fn content_type(format: TableFormat) -> &'static str {
    match format {
        TableFormat::Csv => "text/csv; charset=utf-8; header=present",
        TableFormat::Json => "application/json",
    }
}

/// A browser saves a CSV file, and shows JSON. The name has only what was parsed: an id, and which links are listed.
fn disposition(key: ReportKey, format: TableFormat) -> String {
    let kind = match format {
        TableFormat::Csv => "attachment",
        TableFormat::Json => "inline",
    };
    let links = match key.no_clicks {
        NoClicks::Omitted => "links",
        NoClicks::Listed => "all-links",
    };
    format!("{kind}; filename=\"{links}-{}{}\"", key.id, format.extension())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::header::AGE;
    use tokio::time::sleep;
    use tower::{Layer as _, ServiceExt as _, service_fn};

    use super::*;
    use crate::{
        cache::{
            CacheLayer, CacheOptions, CacheRequest, PlanClock, RefreshSchedule, ReportCache, Revalidate,
            StatusChecking, Unanswered,
        },
        inbound::cache_status::CACHE_STATUS,
        refresh::ShadowMode,
        report::{
            Call, ClientNumber, Fetched, QuotaPressure, QuotaPressureFn,
            testing::{good, key, policy, report},
        },
        server::AllowedOrigins,
        telemetry::Metrics,
    };

    /// A report that is served from the cache, and was fetched just now.
    async fn hit() -> Served {
        let now = SystemTime::UNIX_EPOCH;
        let options = CacheOptions {
            lifetimes: policy(),
            max_bytes: 1 << 20,
            client_no_cache_interval: Duration::ZERO,
            refresh: RefreshSchedule::Fixed,
            derivation: ShadowMode::Off,
            statuses: StatusChecking::Off,
            clock: PlanClock::starting_at(now),
        };
        let normal = QuotaPressureFn::new(|_now| QuotaPressure::Normal);
        let memory = Arc::new(ReportCache::new(options, normal, Metrics::new().cache));
        let upstream = service_fn(|_call: Call| async {
            Ok::<_, FetchError>(Fetched { answer: report(r#"{"link_url":"a"}"#), ..good() })
        });
        let cache = CacheLayer::new(memory).layer(upstream);
        let request =
            CacheRequest { key: key(1), revalidate: Revalidate::WhenStale, client: ClientNumber::ANONYMOUS };
        let Err(Unanswered::Miss(miss)) = cache.lookup(request, Instant::now()) else { panic!("held") };
        cache.clone().oneshot(miss).await.unwrap();
        cache.lookup(request, Instant::now()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_of_a_table_that_waited_for_its_turn_has_the_wait_in_it() {
        let (responder, clock) = (Responder::new(AllowedOrigins::default()), SystemTime::UNIX_EPOCH);
        let deadline = Duration::from_secs(15);
        let tables = TableResponder::new(Arc::new(responder), WallClock::starting_at(clock), deadline);
        let (served, headers, id) = (hit().await, HeaderMap::new(), RequestId::new());
        let busy = Arc::clone(&tables.turns).acquire_many_owned(AT_A_TIME as u32).await.unwrap();
        let wanted = (Negotiated::of(&headers), Instant::now());
        let waiting = tables.respond((key(1), TableFormat::Csv), &served, wanted, &headers, &id);
        let others_end = async {
            sleep(Duration::from_secs(10)).await;
            drop(busy);
        };
        let (response, ()) = tokio::join!(waiting, others_end);
        let headers = response.unwrap().into_parts().0.headers;
        assert_eq!(headers[AGE], "10");
        assert_eq!(headers[CACHE_STATUS], "link-report-proxy; hit; ttl=290");
    }
}
