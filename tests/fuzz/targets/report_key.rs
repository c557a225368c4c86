//! A path and a query: what parses is asked for in its canonical spelling, which names the same report.
#![no_main]

use libfuzzer_sys::fuzz_target;
use link_report_proxy::report::ReportKey;

fuzz_target!(|target: &str| {
    let split = |target: &str| match target.split_once('?') {
        Some((path, query)) => ReportKey::parse(path, Some(query)),
        None => ReportKey::parse(target, None),
    };
    if let Ok(key) = split(target) {
        let canonical = key.path_and_query();
        assert_eq!(split(&canonical), Ok(key));
        assert_eq!(canonical, canonical.to_ascii_lowercase());
    }
});
