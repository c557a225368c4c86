//! Why a flight failed is a word: the store keeps no more of it.

/// Its length, in bytes.
pub(super) const LONGEST_WORD: usize = 64;

/// The beginning of a text that is too long.
pub(super) fn short_word(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_WORD)]
}
