use std::sync::Arc;

use bevor_abi::Errno;
use bevor_hostcall::fd::memfd;
use bevor_platform::{FileMapping, ImageOp, SpaceLayout};

use super::*;

struct Bytes(Vec<u8>);

impl ExecFile for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Errno> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let n = buf.len().min(self.0.len() - at);
        buf[..n].copy_from_slice(&self.0[at..at + n]);
        Ok(n)
    }
    fn mapping(&self) -> Result<FileMapping, Errno> {
        Ok(FileMapping { fd: memfd(c"program")?, id: 1 })
    }
    fn attributes(&self) -> ExecAttributes {
        ExecAttributes::default()
    }
}

const TOP: u64 = 0x7fff_ffff_f000;

fn load_bytes(bytes: Vec<u8>, argv: &[&[u8]]) -> Result<Loaded, LoadError> {
    let open = |path: &[u8]| match path {
        b"/loop" => Ok(Arc::new(Bytes(b"#!/loop\n".to_vec())) as Arc<dyn ExecFile>),
        b"/sh" => Ok(Arc::new(Bytes(elf(&[segment(1, 5, 0, 0x40_0000, 0x100, 0x100)]))) as Arc<dyn ExecFile>),
        b"/junk" => Ok(Arc::new(Bytes(b"junk".to_vec())) as Arc<dyn ExecFile>),
        _ => Err(Errno::ENOENT),
    };
    load(
        Arc::new(Bytes(bytes)),
        LoadRequest {
            path: b"/bin/program",
            argv: argv.iter().map(|a| a.to_vec()).collect(),
            envp: vec![b"K=V".to_vec()],
            open: &open,
            layout: SpaceLayout {
                stack_top: TOP,
                stack_bottom: TOP - (8 << 20),
                vdso: 0x7fff_0000_0000,
                ..SpaceLayout::default()
            },
            stack_limit: 8 << 20,
            no_randomize: false,
            random: [0xa5; 64],
            host: HostAuxv { hwcap2: 3, ..HostAuxv::default() },
            ids: &|_| AuxIds { uid: 7, ..AuxIds::default() },
        },
    )
}

/// A program header: type, flags, offset, address, sizes in file and memory.
fn segment(kind: u32, flags: u32, offset: u64, vaddr: u64, filesz: u64, memsz: u64) -> [u8; 56] {
    let mut out = [0; 56];
    out[..4].copy_from_slice(&kind.to_le_bytes());
    out[4..8].copy_from_slice(&flags.to_le_bytes());
    for (at, value) in [(8, offset), (16, vaddr), (24, vaddr), (32, filesz), (40, memsz), (48, 4096)] {
        out[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
    }
    out
}

fn elf(segments: &[[u8; 56]]) -> Vec<u8> {
    let mut out = vec![0; 64];
    out[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\x00");
    out[16] = 2;
    out[18] = 62;
    out[24..32].copy_from_slice(&0x40_0080u64.to_le_bytes());
    out[32] = 64;
    out[54] = 56;
    out[56] = u8::try_from(segments.len()).unwrap();
    segments.iter().for_each(|s| out.extend_from_slice(s));
    out.resize(8192, 0);
    out
}

fn refused(result: Result<Loaded, LoadError>) -> Option<LoadError> {
    result.err()
}

fn word(data: &[u8], index: usize) -> u64 {
    u64::from_le_bytes(data[index * 8..index * 8 + 8].try_into().unwrap())
}

#[test]
fn a_segment_with_bss_is_mapped_cleared_and_extended() {
    let loaded = load_bytes(elf(&[segment(1, 6, 0, 0x40_0000, 0x1100, 0x4000)]), &[b"a"]).ok().unwrap();
    let ops = &loaded.image.ops;
    assert!(matches!(&ops[0], ImageOp::Mmap(m) if m.addr == 0x40_0000 && m.len == 0x2000 && m.prot == 3 && m.file.is_some()));
    assert!(matches!(ops[1], ImageOp::Zero { addr: 0x40_1100, len: 0xf00 }));
    assert!(matches!(&ops[2], ImageOp::Mmap(m) if m.addr == 0x40_2000 && m.len == 0x2000 && m.file.is_none()));
    assert_eq!(loaded.image.entry, 0x40_0080);
    assert!(loaded.image.brk >= 0x40_4000 && loaded.image.brk.is_multiple_of(4096));
    assert_eq!(loaded.name, b"program");
}

#[test]
fn the_stack_holds_arguments_environment_and_auxv() {
    let loaded = load_bytes(elf(&[segment(1, 5, 0, 0x40_0000, 0x100, 0x100)]), &[b"a", b"bc"]).ok().unwrap();
    let Some(ImageOp::Write { addr, data }) = loaded.image.ops.last() else { panic!("no stack") };
    assert_eq!((*addr, addr % 16), (loaded.image.stack, 0));
    let string = |at: u64| {
        let at = usize::try_from(at - addr).unwrap();
        data[at..].split(|b| *b == 0).next().unwrap().to_vec()
    };
    assert_eq!(word(data, 0), 2, "argc");
    assert_eq!((string(word(data, 1)), string(word(data, 2))), (b"a".to_vec(), b"bc".to_vec()));
    assert_eq!((word(data, 3), string(word(data, 4)), word(data, 5)), (0, b"K=V".to_vec(), 0));
    let auxv: std::collections::HashMap<u64, u64> =
        (0..).map(|i| (word(data, 6 + i * 2), word(data, 7 + i * 2))).take_while(|(k, _)| *k != 0).collect();
    assert_eq!(auxv[&9], 0x40_0080, "AT_ENTRY");
    assert_eq!(auxv[&3], 0x40_0040, "AT_PHDR");
    assert_eq!(auxv[&11], 7, "AT_UID");
    assert_eq!(auxv[&26], 1, "FSGSBASE is hidden");
    assert_eq!(string(auxv[&31]), b"/bin/program");
    assert_eq!(auxv[&33], 0x7fff_0000_0000, "AT_SYSINFO_EHDR");
}

#[test]
fn scripts_name_their_interpreter_and_stop_at_depth_five() {
    let loaded = load_bytes(b"#!/sh -x\n".to_vec(), &[b"script", b"arg"]).ok().unwrap();
    let Some(ImageOp::Write { addr, data }) = loaded.image.ops.last() else { panic!("no stack") };
    let string = |i: usize| {
        let at = usize::try_from(word(data, i) - addr).unwrap();
        data[at..].split(|b| *b == 0).next().unwrap().to_vec()
    };
    let argv: Vec<Vec<u8>> = (1..=4).map(string).collect();
    assert_eq!(argv, [b"/sh".to_vec(), b"-x".to_vec(), b"/bin/program".to_vec(), b"arg".to_vec()]);
    assert_eq!(refused(load_bytes(b"#!/loop\n".to_vec(), &[])), Some(LoadError::Refused(Errno::ELOOP)));
    assert_eq!(refused(load_bytes(b"#!/none\n".to_vec(), &[])), Some(LoadError::Refused(Errno::ENOENT)));
}

#[test]
fn malformed_files_fail_as_binfmt_elf_does() {
    let good = || elf(&[segment(1, 5, 0, 0x40_0000, 0x100, 0x100)]);
    let with = |at: usize, value: u8| {
        let mut bytes = good();
        bytes[at] = value;
        refused(load_bytes(bytes, &[b"a"]))
    };
    let enoexec = Some(LoadError::Refused(Errno::ENOEXEC));
    assert_eq!(refused(load_bytes(Vec::new(), &[b"a"])), enoexec);
    assert_eq!(with(0, 0), enoexec, "magic");
    assert_eq!(with(16, 1), enoexec, "relocatable");
    assert_eq!(with(18, 3), enoexec, "i386");
    assert_eq!(with(54, 32), enoexec, "e_phentsize");
    assert_eq!(with(56, 0), enoexec, "no program headers");
    let more_in_file = elf(&[segment(1, 5, 0, 0x40_0000, 0x200, 0x100)]);
    assert_eq!(refused(load_bytes(more_in_file, &[b"a"])), Some(LoadError::Fatal));
    let unaligned = elf(&[segment(1, 5, 1, 0x40_0000, 0x100, 0x100)]);
    assert_eq!(refused(load_bytes(unaligned, &[b"a"])), Some(LoadError::Fatal));
    let in_kernel = elf(&[segment(1, 5, 0, 0xffff_ffff_ffff_0000, 0x100, 0x100)]);
    assert_eq!(refused(load_bytes(in_kernel, &[b"a"])), Some(LoadError::Fatal));
}

#[test]
fn interpreters_are_opened_and_checked() {
    let with = |path: &[u8]| {
        let mut bytes =
            elf(&[segment(3, 4, 0x1000, 0, u64::try_from(path.len()).unwrap(), 0), segment(1, 5, 0, 0x40_0000, 0x100, 0x100)]);
        bytes[0x1000..0x1000 + path.len()].copy_from_slice(path);
        load_bytes(bytes, &[b"a"])
    };
    assert_eq!(refused(with(b"/none\0")), Some(LoadError::Refused(Errno::ENOENT)));
    assert_eq!(refused(with(b"/junk\0")), Some(LoadError::Refused(Errno::ELIBBAD)));
    assert_eq!(refused(with(b"/sh")), Some(LoadError::Refused(Errno::ENOEXEC)), "no NUL");
}

#[test]
fn too_long_arguments_are_e2big() {
    let program = || elf(&[segment(1, 5, 0, 0x40_0000, 0x100, 0x100)]);
    let long = vec![b'x'; stack::MAX_ARG_STRLEN];
    let e2big = Some(LoadError::Refused(Errno::E2BIG));
    assert_eq!(refused(load_bytes(program(), &[&long])), e2big, "one string");
    let many: Vec<&[u8]> = std::iter::repeat_n(&long[1..], 17).collect();
    assert_eq!(refused(load_bytes(program(), &many)), e2big, "a quarter of the stack");
    assert!(load_bytes(program(), &many[..15]).is_ok());
}

/// A small generator; the sequence is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn no_mutated_header_panics_and_no_mapping_leaves_the_image_area() {
    let small = elf(&[segment(1, 5, 0, 0x40_0000, 0x100, 0x100), segment(1, 6, 0x1000, 0x40_1000, 0x100, 0x2100)]);
    let host = std::fs::read("/bin/true").unwrap_or_else(|_| small.clone());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut loaded = 0;
    for round in 0..20_000 {
        let mut bytes = if round % 2 == 0 { host.clone() } else { small.clone() };
        let headers = u64::try_from(bytes.len().min(if round % 2 == 0 { 900 } else { 176 })).unwrap();
        for _ in 0..1 + random.next() % 4 {
            let at = usize::try_from(random.next() % headers).unwrap();
            let interesting = [0, 1, 0x7f, 0x80, 0xff, random.next().to_le_bytes()[0]];
            bytes[at] = interesting[usize::try_from(random.next() % 6).unwrap()];
        }
        let Ok(program) = load_bytes(bytes, &[b"a"]) else { continue };
        loaded += 1;
        for op in &program.image.ops {
            if let ImageOp::Mmap(m) = op {
                let end = m.addr.checked_add(m.len).unwrap();
                let stub = 0x7d00_0000_0000..0x7d00_8000_0000u64;
                assert!(m.addr % 4096 == 0 && m.len % 4096 == 0 && end < TOP);
                assert!(end <= stub.start || m.addr >= stub.end, "{m:?}");
            }
        }
    }
    assert!(loaded > 1000, "{loaded} of the mutants were loadable");
}
