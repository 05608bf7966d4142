//! The commands of a shell script that run a program in the store.

use pydist::store::mentions_store;

/// Command substitutions that are nested deeper are not read.
const LIMIT_DEPTH: usize = 50;

/// Words before a command.
const RESERVED: [&str; 10] = ["if", "then", "elif", "else", "while", "until", "do", "!", "{", "time"];

/// Programs that run another program, and the options of theirs that have a value.
const PREFIXES: [(&str, &[&str]); 10] = [
    ("exec", &["-a"]),
    ("env", &["-u", "-C"]),
    ("command", &[]),
    ("builtin", &[]),
    ("nohup", &[]),
    ("nice", &["-n"]),
    (".", &[]),
    ("source", &[]),
    ("eval", &[]),
    ("sudo", &["-u"]),
];

/// Builtins that set variables.
const DECLARATIONS: [&str; 5] = ["export", "declare", "typeset", "local", "readonly"];

/// The first command that runs a program in the store, or finds programs there through
/// `PATH`. Comments, strings, here-documents and arguments are not run.
pub(super) fn store_command(text: &str) -> Option<String> {
    let mut reader = Reader { text, at: 0, here: Vec::new(), found: None };
    reader.commands(None, 0);
    let line = text[reader.found?..].lines().next().unwrap_or_default().trim();
    Some(line.chars().take(200).collect())
}

/// A word of a command, without its quotes.
#[derive(Default)]
struct Word {
    text: String,
    start: usize,
    /// Whether it contains an unquoted `*`.
    is_pattern: bool,
}

/// Reads commands as POSIX's shell grammar separates them.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// The ends of the here-documents that start at the next line.
    here: Vec<String>,
    /// Where the first command starts that runs a program in the store.
    found: Option<usize>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let is_next = self.text[self.at..].starts_with(prefix);
        self.at += if is_next { prefix.len() } else { 0 };
        is_next
    }

    fn skip_until(&mut self, end: char) {
        let rest = &self.text[self.at..];
        self.at += rest.find(end).unwrap_or(rest.len());
    }

    /// Reads commands up to `end`, which closes a command substitution.
    fn commands(&mut self, end: Option<char>, depth: usize) {
        let (mut words, mut parentheses) = (Vec::new(), 0_usize);
        while let Some(next) = self.peek().filter(|_| self.found.is_none()) {
            match next {
                _ if Some(next) == end && (next != ')' || parentheses == 0) => {
                    self.at += 1;
                    break;
                }
                ' ' | '\t' | '\r' => self.at += 1,
                '\\' if self.skip("\\\n") => {}
                '#' => self.skip_until('\n'),
                '<' | '>' => self.redirection(end, depth),
                '(' if self.text[..self.at].ends_with('=') => {
                    // An array.
                    self.skip_until(')');
                    self.at += usize::from(self.peek().is_some());
                }
                '\n' | ';' | '&' | '|' | '(' | ')' => {
                    self.at += 1;
                    // The words before a single `)` are the pattern of a `case`.
                    if next == ')' && parentheses == 0 {
                        words.clear();
                    }
                    match next {
                        '(' => parentheses += 1,
                        ')' => parentheses = parentheses.saturating_sub(1),
                        '\n' => self.skip_here_documents(),
                        _ => {}
                    }
                    self.check(&std::mem::take(&mut words));
                }
                _ => words.push(self.word(end, depth)),
            }
        }
        self.check(&words);
    }

    /// Reads a word, and the commands in it.
    fn word(&mut self, end: Option<char>, depth: usize) -> Word {
        let mut word = Word { start: self.at, ..Word::default() };
        let mut is_quoted = false;
        while let Some(next) = self.peek() {
            if !is_quoted && (" \t\r\n;&|()<>".contains(next) || Some(next) == end) {
                break;
            }
            self.at += next.len_utf8();
            match next {
                '\'' if !is_quoted => {
                    let start = self.at;
                    self.skip_until('\'');
                    word.text.push_str(&self.text[start..self.at]);
                    self.at += usize::from(self.peek().is_some());
                }
                '"' => is_quoted = !is_quoted,
                '\\' => {
                    if let Some(escaped) = self.peek() {
                        self.at += escaped.len_utf8();
                        if escaped != '\n' {
                            word.text.push(escaped);
                        }
                    }
                }
                '$' if depth < LIMIT_DEPTH && self.skip("(") => self.commands(Some(')'), depth + 1),
                '`' if depth < LIMIT_DEPTH && end != Some('`') => self.commands(Some('`'), depth + 1),
                next => {
                    word.is_pattern |= next == '*' && !is_quoted;
                    word.text.push(next);
                }
            }
        }
        word
    }

    /// Reads a redirection and its file, which is not run.
    fn redirection(&mut self, end: Option<char>, depth: usize) {
        let is_here = self.text[self.at..].starts_with("<<") && !self.text[self.at..].starts_with("<<<");
        while self.skip("<") || self.skip(">") {}
        // `<(` starts commands.
        if self.peek() == Some('(') {
            return;
        }
        self.skip(if is_here { "-" } else { "&" });
        while self.skip(" ") || self.skip("\t") {}
        let word = self.word(end, depth);
        if is_here {
            self.here.push(word.text);
        }
    }

    fn skip_here_documents(&mut self) {
        for end in std::mem::take(&mut self.here) {
            while self.at < self.text.len() {
                let start = self.at;
                self.skip_until('\n');
                let line = &self.text[start..self.at];
                self.at += usize::from(self.peek().is_some());
                if line.trim() == end {
                    break;
                }
            }
        }
    }

    fn check(&mut self, words: &[Word]) {
        if self.found.is_none() && runs_store(words) {
            self.found = words.first().map(|word| word.start);
        }
    }
}

/// Whether a command runs a program in the store, or looks for programs there.
fn runs_store(words: &[Word]) -> bool {
    let mut words = words.iter().peekable();
    // The options with a value of the last program that runs another one.
    let mut options: Option<&[&str]> = None;
    let (mut is_exec, mut is_command) = (false, false);
    while let Some(word) = words.next() {
        let text = word.text.as_str();
        if let Some((name, value)) = assignment(text) {
            if name == "PATH" && mentions_store(value) {
                return true;
            }
        } else if DECLARATIONS.contains(&text) {
            let mut assigned = words.by_ref().filter_map(|word| assignment(&word.text));
            return assigned.any(|(name, value)| name == "PATH" && mentions_store(value));
        } else if options.is_some() && text.starts_with('-') {
            // `command -v` only looks for a program.
            if is_command && text.contains(['v', 'V']) {
                return false;
            }
            if options.is_some_and(|options| options.contains(&text)) {
                words.next();
            }
        } else if let Some((program, with_value)) = PREFIXES.iter().find(|(program, _)| *program == text) {
            is_exec |= *program == "exec";
            is_command = *program == "command";
            options = Some(with_value);
        } else if !RESERVED.contains(&text) {
            let is_interpreter = is_shell(text) || program_name(text).starts_with("python");
            let script = words.find(|word| !word.text.starts_with('-')).filter(|_| is_interpreter || is_exec);
            let is_store_script = script.is_some_and(is_store_program);
            return is_store_program(word) || is_store_script || is_exec && words.any(is_store_program);
        }
    }
    false
}

/// Whether a program is a shell.
pub(super) fn is_shell(program: &str) -> bool {
    ["sh", "bash", "dash", "ash", "ksh", "zsh"].contains(&program_name(program))
}

fn program_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

/// Whether a word is a program in the store. `eval` and `sh -c` have a whole command.
fn is_store_program(word: &Word) -> bool {
    let program = word.text.split_whitespace().next().unwrap_or_default();
    !word.is_pattern && program.starts_with('/') && mentions_store(program)
}

/// The variable and the value of an assignment: `A=b`, `A+=b`.
fn assignment(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: &str = "/nix/store/abcdefghijklmnopqrstuvwxyz012345-x/bin/x";

    #[test]
    fn finds_programs_in_the_store_wherever_a_command_starts() {
        for line in [
            "P",
            "'P' a",
            "exec P",
            "exec -a \"$0\" \"P\" \"$@\"",
            "exec \\\n  P",
            "FOO=bar exec P \"$@\"",
            "FOO=\"a b\" P",
            "PATH=P:$PATH exec x",
            "PATH=${PATH:+':'$PATH':'}\nPATH='P'$PATH",
            "export PATH=P",
            "if [ 1 ]; then exec P; fi",
            "if P; then :; else :; fi",
            "while true; do P; done",
            ". P",
            "source P",
            "cd / && P",
            "false || P",
            "a | P",
            "a & P",
            "(P)",
            "{ P; }",
            "! P",
            "f() { P; }",
            "env A=b P",
            "env -u A -i P",
            "out=$(P)",
            "echo \"a $(b; P)\"",
            "echo `P`",
            "cat <(P)",
            "case $1 in\n/nix/store/*) P ;;\nesac",
            "bash -e P",
            "eval 'P a'",
            "sh -c 'P a'",
            "python3 P",
            "cat <<EOF\na\nEOF\nP",
            "'''exec' P \"$0\"",
            "echo a > P; P",
        ] {
            let text = format!("set -e\n{}\n", line.replace('P', P).replace(&format!("{P}ATH"), "PATH"));
            assert!(store_command(&text).is_some(), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_run_is_no_command() {
        for line in [
            "# P",
            "echo a # P",
            "command -v P",
            "echo P",
            "echo 'a\nP'",
            "echo \"a\nP\"",
            "a=P",
            "a=(\nP\n)",
            "export A=P",
            "cat <<EOF\nP\nEOF",
            "cat <<-'EOF' > a\nP\n\tEOF",
            "echo a > P",
            "[ -x P ]",
            "case $1 in\nP) a;;\n/nix/store/*|P) b ;;\nesac",
            "for a in P P; do :; done",
            "[[ $a == P ]]",
            "cp P a",
        ] {
            let text = format!("set -e\n{}\n", line.replace('P', P));
            assert_eq!(store_command(&text), None, "{text}");
        }
    }

    #[test]
    fn unfinished_scripts_end() {
        for line in ["\u{c}", "'", "\"", "$(", "`", "a=(", "<<", "<<EOF", "\\", ")", "`$(`", "\"$(\"", "ü'é"]
        {
            assert_eq!(store_command(line), None, "{line}");
            assert_eq!(store_command(&line.repeat(500)), None, "{line}");
        }
    }
}
