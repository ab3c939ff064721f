//! Credentials (credentials(7), capabilities(7)).

use std::sync::Arc;

use bevor_abi::Errno;

use crate::memory::{Kind, MemoryBudget, ObjectCharge, Owner};
use crate::num::to_u64;

/// A capability set, one bit per capability number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CapSet(pub u64);

impl CapSet {
    /// All capabilities of Linux 6.18 (0..=40).
    pub const ALL: CapSet = CapSet((1 << 41) - 1);

    /// Whether `cap` is in the set.
    #[must_use]
    pub fn has(self, cap: Capability) -> bool {
        self.0 & (1 << (cap as u32)) != 0
    }

    /// Whether `other` has every capability of this set.
    #[must_use]
    pub fn is_subset(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }
}

/// Which of the caller's ids count when it looks into another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceIds {
    /// PTRACE_MODE_REALCREDS: system calls.
    Real,
    /// PTRACE_MODE_FSCREDS: files of /proc.
    FileSystem,
}

/// Capabilities that the kernel asks for (include/uapi/linux/capability.h).
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetBroadcast = 11,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    IpcOwner = 15,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    Lease = 28,
    AuditWrite = 29,
    AuditControl = 30,
    Setfcap = 31,
    MacOverride = 32,
    MacAdmin = 33,
    Syslog = 34,
    WakeAlarm = 35,
    BlockSuspend = 36,
    AuditRead = 37,
    Perfmon = 38,
    Bpf = 39,
    CheckpointRestore = 40,
}

/// The credentials of a task: immutable, replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Real user id.
    pub uid: u32,
    /// Effective user id.
    pub euid: u32,
    /// Saved set-user-ID.
    pub suid: u32,
    /// File-system user id.
    pub fsuid: u32,
    /// Real group id.
    pub gid: u32,
    /// Effective group id.
    pub egid: u32,
    /// Saved set-group-ID.
    pub sgid: u32,
    /// File-system group id.
    pub fsgid: u32,
    /// Supplementary groups, sorted.
    pub groups: Arc<Groups>,
    /// Permitted capabilities.
    pub permitted: CapSet,
    /// Effective capabilities.
    pub effective: CapSet,
    /// Inheritable capabilities.
    pub inheritable: CapSet,
    /// Bounding set.
    pub bounding: CapSet,
    /// Ambient set.
    pub ambient: CapSet,
    /// securebits (prctl(2) PR_SET_SECUREBITS).
    pub securebits: u32,
    /// no_new_privs.
    pub no_new_privs: bool,
}

/// Supplementary groups.
#[derive(Debug, Default)]
pub struct Groups {
    list: Box<[u32]>,
    _charge: Option<ObjectCharge>,
}

/// Lists up to this length count with their process.
const FEW_GROUPS: usize = 32;

impl Groups {
    /// A list, which is counted if it is long.
    ///
    /// # Errors
    /// ENOMEM if there is too much of them.
    pub fn new(memory: &Arc<MemoryBudget>, list: Vec<u32>) -> Result<Arc<Self>, Errno> {
        let bytes = to_u64(list.len() * size_of::<u32>());
        let long = list.len() > FEW_GROUPS;
        let charge = if long { Some(memory.object_of(Kind::GroupList, bytes, Owner::default())?) } else { None };
        Ok(Arc::new(Self { list: list.into(), _charge: charge }))
    }
}

impl std::ops::Deref for Groups {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.list
    }
}

impl PartialEq for Groups {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl Eq for Groups {}

impl Credentials {
    /// Root with every capability.
    #[must_use]
    pub fn root() -> Self {
        Self { permitted: CapSet::ALL, effective: CapSet::ALL, bounding: CapSet::ALL, ..Self::default() }
    }

    /// Whether the effective set holds `cap`.
    #[must_use]
    pub fn capable(&self, cap: Capability) -> bool {
        self.effective.has(cap)
    }

    /// Whether a process that changes from these credentials to `new` stops being dumpable: others who had its rights so far must
    /// not look at what it gains or what it did with those that it gives up.
    #[must_use]
    pub fn ends_dumpable(&self, new: &Self) -> bool {
        (self.euid, self.egid, self.fsuid, self.fsgid) != (new.euid, new.egid, new.fsuid, new.fsgid)
            || !new.permitted.is_subset(self.permitted)
    }

    /// Whether a task with these credentials may look into another process that has `target` (ptrace(2), "Ptrace access mode
    /// checking"). `dumpable` is the target's.
    #[must_use]
    pub fn may_trace(&self, ids: TraceIds, target: &Self, dumpable: bool) -> bool {
        if self.capable(Capability::SysPtrace) {
            return true;
        }
        let (uid, gid, caps) = match ids {
            TraceIds::Real => (self.uid, self.gid, self.permitted),
            TraceIds::FileSystem => (self.fsuid, self.fsgid, self.effective),
        };
        let same = [target.uid, target.euid, target.suid].iter().all(|u| *u == uid)
            && [target.gid, target.egid, target.sgid].iter().all(|g| *g == gid);
        same && (dumpable || bevor_abi::mutated!("ptrace/not-dumpable")) && target.permitted.is_subset(caps)
    }

    /// Whether `gid` is the file-system group id or a supplementary group.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.binary_search(&gid).is_ok()
    }
}
