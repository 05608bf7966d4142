//! What every step of a run uses: the output and the environment.

use toolkit::{Env, Ui};

/// The user's terminal and the environment.
pub(crate) struct Runtime<'a> {
    /// Output for the user.
    pub ui: &'a Ui,
    /// The environment of this process.
    pub env: &'a Env,
}
