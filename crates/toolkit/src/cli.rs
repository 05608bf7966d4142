//! The command line of a [`Spec`], and the `main` of an action.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ValueHint};

use crate::masks::Masks;
use crate::process_group::{handle_interrupts, interrupted};
use crate::{
    Choice as _, Context, Env, Exit, Failure, Generated, Input, InputKind, Spec, Ui, error_report, runner,
};

/// The option that prints a man page or completions.
const GENERATE: &str = "generate";

/// A parsed command line with its context.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The environment, with `INPUT_*` replaced by options on the command line.
    pub env: Env,
    /// The workflow run.
    pub context: Context,
    /// The subcommand, if one was given.
    pub command: Option<&'static str>,
    /// The subcommand's argument.
    pub argument: Option<String>,
    /// The subcommand's own options that were given.
    pub options: BTreeMap<&'static str, String>,
}

/// The `main` function of an action: reads the environment, the command line and the workflow
/// run, calls `run`, prints an error with its causes and its hint, and returns the exit code.
pub fn main<E: Failure>(
    spec: &'static Spec,
    run: impl FnOnce(&Invocation, &Ui) -> Result<Exit, E>,
) -> ExitCode {
    let env = Env::from_process();
    let ui = Ui::from_env(&env);
    hide_in_panics(ui.masks());
    let context = runner::context(&env);
    let invocation = match parse(spec, env, context, std::env::args_os().collect()) {
        Ok(invocation) => invocation,
        Err(early) => {
            match early.exit {
                // Printed without guards against workflow commands, because it is our own text
                // and programs may parse it.
                Exit::Done => {
                    let _ = writeln!(std::io::stdout(), "{}", early.text.trim_end());
                }
                _ => ui.error(early.text),
            }
            return ExitCode::from(early.exit.code());
        }
    };
    handle_interrupts();
    let exit = run(&invocation, &ui).unwrap_or_else(|error| {
        ui.error(error_report(&error));
        if interrupted() { Exit::Interrupted } else { error.exit() }
    });
    ExitCode::from(exit.code())
}

/// The help text of an action, 100 columns wide, for tests.
pub fn help(spec: &'static Spec) -> String {
    command(spec).term_width(100).render_help().to_string()
}

/// Hides secrets in the messages of panics.
fn hide_in_panics(masks: Masks) {
    std::panic::set_hook(Box::new(move |panic| {
        let text = masks.hide(&panic.to_string());
        let _ = writeln!(std::io::stderr(), "internal error: {text}");
    }));
}

/// Help, version, or a usage error, instead of a run.
#[derive(Debug)]
struct EarlyExit {
    exit: Exit,
    text: String,
}

fn parse(
    spec: &'static Spec,
    mut env: Env,
    context: Context,
    args: Vec<OsString>,
) -> Result<Invocation, EarlyExit> {
    let args = expand_bare_options(spec, args);
    let matches = match command(spec).try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let exit = match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Done,
                _ => Exit::Usage,
            };
            if let Some(text) = foreign_option(spec, &error) {
                return Err(EarlyExit { exit, text });
            }
            let text = error.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).to_owned();
            return Err(EarlyExit { exit, text });
        }
    };
    if matches.get_flag("describe") {
        let text = serde_json::to_string_pretty(spec).unwrap_or_default();
        return Err(EarlyExit { exit: Exit::Done, text });
    }
    if let Some(word) = matches.get_one::<String>(GENERATE) {
        let text = Generated::from_word(word).map(|kind| kind.text(&mut command(spec)));
        return Err(EarlyExit { exit: Exit::Done, text: text.unwrap_or_default() });
    }
    let (name, matches) = matches.subcommand().map_or((None, &matches), |(name, sub)| (Some(name), sub));
    let command = spec.commands.iter().find(|command| Some(command.name) == name);
    for input in spec.inputs.iter().filter(|input| input.kind != InputKind::Secret) {
        let given = |id: &str| -> Vec<String> {
            let values = matches.try_get_many::<String>(id).ok().flatten();
            values.unwrap_or_default().cloned().collect()
        };
        let mut values = given(input.name);
        if spec.positional == Some(input.name) && command.is_none_or(|command| command.is_positional) {
            values.extend(given("ARGUMENTS"));
        }
        if !values.is_empty() {
            env.set(input.variable(), values.join("\n"));
        }
    }
    let argument = command.and_then(|command| matches.get_one::<String>(command.argument?).cloned());
    let options = command.map_or(&[][..], |command| command.options).iter();
    let options = options
        .filter_map(|option| Some((option.name, matches.get_one::<String>(option.name)?.clone())))
        .collect();
    Ok(Invocation { env, context, command: command.map(|command| command.name), argument, options })
}

/// The error for an option of another tool, or for a secret.
fn foreign_option(spec: &Spec, error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let is_it = |input: &&Input| given.strip_prefix("--") == Some(input.name);
    if let Some(input) = spec.inputs.iter().filter(|input| input.kind == InputKind::Secret).find(is_it) {
        let variable = input.variable();
        return Some(format!(
            "`{given}` is not an option: every user of this machine can see arguments\n\
             hint: set the environment variable {variable}"
        ));
    }
    let (_, hint) = spec.foreign_options.iter().find(|(name, _)| name == given)?;
    Some(format!("unexpected argument `{given}`\nhint: {hint}"))
}

/// Turns `--dry-run dist` into `--dry-run=true dist`, because clap would use `dist` as the
/// option's value.
fn expand_bare_options(spec: &Spec, args: Vec<OsString>) -> Vec<OsString> {
    let mut out: Vec<OsString> = Vec::with_capacity(args.len());
    let mut args = args.into_iter().peekable();
    while let Some(arg) = args.next() {
        if arg == "--" {
            out.push(arg);
            out.extend(args);
            break;
        }
        let name = arg.to_str().and_then(|arg| arg.strip_prefix("--"));
        let of_commands = spec.commands.iter().flat_map(|command| command.options);
        let input = spec.inputs.iter().chain(of_commands).find(|input| Some(input.name) == name);
        match input.and_then(|input| Some((input.bare()?, input.words()?))) {
            Some((bare, words)) if !args.peek().is_some_and(|next| words.iter().any(|word| next == word)) => {
                out.push(format!("{}={bare}", arg.to_string_lossy()).into());
            }
            _ => out.push(arg),
        }
    }
    out
}

fn command(spec: &'static Spec) -> clap::Command {
    let version = format!("{} ({})", spec.version, env!("SOURCE_GIT_SHA"));
    let mut command = clap::Command::new(spec.name)
        .about(spec.about)
        .version(version)
        .args_conflicts_with_subcommands(true)
        .subcommand_negates_reqs(true)
        .disable_help_subcommand(true)
        .arg(Arg::new("describe").long("describe").hide(true).action(ArgAction::SetTrue))
        .args(options(spec.inputs.iter()))
        .arg(
            Arg::new(GENERATE)
                .long(GENERATE)
                .value_name(Generated::WORDS.join("|"))
                .value_parser(PossibleValuesParser::new(Generated::WORDS))
                .hide_possible_values(true)
                .help("Print the man page, or the completions for a shell."),
        )
        .after_help(after_help(spec));
    let positional = spec.positional.map(|name| {
        let input = spec.input(name);
        let arg = Arg::new("ARGUMENTS").value_name(name.to_uppercase()).help(plain(input.about));
        let arg = arg.value_hint(ValueHint::AnyPath);
        if input.kind == InputKind::List { arg.num_args(0..) } else { arg }
    });
    command = command.args(positional.clone());
    for sub in spec.commands {
        let inputs = spec.inputs.iter().filter(|input| sub.takes(input));
        let mut clap = clap::Command::new(sub.name).about(sub.about).args(options(inputs));
        let positional = positional.clone().filter(|_| sub.is_positional);
        let positional = positional.map(|arg| match sub.positional_about {
            Some(about) => arg.help(plain(about)),
            None => arg,
        });
        clap = clap.args(options(sub.options.iter())).args(positional);
        if let Some(argument) = sub.argument {
            clap = clap.arg(Arg::new(argument).required(true));
        }
        command = command.subcommand(clap);
    }
    command
}

/// The end of `--help`: the secrets, which are never arguments, and the exit codes.
fn after_help(spec: &Spec) -> String {
    let secrets = spec.inputs.iter().filter(|input| input.kind == InputKind::Secret);
    let secrets: Vec<String> =
        secrets.map(|input| format!("  {}: {}\n", input.variable(), plain(input.about))).collect();
    let secrets = match secrets.as_slice() {
        [] => String::new(),
        list => format!("Secrets are read from the environment, never from options:\n{}\n", list.concat()),
    };
    format!(
        "{secrets}Options can also be set as INPUT_<NAME> in the environment; the command line takes \
         precedence.\n\
         Exit codes: 0 done, 1 findings or rejected, 2 wrong usage, 3 undetermined,\n\
         4 partly published (only publish), 130 interrupted."
    )
}

fn options(inputs: impl Iterator<Item = &'static Input>) -> impl Iterator<Item = Arg> {
    inputs.filter(|input| input.kind != InputKind::Secret).map(|input| {
        let default = if input.default.is_empty() {
            String::new()
        } else {
            format!(" [default: {}]", input.default.replace('\n', " "))
        };
        let value = match input.words() {
            Some(words) => words.join("|"),
            None => input.name.to_uppercase(),
        };
        let arg = Arg::new(input.name).long(input.name).value_name(value).help(plain(input.about) + &default);
        let arg = if input.kind == InputKind::Path { arg.value_hint(ValueHint::AnyPath) } else { arg };
        arg.action(if input.kind == InputKind::List { ArgAction::Append } else { ArgAction::Set })
    })
}

/// Removes Markdown's backticks for the terminal.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

#[cfg(test)]
mod tests;
