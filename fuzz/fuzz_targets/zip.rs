//! Any bytes as a ZIP archive: records, then every member inflated, edited and packed again.

#![no_main]

use binfmt::source::WriteAt as _;
use libfuzzer_sys::fuzz_target;
use pydist::zip::{Archive, Content, Limits, Member, NewMember, pack_edited, write};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { members: 1000, member_size: 1 << 20, total_size: 4 << 20 };
    let Ok(archive) = Archive::open(bytes, &limits) else { return };
    assert!(archive.members.len() <= 1000);
    for member in &archive.members {
        let mut size = 0;
        let read = member.read(bytes, |piece| {
            size += piece.len() as u64;
            Ok(())
        });
        assert!(size <= member.size, "more came out than the archive says");
        assert!(read.is_err() || size == member.size, "less came out, and nobody said so");
        edit(bytes, member, read.is_ok());
    }
});

/// Reads a member in the other way, and changes a byte in its middle.
fn edit(bytes: &[u8], member: &Member, is_valid: bool) {
    let scratch = std::env::temp_dir();
    let mut content = Content::new(&scratch);
    let read = member.read_deflated(bytes, |piece| content.push(piece));
    let Ok(deflated) = read else { return };
    let old = content.to_vec().expect("it is in memory");
    assert_eq!(old.len() as u64, member.size);
    if let (true, Some(deflated)) = (is_valid, deflated) {
        content.track_edits();
        content.write_all_at(member.size / 2, b"\xff").expect("it is in memory");
        let mut packed = Content::new(&scratch);
        let new = pack_edited(&content, &deflated, 4, &mut packed).expect("it is in memory");
        let mut archive = Vec::new();
        let new = [NewMember::new("m", false, new)];
        write(&new, bytes, &packed, 0, &mut archive).expect("it is in memory");
        let records = Archive::open(archive.as_slice(), &Limits::default()).expect("it was just written");
        let found = records.members[0].content(archive.as_slice(), 1 << 20).expect("it was just written");
        assert!(found == content.to_vec().expect("it is in memory"), "another content came out");
    }
}
