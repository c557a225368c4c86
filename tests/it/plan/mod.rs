//! Tests of the simulator with the refresh logic of `refresh`, and of the `plan` subcommand.

mod command;
mod hostile;
mod model;
mod running;
mod whole_app;
mod whole_app_clock;
mod whole_app_hostile;
mod whole_app_many;
