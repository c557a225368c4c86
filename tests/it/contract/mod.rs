//! The contract, chapter by chapter, asked of the whole proxy in memory.

mod access;
mod admin;
mod errors;
mod logs;
mod representation;
mod requests;

/// Compares with the snapshot of this name; all of them lie in one place.
fn snapshot(name: &str, shown: &str) {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, shown);
    });
}
