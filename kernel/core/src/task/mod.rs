//! Tasks: the kernel's side of application threads and processes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::creds::Credentials;
use crate::vfs::{FdTable, FsContext};

/// One application thread.
pub struct Task {
    /// Thread id in the initial pid namespace.
    pub tid: i32,
    /// Descriptors.
    pub files: Mutex<Arc<FdTable>>,
    /// Root, working directory, umask.
    pub fs: Mutex<Arc<FsContext>>,
    /// Credentials.
    pub creds: Mutex<Arc<Credentials>>,
}
