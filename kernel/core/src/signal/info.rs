//! `siginfo_t` (sigaction(2), include/uapi/asm-generic/siginfo.h): built field by field at its exact offsets.

use bevor_abi::signal;

/// A `siginfo_t` as 128 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo(pub [u8; 128]);

impl SigInfo {
    /// Only `si_signo` and `si_code`, all else zero.
    #[must_use]
    pub fn new(signo: i32, code: i32) -> Self {
        let mut info = Self([0; 128]);
        info.put32(0, signo.cast_unsigned());
        info.put32(8, code.cast_unsigned());
        info
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn put64(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn get32(&self, at: usize) -> i32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[at..at + 4]);
        i32::from_le_bytes(bytes)
    }

    /// Sent by a process: kill(2), tkill(2) (`code` = SI_USER, SI_TKILL).
    #[must_use]
    pub fn user(signo: i32, code: i32, pid: i32, uid: u32) -> Self {
        let mut info = Self::new(signo, code);
        info.put32(16, pid.cast_unsigned());
        info.put32(20, uid);
        info
    }

    /// Sent by the kernel.
    #[must_use]
    pub fn kernel(signo: i32) -> Self {
        Self::new(signo, signal::SI_KERNEL)
    }

    /// A processor exception at `addr`.
    #[must_use]
    pub fn fault(signo: i32, code: i32, addr: u64) -> Self {
        let mut info = Self::new(signo, code);
        info.put64(16, addr);
        info
    }

    /// A change of a child's state; times in clock ticks of 10 ms.
    #[must_use]
    pub fn child(code: i32, pid: i32, uid: u32, status: i32, utime: i64, stime: i64) -> Self {
        let mut info = Self::new(signal::SIGCHLD, code);
        info.put32(16, pid.cast_unsigned());
        info.put32(20, uid);
        info.put32(24, status.cast_unsigned());
        info.put64(32, utime.cast_unsigned());
        info.put64(40, stime.cast_unsigned());
        info
    }

    /// A POSIX timer's expiry.
    #[must_use]
    pub fn timer(signo: i32, id: i32, overrun: i32, value: u64) -> Self {
        let mut info = Self::new(signo, signal::SI_TIMER);
        info.put32(16, id.cast_unsigned());
        info.put32(20, overrun.cast_unsigned());
        info.put64(24, value);
        info
    }

    /// `si_timerid`.
    #[must_use]
    pub fn timer_id(&self) -> i32 {
        self.get32(16)
    }

    /// Replaces `si_overrun`.
    #[must_use]
    pub fn with_overrun(mut self, overrun: i32) -> Self {
        self.put32(20, overrun.cast_unsigned());
        self
    }

    /// Replaces `si_signo` (rt_sigqueueinfo takes the number from its argument).
    #[must_use]
    pub fn with_signo(mut self, signo: i32) -> Self {
        self.put32(0, signo.cast_unsigned());
        self
    }

    /// `si_signo`.
    #[must_use]
    pub fn signo(&self) -> i32 {
        self.get32(0)
    }

    /// `si_code`.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.get32(8)
    }

    /// `si_pid`.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.get32(16)
    }

    /// `si_uid`.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.get32(20).cast_unsigned()
    }

    /// `si_status`.
    #[must_use]
    pub fn status(&self) -> i32 {
        self.get32(24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_info_has_the_offsets_of_the_c_structure() {
        let info = SigInfo::child(signal::CLD_EXITED, 7, 1000, 42, 3, 4);
        assert_eq!(info.0[0], 17, "si_signo");
        assert_eq!(info.0[8], 1, "si_code");
        assert_eq!(info.0[16], 7, "si_pid");
        assert_eq!(info.0[20..24], 1000u32.to_le_bytes(), "si_uid");
        assert_eq!(info.0[24], 42, "si_status");
        assert_eq!((info.0[32], info.0[40]), (3, 4), "si_utime and si_stime");
    }
}
