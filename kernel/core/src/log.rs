//! The kernel log: a ring buffer of lines, read through syslog(2).

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::time::Instant;

/// Bytes kept.
pub const LOG_SIZE: usize = 1 << 16;

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    bytes: usize,
    /// Index of the first line that SYSLOG_ACTION_CLEAR left visible, and that READ has not consumed.
    first: u64,
    cleared: u64,
    read: u64,
}

/// The kernel log.
#[derive(Debug)]
pub struct KernelLog {
    boot: Instant,
    ring: Mutex<Ring>,
}

impl KernelLog {
    /// An empty log; lines are stamped relative to `boot`.
    #[must_use]
    pub fn new(boot: Instant) -> Self {
        Self { boot, ring: Mutex::new(Ring::default()) }
    }

    /// Appends a line (without newline).
    pub fn write(&self, now: Instant, line: &str) {
        let since = now.0.saturating_sub(self.boot.0);
        let text = format!("<6>[{:5}.{:06}] {line}\n", since / 1_000_000_000, since / 1000 % 1_000_000);
        let mut ring = self.ring.lock();
        ring.bytes += text.len();
        ring.lines.push_back(text);
        while ring.bytes > LOG_SIZE {
            let Some(old) = ring.lines.pop_front() else { break };
            ring.bytes -= old.len();
            ring.first += 1;
        }
    }

    /// The last lines that fit into `limit` bytes, oldest first (SYSLOG_ACTION_READ_ALL).
    #[must_use]
    pub fn read_all(&self, limit: usize) -> Vec<u8> {
        let ring = self.ring.lock();
        let skip = usize::try_from(ring.cleared.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let lines: Vec<&String> = ring.lines.iter().skip(skip).collect();
        let mut room = limit;
        let mut start = lines.len();
        while start > 0 && lines[start - 1].len() <= room {
            start -= 1;
            room -= lines[start].len();
        }
        lines[start..].iter().flat_map(|l| l.bytes()).collect()
    }

    /// The next unread lines that fit into `limit` bytes (SYSLOG_ACTION_READ); empty if there are none.
    #[must_use]
    pub fn read_next(&self, limit: usize) -> Vec<u8> {
        let mut ring = self.ring.lock();
        let mut out = Vec::new();
        let mut next = ring.read.max(ring.first);
        while let Some(line) = usize::try_from(next - ring.first).ok().and_then(|i| ring.lines.get(i)) {
            if out.len() + line.len() > limit {
                break;
            }
            out.extend_from_slice(line.as_bytes());
            next += 1;
        }
        ring.read = next;
        out
    }

    /// Bytes not yet read (SYSLOG_ACTION_SIZE_UNREAD).
    #[must_use]
    pub fn unread(&self) -> usize {
        let ring = self.ring.lock();
        let skip = usize::try_from(ring.read.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        ring.lines.iter().skip(skip).map(String::len).sum()
    }

    /// Hides what is there from later READ_ALLs (SYSLOG_ACTION_CLEAR).
    pub fn clear(&self) {
        let mut ring = self.ring.lock();
        ring.cleared = ring.first + crate::num::to_u64(ring.lines.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_all_gives_whole_last_lines_and_clear_hides() {
        let log = KernelLog::new(Instant(0));
        log.write(Instant(1_500_000_000), "one");
        log.write(Instant(2_000_000_000), "two");
        assert_eq!(log.read_all(4096), b"<6>[    1.500000] one\n<6>[    2.000000] two\n");
        assert_eq!(log.read_all(30), b"<6>[    2.000000] two\n");
        log.clear();
        assert!(log.read_all(4096).is_empty());
        assert_eq!(log.unread(), 44);
        assert_eq!(log.read_next(25), b"<6>[    1.500000] one\n");
        assert_eq!(log.unread(), 22);
    }

    #[test]
    fn the_ring_drops_old_lines() {
        let log = KernelLog::new(Instant(0));
        for i in 0..10_000 {
            log.write(Instant(0), &format!("line {i}"));
        }
        let all = log.read_all(usize::MAX);
        assert!(all.len() <= LOG_SIZE && all.ends_with(b"line 9999\n"));
    }
}
