//! How durations, sizes, numbers, addresses and secrets are written.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use config::{Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;

use super::printable::is_printable;
use super::problem::SettingProblems;
use super::secret_file::{SecretContent, SecretFile};
use super::section::{Scalar, Setting, quoted};

/// Durations are added to instants; one that overflows would panic hours later.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
/// More than any machine needs, and below the limit at which tokio's semaphore panics.
const MOST: usize = 1_000_000;
/// What is shown of a secret.
const REDACTED: &str = "[redacted]";

// === impl Duration ===

impl Scalar for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(duration) if duration <= LONGEST => Ok(duration),
            Ok(_) => Err(format!("{} is too long: at most 366 days", quoted(text))),
            Err(_) => Err(format!(
                "{} is not a valid duration: write numbers with units, like \"30s\", \"5m\" or \"1h 30m\"",
                quoted(text)
            )),
        }
    }

    fn show(&self) -> Json {
        humantime::format_duration(*self).to_string().into()
    }
}

impl Scalar for ByteSize {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!(
                "{} is not a valid size: write a number with a unit, like \"512KiB\" or \"64MiB\"",
                quoted(text)
            )
        })
    }

    /// In the largest unit that is exact: the crate's own form rounds to one decimal.
    fn show(&self) -> Json {
        const UNITS: [(u64, &str); 4] =
            [(bytesize::TIB, "TiB"), (bytesize::GIB, "GiB"), (bytesize::MIB, "MiB"), (bytesize::KIB, "KiB")];
        let bytes = self.as_u64();
        match UNITS.iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit)) {
            Some((unit, name)) => format!("{}{name}", bytes / unit).into(),
            None => format!("{bytes}B").into(),
        }
    }
}

impl Scalar for u32 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("{} is not a valid whole number from 0 to {}", quoted(text), u32::MAX))
    }

    fn show(&self) -> Json {
        (*self).into()
    }
}

impl Scalar for NonZeroUsize {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<Self>() {
            Ok(number) if number.get() <= MOST => Ok(number),
            _ => Err(format!("{} is not a valid whole number from 1 to {MOST}", quoted(text))),
        }
    }

    fn show(&self) -> Json {
        self.get().into()
    }
}

impl Scalar for f64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is not a valid number: write it like 0.1", quoted(text)))
    }

    fn show(&self) -> Json {
        (*self).into()
    }
}

impl Scalar for bool {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{} is neither true nor false", quoted(text)))
    }

    fn show(&self) -> Json {
        (*self).into()
    }
}

impl Scalar for SocketAddr {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            format!("{} is not a valid address with a port: write it like 127.0.0.1:8080", quoted(text))
        })
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

/// An identifier: printable ASCII without spaces.
impl Scalar for String {
    fn parse(text: &str) -> Result<Self, String> {
        if is_printable(text) {
            Ok(text.to_owned())
        } else {
            Err("holds a space, a control character or one that is not ASCII".to_owned())
        }
    }

    fn show(&self) -> Json {
        self.as_str().into()
    }
}

impl Scalar for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.into())
    }

    fn show(&self) -> Json {
        self.display().to_string().into()
    }
}

impl<T: SecretContent> Scalar for SecretFile<T> {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }

    fn show(&self) -> Json {
        self.path().display().to_string().into()
    }
}

// === impl Setting ===

/// Not a [`Scalar`]: TOML would turn an unquoted `0x1f` or `1e5` into another number before it became text again.
impl Setting for SecretString {
    fn read(value: Option<Value>, key: &str, problems: &mut SettingProblems) -> Option<Self> {
        let Some(ValueKind::String(text)) = value.map(|value| value.kind) else {
            problems.add(key, "must be a string in quotes");
            return None;
        };
        if text == REDACTED {
            problems.add(
                key,
                format!("is \"{REDACTED}\", as \"check\" prints a secret: give it the secret itself"),
            );
            return None;
        }
        match Self::parse(&text) {
            Ok(secret) if secret.expose_secret() == text => Some(secret),
            Ok(_) => {
                problems.add(key, "begins or ends with white space or a line break: remove it");
                None
            }
            Err(_) if text.trim().is_empty() => {
                problems.add(key, "is empty: leave it out or give it a value");
                None
            }
            Err(_) => {
                problems.add(key, "holds a space, a control character or one that is not ASCII");
                None
            }
        }
    }

    fn show(&self) -> Json {
        REDACTED.into()
    }

    fn compare(&self, new: &Self, key: &str, changed: &mut Vec<String>) {
        if self.expose_secret() != new.expose_secret() {
            changed.push(key.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn again<T: Scalar>(value: &T) -> T {
        T::parse(Scalar::show(value).as_str().unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn a_duration_is_read_back_as_it_is_shown(seconds in 0..=LONGEST.as_secs() - 1, nanos in 0..1_000_000_000_u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(again(&duration), duration);
        }

        #[test]
        fn a_size_is_read_back_as_it_is_shown(number: u64, shift in 0..64_u32) {
            let size = ByteSize(number >> shift << (shift / 2));
            prop_assert_eq!(again(&size), size);
        }
    }

    #[test]
    fn the_shown_form_is_the_one_people_write() {
        for text in ["64MiB", "1000B", "3KiB", "0B", "1025B", "2TiB"] {
            assert_eq!(Scalar::show(&ByteSize::parse(text).unwrap()), text);
        }
        for text in ["5m", "0s", "1h 30m", "250ms"] {
            assert_eq!(Scalar::show(&Duration::parse(text).unwrap()), text);
        }
    }

    #[test]
    fn a_plain_zero_is_a_duration_but_no_other_plain_number_is() {
        assert_eq!(Duration::parse("0"), Ok(Duration::ZERO));
        assert!(Duration::parse("300").unwrap_err().contains("units"));
    }
}
