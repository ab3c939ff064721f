//! Where the stack, the vDSO and the mappings of an image go: other places for each, as the host has them after an execve of its own.
//!
//! A stub's address space comes from the zygote's by fork, and the host chooses where mappings begin at execve only. So a mapping without
//! rights, which is not shown, takes what lies above the place where they are to begin.

use bevor_stub::layout as l;

use super::patch;
use crate::api::{Mapping, SpaceLayout};

/// The end of application memory.
const USER_TOP: u64 = 0x7fff_ffff_f000;
/// Mappings begin above this: images with fixed places in the loader lie below.
const FLOOR: u64 = 0x7e81_0000_0000;
/// How far mappings are moved at most (28 bits of pages, as vm.mmap_rnd_bits has it).
const MMAP_RANGE: u64 = 1 << 40;
/// How far a stack is moved at most (22 bits of pages).
const STACK_RANGE: u64 = 16 << 30;
/// What a stack has to grow, at least and at most.
const STACK_ROOM: (u64, u64) = (16 << 20, 8 << 30);
/// What is mapped of a stack at first.
const STACK_SIZE: u64 = 3 << 20;
const PAGE: u64 = 4096;

/// The address space that all stubs come from.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    /// Where the host has put things in the zygote.
    pub(crate) plain: SpaceLayout,
    /// The vDSO and its data, mapping by mapping: start, seen from the vDSO's first byte, and length.
    pub(crate) vdso: Vec<(i64, u64)>,
    /// Where the host's mappings begin, downwards; 0 if that is not known.
    pub(crate) mmap_base: u64,
}

/// The stack's mapping. The page above the application's holds the address by which the host knows the zygote's.
pub(crate) fn stack(layout: &SpaceLayout) -> (u64, u64) {
    (layout.stack_top.saturating_sub(STACK_SIZE), layout.stack_top.saturating_add(PAGE))
}

fn within(random: u64, range: u64) -> u64 {
    random.checked_rem(range / PAGE).unwrap_or(0) * PAGE
}

impl Ground {
    /// The vDSO and its data.
    pub(crate) fn vdso(&self, layout: &SpaceLayout) -> (u64, u64) {
        let pieces = self.pieces(layout);
        let low = pieces.iter().map(|(start, _)| *start).min().unwrap_or(layout.vdso);
        (low, pieces.iter().map(|(start, len)| start + len).max().unwrap_or(layout.vdso))
    }

    /// Its mappings, with their lengths.
    pub(crate) fn pieces(&self, layout: &SpaceLayout) -> Vec<(u64, u64)> {
        self.vdso.iter().map(|(at, len)| (layout.vdso.saturating_add_signed(*at), *len)).collect()
    }

    /// A layout by chance; without `random`, the zygote's own.
    pub(crate) fn layout(&self, random: Option<[u64; 2]>, stack_limit: u64) -> SpaceLayout {
        let mut layout = self.plain;
        let Some([for_stack, for_mappings]) = random else { return layout };
        let highest = USER_TOP - PAGE;
        let room = stack_limit.clamp(STACK_ROOM.0, STACK_ROOM.1);
        let range = STACK_RANGE.min(highest.saturating_sub(self.mmap_base.saturating_add(room)));
        let stack_top = highest - within(for_stack, range);
        // A spare's stack is moved there, which cannot be done by a little.
        if stack_top.abs_diff(layout.stack_top) > 2 * STACK_SIZE {
            layout.stack_top = stack_top;
            layout.stack_bottom = layout.stack_top - (self.plain.stack_top - self.plain.stack_bottom);
        }
        let (start, end) = self.vdso(&self.plain);
        let size = end - start;
        let range = MMAP_RANGE.min(self.mmap_base.saturating_sub(FLOOR));
        if range > (1 << 30) {
            // So far that the vDSO's new place is beside the old one.
            let begin = self.mmap_base - (2 * size).max(PAGE) - within(for_mappings, range - (1 << 20));
            layout.reserved = (begin, self.mmap_base);
            if layout.vdso != 0 {
                layout.vdso = begin - size + (layout.vdso - start);
            }
        }
        layout
    }
}

/// The mapping that keeps others away, or what is left of it with what has been merged.
fn keeps_away(layout: &SpaceLayout, m: &Mapping) -> bool {
    let (start, end) = layout.reserved;
    m.inode == 0 && m.perms == *b"---p" && m.start < end && start < m.end
}

/// How the application sees the mapping `m` of the host's list: in none, one or two parts.
pub(crate) fn seen(layout: &SpaceLayout, mut m: Mapping) -> impl Iterator<Item = Mapping> {
    let is_stack = m.inode == 0 && (m.start..m.end).contains(&layout.stack_top.saturating_sub(1));
    if is_stack {
        "[stack]".clone_into(&mut m.label);
    } else if m.label == "[stack]" {
        // The host goes by the zygote's.
        m.label.clear();
    }
    let own = (l::STUB_BASE..l::STUB_END).contains(&m.start);
    let [below, above] = if keeps_away(layout, &m) {
        let (start, end) = layout.reserved;
        [Mapping { end: start.max(m.start), ..m.clone() }, Mapping { start: end.min(m.end), ..m }]
    } else {
        let end = m.end;
        [m.clone(), Mapping { start: end, ..m }]
    };
    [below, above].into_iter().filter(move |m| !own && m.start < m.end)
}

/// What the stub has of `m`, with memory that applications have only later.
pub(crate) fn own_part(layout: &SpaceLayout, m: &Mapping) -> u64 {
    if patch::is_own(m) {
        return m.end - m.start;
    }
    let stack = (m.start..m.end).contains(&layout.stack_top.saturating_sub(1));
    // Grown ahead of need.
    if stack && m.inode == 0 { (m.end - m.start).min(STACK_SIZE + PAGE).saturating_sub(FRESH_STACK) } else { 0 }
}

/// How large a program's stack is at first.
const FRESH_STACK: u64 = 0x2_1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ground() -> Ground {
        let plain = SpaceLayout {
            stack_top: 0x7ffe_0000_0000,
            stack_bottom: 0x7ffe_0000_0000 - (2 << 20),
            vdso: 0x7f57_3bf0_3000,
            reserved: (0, 0),
        };
        Ground { plain, vdso: vec![(-0x6000, 0x4000), (-0x2000, 0x2000), (0, 0x2000)], mmap_base: 0x7f57_3bf0_5000 }
    }

    #[test]
    fn places_differ_and_never_overlap() {
        let ground = ground();
        let mut seen = std::collections::HashSet::new();
        for i in 0..10_000u64 {
            let x = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let layout = ground.layout(Some([x, x.rotate_left(32)]), 8 << 20);
            let mut taken = vec![stack(&layout), ground.vdso(&layout), layout.reserved, ground.vdso(&ground.plain)];
            taken.sort_unstable();
            // The reserve covers the plain vDSO, which is gone by then.
            assert!(taken[0] == ground.vdso(&layout) && taken[0].1 == layout.reserved.0, "{taken:x?}");
            assert_eq!(taken[1], layout.reserved);
            assert!(taken[2].0 >= layout.reserved.0 + 0x8000 && taken[2].1 <= layout.reserved.1);
            assert!(taken[3].0 > layout.reserved.1 + (8 << 20) && taken[3].1 <= USER_TOP, "{taken:x?}");
            assert!(layout.reserved.0 > FLOOR && layout.vdso.is_multiple_of(PAGE) && layout.stack_top.is_multiple_of(PAGE));
            seen.insert(layout.stack_top);
            seen.insert(layout.vdso);
        }
        assert!(seen.len() > 19_000, "{}", seen.len());
    }

    #[test]
    fn without_chance_or_room_the_zygotes_places_stay() {
        let mut ground = ground();
        assert_eq!(ground.layout(None, 8 << 20), ground.plain);
        ground.mmap_base = 0;
        let layout = ground.layout(Some([7, 7]), u64::MAX);
        assert_eq!((layout.vdso, layout.reserved), (ground.plain.vdso, (0, 0)));
    }

    #[test]
    fn the_reserve_is_not_seen_nor_is_the_old_stack() {
        let layout = SpaceLayout { reserved: (0x7000_0000, 0x8000_0000), ..ground().plain };
        let m = |start, end, perms: &[u8; 4], label: &str| Mapping {
            start,
            end,
            perms: *perms,
            offset: 0,
            dev: (0, 0),
            inode: 0,
            label: label.to_owned(),
        };
        let show = |m| seen(&layout, m).map(|m| (m.start, m.end, m.label)).collect::<Vec<_>>();
        assert_eq!(show(m(0x7000_0000, 0x8000_0000, b"---p", "")), []);
        assert_eq!(show(m(0x6fff_f000, 0x8000_0000, b"---p", "")), [(0x6fff_f000, 0x7000_0000, String::new())]);
        assert_eq!(show(m(0x7100_0000, 0x7200_0000, b"r--p", "")).len(), 1);
        assert_eq!(show(m(0x7ffd_0000_0000, 0x7ffd_0000_1000, b"rw-p", "[stack]"))[0].2, "");
        assert_eq!(show(m(0x7ffd_ffff_0000, 0x7ffe_0000_1000, b"rw-p", ""))[0].2, "[stack]");
        assert_eq!(show(m(l::STUB_BASE, l::STUB_BASE + 4096, b"r-xp", "")), []);
    }
}
