//! One call of a script.

use crate::{
    report::ReportKey,
    shared::{Fence, StoreSeen, store_keys::report_key_text, store_script::StoreScript},
};

/// The largest integer that Lua's numbers hold exactly.
const LARGEST: u64 = (1 << 53) - 1;

/// A script with its keys and arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::shared) struct ScriptCall {
    pub(in crate::shared) script: &'static StoreScript,
    pub(in crate::shared) keys: Vec<Vec<u8>>,
    pub(in crate::shared) args: Vec<Vec<u8>>,
}

// === impl ScriptCall ===

impl ScriptCall {
    pub(super) fn new(script: &'static StoreScript, keys: impl Into<Vec<Vec<u8>>>) -> Self {
        Self { script, keys: keys.into(), args: Vec::new() }
    }

    /// The arguments of the guard.
    pub(super) fn seen(self, seen: StoreSeen) -> Self {
        let epoch = seen.epoch.map_or_else(String::new, |epoch| hex(epoch.0));
        self.text(&epoch).integer(seen.sequence.0)
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.args.push(bytes.to_vec());
        self
    }

    pub(super) fn integer(self, integer: u64) -> Self {
        self.text(&integer.min(LARGEST).to_string())
    }

    pub(super) fn fence(self, fence: Fence) -> Self {
        self.integer(fence.0)
    }

    pub(super) fn report_key(self, key: &ReportKey) -> Self {
        self.text(&report_key_text(key))
    }
}

/// 16 digits.
pub(super) fn hex(number: u64) -> String {
    format!("{number:016x}")
}
