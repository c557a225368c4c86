//! `names.file`: names of campaign activities, for people.

use std::collections::BTreeMap;

use config::{Config, File, FileFormat};
use uuid::Uuid;

use super::secret_file::{SecretContent, SecretFileError};

/// The longest name, in characters: it has to fit into a line of a list.
const LONGEST_NAME: usize = 120;

/// The content of `names.file`: an activity's id and its name, by lines `"id" = "name"` of TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedActivities(pub BTreeMap<Uuid, Box<str>>);

impl SecretContent for NamedActivities {
    fn parse(text: &str) -> Result<Self, SecretFileError> {
        // What the file holds is never quoted: it may be a secret, set under the wrong key.
        let read = Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build();
        let lines: BTreeMap<String, String> = read
            .and_then(Config::try_deserialize)
            .map_err(|_| malformed("the file is not TOML of lines like \"activity id\" = \"name\""))?;
        let mut names = BTreeMap::new();
        for (id, name) in lines {
            let id = Uuid::try_parse(&id).ok().filter(|_| id.len() == uuid::fmt::Hyphenated::LENGTH);
            let id = id.ok_or_else(|| malformed("the file has a key that is no activity id"))?;
            let name = name.trim();
            if name.is_empty() || name.chars().count() > LONGEST_NAME || name.contains(char::is_control) {
                return Err(malformed(format!(
                    "the name of {id} must have 1 to {LONGEST_NAME} characters, all of them printable"
                )));
            }
            if names.insert(id, name.into()).is_some() {
                return Err(malformed(format!("the file has {id} twice")));
            }
        }
        Ok(Self(names))
    }
}

fn malformed(why: impl Into<String>) -> SecretFileError {
    SecretFileError::Malformed(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8892baf9-970a-4de6-8400-fa4ec461986d";

    fn refused(text: &str) -> String {
        NamedActivities::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn each_line_names_an_activity_whose_id_may_have_any_case_and_quotes_or_none() {
        let other = "1ead98be-dfa0-4e04-81f7-5f1534d42e9c";
        let text = format!(
            "# ours\n\"{}\" = \" Spring lamps \"\n{other} = \"Grüße, 5 % = 0.5\"\n",
            ID.to_uppercase()
        );
        let NamedActivities(names) = NamedActivities::parse(&text).unwrap();
        let named: Vec<_> = names.iter().map(|(id, name)| (id.to_string(), &**name)).collect();
        assert_eq!(named, [(other.to_owned(), "Grüße, 5 % = 0.5"), (ID.to_owned(), "Spring lamps")]);
        assert_eq!(NamedActivities::parse("# none yet\n").unwrap(), NamedActivities(BTreeMap::new()));
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_not_quoted() {
        let control = format!("\"{ID}\" = \"a\\u0007b\"");
        let long = format!("\"{ID}\" = \"{}\"", "ü".repeat(121));
        let twice = format!("\"{ID}\" = \"a\"\n\"{}\" = \"b\"", ID.to_uppercase());
        for (text, why) in [
            ("s3cret", "not TOML"),
            ("[table]\ns3cret = \"a\"", "not TOML"),
            ("s3cret = \"a\"", "no activity id"),
            ("s3cret = [\"a\"]", "not TOML"),
            ("8892baf9970a4de68400fa4ec461986d = \"s3cret\"", "no activity id"),
            (&format!("\"{ID}\" = \" \""), "1 to 120 characters"),
            (&control, "1 to 120 characters"),
            (&long, "1 to 120 characters"),
            (&twice, "twice"),
        ] {
            let told = refused(text);
            assert!(told.contains(why) && !told.contains("s3cret"), "{text}: {told}");
        }
        let most = format!("\"{ID}\" = \"{}\"", "ü".repeat(120));
        assert!(NamedActivities::parse(&most).is_ok());
    }
}
