//! The square-root law, a reference value: clicks missed per response if the click rates were known.

use std::time::Duration;

use super::Workload;
use crate::refresh::ReportForm;

const STEP: Duration = Duration::from_mins(5);

/// What the whole budget could reach with constant refresh intervals. It is not a lower bound: one call that serves
/// both reports of a campaign, or a refresh just before a poll, can give a lower value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SquareRootLaw {
    /// Clicks missed per response if each key has its own best interval.
    pub missed_per_answer: f64,
    /// Clicks missed per response if all keys have the same best interval.
    pub missed_with_fixed_ttl: f64,
    /// The best interval that is the same for all keys.
    pub best_fixed_ttl: Duration,
}

// === impl SquareRootLaw ===

impl SquareRootLaw {
    /// Computes it for the measured span. `None`: the workload has no waves, or no polls in that span.
    pub fn of(workload: &Workload) -> Option<Self> {
        let step = STEP.as_secs_f64();
        let slices = ((workload.end - workload.measured_from).as_secs_f64() / step).round() as usize;
        let keys = workload.waves.len() * 2;
        let mut polls = vec![0_u32; slices * keys];
        for poll in &workload.polls {
            let Some(since) = poll.at.checked_sub(workload.measured_from) else { continue };
            let slice = (since.as_secs_f64() / step) as usize;
            let form = usize::from(poll.form == ReportForm::AllLinks);
            let key = poll.campaign as usize * 2 + form;
            if slice < slices && key < keys {
                polls[slice * keys + key] += 1;
            }
        }
        let (mut demand, mut missed_per_second_of_age, mut answers) = (0.0, 0.0, 0.0);
        let mut rates = Vec::new();
        for (cell, count) in polls.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let (slice, campaign) = (cell / keys, cell % keys / 2);
            let middle = workload.measured_from + STEP.mul_f64(slice as f64 + 0.5);
            let clicks: f64 =
                workload.waves[campaign].iter().map(|wave| wave.rate(middle.as_secs_f64())).sum();
            let clicks = clicks * workload.clicks_by_day.factor(middle);
            let per_second = f64::from(count) / step;
            demand += (per_second * clicks).sqrt() * step;
            missed_per_second_of_age += per_second * clicks * step;
            answers += f64::from(count);
            rates.push(per_second);
        }
        if answers == 0.0 {
            return None;
        }
        let budget = f64::from(workload.per_day);
        // A key is refreshed once per interval while it is polled, and at most once per poll.
        let calls = |ttl: f64| rates.iter().map(|polls| polls.min(1.0 / ttl)).sum::<f64>() * step;
        let (mut short, mut long) = (1.0_f64, 864_000.0_f64);
        for _ in 0..60 {
            let ttl = (short * long).sqrt();
            if calls(ttl) > budget { short = ttl } else { long = ttl }
        }
        Some(Self {
            missed_per_answer: demand * demand / (2.0 * budget) / answers,
            missed_with_fixed_ttl: missed_per_second_of_age * long / 2.0 / answers,
            best_fixed_ttl: Duration::from_secs_f64(long),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Scenario;

    #[test]
    fn one_interval_for_all_is_many_times_worse_on_the_reference_day() {
        let law = SquareRootLaw::of(&Scenario::Reference.workload(1)).expect("it is polled");
        let ratio = law.missed_with_fixed_ttl / law.missed_per_answer;
        assert!((7.0..25.0).contains(&ratio), "{law:?}");
        assert!((0.01..0.12).contains(&law.missed_per_answer), "{law:?}");
    }
}
