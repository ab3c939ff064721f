//! Checks on the linked stub and on the layout that it shares with the sentry.

use std::path::PathBuf;
use std::process::Command;

use bevor_stub::STUB_ELF;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, OpKind, Register};

fn word<const N: usize>(at: usize) -> [u8; N] {
    STUB_ELF[at..at + N].try_into().unwrap()
}

/// Program headers: type, flags, file offset, address, file size.
fn segments() -> Vec<(u32, u32, usize, u64, usize)> {
    let phoff = usize::try_from(u64::from_le_bytes(word(32))).unwrap();
    let phnum = usize::from(u16::from_le_bytes(word(56)));
    let header = |i: usize| {
        let at = phoff + 56 * i;
        let size = |field: usize| usize::try_from(u64::from_le_bytes(word(at + field))).unwrap();
        let kind = u32::from_le_bytes(word(at));
        (kind, u32::from_le_bytes(word(at + 4)), size(8), u64::from_le_bytes(word(at + 16)), size(32))
    };
    (0..phnum).map(header).collect()
}

/// Address ranges of functions, from the symbol table (type FUNC or code labels), as (name, address).
fn symbols() -> Vec<(String, u64)> {
    let shoff = usize::try_from(u64::from_le_bytes(word(40))).unwrap();
    let shnum = usize::from(u16::from_le_bytes(word(60)));
    let section = |i: usize| {
        let at = shoff + 64 * i;
        let field = |f: usize| usize::try_from(u64::from_le_bytes(word(at + f))).unwrap();
        (u32::from_le_bytes(word(at + 4)), field(24), field(32), usize::try_from(u32::from_le_bytes(word(at + 40))).unwrap())
    };
    let mut found = Vec::new();
    for i in 0..shnum {
        let (kind, offset, size, link) = section(i);
        if kind != 2 {
            continue;
        }
        let (_, names, _, _) = section(link);
        for sym in (offset..offset + size).step_by(24) {
            let name_at = names + usize::try_from(u32::from_le_bytes(word(sym))).unwrap();
            let len = STUB_ELF[name_at..].iter().position(|b| *b == 0).unwrap();
            let name = String::from_utf8_lossy(&STUB_ELF[name_at..name_at + len]).into_owned();
            found.push((name, u64::from_le_bytes(word(sym + 8))));
        }
    }
    found
}

fn is_vector_or_x87(register: Register) -> bool {
    register.is_vector_register() || register.is_st() || register.is_mm() || register.is_k() || register.is_tmm()
}

/// Every instruction of the executable segment's code (up to the read-only data).
fn instructions() -> Vec<Instruction> {
    let end = symbols().into_iter().find(|(n, _)| n == "text_end").expect("the linker script names the end of the code").1;
    let (_, _, offset, base, _) = segments().into_iter().find(|s| s.0 == 1 && s.1 & 1 != 0).unwrap();
    let len = usize::try_from(end - base).unwrap();
    Decoder::with_ip(64, &STUB_ELF[offset..offset + len], base, DecoderOptions::NONE).into_iter().collect()
}

#[test]
fn the_stub_leaves_vector_and_x87_registers_alone() {
    let symbols = symbols();
    let at = |name: &str| symbols.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} is linked")).1;
    // The one named place: it stores the application's state in a signal frame.
    let named = at("xsave_user")..at("word_end");
    let mut info = InstructionInfoFactory::new();
    let mut xsaves = 0;
    for i in instructions() {
        if i.code() == Code::Xsave64_mem {
            xsaves += 1;
            assert!(named.contains(&i.ip()), "xsave64 outside its place at {:#x}", i.ip());
            continue;
        }
        let touched = info.info(&i).used_registers().iter().find(|u| is_vector_or_x87(u.register()));
        assert!(touched.is_none(), "{:?} at {:#x} uses {touched:?}", i.code(), i.ip());
    }
    assert_eq!(xsaves, 1, "the decoder has seen the xsave code");
}

#[test]
fn host_calls_stand_in_the_gate_page_only() {
    let calls: Vec<u64> = instructions()
        .iter()
        .filter(|i| matches!(i.code(), Code::Syscall | Code::Sysenter | Code::Int_imm8))
        .map(|i| i.ip())
        .collect();
    assert!(!calls.is_empty());
    for ip in calls {
        assert!((bevor_stub::layout::STUB_BASE..bevor_stub::layout::STUB_BASE + 0x1000).contains(&ip), "host call at {ip:#x}");
    }
}

#[test]
fn no_segment_is_writable_and_executable() {
    for (kind, flags, ..) in segments() {
        assert!(kind != 1 || flags & 3 != 3);
    }
}

#[test]
fn the_two_descriptions_of_the_layout_agree() {
    use bevor_stub::layout as l;
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layout.c");
    let program = dir.join("layout");
    let include = concat!("-I", env!("CARGO_MANIFEST_DIR"), "/c");
    assert!(Command::new("cc").args([include, source, "-o"]).arg(&program).status().unwrap().success());
    let out = Command::new(&program).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let c = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("{name} is printed"));
        line.split(' ').nth(1).unwrap().parse().unwrap()
    };
    let size = |n: usize| u64::try_from(n).unwrap();
    let pairs = [
        ("req_seq", size(l::channel::REQ_SEQ)),
        ("args", size(l::channel::ARGS)),
        ("in", size(l::channel::IN)),
        ("in_used", size(l::channel::IN_USED)),
        ("rep_seq", size(l::channel::REP_SEQ)),
        ("result", size(l::channel::RESULT)),
        ("nr", size(l::channel::NR)),
        ("req_kind", size(l::channel::REQ_KIND)),
        ("rep_kind", size(l::channel::REP_KIND)),
        ("in_small", size(l::channel::IN_SMALL)),
        ("out0", size(l::channel::OUT0)),
        ("out1", size(l::channel::OUT1)),
        ("out_small", size(l::channel::OUT_SMALL)),
        ("kick", size(l::channel::KICK)),
        ("forked_pid", size(l::channel::FORKED_PID)),
        ("clear_tid", size(l::channel::CLEAR_TID)),
        ("robust_list", size(l::channel::ROBUST_LIST)),
        ("nout", size(l::channel::NOUT)),
        ("op", size(l::channel::OP)),
        ("watched", size(l::channel::WATCHED)),
        ("park_seq", size(l::channel::PARK_SEQ)),
        ("pending", size(l::channel::PENDING)),
        ("local_calls", size(l::channel::LOCAL_CALLS)),
        ("slot", size(l::channel::SLOT)),
        ("space", size(l::channel::SPACE)),
        ("id", size(l::channel::ID)),
        ("sigmask", size(l::channel::SIGMASK)),
        ("alt_sp", size(l::channel::ALT_SP)),
        ("host_tid", size(l::channel::HOST_TID)),
        ("data", size(l::channel::DATA)),
        ("channel", size(l::CHANNEL_SIZE)),
        ("image_op", size(l::image_op::SIZE)),
        ("image_op_id", size(l::image_op::ID)),
        ("signal_frame", size(l::signal_frame::SIZE)),
        ("signal_frame_info", size(l::signal_frame::INFO)),
        ("boot_bpf", size(l::boot::BPF)),
        ("STUB_BASE", l::STUB_BASE),
        ("CHANNEL_BASE", l::CHANNEL_BASE),
        ("STACK_BASE", l::STACK_BASE),
        ("STUB_END", l::STUB_END),
        ("SLAB_SIZE", size(l::SLAB_SIZE)),
        ("NOTIF_NR", u64::from(l::NOTIF_NR)),
        ("REQ_PATCH", u64::from(l::REQ_PATCH)),
        ("REQ_CLONED", u64::from(l::REQ_CLONED)),
        ("REP_LOCAL", u64::from(l::REP_LOCAL)),
        ("REP_FORK", u64::from(l::REP_FORK)),
        ("REP_PATCH", u64::from(l::REP_PATCH)),
        ("TRAMPOLINE_MAGIC", l::TRAMPOLINE_MAGIC),
    ];
    for (name, rust) in pairs {
        assert_eq!(c(name), rust, "{name}");
    }
}

#[test]
fn memory_operands_never_use_absolute_low_addresses() {
    // A wrong code model would make the linker truncate addresses; every absolute operand is GS-relative.
    for i in instructions() {
        for op in 0..i.op_count() {
            if i.op_kind(op) == OpKind::Memory && i.memory_base() == Register::None && i.memory_index() == Register::None {
                assert_eq!(i.memory_segment(), Register::GS, "{:?} at {:#x}", i.code(), i.ip());
            }
        }
    }
}
