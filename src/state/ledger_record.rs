//! Ledger record: the stored daily call counts, as JSON.

use serde::{Deserialize, Serialize};

use super::record::{InvalidRecord, parse};

/// The call counts of the last few UTC days that were written. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// The day that was written last. Its fields are at the top level, where older versions (one day only) expect them.
    #[serde(flatten)]
    latest: DayRecord,
    /// The other days, the one written last first.
    #[serde(default)]
    other_days: Vec<DayRecord>,
}

/// The calls of one UTC day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayRecord {
    /// Days since 1970-01-01.
    pub day: u64,
    /// Calls counted on it, leases included; [`DayRecord::UNCOUNTED`] if the count is not known.
    pub spent: u32,
    /// Whether the upstream accepts more calls.
    #[serde(default)]
    pub status: DayStatus,
}

/// Whether the upstream accepts more calls on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DayStatus {
    /// It does, as far as is known.
    #[default]
    Open,
    /// It responded with `quota_exceeded`.
    Closed,
}

// === impl LedgerRecord ===

impl LedgerRecord {
    /// Yesterday, today, and one day shown by a wrong clock, which must not push out today.
    pub const MAX_DAYS: usize = 3;

    /// A record of one day.
    pub const fn of(latest: DayRecord) -> Self {
        Self { latest, other_days: Vec::new() }
    }

    /// The day that was written last.
    pub const fn latest(&self) -> DayRecord {
        self.latest
    }

    /// The other days, the one written last first.
    pub fn other_days(&self) -> &[DayRecord] {
        &self.other_days
    }

    /// The record after `change` was made to this day, which is added if it is missing. Above [`Self::MAX_DAYS`] the
    /// day is dropped that was not written for the longest time.
    pub(super) fn after<R>(
        held: Option<Self>,
        day: u64,
        change: impl FnOnce(&mut DayRecord) -> R,
    ) -> (Self, R) {
        let mut days: Vec<_> =
            held.map(|held| [vec![held.latest], held.other_days].concat()).unwrap_or_default();
        let known = days.iter().position(|known| known.day == day).map(|at| days.remove(at));
        let mut latest = known.unwrap_or(DayRecord { day, spent: 0, status: DayStatus::Open });
        let result = change(&mut latest);
        days.truncate(Self::MAX_DAYS - 1);
        (Self { latest, other_days: days }, result)
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, InvalidRecord> {
        serde_json::to_vec(self).map_err(|_error| InvalidRecord)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let mut record: Self = parse(bytes)?;
        record.other_days.truncate(Self::MAX_DAYS - 1);
        for day in std::iter::once(&mut record.latest).chain(&mut record.other_days) {
            if day.spent == DayRecord::UNCOUNTED {
                day.status = DayStatus::Closed;
            }
        }
        Ok(record)
    }
}

// === impl DayRecord ===

impl DayRecord {
    /// What older versions wrote instead of a closed day's count.
    pub const UNCOUNTED: u32 = u32::MAX;
}

// === impl DayStatus ===

impl DayStatus {
    /// The word in the JSON record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u64, spent: u32, status: DayStatus) -> DayRecord {
        DayRecord { day, spent, status }
    }

    #[test]
    fn a_ledger_of_a_version_that_kept_one_day_is_read_and_reads_ours() {
        for (old, read) in [
            (r#"{"day":20000,"spent":7}"#, day(20_000, 7, DayStatus::Open)),
            (r#"{"day":20000,"spent":4294967295}"#, day(20_000, u32::MAX, DayStatus::Closed)),
        ] {
            assert_eq!(LedgerRecord::from_bytes(old.as_bytes()).unwrap(), LedgerRecord::of(read), "{old}");
        }
        let held = Some(LedgerRecord::of(day(20_000, 7, DayStatus::Closed)));
        let (ours, ()) = LedgerRecord::after(held, 20_001, |latest| latest.spent += 3);
        let bytes = ours.to_bytes().unwrap();
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"day":20001,"spent":3,"status":"open","other_days":[{"day":20000,"spent":7,"status":"closed"}]}"#,
            "day and spent stand where the old version looks"
        );
        assert_eq!(LedgerRecord::from_bytes(&bytes).unwrap(), ours);
    }

    #[test]
    fn of_too_many_days_the_one_is_dropped_that_was_not_written_for_longest() {
        let days = |record: &LedgerRecord| {
            let others = record.other_days().iter();
            others.fold(vec![record.latest().day], |days, other| [days, vec![other.day]].concat())
        };
        let mut record = None;
        for (written, kept) in [
            (20_000, vec![20_000]),
            (20_001, vec![20_001, 20_000]),
            (2_900_000, vec![2_900_000, 20_001, 20_000]),
            (20_001, vec![20_001, 2_900_000, 20_000]),
            (0, vec![0, 20_001, 2_900_000]),
            (20_001, vec![20_001, 0, 2_900_000]),
            (20_002, vec![20_002, 20_001, 0]),
        ] {
            let (next, ()) = LedgerRecord::after(record, written, |latest| latest.spent += 1);
            assert_eq!(days(&next), kept);
            record = Some(next);
        }
        assert_eq!(record.unwrap().other_days()[0].spent, 3, "each day has its own count");
    }

    #[test]
    fn a_ledger_that_we_did_not_write_is_refused() {
        let huge = format!(r#"{{"day":1,"spent":{}1}}"#, " ".repeat(128 * 1024));
        for bytes in
            ["", "{}", "null", r#"{"day":-1,"spent":0}"#, r#"{"day":1,"spent":0,"status":"x"}"#, &huge]
        {
            assert!(LedgerRecord::from_bytes(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
