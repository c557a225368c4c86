//! Derivation in the cache: which flights bring both reports of an activity, and the comparison of derived with fetched ones.

use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::{
    ClickedSource, Entry, ReportCache,
    derivation_control::{DerivationChange, DerivationControl},
    entry::EntrySource,
    flight::{Arrived, FlightScope},
    plan::SharedAnswers,
};
use crate::{
    refresh::{KeysPerCampaign, ShadowStatus},
    report::{
        Answer, DerivationMismatch, DerivedComparison, FetchOrder, Fetched, LinkReport, NoClicks,
        NotDerivable, ReportKey,
    },
};

/// Reports with more bytes together are derived and compared on a blocking thread: it takes a millisecond and more.
const LARGE: usize = 256 << 10;

/// The two fetched reports of an activity, to be compared.
#[derive(Debug)]
pub(super) struct FetchedPair {
    key: ReportKey,
    all: Arc<Entry>,
    clicked: Arc<Entry>,
    order: FetchOrder,
}

// === impl ReportCache ===

impl ReportCache {
    /// Whether derivation is relied on.
    pub fn derivation_status(&self) -> ShadowStatus<DerivationMismatch> {
        self.derivation().map_or(ShadowStatus::Off, |derivation| derivation.check.status())
    }

    /// The report of this key has just been fetched: the pair of reports to compare, if the other is held and both were
    /// fetched at about the same time.
    pub(super) fn fetched_pair(&self, key: ReportKey, fetched: &Arc<Entry>) -> Option<FetchedPair> {
        let derivation = self.derivation()?;
        let other = self.store.get(&key.other_form())?;
        let (all, clicked) = match key.no_clicks {
            NoClicks::Omitted => (other, Arc::clone(fetched)),
            NoClicks::Listed => (Arc::clone(fetched), other),
        };
        match clicked.source() {
            EntrySource::Fetched => all.report().and(clicked.report())?,
            EntrySource::Derived => return None,
        };
        let at = |entry: &Entry| self.options.clock.at(entry.generated_at());
        let order = derivation.check.comparable(at(&all), at(&clicked))?;
        Some(FetchedPair { key, all, clicked, order })
    }

    /// Compares two reports, and applies what that shows of derivation.
    pub(super) async fn compare(&self, pair: FetchedPair) {
        let (id, sizes) = (pair.key.id, [&pair.all, &pair.clicked].map(|entry| body_size(entry)));
        let compared = off_the_workers(sizes.into_iter().sum(), move || pair.compare()).await;
        let Some(comparison) = compared.flatten() else { return };
        let Some(mut derivation) = self.derivation() else { return };
        match derivation.compared(id, comparison, &self.metrics) {
            DerivationChange::None => {}
            DerivationChange::Trusted => self.share_answers(SharedAnswers::Yes),
            DerivationChange::SwitchedOff => {
                self.share_answers(SharedAnswers::No);
                drop(derivation);
                self.distrust_derived();
            }
        }
    }

    fn share_answers(&self, shared: SharedAnswers) {
        if let Some(plan) = &self.plan {
            plan.share_answers(shared);
        }
    }

    /// Derived reports are from now on served only if a call fails. No flight lands meanwhile, and those that land later
    /// know that derivation is switched off.
    fn distrust_derived(&self) {
        let now = Instant::now();
        self.flights.undisturbed(|| {
            for key in self.store.keys() {
                let derived = self.store.get(&key).filter(|entry| entry.source() == EntrySource::Derived);
                if let Some(entry) = derived.filter(|entry| entry.report().is_some()) {
                    let keep = self.lifetimes().stale_if_error;
                    // It weighs as much as before.
                    let _fits = self.store.insert(key, Arc::new(entry.distrusted(keep)), now);
                }
            }
        });
    }

    /// What a fetch has brought, with the report of the clicked links if that may be served.
    pub(super) async fn derive(&self, key: ReportKey, fetched: Fetched) -> Arrived {
        let all = match (key.no_clicks, &fetched.answer) {
            (NoClicks::Listed, Answer::Report(all)) if self.is_derivation_trusted() => all.clone(),
            (_, Answer::Report(_) | Answer::Negative(_)) => return Arrived { fetched, clicked: None },
        };
        let bytes = all.representation().body().len();
        let clicked = off_the_workers(bytes, move || all.derive_clicked()).await;
        Arrived { fetched, clicked: Some(clicked.unwrap_or(Err(NotDerivable::List))) }
    }

    /// How many calls renew both reports of an activity, if they are derivable.
    pub(super) fn keys_per_campaign(&self) -> KeysPerCampaign {
        if self.is_derivation_trusted() { KeysPerCampaign::One } else { KeysPerCampaign::Two }
    }

    /// What the flight of this key fetches.
    pub(super) fn flight_scope(&self, key: ReportKey) -> FlightScope {
        if self.is_derivation_trusted() && self.store.statistics().is_derivable(key.id) {
            FlightScope::BothForms(key)
        } else {
            FlightScope::One(key)
        }
    }

    /// Whether a report that has just been derived is served. Call it once for each.
    pub(super) fn clicked_source(&self) -> ClickedSource {
        self.derivation().map_or(ClickedSource::Fetched, |mut derivation| derivation.source())
    }

    fn is_derivation_trusted(&self) -> bool {
        self.derivation().is_some_and(|derivation| derivation.is_trusted())
    }

    pub(super) fn derivation(&self) -> Option<MutexGuard<'_, DerivationControl>> {
        Some(self.derivation.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl FetchedPair ===

impl FetchedPair {
    /// `None`: it shows nothing, since nothing can be derived.
    fn compare(self) -> Option<DerivedComparison> {
        let (all, clicked) = (self.all.report()?, self.clicked.report()?);
        match all.derive_clicked() {
            // Two reports without links are the same for any upstream.
            Ok(_) if all.links() == 0 && clicked.links() == 0 => None,
            Ok(derived) => Some(DerivedComparison::of(&derived, clicked, self.order)),
            Err(NotDerivable::List | NotDerivable::Link) => None,
        }
    }
}

fn body_size(entry: &Entry) -> usize {
    entry.report().map_or(0, |report: &LinkReport| report.representation().body().len())
}

/// Runs what takes long for so many bytes. `None`: it panicked, or the runtime is shutting down.
async fn off_the_workers<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    if bytes > LARGE { tokio::task::spawn_blocking(work).await.ok() } else { Some(work()) }
}
