//! Plan record: the stored refresh plan, as JSON. A campaign is an array and not an object, since there are thousands.

use serde::{Deserialize, Serialize};

use super::plan_fields::{CampaignFields, PriceFields};
use crate::{
    refresh::{CampaignRecord, PriceRecord},
    report::ActivityId,
};

/// The stored state of the refresh plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRecord {
    /// The state of the price controller.
    pub price: PriceRecord,
    /// The statistics of each campaign; at most [`PlanRecord::MAX_CAMPAIGNS`]. Each takes 120 bytes here and about 105 in
    /// the file.
    pub campaigns: Vec<(ActivityId, CampaignRecord)>,
}

/// A plan that cannot be stored, or bytes that are not a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidPlan {
    /// More campaigns than a process keeps.
    #[error("{0} campaigns, more than {max}", max = PlanRecord::MAX_CAMPAIGNS)]
    TooManyCampaigns(usize),
    /// More bytes than the largest plan has.
    #[error("more than {max} bytes", max = PlanRecord::MAX_BYTES)]
    TooLarge,
    /// Another version of this program wrote it.
    #[error("format {0}, and this version reads format {ours}", ours = PlanRecord::FORMAT)]
    OtherFormat(u32),
    /// Damaged, or not written by this program.
    #[error("not a plan that this program wrote, see line {line}, column {column}")]
    Damaged {
        /// The line of the first error.
        line: usize,
        /// Its column.
        column: usize,
    },
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
struct PlanFields {
    format: u32,
    price: PriceFields,
    campaigns: Vec<CampaignFields>,
}

/// What each format has.
#[derive(Deserialize)]
struct AnyFormat {
    format: u32,
}

// === impl PlanRecord ===

impl PlanRecord {
    /// The most campaigns in a plan.
    pub const MAX_CAMPAIGNS: usize = 16_384;
    /// More than that many campaigns need.
    pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
    const FORMAT: u32 = 1;

    /// Checks that it can be stored.
    pub(super) fn check(&self) -> Result<(), InvalidPlan> {
        match self.campaigns.len() {
            0..=Self::MAX_CAMPAIGNS => Ok(()),
            many => Err(InvalidPlan::TooManyCampaigns(many)),
        }
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, InvalidPlan> {
        self.check()?;
        let fields = PlanFields {
            format: Self::FORMAT,
            price: PriceFields::of(&self.price),
            campaigns: self.campaigns.iter().map(|(id, record)| CampaignFields::of(*id, record)).collect(),
        };
        let bytes = serde_json::to_vec(&fields).map_err(InvalidPlan::damaged)?;
        // Never write a plan that would be refused when read.
        if bytes.len() > Self::MAX_BYTES { Err(InvalidPlan::TooLarge) } else { Ok(bytes) }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidPlan> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(InvalidPlan::TooLarge);
        }
        let other_format = || match serde_json::from_slice(bytes) {
            Ok(AnyFormat { format }) if format != Self::FORMAT => Some(InvalidPlan::OtherFormat(format)),
            Ok(AnyFormat { .. }) | Err(_) => None,
        };
        let PlanFields { format, price, campaigns } = serde_json::from_slice(bytes)
            .map_err(|error| other_format().unwrap_or_else(|| InvalidPlan::damaged(error)))?;
        if format != Self::FORMAT {
            return Err(InvalidPlan::OtherFormat(format));
        }
        let campaigns = campaigns.into_iter().map(CampaignFields::into_record).collect();
        let record = Self { price: price.into_record(), campaigns };
        record.check()?;
        Ok(record)
    }
}

// === impl InvalidPlan ===

impl InvalidPlan {
    /// Keeps the place only: serde's message may quote megabytes.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    fn damaged(error: serde_json::Error) -> Self {
        Self::Damaged { line: error.line(), column: error.column() }
    }
}

#[cfg(test)]
mod tests;
