//! Broken wheels: each is repaired so that no loader reads a store path, or rejected
//! with the reason.

use binfmt::elf::ElfInfo;
use binfmt::macho::MachOInfo;
use pydist::zip::{Archive, Limits};

use crate::macho::{fat, program, zig};
use crate::support::*;

/// A broken wheel: its defect, the wheel, the expected result.
pub(crate) type Variant = (String, Vec<u8>, Expect);

/// The expected result of a variant.
pub(crate) enum Expect {
    /// It is repaired; a change, a warning or the new name contains this text.
    Repaired(&'static str),
    /// It is rejected with this reason.
    Rejected(&'static str),
}
use Expect::{Rejected, Repaired};

struct Corpus {
    dir: tempfile::TempDir,
    variants: Vec<Variant>,
}

impl Corpus {
    fn add(&mut self, name: &str, wheel: Vec<u8>, expect: Expect) {
        self.variants.push((name.to_owned(), wheel, expect));
    }

    /// A program built with the machine's compiler.
    fn gnu(&mut self, name: &str, flags: &str, expect: Expect) {
        let program = compile(&CC, self.dir.path(), "a", HELLO, flags);
        self.add(name, program_wheel(&program), expect);
    }

    /// A program linked against a library with this soname.
    fn needs(&mut self, name: &str, soname: &str, flags: &str, expect: Expect) {
        let dir = self.dir.path();
        let flags_of_library = format!("-shared -fPIC -Wl,-soname,{soname}");
        compile(&CC, dir, "libdep.so", "int dep(void) { return 0; }", &flags_of_library);
        let source = "int dep(void); int main(void) { return dep(); }";
        let program = compile(&CC, dir, "a", source, &format!("{{}}/libdep.so {flags}"));
        self.add(name, program_wheel(&program), expect);
    }

    /// A program for another system, without a C library.
    fn foreign(&mut self, name: &str, compiler: &[&str], loader: &str, expect: Expect) {
        let source = "void _start(void) { for (;;) {} }";
        let flags = format!("-nostdlib -pie -fPIE -Wl,--dynamic-linker={STORE}-libc/lib/{loader}");
        let program = compile(compiler, self.dir.path(), "a", source, &flags);
        self.add(name, program_wheel(&program), expect);
    }

    fn elves(&mut self) {
        let loader = format!("-Wl,--dynamic-linker={STORE}-glibc/lib/ld-linux-x86-64.so.2");
        let path = |path: &str| format!("-Wl,-rpath,{}", path.replace("STORE", STORE));
        self.gnu("interpreter", &loader, Repaired("/lib64/ld-linux-x86-64.so.2"));
        self.gnu("runpath", &path("STORE-glibc/lib"), Repaired("RUNPATH"));
        self.gnu("rpath", &format!("-Wl,--disable-new-dtags {}", path("STORE-a/lib")), Repaired("RPATH"));
        self.gnu("two paths", &path("STORE-a/lib:STORE-b/lib"), Repaired("removed"));
        self.gnu(
            "store then origin",
            &path("STORE-a/lib:$ORIGIN/../lib"),
            Repaired("is now `$ORIGIN/../lib`"),
        );
        self.gnu(
            "origin then store",
            &path("$ORIGIN/../lib:STORE-a/lib"),
            Repaired("is now `$ORIGIN/../lib`"),
        );
        self.gnu("store around origin", &path("STORE-a/l:$ORIGIN:STORE-b/l"), Repaired("is now `$ORIGIN`"));
        self.gnu(
            "store and absolute",
            &path("STORE-a/lib:/opt/x/lib"),
            Repaired("`/opt/x/lib` exists on few"),
        );
        self.gnu("relative into the store", &path("$ORIGIN/../../../nix/store/abc/lib"), Repaired("removed"));
        self.gnu("all at once", &format!("{loader} {}", path("STORE-a/lib")), Repaired("interpreter"));
        self.gnu(
            "static pie with runpath",
            &format!("-static-pie {}", path("STORE-a/lib")),
            Repaired("musllinux"),
        );
        self.gnu(
            "other hash table",
            &format!("-Wl,--hash-style=sysv {}", path("STORE-a/lib")),
            Repaired("RUNPATH"),
        );
        self.gnu("non-PIE", &format!("-no-pie {loader}"), Repaired("interpreter"));
        self.gnu("stripped", &format!("-s {loader} {}", path("STORE-a/lib")), Repaired("RUNPATH"));
        self.gnu(
            "audit",
            &format!("-Wl,--audit,{STORE}-a/lib/audit.so"),
            Rejected("the loader would still use"),
        );
        self.gnu(
            "depaudit",
            &format!("-Wl,--depaudit,{STORE}-a/lib/a.so"),
            Rejected("the loader would still use"),
        );
        self.needs(
            "system library by store path",
            &format!("{STORE}-glibc/lib/libm.so.6"),
            "",
            Repaired("is now `libm.so.6`"),
        );
        self.needs(
            "foreign library by store path",
            &format!("{STORE}-openssl/lib/libssl.so.3"),
            "",
            Rejected("a library in the Nix store"),
        );
        self.needs(
            "library by store search path",
            "libssl.so.3",
            &path("STORE-openssl/lib"),
            Rejected("`libssl.so.3`, which is not in the wheel"),
        );
        self.needs("library of nowhere", "libzzz.so.1", "", Rejected("`libzzz.so.1`"));
        self.foreign("musl", &CC, "ld-musl-x86_64.so.1", Repaired("/lib/ld-musl-x86_64.so.1"));
        self.foreign("aarch64", &["aarch64-linux-gnu-gcc"], "ld-linux-aarch64.so.1", Repaired("_aarch64"));
        self.foreign(
            "aarch64 musl",
            &["aarch64-linux-gnu-gcc"],
            "ld-musl-aarch64.so.1",
            Repaired("musllinux_1_2_aarch64"),
        );
        self.foreign(
            "riscv64",
            &zig("riscv64-linux-gnu"),
            "ld-linux-riscv64-lp64d.so.1",
            Repaired("_riscv64"),
        );
        self.foreign("ppc64le", &zig("powerpc64le-linux-gnu"), "ld64.so.2", Repaired("_ppc64le"));
        self.foreign("32 bits", &zig("x86-linux-gnu"), "ld-linux.so.2", Repaired("_i686"));
        self.foreign("big-endian", &zig("s390x-linux-gnu"), "ld64.so.1", Repaired("_s390x"));
    }

    /// Loaders that only some systems have.
    fn foreign_loaders(&mut self) {
        for loader in [
            "/gnu/store/abcdefghijklmnopqrstuvwxyz012345-glibc-2.35/lib/ld-linux-x86-64.so.2",
            "/home/linuxbrew/.linuxbrew/lib/ld.so",
            "/home/linuxbrew/.linuxbrew/opt/glibc/lib/ld-linux-x86-64.so.2",
            "/opt/toolchain/lib/ld-linux-x86-64.so.2",
            "/run/current-system/sw/share/nix-ld/lib/ld.so",
            "/nix/var/nix/profiles/default/lib/ld-linux-x86-64.so.2",
        ] {
            let flags = format!("-Wl,--dynamic-linker={loader}");
            self.gnu(&format!("loader {loader}"), &flags, Repaired("is now `/lib64/ld-linux-x86-64.so.2`"));
        }
        // musl's loader with glibc: the right path does not fit in its place.
        let flags = "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1";
        self.gnu("musl's loader for glibc", flags, Rejected("is longer than the interpreter"));
        let dir = self.dir.path().to_owned();
        let source = "void _start(void) { for (;;) {} }";
        let flags = "-nostdlib -pie -fPIE -Wl,--dynamic-linker=";
        // musl's library with glibc's loader.
        compile(
            &CC,
            &dir,
            "libc.so",
            "int dep(void) { return 0; }",
            "-shared -fPIC -nostdlib -Wl,-soname,libc.musl-x86_64.so.1",
        );
        let needing = format!("{{}}/libc.so -Wl,--no-as-needed {flags}/lib64/ld-linux-x86-64.so.2");
        let program =
            compile(&CC, &dir, "a", "int dep(void); void _start(void) { dep(); for (;;) {} }", &needing);
        self.add(
            "glibc's loader for musl",
            program_wheel(&program),
            Repaired("is now `/lib/ld-musl-x86_64.so.1`"),
        );
        let program = compile(&CC, &dir, "a", source, &format!("{flags}/opt/own/loader"));
        self.add(
            "a loader of its own",
            program_wheel(&program),
            Rejected("its program interpreter is `/opt/own/loader`"),
        );
    }

    /// Files that a loader rejects on every machine.
    fn unloadable(&mut self) {
        let program = compile(&CC, self.dir.path(), "a", HELLO, "");
        let word = |at: usize| u64::from_le_bytes(program[at..at + 8].try_into().unwrap());
        let headers = usize::try_from(word(32)).unwrap();
        let count = usize::from(u16::from_le_bytes([program[56], program[57]]));
        let entry = |kind: u32, nth: usize| {
            let entries = (0..count).map(|index| headers + index * 56);
            let found = entries.filter(|at| program[*at..*at + 4] == kind.to_le_bytes()).nth(nth);
            found.expect("there is such a segment")
        };
        let patched = |at: usize, bytes: &[u8]| {
            let mut program = program.clone();
            program[at..at + bytes.len()].copy_from_slice(bytes);
            program_wheel(&program)
        };
        let (interpreter, note, code) = (entry(3, 0), entry(4, 0), entry(1, 1));
        let twice = patched(note, &program[interpreter..interpreter + 56]);
        self.add("two PT_INTERP", twice, Rejected("more than one PT_INTERP"));
        let address = word(code + 16) + 8;
        let misaligned = patched(code + 16, &address.to_le_bytes());
        self.add("misaligned PT_LOAD", misaligned, Rejected("a PT_LOAD segment is misaligned"));
        // DT_DEBUG becomes DT_RELR, as lld writes it without the version.
        let dynamic = entry(2, 0);
        let start = usize::try_from(word(dynamic + 8)).unwrap();
        let debug = (start..).step_by(16).find(|at| program[*at..*at + 8] == 21_u64.to_le_bytes()).unwrap();
        let relr = patched(debug, &36_u64.to_le_bytes());
        self.add("DT_RELR without its version", relr, Rejected("GLIBC_ABI_DT_RELR"));
    }

    /// Libraries of the wheel that are not on the binary's search path.
    fn misplaced(&mut self) {
        let dir = self.dir.path().to_owned();
        let own = compile(
            &CC,
            &dir,
            "libown.so",
            "int own(void) { return 1; }",
            "-shared -fPIC -Wl,-soname,libown.so",
        );
        let source = "int own(void); int use(void) { return own(); }";
        let mut linked = |name: &str, path: &str, place: &str, expect: Expect| {
            let module = compile(
                &CC,
                &dir,
                "use.so",
                source,
                &format!("-shared -fPIC {{}}/libown.so -Wl,-rpath,{path}"),
            );
            let wheel = zip(&members(&[file("sample/use.abi3.so", module), file(place, &own)]));
            self.add(name, wheel, expect);
        };
        let reason = "is in the wheel, but not on the search path";
        linked("RUNPATH to elsewhere", "$ORIGIN/../other.libs", "sample.libs/libown.so", Rejected(reason));
        linked("RUNPATH one level short", "$ORIGIN/sample.libs", "sample.libs/libown.so", Rejected(reason));
        let empty = "RUNPATH `:$ORIGIN/../sample.libs::` is now `$ORIGIN/../sample.libs`";
        linked("empty entries", ":$ORIGIN/../sample.libs::", "sample.libs/libown.so", Repaired(empty));

        let compiler = zig("aarch64-macos.13.0");
        let name = "-shared -Wl,-install_name,@loader_path/../wrong/libown.dylib";
        let own = compile(&compiler, &dir, "libown.dylib", "int own(void) { return 1; }", name);
        let module = compile(&compiler, &dir, "use.dylib", source, "-shared {}/libown.dylib");
        let files = [file("sample/use.abi3.so", module), file("sample/libown.dylib", own)];
        self.add("@loader_path to elsewhere", zip(&members(&files)), Rejected("but not at that path"));
    }

    fn libraries(&mut self) {
        let library = |corpus: &Self, flags: &str| {
            let flags = format!("-shared -fPIC {}", flags.replace("STORE", STORE));
            compile(&CC, corpus.dir.path(), "l.so", "int lib(void) { return 1; }", &flags)
        };
        let at = |name: &str, content: &[u8]| zip(&members(&[file(name, content)]));
        let named = library(self, "-Wl,-soname,STORE-x/lib/l.so");
        self.add("soname", at("sample/l.so", &named), Repaired("is now `l.so`"));
        let shared = library(self, "-Wl,-rpath,STORE-gcc/lib");
        self.add("shared tail", at("sample/l.so", &shared), Repaired("RUNPATH"));
        self.add("no library by its name", at("sample/data.txt", &shared), Repaired("RUNPATH"));
        self.add("versioned name", at("sample.libs/libx.so.1.2", &shared), Repaired("RUNPATH"));
        let filter = library(self, "-Wl,-F,STORE-x/lib/f.so");
        self.add("filter", at("sample/l.so", &filter), Rejected("the loader would still use"));
        let auxiliary = library(self, "-Wl,-f,STORE-x/lib/f.so");
        self.add("auxiliary", at("sample/l.so", &auxiliary), Rejected("the loader would still use"));
    }

    fn damaged(&mut self) {
        let flags = nix_flags("ld-linux-x86-64.so.2");
        let program = compile(&CC, self.dir.path(), "a", HELLO, &flags);
        self.add("only the magic", program_wheel(&program[..4]), Rejected("not an ELF file"));
        self.add("only the header", program_wheel(&program[..64]), Rejected("damaged or cut off"));
        self.add("half", program_wheel(&program[..program.len() / 2]), Rejected("damaged or cut off"));
        let patched = |at: usize, bytes: &[u8]| {
            let mut program = program.clone();
            program[at..at + bytes.len()].copy_from_slice(bytes);
            program_wheel(&program)
        };
        self.add("class", patched(4, &[9]), Rejected("not an ELF file"));
        self.add("program headers far away", patched(32, &[0xff; 8]), Rejected("damaged or cut off"));
        self.add("tiny program headers", patched(54, &[1, 0]), Rejected("the ELF header"));
        self.add("unknown machine", patched(18, &[8, 0]), Rejected("an unsupported machine"));
        let at = memchr::memmem::find(&program, b"/nix/store/").unwrap();
        let end = at + program[at..].iter().position(|byte| *byte == 0).unwrap();
        self.add("interpreter without end", patched(end, b"x"), Rejected("damaged or cut off"));
    }

    fn archives(&mut self) {
        let script = |line: &str| program_wheel(line.replace("STORE", STORE).as_bytes());
        self.add(
            "python script",
            script("#!STORE-python3/bin/python3.12\nx\n"),
            Repaired("is now `#!python`"),
        );
        self.add("bash script", script("#!STORE-bash/bin/bash\nx\n"), Repaired("/usr/bin/env bash"));
        self.add(
            "strict bash script",
            script("#!STORE-bash/bin/bash -e\nx\n"),
            Repaired("is now `#!/bin/bash -e`"),
        );
        self.add(
            "wrapper",
            script("#!/bin/bash -e\nexec -a \"$0\" \"STORE-x/bin/.x-wrapped\" \"$@\"\n"),
            Rejected("executes `exec -a"),
        );
        self.add(
            "Guix script",
            script("#!/gnu/store/x-bash/bin/bash -e\nx\n"),
            Repaired("is now `#!/bin/bash -e`"),
        );
        let command = format!("makeCWrapper '{STORE}-x/bin/x' --inherit-argv0");
        let source = format!(
            "const char *DOCSTRING = \"{command}\";\nint puts(const char *);\nint main(void) {{ return puts(DOCSTRING); }}\n"
        );
        let wrapper = compile(&CC, self.dir.path(), "a", &source, "");
        self.add("binary wrapper", program_wheel(&wrapper), Rejected("(`makeBinaryWrapper`)"));
        self.add(
            "perl script",
            script("#!STORE-perl/bin/perl\nx\n"),
            Rejected("interpreter is in the Nix store"),
        );
        let text = format!("path = '{STORE}-x'\n");
        self.add(
            "store path in a module",
            zip(&members(&[file("a.py", text)])),
            Repaired("mentions the Nix store"),
        );
        let sound = members(&[file("a.py", "x = 1\n")]);
        let mut lies = sound.clone();
        lies[0].content.push(b'#');
        self.add("changed member", zip(&lies), Rejected("RECORD does not match the archive"));
        let mut more = sound.clone();
        more.push(file("b.py", "x = 1\n"));
        self.add("unlisted member", zip(&more), Rejected("`b.py` is in the wheel, but not listed"));
        self.add("missing member", zip(&sound[1..]), Rejected("`a.py` is listed, but not in the wheel"));
        let mut twice = sound.clone();
        twice.push(sound[0].clone());
        self.add("duplicate member", zip(&twice), Rejected("duplicate name"));
        self.add("no metadata", zip(&sound[..1]), Rejected("expected exactly one `METADATA`"));
        let mut link = members(&[file("a.py", "/etc/passwd")]);
        link[0].mode = 0o120_777;
        self.add("symbolic link", zip(&link), Rejected("is a symbolic link"));
        self.add(
            "out of the wheel",
            zip(&members(&[file("../a.py", "")])),
            Rejected("not a path inside the wheel"),
        );
        let whole = zip(&sound);
        self.add("cut archive", whole[..whole.len() - 30].to_vec(), Rejected("cut off"));
        let mut damaged = whole.clone();
        damaged[38] ^= 1;
        self.add("flipped bit", damaged, Rejected("is damaged"));
    }

    fn machos(&mut self) {
        let make = |corpus: &Self, target: &str, symbol: &str, library: &str| {
            program(corpus.dir.path(), &format!("{target}.13.0"), symbol, library)
        };
        let arm = make(self, "aarch64-macos", "iconv_close", "libiconv.2.dylib");
        let intel = make(self, "x86_64-macos", "iconv_close", "libiconv.2.dylib");
        self.add("libiconv, arm64", program_wheel(&arm), Repaired("/usr/lib/libiconv.2.dylib"));
        self.add("libiconv, x86_64", program_wheel(&intel), Repaired("/usr/lib/libiconv.2.dylib"));
        self.add("both in a fat file", program_wheel(&fat(&[&intel, &arm])), Repaired("universal2"));
        self.add(
            "cut fat file",
            program_wheel(&fat(&[&intel, &arm])[..0x5000]),
            Rejected("damaged or cut off"),
        );
        self.add("cut Mach-O", program_wheel(&arm[..600]), Rejected("damaged or cut off"));
        let charset = make(self, "aarch64-macos", "locale_charset", "libcharset.1.dylib");
        self.add("libcharset", program_wheel(&charset), Repaired("/usr/lib/libcharset.1.dylib"));
        let gnu = make(self, "aarch64-macos", "libiconv_open", "libiconv.2.dylib");
        self.add("GNU libiconv", program_wheel(&gnu), Rejected("`_libiconv_open`"));
        let ssl = make(self, "x86_64-macos", "SSL_new", "libssl.3.dylib");
        self.add("libssl", program_wheel(&ssl), Rejected("a library in the Nix store"));
        let dir = self.dir.path();
        let flags = format!("-shared -Wl,-install_name,{STORE}-x/lib/libmine.dylib");
        let own =
            compile(&zig("aarch64-macos.13.0"), dir, "own.dylib", "int own(void) { return 1; }", &flags);
        let wheel = zip(&members(&[file("sample/libmine.dylib", own)]));
        self.add("a library's own name", wheel, Repaired("is now `@rpath/libmine.dylib`"));
        let mut signed = arm.clone();
        let directory = memchr::memmem::rfind(&signed, &[0xfa, 0xde, 0x0c, 0x02]).unwrap();
        signed[directory + 37] = 9;
        self.add("unknown hash in the signature", program_wheel(&signed), Rejected("unknown hash type"));
        let hello = "int main(void) { return 0; }";
        let dir = self.dir.path().to_owned();
        let mut stale = compile(&zig("aarch64-macos.13.0"), &dir, "a", hello, "");
        let middle = 0x4000.min(stale.len() / 2);
        stale[middle] ^= 1;
        self.add(
            "stale signature",
            program_wheel(&stale),
            Repaired("did not match the file and was renewed"),
        );
        let minor = compile(&zig("aarch64-macos.14.2"), &dir, "a", hello, "");
        self.add("a minor version of macOS", program_wheel(&minor), Repaired("-macosx_14_0_arm64.whl"));
        // arm64e is arm64 with authenticated pointers.
        let mut arm64e = arm.clone();
        arm64e[8..12].copy_from_slice(&0x8000_0002_u32.to_le_bytes());
        let three = program_wheel(&fat(&[&intel, &arm, &arm64e]));
        self.add("three slices", three, Repaired("-macosx_13_0_universal2.whl"));
    }
}

/// All variants, each of them broken.
pub(crate) fn variants() -> Vec<Variant> {
    let mut corpus = Corpus { dir: tempfile::tempdir().unwrap(), variants: Vec::new() };
    corpus.elves();
    corpus.foreign_loaders();
    corpus.unloadable();
    corpus.misplaced();
    corpus.libraries();
    corpus.damaged();
    corpus.archives();
    corpus.machos();
    corpus.variants
}

#[test]
fn repairs_or_rejects_every_broken_wheel() {
    let variants = variants();
    assert!(variants.len() >= 40, "{}", variants.len());
    let mut unexpected = Vec::new();
    for (name, wheel, expect) in &variants {
        let found = match repaired(wheel) {
            Err(error) => Err(toolkit::error_report(&error)),
            Ok(done) => {
                check_clean(name, &done.bytes);
                let notes = done.changes.iter().chain(&done.warnings).map(|change| change.what.clone());
                Ok(notes.chain([done.name.to_string()]).collect::<Vec<_>>().join("\n"))
            }
        };
        let right = match (&found, expect) {
            (Ok(found), Repaired(expected)) | (Err(found), Rejected(expected)) => found.contains(expected),
            _ => false,
        };
        if !right {
            unexpected.push(format!("{name}: {found:?}"));
        }
    }
    assert!(unexpected.is_empty(), "of {} variants:\n{}", variants.len(), unexpected.join("\n"));
}

/// Checks the file with a third-party parser.
pub(crate) fn check_clean(variant: &str, wheel: &[u8]) {
    let archive = Archive::open(wheel, &Limits::default()).unwrap();
    assert_eq!(archive.faults, [], "{variant}");
    assert_eq!(store_path(wheel), None, "{variant}");
}

/// The first store path in a field that a loader reads.
pub(crate) fn store_path(wheel: &[u8]) -> Option<String> {
    let archive = Archive::open(wheel, &Limits::default()).unwrap();
    let members = archive.members.iter().filter(|member| !member.is_dir());
    members.map(|member| member.content(wheel, u64::MAX).unwrap()).find_map(|content| {
        let mut fields = Vec::new();
        if let Ok(facts) = ElfInfo::read(content.as_slice()) {
            fields.extend(facts.search_paths().map(str::to_owned));
            fields.extend(facts.interpreter().into_iter().chain(facts.needed()).map(str::to_owned));
            fields.extend(facts.soname().map(str::to_owned));
        } else if let Ok(facts) = MachOInfo::read(content.as_slice()) {
            for slice in facts.slices {
                fields.extend(slice.dylibs().map(|dylib| dylib.path.to_owned()));
                fields.extend(slice.rpaths().chain(slice.id()).map(str::to_owned));
            }
        } else {
            let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            fields.extend(Some(line).filter(|line| line.starts_with("#!")));
        }
        fields.into_iter().find(|field| field.contains("/nix/store/"))
    })
}
