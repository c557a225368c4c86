//! The strong validator of a body.

use bytes::Bytes;
use ring::digest;

/// How much of the hash is shown: 128 bits, far beyond what two versions of one report could collide in.
const SHOWN: usize = 16;
/// The shown digits and their quotes, in bytes.
const TAG_LEN: usize = 2 * SHOWN + 2;

/// An entity tag with its quotes, as it stands in a header (RFC 9110 §8.8.3). Equal bodies have equal tags, in every
/// replica and after every restart, so that a caller's copy stays good wherever its next request lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ETag(Bytes);

// === impl ETag ===

impl ETag {
    /// The tag of `body`, a part of its SHA-256 in hexadecimal, and a copy of `body`: both in one allocation.
    pub fn before(body: &[u8]) -> (Self, Bytes) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hash = digest::digest(&digest::SHA256, body);
        let mut both = Vec::with_capacity(TAG_LEN + body.len());
        both.push(b'"');
        for byte in &hash.as_ref()[..SHOWN] {
            both.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        both.push(b'"');
        both.extend_from_slice(body);
        let mut tag = Bytes::from(both);
        let body = tag.split_off(TAG_LEN);
        (Self(tag), body)
    }

    /// The tag of the same body's gzip variant: another representation needs another strong tag (RFC 9110 §8.8.1).
    pub fn gzip(&self) -> Self {
        let hash = &self.0[..self.0.len() - 1];
        Self([hash, b"-gzip\""].concat().into())
    }

    /// The tag as it stands in a header, quotes included.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(body: &[u8]) -> ETag {
        ETag::before(body).0
    }

    #[test]
    fn equal_bodies_have_equal_tags_and_variants_have_their_own() {
        assert_eq!(tag(b"{}"), tag(b"{}"));
        assert_ne!(tag(b"{}"), tag(b"{} "));
        // SHA-256 of the empty string begins e3b0c442…: the tag is the same on every machine.
        assert_eq!(tag(b"").as_bytes().as_ref(), b"\"e3b0c44298fc1c149afbf4c8996fb924\"");
        assert_eq!(tag(b"").gzip().as_bytes().as_ref(), b"\"e3b0c44298fc1c149afbf4c8996fb924-gzip\"");
    }

    #[test]
    fn the_body_beside_the_tag_is_the_body() {
        assert_eq!(ETag::before(b"some body").1, "some body");
    }
}
