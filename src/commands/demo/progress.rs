//! The lines that `demo --busy` prints: each 10 s what was spent and missed, each 30 s which campaigns got the calls.

use std::{fmt::Write as _, io::Write as _, sync::Arc, time::Duration};

use tokio::time::{Instant, interval_at};

use super::{
    answers::{AnswerCounts, AnswerLog},
    busy_day::{BusyCampaign, BusyDay},
};
use crate::simulator::{LinkListing, Simulator};

const LINE_EVERY: Duration = Duration::from_secs(10);
/// A table after so many lines.
const LINES_PER_TABLE: u32 = 3;
/// Campaigns at each end of the table.
const ROWS: usize = 3;

/// Counters of the simulator at one time.
#[derive(Debug, Clone)]
struct Counters {
    calls: u64,
    /// The calls for each campaign and its clicks, by index.
    campaigns: Vec<(u64, u32)>,
}

/// A campaign's part of a while.
#[derive(Debug)]
struct TableRow {
    campaign: usize,
    calls: u64,
    new_clicks: u32,
    clicks: u32,
}

/// Prints for ever.
pub(super) async fn print(day: Arc<BusyDay>, vendor: Simulator, answers: AnswerLog) {
    let mut ticks = interval_at(Instant::now() + LINE_EVERY, LINE_EVERY);
    let mut before_line = Counters::read(&day, &vendor);
    let (mut before_table, mut for_table) = (before_line.clone(), AnswerCounts::default());
    for number in 1_u32.. {
        ticks.tick().await;
        let (now, answered) = (Counters::read(&day, &vendor), answers.take());
        for_table.add(&answered);
        let mut text = line(&day.time_of_day(vendor.now()), &before_line, &now, &answered);
        if number.is_multiple_of(LINES_PER_TABLE) {
            text.push_str(&table(&day, &vendor, &now.rows_since(&before_table, &for_table), &for_table));
            (before_table, for_table) = (now.clone(), AnswerCounts::default());
        }
        before_line = now;
        // The demo runs even if standard output is closed.
        let _printed = std::io::stdout().write_all(text.as_bytes());
    }
}

fn line(time: &str, before: &Counters, now: &Counters, answered: &AnswerCounts) -> String {
    let (calls, total) = (now.calls - before.calls, answered.total());
    let happened: u64 = now
        .campaigns
        .iter()
        .zip(&before.campaigns)
        .map(|(now, before)| u64::from(now.1.saturating_sub(before.1)))
        .sum();
    let failed = match answered.failed {
        0 => String::new(),
        failed => format!(", {failed} polls without a report"),
    };
    format!(
        "{time}  {calls:>3} calls ({:.1} a second), {:>4} answers, {:.2} clicks missed per answer, {happened} clicks \
         happened{failed}\n",
        calls as f64 / LINE_EVERY.as_secs_f64(),
        total.answers,
        total.missed_per_answer(),
    )
}

/// The campaigns with the most and with the fewest calls.
fn table(day: &BusyDay, vendor: &Simulator, rows: &[TableRow], answered: &AnswerCounts) -> String {
    let heading = format!("in {} s, most and fewest calls", (LINE_EVERY * LINES_PER_TABLE).as_secs());
    let mut text = format!(
        "\n  {heading:<36}  {:<16}  {:>7}  {:>5}  {:>5}  {:>7}  {:>13}\n",
        "sent", "clicks", "new", "calls", "answers", "missed/answer"
    );
    let skipped = rows.len().saturating_sub(2 * ROWS);
    for (place, row) in rows.iter().enumerate() {
        if skipped > 0 && (ROWS..ROWS + skipped).contains(&place) {
            continue;
        }
        if skipped > 0 && place == ROWS + skipped {
            // Writing to a String cannot fail.
            let _written = writeln!(text, "  … {skipped} more");
        }
        let campaign = &day.campaigns[row.campaign];
        let answers = answered.by_campaign.get(&row.campaign).copied().unwrap_or_default();
        let _written = writeln!(
            text,
            "  {}  {:<16}  {:>7}  {:>5}  {:>5}  {:>7}  {:>13.2}",
            campaign.id,
            campaign.last_sent(vendor.now()),
            row.clicks,
            row.new_clicks,
            row.calls,
            answers.answers,
            answers.missed_per_answer(),
        );
    }
    text.push('\n');
    text
}

// === impl Counters ===

impl Counters {
    fn read(day: &BusyDay, vendor: &Simulator) -> Self {
        let now = vendor.now();
        let of = |campaign: &BusyCampaign| {
            let clicks = vendor.clicks_shown(campaign.id, LinkListing::All, now);
            (vendor.calls_for(campaign.id), clicks.unwrap_or_default())
        };
        Self {
            calls: vendor.calls() + vendor.statistics_calls(),
            campaigns: day.campaigns.iter().map(of).collect(),
        }
    }

    /// The campaigns that were polled in between, those with the most calls first.
    fn rows_since(&self, before: &Self, answered: &AnswerCounts) -> Vec<TableRow> {
        let row = |campaign: &usize| {
            let ((calls_before, clicks_before), (calls, clicks)) =
                (before.campaigns[*campaign], self.campaigns[*campaign]);
            let (calls, new_clicks) = (calls - calls_before, clicks.saturating_sub(clicks_before));
            TableRow { campaign: *campaign, calls, new_clicks, clicks }
        };
        let mut rows: Vec<_> = answered.by_campaign.keys().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.calls, row.new_clicks)));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::Options;

    /// Ten campaigns of 100 clicks at first; then the first got 10 calls and 20 clicks, the next 9 and 18, and so on.
    fn counters() -> (Counters, Counters) {
        let before = Counters { calls: 50, campaigns: vec![(5, 100); 10] };
        let now = (1..=10).rev().map(|more: u8| (5 + u64::from(more), 100 + 2 * u32::from(more)));
        (before, Counters { calls: 50 + 55, campaigns: now.collect() })
    }

    /// Each campaign but the last was polled four times, and each answer missed three clicks.
    fn answers() -> AnswerCounts {
        let log = AnswerLog::default();
        for campaign in 0..9 {
            (0..4).for_each(|_| log.answered(campaign, 3));
        }
        log.failed();
        let answers = log.take();
        assert_eq!(log.take(), AnswerCounts::default());
        answers
    }

    #[test]
    fn a_line_tells_calls_answers_and_what_an_answer_missed() {
        let (before, now) = counters();
        assert_eq!(
            line("day 1 09:10", &before, &now, &answers()),
            "day 1 09:10   55 calls (5.5 a second),   36 answers, 3.00 clicks missed per answer, 110 clicks happened, \
             1 polls without a report\n"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_has_the_polled_campaigns_with_the_most_calls_and_with_the_fewest() {
        let vendor = Simulator::new(Options::default());
        let day = BusyDay::play(&vendor, 1, 1);
        let ((before, now), answers) = (counters(), answers());
        let rows = now.rows_since(&before, &answers);
        let text = table(&day, &vendor, &rows, &answers);
        let shown: Vec<_> =
            (0..10).filter(|campaign| text.contains(&day.campaigns[*campaign].id.to_string())).collect();
        assert_eq!(shown, [0, 1, 2, 6, 7, 8], "{text}");
        let first = text.lines().nth(2).map(|line| line.split_whitespace().rev().take(5).collect::<Vec<_>>());
        assert_eq!(first, Some(vec!["3.00", "4", "10", "20", "120"]), "{text}");
        assert!(text.contains("… 3 more"), "{text}");
    }
}
