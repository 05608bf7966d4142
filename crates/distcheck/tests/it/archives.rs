//! Archives with every byte of a record changed, compared with PyPI's decisions:
//! nothing that PyPI rejects passes here.

use distcheck::{Selection, Set, Severity, check};
use serde_json::{Value, json};
use testkit::wheel::{Member, Wheel, zip};

use crate::kit::scan_files;

/// The rules of Warehouse of August 2026 for the archive of a wheel, rewritten:
/// Python's own reader must open it; the methods are stored and deflated;
/// `WHEEL` and `RECORD` must be readable, the latter as CSV without an empty row;
/// and a walk over all records from the start must find local headers, then the
/// central directory, then the end, with nothing between or after them, every
/// name once on both sides, and equal sizes (`forklift/legacy.py`,
/// `utils/zipfiles.py`, `utils/wheel.py`).
const ARCHIVES: &str = r#"
import base64, csv, io, json, struct, sys, zipfile

class Refused(Exception):
    pass

class Records:
    def __init__(self, data, sizes):
        self.data, self.at, self.sizes = data, 0, sizes
        self.locals, self.central = [], []
        self.start = self.end64 = self.locator = None
        self.length = 0

    def take(self, count):
        part = self.data[self.at : self.at + count]
        if len(part) != count:
            raise Refused("cut off")
        self.at += count
        return part

    def name(self, size):
        name = self.take(size)
        if any(byte < 32 or byte == 127 for byte in name):
            raise Refused("unprintable name")
        return name

    def walk(self):
        kinds = {0x04034B50: self.local, 0x02014B50: self.entry, 0x06064B50: self.wide_end, 0x07064B50: self.locate}
        while True:
            at = self.at
            (kind,) = struct.unpack("<L", self.take(4))
            if kind == 0x06054B50:
                return self.finish(at)
            if kind not in kinds:
                raise Refused("unknown record")
            kinds[kind](at)

    def local(self, at):
        flags, method, packed, size, name, extra = struct.unpack("<2xHH8xLLHH", self.take(26))
        name, extra = self.name(name), self.take(extra)
        packed, size = self.extras(extra, method, packed, size)
        if flags & 8:
            raise Refused("data descriptor")
        try:
            text = name.decode()
        except UnicodeError:
            raise Refused("name is not UTF-8")
        if self.sizes.get(text) != (packed, size):
            raise Refused("sizes or name of the local header")
        self.at += packed
        if name in self.locals:
            raise Refused("local name twice")
        self.locals.append(name)

    def extras(self, extra, method, packed, size):
        seen, full = set(), 0xFFFFFFFF
        while extra:
            if len(extra) < 4:
                raise Refused("extra field cut off")
            kind, length = struct.unpack("<HH", extra[:4])
            body, extra = extra[4 : 4 + length], extra[4 + length :]
            if len(body) != length or (kind in seen and kind in (1, 0x7075)):
                raise Refused("extra field cut off or twice")
            seen.add(kind)
            if kind == 1:
                if length not in (0, 8, 16, 24, 28) or (length == 8 and method) or (not length and full in (packed, size)):
                    raise Refused("zip64 field")
                numbers = struct.unpack(f"<{min(length // 8, 2)}Q", body[:16])
                if numbers:
                    size = numbers[0] if size == full else size
                    packed = numbers[-1]
            if kind == 0x7075:
                try:
                    name = body[5:].decode()
                except UnicodeError:
                    raise Refused("Unicode Path is not UTF-8")
                if any(ord(c) < 32 or ord(c) == 127 for c in name):
                    raise Refused("Unicode Path is unprintable")
        return packed, size

    def entry(self, at):
        self.start = at if self.start is None else self.start
        name, extra, comment = struct.unpack("<24xHHH12x", self.take(42))
        if comment:
            raise Refused("comment")
        name = self.name(name)
        self.take(extra)
        self.length += 46 + len(name) + extra
        if name in self.central or name not in self.locals:
            raise Refused("central name twice or without local header")
        self.central.append(name)

    def wide_end(self, at):
        size, here, count, length, start = struct.unpack("<Q12xQQQQ", self.take(52))
        if here != count or size != 44:
            raise Refused("zip64 end record")
        self.end64 = (count, length, start)

    def locate(self, at):
        self.locator = self.take(16)

    def finish(self, at):
        if self.end64 and not self.locator:
            raise Refused("no zip64 locator")
        here, count, length, start, comment = struct.unpack("<4xHHLLH", self.take(18))
        if here != count:
            raise Refused("two counts")
        if self.end64:
            count, length, start = self.end64
        self.at += comment
        found = (len(self.central), self.length, at if self.start is None else self.start)
        if (count, length, start) != found or set(self.central) != set(self.locals) or self.at != len(self.data):
            raise Refused("end record")

def fault(data):
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        if any(info.compress_type not in (0, 8) for info in archive.infolist()):
            return "method"
        archive.read("sample-1.0.dist-info/WHEEL")
        archive.read("sample-1.0.dist-info/METADATA")
        record = archive.read("sample-1.0.dist-info/RECORD").decode()
        if not all(csv.reader(record.splitlines())):
            return "empty line in RECORD"
        Records(data, {i.orig_filename: (i.compress_size, i.file_size) for i in archive.infolist()}).walk()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None

print(json.dumps([fault(base64.b64decode(data)) for data in json.load(open(sys.argv[1]))]))
"#;

/// The archive with a zip64 end record and its locator before the end record.
fn wide(bytes: &[u8]) -> Vec<u8> {
    let (records, end) = bytes.split_at(bytes.len() - 22);
    let number = |at: usize, size: usize| {
        let mut wide = [0; 8];
        wide[..size].copy_from_slice(&end[at..at + size]);
        wide
    };
    let mut out = records.to_vec();
    out.extend(b"PK\x06\x06");
    out.extend(44_u64.to_le_bytes());
    out.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for value in [number(10, 2), number(10, 2), number(12, 4), number(16, 4)] {
        out.extend(value);
    }
    out.extend(b"PK\x06\x07\0\0\0\0");
    out.extend((records.len() as u64).to_le_bytes());
    out.extend([1, 0, 0, 0]);
    out.extend(end);
    out
}

/// A small wheel whose first member has a zip64 field and a Unicode Path.
fn base() -> Vec<u8> {
    let mut members = Wheel::sample("py3-none-any").finished();
    let name = "sample/__init__.py";
    let mut sum = flate2::Crc::new();
    sum.update(name.as_bytes());
    let path = [&[1][..], &sum.sum().to_le_bytes(), name.as_bytes()].concat();
    let field = |id: u16, body: &[u8]| {
        [&id.to_le_bytes()[..], &u16::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
    };
    let sizes = [6_u64.to_le_bytes(), 6_u64.to_le_bytes()].concat();
    members[0].extra = [field(1, &sizes), field(0x7075, &path)].concat();
    zip(&members)
}

/// The offsets of all bytes that are not a member's data.
fn records(bytes: &[u8]) -> Vec<usize> {
    let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let mut places = Vec::new();
    let mut at = 0;
    while bytes[at..].starts_with(b"PK\x03\x04") {
        let header = 30 + word(at + 26) + word(at + 28);
        places.extend(at..at + header);
        at += header + word(at + 18);
    }
    places.extend(at..bytes.len());
    places
}

/// Variants with every byte of a record changed, and with records removed and
/// duplicated.
fn variants(bytes: &[u8], values: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for at in records(bytes) {
        for change in values {
            let mut copy = bytes.to_vec();
            copy[at] = if *change < 3 { copy[at].wrapping_add(*change) } else { *change };
            if copy != bytes {
                out.push(copy);
            }
        }
    }
    out
}

fn edited(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let end = bytes.len() - 22;
    for more in [&b"PK"[..], b"PK\x05\x05\0\0", &[0; 4]] {
        for at in [0, end, bytes.len()] {
            out.push([&bytes[..at], more, &bytes[at..]].concat());
        }
    }
    out.push([bytes, &bytes[end..]].concat());
    let comment = [&bytes[..bytes.len() - 2], &[3, 0], b"PK!"].concat();
    out.extend([comment.clone(), [&comment[..], b"x"].concat()]);
    out
}

fn record_of(text: &str) -> Vec<u8> {
    let mut members = Wheel::sample("py3-none-any").finished();
    let last = members.last_mut().unwrap();
    let own = String::from_utf8(last.data.clone()).unwrap();
    last.data = text.replace("OWN", &own).into_bytes();
    zip(&members)
}

/// Whether the gate rejects each archive.
fn rejected(archives: &[Vec<u8>]) -> Vec<bool> {
    let decide = |bytes: &Vec<u8>| {
        let dists = scan_files(&[("sample-1.0-py3-none-any.whl".to_owned(), bytes.clone())]);
        let verdict = check(&Set { dists: &dists, ..Set::default() }, &Selection::Gate);
        verdict.findings.iter().any(|finding| finding.severity == Severity::Error)
    };
    archives.iter().map(decide).collect()
}

fn compare(archives: &[Vec<u8>]) {
    use base64::Engine as _;
    let encoded: Vec<String> =
        archives.iter().map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes)).collect();
    let theirs = testkit::tools::python(ARCHIVES, &json!(encoded));
    let theirs: Vec<&Value> = theirs.as_array().unwrap().iter().collect();
    assert!(theirs.iter().any(|fault| fault.is_null()) && theirs.iter().any(|fault| fault.is_string()));
    let mut passed: Vec<String> = Vec::new();
    for ((bytes, theirs), ours) in archives.iter().zip(theirs).zip(rejected(archives)) {
        if let (Some(why), false) = (theirs.as_str(), ours) {
            let base = [base(), wide(&base())].into_iter().find(|base| base.len() == bytes.len());
            let at = base.and_then(|base| base.iter().zip(bytes).position(|(a, b)| a != b));
            passed.push(format!("{why} (byte {at:?} of {})", bytes.len()));
        }
    }
    assert!(passed.is_empty(), "{} of {}:\n{}", passed.len(), archives.len(), passed.join("\n"));
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn rejects_generated_archives_that_pypi_rejects() {
    let base = base();
    let mut archives = vec![base.clone(), wide(&base)];
    archives.extend(variants(&base, &[1, 0xff]));
    archives.extend(edited(&base).into_iter().chain(edited(&wide(&base))));
    let wide = wide(&base);
    let start = base.len() - 22;
    let tail =
        variants(&wide, &[1, 2, 4, 8, 0xff]).into_iter().filter(|bytes| bytes[..start] == base[..start]);
    archives.extend(tail);
    for text in [
        "",
        "\n",
        "OWN\n",
        "\nOWN",
        "OWN\u{fffd}",
        "\u{0}",
        "OWN\r\n\r\n",
        "a,,\n",
        "OWNOWN",
        "\"a\nb\",,\nOWN",
    ] {
        archives.push(record_of(text));
    }
    let members = Wheel::sample("py3-none-any").finished();
    for left_out in 0..members.len() {
        let mut members = members.clone();
        members.remove(left_out);
        archives.push(zip(&members));
    }
    let mut doubled = members;
    doubled.push(Member::new("sample/__init__.py", "x = 1\n"));
    archives.push(zip(&doubled));
    compare(&archives);
}

#[test]
#[ignore = "soak: every byte with twelve values"]
fn rejects_archives_that_pypi_rejects_for_every_byte() {
    let values = [1, 2, 3, 4, 7, 8, 16, 32, 63, 64, 127, 255];
    compare(&variants(&base(), &values));
    compare(&variants(&wide(&base()), &values));
}
