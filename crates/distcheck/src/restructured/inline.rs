//! Inline markup.

/// The normalised form in which docutils compares names.
pub(super) fn normalised(name: &str) -> String {
    name.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

pub(super) fn is_word(name: &str) -> bool {
    !name.is_empty() && name.trim_end().chars().all(|c| c.is_ascii_alphanumeric() || "-_:.+".contains(c))
}

/// A piece of inline markup.
pub(super) enum Piece {
    /// It is not closed.
    Open(&'static str),
    Role(String),
    /// Its meaning depends on more than is parsed here.
    Unchecked(&'static str),
    /// `` `name`_ ``.
    Reference(String),
    /// `` `name <address>`_ ``.
    Link {
        name: String,
        address: String,
    },
    /// `|name|`.
    Substitution(String),
}

/// Inline markup, as docutils recognises it (reStructuredText specification,
/// "Inline markup recognition rules").
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == '\\' {
            at += 2;
            continue;
        }
        let Some(mark) = ["``", "**", "*", "`", "|"].into_iter().find(|mark| starts(&chars, at, mark)) else {
            // A word or a bracket that ends in `_` is a reference.
            let before = at.checked_sub(1).map(|before| chars[before]);
            let after = chars.get(at + 1);
            if chars[at] == '_'
                && before.is_some_and(|c| c.is_alphanumeric() || "]`_".contains(c))
                && after.is_none_or(|c| !c.is_alphanumeric() && *c != '_')
            {
                pieces.push(Piece::Unchecked(SIMPLE));
            }
            at += 1;
            continue;
        };
        let size = mark.len();
        let Some(end) = closes(&chars, at + size, mark) else {
            // The meaning of a lone bar or asterisk depends on more than this text.
            let is_unclear = mark == "|" || mark == "*";
            pieces.push(if is_unclear { Piece::Unchecked("a lone `*` or `|`") } else { Piece::Open(mark) });
            at += size;
            continue;
        };
        let inner: String = chars[at + size..end].iter().collect();
        let rest = &chars[end + size..];
        match mark {
            "`" => pieces.extend(interpreted(&chars[..at], &inner, rest)),
            "|" if inner.starts_with('|') => pieces.push(Piece::Unchecked("a lone `*` or `|`")),
            "|" => pieces.push(Piece::Substitution(normalised(&inner))),
            _ => {}
        }
        // The `_` of a reference belongs to it.
        let reference = rest.iter().take_while(|c| **c == '_').count();
        at = end + size + if ["`", "|"].contains(&mark) { reference } else { 0 };
    }
    pieces
}

/// `name_`, `[1]_`, `` `name`__ ``.
const SIMPLE: &str = "references by a plain word, to footnotes, or without a name";

/// Classifies text in single backticks by the text around it.
fn interpreted(before: &[char], inner: &str, rest: &[char]) -> Option<Piece> {
    let before: String = before.iter().collect();
    let prefix = before.strip_suffix(':').and_then(|head| head.rsplit_once(':'));
    let prefix = prefix.filter(|(_, role)| is_word(role));
    // A role starts a new word.
    if prefix.is_some_and(|(head, _)| head.ends_with(|c: char| c.is_alphanumeric() || c == '`')) {
        return Some(Piece::Unchecked("the text of roles"));
    }
    let role = prefix.map(|(_, role)| role);
    let after: String = rest.iter().take(40).collect();
    let after = after.strip_prefix(':').and_then(|tail| tail.split_once(':')).map(|(role, _)| role);
    if let Some(role) = role.filter(|role| is_word(role)).or(after.filter(|role| is_word(role))) {
        let is_number = !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit());
        let role = role.to_ascii_lowercase();
        let needs_number = ["pep", "pep-reference", "rfc", "rfc-reference"].contains(&role.as_str());
        return Some(if needs_number && !is_number {
            Piece::Unchecked("the text of roles")
        } else {
            Piece::Role(role)
        });
    }
    let marks = rest.iter().take_while(|c| **c == '_').count();
    if marks == 0 {
        return None;
    }
    let is_end = |c: &char| c.is_whitespace() || "'\")]}>-/\\:.,;!?".contains(*c) || !c.is_ascii();
    if marks > 2 || !rest.get(marks).is_none_or(is_end) {
        return Some(Piece::Unchecked(SIMPLE));
    }
    let link = inner.strip_suffix('>').and_then(|inner| inner.rsplit_once('<'));
    let Some((name, address)) = link else {
        let is_plain = marks == 1 && !inner.contains(['<', '>']);
        return Some(if is_plain { Piece::Reference(normalised(inner)) } else { Piece::Unchecked(SIMPLE) });
    };
    let is_clear = name.is_empty() || name.ends_with(char::is_whitespace);
    if !is_clear
        || name.contains(['<', '>'])
        || address.contains('>')
        || address.trim().is_empty()
        || address.ends_with('_')
    {
        return Some(Piece::Unchecked("links of another form"));
    }
    let name = if name.trim().is_empty() { address.to_owned() } else { name.trim().to_owned() };
    // Without a name, it does not define a target.
    (marks == 1).then(|| Piece::Link { name, address: address.split_whitespace().collect() })
}

fn starts(chars: &[char], at: usize, mark: &str) -> bool {
    let same = mark.chars().enumerate().all(|(index, c)| chars.get(at + index) == Some(&c));
    let next = chars.get(at + mark.len());
    let before = at.checked_sub(1).map(|before| chars[before]);
    // A role precedes its text.
    let opens = |c: char| c.is_whitespace() || "'\"([{<-/:".contains(c) || "‘“’«¡¿‐‑–—".contains(c);
    let quoted = |c: char| {
        let pairs = [('\'', '\''), ('"', '"'), ('(', ')'), ('[', ']'), ('{', '}'), ('<', '>')];
        pairs.iter().any(|(open, close)| *open == c && next == Some(close))
    };
    same && next.is_some_and(|c| !c.is_whitespace())
        && before.is_none_or(|c| opens(c) && !quoted(c))
        // `**` is strong emphasis, `***` is text.
        && !(mark == "*" && next == Some(&'*'))
}

fn closes(chars: &[char], from: usize, mark: &str) -> Option<usize> {
    let literal = mark == "``";
    (from + 1..chars.len()).find(|at| {
        let same = mark.chars().enumerate().all(|(index, c)| chars.get(at + index) == Some(&c));
        let before = chars[at - 1];
        let after = chars.get(at + mark.len());
        let ends = |c: &char| c.is_whitespace() || "'\")]}>-/\\:.,;!?_".contains(*c) || !c.is_ascii();
        same && !before.is_whitespace() && (literal || before != '\\') && after.is_none_or(ends)
    })
}
