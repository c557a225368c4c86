//! Traces: which spans a request has, and that a hit has none.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use link_report_proxy::simulator::Scope;
use tracing::{
    Instrument as _, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

use super::renewal::renewing;
use crate::support::{
    in_process::{InProcess, failure, path},
    log::hear_everything,
};

/// A span of ours, as it began.
#[derive(Debug, Clone, Default)]
struct Begun {
    name: &'static str,
    parent: Option<&'static str>,
    fields: Vec<String>,
    follows: Vec<&'static str>,
}

/// Every span of ours that begins on this thread, and with it in everything that a test's runtime runs.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<(Id, Begun)>>>);

// === impl Trace ===

impl Trace {
    fn start() -> (Self, DefaultGuard) {
        hear_everything();
        let trace = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(trace.clone()));
        (trace, guard)
    }

    /// The spans that began since the last look.
    fn take(&self) -> Vec<Begun> {
        self.0.lock().unwrap().drain(..).map(|(_, begun)| begun).collect()
    }

    /// The same: name, parent and fields of those below the data port.
    fn take_calls(&self) -> Vec<String> {
        let ours = self.take().into_iter().filter(|begun| begun.name != "request");
        ours.map(|Begun { name, parent, fields, .. }| {
            format!("{} > {name} {}", parent.unwrap_or("-"), fields.join(" "))
        })
        .collect()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Trace {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target().starts_with("link_report_proxy") {
            let parent = context.span(id).and_then(|span| span.parent()).map(|parent| parent.name());
            let mut begun = Begun { name: metadata.name(), parent, ..Begun::default() };
            attributes.record(&mut begun);
            self.0.lock().unwrap().push((id.clone(), begun));
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: Context<'_, S>) {
        let followed = context.span(follows).map(|span| span.name()).unwrap();
        if let Some((_, begun)) = self.0.lock().unwrap().iter_mut().find(|(begun, _)| begun == id) {
            begun.follows.push(followed);
        }
    }
}

impl Visit for Begun {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.push(format!("{field}={value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push(format!("{field}={value}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_one_fetch_whose_attempt_waited_for_its_turn_and_a_hit_has_no_span() {
    let (trace, _guard) = Trace::start();
    let proxy = InProcess::new();
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    assert_eq!(
        trace.take_calls(),
        [
            "- > fetch id=00000001-0000-4000-8000-000000000002 no_clicks=false reason=miss",
            "fetch > attempt number=1",
            "attempt > quota.wait reason=miss",
        ]
    );
    for _ in 0..3 {
        assert_eq!(proxy.get(&path(1)).await.status, 200);
    }
    let spans = trace.take();
    assert!(spans.is_empty(), "a hit: {spans:?}");
    // Stale: answered at once, and refreshed behind.
    tokio::time::sleep(Duration::from_secs(310)).await;
    assert!(proxy.get(&path(1)).await.cache_status().starts_with("hit"));
    proxy.settled(crate::support::in_process::key(1)).await;
    let fetch = "- > fetch id=00000001-0000-4000-8000-000000000002 no_clicks=false reason=refresh";
    assert_eq!(trace.take_calls()[0], fetch);
}

#[tokio::test(start_paused = true)]
async fn a_retry_is_a_second_attempt_of_the_same_fetch() {
    let (trace, _guard) = Trace::start();
    let proxy = InProcess::new();
    proxy.vendor.inject(failure(503), Scope::Next(1));
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    assert_eq!(
        trace.take_calls()[1..],
        [
            "fetch > attempt number=1",
            "attempt > quota.wait reason=miss",
            "fetch > attempt number=2",
            "attempt > quota.wait reason=retry",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_many_wait_for_is_nobody_s_child_and_follows_from_the_request_that_began_it() {
    let (trace, _guard) = Trace::start();
    let proxy = InProcess::new();
    let callers = (0..5).map(|_| proxy.call(&path(1)).instrument(tracing::debug_span!("caller")));
    for answer in futures_util::future::join_all(callers).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    let spans = trace.take();
    let fetches: Vec<_> = spans.iter().filter(|span| span.name == "fetch").collect();
    let [fetch] = &fetches[..] else { panic!("{spans:?}") };
    assert_eq!((fetch.parent, fetch.follows.len()), (None, 1), "{fetch:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_of_the_token_is_a_span_of_its_own_and_no_span_shows_a_token() {
    let (trace, _guard) = Trace::start();
    let proxy = renewing();
    assert_eq!(proxy.get(&path(1)).await.status, 200);
    let first = proxy.vendor.access_token();
    proxy.vendor.revoke_access_tokens();
    assert_eq!(proxy.get(&path(2)).await.status, 200);
    let spans = trace.take_calls();
    let renewals: Vec<_> = spans.iter().filter(|span| span.contains("> token.renew ")).collect();
    assert_eq!(renewals, ["- > token.renew generation=0", "- > token.renew generation=1"]);
    let all = spans.concat();
    for secret in [first, proxy.vendor.access_token(), proxy.vendor.refresh_token()] {
        assert!(!all.contains(&*secret), "{secret} in {all}");
    }
}
