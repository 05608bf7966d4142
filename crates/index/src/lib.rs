//! One client for Python package indexes: the Simple API as JSON (PEP 691) and
//! HTML (PEP 503), redirects, credentials, limits, one retry policy, and errors
//! that carry the HTTP status.

mod address;
mod client;
mod credentials;
mod error;
mod listing;
mod page;
mod retry;
mod simple;
mod url;

pub use address::{AudienceError, Index, KnownIndex, project_page, simple_api};
pub use client::{Client, interruption, is_json};
pub use credentials::Basic;
pub use error::{Fault, HttpError, connection_error};
pub use listing::{Keep, ListedFile, Listing};
pub use retry::{Attempts, Retry, RetryVerdict, Retryable};
pub use simple::{list, sha256};
pub use url::{IndexError, checked, is_loopback, same_origin, without_secrets};
