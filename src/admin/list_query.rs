//! The query of `GET /cache`: which entries, in which order, and which page of them.

use super::reply::Refused;

const PER_PAGE: usize = 100;
const MOST_PER_PAGE: usize = 1_000;

/// What `GET /cache` is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListQuery {
    /// From 1.
    pub(super) page: usize,
    /// From 1 to 1,000.
    pub(super) per_page: usize,
    pub(super) sort: SortColumn,
    pub(super) order: SortOrder,
    /// Entries whose id has this in it, in lower case.
    pub(super) part_of_id: String,
    /// Those with trouble only.
    pub(super) trouble: Only,
    /// Reports without links only.
    pub(super) empty: Only,
}

/// What the entries are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SortColumn {
    Id,
    /// Failed refreshes, then refusals, then what is too old.
    Trouble,
    Age,
    NextRefresh,
    Unchanged,
    Links,
    Clicks,
    Hits,
    Requests,
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SortOrder {
    Ascending,
    Descending,
}

/// Is a condition on the entries asked for?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Only {
    Yes,
    No,
}

// === impl ListQuery ===

impl ListQuery {
    /// Reads a raw query string; ignores other parameters.
    pub(super) fn from_query(query: Option<&str>) -> Result<Self, Refused> {
        let mut read = Self {
            page: 1,
            per_page: PER_PAGE,
            sort: SortColumn::Id,
            order: SortOrder::Ascending,
            part_of_id: String::new(),
            trouble: Only::No,
            empty: Only::No,
        };
        for pair in query.unwrap_or_default().split('&') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let number = || value.parse().map_err(|_| Refused::BadPage);
            match name {
                "page" => read.page = number()?,
                "per_page" => read.per_page = number()?,
                "sort" => read.sort = SortColumn::parse(value).ok_or(Refused::BadSort)?,
                "order" => read.order = SortOrder::parse(value).ok_or(Refused::BadSort)?,
                "q" => read.part_of_id = value.to_ascii_lowercase(),
                "trouble" => read.trouble = Only::parse(value),
                "empty" => read.empty = Only::parse(value),
                _ => {}
            }
        }
        let sane = read.page >= 1 && (1..=MOST_PER_PAGE).contains(&read.per_page);
        sane.then_some(read).ok_or(Refused::BadPage)
    }
}

// === impl SortColumn ===

impl SortColumn {
    const EACH: [Self; 10] = [
        Self::Id,
        Self::Trouble,
        Self::Age,
        Self::NextRefresh,
        Self::Unchanged,
        Self::Links,
        Self::Clicks,
        Self::Hits,
        Self::Requests,
        Self::Bytes,
    ];

    fn parse(word: &str) -> Option<Self> {
        Self::EACH.into_iter().find(|column| column.as_str() == word)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Trouble => "trouble",
            Self::Age => "age",
            Self::NextRefresh => "next_refresh",
            Self::Unchanged => "unchanged",
            Self::Links => "links",
            Self::Clicks => "clicks",
            Self::Hits => "hits",
            Self::Requests => "requests",
            Self::Bytes => "bytes",
        }
    }
}

// === impl SortOrder ===

impl SortOrder {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "asc" => Some(Self::Ascending),
            "desc" => Some(Self::Descending),
            _ => None,
        }
    }
}

// === impl Only ===

impl Only {
    fn parse(value: &str) -> Self {
        match value {
            "" | "0" | "false" => Self::No,
            _ => Self::Yes,
        }
    }

    /// Whether an entry is listed, which has it or not.
    pub(super) fn admits(self, has_it: impl FnOnce() -> bool) -> bool {
        match self {
            Self::No => true,
            Self::Yes => has_it(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_number_from_one() {
        let page = |page, per_page| Ok((page, per_page));
        for (query, expected) in [
            (None, page(1, 100)),
            (Some(""), page(1, 100)),
            (Some("page=3&per_page=7&x=y"), page(3, 7)),
            (Some("page=0"), Err(Refused::BadPage)),
            (Some("per_page=1001"), Err(Refused::BadPage)),
            (Some("page=-1"), Err(Refused::BadPage)),
            (Some("page="), Err(Refused::BadPage)),
        ] {
            let read = ListQuery::from_query(query).map(|read| (read.page, read.per_page));
            assert_eq!(read, expected, "{query:?}");
        }
    }

    #[test]
    fn a_column_and_an_order_are_known_words() {
        for column in SortColumn::EACH {
            let query = format!("sort={}&order=desc", column.as_str());
            let read = ListQuery::from_query(Some(&query)).unwrap();
            assert_eq!((read.sort, read.order), (column, SortOrder::Descending));
        }
        for query in ["sort=name", "sort=", "order=up"] {
            assert_eq!(ListQuery::from_query(Some(query)), Err(Refused::BadSort), "{query}");
        }
    }
}
