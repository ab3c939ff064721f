//! The virtual file system: inodes, dentries, mounts, path lookup, open files, descriptor tables.

/// The descriptor table of a task (shared under CLONE_FILES).
#[derive(Debug, Default)]
pub struct FdTable {}

impl FdTable {
    /// A copy for a child that does not share.
    #[must_use]
    pub fn fork(&self) -> std::sync::Arc<Self> {
        std::sync::Arc::default()
    }

    /// execve(2): closes what has FD_CLOEXEC.
    pub fn close_on_exec(&self) {}
}

/// Root, working directory, umask and mount namespace of a task (shared under CLONE_FS).
#[derive(Debug, Default)]
pub struct FsContext {}

impl FsContext {
    /// A copy for a child that does not share.
    #[must_use]
    pub fn fork(&self) -> std::sync::Arc<Self> {
        std::sync::Arc::default()
    }
}
