//! `clients.tokens_file`: the callers' bearer tokens, each with the name of the client that holds it.

use secrecy::SecretString;

use super::secret_file::{SecretContent, SecretFileError, lines_of_secrets, printable};

/// The longest name, in characters.
const LONGEST_NAME: usize = 24;

/// The fewest characters of a token that has a name. Were shorter ones allowed, a line with the two in the wrong order would
/// make the token a name, and show it.
const SHORTEST_TOKEN: usize = 16;

/// How many names a file may hold: each is a value of the label `client`.
const MOST_NAMES: usize = 32;

/// Values of the label `client` that mean no client of the file (`telemetry`).
const RESERVED: [&str; 4] = ["anonymous", "proxy", "unnamed", "other"];

/// A line of `clients.tokens_file`: `name token`, or only the token.
#[derive(Debug, Clone)]
pub struct ClientToken {
    /// The name in logs and metrics, as in the file; several tokens may have one name.
    pub name: Option<String>,
    /// What the client shows.
    pub token: SecretString,
}

/// Blank lines and lines that begin with `#` are skipped.
impl SecretContent for Vec<ClientToken> {
    fn parse(text: &str) -> Result<Self, SecretFileError> {
        let tokens: Self = lines_of_secrets(text)
            .map(|(line, number)| client_token(line, number))
            .collect::<Result<_, _>>()?;
        let mut names: Vec<_> = tokens.iter().filter_map(|token| token.name.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        match (tokens.is_empty(), names.len()) {
            (true, _) => Err(SecretFileError::Empty),
            (false, ..=MOST_NAMES) => Ok(tokens),
            (false, names) => Err(malformed(format!("the file has {names} names, {MOST_NAMES} are allowed"))),
        }
    }
}

fn client_token(line: &str, number: usize) -> Result<ClientToken, SecretFileError> {
    let Some((name, token)) = line.split_once([' ', '\t']) else {
        return Ok(ClientToken { name: None, token: printable(line, number)? });
    };
    let token = token.trim_start();
    // The line is never shown: it may be a token with a space in it.
    if !is_name(name) {
        return Err(malformed(format!(
            "the file's line {number} is not `name token`: a name has a letter first, then up to 23 letters, digits or -_."
        )));
    }
    if RESERVED.contains(&name) {
        return Err(malformed(format!(
            "the file's line {number} has a reserved name (anonymous, proxy, unnamed, other)"
        )));
    }
    if token.len() < SHORTEST_TOKEN {
        return Err(malformed(format!(
            "the file's line {number} is not `name token`: a named token has at least {SHORTEST_TOKEN} characters"
        )));
    }
    Ok(ClientToken { name: Some(name.into()), token: printable(token, number)? })
}

fn is_name(name: &str) -> bool {
    let follows = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(follows)
}

fn malformed(why: String) -> SecretFileError {
    SecretFileError::Malformed(why)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_line_is_a_token_or_a_name_and_a_token() {
        let text = "# dashboards\nsales 0123456789abcdef\n\nsales \t fedcba9876543210 \none\n";
        let tokens = Vec::<ClientToken>::parse(text).unwrap();
        let shown: Vec<_> =
            tokens.iter().map(|token| (token.name.as_deref(), token.token.expose_secret())).collect();
        assert_eq!(
            shown,
            [(Some("sales"), "0123456789abcdef"), (Some("sales"), "fedcba9876543210"), (None, "one")]
        );
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number_and_never_shown() {
        let refused = |text: &str| Vec::<ClientToken>::parse(text).unwrap_err().to_string();
        for (text, why) in [
            ("# none\n", "the file is empty"),
            ("one\nhush-hush-hush-hush-hush sales", "line 2 is not `name token`"),
            ("hush hush", "line 1 is not `name token`: a named token has at least 16"),
            ("9hush 0123456789abcdef", "line 1 is not `name token`"),
            ("hush 0123456789abcdef hush", "line 1 holds a space"),
            ("anonymous 0123456789abcdef", "line 1 has a reserved name"),
            ("hüsh", "line 1 holds a space, a control character"),
        ] {
            let error = refused(text);
            assert!(error.contains(why) && !error.contains("hush"), "{text}: {error}");
        }
        let many =
            |names: usize| (0..names).map(|name| format!("c{name} 0123456789abcdef\n")).collect::<String>();
        assert!(Vec::<ClientToken>::parse(&many(32)).is_ok());
        assert_eq!(refused(&many(33)), "the file has 33 names, 32 are allowed");
    }
}
