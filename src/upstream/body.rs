//! Reads and gunzips a response body, up to a size limit on the bytes as sent and on the decoded bytes.

use std::{
    borrow::Cow,
    error::Error as StdError,
    io::{self, Write},
    pin::pin,
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};
use http_body::Body;
use http_body_util::BodyExt as _;

use crate::report::InvalidReport;

/// The `Content-Encoding` of a body. The request accepts gzip only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Collects decoded bytes up to `limit`. A write past it fails, so a gzip bomb cannot use more memory than that.
struct Capped {
    bytes: Vec<u8>,
    limit: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the size limit is reached")]
struct LimitReached;

/// A complete body as it was sent, not decoded yet.
#[derive(Debug)]
pub(super) struct Coded(Vec<u8>);

// === impl Encoding ===

impl Encoding {
    /// Reads `Content-Encoding` (RFC 9110 §8.4).
    ///
    /// # Errors
    /// [`InvalidReport::Encoding`] for a coding that the request does not accept, or for more than one.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, InvalidReport> {
        let mut values = headers.get_all(CONTENT_ENCODING).into_iter();
        match (values.next().map(|value| value.as_bytes().trim_ascii()), values.next()) {
            (None, None) => Ok(Self::Identity),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"identity") => Ok(Self::Identity),
            (Some(coding), None)
                if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") =>
            {
                Ok(Self::Gzip)
            }
            _ => Err(InvalidReport::Encoding),
        }
    }
}

/// Reads a small body to its end and decodes it.
///
/// # Errors
/// As [`Coded::read`] and [`Coded::decode`].
pub(super) async fn read<B>(body: B, encoding: Encoding, limit: u64) -> Result<Vec<u8>, InvalidReport>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    Coded::read(body, limit).await?.decode(encoding, limit).map(Cow::into_owned)
}

// === impl Coded ===

impl Coded {
    #[cfg(any(test, fuzzing))]
    pub(super) const fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Reads a body to its end.
    ///
    /// # Errors
    /// [`InvalidReport::TooLarge`] past `limit` bytes; [`InvalidReport::Truncated`] when the connection ends before the
    /// body does.
    pub(super) async fn read<B>(body: B, limit: u64) -> Result<Self, InvalidReport>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn StdError + Send + Sync>>,
    {
        let mut body = pin!(body);
        let hint = body.size_hint();
        if hint.lower() > limit {
            return Err(InvalidReport::TooLarge { limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(hint.exact().unwrap_or(0)).unwrap_or(0));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_error| InvalidReport::Truncated)?;
            let Ok(data) = frame.into_data() else { continue };
            if (bytes.len() + data.len()) as u64 > limit {
                return Err(InvalidReport::TooLarge { limit });
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Self(bytes))
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// [`InvalidReport::TooLarge`] past `limit` bytes, as sent or as decoded; [`InvalidReport::Encoding`] when it is not
    /// valid gzip.
    pub(super) fn decode(&self, encoding: Encoding, limit: u64) -> Result<Cow<'_, [u8]>, InvalidReport> {
        // Also one of gzip: megabytes of it may have little in them, and take as long.
        if self.0.len() as u64 > limit {
            return Err(InvalidReport::TooLarge { limit });
        }
        match encoding {
            Encoding::Identity => Ok(Cow::Borrowed(&self.0)),
            Encoding::Gzip => {
                let mut decoder = MultiGzDecoder::new(Capped { bytes: Vec::new(), limit });
                // `finish` fails for a stream without its end.
                let decoded = decoder.write_all(&self.0).and_then(|()| decoder.finish());
                decoded.map(|capped| Cow::Owned(capped.bytes)).map_err(|error| decode_error(&error, limit))
            }
        }
    }
}

fn decode_error(error: &io::Error, limit: u64) -> InvalidReport {
    if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<LimitReached>) {
        InvalidReport::TooLarge { limit }
    } else {
        InvalidReport::Encoding
    }
}

// === impl Capped ===

impl Write for Capped {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + data.len()) as u64 > self.limit {
            return Err(io::Error::other(LimitReached));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;
    use http_body_util::Full;

    const LIMIT: u64 = 1 << 20;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    async fn ungzip(body: Vec<u8>) -> Result<Vec<u8>, InvalidReport> {
        read(Full::new(Bytes::from(body)), Encoding::Gzip, LIMIT).await
    }

    #[tokio::test]
    async fn a_gzip_body_is_decoded_and_a_broken_one_refused() {
        let whole = gzip(b"{}");
        assert_eq!(ungzip(whole.clone()).await.unwrap(), b"{}");
        assert_eq!(ungzip([gzip(b"{"), gzip(b"}")].concat()).await.unwrap(), b"{}");
        assert_eq!(ungzip(whole[..whole.len() - 1].to_vec()).await, Err(InvalidReport::Encoding));
        assert_eq!(ungzip(b"{}".to_vec()).await, Err(InvalidReport::Encoding));
    }

    #[tokio::test]
    async fn the_limit_applies_to_the_bytes_as_sent_and_as_decoded() {
        let too_large = Err(InvalidReport::TooLarge { limit: LIMIT });
        let exact = vec![b' '; LIMIT as usize];
        let plain = |bytes: Vec<u8>| read(Full::new(Bytes::from(bytes)), Encoding::Identity, LIMIT);
        assert_eq!(plain(exact.clone()).await.unwrap().len(), exact.len());
        assert_eq!(plain([exact.clone(), vec![b' ']].concat()).await, too_large);
        assert_eq!(ungzip(gzip(&exact)).await.unwrap().len(), exact.len());
        assert_eq!(ungzip(gzip(&[exact, vec![b' ']].concat())).await, too_large);
    }

    #[test]
    fn a_body_that_is_longer_as_sent_than_decoded_is_not_decoded_beyond_the_limit() {
        let coded = Coded::of([gzip(b"{}"), gzip(b"").repeat(100)].concat());
        let length = coded.0.len() as u64;
        assert_eq!(coded.decode(Encoding::Gzip, length).unwrap(), &b"{}"[..]);
        let limit = length - 1;
        assert_eq!(coded.decode(Encoding::Gzip, limit), Err(InvalidReport::TooLarge { limit }));
    }

    #[test]
    fn a_gzip_bomb_uses_no_more_memory_than_twice_the_limit() {
        let bomb = gzip(&vec![0; 32 << 20]);
        let mut decoder = MultiGzDecoder::new(Capped { bytes: Vec::new(), limit: LIMIT });
        let error = decoder.write_all(&bomb).unwrap_err();
        assert_eq!(decode_error(&error, LIMIT), InvalidReport::TooLarge { limit: LIMIT });
        assert!(decoder.get_ref().bytes.capacity() as u64 <= 2 * LIMIT);
    }

    #[test]
    fn only_a_single_gzip_or_identity_coding_is_read() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            Encoding::of(&headers)
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZip"]), Ok(Encoding::Gzip));
        for values in [&["br"] as &[_], &["gzip, gzip"], &["gzip", "gzip"], &[""]] {
            assert_eq!(of(values), Err(InvalidReport::Encoding), "{values:?}");
        }
    }
}
