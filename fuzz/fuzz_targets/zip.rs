//! Any bytes as a ZIP archive: records, then every member inflated, edited and packed again.

#![no_main]

use binfmt::source::{ReadAt as _, WriteAt as _};
use libfuzzer_sys::fuzz_target;
use pydist::zip::{Archive, Content, DataError, Limits, Member, NewMember, pack_edited, write};

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
        assert!(read.is_err() || size == member.size, "fewer bytes than declared, without an error");
        edit(bytes, member, read.is_ok());
        // Mutated bytes rarely have the right checksum.
        if let Err(DataError::Crc { found, .. }) = read {
            edit(bytes, &Member { crc32: found, ..member.clone() }, true);
        }
    }
});

/// Reads a member with `read_deflated`, and edits it.
fn edit(bytes: &[u8], member: &Member, is_valid: bool) {
    let scratch = std::env::temp_dir();
    let mut content = Content::new(&scratch);
    let read = member.read_deflated(bytes, |piece| content.push(piece));
    assert_eq!(read.is_ok(), is_valid, "the two readers disagree");
    let Ok(Some(deflated)) = read else { return };
    assert_eq!(content.size().expect("it is in memory"), member.size);
    // From the checksum, so that mutations vary the edits.
    let at = u64::from(member.crc32) % member.size;
    for edit in 0..4 {
        content.track_edits();
        match edit {
            0 => content.write_all_at(at, b"edited"),
            1 => content.push(&[7; 1000]),
            2 => content.truncate(at.max(member.size / 2)),
            _ => Ok(()),
        }
        .expect("it is in memory");
        let mut packed = Content::new(&scratch);
        let new = pack_edited(&content, &deflated, bytes, 4, &mut packed).expect("it is in memory");
        let mut archive = Vec::new();
        let new = [NewMember::new("m", false, new)];
        write(&new, bytes, &packed, 0, &mut archive).expect("it is in memory");
        let records = Archive::open(archive.as_slice(), &Limits::default()).expect("it was just written");
        let found = records.members[0].content(archive.as_slice(), 1 << 20).expect("it was just written");
        assert!(found == content.to_vec().expect("it is in memory"), "the content differs");
    }
}
