//! The trace format: parses a workload from text, such as the short recorded days of the tests.
//!
//! A line is a keyword and its values. Times of polls and of `unseen` calls are in milliseconds since a midnight UTC,
//! times of clicks in seconds. Each time is given as the difference from the one before; `DxN` repeats the difference D
//! N times.
//!
//! ```text
//! # comment
//! per_day 500
//! measured 86400 172800
//! recompute 600
//! clicks -86000 5 17 3              one line per campaign, counted from 0
//! polls 0 clicked 2 1500 30000x99   campaign, form (clicked or all_links), viewer, times
//! unseen 32400000 7200x3999
//! ```

use std::time::Duration;

use super::{ClickTimes, Poll, Workload};
use crate::refresh::ReportForm;

/// A line that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceError {
    /// Line number, counted from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub reason: &'static str,
}

/// Limit of N in `DxN`: larger values are cut to this, so that a typing error does not use up the memory.
const MOST_REPEATED: u32 = 1_000_000;

/// Parses a workload.
///
/// # Errors
/// Returns the first line that cannot be parsed, or the last line if a polled campaign has no clicks line.
pub fn read_trace(text: &str) -> Result<Workload, TraceError> {
    let mut workload = Workload::default();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let Some(word) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        read_line(&mut workload, word, &mut words)
            .map_err(|reason| TraceError { line: index + 1, reason })?;
    }
    workload.polls.sort_by_key(|poll| poll.at);
    let campaigns = workload.campaigns.len();
    if workload.polls.iter().any(|poll| poll.campaign as usize >= campaigns) {
        return Err(TraceError {
            line: text.lines().count(),
            reason: "a polled campaign has no line of clicks",
        });
    }
    Ok(workload)
}

fn read_line<'a>(
    workload: &mut Workload,
    word: &str,
    words: &mut impl Iterator<Item = &'a str>,
) -> Result<(), &'static str> {
    match word {
        "per_day" => workload.per_day = number(words.next())?,
        "recompute" => workload.recompute = Duration::from_secs(number(words.next())?),
        "measured" => {
            workload.measured_from = Duration::from_secs(number(words.next())?);
            workload.end = Duration::from_secs(number(words.next())?);
        }
        "clicks" => {
            let clicks = times(words)?.into_iter().map(|seconds| seconds * 1_000_000_000);
            workload.campaigns.push(ClickTimes::new(clicks));
        }
        "unseen" => workload.unseen = millis(times(words)?)?,
        "polls" => {
            let campaign = number(words.next())?;
            let form = match words.next() {
                Some("clicked") => ReportForm::Clicked,
                Some("all_links") => ReportForm::AllLinks,
                Some(_) | None => return Err("a form is `clicked` or `all_links`"),
            };
            let viewer = number(words.next())?;
            let polls = millis(times(words)?)?.into_iter().map(|at| Poll { at, campaign, form, viewer });
            workload.polls.extend(polls);
        }
        _ => return Err("an unknown word"),
    }
    Ok(())
}

fn number<N: std::str::FromStr>(word: Option<&str>) -> Result<N, &'static str> {
    word.and_then(|word| word.parse().ok()).ok_or("a number is missing or not valid")
}

/// Adds up the differences to times.
fn times<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Vec<i64>, &'static str> {
    let (mut at, mut times) = (0_i64, Vec::new());
    for word in words {
        let (difference, repeated) = match word.split_once('x') {
            Some((difference, repeated)) => (difference, number::<u32>(Some(repeated))?),
            None => (word, 1),
        };
        let difference: i64 = number(Some(difference))?;
        for _ in 0..repeated.min(MOST_REPEATED) {
            at = at.checked_add(difference).ok_or("a time is too large")?;
            times.push(at);
        }
    }
    Ok(times)
}

fn millis(times: Vec<i64>) -> Result<Vec<Duration>, &'static str> {
    times
        .into_iter()
        .map(|time| u64::try_from(time).map(Duration::from_millis).map_err(|_| "a time before the start"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_as_it_says() {
        let text = "# a day\nper_day 500\nmeasured 10 20\nclicks -5 5 7\npolls 0 all_links 2 1500 30000x2\n";
        let workload = read_trace(text).expect("a trace");
        assert_eq!((workload.per_day, workload.end), (500, Duration::from_secs(20)));
        assert_eq!(workload.campaigns[0].nanos(), [-5_000_000_000, 0, 7_000_000_000]);
        let polls: Vec<_> = workload.polls.iter().map(|poll| poll.at.as_millis()).collect();
        assert_eq!(polls, [1_500, 31_500, 61_500]);
        assert_eq!((workload.polls[0].viewer, workload.polls[0].form), (2, ReportForm::AllLinks));
    }

    #[test]
    fn a_bad_line_is_rejected_with_its_number() {
        for (text, line) in [
            ("per_day 5\nperday 6", 2),
            ("polls 0 both 1 5", 1),
            ("clicks 1 x", 1),
            ("polls 3 clicked 0 5", 1),
        ] {
            assert_eq!(read_trace(text).map_err(|error| error.line).err(), Some(line), "{text}");
        }
    }
}
