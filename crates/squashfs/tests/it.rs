//! Images that are written and read again, by this crate and by the kernel; and
//! images that were damaged or made to deceive.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{self, Cursor};

use proptest::prelude::*;
use squashfs::{Directory, Image, Inode, Owner, Source, Writer};

const OWNER: Owner = Owner { uid: 1001, gid: 127 };

/// A tree as a flat list: `None` opens or closes a directory.
#[derive(Debug, Clone)]
enum Node {
    Directory(BTreeMap<String, Node>),
    File(bool, Vec<u8>),
    Link(String),
}

fn write(writer: &mut Writer<Cursor<Vec<u8>>>, name: &str, node: &Node) {
    let name = name.as_bytes();
    match node {
        Node::File(executable, content) => writer.file(name, *executable, &content[..]).unwrap(),
        Node::Link(target) => writer.link(name, target.as_bytes()).unwrap(),
        Node::Directory(nodes) => {
            writer.directory(name).unwrap();
            for (name, node) in nodes {
                write(writer, name, node);
            }
            writer.end().unwrap();
        }
    }
}

fn image(root: &BTreeMap<String, Node>) -> Vec<u8> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), OWNER, 3).unwrap();
    for (name, node) in root {
        write(&mut writer, name, node);
    }
    writer.finish().unwrap().0.into_inner()
}

/// All of a directory.
fn read<S: Source + ?Sized>(
    image: &mut Image<'_, S>,
    directory: Option<Directory>,
) -> io::Result<BTreeMap<String, Node>> {
    let entries = match directory {
        None => image.root()?,
        Some(directory) => image.list(&directory)?,
    };
    let mut nodes = BTreeMap::new();
    for entry in entries {
        let node = match image.inode(&entry)? {
            Inode::Directory(directory) => Node::Directory(read(image, Some(directory))?),
            Inode::Link(target) => Node::Link(String::from_utf8_lossy(&target).into_owned()),
            Inode::File(file) => {
                let mut content = Vec::new();
                image.content(&file, |piece| {
                    content.extend(piece);
                    Ok(())
                })?;
                assert_eq!(content.len() as u64, file.size);
                Node::File(file.executable, content)
            }
        };
        nodes.insert(String::from_utf8_lossy(&entry.name).into_owned(), node);
    }
    Ok(nodes)
}

fn read_all(bytes: &[u8]) -> io::Result<BTreeMap<String, Node>> {
    let mut image = Image::open(bytes)?;
    image.largest = 16 << 20;
    read(&mut image, None)
}

fn text(nodes: &BTreeMap<String, Node>) -> String {
    format!("{nodes:?}")
}

/// Bytes that do not compress, and that do.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        if at.is_multiple_of(3) { b'x' } else { (state >> 24) as u8 }
    };
    (0..length).map(&mut next).collect()
}

fn sample() -> BTreeMap<String, Node> {
    let file = |length| Node::File(length % 2 == 1, content(length));
    let many = (0..3000).map(|n| (format!("name-{n:05}"), file(n % 50))).collect();
    let sizes = [0, 1, 100, 262_143, 262_144, 262_145, 524_288, 1_000_001];
    let sizes = sizes.iter().map(|size| (format!("size-{size:09}"), file(*size))).collect();
    let deep = (0..60).fold(Node::Link("../target".into()), |node, n| {
        Node::Directory(BTreeMap::from([(format!("deep-{n}"), node)]))
    });
    BTreeMap::from([
        ("a-many".into(), Node::Directory(many)),
        ("b-sizes".into(), Node::Directory(sizes)),
        ("c-deep".into(), deep),
        ("d-empty".into(), Node::Directory(BTreeMap::new())),
        ("e-file".into(), file(7)),
        ("f-zeros".into(), Node::File(false, vec![0; 700_000])),
    ])
}

#[test]
fn what_is_written_is_read() {
    let sample = sample();
    let bytes = image(&sample);
    assert_eq!(bytes.len() % 4096, 0);
    assert_eq!(text(&read_all(&bytes).unwrap()), text(&sample));
    assert!(Image::open(&bytes[..]).unwrap().check().unwrap() > 3000);
    assert_eq!(image(&sample), bytes, "the same tree, the same image");
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn the_kernel_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("image");
    std::fs::write(&file, image(&sample())).unwrap();
    let script = r"mkdir mounted && mount -t squashfs -o loop,ro image mounted && cd mounted &&
        find . -type f -printf '%p %s %m %U %G ' -exec sha256sum '{}' ';' | sort &&
        find . -type d -printf '%p %m %U\n' | sort && find . -type l -printf '%p %l\n'";
    let mut command = testkit::tools::command("unshare");
    let output = command.args(["-m", "sh", "-euc", script]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("./d-empty 555 1001") && listed.contains(" ../target"));
    assert!(listed.contains("./b-sizes/size-001000001 1000001 555 1001 127 "), "{listed:.1000}");
    assert_eq!(listed.lines().filter(|line| line.starts_with("./a-many/")).count(), 3000);
    // The same content, file by file.
    let plain = tempfile::tempdir().unwrap();
    for (name, node) in [("x", content(1_000_001)), ("y", vec![0; 700_000])] {
        std::fs::write(plain.path().join(name), node).unwrap();
    }
    let sums =
        testkit::tools::command("sha256sum").args(["x", "y"]).current_dir(plain.path()).output().unwrap();
    for sum in String::from_utf8(sums.stdout).unwrap().lines() {
        assert!(listed.contains(&sum[..64]), "{sum}");
    }
}

/// By its number, Nix knows that a path is already a link to another.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn an_overlay_keeps_the_number_of_a_file_that_it_copies() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("image"), image(&sample())).unwrap();
    let script = "mkdir lower upper work over && mount -t squashfs -o loop,ro image lower &&
        mount -t overlay -o redirect_dir=on,lowerdir=lower,upperdir=upper,workdir=work none over && cd over &&
        before=$(stat -c %i e-file) && ln e-file link &&
        test $before = $(stat -c %i e-file) && test $before = $(stat -c %i link)";
    let mut command = testkit::tools::command("unshare");
    let output = command.args(["-m", "sh", "-euc", script]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_name_that_leads_elsewhere_is_not_written() {
    for name in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
        let mut writer = Writer::new(Cursor::new(Vec::new()), OWNER, 3).unwrap();
        assert!(writer.file(name.as_bytes(), false, io::empty()).is_err(), "{name}");
    }
    let mut writer = Writer::new(Cursor::new(Vec::new()), OWNER, 3).unwrap();
    writer.link(b"b", b"x").unwrap();
    assert!(writer.link(b"a", b"x").is_err() && writer.link(b"b", b"x").is_err() && writer.end().is_err());
}

/// An image without the zeros at its end, so that its last bytes are its tables.
fn plain(root: &BTreeMap<String, Node>) -> Vec<u8> {
    let mut bytes = image(root);
    bytes.truncate(number(&bytes, 40));
    bytes
}

/// A number of the superblock.
fn number(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

fn position(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).rposition(|window| window == wanted).unwrap()
}

fn refused(bytes: &[u8], why: &str) {
    let error = read_all(bytes).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert!(error.to_string().contains(why), "expected `{why}`, found `{error}`");
    assert!(Image::open(bytes).and_then(|mut image| image.check()).is_err(), "{why}");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let root = BTreeMap::from([
        ("abc".to_owned(), Node::File(false, b"1".to_vec())),
        ("abd".to_owned(), Node::File(false, b"2".to_vec())),
    ]);
    let sound = plain(&root);
    assert_eq!(text(&read_all(&sound).unwrap()), text(&root));
    for name in [&b"a/c"[..], b"/bc", b"a\0c"] {
        let mut bytes = sound.clone();
        let at = position(&bytes, b"abc");
        bytes[at..at + 3].copy_from_slice(name);
        refused(&bytes, "the name");
    }
    for (name, other) in [(b"abc", b"abd"), (b"abc", b"abe")] {
        let mut bytes = sound.clone();
        let at = position(&bytes, name);
        bytes[at..at + 3].copy_from_slice(other);
        refused(&bytes, "out of order");
    }
    let dots = plain(&BTreeMap::from([("xx".to_owned(), Node::Link("y".into()))]));
    let mut bytes = dots.clone();
    let at = position(&bytes, b"xx");
    bytes[at..at + 2].copy_from_slice(b"..");
    refused(&bytes, "the name");
}

/// By it the kernel finds names; it must not find others than those that were checked.
#[test]
fn an_index_that_disagrees_with_its_directory_is_refused() {
    let sound = plain(&sample());
    let (inodes, listings) = (number(&sound, 64), number(&sound, 72));
    let name = inodes + position(&sound[inodes..listings], b"name-");
    for (at, why) in
        [(name + 5, "another name"), (name - 8, "leads elsewhere"), (name - 12, "leads to no name")]
    {
        let mut bytes = sound.clone();
        bytes[at] += 1;
        refused(&bytes, why);
    }
    let empty = plain(&BTreeMap::from([("abc".to_owned(), Node::Directory(BTreeMap::new()))]));
    let mut bytes = empty.clone();
    let count = number(&bytes, 64) + 2 + 32;
    bytes[count] = 1;
    refused(&bytes, "a directory's index");
}

#[test]
fn devices_pipes_and_sockets_are_refused() {
    let sound = plain(&BTreeMap::from([("abc".to_owned(), Node::File(false, b"1".to_vec()))]));
    let table = number(&sound, 64) + 2;
    for kind in [0_u16, 4, 5, 6, 7, 11, 12, 13, 14, 15, 999] {
        let mut bytes = sound.clone();
        bytes[table..table + 2].copy_from_slice(&kind.to_le_bytes());
        refused(&bytes, "an inode of kind");
    }
}

#[test]
fn a_setuid_bit_is_not_read() {
    let mut bytes = plain(&BTreeMap::from([("abc".to_owned(), Node::File(false, b"1".to_vec()))]));
    let table = number(&bytes, 64) + 2;
    bytes[table + 2..table + 4].copy_from_slice(&0o6755_u16.to_le_bytes());
    let read = read_all(&bytes).unwrap();
    assert!(matches!(&read["abc"], Node::File(true, content) if content == b"1"));
}

#[test]
fn a_directory_within_itself_comes_to_an_end() {
    let root = BTreeMap::from([(
        "abc".to_owned(),
        Node::Directory(BTreeMap::from([("abd".to_owned(), Node::Directory(BTreeMap::new()))])),
    )]);
    let mut bytes = plain(&root);
    // The inner directory's listing is the outer one's.
    let table = number(&bytes, 64) + 2;
    // Inodes come children first: inner, outer, root; each has 40 bytes.
    let outer: Vec<u8> = bytes[table + 40 + 16..table + 80].to_vec();
    bytes[table + 16..table + 40].copy_from_slice(&outer);
    refused(&bytes, "more inodes than it has");
}

#[test]
fn a_size_beyond_what_is_expected_is_refused() {
    let bytes = image(&BTreeMap::from([("abc".to_owned(), Node::File(false, vec![0; 17 << 20]))]));
    let error = read_all(&bytes).unwrap_err().to_string();
    assert!(error.contains("a file of"), "{error}");
    let mut bytes = plain(&BTreeMap::from([("abc".to_owned(), Node::File(false, b"1".to_vec()))]));
    let table = number(&bytes, 64) + 2;
    bytes[table + 24..table + 32].copy_from_slice(&(1_u64 << 50).to_le_bytes());
    refused(&bytes, "a file of");
}

#[test]
fn a_cut_image_is_refused_wherever_it_is_cut() {
    let bytes = image(&sample());
    let used = number(&bytes, 40);
    for end in (0..used).step_by(used / 50) {
        assert!(read_all(&bytes[..end]).is_err(), "cut at {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever is changed, it is read to an end, within its bounds.
    #[test]
    fn a_damaged_image_neither_panics_nor_grows(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let root = BTreeMap::from([
            ("abc".to_owned(), Node::File(false, content(300_000))),
            ("abd".to_owned(), Node::Directory(BTreeMap::from([
                ("file".to_owned(), Node::File(true, content(99))),
                ("link".to_owned(), Node::Link("file".into())),
            ]))),
        ]);
        let mut bytes = plain(&root);
        for (at, byte) in changes {
            // Mostly where the structure is.
            let at = at.index(bytes.len());
            let at = if at.is_multiple_of(2) { at } else { bytes.len() - 1 - at % 300 };
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()) + 1);
        }
        if let Ok(mut image) = Image::open(&bytes[..]) {
            let _ = image.check();
        }
        let _ = read_all(&bytes);
    }
}
