//! Days replayed through the machines of `refresh`, and the command that prints them.

mod command;
mod hostile;
mod model;
