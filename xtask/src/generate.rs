//! `cargo xtask gen`: updates the regions of files that are generated from the declarations of
//! actions (see `regions`), the pages of docs/reference and docs/rules, the README's figures,
//! and repeated pins.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use toolkit::{Cmd, Exit, FileError, SECRETS};

use crate::error::Error;
use crate::shell::{Shell, display};
use crate::{figures, licenses, pins, reference, regions, rule_pages, tools, version_bump};

/// The actions, by the name of their directory, package and binary.
pub(crate) const ACTIONS: [&str; 4] = ["setup-nix", "build-wheel", "verify-dist", "publish"];

/// The inputs of the launcher, which every action has.
const LAUNCHER: [(&str, &str); 4] = [
    ("binary", "A binary of this action to run instead of the released one; requires `binary-sha256`."),
    ("binary-sha256", "The SHA-256 that `binary` must have, as 64 hexadecimal digits."),
    (
        "binary-token",
        "A token to download the released binary from a private repository; requires `contents: read` there.",
    ),
    (
        "binary-mirror",
        "The URL of a directory with the released binaries, for runners that cannot reach the release. The hash is still checked.",
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

/// The used part of the output of `ACTION --describe`.
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
    kind: serde_json::Value,
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
    let programs = shell.build_for_tests()?;
    stale.extend(rule_pages::update(shell, &programs, args.check)?);
    let specs =
        ACTIONS.iter().map(|action| describe(shell, &programs, action)).collect::<Result<Vec<_>, _>>()?;
    check_secrets(&specs)?;
    for (action, spec) in ACTIONS.iter().zip(&specs) {
        let directory = shell.root.join("actions").join(action);
        let content = |name: &str| region(name, spec).ok_or_else(|| format!("unknown region `{name}`"));
        for file in ["action.yml", "save/action.yml", "README.md"] {
            let path = directory.join(file);
            if path.is_file() && update(&path, args.check, &content)? {
                stale.push(format!("actions/{action}/{file}"));
            }
        }
    }
    let figures = figures::table(shell)?;
    let content = |name: &str| match name {
        "figures" => Ok(figures.clone()),
        _ => Err(format!("unknown region `{name}`")),
    };
    if update(&shell.root.join("README.md"), args.check, &content)? {
        stale.push("README.md".into());
    }
    stale.extend(reference_pages(shell, &programs, &specs, args.check)?);
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

/// The declaration of an action, from its own output.
fn describe(shell: &Shell, programs: &Path, action: &str) -> Result<Spec, Error> {
    let describe = Cmd::new(display(&programs.join(action))).args(["--describe"]);
    serde_json::from_str(&shell.run(&describe)?.stdout)
        .map_err(|error| Error::Check(format!("cannot read the output of `{action} --describe`: {error}")))
}

/// Fails if `toolkit::SECRETS` are not exactly the secrets that the actions declare.
fn check_secrets(specs: &[Spec]) -> Result<(), Error> {
    let inputs = specs.iter().flat_map(|spec| &spec.inputs).filter(|input| input.kind == "secret");
    let declared: BTreeSet<String> =
        inputs.map(|input| format!("INPUT_{}", input.name.to_uppercase().replace('-', "_"))).collect();
    let known = SECRETS.map(str::to_owned).into();
    let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
    if declared == known {
        return Ok(());
    }
    let message = "`SECRETS` in crates/toolkit/src/inputs.rs";
    Err(Error::Check(format!("{message}: expected {}, found {}", list(&declared), list(&known))))
}

/// Updates the pages of `docs/reference`; returns those that were out of date.
fn reference_pages(
    shell: &Shell,
    programs: &Path,
    specs: &[Spec],
    check: bool,
) -> Result<Vec<String>, Error> {
    let mut pages = vec![("reports".to_owned(), reference::reports(shell)?)];
    for (action, spec) in ACTIONS.iter().zip(specs) {
        let table = |name: &str| region(name, spec).unwrap_or_default();
        let tables =
            format!("\n## Inputs\n\n{}\n## Outputs\n\n{}", table("inputs-table"), table("outputs-table"));
        pages.push(((*action).to_owned(), program_page(shell, programs, action, &tables)?));
    }
    pages.push(("ht".to_owned(), program_page(shell, programs, "ht", "")?));
    let mut stale = Vec::new();
    for (name, page) in pages {
        let file = format!("docs/reference/{name}.md");
        let path = shell.root.join(&file);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == page) {
            continue;
        }
        if !check {
            toolkit::write_atomic(&path, page.as_bytes())?;
        }
        stale.push(file);
    }
    Ok(stale)
}

fn program_page(shell: &Shell, programs: &Path, program: &str, tables: &str) -> Result<String, Error> {
    let help = |command: &[&str]| {
        let run = Cmd::new(display(&programs.join(program))).args(command.iter().copied()).arg("--help");
        // Otherwise it depends on the width of the terminal.
        Ok::<_, Error>(shell.run(&run.env("COLUMNS", "100"))?.stdout)
    };
    let own = help(&[])?;
    let commands: Result<Vec<_>, Error> = reference::commands(&own)
        .into_iter()
        .map(|command| Ok((command.to_owned(), help(&[command])?)))
        .collect();
    Ok(reference::page(program, &own, &commands?, tables))
}

/// Updates the regions of a file; returns whether they were out of date.
fn update(path: &Path, check: bool, content: &dyn Fn(&str) -> Result<String, String>) -> Result<bool, Error> {
    let old = std::fs::read_to_string(path).map_err(FileError::new("read", path))?;
    let new = regions::replace(&old, regions::GEN, content)
        .map_err(|problem| Error::Check(format!("{}: {problem}", path.display())))?;
    if new != old && !check {
        toolkit::write_atomic(path, new.as_bytes())?;
    }
    Ok(new != old)
}

/// The content of a region: `inputs`, `outputs STEP`, `env`, only the launcher's part of
/// `inputs` and `env` (`launcher-inputs`, `launcher-env`), and the tables `inputs-table` and
/// `outputs-table`.
fn region(name: &str, spec: &Spec) -> Option<String> {
    let (name, step) = name.split_once(' ').unwrap_or((name, "run"));
    let launcher = LAUNCHER.map(|(name, about)| Input {
        name: name.into(),
        about: about.into(),
        default: String::new(),
        kind: "text".into(),
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
                    (false, default) => format!("`{}`", cell(default)),
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
    let Input { name, about, default, required, .. } = input;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(inputs: &[(&str, &str)]) -> Spec {
        let inputs: Vec<_> = inputs
            .iter()
            .map(|(name, kind)| {
                serde_json::json!({ "name": name, "about": "", "kind": kind, "default": "", "required": false })
            })
            .collect();
        serde_json::from_value(serde_json::json!({ "name": "x", "inputs": inputs, "outputs": [] })).unwrap()
    }

    #[test]
    fn the_known_secrets_are_those_of_the_actions() {
        let publish = spec(&[("password", "secret"), ("simple-password", "secret"), ("index", "text")]);
        let setup_nix = spec(&[("github-token", "secret"), ("access-tokens", "secret")]);
        let error = check_secrets(std::slice::from_ref(&publish)).unwrap_err().to_string();
        assert!(error.contains("found INPUT_ACCESS_TOKENS, INPUT_GITHUB_TOKEN, "), "{error}");
        check_secrets(&[publish, setup_nix]).unwrap();
    }
}
