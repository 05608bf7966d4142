//! publish against real indexes, and against fakes of those that cannot run
//! here.

#![allow(clippy::unwrap_used)]

mod attest;
mod faults;
mod github;
mod hostile;
mod kill;
mod other_indexes;
mod probe;
mod pypiserver;
mod secrets;
mod support;
mod trusted;
mod warehouse;

testkit::needs_tools! {
    mod devpi;
}
