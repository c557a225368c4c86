//! libFuzzer on one of the crate's fuzz targets, named by `FUZZ_TARGET`. Run by `tests/run fuzz`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use link_report_proxy::fuzz::TARGETS;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let known = TARGETS.map(|(name, _)| name).join(" ");
    let found = TARGETS.into_iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET is none of: {known}")).1
});

fuzz_target!(|data: &[u8]| TARGET(data));
