//! Was an activity sent? An empty report alone does not say: a draft's looks like that of a mail which nobody has clicked.

use super::ActivityStatus;

/// Whether an activity was sent, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WasSent {
    /// To somebody at least.
    Yes,
    /// To nobody yet.
    No,
    /// It looks like that, but a mail without any link looks the same.
    ProbablyNot,
    /// Nothing tells.
    Unknown,
}

/// What tells whether an activity was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentEvidence {
    /// A report has links.
    Links,
    /// The vendor's status of it.
    Status(ActivityStatus),
    /// The report of all links has none.
    AllLinksEmpty,
    /// There is no such report, and no status.
    None,
}

/// Why a report is empty: the `detail` of its `Cache-Status`. Only what is certain has a word of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyEmpty {
    /// The activity was sent to nobody.
    NotSent,
    /// It was sent.
    NobodyClicked,
    /// It is not known which.
    Unknown,
}

// === impl WasSent ===

impl WasSent {
    /// The word in `GET /cache/{id}`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::ProbablyNot => "probably_not",
            Self::Unknown => "unknown",
        }
    }

    /// The word for programs, which get no guess.
    pub const fn certain(self) -> &'static str {
        match self {
            Self::Yes | Self::No | Self::Unknown => self.as_str(),
            Self::ProbablyNot => Self::Unknown.as_str(),
        }
    }
}

// === impl SentEvidence ===

impl SentEvidence {
    /// What follows from it.
    pub const fn sent(self) -> WasSent {
        use ActivityStatus as S;
        match self {
            Self::Links | Self::Status(S::Executing | S::Done) => WasSent::Yes,
            Self::Status(S::Draft | S::Scheduled) => WasSent::No,
            Self::AllLinksEmpty => WasSent::ProbablyNot,
            Self::Status(S::Error | S::Removed | S::NotFound | S::Other) | Self::None => WasSent::Unknown,
        }
    }

    /// Why a report of the activity is empty, if it is.
    pub const fn why_empty(self) -> WhyEmpty {
        match self.sent() {
            WasSent::Yes => WhyEmpty::NobodyClicked,
            WasSent::No => WhyEmpty::NotSent,
            WasSent::ProbablyNot | WasSent::Unknown => WhyEmpty::Unknown,
        }
    }

    /// The same as a sentence.
    pub const fn explanation(self) -> &'static str {
        use ActivityStatus as S;
        match self {
            Self::Links => "sent: a report of it has links",
            Self::Status(S::Draft) => "not sent: it is a draft",
            Self::Status(S::Scheduled) => "not sent yet: it is scheduled",
            Self::Status(S::Executing) => "being sent now: clicks are coming",
            Self::Status(S::Done) => "sent, and nobody has clicked yet",
            Self::Status(S::Error) => "not known: Constant Contact says that sending it has failed",
            Self::Status(S::Removed) => "not known: it was deleted",
            Self::Status(S::NotFound) => "not known: Constant Contact has no such activity",
            Self::Status(S::Other) => "not known: it has a status that Constant Contact does not document",
            Self::AllLinksEmpty => "probably not sent: its report of all links (no_clicks=true) is empty",
            Self::None => "not known: its report of all links (no_clicks=true) would tell, and is not held",
        }
    }
}

// === impl WhyEmpty ===

impl WhyEmpty {
    /// Each of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::NotSent, Self::NobodyClicked, Self::Unknown];

    /// The `detail`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::NobodyClicked => "nobody_clicked",
            Self::Unknown => "unknown",
        }
    }
}
