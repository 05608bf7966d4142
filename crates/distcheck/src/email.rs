//! E-mail addresses: how Python takes one out of a header field
//! (`email.utils.parseaddr`), and which the index accepts (`email-validator`
//! with the settings of Warehouse).

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};

/// The only address in a header field. `None` where there is none or more
/// than one: the index then checks nothing.
pub(crate) fn only_address(field: &str) -> Option<String> {
    if !balanced(field) {
        return None;
    }
    let addresses = Scanner { text: field.chars().collect(), at: 0 }.addresses();
    match &addresses[..] {
        [address] if !address.is_empty() => Some(address.clone()),
        _ => None,
    }
}

/// Whether parentheses outside quotes are closed.
fn balanced(field: &str) -> bool {
    let (mut open, mut quoted, mut escaped) = (0_i32, false, false);
    for c in field.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => open += 1,
            ')' if !quoted => open -= 1,
            _ => {}
        }
        if open < 0 {
            return false;
        }
    }
    open == 0
}

/// Reads addresses as RFC 2822 defines them, with the liberties of Python.
struct Scanner {
    text: Vec<char>,
    at: usize,
}

const SPECIALS: &str = "()<>@,:;.\"[]";

impl Scanner {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// Skips white space and comments.
    fn skip(&mut self) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' => self.at += 1,
                '(' => drop(self.delimited('(', ')', true)),
                _ => break,
            }
        }
    }

    /// What stands between two characters; comments may hold comments.
    fn delimited(&mut self, open: char, close: char, nested: bool) -> String {
        if self.peek() != Some(open) {
            return String::new();
        }
        self.at += 1;
        let mut found = String::new();
        while let Some(c) = self.peek() {
            if c == close {
                self.at += 1;
                break;
            } else if nested && c == '(' {
                found.push_str(&self.delimited('(', ')', true));
                continue;
            } else if c == '\\' {
                self.at += 1;
                found.extend(self.peek());
            } else {
                found.push(c);
            }
            self.at += 1;
        }
        found
    }

    /// The characters up to one that ends an atom.
    fn atom(&mut self, ends: &str) -> String {
        let mut found = String::new();
        while let Some(c) = self.peek().filter(|c| !ends.contains(*c)) {
            found.push(c);
            self.at += 1;
        }
        found
    }

    /// The words, quoted or not, up to a special character.
    fn phrase(&mut self) -> Vec<String> {
        let ends: String = SPECIALS.replace('.', "") + " \t\r\n";
        let mut words = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | '(' => self.skip(),
                '"' => words.push(self.delimited('"', '"', false)),
                c if SPECIALS.replace('.', "").contains(c) => break,
                _ => words.push(self.atom(&ends)),
            }
        }
        words
    }

    fn addresses(mut self) -> Vec<String> {
        let mut found = Vec::new();
        while self.at < self.text.len() {
            let before = self.at;
            found.extend(self.address());
            self.skip();
            if self.peek() == Some(',') || self.at == before {
                self.at += 1;
            }
        }
        found
    }

    /// One address or group.
    fn address(&mut self) -> Vec<String> {
        self.skip();
        let start = self.at;
        let words = self.phrase();
        self.skip();
        let found = match self.peek() {
            None => words.first().cloned().into_iter().collect(),
            Some('.' | '@') => {
                self.at = start;
                vec![self.spec()]
            }
            Some(':') => {
                self.at += 1;
                let mut members = Vec::new();
                while let Some(c) = self.peek() {
                    if c == ';' {
                        self.at += 1;
                        break;
                    }
                    let before = self.at;
                    members.extend(self.address());
                    self.skip();
                    if self.at == before {
                        self.at += 1;
                    }
                }
                members
            }
            Some('<') => vec![self.route()],
            Some(c) if !words.is_empty() => {
                let _ = c;
                vec![words[0].clone()]
            }
            Some(c) => {
                if SPECIALS.contains(c) && c != ',' {
                    self.at += 1;
                }
                Vec::new()
            }
        };
        self.skip();
        found
    }

    /// `<user@host>`, with or without a route.
    fn route(&mut self) -> String {
        self.at += 1;
        self.skip();
        let mut address = String::new();
        let mut route = false;
        while let Some(c) = self.peek() {
            if route {
                drop(self.domain());
                route = false;
            } else if c == '>' {
                self.at += 1;
                break;
            } else if c == '@' {
                self.at += 1;
                route = true;
            } else if c == ':' {
                self.at += 1;
            } else {
                address = self.spec();
                self.at += 1;
                break;
            }
            self.skip();
        }
        address
    }

    /// `user@host`.
    fn spec(&mut self) -> String {
        let ends: String = SPECIALS.to_owned() + " \t\r\n";
        let mut found = String::new();
        self.skip();
        while let Some(c) = self.peek() {
            let mut space = true;
            match c {
                '.' => {
                    found = found.trim_end().to_owned();
                    found.push('.');
                    self.at += 1;
                    space = false;
                }
                '"' => found.push_str(&format!("\"{}\"", self.delimited('"', '"', false))),
                c if SPECIALS.contains(c) => {
                    found = found.trim_end().to_owned();
                    break;
                }
                _ => found.push_str(&self.atom(&ends)),
            }
            let before = self.at;
            self.skip();
            if space && self.at > before {
                found.push(' ');
            }
        }
        let found = found.trim_end().to_owned();
        self.skip();
        if self.peek() != Some('@') {
            return found;
        }
        self.at += 1;
        self.skip();
        match self.domain() {
            // Python rejects two at signs.
            None => String::new(),
            Some(domain) if domain.is_empty() => String::new(),
            Some(domain) => format!("{found}@{domain}"),
        }
    }

    fn domain(&mut self) -> Option<String> {
        let ends: String = SPECIALS.to_owned() + " \t\r\n";
        let mut found = String::new();
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | '(' => self.skip(),
                '[' => found.push_str(&format!("[{}]", self.delimited('[', ']', false))),
                '.' => {
                    self.at += 1;
                    found.push('.');
                }
                '@' => return None,
                c if SPECIALS.contains(c) => break,
                _ => found.push_str(&self.atom(&ends)),
            }
        }
        Some(found)
    }
}

/// Why the index rejects an address, if it does.
pub(crate) fn address_problem(address: &str) -> Option<&'static str> {
    let Some((user, host)) = address.rsplit_once('@') else { return Some("it has no `@`") };
    if address.len() > 254 {
        return Some("it has more than 254 characters");
    }
    user_problem(user).or_else(|| host_problem(host))
}

fn user_problem(user: &str) -> Option<&'static str> {
    if user.is_empty() {
        return Some("the part before `@` is empty");
    }
    if user.starts_with('"') || user.contains('@') {
        return Some("the part before `@` is quoted");
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_!#$%&'*+-/=?^`{|}~".contains(c);
    let valid = |atom: &str| {
        !atom.is_empty() && atom.chars().all(|c| plain(c) || (!c.is_ascii() && c.is_alphanumeric()))
    };
    (!user.split('.').all(valid)).then_some("the part before `@` is not a dot-atom of RFC 5322")
}

/// Reserved names that cannot receive mail from outside (RFC 6761, 6762, 7686).
const SPECIAL: [&str; 6] = ["arpa", "invalid", "local", "localhost", "onion", "test"];

fn host_problem(host: &str) -> Option<&'static str> {
    if host.is_empty() {
        return Some("the part after `@` is empty");
    }
    let wide = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || !c.is_ascii();
    if !host.chars().all(wide) {
        return Some("the host has characters that a host name cannot have");
    }
    let strict = Uts46::new().to_ascii(
        host.as_bytes(),
        AsciiDenyList::URL,
        Hyphens::CheckFirstLast,
        idna::uts46::DnsLength::Ignore,
    );
    let Ok(host) = strict else { return Some("the host is not an internationalised name (IDNA)") };
    if host.len() > 253 || host.split('.').any(|label| label.len() > 63) {
        return Some("the host is too long");
    }
    let label = |label: &str| {
        let foreign = label.get(2..4) == Some("--") && !label.to_ascii_lowercase().starts_with("xn");
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && !foreign
    };
    if !host.split('.').all(label) {
        return Some("the host is not a host name");
    }
    if !host.contains('.') || !host.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return Some("the host has no top-level domain");
    }
    let top = host.rsplit('.').next().unwrap_or_default();
    SPECIAL.contains(&top).then_some("the host is a reserved name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extracts_the_only_address() {
        for (field, expected) in [
            ("a@b.example", Some("a@b.example")),
            ("A. Name <a@b.example>", Some("a@b.example")),
            ("\"Name, A.\" <a@b.example>", Some("a@b.example")),
            ("A (work) <a@b.example>", Some("a@b.example")),
            ("nobody", Some("nobody")),
            ("A <nobody>", Some("nobody")),
            ("A <a@b.example>, B <c@d.example>", None),
            ("a@b.example, c", None),
            ("A (a@b.example", None),
            ("", None),
        ] {
            assert_eq!(only_address(field).as_deref(), expected, "{field}");
        }
    }

    #[test]
    fn accepts_and_rejects_addresses_like_the_index() {
        for valid in ["a@b.example", "a.b+c@d-e.example", "a@example.com", "é@b.example", "a@bücher.example"]
        {
            assert_eq!(address_problem(valid), None, "{valid}");
        }
        for bad in [
            "nobody",
            "@b.example",
            "a@",
            "a@b",
            "a..b@c.example",
            ".a@b.example",
            "a b@c.example",
            "a@b_c.example",
            "a@-b.example",
            "a@b-.example",
            "a@b..example",
            "a@x.test",
            "a@localhost",
            "a@b.example.",
            "a@1.2.3.4",
            "a@ab--c.example",
            "a(b)@c.example",
        ] {
            assert!(address_problem(bad).is_some(), "{bad}");
        }
    }
}
