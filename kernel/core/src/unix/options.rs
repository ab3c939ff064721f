//! Socket options of AF_UNIX (socket(7)).

use bevor_abi::Errno;

use super::{AF_UNIX, UnixSocket};

/// Reads a C int from the front of an option's value.
fn int(value: &[u8]) -> Result<i32, Errno> {
    value.first_chunk::<4>().map(|b| i32::from_le_bytes(*b)).ok_or(Errno::EINVAL)
}

fn timeval(value: &[u8]) -> Result<u64, Errno> {
    let bytes = value.first_chunk::<16>().ok_or(Errno::EINVAL)?;
    let (sec, usec) = bytes.split_at(8);
    let sec = sec.first_chunk::<8>().map_or(0, |b| i64::from_le_bytes(*b));
    let usec = usec.first_chunk::<8>().map_or(0, |b| i64::from_le_bytes(*b));
    let usec = u64::try_from(usec)
        .ok()
        .filter(|u| *u < bevor_abi::mutant!("unix/timeout-range", 1_000_000, u64::MAX / 1000))
        .ok_or(Errno::EDOM)?;
    // A limit in the past is one that has passed already; it shows as zero, and zero itself is none.
    let Ok(sec) = u64::try_from(sec) else { return Ok(1) };
    // What is too long for a clock is no limit, as on Linux.
    Ok(sec
        .checked_mul(1_000_000_000)
        .and_then(|ns| ns.checked_add(usec.saturating_mul(1000)))
        .filter(|ns| *ns <= i64::MAX.cast_unsigned())
        .unwrap_or(0))
}

fn to_timeval(ns: u64) -> Vec<u8> {
    let mut out = (ns / 1_000_000_000).to_le_bytes().to_vec();
    out.extend_from_slice(&(ns / 1000 % 1_000_000).to_le_bytes());
    out
}

impl UnixSocket {
    pub(super) fn set_socket_option(&self, level: i32, option: i32, value: &[u8]) -> Result<(), Errno> {
        if level != 1 {
            return Err(Errno::EOPNOTSUPP);
        }
        let buffer = |v: i32| {
            usize::try_from(v).unwrap_or(0).min(212_992).saturating_mul(bevor_abi::mutant!("unix/buffer-undoubled", 2, 1))
        };
        match option {
            // SO_SNDBUF, SO_RCVBUF: doubled, with a floor.
            7 => self.state.lock().send_buffer = buffer(int(value)?).max(bevor_abi::mutant!("unix/sndbuf-least", 4608, 2304)),
            8 => self.state.lock().receive_buffer = buffer(int(value)?).max(2304),
            16 => self.state.lock().pass_creds = int(value)? != 0,
            20 => self.state.lock().receive_timeout = timeval(value)?,
            21 => self.state.lock().send_timeout = timeval(value)?,
            // SO_REUSEADDR, SO_KEEPALIVE, SO_LINGER: no effect on this family.
            2 | 9 => int(value).map(|_| ())?,
            13 => value.first_chunk::<8>().map(|_| ()).ok_or(Errno::EINVAL)?,
            _ => return Err(Errno::ENOPROTOOPT),
        }
        Ok(())
    }

    pub(super) fn socket_option(&self, level: i32, option: i32) -> Result<Vec<u8>, Errno> {
        use crate::socket::Socket;
        if level != 1 {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        let size = |n: usize| i32::try_from(n).unwrap_or(i32::MAX).to_le_bytes().to_vec();
        let flag = |b: bool| i32::from(b).to_le_bytes().to_vec();
        Ok(match option {
            2 | 9 => flag(false),
            3 => self.kind().1.to_le_bytes().to_vec(),
            4 => {
                let code = if bevor_abi::mutant!("unix/error-kept", std::mem::take(&mut state.reset), state.reset) {
                    Errno::ECONNRESET.code()
                } else {
                    0
                };
                code.to_le_bytes().to_vec()
            }
            7 => size(state.send_buffer),
            8 => size(state.receive_buffer),
            13 => vec![0; 8],
            16 => flag(state.pass_creds),
            17 => {
                let c = state.peer_creds;
                let mut out = c.pid.to_le_bytes().to_vec();
                out.extend_from_slice(&c.uid.to_le_bytes());
                out.extend_from_slice(&c.gid.to_le_bytes());
                out
            }
            20 => to_timeval(state.receive_timeout),
            21 => to_timeval(state.send_timeout),
            30 => flag(state.backlog.is_some() && !bevor_abi::mutated!("unix/accept-conn")),
            38 => flag(false),
            39 => AF_UNIX.to_le_bytes().to_vec(),
            _ => return Err(Errno::ENOPROTOOPT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_any_length_is_one() {
        let value = |sec: i64, usec: i64| [sec.to_le_bytes(), usec.to_le_bytes()].concat();
        assert_eq!(timeval(&value(2, 5)), Ok(2_000_005_000));
        assert_eq!(timeval(&value(i64::MAX, 999_999)), Ok(0));
        assert_eq!(timeval(&value(18_446_744_073, 999_999)), Ok(0));
        assert_eq!(timeval(&value(1, 1_000_000)), Err(Errno::EDOM));
        assert_eq!(timeval(&value(-1, 999_999)).map(to_timeval), Ok(vec![0; 16]));
        assert_ne!(timeval(&value(i64::MIN, 0)), Ok(0));
    }
}
