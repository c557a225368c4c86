//! A response body and its strong `ETag` (RFC 9110 §8.8).

use std::{fmt, sync::Arc};

use ring::digest;

/// The size of an `Arc`'s two reference counts, in bytes.
const ARC_COUNTS: usize = 2 * size_of::<usize>();
/// How many bytes of the hash are in the tag: 128 bits, so that two versions of one report do not collide.
const HASH_BYTES: usize = 16;

/// A body and its entity tag, in one allocation without spare capacity, since every hit reads both.
///
/// The tag is the first half of the body's SHA-256, in quotes. Equal bodies have equal tags in every replica and after
/// every restart, so that a client's conditional request gets a 304 from any of them.
#[derive(Clone)]
pub struct Representation {
    tag_and_body: Arc<[u8]>,
    tag_len: usize,
}

// === impl Representation ===

impl Representation {
    /// Copies `body` and computes its tag. It copies because `body` is often a slice of a much larger buffer, which
    /// must not be kept alive.
    pub fn new(body: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let hash = digest::digest(&digest::SHA256, body);
        let mut tag = [b'"'; 2 * HASH_BYTES + 2];
        for (digits, byte) in tag[1..].chunks_exact_mut(2).zip(&hash.as_ref()[..HASH_BYTES]) {
            digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        Self::join(&tag, body)
    }

    /// The gzip variant of this body. Its tag differs, since a strong tag names exact bytes (RFC 9110 §8.8.1).
    pub fn gzip(&self, encoded: &[u8]) -> Self {
        let hash = &self.tag()[..self.tag_len - 1];
        Self::join(&[hash, b"-gzip\""].concat(), encoded)
    }

    /// The value of the `ETag` header, with its quotes.
    pub fn tag(&self) -> &[u8] {
        &self.tag_and_body[..self.tag_len]
    }

    /// The body: as the upstream sent it (decoded), or in its gzip variant.
    pub fn body(&self) -> &[u8] {
        &self.tag_and_body[self.tag_len..]
    }

    /// The shared slice with tag and body, and the offset of the body in bytes.
    pub fn shared(&self) -> (Arc<[u8]>, usize) {
        (Arc::clone(&self.tag_and_body), self.tag_len)
    }

    /// The memory that tag and body occupy, in bytes.
    pub fn weight(&self) -> usize {
        block(ARC_COUNTS + self.tag_and_body.len())
    }

    fn join(tag: &[u8], body: &[u8]) -> Self {
        Self { tag_and_body: [tag, body].concat().into(), tag_len: tag.len() }
    }
}

/// Compares tags and lengths only: bodies can have megabytes, and they are compared while a lock is held.
impl PartialEq for Representation {
    fn eq(&self, other: &Self) -> bool {
        self.tag() == other.tag() && self.body().len() == other.body().len()
    }
}

impl Eq for Representation {}

/// The bytes that the allocator uses for an allocation of `len`. mimalloc has four block sizes for each doubling, and
/// leaves a twelfth of the pages for large blocks unused (measured: see `benches/README.md`).
fn block(len: usize) -> usize {
    const LARGE: usize = 8 * 1024;
    let block = len.next_multiple_of((len.next_power_of_two() / 8).max(16));
    if block > LARGE { block + block / 12 } else { block }
}

impl fmt::Debug for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Representation").field(&String::from_utf8_lossy(self.tag())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bodies_have_equal_tags_and_variants_have_their_own() {
        assert_eq!(Representation::new(b"{}").tag(), Representation::new(b"{}").tag());
        assert_ne!(Representation::new(b"{}").tag(), Representation::new(b"{} ").tag());
        // SHA-256 of the empty string begins e3b0c442…: the tag is the same on every machine.
        let empty = Representation::new(b"");
        assert_eq!(empty.tag(), b"\"e3b0c44298fc1c149afbf4c8996fb924\"");
        assert_eq!(empty.gzip(b"packed").tag(), b"\"e3b0c44298fc1c149afbf4c8996fb924-gzip\"");
    }

    #[test]
    fn bodies_are_compared_by_tag_and_length_only() {
        assert_ne!(Representation::new(b"{}"), Representation::new(b"[]"));
        let representation = Representation::new(b"{}");
        assert_eq!(representation.gzip(b"one coding"), representation.gzip(b"or another"));
        assert_ne!(representation.gzip(b"one coding"), representation);
    }

    #[test]
    fn the_weight_is_the_size_of_the_allocated_block() {
        assert_eq!([1, 455, 512, 1_795, 8_192, 8_530].map(block), [16, 512, 512, 2_048, 8_192, 11_093]);
        // Two counts, the tag of 34 bytes, the body.
        assert_eq!([0, 14, 15].map(|body| Representation::new(&vec![b' '; body]).weight()), [64, 64, 80]);
    }

    #[test]
    fn tag_and_body_are_split_where_they_were_joined() {
        let representation = Representation::new(b"some body");
        let (shared, body_at) = representation.shared();
        assert_eq!((representation.tag(), representation.body()), shared.split_at(body_at));
        assert_eq!(representation.body(), b"some body");
        assert_eq!(representation.gzip(b"packed").body(), b"packed");
    }
}
