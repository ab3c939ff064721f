//! The virtual file system: inodes, dentries, mounts, path lookup, open files, descriptor tables.

/// The descriptor table of a task (shared under CLONE_FILES).
#[derive(Debug, Default)]
pub struct FdTable {}

/// Root, working directory, umask and mount namespace of a task (shared under CLONE_FS).
#[derive(Debug, Default)]
pub struct FsContext {}
