//! Writes a private nix.conf for the job and adds it to `NIX_USER_CONF_FILES`, so that the
//! machine's own files stay unchanged and nobody else can read a token.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toolkit::{Choice as _, Env, FileError, Secret};

use crate::inputs::{Inputs, NIXOS_KEY};

/// The lines of nix.conf for the inputs, without tokens. `single_user` means a Nix without
/// a daemon.
pub(crate) fn lines(inputs: &Inputs, single_user: bool) -> Vec<String> {
    let mut lines = vec![
        "extra-experimental-features = nix-command flakes".to_owned(),
        // A flake must not change the settings of the machine.
        "accept-flake-config = false".to_owned(),
        format!("max-jobs = {}", inputs.max_jobs),
    ];
    if single_user {
        lines.push("build-users-group =".into());
    }
    if let Some(sandbox) = inputs.sandbox {
        lines.push(format!("sandbox = {}", sandbox.word()));
    }
    if !inputs.substituters.is_empty() {
        lines.push(format!("extra-substituters = {}", inputs.substituters.join(" ")));
    }
    if !inputs.key_texts.is_empty() {
        lines.push(format!("extra-trusted-public-keys = {} {NIXOS_KEY}", inputs.key_texts.join(" ")));
    }
    lines.extend(inputs.extra_conf.iter().flat_map(|text| text.lines()).map(str::to_owned));
    lines
}

/// The value of `access-tokens`. A token for github.com in the input overrides the job's
/// own.
pub(crate) fn tokens(inputs: &Inputs) -> Option<Secret> {
    let given = inputs.access_tokens.as_ref().map(Secret::expose).unwrap_or_default();
    let has_github = given.split_whitespace().any(|word| word.starts_with("github.com="));
    let job_token = inputs.github_token.as_ref().filter(|_| !has_github);
    let job_token = job_token.map(|token| format!(" github.com={}", token.expose())).unwrap_or_default();
    let text = format!("{given}{job_token}");
    (!text.is_empty()).then(|| Secret::new(text.trim()))
}

/// The start of the line that holds the tokens.
const TOKENS: &str = "access-tokens =";

/// Removes the tokens from nix.conf.
pub(crate) fn remove_tokens(file: &Path) -> Result<(), FileError> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
    let lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with(TOKENS)).map(str::to_owned).collect();
    write(file, &lines, None)
}

/// Writes the lines and the tokens to a file that only this user can read.
pub(crate) fn write(to: &Path, lines: &[String], tokens: Option<&Secret>) -> Result<(), FileError> {
    let dir = to.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(FileError::new("create", dir))?;
    let make = || {
        // Temporary files are created with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        lines.iter().try_for_each(|line| writeln!(file, "{line}"))?;
        if let Some(tokens) = tokens {
            writeln!(file, "{TOKENS} {}", tokens.expose())?;
        }
        file.persist(to)?;
        Ok(())
    };
    make().map_err(FileError::new("write", to))
}

/// The value of `NIX_USER_CONF_FILES`: our file first, which takes precedence, then the
/// previous ones.
pub(crate) fn files(ours: &Path, env: &Env) -> String {
    let before = env.get("NIX_USER_CONF_FILES").map(str::to_owned).or_else(|| {
        let config = env.get("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| Some(PathBuf::from(env.get("HOME")?).join(".config")))?;
        Some(config.join("nix/nix.conf").display().to_string())
    });
    let ours = ours.display().to_string();
    let others =
        before.iter().flat_map(|files| files.split(':')).filter(|file| *file != ours && !file.is_empty());
    std::iter::once(ours.as_str()).chain(others).collect::<Vec<_>>().join(":")
}
