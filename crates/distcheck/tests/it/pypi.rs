//! Generated metadata, file names and archives, checked with the packages that PyPI
//! uses (`packaging`, `email-validator`, `trove-classifiers`, `rfc3986`): nothing
//! that they reject passes here.

use distcheck::{Provenance, Set, Severity, rules};
use serde_json::json;
use testkit::tools::python;
use testkit::wheel::{Member, Wheel, zip};

use crate::kit::{scan_files, verdict};

/// The errors of the gate in each file.
fn rejected(files: &[(String, Vec<u8>)]) -> Vec<Vec<String>> {
    let refuses = |id: &str| rules::find(id).is_some_and(|rule| rule.provenance == Provenance::PypiRejects);
    files
        .iter()
        .map(|file| {
            let dists = scan_files(std::slice::from_ref(file));
            let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings;
            findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error && refuses(finding.rule))
                .map(|finding| format!("{}: {}", finding.rule, finding.message))
                .collect()
        })
        .collect()
}

/// The decisions of Warehouse's `forklift/metadata.py` and of twine's
/// `package.py`, made with the packages that both use.
const METADATA: &str = r#"
import email.utils, json, sys
import email_validator, trove_classifiers
from packaging import metadata, requirements, version
from rfc3986 import exceptions, uri_reference, validators

DYNAMIC = {name for name in metadata._EMAIL_TO_RAW_MAPPING} - {"name", "version", "metadata-version", "dynamic"}

def is_url(url):
    validator = validators.Validator().allow_schemes("http", "https").require_presence_of("scheme")
    validator.check_validity_of("scheme", "host", "port", "path", "query")
    try:
        validator.validate(uri_reference(url).normalize())
    except exceptions.RFC3986Exception:
        return False
    return True

def fault(text):
    raw, unparsed = metadata.parse_email(text.encode())
    try:
        old = version.Version(raw.get("metadata_version", "0")) < version.Version("2.4")
    except version.InvalidVersion:
        return "metadata version"
    if old:
        raw.pop("license_files", None)
        unparsed.pop("license-file", None)
    if unparsed:
        return f"unparsed {sorted(unparsed)}"
    try:
        meta = metadata.Metadata.from_raw(raw)
    except ExceptionGroup as group:
        return str(group.exceptions[0])
    if meta.metadata_version not in {"1.0", "1.1", "1.2", "2.1", "2.2", "2.3", "2.4", "2.5"}:
        return "metadata version"
    if meta.version.local:
        return "local"
    if len(meta.summary or "") > 512:
        return "summary"
    for field in (meta.author_email, meta.maintainer_email):
        _, address = email.utils.parseaddr(field or "")
        if address:
            try:
                email_validator.validate_email(address, check_deliverability=False)
            except email_validator.EmailNotValidError as error:
                return f"{address}: {error}"
    for classifier in meta.classifiers or []:
        if classifier not in trove_classifiers.classifiers:
            return classifier
    for url in (meta.home_page, meta.download_url):
        if url and not is_url(url):
            return url
    for label, url in (meta.project_urls or {}).items():
        if not label or len(label) > 32 or not url or not is_url(url):
            return f"{label} {url}"
    for text in (meta.provides_dist or []) + (meta.obsoletes_dist or []):
        try:
            if requirements.Requirement(text).url:
                return text
        except requirements.InvalidRequirement:
            return text
    if any(requirement.url for requirement in meta.requires_dist or []):
        return "direct reference"
    if any(field not in DYNAMIC for field in meta.dynamic or []):
        return "dynamic"
    if meta.license and meta.license_expression:
        return "two licenses"
    return None

print(json.dumps([fault(text) for text in json.load(open(sys.argv[1]))]))
"#;

/// Whether we reject a value that the tests' `packaging` accepts, for the reasons
/// below.
fn is_stricter(text: &str) -> bool {
    // PyPI runs an older `packaging`, which accepts only upper case.
    // A trailing blank hides the port from `rfc3986`; the URL cannot be opened.
    text.contains("charset=utf-8")
        || (text.contains(":99999") && !text.trim_end_matches(['\r', '\n']).ends_with('9'))
}

const REQUIREMENTS: [&str; 62] = [
    "a",
    "A.b-c_d",
    "-a",
    "a-",
    "a b",
    "a==1",
    "a ==1",
    "a (==1)",
    "a (==1",
    "a==1)",
    "a>=1,<2",
    "a>=1,",
    "a>=",
    "a=1",
    "a>>1",
    "a===x",
    "a~=1",
    "a~=1.0",
    "a==1.*",
    "a>=1.*",
    "a!=1.*",
    "a[x]",
    "a[x,y]",
    "a[x",
    "a[x,]",
    "a[]",
    "a[,x]",
    "a @ https://x.example/a.whl",
    "a@https://x.example/a.whl",
    "a;",
    "a; python_version",
    "a; python_version < '3'",
    "a; python_version << '3'",
    "a; python_version = '3'",
    "a; python_version == 3",
    "a; python_version < '3' and",
    "a; and python_version < '3'",
    "a; os_name == 'x' or or os_name == 'y'",
    "a; (os_name == 'x'",
    "a; os_name == 'x')",
    "a; (os_name == 'x')",
    "a; os_name == \"x'",
    "a; foo == 'x'",
    "a; os_name in 'nt posix'",
    "a; os_name not in 'nt'",
    "a; os_name notin 'nt'",
    "a; 'nt' == os_name",
    "a; extra == 'x'",
    "a ; extra == 'x' and python_version >= '3.8'",
    "a; os.name == 'x'",
    "a; sys_platform ~= 'x'",
    "a; python_full_version >= '3.8.1'",
    "a; platform_machine != 'x' , os_name == 'y'",
    "",
    " a ",
    "a>=1;os_name=='x'",
    "a>=1 ; os_name == 'x' ;",
    "a>=1.0+local",
    "a==1.0+local",
    "a>=v1",
    "é",
    "a>=1<2",
];

#[allow(clippy::too_many_lines, reason = "a table of values")]
fn fields() -> Vec<String> {
    let mut cases: Vec<String> = Vec::new();
    let mut add =
        |field: &str, values: &[&str]| cases.extend(values.iter().map(|value| format!("{field}: {value}")));
    for field in ["Requires-Dist", "Provides-Dist", "Obsoletes-Dist"] {
        add(field, &REQUIREMENTS);
    }
    add("Provides-Extra", &["x", "X_y.z", "-x", "x y", "", "é"]);
    add(
        "Requires-Python",
        &[
            ">=3.8",
            ">= 3.8",
            "3.8",
            ">=3.8,",
            ",>=3",
            ">=3.6.*",
            "==3.*",
            "~=3",
            "~=3.8",
            "!=3.0.*,<4",
            "any",
            ">=3.8;",
            ">=3.8 <4",
            "(>=3.8)",
            ">=v3",
            ">=3.8,<4.0.0dev",
            "<=3.9.*",
            ">=3.8+local",
            "=>3",
            "===x",
        ],
    );
    for field in ["Author-email", "Maintainer-email"] {
        add(
            field,
            &[
                "a@b.example",
                "A <a@b.example>",
                "A B <a@b.example>",
                "\"A, B\" <a@b.example>",
                "nobody",
                "A <nobody>",
                "a@b",
                "a@localhost",
                "a@b.test",
                "a@b.local",
                "a@x.invalid",
                "a..b@c.example",
                ".a@b.example",
                "a.@b.example",
                "a b@c.example",
                "a@b_c.example",
                "a@-b.example",
                "a@b-.example",
                "a@b..example",
                "a@.b.example",
                "a@b.example.",
                "a@1.2.3.4",
                "a@[1.2.3.4]",
                "\"a b\"@c.example",
                "a@bücher.example",
                "é@b.example",
                "a@b.example, c@d.example",
                "a at b.example",
                "a@b@c.example",
                "<a@b.example>",
                "@b.example",
                "a@",
                "a(x)@b.example",
                "a@b.123",
                "a@xn--bcher-kva.example",
                "a@ab--c.example",
                "A (x) <a@b.example>",
                "A <a@b.example",
                "A a@b.example>",
                "A: a@b.example;",
                "mailto:a@b.example",
                "a@b.example <c@d.example>",
            ],
        );
    }
    for field in ["Home-page", "Download-URL"] {
        add(
            field,
            &[
                "https://a.example",
                "http://a.example/x?y#z",
                "a.example",
                "UNKNOWN",
                "ftp://a.example",
                "https://a.example:99999",
                "https://a.example/[x]",
                "https://a.example/?[x]",
                "//a.example",
                "mailto:a@b.example",
                "HTTPS://a.example",
                "git+https://a.example",
            ],
        );
    }
    add(
        "Project-URL",
        &[
            "a, https://a.example",
            "a,https://a.example",
            "https://a.example",
            "a",
            ", https://a.example",
            "a,",
            "12345678901234567890123456789012, https://a.example",
            "123456789012345678901234567890123, https://a.example",
            "a, b.example",
            "Home, https://a.example",
        ],
    );
    add(
        "Classifier",
        &[
            "Programming Language :: Rust",
            "Programming Language :: Rost",
            "Private :: Do Not Upload",
            "Natural Language :: Ukranian",
            "",
        ],
    );
    add(
        "Description-Content-Type",
        &[
            "text/markdown",
            "text/x-rst",
            "text/plain",
            "text/html",
            "markdown",
            "Text/Markdown",
            "text/markdown; charset=UTF-8",
            "text/markdown; charset=utf-8",
            "text/markdown; charset=latin1",
            "text/markdown; variant=GFM",
            "text/markdown; variant=gfm",
            "text/markdown; variant=CommonMark; charset=UTF-8",
            "text/markdown;",
            "text/markdown; x",
            "text/markdown;; charset=UTF-8",
            "text/markdown; charset='UTF-8'",
            "text/markdown; charset=\"UTF-8\"",
            "text/markdown charset=UTF-8",
            "text/markdown, x",
        ],
    );
    add(
        "License-Expression",
        &[
            "MIT",
            "mit",
            "MITT",
            "MIT OR Apache-2.0",
            "MIT or",
            "GPL-3.0",
            "LicenseRef-x",
            "MIT/Apache-2.0",
            "",
            "(MIT)",
        ],
    );
    add("License-File", &["../LICENSE", "/LICENSE", "*.txt", "a\\b", "C:/x"]);
    add(
        "Dynamic",
        &[
            "Version",
            "Name",
            "Metadata-Version",
            "Requires-Dist",
            "requires-dist",
            "Nonsense",
            "License-File",
            "Platform",
        ],
    );
    add(
        "Import-Name",
        &["a", "a.b", "a; private", "a;private", "a;", "a; public", "1a", "class", "a b", "", "a..b"],
    );
    add("Import-Namespace", &["a", "a.b; private", "a-b", "class"]);
    add("Summary", &["x\n y", &"x".repeat(512), &"x".repeat(513)]);
    add("Keywords", &["a,b", "a b"]);
    add("Platform", &["linux", "UNKNOWN"]);
    add("Color", &["red"]);
    add("Home-Page", &["https://a.example"]);
    add("License", &["MIT"]);
    cases
}

/// METADATA with each case, in several metadata versions.
fn texts() -> Vec<String> {
    let mut texts = Vec::new();
    for case in fields() {
        for version in ["2.5", "2.4", "2.3", "2.1", "1.2", "1.1"] {
            texts.push(format!("Metadata-Version: {version}\nName: sample\nVersion: 1.0\n{case}\n"));
        }
        // A duplicate field.
        texts.push(format!("Metadata-Version: 2.5\nName: sample\nVersion: 1.0\n{case}\n{case}\n"));
    }
    // Trailing blanks and tabs, which are invisible.
    for case in fields() {
        for end in [" ", "\t", " \r"] {
            texts.push(format!("Metadata-Version: 2.4\nName: sample\nVersion: 1.0\n{case}{end}\n"));
        }
    }
    for head in ["2.4 ", " 2.4", "2.4\t"] {
        texts.push(format!("Metadata-Version: {head}\nName: sample\nVersion: 1.0\n"));
    }
    for (name, version) in [("sample ", "1.0"), ("sample", "1.0 "), ("sample\t", "1.0\t"), ("sample", " 1.0")]
    {
        texts.push(format!("Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"));
    }
    for head in ["0.9", "1.3", "2.0", "2.6", "3.0", "", "x"] {
        texts.push(format!("Metadata-Version: {head}\nName: sample\nVersion: 1.0\n"));
    }
    for version in ["1.0+local", "one", "1.0.dev", "1.0-1", "v1.0", "1.0a", "1!1.0", ""] {
        texts.push(format!("Metadata-Version: 2.4\nName: sample\nVersion: {version}\n"));
    }
    texts.push("Metadata-Version: 2.4\nName: sample\nVersion: 1.0\nDescription: a\n\nb\n".into());
    texts
}

#[test]
fn rejects_metadata_that_pypi_rejects() {
    let texts = texts();
    let files: Vec<_> = texts
        .iter()
        .map(|text| {
            let mut wheel = Wheel::sample("py3-none-any");
            wheel.metadata.clone_from(text);
            (wheel.filename(), wheel.bytes())
        })
        .collect();
    let theirs = python(METADATA, &json!(texts));
    let (mut passed, mut strict) = (Vec::new(), Vec::new());
    for ((text, theirs), mut ours) in texts.iter().zip(theirs.as_array().unwrap()).zip(rejected(&files)) {
        // The version differs from the file name's: this is not about the metadata.
        ours.retain(|finding| !finding.starts_with("NAM") || text.contains("+local"));
        match (theirs.as_str(), ours.is_empty()) {
            (Some(why), true) => passed.push(format!("{text}  {why}")),
            (None, false) if !is_stricter(text) => strict.push(format!("{text}  {ours:?}")),
            _ => {}
        }
    }
    assert!(texts.len() > 1000, "{} cases", texts.len());
    assert!(passed.is_empty(), "{} that PyPI rejects:\n{}", passed.len(), passed.join("\n"));
    assert!(strict.is_empty(), "{} that PyPI accepts:\n{}", strict.len(), strict.join("\n"));
}

/// The decisions of Warehouse's `forklift/legacy.py` about file names.
const NAMES: &str = r#"
import json, sys
from packaging import utils

def refused(file):
    try:
        if file.endswith(".whl"):
            name, version, _, tags = utils.parse_wheel_filename(file)
            return file.split("-", 1)[0] != name.replace("-", "_")
        name, version = utils.parse_sdist_filename(file)
        return file != f"{name.replace('-', '_')}-{version}.tar.gz"
    except ValueError:
        return True

print(json.dumps([refused(file) for file in json.load(open(sys.argv[1]))]))
"#;

#[test]
fn rejects_file_names_that_pypi_rejects() {
    let names = [
        "sample",
        "Sample",
        "sample_pkg",
        "sample__pkg",
        "sample.pkg",
        "sample-pkg",
        "_sample",
        "sample_",
        "Qt.py",
        "s",
    ];
    let versions = [
        "1.0",
        "1.00",
        "2024.01.05",
        "1.0a",
        "1.0a1",
        "1.0dev",
        "1.0.dev0",
        "v1.0",
        "1.0_1",
        "1.0.post1",
        "1.0-1",
        "1!1.0",
        "1.0+x",
        "one",
    ];
    let mut files: Vec<String> = Vec::new();
    for name in names {
        for version in versions {
            files.push(format!("{name}-{version}.tar.gz"));
            files.push(format!("{name}-{version}-py3-none-any.whl"));
            files.push(format!("{name}-{version}-1-py3-none-any.whl"));
            files.push(format!("{name}-{version}-b1-py3-none-any.whl"));
        }
    }
    let archives: Vec<_> = files.iter().map(|file| (file.clone(), b"PK".to_vec())).collect();
    let theirs = python(NAMES, &json!(files));
    for ((file, theirs), ours) in files.iter().zip(theirs.as_array().unwrap()).zip(rejected(&archives)) {
        let ours = ours.iter().any(|finding| finding.starts_with("NAM"));
        assert!(ours || theirs != &json!(true), "PyPI rejects `{file}`");
    }
}

/// Archives that Warehouse's `utils/zipfiles.py` rejects, with one defect each.
#[test]
fn rejects_archives_that_pypi_rejects() {
    let extra = |id: u16, body: &[u8]| {
        [&id.to_le_bytes()[..], &u16::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
    };
    let changed = |change: &dyn Fn(&mut Member)| {
        let wheel = Wheel::sample("py3-none-any");
        let mut members = wheel.finished();
        change(&mut members[0]);
        (wheel.filename(), zip(&members))
    };
    let sizes = |sizes: &[u64]| sizes.iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>();
    let cases: [(&str, (String, Vec<u8>)); 7] = [
        ("a zip64 field with one wrong size", changed(&|member| member.extra = extra(1, &sizes(&[9])))),
        ("a zip64 field with an odd length", changed(&|member| member.extra = extra(1, &[0; 5]))),
        (
            "a zip64 field with a wrong compressed size",
            changed(&|member| member.extra = extra(1, &sizes(&[6, 9]))),
        ),
        ("two zip64 fields", changed(&|member| member.extra = [extra(1, &[]), extra(1, &[])].concat())),
        ("a field that is cut off", changed(&|member| member.extra = vec![1, 0, 9, 0])),
        ("a comment", changed(&|member| member.comment = b"x".to_vec())),
        ("a data descriptor", changed(&|member| member.flags = 8)),
    ];
    for (what, file) in cases {
        assert!(!rejected(&[file])[0].is_empty(), "{what}");
    }
    for sound in [
        changed(&|_| ()),
        changed(&|member| member.extra = extra(1, &[])),
        changed(&|member| member.extra = extra(1, &sizes(&[6]))),
        changed(&|member| member.extra = extra(0x5455, &[1, 0, 0, 0, 0])),
    ] {
        assert_eq!(rejected(&[sound])[0], Vec::<String>::new());
    }
}
