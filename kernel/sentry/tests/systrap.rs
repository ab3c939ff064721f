//! Real programs on the systrap platform, in a tmpfs: skipped by nothing, it needs a C compiler and a host that lets user
//! notification through.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock};

use bevor_abi::Errno;
use bevor_abi::fs::o;
use bevor_core::creds::Credentials;
use bevor_core::io::{SliceSource, VecSink};
use bevor_core::time::Timers;
use bevor_core::vfs::{Caller, FdTable, File, FsContext, MountNamespace, OpenRequest, Opened, Vfs, WalkFlags};
use bevor_hostcall::HostFd;
use bevor_platform::systrap::{Systrap, Zygote, ZygoteOptions};
use bevor_sentry::boot::{BootConfig, BootError, Filesystem, run};
use parking_lot::Mutex;

/// The guest, static and static-PIE. Both are made before any platform starts, since a platform reaps every child of the process.
static GUESTS: LazyLock<[Vec<u8>; 2]> =
    LazyLock::new(|| [compile(&["-static"], "static"), compile(&["-static-pie"], "static-pie")]);

fn build(flags: &[&str]) -> Vec<u8> {
    GUESTS[usize::from(flags.contains(&"-static-pie"))].clone()
}

fn compile(flags: &[&str], name: &str) -> Vec<u8> {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest.c");
    let status = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&out).args(flags).arg(source).status().expect("cc runs");
    assert!(status.success());
    std::fs::read(out).expect("cc has made it")
}

fn make(fs: &FsContext, path: &[u8], mode: u32, data: &[u8]) -> Arc<File> {
    let creds = Credentials::root();
    let caller = Caller { creds: &creds, pid: 1, tid: 1 };
    let request = OpenRequest { flags: o::CREAT | o::RDWR, mode, resolve: WalkFlags::empty() };
    let Ok(Opened::File(file)) = fs.open(None, path, caller, &request) else { panic!("cannot make a file") };
    let mut source = SliceSource(data);
    while !source.0.is_empty() {
        assert_ne!(file.write(&mut source).expect("tmpfs has room"), 0);
    }
    file
}

type Output = Arc<Mutex<Option<Arc<File>>>>;

fn config(guest: Vec<u8>, argv: &[&str], output: &Output) -> BootConfig {
    let output = Arc::clone(output);
    BootConfig {
        argv: argv.iter().map(|a| a.as_bytes().to_vec()).collect(),
        env: vec![b"K=V".to_vec()],
        cwd: b"/".to_vec(),
        cwd_required: true,
        filesystem: Box::new(move |timers: &Arc<dyn Timers>| {
            let vfs = Vfs::new(Arc::clone(timers));
            vfs.set_read_only(Box::new(|fd| match std::fs::File::open(format!("/proc/self/fd/{}", fd.raw())) {
                Ok(file) => Ok(HostFd::new(file.into())),
                Err(_) => Err(Errno::EACCES),
            }));
            let root = bevor_fs::tmpfs::TmpFs::new(&vfs, 0o755);
            let mount = vfs.new_mount(root, "tmpfs", 0);
            let fs = FsContext::new(MountNamespace::new(vfs, mount));
            drop(make(&fs, b"/guest", 0o755, &guest));
            drop(make(&fs, b"/script", 0o755, b"#!/guest again\n"));
            drop(make(&fs, b"/text", 0o755, b"no program\n"));
            let out = make(&fs, b"/out", 0o644, b"");
            let files = FdTable::new();
            for _ in 0..3 {
                files.alloc(Arc::clone(&out), false, 0, 16)?;
            }
            *output.lock() = Some(out);
            Ok(Filesystem { fs, files })
        }),
        creds: Credentials::root(),
        signal_mask: 0,
        ignored_signals: 0,
        rlimits: bevor_hostcall::host::rlimits(),
        hints: Vec::new(),
        strace: std::env::var_os("BEVOR_TEST_STRACE").is_some(),
        debug_log: Some(Box::new(std::io::stderr())),
        local_calls: true,
        boot_nonce: Some("1".into()),
        fault: None,
        torture: None,
        defences: bevor_platform::Defences::default(),
        unkillable: false,
    }
}

fn platform() -> Arc<Systrap> {
    LazyLock::force(&GUESTS);
    let zygote = Zygote::spawn(ZygoteOptions::default()).expect("the zygote starts");
    Arc::new(Systrap::start(zygote).expect("the workers start"))
}

fn text(output: &Output) -> String {
    let file = output.lock().clone().expect("the file system was made");
    let mut data = Vec::new();
    let room = 1 << 16;
    file.pread(0, &mut VecSink { data: &mut data, room }).expect("tmpfs reads");
    String::from_utf8_lossy(&data).into_owned()
}

fn guest_passes(flags: &[&str], change: impl FnOnce(&mut BootConfig)) {
    let output = Output::default();
    let mut config = config(build(flags), &["/guest", "first"], &output);
    change(&mut config);
    let status = run(config, platform()).expect("it starts");
    let text = text(&output);
    assert_eq!(status.code(), Some(0), "status {status:?}\n{text}");
    assert!(text.ends_with("ok vfork and exec\n"), "{text}");
}

#[test]
fn a_static_program_forks_waits_threads_and_gets_signals() {
    guest_passes(&["-static"], |_| {});
}

#[test]
fn a_static_pie_does_so_too() {
    guest_passes(&["-static-pie"], |_| {});
}

#[test]
fn nothing_changes_without_local_calls() {
    guest_passes(&["-static"], |c| c.local_calls = false);
}

#[test]
fn nothing_changes_when_sleeping_calls_are_made_again_at_random() {
    guest_passes(&["-static"], |c| c.torture = Some(1));
}

#[test]
fn what_cannot_be_started_is_an_error() {
    let output = Output::default();
    let missing = run(config(Vec::new(), &["/nothing"], &output), platform());
    assert_eq!(missing, Err(BootError::NotFound(b"/nothing".to_vec())));
    let text = run(config(Vec::new(), &["/text"], &output), platform());
    assert_eq!(text, Err(BootError::NotExecutable(b"/text".to_vec(), bevor_abi::Errno::ENOEXEC)));
}
