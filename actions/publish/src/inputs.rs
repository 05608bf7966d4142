//! The inputs, declared once and read strictly.

use std::path::PathBuf;
use std::time::Duration;

use pydist::name;
use reqwest::Url;
use toolkit::{Env, Input, InputErrors, InputKind, Output, Reader, Secret, Spec};

use crate::index::Index;

/// The action's interface.
pub static SPEC: Spec = Spec {
    name: "publish",
    about: "Publish Python distributions to an index, in order and resumably.",
    version: env!("CARGO_PKG_VERSION"),
    positional: Some("paths"),
    inputs: &[
        Input::new("paths", InputKind::List, "Distributions, or folders with them.").or("dist"),
        Input::new(
            "manifest",
            InputKind::Path,
            "The `dist-manifest.json` that verify-dist wrote; a file that is not in it, or differs, is refused. `none` to publish what nothing has verified.",
        )
        .required(),
        Input::new(
            "manifest-sha256",
            InputKind::Text,
            "The manifest's sha256, verify-dist's output `manifest-sha256`: with it an exchanged artifact is refused.",
        ),
        Input::new("index", InputKind::Text, "`pypi`, `testpypi`, or the URL of an index's legacy upload API.").or("pypi"),
        Input::new(
            "simple-url",
            InputKind::Text,
            "The index's Simple API, where `index` is a URL and the API is not `simple/` beside or below it.",
        ),
        Input::new("username", InputKind::Text, "The name that goes with `password`.").or("__token__"),
        Input::new(
            "password",
            InputKind::Secret,
            "An API token or password. Without one, trusted publishing is used (`permissions: id-token: write`).",
        ),
        Input::new(
            "oidc-audience",
            InputKind::Text,
            "The audience of an index other than PyPI and TestPyPI whose audience is not its own host name.",
        ),
        Input::new(
            "attestations",
            InputKind::Choice(&["auto", "required", "off"]),
            "PEP 740 attestations. `auto`: for PyPI and TestPyPI with trusted publishing.",
        )
        .or("auto"),
        Input::new(
            "attestations-path",
            InputKind::Path,
            "A folder for the attestations: written after publishing, read with `github-release: only`.",
        ),
        Input::new(
            "trust-config",
            InputKind::Path,
            "A sigstore `ClientTrustConfig` (JSON) that names another sigstore instance than the public one.",
        ),
        Input::new(
            "dry-run",
            InputKind::Mode("probe", &["false", "true", "offline", "probe", "auth"]),
            "Send nothing. `offline`: only the files; `probe` or `true`: ask the index too; `auth`: get a token as well.",
        )
        .or("false"),
        Input::new(
            "package-order",
            InputKind::List,
            "Package names, first to last, where their metadata does not say the order; spaces, commas or lines between them.",
        ),
        Input::new("concurrency", InputKind::Number(1, 16), "Uploads at a time.").or("4"),
        Input::new("timeout", InputKind::Number(1, 3600), "Seconds to wait for the index's answer to an upload.").or("250"),
        Input::new(
            "verify-timeout",
            InputKind::Number(0, 7200),
            "Seconds to wait until the index shows an uploaded file with its hash. PyPI's answers are cached for 600.",
        )
        .or("660"),
        Input::new(
            "github-release",
            InputKind::Choice(&["off", "after", "only"]),
            "A GitHub Release with the distributions: `after` the index has them all, or `only` the release.",
        )
        .or("off"),
        Input::new("github-token", InputKind::Secret, "For the release; needs `contents: write`."),
        Input::new(
            "tag",
            InputKind::Text,
            "The release's tag (`v1.2.3`, `pkg-v1.2.3`, `pkg@1.2.3`, `pkg/v1.2.3`); by default the tag that started the workflow.",
        ),
        Input::new(
            "tag-prefix",
            InputKind::Text,
            "What precedes the version in the tag, such as `pkg-v`. By default found by itself.",
        ),
        Input::new("release-notes", InputKind::Path, "A Markdown file with the release's notes."),
        Input::new(
            "changelog",
            InputKind::Path,
            "A Markdown file whose section about the version becomes the notes, where `release-notes` is not given.",
        ),
        Input::new("report-path", InputKind::Path, "Where the JSON report goes.").or("publish-report.json"),
        Input::new(
            "allow-insecure-loopback",
            InputKind::Flag,
            "Allow plain HTTP to this machine itself. For tests.",
        )
        .or("false"),
    ],
    outputs: &[
        Output::new("result", "`published`, `unchanged`, `dry-run`, `partial` or `failed`."),
        Output::new("uploaded", "How many files this run has sent."),
        Output::new("files", "JSON: for each file its package, version, state, URL and sha256."),
        Output::new("requirements", "Lines for a requirements file with hashes."),
        Output::new("report-path", "The JSON report."),
        Output::new("release-url", "The GitHub Release's page."),
    ],
    commands: &[],
};

/// How far a run goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The files alone are looked at.
    Offline,
    /// The index is asked what it has.
    Probe,
    /// A token is got, and thrown away.
    Auth,
    /// Everything.
    Full,
}

/// Whether attestations are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attestations {
    /// Where the index takes them and an identity is at hand.
    Auto,
    /// Always, or the run fails.
    Required,
    /// Never.
    Off,
}

impl Attestations {
    /// Whether they are to be made for `index`. Where `trusted` publishing is
    /// not used, `auto` makes none: who gives a token may have no identity.
    pub fn wanted(self, index: &Index, trusted: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Auto => trusted && index.known.is_some(),
            Self::Required => true,
        }
    }
}

/// Whether a GitHub Release is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// No.
    Off,
    /// When the index has every file.
    After,
    /// Nothing but the release.
    Only,
}

/// The inputs, understood.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// The manifest, unless `none` was said.
    pub manifest: Option<PathBuf>,
    /// What the manifest's sha256 must be.
    pub manifest_sha256: Option<String>,
    /// Where to.
    pub index: Index,
    /// For basic authentication.
    pub username: String,
    /// A token or password, if one was given.
    pub password: Option<Secret>,
    /// The audience that was said for this index.
    pub audience: Option<String>,
    /// Whether attestations are made.
    pub attestations: Attestations,
    /// The folder of attestations.
    pub attestations_path: Option<PathBuf>,
    /// Another sigstore instance.
    pub trust_config: Option<PathBuf>,
    /// How far the run goes.
    pub depth: Depth,
    /// Normalised names in the order given.
    pub order: Vec<String>,
    /// Uploads at a time.
    pub concurrency: usize,
    /// For an upload's answer.
    pub timeout: Duration,
    /// For a file to be shown.
    pub verify_timeout: Duration,
    /// Whether a GitHub Release is made.
    pub release: Release,
    /// For the release.
    pub github_token: Option<Secret>,
    /// The release's tag.
    pub tag: Option<String>,
    /// What precedes the version in the tag.
    pub tag_prefix: Option<String>,
    /// A file with the release's notes.
    pub notes: Option<PathBuf>,
    /// A changelog.
    pub changelog: Option<PathBuf>,
    /// Where the report goes.
    pub report_path: PathBuf,
    /// Whether plain HTTP to loopback is allowed.
    pub insecure_loopback: bool,
}

impl Inputs {
    /// Reads all inputs; every fault is told at once.
    pub fn read(env: &Env) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, env);
        let insecure_loopback = reader.flag("allow-insecure-loopback");
        let simple = reader.text("simple-url");
        let index = reader.parse("index", |text| Index::parse(text, simple.as_deref(), insecure_loopback));
        let manifest = reader.path("manifest").filter(|path| path.as_os_str() != "none");
        let manifest_sha256 = reader.parse("manifest-sha256", sha256);
        if manifest.is_none() && manifest_sha256.is_some() {
            reader
                .error("manifest-sha256", "there is no manifest that it could belong to (`manifest: none`)");
        }
        let order = reader.list("package-order").join("\n");
        let names = order.split([' ', '\t', ',', '\n']).filter(|name| !name.is_empty());
        let order: Vec<String> = names.map(name::normalize).collect();
        if let Some(twice) = order.iter().enumerate().find(|(i, n)| order[..*i].contains(n)) {
            reader.error("package-order", format!("`{}` is named twice", twice.1));
        }
        let seconds = |number: Option<u64>| Duration::from_secs(number.unwrap_or_default());
        let release = match reader.word("github-release") {
            "after" => Release::After,
            "only" => Release::Only,
            _ => Release::Off,
        };
        let github_token = reader.secret("github-token");
        let depth = match reader.word("dry-run") {
            "offline" => Depth::Offline,
            "true" | "probe" => Depth::Probe,
            "auth" => Depth::Auth,
            _ => Depth::Full,
        };
        if release != Release::Off && depth == Depth::Full && github_token.is_none() {
            reader.error("github-token", "a token is needed for `github-release`, none was given");
        }
        let attestations = match reader.word("attestations") {
            "required" => Attestations::Required,
            "off" => Attestations::Off,
            _ => Attestations::Auto,
        };
        let concurrency = reader.number("concurrency").and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
        let timeout = seconds(reader.number("timeout"));
        let verify_timeout = seconds(reader.number("verify-timeout"));
        let inputs = index.map(|index| Self {
            paths: reader.list("paths").into_iter().map(PathBuf::from).collect(),
            manifest,
            manifest_sha256,
            index,
            username: reader.string("username"),
            password: reader.secret("password"),
            audience: reader.text("oidc-audience"),
            attestations,
            attestations_path: reader.path("attestations-path"),
            trust_config: reader.path("trust-config"),
            depth,
            order,
            concurrency,
            timeout,
            verify_timeout,
            release,
            github_token,
            tag: reader.text("tag"),
            tag_prefix: reader.text("tag-prefix"),
            notes: reader.path("release-notes"),
            changelog: reader.path("changelog"),
            report_path: reader.path("report-path").unwrap_or_default(),
            insecure_loopback,
        });
        match inputs {
            Some(inputs) => reader.finish(inputs),
            // An index that does not parse is a fault: this is the error.
            None => reader.finish(()).and(Err(InputErrors(Vec::new()))),
        }
    }
}

fn sha256(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(text)
    } else {
        Err(format!("expected 64 hexadecimal digits, found `{text}`"))
    }
}

/// Whether `url` is of a host that is this machine itself.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inputs: &[(&str, &str)]) -> Result<Inputs, String> {
        let env = inputs.iter().map(|(name, value)| (format!("INPUT_{name}"), (*value).to_owned())).collect();
        Inputs::read(&env).map_err(|errors| errors.to_string())
    }

    #[test]
    fn the_manifest_must_be_given_or_refused_in_words() {
        assert!(read(&[]).unwrap_err().contains("input `manifest`: a value is required"));
        assert_eq!(read(&[("MANIFEST", "none")]).unwrap().manifest, None);
        let error = read(&[("MANIFEST", "none"), ("MANIFEST_SHA256", &"0".repeat(64))]).unwrap_err();
        assert!(error.contains("no manifest"), "{error}");
    }

    #[test]
    fn dry_run_is_never_guessed() {
        let depth = |value| read(&[("MANIFEST", "none"), ("DRY_RUN", value)]).map(|inputs| inputs.depth);
        assert_eq!(depth("true"), Ok(Depth::Probe));
        assert_eq!(depth("auth"), Ok(Depth::Auth));
        assert_eq!(depth(""), Ok(Depth::Full));
        assert!(depth("ture").unwrap_err().contains("did you mean `true`"));
    }

    #[test]
    fn attestations_are_made_where_an_index_and_an_identity_are_known() {
        let wanted = |word: &str, index: &str| {
            let inputs = read(&[("MANIFEST", "none"), ("INDEX", index), ("ATTESTATIONS", word)]).unwrap();
            [false, true].map(|trusted| inputs.attestations.wanted(&inputs.index, trusted))
        };
        for known in ["pypi", "testpypi"] {
            assert_eq!(wanted("", known), [false, true], "`auto` is the default");
            assert_eq!(wanted("auto", known), [false, true]);
            assert_eq!(wanted("off", known), [false, false]);
            assert_eq!(wanted("required", known), [true, true]);
        }
        let other = "https://index.example/legacy/";
        assert_eq!(wanted("auto", other), [false, false]);
        assert_eq!(wanted("off", other), [false, false]);
        assert_eq!(wanted("required", other), [true, true]);
    }

    #[test]
    fn plain_http_needs_the_flag_and_loopback() {
        let index = |url: &str, flag: &str| {
            read(&[("MANIFEST", "none"), ("INDEX", url), ("ALLOW_INSECURE_LOOPBACK", flag)])
        };
        assert!(index("http://127.0.0.1:1/", "true").is_ok());
        assert!(index("http://[::1]:1/", "true").is_ok());
        assert!(index("http://127.0.0.1:1/", "false").unwrap_err().contains("allow-insecure-loopback"));
        assert!(index("http://192.0.2.1/", "true").unwrap_err().contains("https"));
        assert!(index("http://127.0.0.1.example/", "true").unwrap_err().contains("https"));
    }

    #[test]
    fn all_faults_come_at_once() {
        let error = read(&[
            ("INDEX", "nowhere"),
            ("DRY_RUN", "x"),
            ("PACKAGE_ORDER", "a, A"),
            ("TIMEOUT", "0"),
            ("CONCURRENCY", "many"),
            ("ATTESTATIONS", "yes"),
        ]);
        let error = error.unwrap_err();
        for name in
            ["index", "dry-run", "manifest", "package-order", "timeout", "concurrency", "attestations"]
        {
            assert!(error.contains(&format!("input `{name}`")), "{error}");
        }
    }
}
