//! Links the kernel into the sentry process.

use bevor_platform::systrap::{Systrap, Zygote, ZygoteOptions};

use crate::failure::Failure;
use crate::sentry::{Kernel, Sentry, Verdict};
use crate::spec::Spec;

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

    fn run(self, _sentry: Sentry<'_>, zygote: Zygote) -> Verdict {
        match Systrap::start(zygote) {
            Ok(_platform) => Verdict::Failed(Failure::new("this build has no kernel linked in")),
            Err(e) => Verdict::Failed(Failure::new(format_args!("cannot start the sandbox: start the platform: {e}"))),
        }
    }
}
