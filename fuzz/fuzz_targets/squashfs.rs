//! Any bytes as a squashfs image: all of its metadata, then every file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use squashfs::{Directory, Image, Inode};

/// What is read of a file, and of all of them: an image can hold the same content many
/// times, and its reader bounds that by what a path may measure.
const LARGEST: u64 = 1 << 20;
const TOTAL: u64 = 16 << 20;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(mut image) = Image::open(bytes) {
        let _ = image.check();
    }
    let Ok(mut image) = Image::open(bytes) else { return };
    image.max_file_size = LARGEST;
    let Ok(mut todo) = image.root() else { return };
    let mut total = 0;
    while let Some(entry) = todo.pop() {
        assert!(!entry.name.is_empty() && entry.name.len() <= 255 && !entry.name.contains(&b'/'));
        match image.inode(&entry) {
            Ok(Inode::Directory(directory)) => todo.extend(list(&mut image, &directory)),
            Ok(Inode::File(file)) => {
                let mut size = 0;
                let read = image.content(&file, |piece| {
                    size += piece.len() as u64;
                    Ok(())
                });
                assert!(size <= file.size && file.size <= LARGEST, "more came out than the inode says");
                assert!(read.is_err() || size == file.size, "fewer bytes than declared, without an error");
                total += size;
            }
            Ok(Inode::Link(target)) => assert!(target.len() <= 4096),
            Err(_) => return,
        }
        if total > TOTAL {
            return;
        }
    }
});

fn list(image: &mut Image<'_, [u8]>, directory: &Directory) -> Vec<squashfs::Entry> {
    image.list(directory).unwrap_or_default()
}
