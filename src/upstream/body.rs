//! Reads a body to its end and decodes it, and never further than its cap.

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

/// How a body is coded. We ask for gzip and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
}

/// Takes what fits. A gzip bomb stops at the byte that does not, however much is still to come out of the chunk.
struct Capped {
    bytes: Vec<u8>,
    limit: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the cap is reached")]
struct CapReached;

/// A body as it was sent, whole.
#[derive(Debug)]
pub(super) struct Coded(Vec<u8>);

// === impl Encoding ===

impl Encoding {
    /// Reads `Content-Encoding`.
    ///
    /// # Errors
    /// [`InvalidReport::Encoding`] for a coding that was not asked for, or several.
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

/// The whole of a small body, decoded.
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
    /// Reads a body to its end.
    ///
    /// # Errors
    /// [`InvalidReport::TooLarge`] past `limit` bytes; [`InvalidReport::Truncated`] when the connection ends first.
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

    /// The body decoded.
    ///
    /// # Errors
    /// [`InvalidReport::TooLarge`] past `limit` bytes; [`InvalidReport::Encoding`] when it is not the gzip that it claims
    /// to be.
    pub(super) fn decode(&self, encoding: Encoding, limit: u64) -> Result<Cow<'_, [u8]>, InvalidReport> {
        match encoding {
            Encoding::Identity if self.0.len() as u64 > limit => Err(InvalidReport::TooLarge { limit }),
            Encoding::Identity => Ok(Cow::Borrowed(&self.0)),
            Encoding::Gzip => {
                let mut decoder = MultiGzDecoder::new(Capped { bytes: Vec::new(), limit });
                // A stream that lacks its end is refused at the end.
                let decoded = decoder.write_all(&self.0).and_then(|()| decoder.finish());
                decoded.map(|capped| Cow::Owned(capped.bytes)).map_err(|error| unreadable(&error, limit))
            }
        }
    }
}

fn unreadable(error: &io::Error, limit: u64) -> InvalidReport {
    if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<CapReached>) {
        InvalidReport::TooLarge { limit }
    } else {
        InvalidReport::Encoding
    }
}

// === impl Capped ===

impl Write for Capped {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + data.len()) as u64 > self.limit {
            return Err(io::Error::other(CapReached));
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
    async fn the_cap_holds_as_sent_and_once_decoded() {
        let too_large = Err(InvalidReport::TooLarge { limit: LIMIT });
        let exact = vec![b' '; LIMIT as usize];
        let plain = |bytes: Vec<u8>| read(Full::new(Bytes::from(bytes)), Encoding::Identity, LIMIT);
        assert_eq!(plain(exact.clone()).await.unwrap().len(), exact.len());
        assert_eq!(plain([exact.clone(), vec![b' ']].concat()).await, too_large);
        assert_eq!(ungzip(gzip(&exact)).await.unwrap().len(), exact.len());
        assert_eq!(ungzip(gzip(&[exact, vec![b' ']].concat())).await, too_large);
    }

    #[test]
    fn a_bomb_never_fills_more_memory_than_the_cap() {
        let bomb = gzip(&vec![0; 32 << 20]);
        let mut decoder = MultiGzDecoder::new(Capped { bytes: Vec::new(), limit: LIMIT });
        let error = decoder.write_all(&bomb).unwrap_err();
        assert_eq!(unreadable(&error, LIMIT), InvalidReport::TooLarge { limit: LIMIT });
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
