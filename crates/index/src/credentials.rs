//! A user and a password for basic authentication.

use reqwest::RequestBuilder;
use toolkit::{Secret, Ui};

/// A user and a password for basic authentication.
#[derive(Debug, Clone)]
pub struct Basic {
    /// `__token__` if the password is an API token.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

impl Basic {
    /// Masks the password and its form in a header. Must be called before the first request.
    pub fn mask(&self, ui: &Ui) {
        ui.mask(&self.password);
        ui.mask(&Secret::new(format!("{}:{}", self.user, self.password.expose())));
    }

    /// Adds the `Authorization` header.
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user, Some(self.password.expose()))
    }
}
