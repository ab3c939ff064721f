//! Pieces that several file systems share.

use bevor_core::vfs::{DirEntry, File, FileKind};

/// Emits "." (position 0) and ".." (position 1) if `pos` asks for them; false when the reader has had enough. Entries proper start at position 2.
pub(crate) fn emit_dots(file: &File, pos: u64, emit: &mut dyn FnMut(&DirEntry<'_>) -> bool) -> bool {
    let dentry = &file.path().dentry;
    let here = file.inode().ino();
    let up = dentry.parent().map_or(here, |p| p.inode().ino());
    let dots: [(&[u8], u64, u64); 2] = [(b".", here, 1), (b"..", up, 2)];
    for (name, ino, next) in dots {
        if pos < next && !emit(&DirEntry { name, ino, kind: FileKind::Directory, next }) {
            return false;
        }
    }
    true
}
