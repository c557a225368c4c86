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

use super::{
    RequestId, Responder,
    negotiate::{Coding, Negotiated},
};
use crate::{
    cache::Served,
    quota::WallClock,
    report::{Answer, Cause, FetchError, LocalDenial, NoClicks, ReportKey, Representation, TableFormat},
    server::Body,
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
        // The age at this moment, not that of the lookup: a miss has waited since.
        let as_of = self.clock.now().checked_sub(served.entry.age(Instant::now()))?;
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
