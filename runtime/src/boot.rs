//! Links the kernel into the sentry process.

use std::sync::Arc;

use bevor_abi::Errno;
use bevor_gofer::{Gofer, ProcFile};
use bevor_hostcall::HostFd;
use bevor_platform::systrap::{ProcFiles, Systrap, Zygote, ZygoteOptions};

use crate::failure::Failure;
use crate::sentry::{Kernel, Sentry, Verdict};
use crate::spec::Spec;

/// Opens stubs' /proc files through the gofer.
#[derive(Debug)]
struct StubFiles(Arc<Gofer>);

impl ProcFiles for StubFiles {
    fn memory(&self, pid: i32) -> Result<HostFd, Errno> {
        self.0.proc_open(pid, ProcFile::Mem)
    }

    fn maps(&self, pid: i32) -> Result<HostFd, Errno> {
        self.0.proc_open(pid, ProcFile::Maps)
    }
}

/// The kernel that `bevor do` runs.
#[derive(Debug)]
pub(crate) struct Bevor;

impl Kernel for Bevor {
    type Platform = Zygote;

    fn start_platform(&self, _spec: &Spec, stub_id: u32) -> Result<Zygote, Failure> {
        // Id 0 is the sentry's: an ordinary user has no other.
        let uid = Some(stub_id).filter(|&id| id != 0);
        Zygote::spawn(ZygoteOptions { uid })
            .map_err(|e| Failure::new(format_args!("cannot start the sandbox: start the zygote: {e}")))
    }

    fn run(self, sentry: Sentry<'_>, zygote: Zygote) -> Verdict {
        match Systrap::start(zygote) {
            Ok(platform) => {
                platform.set_proc_files(Arc::new(StubFiles(Arc::clone(&sentry.gofer))));
                Verdict::Failed(Failure::new("this build has no kernel linked in"))
            }
            Err(e) => Verdict::Failed(Failure::new(format_args!("cannot start the sandbox: start the platform: {e}"))),
        }
    }
}
