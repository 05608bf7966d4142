//! What this crate says beside what installers themselves do.

mod behaviour;
mod choices;
mod kit;
mod tags;
