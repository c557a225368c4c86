//! A body that came with 400 or 404: whatever it is, what is kept of it can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use link_report_proxy::report::{Refusal, RefusalStatus};

fuzz_target!(|body: &[u8]| {
    for status in [RefusalStatus::BadRequest, RefusalStatus::NotFound] {
        let refusal = Refusal::parse(status, body);
        for words in [refusal.error_key, refusal.error_message] {
            assert!((1..=300).contains(&words.chars().count()));
            assert!(!words.chars().any(char::is_control));
        }
    }
});
