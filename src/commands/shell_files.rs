//! `completions` and `man`: what a shell and `man` read, written from the description of the arguments.

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{CommandOutcome, Failure, output::print};

/// The argument of `man`.
#[derive(Debug, Clone, Args)]
pub(super) struct ManArguments {
    /// The command that the page is about; without it, the page is about the program
    command: Option<String>,
}

/// Prints a completion script.
pub(super) fn completions(shell: Shell, mut described: Command) -> CommandOutcome {
    let (name, mut script) = (described.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut described, name, &mut script);
    print(&text(script)?)
}

/// Prints a manual page.
pub(super) fn man(ManArguments { command }: ManArguments, described: Command) -> CommandOutcome {
    let mut described = described.disable_help_subcommand(true);
    // Gives each command the name of its own page, to which the program's page refers.
    described.build();
    let about = match command {
        None => described,
        Some(command) => described
            .find_subcommand(&command)
            .cloned()
            .ok_or_else(|| Failure::Settings(format!("man: there is no command \"{command}\"")))?,
    };
    let mut page = Vec::new();
    Man::new(about).render(&mut page).map_err(|error| Failure::Bug(error.into()))?;
    print(&text(page)?)
}

fn text(bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|error| Failure::Bug(error.into()))
}
