//! Secrets that cannot be printed by accident.

use std::fmt;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// A token or password. It has no `Display` and does not serialise; its memory
/// is cleared when it goes.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The secret itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The forms in which the secret may show up in a log: as it is, each of
    /// its lines, percent-encoded, and in base64.
    pub(crate) fn forms(&self) -> Vec<Zeroizing<String>> {
        let mut forms: Vec<String> = vec![self.0.to_string()];
        forms.extend(self.0.lines().map(str::to_owned));
        forms.push(percent_encode(&self.0));
        forms.push(BASE64_STANDARD.encode(self.0.as_bytes()));
        forms.push(BASE64_STANDARD_NO_PAD.encode(self.0.as_bytes()));
        forms.push(BASE64_URL_SAFE_NO_PAD.encode(self.0.as_bytes()));
        // Hiding a form of one or two characters would only garble the log.
        forms.retain(|form| form.trim().len() > 2);
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        forms.into_iter().map(Zeroizing::new).collect()
    }
}

/// Keeps this process's memory to itself: no core dump holds it, and on Linux
/// other processes of the same user read neither it nor the environment. For
/// an action that is given secrets, before it reads them; what it starts has
/// a memory of its own.
pub fn leave_no_dump() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // A system that allows neither is one on which the action still works.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    // The limit does not count where the kernel pipes dumps to a program.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// RFC 3986 percent-encoding of everything but unreserved characters.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}
