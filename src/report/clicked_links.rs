//! Derivation: makes the report of the clicked links (`no_clicks=false`) from the report of all links
//! (`no_clicks=true`), without a call. Links without clicks are cut out of the upstream's text. The rest is not
//! serialised again: its bytes, the order of the links and unknown fields stay as the upstream sent them.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json_object::object;

/// The largest `unique_clicks`: the vendor's type is int32.
const MAX_CLICKS: u32 = i32::MAX as u32;

/// Why the links of a report cannot be told apart by their clicks. It is stricter than what a report needs to be
/// cached, since a derived report must never lack a link that was clicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDerivable {
    /// It is not a link report, or has a list of links twice.
    #[error("the report has no list of links")]
    List,
    /// An element of the list is not an object with exactly one `unique_clicks`, a whole number from 0 to 2^31 - 1.
    #[error("a link has no valid unique_clicks")]
    Link,
}

/// A report's text, and where its links are in it.
#[derive(Debug)]
pub(super) struct ListedLinks<'a> {
    text: &'a str,
    /// From after `[` to before `]`.
    list: Range<usize>,
    links: Vec<ListedLink>,
}

/// A link's place in the text of its report.
#[derive(Debug, Clone)]
pub(super) struct ListedLink {
    place: Range<usize>,
    clicks_place: Range<usize>,
    pub(super) clicks: u32,
}

#[derive(Deserialize)]
struct ReportWithLinks<'a> {
    #[serde(borrow)]
    link_click_counts: &'a RawValue,
}

#[derive(Deserialize)]
struct LinkWithClicks<'a> {
    #[serde(borrow)]
    unique_clicks: &'a RawValue,
}

// === impl ListedLinks ===

impl<'a> ListedLinks<'a> {
    /// Finds the links of a body.
    pub(super) fn find(body: &'a [u8]) -> Result<Self, NotDerivable> {
        let text = std::str::from_utf8(body).map_err(|_| NotDerivable::List)?;
        let ReportWithLinks { link_click_counts } = object(text).ok_or(NotDerivable::List)?;
        let array = place(text, link_click_counts);
        let elements: Vec<&RawValue> =
            serde_json::from_str(link_click_counts.get()).map_err(|_| NotDerivable::List)?;
        let links: Result<_, _> =
            elements.into_iter().map(|element| ListedLink::find(text, element)).collect();
        Ok(Self { text, list: array.start + 1..array.end - 1, links: links? })
    }

    pub(super) fn links(&self) -> &[ListedLink] {
        &self.links
    }

    /// The text before and after the list of links.
    pub(super) fn around(&self) -> (&'a str, &'a str) {
        (&self.text[..self.list.start], &self.text[self.list.end..])
    }

    /// A link's text, before and after its number of clicks.
    pub(super) fn without_clicks(&self, link: &ListedLink) -> (&'a str, &'a str) {
        let before = &self.text[link.place.start..link.clicks_place.start];
        (before, &self.text[link.clicks_place.end..link.place.end])
    }

    /// The text with only the links that were clicked. A link that stays keeps the comma and white space before it, as
    /// in the report of all links; the first keeps what follows the `[`. If none stays, nothing is between the brackets.
    pub(super) fn clicked_only(&self) -> String {
        let (before, after) = self.around();
        let mut derived = String::with_capacity(self.text.len());
        derived.push_str(before);
        let (mut stayed, mut end) = (0, self.list.start);
        for link in &self.links {
            if link.clicks > 0 {
                // The first link that stays takes the place of the first of the list.
                let gap = if stayed == 0 {
                    self.list.start..self.links[0].place.start
                } else {
                    end..link.place.start
                };
                derived.push_str(&self.text[gap]);
                derived.push_str(&self.text[link.place.clone()]);
                stayed += 1;
            }
            end = link.place.end;
        }
        if stayed > 0 {
            derived.push_str(&self.text[end..self.list.end]);
        }
        derived.push_str(after);
        derived
    }
}

// === impl ListedLink ===

impl ListedLink {
    fn find(text: &str, link: &RawValue) -> Result<Self, NotDerivable> {
        let LinkWithClicks { unique_clicks } = object(link.get()).ok_or(NotDerivable::Link)?;
        let number = unique_clicks.get().parse().ok().filter(|clicks| *clicks <= MAX_CLICKS);
        let clicks = number.ok_or(NotDerivable::Link)?;
        Ok(Self { place: place(text, link), clicks_place: place(text, unique_clicks), clicks })
    }
}

/// Where `part`, which borrows from `text`, is in it.
fn place(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr().addr() - text.as_ptr().addr();
    start..start + part.get().len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn derive(body: &str) -> Result<String, NotDerivable> {
        ListedLinks::find(body.as_bytes()).map(|links| links.clicked_only())
    }

    #[test]
    fn links_without_clicks_are_cut_out_and_all_other_bytes_stay() {
        for (all, clicked) in [
            (r#"{"link_click_counts":[]}"#, r#"{"link_click_counts":[]}"#),
            (r#"{"link_click_counts": [ {"unique_clicks":0} ] }"#, r#"{"link_click_counts": [] }"#),
            (
                r#"{"x":"é\u00e9","link_click_counts":[{"u":"[{\"]","unique_clicks":7},{"unique_clicks":0},{"unique_clicks":1e0}]}"#,
                "",
            ),
            (
                r#"{"a":1.0,"link_click_counts":[{"unique_clicks":0,"u":"1"},{"unique_clicks":30,"u":"]"}, {"unique_clicks":0},{"new":{"unique_clicks":0},"unique_clicks":2}],"z":[{"unique_clicks":0}]}"#,
                r#"{"a":1.0,"link_click_counts":[{"unique_clicks":30,"u":"]"},{"new":{"unique_clicks":0},"unique_clicks":2}],"z":[{"unique_clicks":0}]}"#,
            ),
            (
                "{\n \"link_click_counts\" : [\n  {\"unique_clicks\": 0},\n  {\"unique_clicks\": 5}\n ]\r\n}\n",
                "{\n \"link_click_counts\" : [\n  {\"unique_clicks\": 5}\n ]\r\n}\n",
            ),
            (
                r#"{"link_\u0063lick_counts":[{"unique_\u0063licks":0},{"unique_\u0063licks":4}]}"#,
                r#"{"link_\u0063lick_counts":[{"unique_\u0063licks":4}]}"#,
            ),
        ] {
            let expected = if clicked.is_empty() { Err(NotDerivable::Link) } else { Ok(clicked.to_owned()) };
            assert_eq!(derive(all), expected, "{all}");
        }
    }

    #[test]
    fn a_link_whose_clicks_are_not_certain_leaves_nothing_derived() {
        for link in [
            "7",
            "null",
            r#""unique_clicks""#,
            "[0]",
            "{}",
            r#"{"Unique_clicks":0}"#,
            r#"{"unique_clicks":null}"#,
            r#"{"unique_clicks":"0"}"#,
            r#"{"unique_clicks":0.0}"#,
            r#"{"unique_clicks":-0}"#,
            r#"{"unique_clicks":-1}"#,
            r#"{"unique_clicks":2147483648}"#,
            r#"{"unique_clicks":[0]}"#,
            r#"{"unique_clicks":0,"unique_clicks":1}"#,
            r#"{"unique_clicks":0,"unique_\u0063licks":1}"#,
            r#"{"link":{"unique_clicks":0}}"#,
        ] {
            let body = format!(r#"{{"link_click_counts":[{{"unique_clicks":1}},{link}]}}"#);
            assert_eq!(derive(&body), Err(NotDerivable::Link), "{link}");
        }
        for body in [
            "",
            "{}",
            "[[]]",
            r#"{"link_click_counts":{}}"#,
            r#"{"link_click_counts":null}"#,
            r#"{"link_click_counts":[],"link_click_counts":[]}"#,
            r#"{"link_click_counts":[],"link_\u0063lick_counts":[]}"#,
            r#"{"link_click_counts":[]}}"#,
        ] {
            assert_eq!(derive(body), Err(NotDerivable::List), "{body}");
        }
    }

    #[test]
    fn a_deep_nest_in_a_link_stays_and_does_not_overflow_the_stack() {
        let deep = format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        let kept = format!(r#"{{"x":{deep},"unique_clicks":1}}"#);
        let body = format!(r#"{{"link_click_counts":[{{"x":{deep},"unique_clicks":0}},{kept}]}}"#);
        assert_eq!(derive(&body), Ok(format!(r#"{{"link_click_counts":[{kept}]}}"#)));
    }

    /// White space that JSON allows between tokens.
    fn space() -> impl Strategy<Value = String> + Clone {
        "[ \t\r\n]{0,2}"
    }

    /// A link: its clicks, and its text with fields before and after them.
    fn link() -> impl Strategy<Value = (u32, String)> {
        let clicks = prop_oneof![Just(0), 0..3_u32, 0..=MAX_CLICKS];
        (clicks, any::<String>(), any::<Option<i64>>(), space(), space()).prop_map(
            |(clicks, url, more, one, two)| {
                let url = serde_json::to_string(&url).unwrap();
                let more = more.map_or(String::new(), |more| format!(r#","more":[{more},{{}}]"#));
                (clicks, format!(r#"{{"link_url":{one}{url},"unique_clicks":{two}{clicks}{one}{more}}}"#))
            },
        )
    }

    proptest! {
        /// The oracle prints the list itself, so it knows what is to be left.
        #[test]
        fn what_is_left_is_what_the_upstream_would_have_printed(
            links in proptest::collection::vec(link(), 0..12),
            (open, between, close) in (space(), space(), space()),
            (before, after) in (space(), space()),
        ) {
            let print = |least: u32| {
                let links: Vec<&str> =
                    links.iter().filter(|(clicks, _)| *clicks >= least).map(|(_, text)| &**text).collect();
                let list = links.join(&format!("{close},{between}"));
                let list = if links.is_empty() { String::new() } else { format!("{open}{list}{close}") };
                format!(r#"{{"a":[{{"unique_clicks":0}}],{before}"link_click_counts"{after}:[{list}],"z":"é"}}"#)
            };
            prop_assert_eq!(derive(&print(0)), Ok(print(1)));
        }

        #[test]
        fn any_text_is_derived_or_refused_but_never_a_panic(text in ".*") {
            let body = format!(r#"{{"link_click_counts":[{text}]}}"#);
            if let Ok(derived) = derive(&body) {
                prop_assert_eq!(derive(&derived), Ok(derived.clone()));
            }
        }
    }
}
