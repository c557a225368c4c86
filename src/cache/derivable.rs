//! Whether one of an activity's reports can be derived from the other.

use crate::report::{LinkReport, NotDerivable};

/// Whether the report of the clicked links can be made from the report of all links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Derivable {
    /// As far as is known.
    #[default]
    Yes,
    /// The last report of all links left it open which links were clicked.
    No,
}

// === impl Derivable ===

impl Derivable {
    pub(super) const fn of(clicked: &Result<LinkReport, NotDerivable>) -> Self {
        match clicked {
            Ok(_) => Self::Yes,
            Err(NotDerivable::List | NotDerivable::Link) => Self::No,
        }
    }
}
