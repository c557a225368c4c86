//! A body that came with 400 or 404: whatever it is, what is kept of it can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use link_report_proxy::report::{NegativeAnswer, NegativeStatus};

fuzz_target!(|body: &[u8]| {
    for status in [NegativeStatus::BadRequest, NegativeStatus::NotFound] {
        let negative_answer = NegativeAnswer::parse(status, body);
        for words in [negative_answer.error_key, negative_answer.error_message] {
            assert!((1..=300).contains(&words.chars().count()));
            assert!(!words.chars().any(char::is_control));
        }
    }
});
