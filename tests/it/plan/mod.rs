//! Days replayed through the machines of `refresh`, and the command that prints them.

mod hostile;
mod model;
