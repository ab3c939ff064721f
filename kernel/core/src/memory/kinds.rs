//! What a guest can make the kernel keep, kind by kind.
//!
//! Everything that a guest can make more of is of a [`Kind`], and is charged when it is made: what it takes on the sentry's heap, estimated
//! generously, counts against a ceiling of its kind and against the sum of all. What is refused then gets the errno that Linux has for it.
//! A few kinds count per real user id as well (Linux's ucounts), against a limit that the caller brings (RLIMIT_SIGPENDING, RLIMIT_NOFILE, ...).
//!
//! What needs no kind, since something else bounds it:
//!
//! | what grows | bounded by |
//! |---|---|
//! | tmpfs: data, names, attributes; pipes' and sockets' queues | `--file-memory` ([`MemoryBudget`]) |
//! | memory files | descriptors of the sandbox ([`MemoryBudget::add_file`]) |
//! | names of host files, cached and in use | [`Reclaim`](crate::vfs::reclaim::Reclaim), negative ones 1024 per directory, 16384 per file system |
//! | standard signals pending | 31 per task and process |
//! | names of processes, the host name, resource limits, signal actions | their size |
//! | arguments of execve | a quarter of RLIMIT_STACK, at most 6 MiB, while the call lasts |
//! | mounts | made when the sandbox starts only |
//! | files remembered for /proc/PID/maps | the names that there are |
//! | the kernel log | a ring |
//! | waiters and timeouts of sleeping calls | one call per task; waits for many files are counted ([`Kind::Waiter`]) |
//! | interval timers | three per process |

use bevor_abi::Errno;

macro_rules! kinds {
    ($($name:ident $cost:literal $share:literal $errno:ident $class:tt $text:literal,)*) => {
        /// A kind of object that a guest can make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Kind {
            $(#[doc = $text] $name,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// What one takes, in bytes. Kinds of 1 are counted by their size.
            #[must_use]
            pub const fn cost(self) -> u64 {
                match self { $(Self::$name => $cost,)* }
            }

            /// How much of the memory for objects the kind may take: one part of so many.
            #[must_use]
            pub const fn share(self) -> u64 {
                match self { $(Self::$name => $share,)* }
            }

            /// What a call answers if no more can be made.
            #[must_use]
            pub const fn errno(self) -> Errno {
                match self { $(Self::$name => Errno::$errno,)* }
            }

            /// What a user may have only so many of, if the kind is of such.
            #[must_use]
            pub const fn per_user(self) -> Option<PerUser> {
                match self { $(Self::$name => kinds!(@class $class),)* }
            }
        }
    };
    (@class -) => { None };
    (@class $class:ident) => { Some(PerUser::$class) };
}

kinds! {
    File 1024 2 ENFILE - "An open file description with its inode, its name, and a pipe, event, timer, signal or process behind it (fs.file-max).",
    Task 4096 2 EAGAIN - "A process or thread, with its channel (kernel.threads-max).",
    GroupList 1 16 ENOMEM - "The bytes of supplementary groups.",
    FdTable 1 4 ENOMEM - "The bytes of descriptor tables.",
    EpollInstance 1024 8 ENOMEM - "epoll_create(2).",
    EpollWatch 512 4 ENOSPC EpollWatches "A file watched by an epoll instance (fs.epoll.max_user_watches).",
    Socket 2048 4 ENOBUFS - "A socket.",
    PendingConnection 2048 8 EAGAIN - "A connection that nobody has accepted.",
    FileInFlight 256 8 ETOOMANYREFS FilesInFlight "A descriptor on its way through a socket.",
    SocketName 256 8 ENOMEM - "An abstract or bound name of a socket.",
    Timer 512 4 EAGAIN Signals "A POSIX timer, which holds a place for its signal (RLIMIT_SIGPENDING).",
    QueuedSignal 160 4 EAGAIN Signals "A queued signal (RLIMIT_SIGPENDING).",
    Lock 160 4 ENOLCK - "A range lock or a lock of flock(2).",
    Waiter 1 8 ENOMEM - "The bytes of registrations of a call that waits for many files.",
    ProcText 1 4 ENOMEM - "The bytes of text of /proc that an open file keeps.",
    DirSnapshot 1 4 ENOMEM - "The bytes of a directory's listing that an open file keeps.",
}

/// What is counted for each real user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PerUser {
    /// Queued signals and POSIX timers (RLIMIT_SIGPENDING).
    Signals,
    /// Descriptors in sockets (RLIMIT_NOFILE of the sender).
    FilesInFlight,
    /// Watches of epoll instances.
    EpollWatches,
}

impl PerUser {
    pub(super) const COUNT: usize = 3;
}
