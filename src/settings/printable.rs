//! Which text can be sent in a header and logged as it is.

/// Whether `text` is visible ASCII (RFC 9110: VCHAR) without spaces: a token, an identifier.
pub(crate) fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_visible_ascii_is_printable() {
        assert!(is_printable("Az09-._~+/=!"));
        for bad in ["a b", "a\tb", "a\r\nb", "\u{7f}", "h\u{fc}sh", "\0"] {
            assert!(!is_printable(bad), "{bad:?}");
        }
    }
}
