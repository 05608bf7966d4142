//! `cargo xtask gen`: the regions of files that are generated from an action's
//! declaration (see `regions`), and repeated pins.

use std::path::Path;

use serde::Deserialize;
use toolkit::{Cmd, Exit, FileError};

use crate::error::Error;
use crate::regions;
use crate::rule_pages;
use crate::shell::{Shell, WORKSPACES, display};
use crate::tools;
use crate::version_bump;
use crate::{licenses, pins};

/// The actions, by the name of directory, package and binary.
pub(crate) const ACTIONS: [&str; 4] = ["setup-nix", "build-wheel", "verify-dist", "publish"];

/// Inputs of the launcher, which every action has.
const LAUNCHER: [(&str, &str); 4] = [
    ("binary", "A binary of this action to start in place of the released one; needs `binary-sha256`."),
    ("binary-sha256", "The SHA-256 that `binary` must have, as 64 hexadecimal digits."),
    (
        "binary-token",
        "A token to download the released binary from a private repository; needs `contents: read` there.",
    ),
    (
        "binary-mirror",
        "The URL of a directory that holds the released binaries, for runners that cannot reach the release. The hash is checked all the same.",
    ),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail if a file is out of date
    #[arg(long)]
    pub(crate) check: bool,
    /// Also write pydist's policy data, from the packages pinned for the tests
    #[arg(long, conflicts_with = "check")]
    pub(crate) policies: bool,
}

/// What `ACTION --describe` prints, as far as it matters here.
#[derive(Deserialize)]
struct Spec {
    name: String,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    about: String,
    default: String,
    required: bool,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    about: String,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> Result<Exit, Error> {
    version_bump::run(shell, &version_bump::Args::generated(args.check))?;
    if args.policies {
        let python = tools::environment(shell, "test")?.join("python");
        let script = shell.root.join("xtask/scripts/policies.py");
        let data = shell.root.join("crates/pydist/data");
        shell.run(&Cmd::new(display(&python)).arg(display(&script)).arg(display(&data)))?;
    }
    let mut stale = pins::update(shell, args.check)?;
    stale.extend(licenses::update(shell, args.check)?);
    stale.extend(rule_pages::update(shell, args.check)?);
    for action in ACTIONS {
        let describe =
            shell.cargo().args(["run", "--quiet", "--locked", "--package", action, "--", "--describe"]);
        let spec: Spec = serde_json::from_str(&shell.run(&describe)?.stdout).map_err(|error| {
            Error::Check(format!("cannot read the output of `{action} --describe`: {error}"))
        })?;
        let directory = shell.root.join("actions").join(action);
        for file in ["action.yml", "save/action.yml", "README.md"] {
            let path = directory.join(file);
            if path.is_file() && update(&path, &spec, args.check)? {
                stale.push(format!("actions/{action}/{file}"));
            }
        }
    }
    stale.extend(help_texts(shell, args.check)?);
    match (&stale[..], args.check) {
        ([], _) => shell.ui.info("all generated regions are up to date"),
        (stale, true) => {
            let files = stale.join(", ");
            return Err(Error::Check(format!("out of date: {files}; run `cargo xtask gen`")));
        }
        (stale, false) => shell.ui.info(format!("wrote {}", stale.join(", "))),
    }
    Ok(Exit::Done)
}

/// Updates `docs/reference`, the help of each program as a user reads it;
/// returns the files that were out of date.
fn help_texts(shell: &Shell, check: bool) -> Result<Vec<String>, Error> {
    let mut stale = Vec::new();
    let actions = ACTIONS.map(|action| (WORKSPACES[0], action));
    for (manifest, program) in actions.into_iter().chain([(WORKSPACES[1], "ht")]) {
        let run =
            ["run", "--quiet", "--locked", "--manifest-path", manifest, "--bin", program, "--", "--help"];
        // The width is otherwise that of the terminal.
        let help = shell.run(&shell.cargo().args(run).env("COLUMNS", "100"))?.stdout;
        let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        let file = format!("docs/reference/{program}.txt");
        let path = shell.root.join(&file);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == help) {
            continue;
        }
        if !check {
            toolkit::write_atomic(&path, help.as_bytes())?;
        }
        stale.push(file);
    }
    Ok(stale)
}

/// Updates the regions of a file; returns whether they were out of date.
fn update(path: &Path, spec: &Spec, check: bool) -> Result<bool, Error> {
    let old = std::fs::read_to_string(path).map_err(FileError::new("read", path))?;
    let content = |name: &str| region(name, spec).ok_or_else(|| format!("unknown region `{name}`"));
    let new = regions::replace(&old, regions::GEN, content)
        .map_err(|problem| Error::Check(format!("{}: {problem}", path.display())))?;
    if new != old && !check {
        toolkit::write_atomic(path, new.as_bytes())?;
    }
    Ok(new != old)
}

/// The content of a region: `inputs`, `outputs STEP`, `env`, the launcher's part
/// alone of the two (`launcher-inputs`, `launcher-env`), and the tables
/// `inputs-table` and `outputs-table`.
fn region(name: &str, spec: &Spec) -> Option<String> {
    let (name, step) = name.split_once(' ').unwrap_or((name, "run"));
    let launcher = LAUNCHER.map(|(name, about)| Input {
        name: name.into(),
        about: about.into(),
        default: String::new(),
        required: false,
    });
    let inputs = spec.inputs.iter().chain(&launcher);
    Some(match name {
        "inputs" => inputs.map(yaml_input).collect(),
        "launcher-inputs" => launcher.iter().map(yaml_input).collect(),
        "outputs" => spec.outputs.iter().map(|output| yaml_output(output, step)).collect(),
        "launcher-env" => launcher_env(),
        "env" => spec.inputs.iter().map(env_line).collect::<String>() + &launcher_env(),
        "inputs-table" => {
            let rows = inputs.map(|input| {
                let default = match (input.required, input.default.as_str()) {
                    (true, _) => "required".to_owned(),
                    (false, "") => String::new(),
                    (false, default) => format!("`{}`", default.replace('\n', " ")),
                };
                format!("| `{}` | {default} | {} |\n", input.name, cell(&input.about))
            });
            format!("| input | default | meaning |\n| --- | --- | --- |\n{}", rows.collect::<String>())
        }
        "outputs-table" => {
            let rows = spec
                .outputs
                .iter()
                .map(|output| format!("| `{}` | {} |\n", output.name, cell(&output.about)));
            format!("| output | meaning |\n| --- | --- |\n{}", rows.collect::<String>())
        }
        "name" => format!("name: {}\n", spec.name),
        _ => return None,
    })
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// A double-quoted YAML scalar; JSON's strings are a subset of it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn yaml_input(input: &Input) -> String {
    let Input { name, about, default, required } = input;
    format!(
        "{name}:\n  description: {}\n  required: {required}\n  default: {}\n",
        quoted(about),
        quoted(default)
    )
}

fn yaml_output(output: &Output, step: &str) -> String {
    let Output { name, about } = output;
    format!("{name}:\n  description: {}\n  value: ${{{{ steps.{step}.outputs.{name} }}}}\n", quoted(about))
}

fn env_line(input: &Input) -> String {
    let variable = input.name.to_uppercase().replace('-', "_");
    format!("INPUT_{variable}: ${{{{ inputs.{} }}}}\n", input.name)
}

fn launcher_env() -> String {
    LAUNCHER.iter().fold(String::new(), |out, (name, _)| {
        let variable = name.to_uppercase().replace('-', "_");
        out + &format!("LAUNCH_{variable}: ${{{{ inputs.{name} }}}}\n")
    })
}
