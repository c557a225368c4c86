//! All that is parsed of outside bytes, as functions of bytes that panic where a promise is broken. `tests/run fuzz` looks
//! for such bytes; the tests give each what was found before, in `tests/fuzz/corpus`.

#[cfg(test)]
mod corpora;
mod request_head;

use crate::{cache, report, shared, state, token, upstream};

/// Panics if these bytes break a promise.
pub type FuzzTarget = fn(&[u8]);

/// Each with the name of its corpus.
pub const TARGETS: [(&str, FuzzTarget); 16] = [
    ("request_head", request_head::request_head),
    ("report_key", report::fuzz::report_key),
    ("link_report", report::fuzz::link_report),
    ("derived_report", report::fuzz::derived_report),
    ("negative_answer", report::fuzz::negative_answer),
    ("statistics", report::fuzz::statistics),
    ("response_headers", upstream::fuzz::response_headers),
    ("gzip_body", upstream::fuzz::gzip_body),
    ("token_answer", token::fuzz::token_answer),
    ("token_record", state::fuzz::token_record),
    ("ledger_record", state::fuzz::ledger_record),
    ("plan_record", state::fuzz::plan_record),
    ("snapshot", state::fuzz::snapshot),
    ("snapshot_record", cache::fuzz::snapshot_record),
    ("stored_answer", cache::fuzz::stored_answer),
    ("store_reply", shared::fuzz::store_reply),
];
