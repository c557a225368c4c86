//! Access log parser: reads the polls for a replay.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    plan::CopyKey,
    refresh::ReportForm,
    report::{ActivityId, NoClicks},
};

/// The polls of some UTC days, sorted; times are since the first midnight.
#[derive(Debug)]
pub(super) struct LoggedPolls {
    pub(super) polls: Vec<(Duration, CopyKey)>,
    /// Number of days from the first to the last poll; the last day is measured, the others are warm-up.
    pub(super) days: u32,
}

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub(super) enum PollsError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("line {line}: {reason}")]
    Line { line: usize, reason: &'static str },
    #[error("no polls in it; the proxy logs cache hits at debug level only")]
    Empty,
    #[error("its polls are more than {MOST_DAYS} days apart")]
    TooLong,
}

/// One poll; the time is since 1970 (Unix time).
type LoggedPoll = (Duration, ActivityId, ReportForm);

const LONGEST_LINE: u64 = 16 * 1024;
const MOST_LOGGED: usize = 5_000_000;
const MOST_CAMPAIGNS: usize = 10_000;
const MOST_DAYS: u64 = 31;
/// Unix time of the end of year 9999: a later time is a typing error.
const LATEST: f64 = 253_402_300_799.0;
const SECONDS_OF_DAY: u64 = 86_400;

pub(super) fn read_polls(path: &Path) -> Result<LoggedPolls, PollsError> {
    parse_polls(BufReader::new(File::open(path)?))
}

fn parse_polls(mut log: impl BufRead) -> Result<LoggedPolls, PollsError> {
    let mut campaigns = BTreeMap::<ActivityId, u32>::new();
    let mut polls = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        let fail = |reason| PollsError::Line { line, reason };
        text.clear();
        if log.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut text)? == 0 {
            break;
        }
        if text.len() as u64 == LONGEST_LINE {
            return Err(fail("is longer than 16 KiB"));
        }
        let Some((at, id, form)) = parse_line(text.trim_ascii()).map_err(fail)? else { continue };
        let new = campaigns.len() as u32;
        let campaign = *campaigns.entry(id).or_insert(new);
        if campaigns.len() > MOST_CAMPAIGNS {
            return Err(fail("is the 10,001st campaign"));
        }
        if polls.len() == MOST_LOGGED {
            return Err(fail("is the 5,000,001st poll"));
        }
        polls.push((at, CopyKey { campaign, form }));
    }
    polls.sort_by_key(|(at, _)| *at);
    let ([(first, _), ..], [.., (last, _)]) = (polls.as_slice(), polls.as_slice()) else {
        return Err(PollsError::Empty);
    };
    let (first, last) = (first.as_secs() / SECONDS_OF_DAY, last.as_secs() / SECONDS_OF_DAY);
    let days = last - first + 1;
    if days > MOST_DAYS {
        return Err(PollsError::TooLong);
    }
    let midnight = Duration::from_secs(first * SECONDS_OF_DAY);
    polls.iter_mut().for_each(|(at, _)| *at -= midnight);
    Ok(LoggedPolls { polls, days: days as u32 })
}

/// `None`: an empty line, a comment, or a log line that is not a request.
fn parse_line(line: &[u8]) -> Result<Option<LoggedPoll>, &'static str> {
    match line.first() {
        None | Some(b'#') => Ok(None),
        Some(b'{') => parse_json(line),
        Some(_) => parse_words(line).map(Some),
    }
}

fn parse_json(line: &[u8]) -> Result<Option<LoggedPoll>, &'static str> {
    let line: serde_json::Value = serde_json::from_slice(line).map_err(|_| "is no JSON object")?;
    let field = |name| line.get(name).and_then(serde_json::Value::as_str);
    let (Some("request"), Some(id)) = (field("message"), field("id")) else { return Ok(None) };
    let at = field("timestamp").and_then(|text| humantime::parse_rfc3339(text).ok());
    let at = at.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let at = at.ok_or("its timestamp is not an RFC 3339 time")?;
    let form = form(field("no_clicks").unwrap_or_default())?;
    Ok(Some((at, parse_id(id)?, form)))
}

fn parse_words(line: &[u8]) -> Result<LoggedPoll, &'static str> {
    let line = str::from_utf8(line).map_err(|_| "is not UTF-8")?;
    let words: Vec<_> = line.split_ascii_whitespace().take(4).collect();
    let [at, id, no_clicks] = words.as_slice() else {
        return Err("must be \"unix_seconds activity_id no_clicks\", or a JSON line of the proxy's log");
    };
    let at = at.parse().ok().filter(|at| (0.0..=LATEST).contains(at));
    let at = Duration::from_secs_f64(at.ok_or("its time is not a number of seconds since 1970")?);
    Ok((at, parse_id(id)?, form(no_clicks)?))
}

fn parse_id(text: &str) -> Result<ActivityId, &'static str> {
    ActivityId::parse(text.as_bytes()).map_err(|_| "its activity id is not a UUID")
}

fn form(no_clicks: &str) -> Result<ReportForm, &'static str> {
    let forms = [(NoClicks::Omitted, ReportForm::Clicked), (NoClicks::Listed, ReportForm::AllLinks)];
    let found = forms.into_iter().find(|(value, _)| value.as_str() == no_clicks);
    found.map(|(_, form)| form).ok_or("no_clicks must be true or false")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6ef3c9a4-1cf5-4a3e-9f5c-0a1b2c3d4e5f";

    fn parse(text: &str) -> Result<LoggedPolls, String> {
        parse_polls(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn both_line_formats_are_parsed_and_other_lines_are_skipped() {
        let text = format!(
            "# a comment\n\n172860.5 {ID} false\n{{\"timestamp\":\"1970-01-04T00:00:01.250000Z\",\"message\":\
             \"request\",\"id\":\"{ID}\",\"no_clicks\":\"true\"}}\n{{\"message\":\"ready\"}}\n"
        );
        let logged = parse(&text).unwrap();
        let seen: Vec<_> =
            logged.polls.iter().map(|(at, key)| (at.as_millis(), key.campaign, key.form)).collect();
        assert_eq!(seen, [(60_500, 0, ReportForm::Clicked), (86_401_250, 0, ReportForm::AllLinks)]);
        assert_eq!(logged.days, 2);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (bad, said) in [
            ("12".to_owned(), "line 2: must be"),
            (format!("x {ID} true"), "line 2: its time"),
            (format!("-1 {ID} true"), "line 2: its time"),
            (format!("NaN {ID} true"), "line 2: its time"),
            ("5 abc true".to_owned(), "line 2: its activity id"),
            (format!("5 {ID} maybe"), "line 2: no_clicks"),
            ("{\"message\":".to_owned(), "line 2: is no JSON"),
            (format!("{{\"message\":\"request\",\"id\":\"{ID}\"}}"), "line 2: its timestamp"),
            ("x".repeat(20_000), "line 2: is longer"),
            (format!("9999999 {ID} true"), "its polls are more than 31 days"),
        ] {
            let text = format!("1 {ID} true\n{bad}\n");
            let error = parse(&text).unwrap_err();
            assert!(error.starts_with(said), "{bad:.60}: {error}");
        }
        assert!(parse("\n# nothing\n").unwrap_err().starts_with("no poll"));
    }
}
