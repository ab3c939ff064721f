//! What the host tells of a stub's threads and memory: proc_pid_stat(5).

use super::patch::ProcFiles;
use super::sys;
use crate::api::MemoryUse;

/// A line is shorter than this.
const LIMIT: usize = 4096;

/// The fields in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostStat {
    /// `R`, `S`, `D` and so on.
    pub(crate) state: u8,
    pub(crate) memory: MemoryUse,
}

impl HostStat {
    /// Of host thread `tid`; its process is the one whose memory is told.
    pub(crate) fn read(files: &dyn ProcFiles, tid: i32) -> Result<Self, bevor_abi::Errno> {
        let text = sys::read_whole(&files.stat(tid)?, LIMIT);
        Self::parse(&text).ok_or(bevor_abi::Errno::ESRCH)
    }

    /// The name, field 2, may hold anything, blanks and parentheses too: the last parenthesis ends it.
    fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|b| *b == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Counted from 1 as in the manual; the first one here is field 3.
        let number = |field: usize| fields.get(field - 3)?.parse().ok();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            memory: MemoryUse { minor_faults: number(10)?, major_faults: number(12)?, size: number(23)?, resident: number(24)? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let line = b"7 (a) S (b) R 1 7 7 0 -1 4194560 85 2 3 4 5 6 7 8 20 0 1 0 99 2568192 225 18446744073709551615 1 1\n";
        let memory = MemoryUse { minor_faults: 85, major_faults: 3, size: 2_568_192, resident: 225 };
        assert_eq!(HostStat::parse(line), Some(HostStat { state: b'R', memory }));
        assert_eq!(HostStat::parse(b"7 (cut off) S 1 7"), None);
        assert_eq!(HostStat::parse(b""), None);
    }
}
