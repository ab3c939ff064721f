//! Access control lists (acl(5)), as host files may have them: they refuse to some what the mode bits grant, and the other way round.

use super::may;
use crate::creds::Credentials;

/// The extended attribute that holds one.
pub const ACCESS: &[u8] = b"system.posix_acl_access";

/// What an entry is about; the numbers are those of the attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    User,
    OwningGroup,
    Group,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    perm: u32,
    id: u32,
}

/// What an access control list says beyond the mode bits, which hold the owner's entry, the mask and that of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    entries: Vec<Entry>,
    mask: bool,
}

impl Acl {
    /// Reads the attribute's value. `None` if it is not well-formed.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (version, list) = value.split_first_chunk::<4>()?;
        let (list, []) = list.as_chunks::<8>() else { return None };
        if u32::from_le_bytes(*version) != 2 {
            return None;
        }
        let mut acl = Self { entries: Vec::new(), mask: false };
        for &[t0, t1, p0, p1, i0, i1, i2, i3] in list {
            let tag = match u16::from_le_bytes([t0, t1]) {
                0x02 => Tag::User,
                0x04 => Tag::OwningGroup,
                0x08 => Tag::Group,
                0x10 => {
                    acl.mask = true;
                    continue;
                }
                0x01 | 0x20 => continue,
                _ => return None,
            };
            let perm = u32::from(u16::from_le_bytes([p0, p1]));
            acl.entries.push(Entry { tag, perm, id: u32::from_le_bytes([i0, i1, i2, i3]) });
        }
        Some(acl)
    }

    /// Whether somebody who is not the owner may do what is in `mask` to a file with these mode bits and group.
    #[must_use]
    pub fn permits(&self, creds: &Credentials, mode: u32, gid: u32, mask: u32) -> bool {
        let wanted = mask & (may::READ | may::WRITE | may::EXEC);
        let granted = |bits: u32| wanted & !bits == 0;
        let masked = |perm: u32| granted(if self.mask { perm & (mode >> 3) } else { perm });
        let mut member = false;
        for entry in &self.entries {
            let concerned = match entry.tag {
                Tag::User if entry.id == creds.fsuid => return masked(entry.perm),
                Tag::User => false,
                Tag::OwningGroup => creds.in_group(gid),
                Tag::Group => creds.in_group(entry.id),
            };
            // The first group that grants all of it counts.
            if concerned && granted(entry.perm) {
                return masked(entry.perm);
            }
            member |= concerned;
        }
        !member && granted(mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::creds::Groups;
    use crate::memory::MemoryBudget;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            value.extend([tag.to_le_bytes(), perm.to_le_bytes()].concat());
            value.extend(id.to_le_bytes());
        }
        value
    }

    fn creds(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        Credentials {
            fsuid: uid,
            fsgid: gid,
            groups: Groups::new(&MemoryBudget::new(1 << 20), groups.to_vec()).unwrap(),
            ..Credentials::default()
        }
    }

    #[test]
    fn entries_count_in_linuxs_order() {
        let none = u32::MAX;
        let acl = Acl::parse(&value(&[
            (1, 6, none),
            (2, 0, 7),
            (2, 7, 8),
            (4, 0, none),
            (8, 4, 70),
            (8, 6, 71),
            (0x10, 6, none),
            (0x20, 4, none),
        ]))
        .unwrap();
        let may = |uid, gid, groups: &[u32], mask| acl.permits(&creds(uid, gid, groups), 0o664, 50, mask);
        assert!(!may(7, 1, &[], 4), "a user is refused what all others may");
        assert!(may(8, 1, &[], 6) && !may(8, 1, &[], 1), "and another granted more, within the mask");
        assert!(!may(9, 50, &[], 4), "the owning group has an entry of its own: the bits are the mask");
        assert!(may(9, 1, &[70], 4) && !may(9, 1, &[70], 2));
        assert!(may(9, 50, &[70, 71], 6), "any of several groups grants");
        assert!(may(9, 1, &[], 4) && !may(9, 1, &[], 2), "all others");
        assert!(!acl.permits(&creds(8, 1, &[]), 0o604, 50, 4), "chmod changes the mask");
    }

    #[test]
    fn nonsense_is_no_list() {
        let good = value(&[(1, 6, u32::MAX), (4, 0, u32::MAX), (0x20, 0, u32::MAX)]);
        assert!(Acl::parse(&good).is_some());
        assert!((0..good.len()).filter(|len| len % 8 != 4).all(|len| Acl::parse(&good[..len]).is_none()));
        assert!(Acl::parse(&[1, 0, 0, 0]).is_none() && Acl::parse(&value(&[(3, 7, 0)])).is_none());
    }
}
