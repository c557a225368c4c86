//! Compares a derived report with the one that the upstream sends: whether derivation may be relied on.
//!
//! The two come from two calls, and contacts may click between them. So these differences are tolerated, if they are in
//! the direction of the time between the calls: more clicks of a link, and links that were not clicked before. Such a
//! pair shows nothing, neither that derivation is right nor that it is wrong. White space between the links is not
//! compared: where all links are cut out, it is unknown what the upstream prints between the brackets. Everything else
//! must be the same, byte for byte.

use super::{LinkReport, clicked_links::ListedLinks};

/// Which of the two reports the upstream generated first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchOrder {
    /// The report of all links, which the derived one was made from.
    DerivedFirst,
    /// The report of the clicked links.
    FetchedFirst,
    /// Unknown: the calls were so close that either may have been served from the older data.
    Unknown,
}

/// What a comparison showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivedComparison {
    /// The reports are the same.
    Same,
    /// They differ by clicks that came between the two calls. Nothing is shown.
    ClicksBetween,
    /// They differ in another way: derivation must not be relied on.
    Differs(DerivationMismatch),
}

/// How a derived report differed from the upstream's: the label `reason` of `derivation_mismatches_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivationMismatch {
    /// The links of one of the reports, or their clicks, cannot be read.
    Unreadable,
    /// The text around the list of links differs.
    OtherText,
    /// A link is in one report only, has other fields, or was listed without clicks.
    OtherLinks,
    /// The same links in another order, and no clicks that explain it.
    OtherOrder,
    /// The later report has fewer clicks.
    FewerClicks,
}

/// A link's text around its number of clicks, and that number.
type LinkAndClicks<'a> = ((&'a str, &'a str), u32);

// === impl DerivedComparison ===

impl DerivedComparison {
    /// Each label of `derivation_comparisons_total{result}`.
    pub const WORDS: [&str; 3] = ["same", "clicks_between", "differs"];

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::ClicksBetween => "clicks_between",
            Self::Differs(_) => "differs",
        }
    }

    /// Compares the report that was `derived` with the report of clicked links that was `fetched`.
    pub fn of(derived: &LinkReport, fetched: &LinkReport, order: FetchOrder) -> Self {
        if derived.representation().body() == fetched.representation().body() {
            return Self::Same;
        }
        let (Ok(derived), Ok(fetched)) = (
            ListedLinks::find(derived.representation().body()),
            ListedLinks::find(fetched.representation().body()),
        ) else {
            return Self::Differs(DerivationMismatch::Unreadable);
        };
        if derived.around() != fetched.around() {
            return Self::Differs(DerivationMismatch::OtherText);
        }
        let (derived, fetched) = (links(&derived), links(&fetched));
        if derived == fetched {
            return Self::Same;
        }
        if fetched.iter().any(|(_, clicks)| *clicks == 0) {
            return Self::Differs(DerivationMismatch::OtherLinks);
        }
        let result = match order {
            FetchOrder::DerivedFirst => clicks_came(derived, fetched),
            FetchOrder::FetchedFirst => clicks_came(fetched, derived),
            FetchOrder::Unknown => clicks_came(derived.clone(), fetched.clone())
                .or_else(|mismatch| clicks_came(fetched, derived).map_err(|_| mismatch)),
        };
        result.map_or_else(Self::Differs, |()| Self::ClicksBetween)
    }
}

fn links<'a>(report: &ListedLinks<'a>) -> Vec<LinkAndClicks<'a>> {
    report.links().iter().map(|link| (report.without_clicks(link), link.clicks)).collect()
}

/// Whether clicks that came after `earlier` explain all that is different in `later`. The order of the links may be one
/// by clicks, so it may differ too.
fn clicks_came(
    mut earlier: Vec<LinkAndClicks<'_>>,
    mut later: Vec<LinkAndClicks<'_>>,
) -> Result<(), DerivationMismatch> {
    earlier.sort_unstable();
    later.sort_unstable();
    if earlier == later {
        return Err(DerivationMismatch::OtherOrder);
    }
    let mut rest = later.into_iter();
    for (link, clicks_before) in earlier {
        let found = rest.find(|(other, _)| *other == link);
        match found {
            None => return Err(DerivationMismatch::OtherLinks),
            Some((_, clicks)) if clicks < clicks_before => return Err(DerivationMismatch::FewerClicks),
            Some(_) => {}
        }
    }
    Ok(())
}

// === impl DerivationMismatch ===

impl DerivationMismatch {
    /// Each label of `derivation_mismatches_total{reason}`.
    pub const ALL: [Self; 5] =
        [Self::Unreadable, Self::OtherText, Self::OtherLinks, Self::OtherOrder, Self::FewerClicks];

    /// The label in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::OtherText => "other_text",
            Self::OtherLinks => "other_links",
            Self::OtherOrder => "other_order",
            Self::FewerClicks => "fewer_clicks",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ActivityId;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

    fn parse(body: &str) -> LinkReport {
        LinkReport::parse(ActivityId::parse(ID.as_bytes()).unwrap(), body.as_bytes()).unwrap()
    }

    fn report(links: &str) -> LinkReport {
        parse(&format!(r#"{{"campaign_activity_id":"{ID}","link_click_counts":[{links}]}}"#))
    }

    /// Links by their letter and number of clicks.
    fn of(links: &[(char, u32)]) -> LinkReport {
        let links =
            links.iter().map(|(url, clicks)| format!(r#"{{"link_url":"{url}","unique_clicks":{clicks}}}"#));
        report(&links.collect::<Vec<_>>().join(","))
    }

    use DerivationMismatch::{FewerClicks, OtherLinks, OtherOrder, OtherText, Unreadable};
    use DerivedComparison::{ClicksBetween, Differs, Same};
    use FetchOrder::{DerivedFirst, FetchedFirst, Unknown};

    #[test]
    fn equal_reports_are_the_same_whatever_the_order_and_the_white_space_between_links() {
        let all = of(&[('a', 3), ('b', 0), ('c', 1)]);
        for order in [DerivedFirst, FetchedFirst, Unknown] {
            let fetched = of(&[('a', 3), ('c', 1)]);
            assert_eq!(DerivedComparison::of(&all.derive_clicked().unwrap(), &fetched, order), Same);
            assert_eq!(DerivedComparison::of(&report(""), &report("\n"), order), Same);
        }
    }

    #[test]
    fn clicks_that_came_between_the_calls_show_nothing_but_only_in_the_direction_of_time() {
        let (early, late) = (of(&[('a', 3), ('c', 1)]), of(&[('c', 5), ('a', 4), ('b', 1)]));
        for (derived, fetched, order, expected) in [
            (&early, &late, DerivedFirst, ClicksBetween),
            (&early, &late, Unknown, ClicksBetween),
            (&early, &late, FetchedFirst, Differs(FewerClicks)),
            (&late, &early, FetchedFirst, ClicksBetween),
            (&late, &early, Unknown, ClicksBetween),
            (&late, &early, DerivedFirst, Differs(FewerClicks)),
        ] {
            assert_eq!(DerivedComparison::of(derived, fetched, order), expected, "{order:?}");
        }
    }

    #[test]
    fn every_other_difference_is_a_mismatch() {
        let derived = of(&[('a', 3), ('c', 1)]);
        let other_text = format!(
            r#"{{"campaign_activity_id":"{ID}","total":2,"link_click_counts":[{{"link_url":"a","unique_clicks":3}}]}}"#
        );
        for (fetched, order, expected) in [
            (of(&[('c', 1), ('a', 3)]), Unknown, OtherOrder),
            (of(&[('a', 3)]), DerivedFirst, OtherLinks),
            (of(&[('a', 2), ('c', 1)]), DerivedFirst, FewerClicks),
            (of(&[('a', 4), ('c', 1)]), FetchedFirst, FewerClicks),
            (of(&[('a', 4), ('d', 1)]), Unknown, OtherLinks),
            // One link has more clicks and another fewer: neither report can be the later one.
            (of(&[('a', 4), ('c', 0)]), Unknown, OtherLinks),
            (of(&[('a', 2), ('c', 2)]), Unknown, FewerClicks),
            (of(&[('a', 3), ('b', 0), ('c', 1)]), DerivedFirst, OtherLinks),
            (
                report(r#"{"link_url":"a","unique_clicks": 3},{"link_url":"c","unique_clicks":1}"#),
                Unknown,
                OtherLinks,
            ),
            (report(r#"{"link_url":"a"},{"link_url":"c","unique_clicks":1}"#), Unknown, Unreadable),
            (parse(&other_text), Unknown, OtherText),
        ] {
            assert_eq!(DerivedComparison::of(&derived, &fetched, order), Differs(expected), "{fetched:?}");
        }
    }

    #[test]
    fn of_two_links_with_the_same_text_each_is_compared_with_its_own_kind() {
        let (early, late) = (of(&[('a', 2), ('a', 1)]), of(&[('a', 2), ('a', 2)]));
        assert_eq!(DerivedComparison::of(&early, &late, DerivedFirst), ClicksBetween);
        assert_eq!(DerivedComparison::of(&early, &of(&[('a', 9)]), DerivedFirst), Differs(OtherLinks));
    }
}
