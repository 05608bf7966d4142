//! PE files byte by byte.

/// A PE file that contains only its imports, exports and other tables: 32-bit for x86,
/// otherwise 64-bit.
#[derive(Debug, Clone)]
pub struct Pe {
    /// `Machine`: 0x8664 is amd64, 0x014c x86, 0xaa64 arm64.
    pub machine: u16,
    /// A library, not a program.
    pub is_dll: bool,
    /// Imported libraries with their symbols.
    pub imports: Vec<(String, Vec<String>)>,
    /// Whether `OriginalFirstThunk` leads to the names of the symbols; otherwise only
    /// `FirstThunk` does, as with Borland's linker.
    pub has_lookup_table: bool,
    /// Libraries that are loaded on first use, with their symbols.
    pub delayed: Vec<(String, Vec<String>)>,
    /// Where the file is loaded, if its descriptors for delayed loading hold addresses in
    /// memory, as old linkers write them.
    pub delay_base: Option<u32>,
    /// The exported names.
    pub exports: Vec<String>,
    /// The version of the file.
    pub version: Option<[u16; 4]>,
    /// Whether it has ARM64 code beside that for x64 (ARM64EC, ARM64X).
    pub is_hybrid: bool,
    /// The flags of a .NET assembly's header: 1 is `ILONLY`, 2 is `32BITREQUIRED`.
    pub managed: Option<u32>,
    /// `NumberOfRvaAndSizes`: how many of the 16 data directories Windows reads.
    pub directories: u32,
}

impl Default for Pe {
    fn default() -> Self {
        Self {
            machine: 0x8664,
            is_dll: true,
            imports: vec![("python3.dll".into(), vec!["PyLong_FromLong".into()])],
            has_lookup_table: true,
            delayed: Vec::new(),
            delay_base: None,
            exports: vec!["PyInit_core".into()],
            version: None,
            is_hybrid: false,
            managed: None,
            directories: 16,
        }
    }
}

/// The only section of the file.
#[derive(Default)]
struct Section(Vec<u8>);

impl Section {
    const ADDRESS: u32 = 0x1000;

    fn size(&self) -> u32 {
        u32::try_from(self.0.len()).expect("tests use small files")
    }

    /// Appends bytes; returns their address.
    fn put(&mut self, bytes: &[u8]) -> u32 {
        let address = Self::ADDRESS + self.size();
        self.0.extend(bytes);
        address
    }

    fn put_text(&mut self, text: &str) -> u32 {
        self.put(&[text.as_bytes(), &[0]].concat())
    }

    fn put_numbers(&mut self, numbers: &[u32]) -> u32 {
        self.put(&numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Appends the names of symbols and the list that leads to them.
    fn put_thunks(&mut self, symbols: &[String], base: u32, is_64: bool) -> u32 {
        // Each name follows two bytes with a hint.
        let thunk =
            |symbol: &String| u64::from(base + self.put(&[&[0, 0], symbol.as_bytes(), &[0]].concat()));
        let thunks: Vec<u64> = symbols.iter().map(thunk).chain([0]).collect();
        let width = if is_64 { 8 } else { 4 };
        self.put(&thunks.iter().flat_map(|thunk| thunk.to_le_bytes()[..width].to_vec()).collect::<Vec<_>>())
    }
}

impl Pe {
    fn is_64(&self) -> bool {
        self.machine != 0x014c
    }

    /// The bytes of the file: headers, then one section with the tables.
    pub fn bytes(&self) -> Vec<u8> {
        let mut section = Section::default();
        let mut directories = [[0; 2]; 16];
        directories[0] = [self.put_exports(&mut section), 40];
        directories[1] = [self.put_imports(&mut section), 40];
        if let Some(version) = self.version {
            directories[2] = [put_version(&mut section, version), 16];
        }
        if self.is_hybrid {
            // The load configuration, which ends with the pointer to the ARM64 metadata.
            let mut configuration = vec![0; 52];
            (configuration[0], configuration[50]) = (208, 1);
            directories[10] = [section.put_numbers(&configuration), 208];
        }
        if let Some(flags) = self.managed {
            let mut header = [0; 18];
            (header[0], header[4]) = (72, flags);
            directories[14] = [section.put_numbers(&header), 72];
        }
        if !self.delayed.is_empty() {
            directories[13] = [self.put_delayed(&mut section), 64];
        }

        let mut out = b"MZ".to_vec();
        out.resize(60, 0);
        out.extend(64u32.to_le_bytes());
        out.extend(b"PE\0\0");
        let optional = self.optional_header(&directories);
        let size = u16::try_from(optional.len()).expect("it has 240 bytes at most");
        let flags = if self.is_dll { 0x2022 } else { 0x22 };
        for value in [self.machine, 1, 0, 0, 0, 0, 0, 0, size, flags] {
            out.extend(value.to_le_bytes());
        }
        out.extend(optional);
        out.extend(b".idata\0\0");
        let table = [section.size(), Section::ADDRESS, section.size(), 512, 0, 0, 0, 0x4000_0040];
        out.extend(table.into_iter().flat_map(u32::to_le_bytes));
        out.resize(512, 0);
        out.extend(section.0);
        out
    }

    fn optional_header(&self, directories: &[[u32; 2]; 16]) -> Vec<u8> {
        let (magic, base_at, count_at) = if self.is_64() { (0x20bu16, 24, 108) } else { (0x10b, 28, 92) };
        let mut header = magic.to_le_bytes().to_vec();
        // Alignment of sections and in the file.
        for (at, value) in [
            (base_at, self.delay_base.unwrap_or_default()),
            (32, 0x1000),
            (36, 512),
            (count_at, self.directories),
        ] {
            header.resize(at, 0);
            header.extend(u32::to_le_bytes(value));
        }
        header.extend(directories.iter().flatten().copied().flat_map(u32::to_le_bytes));
        header
    }

    fn put_imports(&self, section: &mut Section) -> u32 {
        let mut descriptors = Vec::new();
        for (library, symbols) in &self.imports {
            let thunks = section.put_thunks(symbols, 0, self.is_64());
            let lookup = if self.has_lookup_table { thunks } else { 0 };
            descriptors.extend([lookup, 0, 0, section.put_text(library), thunks]);
        }
        descriptors.extend([0; 5]);
        section.put_numbers(&descriptors)
    }

    fn put_delayed(&self, section: &mut Section) -> u32 {
        let base = self.delay_base.unwrap_or_default();
        let mut descriptors = Vec::new();
        for (library, symbols) in &self.delayed {
            let thunks = base + section.put_thunks(symbols, base, self.is_64());
            let name = base + section.put_text(library);
            descriptors.extend([u32::from(self.delay_base.is_none()), name, 0, thunks, thunks, 0, 0, 0]);
        }
        descriptors.extend([0; 8]);
        section.put_numbers(&descriptors)
    }

    fn put_exports(&self, section: &mut Section) -> u32 {
        let names: Vec<u32> = self.exports.iter().map(|name| section.put_text(name)).collect();
        let table = section.put_numbers(&names);
        let count = u32::try_from(names.len()).expect("tests use few names");
        section.put_numbers(&[0, 0, 0, 0, 1, count, count, 0, table, 0])
    }
}

/// Appends a version resource: tables for its type, name and language, its place, and the
/// fixed part of it.
fn put_version(section: &mut Section, version: [u16; 4]) -> u32 {
    const IS_TABLE: u32 = 0x8000_0000;
    let root = Section::ADDRESS + section.size();
    for (id, to) in [(16, IS_TABLE + 24), (1, IS_TABLE + 48), (1033, 72)] {
        section.put_numbers(&[0, 0, 0, 1 << 16, id, to]);
    }
    section.put_numbers(&[root + 88, 92, 0, 0]);
    section.put(&[92, 0, 52, 0, 0, 0]);
    section.put(&"VS_VERSION_INFO\0\0".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>());
    let [major, minor, build, revision] = version.map(u32::from);
    section.put_numbers(&[0xfeef_04bd, 0x1_0000, major << 16 | minor, build << 16 | revision]);
    section.put_numbers(&[0; 9]);
    root
}
