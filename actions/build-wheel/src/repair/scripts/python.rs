//! The calls of a Python script that run a program in the store.

use super::shell;

/// The functions of `os` and `subprocess` that run the program in their first argument.
const FUNCTIONS: [&str; 26] = [
    "execl",
    "execle",
    "execlp",
    "execlpe",
    "execv",
    "execve",
    "execvp",
    "execvpe",
    "spawnl",
    "spawnle",
    "spawnlp",
    "spawnlpe",
    "spawnv",
    "spawnve",
    "spawnvp",
    "spawnvpe",
    "posix_spawn",
    "posix_spawnp",
    "system",
    "popen",
    "Popen",
    "run",
    "call",
    "check_call",
    "check_output",
    "getoutput",
];

/// The first call that runs a program in the store: one of [`FUNCTIONS`], with a string that
/// starts with the program. Comments and other strings are not run.
pub(super) fn store_command(text: &str) -> Option<String> {
    let mut at = 0;
    while let Some(next) = text[at..].chars().next() {
        if next == '#' {
            at += text[at..].find('\n').unwrap_or(text.len() - at);
        } else if let Some((_, end)) = string(text, at) {
            at = end;
        } else if next.is_alphabetic() || next == '_' {
            let name: &str = text[at..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
            let start = at;
            at += name.len();
            if FUNCTIONS.contains(&name)
                && let Some(program) = first_argument(text, at, name.starts_with("spawn"))
                && shell::store_command(program).is_some()
            {
                let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
                return Some(text[line..].lines().next()?.trim().chars().take(200).collect());
            }
        } else {
            at += next.len_utf8();
        }
    }
    None
}

/// The string that the arguments at `at` start with, or that is first in a list; after the
/// mode, which `spawn…` has first.
fn first_argument(text: &str, at: usize, has_mode: bool) -> Option<&str> {
    let rest = text[at..].trim_start().strip_prefix('(')?;
    let rest = if has_mode { rest.split_once(',')?.1 } else { rest };
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '[' || c == '(');
    string(rest, 0).map(|(content, _)| content)
}

/// The content of the string literal that starts at `at`, and where it ends.
fn string(text: &str, at: usize) -> Option<(&str, usize)> {
    let prefix = text[at..].find(|c: char| !"rRbBuUfF".contains(c)).filter(|length| *length <= 2)?;
    let start = at + prefix;
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| text[start..].starts_with(quote))?;
    let start = start + quote.len();
    let mut end = start;
    while let Some(next) = text[end..].chars().next() {
        if text[end..].starts_with(quote) {
            return Some((&text[start..end], end + quote.len()));
        }
        if next == '\n' && quote.len() == 1 {
            break;
        }
        end += next.len_utf8();
        if next == '\\' {
            end += text[end..].chars().next().map_or(0, char::len_utf8);
        }
    }
    Some((&text[start..end], end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: &str = "/nix/store/abcdefghijklmnopqrstuvwxyz012345-x/bin/x";

    #[test]
    fn finds_calls_of_programs_in_the_store() {
        for line in [
            "os.execv('P', sys.argv)",
            "os.execve( \"P\", a, b)",
            "if a: os.system(f'P {a}')",
            "os.system('cd / && P')",
            "subprocess.run(['P', 'a'])",
            "subprocess.check_call(\n    [\n        r'P',\n    ])",
            "Popen(('P',))",
            "os.spawnv(os.P_WAIT, 'P', a)",
            "a = '#'; os.execv('P', a)",
            "a = 'it\\'s'; os.execv('P', a)",
            "'''\nos.x\n'''\nos.execv('P', a)",
        ] {
            let line = line
                .replace('P', P)
                .replace(&format!("os.{P}_"), "os.P_")
                .replace(&format!("{P}open"), "Popen");
            assert!(store_command(&format!("import os\n{line}\n")).is_some(), "{line}");
        }
    }

    #[test]
    fn other_text_is_no_call() {
        for line in [
            "# os.execv('P', a)",
            "'''\nos.execv('P', a)\n'''",
            "a = \"os.execv('P', a)\"",
            "a = 'P'",
            "print('P')",
            "os.execv(sys.executable, ['P'])",
            "subprocess.run(['ls', 'P'])",
            "P\n",
            "os.execv('P",
        ] {
            let text = format!("import os\n{}", line.replace('P', P));
            assert_eq!(store_command(&text).is_some(), line == "os.execv('P", "{text}");
        }
        for text in ["'", "'''", "r", "rb'", "\\", "a = 'ü\\", "run(", "run((((["] {
            assert_eq!(store_command(text), None, "{text}");
        }
    }
}
