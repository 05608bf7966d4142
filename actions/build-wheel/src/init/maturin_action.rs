//! Translates maturin-action steps and maturin commands.

use super::build::{Build, Translation};
use super::constants::with_variables;
use super::names::NO_JOB;
use super::platform::targets;
use super::workflow::Step;
use crate::compatibility::Compatibility;

/// The build that a step's inputs and arguments request.
#[derive(Default)]
struct MaturinRequest {
    target: String,
    manylinux: String,
    directory: Option<String>,
    pythons: Vec<String>,
    finds_pythons: bool,
    is_sdist: bool,
    with_sdist: bool,
    args: Vec<String>,
    macos: String,
}

/// Translates a maturin-action step.
pub(super) fn translate(step: &Step<'_>, out: &mut Translation) {
    let place = step.place();
    let mut request = MaturinRequest::default();
    let mut args = String::new();
    let mut command = "build".to_owned();
    for (name, value) in step.mapping("with") {
        if name == "sccache" {
            if value.as_deref() != Some("false") {
                out.note_at(&place, "`sccache`: a release is built without a compiler cache");
            }
            continue;
        }
        let Some(value) = value else {
            out.note_at(&place, format!("`{name}` is known only during the run"));
            // The Pythons in them are unknown.
            request.finds_pythons |= name == "args";
            continue;
        };
        match name.as_str() {
            "command" => command = value,
            "args" => args = value,
            "target" => request.target = value,
            "manylinux" => request.manylinux = value,
            "working-directory" => request.directory = Some(value),
            "token" => {}
            _ if value.is_empty() => {}
            "container" if value == "off" => {}
            "rust-toolchain" if value == "stable" => {}
            "maturin-version" if value == "latest" => {}
            _ => out.note_at(&place, format!("`{name}: {}`", first_line(&value))),
        }
    }
    environment(step, &mut request, out);
    match command.as_str() {
        "build" => {}
        "sdist" => request.is_sdist = true,
        // It also builds.
        "publish" => request.with_sdist = true,
        "upload" => return,
        other => return out.note_at(&place, format!("`command: {other}`")),
    }
    options(&args, &place, &mut request, out);
    add(step, &request, out);
}

/// A call of maturin that builds.
struct MaturinCall<'l> {
    before: &'l str,
    /// `build`, `sdist` or `publish`.
    command: &'l str,
    args: &'l str,
}

/// Whether a text calls maturin to build.
pub(super) fn builds(text: &str) -> bool {
    call(text).is_some()
}

/// `maturin build`, also as `maturin.exe build` or `uvx maturin@1.2 build`.
fn call(text: &str) -> Option<MaturinCall<'_>> {
    text.match_indices("maturin").find_map(|(at, name)| {
        let rest = &text[at + name.len()..];
        let rest = rest.strip_prefix(".exe").unwrap_or(rest);
        let rest = rest.strip_prefix('@').map_or(rest, |version| {
            version.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || ".+-".contains(c))
        });
        let words = rest.strip_prefix([' ', '\t'])?.trim_start();
        let end = words.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(words.len());
        let (command, args) = words.split_at(end);
        let is_build = ["build", "sdist", "publish"].contains(&command) && !args.starts_with('-');
        is_build.then_some(MaturinCall { before: &text[..at], command, args })
    })
}

/// Whether publish or verify-dist replaces a command that uploads or checks.
fn is_covered(line: &str) -> bool {
    let line = line.strip_prefix("python -m ").or_else(|| line.strip_prefix("uv run ")).unwrap_or(line);
    ["uv publish", "twine upload", "twine check", "maturin upload"]
        .iter()
        .any(|command| line.starts_with(command))
        && !["--publish-url", "--index", "--repository", "$(", "&&", ";"]
            .iter()
            .any(|text| line.contains(text))
}

/// Translates the builds in a step's commands, and adds notes about other commands.
pub(super) fn translate_run(step: &Step<'_>, run: &str, out: &mut Translation) {
    let joined = run.replace("\\\n", " ");
    let mut directory = working_directory(step);
    let mut others: Vec<&str> = Vec::new();
    for line in joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let text = super::expression::interpolate(line, step.row().contexts());
        let change = text.and_then(|text| changed_directory(&text, directory.as_deref()));
        if let Some((path, is_line)) = change {
            directory = Some(path);
            if is_line {
                continue;
            }
        }
        let Some(MaturinCall { before, command, args }) = call(line) else {
            if !is_covered(line) {
                others.push(line);
            }
            continue;
        };
        let (is_sdist, with_sdist) = (command == "sdist", command == "publish");
        let mut request = MaturinRequest { is_sdist, with_sdist, ..MaturinRequest::default() };
        environment(step, &mut request, out);
        let variables =
            if before.contains('$') { Vec::new() } else { shlex::split(before).unwrap_or_default() };
        for (name, value) in variables.iter().filter_map(|word| word.split_once('=')) {
            match name {
                "MACOSX_DEPLOYMENT_TARGET" => value.clone_into(&mut request.macos),
                _ if !name.starts_with('-') => {
                    out.note_at(&step.place(), format!("`env.{name}: {value}`"));
                }
                _ => {}
            }
        }
        request.directory.clone_from(&directory);
        let args = super::expression::interpolate(args, step.row().contexts()).unwrap_or_else(|| {
            out.note_at(&step.place(), format!("`run: {line}` is known only during the run"));
            // The Pythons in it are unknown.
            request.finds_pythons = !is_sdist;
            String::new()
        });
        let args = with_variables(&args, |name| step.variable(name)).unwrap_or(args);
        if before.contains('$') && !before.contains("${{") || args.contains(['$', '`']) {
            out.note_at(&step.place(), format!("`run: {line}` has shell variables"));
        }
        options(&args, &step.place(), &mut request, out);
        add(step, &request, out);
    }
    match others[..] {
        [] => {}
        [line] => out.note_at(&step.place(), format!("`run: {line}`")),
        [first, ..] => {
            out.note_at(&step.place(), format!("`run: {first}` … ({} lines)", others.len()));
        }
    }
}

/// The target of `cd` at the beginning of a line, and whether it is the whole line.
fn changed_directory(line: &str, above: Option<&str>) -> Option<(String, bool)> {
    let change = line.strip_prefix("cd ")?;
    let (path, is_line) = match change.split_once("&&") {
        Some((path, _)) => (path, false),
        None => (change, true),
    };
    let path = path.trim().trim_matches(['"', '\'']);
    (!path.contains(['$', ';', '|'])).then_some((below(above, path), is_line))
}

/// Joins two paths and resolves `.` and `..`.
fn below(above: Option<&str>, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in above.unwrap_or_default().split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if !parts.is_empty() => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// The working directory of a step's commands: its own, or the default of its job or
/// its workflow.
fn working_directory(step: &Step<'_>) -> Option<String> {
    let own = step.field("working-directory");
    own.and_then(|value| step.row().text(value)).or_else(|| step.row().working_directory())
}

/// Translates the step's variables: there is an input for the macOS floor.
fn environment(step: &Step<'_>, request: &mut MaturinRequest, out: &mut Translation) {
    for (name, value) in step.mapping("env") {
        let value = value.unwrap_or_else(|| "…".to_owned());
        match name.as_str() {
            "MACOSX_DEPLOYMENT_TARGET" => request.macos = value,
            _ => out.note_at(&step.place(), format!("`env.{name}: {}`", first_line(&value))),
        }
    }
}

/// Parses the arguments of `maturin build`.
fn options(args: &str, place: &str, request: &mut MaturinRequest, out: &mut Translation) {
    let Some(words) = shlex::split(args) else {
        return out.note_at(place, format!("`args: {args}` has an unclosed quotation mark"));
    };
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let (name, given) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
            _ => (word.clone(), None),
        };
        let mut value = || given.clone().or_else(|| words.next()).unwrap_or_default();
        match name.as_str() {
            "--release" | "-r" | "--zig" | "--skip-auditwheel" => {}
            "--out" | "-o" | "--dist" => drop(value()),
            "--profile" => request.args.extend(profile(&value())),
            "--target" => request.target = value(),
            "--manylinux" | "--compatibility" => request.manylinux = value(),
            "--manifest-path" | "-m" => {
                let path = value();
                let directory = path.strip_suffix("Cargo.toml").unwrap_or(&path);
                request.directory = Some(below(request.directory.as_deref(), directory));
            }
            "--no-sdist" => request.with_sdist = false,
            // Options for the upload.
            "--skip-existing" | "--non-interactive" => {}
            "--find-interpreter" | "-f" => request.finds_pythons = true,
            "--sdist" => request.with_sdist = true,
            "--universal2" => "universal2".clone_into(&mut request.target),
            "--interpreter" | "-i" => {
                let split = |list: String| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                request.pythons.extend(given.into_iter().flat_map(split));
                while let Some(python) = words.next_if(|word| !word.starts_with('-')) {
                    request.pythons.extend(split(python));
                }
            }
            _ => {
                let is_option = |word: &String| word.starts_with('-');
                let mut line = word;
                if given.is_none()
                    && ![
                        "--strip",
                        "--locked",
                        "--frozen",
                        "--offline",
                        "--all-features",
                        "--no-default-features",
                    ]
                    .contains(&name.as_str())
                    && let Some(value) = words.next_if(|word| !is_option(word))
                {
                    line = format!(
                        "{line} {}",
                        shlex::try_quote(&value).map_or_else(|_| value.clone(), Into::into)
                    );
                }
                request.args.push(line);
            }
        }
    }
}

/// The option for a profile other than the default.
fn profile(name: &str) -> Option<String> {
    (name != "release").then(|| format!("--profile {name}"))
}

/// Adds the builds of a request.
fn add(step: &Step<'_>, request: &MaturinRequest, out: &mut Translation) {
    let directory = request.directory.as_deref().map(|path| {
        let path = path.trim_start_matches("./").trim_end_matches('/');
        if path.is_empty() { ".".to_owned() } else { path.to_owned() }
    });
    let sdist = Build { directory: directory.clone(), backend: "sdist".to_owned(), ..Build::default() };
    if request.is_sdist || request.with_sdist {
        out.builds.push(sdist);
    }
    if request.is_sdist {
        return;
    }
    let runner = step.row().runner();
    let is_musl = request.manylinux.contains("musllinux") || request.target.contains("musl");
    let targets = match targets(&request.target, &runner, is_musl) {
        Ok(targets) => targets,
        Err(what) => {
            return out.note_at(&step.place(), format!("{what}: {NO_JOB} this target; keep this job"));
        }
    };
    if targets.len() > 1 {
        out.note_at(&step.place(), "the universal2 wheel becomes one for each processor");
    }
    let pythons = pythons(request, &step.place(), out);
    if pythons.is_empty() {
        return;
    }
    for target in targets {
        let compatibility = compatibility(request, target.is_linux(), &step.place(), out);
        for python in &pythons {
            out.builds.push(Build {
                target: Some(target),
                directory: directory.clone(),
                compatibility: compatibility.clone(),
                python: python.clone(),
                args: request.args.clone(),
                ..Build::default()
            });
        }
    }
}

/// The Pythons to build for, with an empty name for the default one; empty if none
/// of the step's Pythons is supported.
fn pythons(request: &MaturinRequest, place: &str, out: &mut Translation) -> Vec<String> {
    let mut pythons: Vec<String> = request.pythons.iter().map(|name| python(name)).collect();
    if let Some(python) = pythons.iter().find(|python| python.starts_with("graalpy")).cloned() {
        out.note_at(place, format!("`{python}`: build-wheel does not build for GraalPy"));
        pythons.retain(|python| !python.starts_with("graalpy"));
        if pythons.is_empty() {
            return pythons;
        }
    }
    if request.finds_pythons {
        pythons.push(super::names::ALL_PYTHONS.to_owned());
    }
    if pythons.is_empty() {
        pythons.push(String::new());
    }
    pythons
}

/// The input `compatibility` for a target; empty for the default, or if build-wheel
/// does not support the step's floor.
fn compatibility(request: &MaturinRequest, is_linux: bool, place: &str, out: &mut Translation) -> String {
    let floor = if is_linux { floor(&request.manylinux) } else { macos_floor(&request.macos) };
    match Compatibility::parse(&floor) {
        Ok(Compatibility::Musllinux(version)) if version < (1, 2) => {
            out.note_at(place, format!("`{floor}`: Rust links with musl 1.2"));
            "musllinux_1_2".to_owned()
        }
        Ok(_) => floor,
        Err(_) if floor.is_empty() => floor,
        Err(_) => {
            let (name, value) = if is_linux {
                ("manylinux", &request.manylinux)
            } else {
                ("MACOSX_DEPLOYMENT_TARGET", &request.macos)
            };
            out.note_at(place, format!("`{name}: {value}`"));
            String::new()
        }
    }
}

/// Converts `MACOSX_DEPLOYMENT_TARGET` to a `compatibility`.
fn macos_floor(version: &str) -> String {
    if version.is_empty() {
        return String::new();
    }
    let minor = if version.contains('.') { "" } else { "_0" };
    format!("macosx_{}{minor}", version.replace('.', "_"))
}

/// Converts `manylinux` to a `compatibility`; `auto` and `off` are the default.
fn floor(manylinux: &str) -> String {
    match manylinux {
        "" | "auto" | "off" | "pypi" | "linux" => String::new(),
        text if text.contains("linux") => text.to_owned(),
        text if text.contains('_') => format!("manylinux_{text}"),
        text => format!("manylinux{text}"),
    }
}

/// Converts `python3.12` to `3.12`; of a path, only the last part is used.
pub(super) fn python(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    name.strip_prefix("python").unwrap_or(name).to_owned()
}

fn first_line(text: &str) -> String {
    let text = text.trim();
    match text.split_once('\n') {
        Some((line, _)) => format!("{line} …"),
        None => text.to_owned(),
    }
}
