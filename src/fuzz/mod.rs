//! All that is parsed of outside bytes, as functions of bytes that panic where a promise is broken. `tests/run fuzz` looks
//! for such bytes; the tests give each what was found before, in `tests/fuzz/corpus`.

mod request_head;

use crate::{cache, report, shared, state, token, upstream};

/// Each with the name of its corpus.
pub const TARGETS: [(&str, fn(&[u8])); 16] = [
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn what_was_found_by_fuzzing_breaks_no_promise() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let inputs: Vec<_> = fs::read_dir(corpora.join(name)).expect(name).collect();
            assert!(!inputs.is_empty(), "{name} has no corpus");
            for input in inputs {
                let input = input.unwrap().path();
                eprintln!("{}", input.display());
                target(&fs::read(input).unwrap());
            }
        }
        let folders =
            fs::read_dir(&corpora).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(folders.collect::<BTreeSet<_>>(), TARGETS.map(|(name, _)| name.to_owned()).into());
    }
}
