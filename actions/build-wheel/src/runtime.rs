//! What the steps of a run share.

use toolkit::{Env, Ui};

/// The user's terminal and the environment.
pub(crate) struct Runtime<'a> {
    /// For the user.
    pub ui: &'a Ui,
    /// The environment of this process.
    pub env: &'a Env,
}
