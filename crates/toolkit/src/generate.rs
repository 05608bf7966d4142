//! Generates the man page and the shell completions of a program from its command line.

use std::io;

use clap::builder::PossibleValuesParser;
use clap_complete::{Shell, generate};
use clap_mangen::Man;

crate::choice! {
    /// What `--generate` prints.
    pub enum Generated {
        /// The man page, as roff.
        Man = "man",
        /// Completions for bash.
        Bash = "bash",
        /// Completions for zsh.
        Zsh = "zsh",
        /// Completions for fish.
        Fish = "fish",
    }
}

impl Generated {
    /// Its path below the installation prefix.
    pub fn path(self, program: &str) -> String {
        match self {
            Self::Man => format!("share/man/man1/{program}.1"),
            Self::Bash => format!("share/bash-completion/completions/{program}"),
            Self::Zsh => format!("share/zsh/site-functions/_{program}"),
            Self::Fish => format!("share/fish/vendor_completions.d/{program}.fish"),
        }
    }

    /// The text for a command line.
    pub(crate) fn text(self, command: &mut clap::Command) -> String {
        let shell = match self {
            Self::Man => return man(command).unwrap_or_default(),
            Self::Bash => Shell::Bash,
            Self::Zsh => Shell::Zsh,
            Self::Fish => Shell::Fish,
        };
        let mut out = Vec::new();
        let name = command.get_name().to_owned();
        generate(shell, &mut with_words(command.clone()), name, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Adds the accepted words of options to the command line, for completion. Normally the
/// action checks them itself, so that it can report all errors at once.
fn with_words(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let name = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
        match name.filter(|name| name.contains('|')) {
            Some(words) => arg.value_parser(PossibleValuesParser::new(words.split('|').map(str::to_owned))),
            None => arg,
        }
    });
    command.mut_subcommands(with_words)
}

/// A single man page for the program and all its commands.
fn man(command: &mut clap::Command) -> io::Result<String> {
    command.build();
    let mut out = Vec::new();
    let page = Man::new(command.clone());
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_options_section(&mut out)?;
    for sub in command.get_subcommands() {
        let page = Man::new(sub.clone());
        let mut part = Vec::new();
        page.render_synopsis_section(&mut part)?;
        page.render_options_section(&mut part)?;
        let name = sub.get_name();
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        let part = String::from_utf8_lossy(&part)
            .replace(".SH SYNOPSIS\n", &format!(".SH \"COMMAND {}\"\n{about}\n.PP\n", name.to_uppercase()))
            .replace(".SH OPTIONS\n", "");
        out.extend(part.bytes());
    }
    page.render_extra_section(&mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;
    use crate::Choice as _;

    #[test]
    fn all_formats_contain_the_options_of_all_commands() {
        let sub = clap::Command::new("explain").about("Explains.").arg(Arg::new("why").long("why"));
        let command = clap::Command::new("sample").about("A sample.").arg(Arg::new("how").long("how"));
        let command = command.subcommand(sub).after_help("Exit codes: 0 done.");
        for word in Generated::WORDS {
            let kind = Generated::from_word(word).unwrap();
            let text = kind.text(&mut command.clone()).replace("\\-", "-");
            assert!(text.contains("how") && text.contains("why"), "{text}");
            assert!(kind.path("sample").contains("sample"), "{word}");
        }
        let words = clap::Command::new("sample").arg(Arg::new("how").long("how").value_name("dry|wet"));
        assert!(Generated::Bash.text(&mut words.clone()).contains("dry wet"));
        let page = Generated::Man.text(&mut command.clone());
        assert!(page.contains(".SH \"COMMAND EXPLAIN\"\nExplains.\n"), "{page}");
        assert_eq!(page.matches(".SH OPTIONS").count(), 1, "{page}");
        assert!(page.contains("Exit codes: 0 done."), "{page}");
    }
}
