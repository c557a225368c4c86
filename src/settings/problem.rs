//! The error that lists what is wrong with the settings.

use std::collections::BTreeMap;
use std::fmt;

/// Everything that is wrong with the settings; displayed as one line a problem, in the order of the keys.
#[derive(Debug, thiserror::Error)]
pub struct SettingsError {
    problems: Vec<SettingProblem>,
}

/// One wrong setting: its key, what to do, and the environment variable that set it, if one did. Never the value of a
/// secret.
#[derive(Debug)]
struct SettingProblem {
    key: String,
    text: String,
    variable: Option<String>,
}

/// Collects problems while settings are read and checked.
#[derive(Debug, Default)]
pub(super) struct SettingProblems {
    /// The environment variable behind each key that the environment sets.
    variables: BTreeMap<String, String>,
    found: Vec<SettingProblem>,
}

// === impl SettingsError ===

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

// === impl SettingProblem ===

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", OneLine(&self.key), OneLine(&self.text))?;
        match &self.variable {
            Some(variable) => write!(f, " (set by {})", OneLine(variable)),
            None => Ok(()),
        }
    }
}

/// Keys and system messages come from outside: a line break in one must not look like a second problem.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            if char.is_control() {
                write!(f, "{}", char.escape_default())?;
            } else {
                write!(f, "{char}")?;
            }
        }
        Ok(())
    }
}

// === impl SettingProblems ===

impl SettingProblems {
    pub(super) fn new(variables: BTreeMap<String, String>) -> Self {
        Self { variables, found: Vec::new() }
    }

    /// Adds a problem of `key`; `text` says what is wrong and what to do.
    pub(super) fn add(&mut self, key: &str, text: impl Into<String>) {
        // Or one that sets something below the key, as if it were a group.
        let below = format!("{key}.");
        let variable = self.variables.get(key).or_else(|| {
            let (found, variable) = self.variables.range(below.clone()..).next()?;
            found.starts_with(&below).then_some(variable)
        });
        let variable = variable.cloned();
        self.found.push(SettingProblem { key: key.to_owned(), text: text.into(), variable });
    }

    /// As [`Self::add`], where `text` names the variables itself.
    pub(super) fn add_plain(&mut self, key: &str, text: String) {
        self.found.push(SettingProblem { key: key.to_owned(), text, variable: None });
    }

    /// The value if there is no problem so far; where `value` is missing, a problem was added.
    pub(super) fn finish<T>(&mut self, value: Option<T>) -> Result<T, SettingsError> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(SettingsError { problems: std::mem::take(&mut self.found) }),
        }
    }
}
