//! The contract, chapter by chapter, asked of the whole proxy in memory.

mod access;
mod activities;
mod admin;
mod browsers;
mod errors;
mod listing;
mod logs;
mod page;
mod panics;
mod renewal;
mod representation;
mod requests;
mod sent;
mod shutdown;
mod spans;
mod status;
mod tables;
mod trial;

/// Compares with the snapshot of this name; all of them lie in one place.
fn snapshot(name: &str, shown: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, shown));
}
