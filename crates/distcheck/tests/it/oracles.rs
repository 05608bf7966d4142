//! Compares our findings with those of other tools.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use binfmt::elf::Kind;
use distcheck::Severity;
use pydist::filename::DistName;
use pydist::policy::{self, Linux};
use pydist::tags::Platform;
use serde_json::{Value, json};
use testkit::tools::python;

use testkit::tools::corpus as path;

use crate::corpus::{rules_of, scanned, sound};

/// Standard output and error of a tool.
fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap();
    [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
}

/// Wheels on which we disagree with auditwheel, and why.
const AUDITWHEEL: [(&str, &str, &str); 1] = [(
    "pydantic_core-2.50.4-cp313-cp313-musllinux_1_1_aarch64.whl",
    "a crash",
    "it looks for the wheel's `libc.so` on this machine, finds a linker script, and reads it as an ELF file",
)];

/// The oldest policy that allows everything a wheel needs; for musl, auditwheel
/// knows only the tag's own policy.
fn oldest(file: &str) -> Option<String> {
    let dists = scanned(file);
    let wheel = dists[0].wheel()?;
    let platforms = dists[0].platforms();
    let arch = platforms.iter().find_map(|platform| platform.arch().map(str::to_owned))?;
    let (family, least) = match platforms.first()? {
        Platform::Musllinux { musl, .. } => ("musllinux", *musl),
        _ => ("manylinux", (0, 0)),
    };
    let names = wheel
        .elf()
        .flat_map(|(member, info)| [Some(member.file_name().to_owned()), info.soname().map(str::to_owned)]);
    let bundled: BTreeSet<String> = names.flatten().collect();
    let fits = |policy: &&Linux| {
        policy.family == family
            && policy.version >= least
            && policy.symbol_versions.contains_key(&arch)
            && wheel
                .elf()
                .filter(|(_, info)| matches!(info.kind, Kind::Executable | Kind::Library))
                .all(|(_, info)| policy.excess(info, &arch, &bundled).is_empty())
    };
    let policy = policy::linux().iter().find(fits)?;
    Some(format!("{family}_{}_{}_{arch}", policy.version.0, policy.version.1))
}

#[test]
#[ignore = "soak: runs auditwheel on every wheel of the corpus"]
fn auditwheel_agrees_on_the_policy_of_every_linux_wheel() {
    let mut compared = 0;
    for file in sound().into_iter().filter(|file| file.contains("linux")) {
        let text = output_of(testkit::tools::command("auditwheel").arg("show").arg(path(&file)));
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let theirs = text.split_once("following platform tag: \"").and_then(|(_, rest)| rest.split_once('"'));
        let theirs = theirs.map_or("a crash", |(tag, _)| tag);
        if let Some((_, expected, why)) = AUDITWHEEL.iter().find(|(name, ..)| *name == file) {
            assert_eq!(theirs, *expected, "{file} is no exception any more ({why})");
            continue;
        }
        assert_eq!(oldest(&file).as_deref(), Some(theirs), "{file}");
        compared += 1;
    }
    assert!(compared >= 16, "{compared} wheels were compared");
}

/// Wheels in which only abi3audit finds a violation, and why.
const ABI3AUDIT: [(&str, &str); 1] =
    [("psutil-6.0.0-cp36-abi3-", "it counts a symbol that the module defines itself")];

#[test]
#[ignore = "soak: runs abi3audit on every wheel of the corpus"]
fn abi3audit_agrees_on_every_abi3_wheel() {
    let mut compared = 0;
    for file in sound().into_iter().filter(|file| file.contains("-abi3-")) {
        let output = testkit::tools::command("abi3audit").arg("--report").arg(path(&file)).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let specs = report["specs"].as_object().unwrap();
        let violation = |object: &Value| {
            let result = &object["result"];
            let none = |key: &str| {
                result[key].as_object().is_none_or(serde_json::Map::is_empty)
                    && result[key].as_array().is_none_or(Vec::is_empty)
            };
            !none("non_abi3_symbols") || !none("future_abi3_objects")
        };
        let theirs = specs.values().any(|spec| {
            spec["wheel"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|wheel| wheel["shared_objects"].as_array().into_iter().flatten())
                .any(violation)
                || spec["wheel"].as_array().is_some_and(|objects| objects.iter().any(violation))
        });
        let ours = rules_of(&file, Severity::Error).contains("ABI001");
        if let Some((_, why)) = ABI3AUDIT.iter().find(|(start, _)| file.starts_with(start)) {
            assert!(theirs && !ours, "{file} is no exception any more ({why})");
            continue;
        }
        assert_eq!(ours, theirs, "{file}: {report}");
        compared += 1;
    }
    assert!(compared >= 6, "{compared} wheels were compared");
}

/// The codes of check-wheel-contents, with our rules for them.
const CONTENTS: [(&str, &str); 10] = [
    ("W001", "CON001"),
    ("W002", "CON012"),
    ("W003", "CON003"),
    ("W004", "CON013"),
    ("W005", "CON003"),
    ("W006", "CON003"),
    ("W007", "CON004"),
    ("W008", "CON004"),
    ("W009", "CON014"),
    ("W010", "CON014"),
];

/// Its findings that we accept, by the start of the file's name, and why.
const CONTENTS_EXCEPT: [(&str, &str, &str); 8] = [
    ("black", "W003", "the stub of a module is a module"),
    ("black", "W004", "its compiled helper is loaded by another module, under its hash"),
    ("", "W002", "small files are often identical, at no cost; we report from 4 KiB on"),
    ("", "W009", "directories of bundled libraries (`x.libs`) and names with `_` are not a second package"),
    ("", "W010", "a directory with a program in it is intended"),
    ("ruff", "W007", "a wheel of a program installs no library"),
    ("uv", "W007", "a wheel of a program installs no library"),
    ("maturin", "W007", "a wheel of a program installs no library"),
];

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn finds_what_check_wheel_contents_finds() {
    for file in sound().into_iter().filter(|file| file.ends_with(".whl")) {
        let text =
            output_of(testkit::tools::command("check-wheel-contents").arg("--no-config").arg(path(&file)));
        let ours = rules_of(&file, Severity::Note);
        for (code, rule) in CONTENTS {
            let excepted =
                CONTENTS_EXCEPT.iter().any(|(start, known, _)| *known == code && file.starts_with(start));
            if text.contains(code) && !excepted {
                assert!(ours.contains(rule), "{file}: {code} without {rule}: {text}");
            }
        }
    }
}

#[test]
#[ignore = "soak: runs twine on the whole corpus"]
fn twine_passes_what_we_pass() {
    let files: Vec<String> = sound();
    let mut twine = testkit::tools::command("twine");
    twine.arg("check").env("NO_COLOR", "1").env("COLUMNS", "400").args(files.iter().map(|file| path(file)));
    let text = output_of(&mut twine);
    for file in files {
        let line = text.lines().find(|line| line.contains(&file)).unwrap_or_else(|| panic!("{file}: {text}"));
        let ours = rules_of(&file, Severity::Error).iter().any(|rule| rule.starts_with("MET"));
        assert_eq!(line.contains("FAILED"), ours, "{line}");
    }
}

/// reStructuredText with and without common mistakes.
const TEXTS: [&str; 35] = [
    "Title\n=====\n\nText with *emphasis*, ``code``, `a link <https://a.example>`_ and a note [1]_.\n\n.. [1] Well.\n",
    "Title\n====\n\nToo short.\n",
    "=====\nTitle\n=====\n\nText\n",
    "A\n=\n\nB\n-\n\nC\n~\n\nD\n=\n\nE\n~\n",
    "A\n=\n\nB\n-\n\nC\n=\n\nD\n~\n",
    "A\n=\n\nB\n-\n\nC\n~\n\nD\n-\n\nE\n=\n",
    ".. toctree::\n\n   a\n",
    ".. automodule:: x\n",
    ".. raw:: html\n\n   <b>\n",
    ".. include:: README\n",
    ".. code-block:: python\n\n   x = `y\n",
    ".. code:: console\n\n   $ ls **\n\nText\n",
    ".. note:: Well\n   done.\n\nText\n",
    ".. note:: x\ntext\n",
    "See :class:`x`.\n",
    "See :pep:`8` and H\\ :sub:`2`\\ O.\n",
    ".. role:: own\n\nSee :own:`x`.\n",
    "See `gone`_.\n",
    "See `there`_.\n\n.. _there: https://a.example\n",
    "Title\n=====\n\nSee `Title`_.\n",
    "See |gone|.\n",
    "See |here|.\n\n.. |here| replace:: there\n",
    "A ``literal.\n",
    "A **strong.\n",
    "A `title.\n",
    "2 * 3 * 4, a*b, 'x' and (y).\n",
    "`a <https://a.example>`_ and `a <https://b.example>`_\n",
    ".. _a: https://a.example\n.. _a: https://b.example\n\nText\n",
    "`a <https://a.example>`__ and `a <https://b.example>`__\n",
    "Code::\n\n   x\n\nText\n",
    "Code::\n\nnot indented\n",
    "- one\n- two\n\n  more\n\n* three\n",
    "====  ====\na     `b\n====  ====\nc     d\n====  ====\n",
    "+---+---+\n| a | b |\n+---+---+\n",
    ":Field: value\n:Other: value\n\n>>> 1 + 1\n2\n\n| a line\n| block\n",
];

/// docutils keeps a text's roles for later texts, so each is rendered separately.
const RENDER: &str = "
import json, sys
import readme_renderer.rst as rst
from docutils.parsers.rst import roles

def renders(text):
    roles._roles.clear()
    return rst.render(text) is not None

print(json.dumps([renders(text) for text in json.load(open(sys.argv[1]))]))
";

/// The descriptions of the corpus in reStructuredText.
fn real_texts() -> Vec<String> {
    let texts = sound().into_iter().filter_map(|file| {
        let dists = scanned(&file);
        let metadata = dists[0].metadata()?;
        let kind = metadata.headers.get("Description-Content-Type").unwrap_or("text/x-rst");
        let text = metadata.description()?.to_owned();
        kind.starts_with("text/x-rst").then_some(text)
    });
    texts.collect()
}

/// The text with one change: a line removed, duplicated, indented or joined with
/// the next; a character removed, duplicated or inserted. Every `step`th change.
fn changed_texts(text: &str, step: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let whole = |lines: &[String]| lines.join("\n") + "\n";
    let own: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let mut out = Vec::new();
    for at in 0..own.len() {
        let line = own[at].as_str();
        let with = |new: &[&str]| {
            let new = new.iter().map(|line| (*line).to_owned());
            own[..at].iter().cloned().chain(new).chain(own[at + 1..].iter().cloned()).collect::<Vec<_>>()
        };
        let indented = format!("   {line}");
        for new in
            [&[][..], &[line, line], &[indented.as_str()], &[line, ""], &["", line], &[line.trim_start()]]
        {
            out.push(whole(&with(new)));
        }
        for (place, c) in line.char_indices() {
            let after = place + c.len_utf8();
            let mut put =
                |new: &str| out.push(whole(&with(&[&format!("{}{new}{}", &line[..place], &line[after..])])));
            put("");
            if "*`_|:.=-+<>[]\\ ".contains(c) {
                put(&format!("{c}{c}"));
                put("x");
                put("`");
                put("*");
            }
        }
    }
    out.into_iter().step_by(step).collect()
}

/// Compares our check with docutils, run as by the index: a text that it rejects
/// never passes without a note, and a text that it renders is never an error.
fn compare_texts(texts: &[String]) {
    let theirs = python(RENDER, &json!(texts));
    let (mut silent, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for (text, renders) in texts.iter().zip(theirs.as_array().unwrap()) {
        let checked = distcheck::check_restructured(text);
        let message = format!("{text}\n{:?}\n", checked.mistakes);
        match (*renders == json!(true), checked.mistakes.is_empty()) {
            (true, false) => drop(wrong.insert(message)),
            (false, true) if checked.unchecked.is_empty() => drop(silent.insert(message)),
            _ => {}
        }
    }
    let show = |texts: &BTreeSet<String>| {
        let shown: Vec<&str> = texts.iter().take(60).map(String::as_str).collect();
        shown.join("\n------\n")
    };
    assert!(
        silent.is_empty(),
        "{} of {} pass without a finding:\n{}",
        silent.len(),
        texts.len(),
        show(&silent)
    );
    assert!(wrong.is_empty(), "{} of {} get an error:\n{}", wrong.len(), texts.len(), show(&wrong));
}

#[test]
#[ignore = "soak: renders a thousand changed texts"]
fn docutils_agrees_on_what_renders() {
    let real = real_texts();
    assert!(real.len() >= 3, "the corpus has {} descriptions in reStructuredText", real.len());
    let changed = TEXTS.iter().flat_map(|text| changed_texts(text, 3));
    let texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).chain(changed).chain(real).collect();
    compare_texts(&texts);
}

#[test]
#[ignore = "soak: thousands of changed descriptions"]
fn docutils_agrees_on_changed_texts() {
    let texts = TEXTS.iter().flat_map(|text| changed_texts(text, 1));
    let real = real_texts();
    let real = real.iter().filter(|text| text.len() < 6000).flat_map(|text| changed_texts(text, 97));
    compare_texts(&texts.chain(real).collect::<Vec<_>>());
}

/// Names, unchanged and with one change at every position.
fn variants(samples: &[&str]) -> Vec<String> {
    let mut out: BTreeSet<String> = samples.iter().map(|sample| (*sample).to_owned()).collect();
    for sample in samples {
        for at in 0..sample.len() {
            let (head, tail) = (&sample[..at], &sample[at..]);
            out.insert(format!("{head}{}", &tail[1..]));
            for more in ["-", "_", ".", "0", "a", " ", "!", "+", "é"] {
                out.insert(format!("{head}{more}{tail}"));
            }
        }
    }
    out.into_iter().collect()
}

const PACKAGING: &str = "import json, sys\n\
    from packaging import utils, requirements, licenses\n\
    def ok(parse, text):\n    try:\n        parse(text)\n        return True\n    except ValueError:\n        return False\n\
    data = json.load(open(sys.argv[1]))\n\
    parse = {'wheel': utils.parse_wheel_filename, 'sdist': utils.parse_sdist_filename,\n\
             'requirement': requirements.Requirement, 'licence': licenses.canonicalize_license_expression}\n\
    print(json.dumps({kind: [ok(parse[kind], text) for text in texts] for kind, texts in data.items()}))";

/// Why we differ from packaging on a text, if we do.
fn differs(kind: &str, text: &str) -> Option<&'static str> {
    let name = text.split('-').next().unwrap_or_default();
    let ends = |name: &str| {
        !name.ends_with(|c: char| c.is_ascii_alphanumeric())
            || !name.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    match kind {
        "wheel" | "sdist" if !text.is_ascii() => {
            Some("packaging accepts non-ASCII letters in names and tags")
        }
        "wheel" if ends(name) || name.contains("__") => {
            Some("the index's own pattern of names is stricter, or packaging's")
        }
        "wheel" if text.contains([' ', '!', '+']) => Some("packaging does not check the characters of tags"),
        "wheel" if text.contains("..") || text.contains("-.") || text.contains(".-") => {
            Some("packaging accepts an empty tag")
        }
        "wheel" => {
            let version = text.split('-').nth(1).unwrap_or_default();
            version.contains('_').then_some("PEP 427 has `_` for `-` in versions")
        }
        "sdist" if text.rsplit_once('-').is_some_and(|(name, _)| ends(name)) => {
            Some("packaging accepts any name")
        }
        "sdist" => {
            text.contains([' ', '_', '!']).then_some("packaging accepts any name, and blanks around versions")
        }
        _ => None,
    }
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn packaging_agrees_on_names_requirements_and_licences() {
    let wheels = variants(&[
        "foo_bar-1.0rc1-2b-cp312-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        "a-1-py3-none-any.whl",
    ]);
    let sdists = variants(&["foo_bar-1.0.post1.tar.gz", "a-1.tar.gz"]);
    let requirements: Vec<String> = [
        "a",
        "a==1",
        "a (>=1,<2)",
        "a[b,c]>=1; python_version < '3.11'",
        "a @ https://x.example/a.whl",
        "a>=1,",
        "a b",
        "a>=",
        "a;",
        "a; python_version",
        "a; python_versio < '3'",
        "a[",
        "-a",
        "a==1.*",
        "a>1.*",
        "a~=1",
        "a~=1.0",
        "a===x",
        "a; (os_name == 'nt'",
        "a; os_name == 'nt' and extra == \"x\"",
        "a; os_name in 'nt posix'",
        "a[]",
        "a<2.0.*",
    ]
    .map(str::to_owned)
    .to_vec();
    let licences: Vec<String> = [
        "MIT",
        "mit",
        "MIT OR Apache-2.0",
        "mit or apache-2.0",
        "GPL-3.0",
        "GPL-3.0+",
        "GPL-3.0-or-later",
        "MITT",
        "MIT AND",
        "(MIT)",
        "(MIT",
        "Apache-2.0 WITH LLVM-exception",
        "apache-2.0 with llvm-exception",
        "LicenseRef-Own",
        "licenseref-own",
        "MIT/Apache-2.0",
        "MIT Apache-2.0",
        "",
        "MIT WITH Apache-2.0",
        "Apache-2.0+",
    ]
    .map(str::to_owned)
    .to_vec();
    let theirs = python(
        PACKAGING,
        &json!({ "wheel": wheels, "sdist": sdists, "requirement": requirements, "licence": licences }),
    );
    let (mut parted, mut unexplained) = (BTreeMap::<&str, u32>::new(), Vec::new());
    for (kind, texts) in
        [("wheel", &wheels), ("sdist", &sdists), ("requirement", &requirements), ("licence", &licences)]
    {
        for (text, theirs) in texts.iter().zip(theirs[kind].as_array().unwrap()) {
            let ours = match kind {
                "wheel" | "sdist" => {
                    text.parse::<DistName>().is_ok_and(|name| name.wheel().is_some() == (kind == "wheel"))
                }
                "requirement" => pydist::requirement::parse(text).is_ok(),
                _ => distcheck::rules::is_licence_expression(text),
            };
            if ours != (*theirs == json!(true)) {
                match differs(kind, text) {
                    Some(why) => *parted.entry(why).or_default() += 1,
                    None => unexplained.push(format!("{kind} `{text}`: ours {ours}")),
                }
            }
        }
    }
    assert!(
        parted.values().sum::<u32>() * 2 < u32::try_from(wheels.len() + sdists.len()).unwrap(),
        "{parted:?}"
    );
}
