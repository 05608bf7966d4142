//! publish against real indexes, and against fakes of those that cannot run
//! here.

#![allow(clippy::unwrap_used)]

mod pypiserver;
mod support;
