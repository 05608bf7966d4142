//! Images are read back by this crate and by the kernel; damaged and malicious images are
//! rejected.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{self, Cursor};

use binfmt::source::ReadAt;
use proptest::prelude::*;
use squashfs::{Directory, Image, Inode, Owner, Writer};

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

/// Reads a directory recursively.
fn read<S: ReadAt + ?Sized>(
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
    image.max_file_size = 16 << 20;
    read(&mut image, None)
}

fn text(nodes: &BTreeMap<String, Node>) -> String {
    format!("{nodes:?}")
}

/// Bytes of which one part is incompressible.
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
fn reads_what_it_wrote() {
    let sample = sample();
    let bytes = image(&sample);
    assert_eq!(bytes.len() % 4096, 0);
    assert_eq!(text(&read_all(&bytes).unwrap()), text(&sample));
    assert!(Image::open(&bytes[..]).unwrap().check().unwrap() > 3000);
    assert_eq!(image(&sample), bytes, "the same tree gives the same image");
}

#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn the_kernel_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("image");
    std::fs::write(&file, image(&sample())).unwrap();
    let script = r"mkdir mounted && mount -t squashfs -o loop,ro image mounted && cd mounted &&
        find . -type f -printf '%p %s %m %U %G ' -exec sha256sum '{}' ';' | sort &&
        find . -type d -printf '%p %m %U\n' | sort && find . -type l -printf '%p %l\n'";
    let mut command = testkit::tools::command("unshare");
    let output = command.args(["-m", "sh", "-euc", script]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    assert!(listed.contains("./d-empty 555 1001") && listed.contains(" ../target"));
    assert!(listed.contains("./b-sizes/size-001000001 1000001 555 1001 127 "), "{listed:.1000}");
    assert_eq!(listed.lines().filter(|line| line.starts_with("./a-many/")).count(), 3000);
    // Compare the contents of each file.
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

/// Nix recognises existing hard links by the inode number.
#[test]
#[cfg_attr(not(tools), ignore = "needs the tools that `cargo xtask test` installs")]
fn an_overlay_keeps_inode_numbers_on_copy_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("image"), image(&sample())).unwrap();
    let script = "mkdir lower upper work over && mount -t squashfs -o loop,ro image lower &&
        mount -t overlay -o redirect_dir=on,lowerdir=lower,upperdir=upper,workdir=work none over && cd over &&
        before=$(stat -c %i e-file) && ln e-file link &&
        test $before = $(stat -c %i e-file) && test $before = $(stat -c %i link)";
    let mut command = testkit::tools::command("unshare");
    let output = command.args(["-m", "sh", "-euc", script]).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The trees of the seeds for the fuzz target.
fn seeds() -> [(&'static str, BTreeMap<String, Node>); 2] {
    let bin = BTreeMap::from([("run".into(), Node::File(true, b"#!/bin/sh\n".to_vec()))]);
    let files = BTreeMap::from([
        ("bin".into(), Node::Directory(bin)),
        ("empty".into(), Node::File(false, Vec::new())),
        ("link".into(), Node::Link("bin/run".into())),
        ("zeros".into(), Node::File(false, vec![0; 3 << 16])),
    ]);
    [("empty", BTreeMap::new()), ("files", files)]
}

/// `WRITE_FUZZ_CORPUS=1` writes the seeds. Their bytes are not compared: they depend on zstd.
#[test]
fn the_fuzz_seeds_are_valid_images() {
    let corpus = testkit::tools::workspace().join("fuzz/corpus/squashfs");
    for (name, tree) in seeds() {
        let path = corpus.join(name);
        if std::env::var_os("WRITE_FUZZ_CORPUS").is_some() {
            std::fs::create_dir_all(&corpus).unwrap();
            let bytes = image(&tree);
            // Without the padding.
            let size = u64::from_le_bytes(bytes[40..48].try_into().unwrap());
            std::fs::write(&path, &bytes[..usize::try_from(size).unwrap()]).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() < 1024, "{name}: {} bytes", bytes.len());
        assert_eq!(text(&read_all(&bytes).unwrap()), text(&tree), "{name}");
    }
}

#[test]
fn the_writer_rejects_invalid_names() {
    for name in ["", ".", "..", "a/b", "a\0b", &"x".repeat(256)] {
        let mut writer = Writer::new(Cursor::new(Vec::new()), OWNER, 3).unwrap();
        assert!(writer.file(name.as_bytes(), false, io::empty()).is_err(), "{name}");
    }
    let mut writer = Writer::new(Cursor::new(Vec::new()), OWNER, 3).unwrap();
    writer.link(b"b", b"x").unwrap();
    assert!(writer.link(b"a", b"x").is_err() && writer.link(b"b", b"x").is_err() && writer.end().is_err());
}

/// An image without padding, so that it ends with the tables.
fn plain(root: &BTreeMap<String, Node>) -> Vec<u8> {
    let mut bytes = image(root);
    bytes.truncate(superblock_field(&bytes, 40));
    bytes
}

/// Reads a 64-bit field of the superblock.
fn superblock_field(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
}

fn position(bytes: &[u8], expected: &[u8]) -> usize {
    bytes.windows(expected.len()).rposition(|window| window == expected).unwrap()
}

fn assert_rejected(bytes: &[u8], why: &str) {
    let error = read_all(bytes).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    assert!(error.to_string().contains(why), "expected `{why}`, found `{error}`");
    assert!(Image::open(bytes).and_then(|mut image| image.check()).is_err(), "{why}");
}

#[test]
fn rejects_invalid_names() {
    let root = BTreeMap::from([
        ("abc".to_owned(), Node::File(false, b"1".to_vec())),
        ("abd".to_owned(), Node::File(false, b"2".to_vec())),
    ]);
    let valid = plain(&root);
    assert_eq!(text(&read_all(&valid).unwrap()), text(&root));
    for name in [&b"a/c"[..], b"/bc", b"a\0c"] {
        let mut bytes = valid.clone();
        let at = position(&bytes, b"abc");
        bytes[at..at + 3].copy_from_slice(name);
        assert_rejected(&bytes, "invalid name");
    }
    for (name, other) in [(b"abc", b"abd"), (b"abc", b"abe")] {
        let mut bytes = valid.clone();
        let at = position(&bytes, name);
        bytes[at..at + 3].copy_from_slice(other);
        assert_rejected(&bytes, "not sorted");
    }
    let dots = plain(&BTreeMap::from([("xx".to_owned(), Node::Link("y".into()))]));
    let mut bytes = dots.clone();
    let at = position(&bytes, b"xx");
    bytes[at..at + 2].copy_from_slice(b"..");
    assert_rejected(&bytes, "invalid name");
}

/// The kernel looks up names in the index, so it must agree with the verified listing.
#[test]
fn rejects_an_index_that_differs_from_its_listing() {
    let valid = plain(&sample());
    let (inodes, listings) = (superblock_field(&valid, 64), superblock_field(&valid, 72));
    let name = inodes + position(&valid[inodes..listings], b"name-");
    for (at, why) in [(name + 5, "wrong name"), (name - 8, "wrong block"), (name - 12, "wrong offset")] {
        let mut bytes = valid.clone();
        bytes[at] += 1;
        assert_rejected(&bytes, why);
    }
    let empty = plain(&BTreeMap::from([("abc".to_owned(), Node::Directory(BTreeMap::new()))]));
    let mut bytes = empty.clone();
    let count = superblock_field(&bytes, 64) + 2 + 32;
    bytes[count] = 1;
    assert_rejected(&bytes, "directory index");
}

#[test]
fn rejects_devices_pipes_and_sockets() {
    let valid = plain(&BTreeMap::from([("abc".to_owned(), Node::File(false, b"1".to_vec()))]));
    let table = superblock_field(&valid, 64) + 2;
    for kind in [0_u16, 4, 5, 6, 7, 11, 12, 13, 14, 15, 999] {
        let mut bytes = valid.clone();
        bytes[table..table + 2].copy_from_slice(&kind.to_le_bytes());
        assert_rejected(&bytes, "found inode type");
    }
}

#[test]
fn ignores_setuid_bits() {
    let mut bytes = plain(&BTreeMap::from([("abc".to_owned(), Node::File(false, b"1".to_vec()))]));
    let table = superblock_field(&bytes, 64) + 2;
    bytes[table + 2..table + 4].copy_from_slice(&0o6755_u16.to_le_bytes());
    let read = read_all(&bytes).unwrap();
    assert!(matches!(&read["abc"], Node::File(true, content) if content == b"1"));
}

#[test]
fn rejects_a_cyclic_directory() {
    let root = BTreeMap::from([(
        "abc".to_owned(),
        Node::Directory(BTreeMap::from([("abd".to_owned(), Node::Directory(BTreeMap::new()))])),
    )]);
    let mut bytes = plain(&root);
    // Make the inner directory refer to the listing of the outer one.
    let table = superblock_field(&bytes, 64) + 2;
    // Children come first: inner, outer, root. Each inode has 40 bytes.
    let outer: Vec<u8> = bytes[table + 40 + 16..table + 80].to_vec();
    bytes[table + 16..table + 40].copy_from_slice(&outer);
    assert_rejected(&bytes, "an inode has several names");
}

/// Changes the inode of the only entry `name` to the one at `offset` of the first block.
fn redirect(bytes: &mut [u8], name: &str, offset: u16) {
    let at = position(bytes, name.as_bytes()) - 8;
    bytes[at..at + 2].copy_from_slice(&offset.to_le_bytes());
}

/// Otherwise a directory that contains itself is listed at each level, and the blocks of a file
/// are read once per name.
#[test]
fn rejects_a_second_name_of_an_inode() {
    let file = |text: &str| Node::File(false, text.into());
    let mut bytes = plain(&BTreeMap::from([("abc".into(), file("1")), ("abd".into(), file("2"))]));
    redirect(&mut bytes, "abd", 0);
    assert_rejected(&bytes, "an inode has several names");
    let inner = BTreeMap::from([("abd".into(), Node::Directory(BTreeMap::new()))]);
    let mut bytes = plain(&BTreeMap::from([("abc".into(), Node::Directory(inner))]));
    // The inodes of `abd`, `abc` and the root, of 40 bytes each.
    for offset in [40, 80] {
        redirect(&mut bytes, "abd", offset);
        assert_rejected(&bytes, "an inode has several names");
    }
}

#[test]
fn rejects_more_inodes_than_their_table_can_hold() {
    let mut bytes = plain(&sample());
    bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_rejected(&bytes, "more inodes than their table can hold");
}

/// Otherwise a small table could hold many large inodes.
#[test]
fn rejects_inodes_that_overlap() {
    // The target of the first link consists of headers of links that reach to its end.
    let mut target = Vec::new();
    for n in 0_u32..150 {
        let header = [3, 0o777, 0, 0, 0, 0, 0, 0, 1, 0].map(u16::to_le_bytes).concat();
        target.extend(header);
        target.extend((24 * (149 - n) + 1).to_le_bytes());
    }
    target.push(b'x');
    let mut writer = Writer::new(Cursor::new(Vec::new()), OWNER, 3).unwrap();
    writer.link(b"a", &target).unwrap();
    let names: Vec<String> = (0..30).map(|n| format!("name-{n:02}")).collect();
    for name in &names {
        writer.link(name.as_bytes(), b"y").unwrap();
    }
    let mut bytes = writer.finish().unwrap().0.into_inner();
    bytes.truncate(superblock_field(&bytes, 40));
    for (name, offset) in names.iter().zip((24_u16..).step_by(24)) {
        redirect(&mut bytes, name, offset);
    }
    assert_rejected(&bytes, "parts of a table overlap");
}

/// Otherwise the entries of nested directories take many times the memory of their table.
#[test]
fn rejects_listings_that_overlap() {
    let many = (0..3000).map(|n| (format!("name-{n:05}"), Node::Link("x".into()))).collect();
    let few = BTreeMap::from([("z".to_owned(), Node::Link("x".into()))]);
    let mut bytes =
        plain(&BTreeMap::from([("a".into(), Node::Directory(many)), ("b".into(), Node::Directory(few))]));
    // Shows the listing of `a` in `b`, whose inode is the last one but the root, after the one of
    // its link, without the index of `a`.
    let (inodes, listings) = (superblock_field(&bytes, 64), superblock_field(&bytes, 72));
    let end = listings - 40 - 40;
    let b = bytes[end..end + 40].to_vec();
    assert_eq!(b[..2], [8, 0], "{inodes}");
    let a = bytes[inodes..end].windows(8).rposition(|window| window == [8, 0, 0x6d, 1, 0, 0, 1, 0]).unwrap();
    let a = bytes[inodes + a..inodes + a + 40].to_vec();
    bytes[end + 20..end + 36].copy_from_slice(&a[20..36]);
    bytes[end + 32..end + 34].copy_from_slice(&[0, 0]);
    assert_rejected(&bytes, "parts of a table overlap");
}

#[test]
fn rejects_compressed_metadata() {
    let mut bytes = plain(&BTreeMap::from([("abc".to_owned(), Node::File(false, b"1".to_vec()))]));
    let table = superblock_field(&bytes, 64);
    bytes[table + 1] &= 0x7f;
    assert_rejected(&bytes, "compressed metadata");
}

#[test]
fn rejects_files_above_the_size_limit() {
    let bytes = image(&BTreeMap::from([("abc".to_owned(), Node::File(false, vec![0; 17 << 20]))]));
    let error = read_all(&bytes).unwrap_err().to_string();
    assert!(error.contains("expected a file of"), "{error}");
    let mut bytes = plain(&BTreeMap::from([("abc".to_owned(), Node::File(false, b"1".to_vec()))]));
    let table = superblock_field(&bytes, 64) + 2;
    bytes[table + 24..table + 32].copy_from_slice(&(1_u64 << 50).to_le_bytes());
    assert_rejected(&bytes, "expected a file of");
}

#[test]
fn rejects_an_image_truncated_at_any_point() {
    let bytes = image(&sample());
    let used = superblock_field(&bytes, 40);
    for end in (0..used).step_by(used / 50) {
        assert!(read_all(&bytes[..end]).is_err(), "truncated to {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Reading ends without a panic, whatever is changed.
    #[test]
    fn a_damaged_image_does_not_panic(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        end in any::<proptest::sample::Index>(),
        truncate in any::<bool>(),
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
            // Prefer the tables.
            let at = at.index(bytes.len());
            let at = if at.is_multiple_of(2) { at } else { bytes.len() - 1 - at % 300 };
            bytes[at] = byte;
        }
        if truncate {
            bytes.truncate(end.index(bytes.len()) + 1);
        }
        if let Ok(mut image) = Image::open(&bytes[..]) {
            let _ = image.check();
        }
        let _ = read_all(&bytes);
    }
}
