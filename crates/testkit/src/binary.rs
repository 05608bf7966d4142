//! Minimal programs and libraries for wheels in tests.

/// A 64-bit ELF file that contains only what its loader reads.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is an independent error")]
pub struct Elf {
    /// `e_machine`; 62 is x86-64.
    pub machine: u16,
    /// `PT_INTERP`.
    pub interpreter: Option<String>,
    /// `DT_NEEDED`.
    pub needed: Vec<String>,
    /// `DT_RUNPATH`.
    pub runpath: Option<String>,
    /// A library and a symbol version that is required from it.
    pub version: Option<(String, String)>,
    /// An undefined symbol.
    pub undefined: Option<String>,
    /// A defined symbol.
    pub defined: Option<String>,
    /// An executable stack.
    pub exec_stack: bool,
    /// Whether it has a `PT_GNU_STACK` header.
    pub says_stack: bool,
    /// `DT_TEXTREL`.
    pub text_relocations: bool,
    /// `ET_EXEC` without a dynamic section.
    pub is_static: bool,
}

impl Default for Elf {
    fn default() -> Self {
        Self {
            machine: 62,
            interpreter: None,
            needed: vec!["libc.so.6".into()],
            runpath: None,
            version: Some(("libc.so.6".into(), "GLIBC_2.14".into())),
            undefined: None,
            defined: Some("PyInit_core".into()),
            exec_stack: false,
            says_stack: true,
            text_relocations: false,
            is_static: false,
        }
    }
}

impl Elf {
    /// The bytes of the file: headers, then tables. Addresses equal file offsets.
    pub fn bytes(&self) -> Vec<u8> {
        let mut names = vec![0];
        let mut name = |text: &str| {
            let at = names.len() as u64;
            names.extend(text.as_bytes());
            names.push(0);
            at
        };
        let mut dynamic: Vec<(u64, u64)> = self.needed.iter().map(|library| (1, name(library))).collect();
        dynamic.extend(self.runpath.as_ref().map(|path| (29, name(path))));
        let (versions, symbols) = (self.versions(&mut name), self.symbols(&mut name));
        let headers = 64 + 56 * 4;
        let interpreter = self.interpreter.clone().map(|path| path + "\0").unwrap_or_default().into_bytes();
        let names_at = headers + interpreter.len() as u64;
        let versions_at = names_at + names.len() as u64;
        let hash_at = versions_at + versions.len() as u64;
        let symbols_at = hash_at + 8;
        let dynamic_at = symbols_at + symbols.len() as u64;
        dynamic.extend([(5, names_at), (10, names.len() as u64), (6, symbols_at), (4, hash_at)]);
        if self.version.is_some() {
            dynamic.extend([(0x6fff_fffe, versions_at), (0x6fff_ffff, 1)]);
        }
        if self.text_relocations {
            dynamic.push((22, 0));
        }
        dynamic.push((0, 0));
        let size = dynamic_at + dynamic.len() as u64 * 16;
        let interpreter_kind = if interpreter.is_empty() { 0 } else { 3 };
        let stack = if self.exec_stack { 7 } else { 6 };
        let mut out = self.header();
        for (kind, flags, at, length) in [
            (1u32, 5u32, 0, size),
            (if self.is_static { 0 } else { 2 }, 6, dynamic_at, dynamic.len() as u64 * 16),
            (interpreter_kind, 4, headers, interpreter.len() as u64),
            (if self.says_stack { 0x6474_e551 } else { 0 }, stack, 0, 0),
        ] {
            out.extend(kind.to_le_bytes());
            out.extend(flags.to_le_bytes());
            // glibc maps only segments that are aligned to pages.
            let align = if kind == 1 { 4096 } else { 8 };
            for value in [at, at, at, length, length, align] {
                out.extend(value.to_le_bytes());
            }
        }
        out.extend(interpreter);
        out.extend(&names);
        out.extend(versions);
        out.extend(1u32.to_le_bytes());
        out.extend(u32::try_from(symbols.len() / 24).unwrap_or_default().to_le_bytes());
        out.extend(symbols);
        for (tag, value) in dynamic {
            out.extend(tag.to_le_bytes());
            out.extend(value.to_le_bytes());
        }
        out
    }

    /// `.gnu.version_r`; `name` adds to the string table.
    fn versions(&self, name: &mut impl FnMut(&str) -> u64) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some((library, version)) = &self.version {
            for (value, wide) in [(1, false), (1, false), (name(library), true), (16, true), (0, true)] {
                push(&mut out, value, wide);
            }
            for (value, wide) in [(0, true), (0, false), (2, false), (name(version), true), (0, true)] {
                push(&mut out, value, wide);
            }
        }
        out
    }

    /// `.dynsym`; `name` adds to the string table.
    fn symbols(&self, name: &mut impl FnMut(&str) -> u64) -> Vec<u8> {
        let mut out = vec![0; 24];
        // Undefined, then defined.
        for (symbol, section) in [(&self.undefined, 0), (&self.defined, 1)] {
            if let Some(symbol) = symbol {
                push(&mut out, name(symbol), true);
                out.extend([0x12, 0, section, 0]);
                out.extend([0; 16]);
            }
        }
        out
    }

    /// The file header, before four program headers.
    fn header(&self) -> Vec<u8> {
        let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        out.extend([if self.is_static { 2 } else { 3 }, 0]);
        out.extend(self.machine.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        for value in [0u64, 64, 0] {
            out.extend(value.to_le_bytes());
        }
        out.extend(0u32.to_le_bytes());
        for value in [64u16, 56, 4, 64, 0, 0] {
            out.extend(value.to_le_bytes());
        }
        out
    }
}

fn push(into: &mut Vec<u8>, value: u64, wide: bool) {
    let bytes = value.to_le_bytes();
    into.extend(&bytes[..if wide { 4 } else { 2 }]);
}

/// A thin Mach-O executable for macOS.
#[derive(Debug, Clone)]
pub struct MachO {
    /// `cputype`: 0x0100000c is arm64, 0x01000007 x86-64.
    pub cpu: u32,
    /// The minimum macOS version, (major, minor).
    pub minimum: (u32, u32),
    /// The loaded libraries.
    pub dylibs: Vec<String>,
    /// Whether it has a code signature.
    pub signed: bool,
    /// `LC_RPATH`.
    pub rpaths: Vec<String>,
    /// `LC_BUILD_VERSION`'s platform; 1 is macOS.
    pub platform: u32,
    /// `cpusubtype`; 2 of arm64 is arm64e.
    pub subtype: u32,
    /// `filetype`: 2 is a program, 6 a library, 8 a bundle.
    pub file_type: u32,
    /// An exported symbol.
    pub exported: Option<String>,
}

impl Default for MachO {
    fn default() -> Self {
        Self {
            cpu: 0x0100_000c,
            minimum: (11, 0),
            dylibs: vec!["/usr/lib/libSystem.B.dylib".into()],
            signed: true,
            rpaths: Vec::new(),
            platform: 1,
            subtype: 0,
            file_type: 2,
            exported: None,
        }
    }
}

impl MachO {
    /// The bytes of the file: header and load commands.
    pub fn bytes(&self) -> Vec<u8> {
        let mut commands: Vec<Vec<u32>> =
            vec![vec![0x32, 24, self.platform, (self.minimum.0 << 16) | (self.minimum.1 << 8), 0, 0]];
        let mut command = |head: &[u32], path: &str| {
            let mut text = path.to_owned().into_bytes();
            text.resize((text.len() + 8) / 8 * 8, 0);
            let words =
                text.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
            let mut command: Vec<u32> = head.iter().copied().chain(words).collect();
            command[1] = u32::try_from(command.len() * 4).unwrap_or_default();
            commands.push(command);
        };
        for path in &self.dylibs {
            command(&[0xc, 0, 24, 0, 0, 0], path);
        }
        for path in &self.rpaths {
            command(&[0x8000_001c, 0, 12], path);
        }
        if self.signed {
            commands.push(vec![0x1d, 16, 0, 0]);
        }
        // The symbol table follows the load commands: one entry, then its name.
        let name = self.exported.as_ref().map(|name| format!("\0_{name}\0").into_bytes()).unwrap_or_default();
        if self.exported.is_some() {
            let at = 32 + 4 * (commands.iter().map(Vec::len).sum::<usize>() + 6);
            let number = |value: usize| u32::try_from(value).unwrap_or_default();
            commands.push(vec![0x2, 24, number(at), 1, number(at + 16), number(name.len())]);
        }
        let count = u32::try_from(commands.len()).unwrap_or_default();
        let mut body: Vec<u32> = commands.concat();
        let size = u32::try_from(body.len() * 4).unwrap_or_default();
        if self.exported.is_some() {
            // Section 1, external.
            body.extend([1, 0x010f, 0, 0]);
        }
        let header = [0xfeed_facf, self.cpu, self.subtype, self.file_type, count, size, 0, 0];
        header.into_iter().chain(body).flat_map(u32::to_le_bytes).chain(name).collect()
    }
}
