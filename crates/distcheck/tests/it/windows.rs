//! What the loader of Windows does with the files of a wheel.

use distcheck::{Set, Severity};
use testkit::sample::{file, pure};
use testkit::wheel::{Member, Pe, Wheel};

use crate::kit::{scan_files, verdict};

/// The findings of the rules that start with `rule`, as `<severity> <member>: <message>`.
fn findings(rule: &str, tag: &str, files: &[(&str, &Pe)]) -> Vec<String> {
    let mut wheel = Wheel::sample(tag);
    wheel.members.extend(files.iter().map(|(name, pe)| Member::new(*name, pe.bytes())));
    reported(rule, &wheel)
}

fn reported(rule: &str, wheel: &Wheel) -> Vec<String> {
    let dists = scan_files(&[file(wheel)]);
    let findings = verdict(&Set { dists: &dists, ..Set::default() }).findings.into_iter();
    findings
        .filter(|finding| finding.rule == rule)
        .map(|finding| {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            format!("{severity} {}: {}", finding.member.unwrap_or_default(), finding.message)
        })
        .collect()
}

fn imports(libraries: &[&str]) -> Pe {
    let imports = libraries.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
    Pe { imports, ..Pe::default() }
}

const MODULE: &str = "sample/core.pyd";
const PROGRAM: &str = "sample-1.0.data/scripts/tool.exe";

#[test]
fn a_program_does_not_find_the_dlls_of_python() {
    let libraries = ["KERNEL32.dll", "VCRUNTIME140.dll", "VCRUNTIME140_1.dll", "python312.dll"];
    let program = Pe { is_dll: false, exports: Vec::new(), ..imports(&libraries) };
    let files = [(MODULE, &imports(&libraries)), (PROGRAM, &program)];
    assert_eq!(
        findings("WIN004", "cp312-cp312-win_amd64", &files),
        [format!(
            "warning {PROGRAM}: it needs `VCRUNTIME140.dll`, `VCRUNTIME140_1.dll`, `python312.dll`, \
             but Windows does not search Python's directory for a program's DLLs"
        )]
    );
    // Beside the program, Windows finds it.
    let runtime = [(PROGRAM, &program), ("sample-1.0.data/scripts/vcruntime140.dll", &imports(&[]))];
    let left = findings("WIN004", "cp312-cp312-win_amd64", &runtime);
    assert!(left.len() == 1 && !left[0].contains("VCRUNTIME140.dll"), "{left:?}");
}

#[test]
fn dlls_of_unknown_origin_are_warnings() {
    let of = |name: &str| findings("WIN004", "cp312-cp312-win_amd64", &[(MODULE, &imports(&[name]))]);
    for name in
        ["sqlite3.dll", "tbb12.dll", "Qt6Core.dll", "cudart64_12.dll", "MSVCR90.dll", "vccorlib140.dll"]
    {
        assert_eq!(of(name), [format!("warning {MODULE}: it needs `{name}`")]);
    }
    for name in
        ["KERNEL32.dll", "bcryptprimitives.dll", "WINSPOOL.DRV", "ntoskrnl.exe", "api-ms-win-x-l1-1-0.dll"]
    {
        assert_eq!(of(name), Vec::<String>::new());
    }
    // It may never be used.
    let delayed = |name: &str| {
        let pe = Pe { delayed: vec![(name.into(), Vec::new())], ..imports(&[]) };
        findings("WIN004", "cp312-cp312-win_amd64", &[(MODULE, &pe)])
    };
    assert_eq!(
        delayed("nvcuda.dll"),
        [format!("note {MODULE}: it needs `nvcuda.dll`, but only on first use")]
    );
    assert_eq!(delayed("MSVCP140.dll"), [format!("warning {MODULE}: it needs `MSVCP140.dll`")]);
    // In the wheel.
    let files = [(MODULE, &imports(&["SQLite3.dll"])), ("sample/sqlite3.dll", &imports(&[]))];
    assert_eq!(findings("WIN004", "cp312-cp312-win_amd64", &files), Vec::<String>::new());
}

#[test]
fn only_win002_reports_debug_dlls() {
    for name in
        ["msvcp140d_atomic_wait.dll", "MSVCP140_1D.dll", "mfc140ud.dll", "ucrtbased.dll", "python312_d.dll"]
    {
        let files = [(MODULE, &imports(&[name]))];
        let tag = "cp312-cp312-win_amd64";
        assert_eq!(findings("WIN002", tag, &files), [format!("error {MODULE}: it needs `{name}`")]);
        assert_eq!(findings("WIN004", tag, &files), Vec::<String>::new());
    }
}

#[test]
fn a_module_needs_the_library_of_its_python() {
    let is_accepted = |tag: &str, name: &str, library: &str| {
        let tag = format!("{tag}-win_amd64");
        findings("WIN003", &tag, &[(name, &imports(&[library]))]).is_empty()
    };
    for (tag, library, accepted) in [
        ("cp313-cp313", "python313.dll", true),
        ("cp313-cp313", "python313t.dll", false),
        ("cp313-cp313t", "python313t.dll", true),
        ("cp313-cp313t", "python313.dll", false),
        ("cp313-cp313t", "python3t.dll", true),
        ("cp313-cp313t", "python3.dll", false),
        ("cp313-cp313", "python3.dll", true),
        ("cp313-cp313", "python3t.dll", false),
        ("cp38-abi3", "python3t.dll", false),
        // Python 3.15 has it with the GIL, too.
        ("cp315-cp315", "python3t.dll", true),
        ("cp315-abi3.abi3t", "python3t.dll", true),
        ("cp315-abi3.abi3t", "python3.dll", false),
        ("cp315-abi3t", "python315t.dll", false),
        ("cp38-abi3", "python3.dll", true),
        ("cp38-abi3", "python38.dll", false),
        ("cp37-cp37m", "python37.dll", true),
        ("cp312-none", "python312.dll", true),
        // It is installed for every Python.
        ("py3-none", "python312.dll", false),
        ("py312-none", "python312.dll", true),
        ("py313-none", "python312.dll", false),
        ("cp312-cp312", "python27.dll", false),
        ("cp312-cp312", "libpypy3.11-c.dll", false),
        ("cp312-cp312", "python-native.dll", false),
        ("pp311-pypy311_pp73", "libpypy3.11-c.dll", true),
        ("pp310-pypy310_pp73", "libpypy3.11-c.dll", false),
        ("pp310-pypy310_pp73", "libpypy3-c.dll", true),
        ("pp311-pypy311_pp73", "python311.dll", false),
        ("pp311-pypy311_pp73", "python3.dll", false),
        ("graalpy312-graalpy250_312_native", "python-native.dll", true),
        ("py3-none", "libpypy3.11-c.dll", true),
        ("cp312-cp312", "python313_d.dll", true),
        // MSYS2's Python.
        ("cp312-cp312", "libpython3.12.dll", false),
        ("cp312-abi3", "libpython3.dll", false),
    ] {
        assert_eq!(is_accepted(tag, MODULE, library), accepted, "{tag}: {library}");
    }
    assert!(is_accepted("cp38.cp313-abi3.cp313t", "sample/core.cp313t-win_amd64.pyd", "python313t.dll"));
    let mingw = findings("WIN003", "cp312-cp312-mingw_x86_64", &[(MODULE, &imports(&["libpython3.12.dll"]))]);
    assert_eq!(mingw, Vec::<String>::new());
}

#[test]
fn libraries_and_programs_need_the_python_of_the_tag() {
    let of = |tag: &str, name: &str| {
        let tag = format!("{tag}-win_amd64");
        findings("WIN003", &tag, &[("sample/core.pyd", &imports(&[])), (name, &imports(&["python39.dll"]))])
    };
    let what = "it needs `python39.dll`, the tag is `cp312-cp312-win_amd64`";
    for name in ["sample/helper.dll", PROGRAM] {
        assert_eq!(of("cp312-cp312", name), [format!("error {name}: {what}")]);
    }
    for name in ["sample/pywintypes39.dll", "sample/run-3.9-win.exe"] {
        assert_eq!(of("cp312-cp312", name), [format!("warning {name}: {what}")]);
    }
    for tag in ["cp39-cp39", "cp310-abi3", "py3-none"] {
        assert_eq!(of(tag, "sample/helper.dll"), Vec::<String>::new(), "{tag}");
    }
    // It brings its own.
    let files = [("sample/a.exe", &imports(&["python39.dll"])), ("sample/python39.dll", &imports(&[]))];
    assert_eq!(findings("WIN003", "cp312-cp312-win_amd64", &files), Vec::<String>::new());
}

#[test]
fn a_wheel_for_every_python_may_have_modules_for_several() {
    let of = |files: &[(&str, &str)]| {
        let files: Vec<_> = files.iter().map(|(name, library)| (*name, imports(&[library]))).collect();
        let files: Vec<_> = files.iter().map(|(name, pe)| (*name, pe)).collect();
        findings("WIN003", "py3-none-win_amd64", &files).len()
    };
    assert_eq!(of(&[("sample/a.pyd", "python312.dll"), ("sample/b.pyd", "python312.dll")]), 2);
    assert_eq!(of(&[("sample/a.pyd", "python312.dll"), ("sample/b.pyd", "python3.dll")]), 0);
    assert_eq!(of(&[("sample/312/a.pyd", "python312.dll"), ("sample/313/a.pyd", "python313.dll")]), 0);
    assert_eq!(of(&[("sample/a.pyd", "python312.dll"), ("sample/python312.dll", "kernel32.dll")]), 0);
}

#[test]
fn no_python_on_windows_imports_a_module_with_the_suffix_abi3() {
    let tag = "cp310-abi3-win_amd64";
    let module = imports(&["python3.dll"]);
    let name = "sample/core.abi3.pyd";
    let found = findings("ABI003", tag, &[(name, &module)]);
    assert_eq!(found, [format!("error {name}: no Python on Windows imports this name, name it `core.pyd`")]);
    let found = findings("ABI003", tag, &[(name, &module), (MODULE, &module)]);
    assert!(found.len() == 1 && found[0].starts_with("warning "), "{found:?}");
    // A library for ctypes.
    let library = Pe { exports: vec!["start".into()], ..imports(&[]) };
    assert_eq!(findings("ABI003", tag, &[(name, &library)]), Vec::<String>::new());
}

#[test]
fn an_assembly_for_any_processor_fits_every_tag() {
    let of = |flags: u32, machine: u16| {
        let assembly = Pe { machine, managed: Some(flags), exports: Vec::new(), ..imports(&["mscoree.dll"]) };
        let files = [(MODULE, &imports(&[])), ("sample/Sample.dll", &assembly)];
        findings("WIN001", "cp312-cp312-win_amd64", &files).len()
    };
    assert_eq!(of(1, 0x014c), 0);
    assert_eq!(of(0x2_0003, 0x014c), 0, "it only prefers 32 bits");
    assert_eq!(of(3, 0x014c), 1, "it requires 32 bits");
    assert_eq!(of(0, 0x014c), 1, "it has machine code");
    assert_eq!(of(1, 0xaa64), 1);
}

#[test]
fn files_that_are_installed_at_one_path_are_reported() {
    let with = |names: &[&str], commands: &str| {
        let mut wheel = pure();
        let mut add = |name: &str, text: &str| wheel.members.push(Member::new(name, text));
        for name in names {
            add(name, name);
        }
        if !commands.is_empty() {
            add("sample-1.0.dist-info/entry_points.txt", &format!("[console_scripts]\n{commands}"));
        }
        reported("ZIP008", &wheel)
    };
    assert_eq!(
        with(&["sample/a.py", "sample-1.0.data/purelib/sample/a.py"], ""),
        ["error sample-1.0.data/purelib/sample/a.py: it is installed at the same path as `sample/a.py`"]
    );
    assert_eq!(
        with(&["sample/a.py", "sample-1.0.data/platlib/sample/A.py"], ""),
        ["error sample-1.0.data/platlib/sample/A.py: differs from `sample/a.py` only in case"]
    );
    let script = "sample-1.0.data/scripts/Tool.exe";
    assert_eq!(
        with(&[script], "tool = sample:main\n"),
        [format!("warning {script}: it is installed at the same path as the command `tool`")]
    );
    assert_eq!(with(&["sample/tool.exe", "tool.exe"], "tool = sample:main\n"), Vec::<String>::new());
}

#[test]
fn a_helper_for_another_architecture_has_it_in_its_own_name() {
    let x86 = Pe { machine: 0x014c, ..imports(&[]) };
    let of = |name: &str, module: &Pe| {
        findings("WIN001", "cp312-cp312-win_amd64", &[(MODULE, module), (name, &x86)])
    };
    let what = "it is for x86, the tag is for amd64";
    let module = imports(&[]);
    for name in ["sample/helper32.dll", "sample/tool-x86.exe", "sample/win32/cli_32.exe"] {
        assert_eq!(of(name, &module), Vec::<String>::new(), "{name}");
    }
    for name in ["sample/charm.dll", "x86_sample/army.dll"] {
        let severity = if name.contains("x86") { "warning" } else { "error" };
        assert_eq!(of(name, &module), [format!("{severity} {name}: {what}")]);
    }
    assert_eq!(of("sample/win32/helper.dll", &module), [format!("warning sample/win32/helper.dll: {what}")]);
    // It is loaded.
    let importer = imports(&["HELPER32.dll"]);
    assert_eq!(of("sample/helper32.dll", &importer), [format!("error sample/helper32.dll: {what}")]);
    // There is another for this architecture.
    let files = [
        (MODULE, &imports(&["helper.dll"])),
        ("sample/win64/helper.dll", &module),
        ("sample/win32/helper.dll", &x86),
    ];
    let found = findings("WIN001", "cp312-cp312-win_amd64", &files);
    assert_eq!(found, [format!("warning sample/win32/helper.dll: {what}")]);
}

#[test]
fn arm64ec_matches_neither_tag() {
    let module = Pe { is_hybrid: true, ..imports(&[]) };
    for arch in ["amd64", "arm64"] {
        let found = findings("WIN001", &format!("cp312-cp312-win_{arch}"), &[(MODULE, &module)]);
        assert_eq!(found, [format!("error {MODULE}: it is for arm64ec, the tag is for {arch}")]);
    }
    // ARM64X.
    let module = Pe { machine: 0xaa64, ..module };
    assert_eq!(findings("WIN001", "cp312-cp312-win_arm64", &[(MODULE, &module)]), Vec::<String>::new());
}

#[test]
fn directories_that_differ_only_in_case_are_reported() {
    let with = |mut wheel: Wheel, names: &[&str]| {
        wheel.members.extend(names.iter().map(|name| Member::new(*name, *name)));
        reported("ZIP008", &wheel)
    };
    let names = [
        "sample/Foo/a.py",
        "sample/foo/b.py",
        "sample/foo/Sub/c.py",
        "sample/Foo/sub/d.py",
        "sample/foo/e.py",
    ];
    assert_eq!(
        with(pure(), &names),
        ["warning sample/foo/b.py: its directory `sample/foo` differs from `sample/Foo` only in case"]
    );
    let linux = with(Wheel::sample("py3-none-manylinux_2_17_x86_64"), &names[..2]);
    assert!(linux.len() == 1 && linux[0].starts_with("note "), "{linux:?}");
    assert_eq!(
        with(pure(), &["sample/foo/a.py", "sample/foobar/A.py", "sample/a/foo.py"]),
        Vec::<String>::new()
    );
}
