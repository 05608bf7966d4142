use super::*;
use crate::{Command, Reader, Secret};

static SPEC: Spec = Spec {
    name: "sample",
    about: "A sample.",
    version: "0.0.0",
    positional: Some("paths"),
    inputs: &[
        Input::new("paths", InputKind::List, "Files."),
        Input::new("dry-run", InputKind::Mode("true", &["false", "true", "probe"]), "How dry.").or("false"),
        Input::new("password", InputKind::Secret, "Never an argument."),
    ],
    outputs: &[],
    commands: &[
        Command::new("explain", "Explains.").argument("ID"),
        Command::new("list", "Lists.").positional().options(&[Input::new("why", InputKind::Text, "Why.")]),
    ],
    foreign_options: &[],
};

fn read(env: &[(&str, &str)], args: &[&str]) -> Result<(Vec<String>, &'static str), EarlyExit> {
    let args = std::iter::once(&"sample").chain(args).map(Into::into).collect();
    let invocation = parse(&SPEC, Env::from_iter(env.iter().copied()), Context::default(), args)?;
    let mut reader = Reader::new(&SPEC, &invocation.env);
    Ok((reader.list("paths"), reader.word("dry-run")))
}

#[test]
fn options_win_over_the_environment() {
    let env = [("INPUT_DRY_RUN", "false"), ("INPUT_PATHS", "a\nb")];
    assert_eq!(read(&env, &[]).unwrap(), (vec!["a".into(), "b".into()], "false"));
    assert_eq!(read(&env, &["c", "--dry-run", "d"]).unwrap(), (vec!["c".into(), "d".into()], "true"));
    assert_eq!(read(&env, &["--dry-run", "probe", "c"]).unwrap(), (vec!["c".into()], "probe"));
}

#[test]
fn a_secret_is_not_an_option() {
    for args in [&["--password", "x"][..], &["--password=x"]] {
        let early = read(&[], args).unwrap_err();
        assert_eq!(early.exit, Exit::Usage);
        assert!(early.text.contains("hint: set the environment variable INPUT_PASSWORD"), "{}", early.text);
    }
}

#[test]
fn a_subcommand_takes_its_argument() {
    let args = ["sample", "explain", "NIX001"].map(Into::into).to_vec();
    let invocation = parse(&SPEC, Env::default(), Context::default(), args).unwrap();
    assert_eq!((invocation.command, invocation.argument.as_deref()), (Some("explain"), Some("NIX001")));
}

#[test]
fn a_subcommand_takes_paths_and_options_of_its_own() {
    let args = ["sample", "list", "a", "b", "--why", "c d"].map(Into::into).to_vec();
    let invocation = parse(&SPEC, Env::default(), Context::default(), args).unwrap();
    assert_eq!(Reader::new(&SPEC, &invocation.env).list("paths"), ["a", "b"]);
    assert_eq!(invocation.options["why"], "c d");
    assert_eq!(read(&[], &["--why", "c"]).unwrap_err().exit, Exit::Usage);
    assert_eq!(read(&[], &["explain", "a", "b"]).unwrap_err().exit, Exit::Usage);
}

/// Runs itself as a child, because a panic hook applies to the whole process.
#[test]
fn hides_secrets_in_panics() {
    const CHILD: &str = "PANICS_WITH_A_SECRET";
    let secret = "pypi-a+b";
    if std::env::var_os(CHILD).is_some() {
        let ui = Ui::from_env(&Env::default());
        ui.mask(&Secret::new(secret));
        hide_in_panics(ui.masks());
        panic!("with {secret}, pypi-a%2Bb and cHlwaS1hK2I=");
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "cli::tests::hides_secrets_in_panics", "--nocapture"]);
    let output = child.env(CHILD, "1").output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!output.status.success(), "{text}");
    assert!(text.contains("internal error: panicked at") && text.contains("with ***, *** and ***"), "{text}");
    assert!(!text.contains(secret), "{text}");
}

#[test]
fn help_is_not_an_error() {
    let early = read(&[], &["--help"]).unwrap_err();
    assert_eq!(early.exit, Exit::Done);
}

#[test]
fn help_lists_options_values_and_defaults() {
    insta::assert_snapshot!(help(&SPEC), @r"
    A sample.

    Usage: sample [OPTIONS] [PATHS]...
           sample <COMMAND>

    Commands:
      explain  Explains.
      list     Lists.

    Arguments:
      [PATHS]...  Files.

    Options:
          --paths <PATHS>                 Files.
          --dry-run <false|true|probe>    How dry. [default: false]
          --generate <man|bash|zsh|fish>  Print the man page, or the completions for a shell.
      -h, --help                          Print help
      -V, --version                       Print version

    Secrets are read from the environment, never from options:
      INPUT_PASSWORD: Never an argument.

    Options can also be set as INPUT_<NAME> in the environment; the command line takes precedence.
    Exit codes: 0 done, 1 findings or rejected, 2 wrong usage, 3 undetermined,
    4 partly published (only publish), 130 interrupted.
    ");
}

#[test]
fn a_usage_error_names_the_option_and_the_help() {
    insta::assert_snapshot!(read(&[], &["--dry-rum"]).unwrap_err().text, @r"
    unexpected argument '--dry-rum' found

      tip: a similar argument exists: '--dry-run'

    Usage: sample --dry-run <false|true|probe> [PATHS]...

    For more information, try '--help'.
    ");
}
