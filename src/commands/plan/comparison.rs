//! The comparison: replays one workload with each refresh policy.

use std::time::Duration;

use super::progress::ProgressBar;
use crate::plan::{
    AnswerExchange, Derivation, FixedLifetime, FixedOptions, Outcome, PlanOptions, Planned, Probing,
    SquareRootLaw, Waiting, Workload, replay, replay_apart,
};

/// The result of all replays.
#[derive(Debug)]
pub(super) struct PlanComparison {
    pub(super) rows: Vec<ComparedWay>,
    /// Clicks missed per response by the square-root law, if all calls of the budget are used.
    pub(super) law: Option<f64>,
    pub(super) measured_from: Duration,
    pub(super) per_day: u32,
    pub(super) replicas: u16,
    /// `cache.ttl`
    pub(super) ttl: Duration,
}

/// The settings of the proxy that matter to a replay.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReplaySettings {
    pub(super) planned: PlanOptions,
    pub(super) waiting: Waiting,
    pub(super) fixed: FixedOptions,
}

/// A row of the table: one replay.
#[derive(Debug)]
pub(super) struct ComparedWay {
    pub(super) refresh: RefreshWay,
    pub(super) sharing: Sharing,
    pub(super) outcome: Outcome,
}

/// The refresh policy of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefreshWay {
    Planned,
    FixedLifetime,
    PlannedWithDerivation,
    PlannedWithProbe,
}

/// What replicas share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// There is only one replica.
    Alone,
    /// Nothing: each has its own cache and an equal share of the budget.
    Apart,
    /// One cache and one budget.
    Shared,
}

/// How often replicas that share a cache exchange their response counts.
const EXCHANGE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) fn compare(
    workload: &Workload,
    settings: &ReplaySettings,
    replicas: u16,
    progress: &mut ProgressBar,
) -> PlanComparison {
    let sharings: &[Sharing] =
        if replicas == 1 { &[Sharing::Alone] } else { &[Sharing::Shared, Sharing::Apart] };
    let ways: Vec<_> = RefreshWay::ALL
        .into_iter()
        .flat_map(|way| sharings.iter().map(move |sharing| (way, *sharing)))
        .collect();
    let whole = ways.len() as f64;
    let rows = (0_u32..)
        .zip(ways)
        .map(|(done, (refresh, sharing))| {
            let shown = |share: f64| progress.show((f64::from(done) + share) / whole, refresh.as_str());
            shown(0.0);
            let outcome = refresh.run(workload, settings, (replicas, sharing), shown);
            ComparedWay { refresh, sharing, outcome }
        })
        .collect();
    PlanComparison {
        rows,
        law: SquareRootLaw::of(workload).map(|law| law.missed_per_answer).filter(|missed| *missed > 0.0),
        measured_from: workload.measured_from,
        per_day: workload.per_day,
        replicas,
        ttl: settings.fixed.ttl,
    }
}

// === impl RefreshWay ===

impl RefreshWay {
    const ALL: [Self; 4] =
        [Self::Planned, Self::FixedLifetime, Self::PlannedWithDerivation, Self::PlannedWithProbe];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::FixedLifetime => "fixed lifetime",
            Self::PlannedWithDerivation => "planned with derivation",
            Self::PlannedWithProbe => "planned with change probe",
        }
    }

    fn run(
        self,
        day: &Workload,
        settings: &ReplaySettings,
        (replicas, sharing): (u16, Sharing),
        progress: impl FnMut(f64),
    ) -> Outcome {
        let exchange = match sharing {
            Sharing::Alone | Sharing::Apart => None,
            Sharing::Shared => Some(AnswerExchange { replicas, interval: EXCHANGE_INTERVAL }),
        };
        let usual = PlanOptions { exchange, ..settings.planned };
        let options = match self {
            // Like the proxy with a fixed lifetime: cached reports are refreshed in the background, no client waits.
            Self::FixedLifetime => return fixed(day, settings.fixed, (replicas, sharing), progress),
            Self::Planned => usual,
            Self::PlannedWithDerivation => PlanOptions { derivation: Derivation::On, ..usual },
            Self::PlannedWithProbe => PlanOptions { probing: Probing::WhenItPays, ..usual },
        };
        match sharing {
            Sharing::Alone | Sharing::Shared => {
                replay(day, &mut Planned::new(day, options), settings.waiting, progress)
            }
            Sharing::Apart => {
                // Demand grows with the square root of the polls.
                let share = f64::from(replicas).sqrt().recip();
                let usual_demand = options.usual_demand.map(|hours| hours.map(|demand| demand * share));
                let options = PlanOptions { usual_demand, ..options };
                replay_apart(day, replicas, settings.waiting, |part| Planned::new(part, options))
            }
        }
    }
}

fn fixed(
    day: &Workload,
    options: FixedOptions,
    (replicas, sharing): (u16, Sharing),
    progress: impl FnMut(f64),
) -> Outcome {
    let stretched = |part: &Workload| FixedLifetime::stretched(part, options);
    match sharing {
        Sharing::Alone | Sharing::Shared => replay(day, &mut stretched(day), Waiting::Never, progress),
        Sharing::Apart => replay_apart(day, replicas, Waiting::Never, stretched),
    }
}

// === impl Sharing ===

impl Sharing {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "one",
            Self::Apart => "apart",
            Self::Shared => "shared",
        }
    }
}

// === impl PlanComparison ===

impl PlanComparison {
    /// The rows that the plot shows: planned refresh (shared) and the fixed lifetime (apart), or both for one replica.
    pub(super) fn plotted(&self) -> impl Iterator<Item = &ComparedWay> {
        self.rows.iter().filter(|row| {
            matches!(
                (row.refresh, row.sharing),
                (RefreshWay::Planned, Sharing::Alone | Sharing::Shared)
                    | (RefreshWay::FixedLifetime, Sharing::Alone | Sharing::Apart)
            )
        })
    }
}
