//! The bytes of a snapshot. One line names the format:
//!
//! ```text
//! link-report-proxy cache snapshot 1\n
//! ```
//!
//! Then come the records: the length of the fields and that of the body, each as 32 bits, high byte first; the fields
//! (JSON, never empty); the body. Then two lengths of 0, and the SHA-256 of all that is before it.

use std::{
    io::{self, Read, Write},
    ops::ControlFlow,
};

use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use super::snapshot_store::{SnapshotRecord, TakeRecord};

const NAME: &str = "link-report-proxy cache snapshot ";
/// Also of what is in the records: another number is another program's.
const FORMAT: u32 = 1;
/// Of a first line: the name and any number.
const LONGEST_LINE: usize = NAME.len() + 10;

/// Bytes that are not a snapshot, or not one of this version.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidSnapshot {
    #[error("not a snapshot")]
    NotASnapshot,
    /// Another version of this program wrote it.
    #[error("format {0}, and this version reads format {FORMAT}")]
    OtherFormat(u32),
    #[error("it ends too early")]
    Truncated,
    #[error("a record is longer than any that this program writes")]
    RecordTooLong,
    #[error("there are bytes after its end")]
    Trailing,
    #[error("its checksum is wrong")]
    Checksum,
    #[error(transparent)]
    Io(io::Error),
}

/// Writes a snapshot.
pub(super) struct SnapshotWriter<W> {
    to: W,
    digest: Context,
    bytes: u64,
}

/// Reads a snapshot. Untrusted: nothing is allocated that the file is not long enough for.
struct SnapshotReader<R> {
    from: R,
    digest: Context,
    /// The bytes that were not read yet.
    left: u64,
}

// === impl SnapshotWriter ===

impl<W: Write> SnapshotWriter<W> {
    /// Begins a snapshot.
    pub(super) fn begin(to: W) -> io::Result<Self> {
        let mut writer = Self { to, digest: Context::new(&SHA256), bytes: 0 };
        writer.put(format!("{NAME}{FORMAT}\n").as_bytes())?;
        Ok(writer)
    }

    /// Adds a record.
    pub(super) fn add(&mut self, record: &SnapshotRecord) -> io::Result<()> {
        let (fields, body) = (&record.fields, record.body());
        if !(1..=SnapshotRecord::MAX_FIELDS).contains(&fields.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for length in [fields.len(), body.len()] {
            let length = u32::try_from(length).map_err(|_long| io::ErrorKind::FileTooLarge)?;
            self.put(&length.to_be_bytes())?;
        }
        self.put(fields)?;
        self.put(body)
    }

    /// Ends the snapshot. Returns what it was written to, and its size in bytes.
    pub(super) fn finish(mut self) -> io::Result<(W, u64)> {
        self.put(&[0; 8])?;
        let digest = self.digest.clone().finish();
        self.put(digest.as_ref())?;
        self.to.flush()?;
        Ok((self.to, self.bytes))
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }
}

/// Reads a snapshot of `length` bytes, and passes its records to `take` until that breaks off.
pub(super) fn read_snapshot(
    from: impl Read,
    length: u64,
    take: &mut TakeRecord,
) -> Result<(), InvalidSnapshot> {
    let mut reader = SnapshotReader { from, digest: Context::new(&SHA256), left: length };
    reader.first_line()?;
    let (mut fields, mut body) = (Vec::new(), Vec::new());
    loop {
        let [fields_length, body_length] = [reader.length()?, reader.length()?];
        if (fields_length, body_length) == (0, 0) {
            return reader.end();
        }
        if fields_length == 0 || fields_length > SnapshotRecord::MAX_FIELDS as u64 {
            return Err(InvalidSnapshot::RecordTooLong);
        }
        reader.bytes(fields_length, &mut fields)?;
        reader.bytes(body_length, &mut body)?;
        match take(&fields, &body) {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(()) => return Ok(()),
        }
    }
}

// === impl SnapshotReader ===

impl<R: Read> SnapshotReader<R> {
    fn first_line(&mut self) -> Result<(), InvalidSnapshot> {
        let mut line = Vec::with_capacity(LONGEST_LINE);
        while line.last() != Some(&b'\n') {
            if line.len() > LONGEST_LINE {
                return Err(InvalidSnapshot::NotASnapshot);
            }
            let mut byte = [0];
            self.fill(&mut byte).map_err(|error| match error {
                InvalidSnapshot::Truncated => InvalidSnapshot::NotASnapshot,
                other => other,
            })?;
            line.extend(byte);
        }
        let text = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix(NAME));
        match text.and_then(|number| number.trim_end().parse().ok()) {
            Some(FORMAT) => Ok(()),
            Some(other) => Err(InvalidSnapshot::OtherFormat(other)),
            None => Err(InvalidSnapshot::NotASnapshot),
        }
    }

    fn length(&mut self) -> Result<u64, InvalidSnapshot> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes).into())
    }

    fn bytes(&mut self, length: u64, to: &mut Vec<u8>) -> Result<(), InvalidSnapshot> {
        // Before anything is allocated.
        if length > self.left {
            return Err(InvalidSnapshot::Truncated);
        }
        to.resize(usize::try_from(length).map_err(|_long| InvalidSnapshot::RecordTooLong)?, 0);
        self.fill(to)
    }

    fn end(mut self) -> Result<(), InvalidSnapshot> {
        let digest = self.digest.clone().finish();
        let mut checksum = [0; SHA256_OUTPUT_LEN];
        self.fill(&mut checksum)?;
        match (digest.as_ref() == checksum, self.left) {
            (false, _) => Err(InvalidSnapshot::Checksum),
            (true, 0) => Ok(()),
            (true, _) => Err(InvalidSnapshot::Trailing),
        }
    }

    fn fill(&mut self, to: &mut [u8]) -> Result<(), InvalidSnapshot> {
        self.left = self.left.checked_sub(to.len() as u64).ok_or(InvalidSnapshot::Truncated)?;
        self.from.read_exact(to).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => InvalidSnapshot::Truncated,
            _ => InvalidSnapshot::Io(error),
        })?;
        self.digest.update(to);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::report::Representation;

    type Records = Vec<(Vec<u8>, Vec<u8>)>;

    fn written(records: &Records) -> Vec<u8> {
        let mut writer = SnapshotWriter::begin(Vec::new()).unwrap();
        for (fields, body) in records {
            let body = Some(Representation::new(body));
            writer.add(&SnapshotRecord { fields: fields.clone(), body }).unwrap();
        }
        let (bytes, length) = writer.finish().unwrap();
        assert_eq!(bytes.len() as u64, length);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Records, InvalidSnapshot> {
        let read = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&read);
        let mut take: TakeRecord = Box::new(move |fields, body| {
            list.lock().unwrap().push((fields.to_vec(), body.to_vec()));
            ControlFlow::Continue(())
        });
        read_snapshot(bytes, bytes.len() as u64, &mut take)?;
        Ok(read.lock().unwrap().clone())
    }

    fn records() -> Records {
        vec![(b"{}".to_vec(), b"first".to_vec()), (b"{\"a\":1}".to_vec(), Vec::new())]
    }

    #[test]
    fn records_are_read_as_they_were_written_and_the_format_is_the_documented_one() {
        assert_eq!(read(&written(&records())).unwrap(), records());
        assert_eq!(read(&written(&Vec::new())).unwrap(), []);
        let bytes = written(&vec![(b"{}".to_vec(), b"xyz".to_vec())]);
        let (content, checksum) = bytes.split_at(bytes.len() - 32);
        assert_eq!(content, b"link-report-proxy cache snapshot 1\n\0\0\0\x02\0\0\0\x03{}xyz\0\0\0\0\0\0\0\0");
        assert_eq!(checksum, ring::digest::digest(&SHA256, content).as_ref());
    }

    #[test]
    fn whoever_takes_the_records_may_break_off() {
        let bytes = written(&records());
        let (mut take, taken): (TakeRecord, _) = {
            let taken = Arc::new(Mutex::new(0));
            let count = Arc::clone(&taken);
            let take = move |_: &[u8], _: &[u8]| {
                *count.lock().unwrap() += 1;
                ControlFlow::Break(())
            };
            (Box::new(take), taken)
        };
        read_snapshot(&bytes[..], bytes.len() as u64, &mut take).unwrap();
        assert_eq!(*taken.lock().unwrap(), 1);
    }

    #[test]
    fn another_format_is_named_and_a_long_record_is_not_allocated() {
        let other = String::from_utf8_lossy(&written(&Vec::new())).replacen("snapshot 1", "snapshot 27", 1);
        assert!(matches!(read(other.as_bytes()), Err(InvalidSnapshot::OtherFormat(27))));
        let mut long = b"link-report-proxy cache snapshot 1\n".to_vec();
        long.extend([0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, b'{', b'}']);
        assert!(matches!(read(&long), Err(InvalidSnapshot::Truncated)));
        long[35..39].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(read(&long), Err(InvalidSnapshot::RecordTooLong)));
        for nothing in [&b""[..], b"\n", b"link-report-proxy", &[b'x'; 1_000]] {
            assert!(matches!(read(nothing), Err(InvalidSnapshot::NotASnapshot)), "{nothing:?}");
        }
    }

    #[test]
    fn a_record_that_could_not_be_read_is_not_written() {
        let mut writer = SnapshotWriter::begin(Vec::new()).unwrap();
        for fields in [Vec::new(), vec![b' '; SnapshotRecord::MAX_FIELDS + 1]] {
            writer.add(&SnapshotRecord { fields, body: None }).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn any_changed_byte_or_length_is_noticed(at: proptest::sample::Index, xor in 1_u8.., cut in 1_usize..40) {
            let bytes = written(&records());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] ^= xor;
            prop_assert!(read(&changed).is_err());
            prop_assert!(read(&bytes[..bytes.len() - cut]).is_err());
            prop_assert!(read(&[&bytes[..], &vec![0; cut]].concat()).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes: Vec<u8>, is_snapshot: bool) {
            if is_snapshot {
                bytes.splice(0..0, *b"link-report-proxy cache snapshot 1\n");
            }
            prop_assert!(read(&bytes).is_err());
        }
    }
}
