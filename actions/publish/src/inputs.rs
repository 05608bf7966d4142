//! The parsed inputs.

mod choices;
mod spec;

use std::path::PathBuf;
use std::time::Duration;

use index::Index;
use pydist::digest::is_hex;
use pydist::name::ProjectName;
use toolkit::{Env, InputErrors, Reader, Secret};

pub use choices::{Attestations, DryRun, Latest, ReleaseMode};
pub use spec::SPEC;

/// The files to publish, and the checks on them.
#[derive(Debug, Clone)]
pub struct Files {
    /// Files, directories and patterns.
    pub paths: Vec<String>,
    /// The manifest, unless it is `none`.
    pub manifest: Option<PathBuf>,
    /// The expected SHA-256 of the manifest.
    pub manifest_sha256: Option<String>,
    /// Projects in the order given.
    pub order: Vec<ProjectName>,
    /// The projects' file size limit, in bytes.
    pub max_size: Option<u64>,
}

/// How to authenticate.
#[derive(Debug, Clone)]
pub struct Access {
    /// The user, `__token__` by default.
    pub username: String,
    /// A token or password, if one was given.
    pub password: Option<Secret>,
    /// A file that holds the password; `-` is standard input.
    pub password_file: Option<PathBuf>,
    /// Whether to ask the command `keyring`.
    pub keyring: bool,
    /// The user and password for the Simple API.
    pub simple: Option<index::Basic>,
    /// The audience that this index may request.
    pub audience: Option<String>,
}

/// How files are sent.
#[derive(Debug, Clone, Copy)]
pub struct Sending {
    /// Uploads at a time.
    pub concurrency: usize,
    /// Timeout for the answer to an upload.
    pub timeout: Duration,
    /// Timeout until the index lists a file.
    pub verify_timeout: Duration,
    /// How long to retry.
    pub retry_for: Duration,
}

/// Whether and where to make attestations.
#[derive(Debug, Clone)]
pub struct Attesting {
    /// Whether they are made.
    pub mode: Attestations,
    /// Where they are written, or read from for a release.
    pub directory: Option<PathBuf>,
    /// The configuration of another sigstore instance.
    pub trust_config: Option<PathBuf>,
}

/// The GitHub Release.
#[derive(Debug, Clone)]
pub struct Release {
    /// Whether it is made.
    pub mode: ReleaseMode,
    /// The token for GitHub's API.
    pub token: Option<Secret>,
    /// Its tag.
    pub tag: Option<String>,
    /// What precedes the version in the tag.
    pub tag_prefix: Option<String>,
    /// Its title.
    pub name: Option<String>,
    /// A file with its notes.
    pub notes: Option<PathBuf>,
    /// A changelog.
    pub changelog: Option<PathBuf>,
    /// Whether GitHub generates notes.
    pub generate_notes: bool,
    /// Whether it stays a draft.
    pub draft: bool,
    /// Whether it becomes the latest one.
    pub make_latest: Latest,
    /// The commit to tag if the tag does not exist.
    pub target: Option<String>,
    /// Files, directories and patterns.
    pub extra_assets: Vec<String>,
}

/// All inputs, by phase.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The index to publish to.
    pub index: Index,
    /// How far the run goes.
    pub dry_run: DryRun,
    /// The files to publish.
    pub files: Files,
    /// How to authenticate.
    pub access: Access,
    /// How files are sent.
    pub sending: Sending,
    /// Attestations.
    pub attesting: Attesting,
    /// The GitHub Release.
    pub release: Release,
    /// The path of the report.
    pub report_path: PathBuf,
    /// Whether plain HTTP to the loopback interface is allowed.
    pub insecure_loopback: bool,
}

impl Inputs {
    /// Reads all inputs; every error is reported at once.
    pub fn read(env: &Env) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, env);
        let insecure_loopback = reader.flag("allow-insecure-loopback");
        let simple = reader.text("simple-url");
        let index = reader.parse("index", |text| Index::parse(text, simple.as_deref(), insecure_loopback));
        let dry_run = reader.choice("dry-run");
        let files = files(&mut reader);
        let access = access(&mut reader);
        let attesting = Attesting {
            mode: reader.choice("attestations"),
            directory: reader.path("attestations-path"),
            trust_config: reader.path("trust-config"),
        };
        let has_password = access.password.is_some() || access.password_file.is_some();
        if attesting.mode == Attestations::Required && has_password {
            let message = "`required` needs trusted publishing: an index takes attestations from a trusted \
                           publisher only, and a password is given";
            reader.error("attestations", message);
        }
        let release = release(&mut reader);
        if release.mode != ReleaseMode::Off && dry_run == DryRun::Off && release.token.is_none() {
            reader.error("github-token", "`github-release` needs a token, found none");
        }
        let seconds = |number: Option<u64>| Duration::from_secs(number.unwrap_or_default());
        let sending = Sending {
            concurrency: reader.number("concurrency").and_then(|n| usize::try_from(n).ok()).unwrap_or(1),
            timeout: seconds(reader.number("timeout")),
            verify_timeout: seconds(reader.number("verify-timeout")),
            retry_for: seconds(reader.number("retry-for")),
        };
        let report_path = reader.path("report-path").unwrap_or_default();
        let inputs = index.map(|index| Self {
            index,
            dry_run,
            files,
            access,
            sending,
            attesting,
            release,
            report_path,
            insecure_loopback,
        });
        match inputs {
            Some(inputs) => reader.finish(inputs),
            // An index that does not parse is already reported: `finish` fails.
            None => reader.finish(()).and(Err(InputErrors(Vec::new()))),
        }
    }
}

fn files(reader: &mut Reader<'_>) -> Files {
    let manifest = reader.path("manifest").filter(|path| path.as_os_str() != "none");
    let manifest_sha256 = reader.parse("manifest-sha256", sha256);
    if manifest.is_none() && manifest_sha256.is_some() {
        reader.error("manifest-sha256", "there is no manifest to compare it with (`manifest: none`)");
    }
    let order = reader.list("package-order").join("\n");
    let names = order.split([' ', '\t', ',', '\n']).filter(|name| !name.is_empty());
    let order: Vec<ProjectName> = names.map(ProjectName::new).collect();
    if let Some(twice) = order.iter().enumerate().find(|(i, n)| order[..*i].contains(n)) {
        reader.error("package-order", format!("duplicate name `{}`", twice.1));
    }
    let max_size = reader.number("max-file-size").map(|size| size * 1024 * 1024);
    Files { paths: reader.list("paths"), manifest, manifest_sha256, order, max_size }
}

fn access(reader: &mut Reader<'_>) -> Access {
    let (password, password_file) = (reader.secret("password"), reader.path("password-file"));
    if password.is_some() && password_file.is_some() {
        reader.error("password-file", "expected only one of `password` and `password-file`, found both");
    }
    let user = reader.text("simple-username");
    let simple = reader.secret("simple-password").map(|password| index::Basic {
        user: user.clone().unwrap_or_else(|| "__token__".to_owned()),
        password,
    });
    if user.is_some() && simple.is_none() {
        reader.error("simple-username", "expected `simple-password` too, found none");
    }
    Access {
        username: reader.string("username"),
        password,
        password_file,
        keyring: reader.flag("keyring"),
        simple,
        audience: reader.text("oidc-audience"),
    }
}

fn release(reader: &mut Reader<'_>) -> Release {
    Release {
        mode: reader.choice("github-release"),
        token: reader.secret("github-token"),
        tag: reader.text("tag"),
        tag_prefix: reader.text("tag-prefix"),
        name: reader.text("name"),
        notes: reader.path("release-notes"),
        changelog: reader.path("changelog"),
        generate_notes: reader.flag("generate-notes"),
        draft: reader.flag("draft"),
        make_latest: reader.choice("make-latest"),
        target: reader.text("target"),
        extra_assets: reader.list("extra-assets"),
    }
}

fn sha256(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    if is_hex(&text, 64) { Ok(text) } else { Err(format!("expected 64 hexadecimal digits, found `{text}`")) }
}

#[cfg(test)]
mod tests;
