//! Runs publish against real indexes, and against fakes of those that cannot run
//! locally.

#![allow(clippy::unwrap_used)]
#![allow(clippy::too_many_lines, reason = "a test reads from top to bottom")]

mod attest;
mod beside;
mod credentials;
mod fault_modes;
mod faults;
mod gate;
mod github;
mod hostile;
mod identities;
mod incidents;
mod kill;
mod large_page;
mod network;
mod other_indexes;
mod probe;
mod pypiserver;
mod secrets;
mod support;
mod trusted;
mod verify;
mod warehouse;

testkit::needs_tools! {
    mod devpi;
}
