//! Which campaign activities exist: a handful with names, and a family of synthetic ids for tests that need
//! a million of them.

use std::time::Duration;

use uuid::Uuid;

use super::clock::Moment;

/// An upper bound: a typing error must not make a body of gigabytes.
const MOST_LINKS: u32 = 100_000;

/// A campaign of the simulated account, for listings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Its activity id: the one in a report's path.
    pub id: Uuid,
    /// Its name in the account.
    pub name: &'static str,
    /// Its state at the time of the listing; a scheduled one is sent later.
    pub state: CampaignState,
}

/// The vendor's `current_status`, as far as it is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CampaignState {
    /// A draft.
    Draft,
    /// Scheduled.
    Scheduled,
    /// It is being sent.
    Executing,
    /// Sent.
    Done,
    /// Sending it has failed.
    Error,
    /// Deleted.
    Removed,
}

/// What a report is computed from, together with the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) id: Uuid,
    name: &'static str,
    sending: Sending,
    pub(super) links: u32,
    pub(super) audience: Audience,
}

/// When it is sent, relative to the simulator's start.
#[derive(Clone, Copy, Debug)]
enum Sending {
    Never,
    Before(Duration),
    After(Duration),
}

/// The recipients, and how they click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Contacts who click nothing.
    Silent,
    /// This many contacts; some links get no click.
    Contacts(u32),
    /// This many contacts, and no link without a click: the number of links in a report is then known.
    Thorough(u32),
}

const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

const READERS: Audience = Audience::Contacts(18_000);

/// The first four are the ids of the vendor's own page, so that its samples work when pasted.
#[rustfmt::skip]
const KNOWN: [Plan; 8] = [
    plan(0x1ead98be_dfa0_4e04_81f7_5f1534d42e9c, "Spring lamps, first look", Sending::Before(hours(2)), 12, READERS),
    plan(0x1ead98be_dfa2_4e04_51f7_5f1564d42e9c, "Harbour Light members", Sending::Before(hours(9)), 8, READERS),
    plan(0x8892baf9_970a_4de6_8400_fa4ec461986d, "Winter sale, last days", Sending::Before(hours(288)), 15, READERS),
    plan(0x6cc0d637_cf3d_4ac6_aad7_21567698eb38, "Summer catalogue", Sending::Never, 10, READERS),
    plan(0x2b7e1516_28ae_42a6_abf7_158809cf4f3c, "Workshop invitation", Sending::After(hours(2)), 6, READERS),
    plan(0x3c4fcf09_8815_4ff7_8a2c_6d5e4b3a2910, "Opening hours over Easter", Sending::Before(hours(30)), 5, Audience::Silent),
    plan(0x9f0e1d2c_3b4a_4958_8776_655443322110, "Grüße aus der Werkstatt", Sending::Before(hours(5)), 9, READERS),
    plan(0xd41d8cd9_8f00_4204_a980_0998ecf8427e, "Just sent: the new shop", Sending::Before(hours(0)), 7, READERS),
];

const fn plan(id: u128, name: &'static str, sending: Sending, links: u32, audience: Audience) -> Plan {
    Plan { id: Uuid::from_u128(id), name, sending, links, audience }
}

/// `KKKKKKKK-0000-4000-8000-LLLLLLLLLLLL`: an id that always exists. The key is written in hexadecimal, the
/// number of links in decimal; each link has at least one click, no link means that it was never sent.
pub fn synthetic_id(key: u32, links: u32) -> Uuid {
    let links = links.to_string().bytes().fold(0_u64, |digits, digit| digits << 4 | u64::from(digit - b'0'));
    Uuid::from_fields(key, 0, 0x4000, &(0x8000_u64 << 48 | links).to_be_bytes())
}

/// Reads the hyphenated form and no other: `Uuid`'s own parser also takes braces, `urn:` and bare digits.
pub(super) fn parse_id(text: &str) -> Option<Uuid> {
    if text.len() == uuid::fmt::Hyphenated::LENGTH { Uuid::try_parse(text).ok() } else { None }
}

pub(super) fn find(id: Uuid) -> Option<Plan> {
    KNOWN.into_iter().find(|plan| plan.id == id).or_else(|| synthetic(id))
}

/// The named campaigns, with their state at this moment.
pub(super) fn list(started: Moment, now: Moment) -> Vec<Campaign> {
    KNOWN.map(|plan| Campaign { id: plan.id, name: plan.name, state: plan.state(started, now) }).into()
}

fn synthetic(id: Uuid) -> Option<Plan> {
    let (key, second, third, rest) = id.as_fields();
    if second != 0 || third != 0x4000 || rest[..2] != [0x80, 0x00] {
        return None;
    }
    let mut links = 0_u64;
    for byte in &rest[2..] {
        for digit in [byte >> 4, byte & 0xf] {
            if digit > 9 {
                return None;
            }
            links = links * 10 + u64::from(digit);
        }
    }
    let links = u32::try_from(links).ok().filter(|links| *links <= MOST_LINKS)?;
    let sending = match links {
        0 => Sending::Never,
        // Spread over three days, so that many keys have many ages.
        _ => Sending::Before(hours(u64::from(key % 72))),
    };
    Some(Plan { id, name: "Synthetic", sending, links, audience: Audience::Thorough(20_000) })
}

// === impl CampaignState ===

impl CampaignState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Draft, Self::Scheduled, Self::Executing, Self::Done, Self::Error, Self::Removed];

    /// The value of `current_status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Scheduled => "SCHEDULED",
            Self::Executing => "EXECUTING",
            Self::Done => "DONE",
            Self::Error => "ERROR",
            Self::Removed => "REMOVED",
        }
    }
}

// === impl Plan ===

impl Plan {
    /// When it was or will be sent, since the epoch.
    pub(super) fn sent_at(&self, started: Moment) -> Option<Duration> {
        match self.sending {
            Sending::Never => None,
            Sending::Before(ago) => Some(started.since_epoch.saturating_sub(ago)),
            Sending::After(later) => Some(started.since_epoch + later),
        }
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn state(&self, started: Moment, now: Moment) -> CampaignState {
        let sent = self.sent_at(started);
        sent.map_or(CampaignState::Draft, |sent| CampaignState::of_time(sent, now.since_epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synthetic_id_tells_its_key_and_its_number_of_links() {
        assert_eq!(synthetic_id(0xbeef, 50).to_string(), "0000beef-0000-4000-8000-000000000050");
        assert_eq!(find(synthetic_id(7, 50)).map(|plan| plan.links), Some(50));
    }

    #[test]
    fn ids_outside_the_family_do_not_exist() {
        for id in [
            "0000beef-0001-4000-8000-000000000050",
            "0000beef-0000-4001-8000-000000000050",
            "0000beef-0000-4000-8001-000000000050",
            "0000beef-0000-4000-8000-0000000000a0",
            "0000beef-0000-4000-8000-000000100001",
        ] {
            assert!(find(parse_id(id).unwrap()).is_none(), "{id}");
        }
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        assert!(parse_id("1EAD98BE-DFA0-4E04-81F7-5F1534D42E9C").is_some());
        for text in [
            "1ead98bedfa04e0481f75f1534d42e9c",
            "{1ead98be-dfa0-4e04-81f7-5f1534d42e9c}",
            "1ead98be-dfa0-4e04-81f7-5f1534d42e9",
            "1ead98be-dfa0-4e04-81f75-f1534d42e9c",
        ] {
            assert_eq!(parse_id(text), None, "{text}");
        }
    }
}
