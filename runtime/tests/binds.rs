//! Folders of the host that a sandbox may write (`--bind`): whose the files are, and what of the guest's reaches the host.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

mod common;
use common::{bevor, is_root};

/// Runs a script of Perl with `dir` at /b; what it wrote.
fn perl(dir: &Path, options: &str, script: &str) -> String {
    let bind = format!("{}:/b{options}", dir.display());
    let output = Command::new(bevor()).args(["do", "--bind", &bind, "--", "perl", "-e", script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn file(path: &Path, contents: &str, owner: u32, mode: u32) {
    std::fs::write(path, contents).unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().mode() & 0o7777
}

/// As nobody, everything that only an owner may do, before and after the file was opened.
const TAKE_OVER: &str = r#"
    sub try { my ($f) = @_; my @done;
        push @done, "chmod" if chmod 0666, $f;
        open(my $r, "<", $f) or die "open: $!";
        sysread($r, my $data, 10);
        push @done, "owner " . (stat $r)[4];
        push @done, "fchmod" if chmod 0666, $r;
        push @done, "utime" if utime 1, 1, $r;
        push @done, "fchown" if chown 65534, 65534, $r;
        push @done, "chmod again" if chmod 0666, $f;
        my $w; push @done, "write" if open($w, "+<", $f) and syswrite $w, "mine";
        push @done, "truncate" if truncate $f, 4;
        push @done, "set-id" if chmod 04755, $r;
        print join(", ", @done), "\n";
    }
    open(my $earlier, "<", "/b/root") or die; sysread($earlier, my $data, 1);
    $) = "65534 65534"; $( = 65534; $< = $> = 65534; $> == 65534 or die;
    try("/b/root"); try("/b/own");
"#;

#[test]
fn nobody_takes_no_file_of_roots_over() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [root, own] = ["root", "own"].map(|name| dir.path().join(name));
    file(&root, "roots", 0, 0o644);
    file(&own, "nobodys", 65534, 0o644);
    let text = perl(dir.path(), "", TAKE_OVER);
    // The second line shows that each of these works for an owner.
    let all = "chmod, owner 65534, fchmod, utime, fchown, chmod again, write, truncate, set-id";
    assert_eq!(text, format!("owner 0\n{all}\n"));
    assert_eq!((std::fs::read(&root).unwrap(), mode(&root)), (b"roots".to_vec(), 0o644));
    assert_eq!(std::fs::read(&own).unwrap(), b"mine");
}

#[test]
fn owners_inside_are_the_hosts() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    file(&path, "x", 1234, 0o640);
    let script = r#"
        sub show { printf "%d:%d %o\n", @s[4,5], $s[2] & 07777 if @s = stat $_[0] }
        open(my $r, "+<", "/b/f") or die; show($r);
        chown 77, 78, $r; show($r); chmod 0604, $r; show($r); syswrite $r, "y"; show($r); show("/b/f");
        $| = 1; mkdir "/b/go"; while (! -e "/b/went") { select undef, undef, undef, 0.01 } show($r);
    "#;
    // Meanwhile the host gives it to somebody else.
    let host = std::thread::spawn({
        let (dir, path) = (dir.path().to_owned(), path.clone());
        move || {
            while !dir.join("go").exists() {
                std::thread::yield_now();
            }
            let before = path.metadata().unwrap();
            chown(&path, Some(99), Some(98)).unwrap();
            std::fs::create_dir(dir.join("went")).unwrap();
            (before.uid(), before.gid())
        }
    });
    assert_eq!(perl(dir.path(), "", script), "1234:1234 640\n77:78 640\n77:78 604\n77:78 604\n77:78 604\n99:98 604\n");
    assert_eq!(host.join().unwrap(), (77, 78));
}

#[test]
fn appends_of_several_processes_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"
        for my $n (0 .. 3) { fork() or do {
            open(my $f, ">>", "/b/f") or die; syswrite $f, $n x 31 . "\n" for 1 .. 300; exit 0 } }
        1 while wait() > 0;
        open(my $f, ">>", "/b/f"); syswrite $f, "end\n"; print sysseek($f, 0, 1);
    "#;
    let whole = 4 * 300 * 32 + 4;
    assert_eq!(perl(dir.path(), "", script), whole.to_string());
    let text = std::fs::read_to_string(dir.path().join("f")).unwrap();
    assert_eq!(text.len(), whole);
    for n in 0..4 {
        let line = n.to_string().repeat(31);
        assert_eq!(text.lines().filter(|l| **l == line).count(), 300);
    }
}

#[test]
fn set_id_bits_stay_inside_unless_the_bind_says_so() {
    let script = r#"
        open(my $f, ">", "/b/tool") or die; close $f; chmod 06755, "/b/tool" or die;
        printf "%o", (stat "/b/tool")[2] & 07777;
    "#;
    for (options, expected) in [("", 0o755), (":rw:suid", 0o6755), (":suid", 0o6755)] {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(perl(dir.path(), options, script), format!("{expected:o}"), "{options}");
        assert_eq!(mode(&dir.path().join("tool")), expected, "{options}");
    }
}

/// Whether a file of the host has capabilities.
fn is_capable(path: &Path) -> bool {
    rustix::fs::getxattr(path, "security.capability", &mut [0_u8; 64][..]).is_ok()
}

/// However a guest makes a file, and whatever it does to one of the host's with such bits.
#[test]
fn no_way_plants_or_keeps_what_grants_rights() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // CAP_SETUID, permitted and effective.
    let capability = [1, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let none = rustix::fs::XattrFlags::empty();
    let ways = ["write", "append", "pwrite", "truncate", "cut", "allocate", "punch", "mapped", "copied", "kept"];
    for name in ways {
        let path = dir.path().join(name);
        file(&path, "contents", 0, 0o666);
        rustix::fs::setxattr(&path, "security.capability", &capability, none).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o6777)).unwrap();
        assert!(is_capable(&path));
    }
    let script = r#"
import ctypes, mmap, os, stat
os.chdir("/b")
os.umask(0)
libc = ctypes.CDLL(None)
os.close(os.open("opened", os.O_CREAT | os.O_WRONLY, 0o6755))
os.mknod("node", 0o6755 | stat.S_IFREG)
os.mkfifo("fifo", 0o6755)
for name, mode in ("tmpfile", 0o6755), ("tmpfile-later", 0o600):
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR, mode)
    if mode == 0o600: os.fchmod(fd, 0o6755)
    assert libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, name.encode(), 0x400) == 0
open("/tmp/f", "w").close()
os.chmod("/tmp/f", 0o6755)
assert os.stat("/tmp/f").st_mode & 0o6000 == 0o6000
os.system("cp -p /tmp/f copy; mv /tmp/f moved")
os.link("copy", "linked")
for name in "security.capability", "system.posix_acl_access", "trusted.a":
    try: os.setxattr("opened", name, b"\x01\x00\x00\x02" + bytes(16))
    except OSError: pass
def at(name, flags=os.O_RDWR): return os.open(name, flags)
os.write(at("write", os.O_WRONLY), b"x")
os.write(at("append", os.O_WRONLY | os.O_APPEND), b"x")
os.pwrite(at("pwrite"), b"x", 1)
os.truncate("truncate", 3)
os.close(at("cut", os.O_WRONLY | os.O_TRUNC))
os.posix_fallocate(at("allocate"), 0, 9999)
assert libc.fallocate(at("punch"), 3, ctypes.c_long(0), ctypes.c_long(4)) == 0
mmap.mmap(at("mapped"), 8)[0:1] = b"x"
os.copy_file_range(at("kept", os.O_RDONLY), at("copied"), 3, 0, 0)
print(end="done")
"#;
    for options in ["", ":suid"] {
        let bind = format!("{}:/b{options}", dir.path().display());
        let output =
            Command::new(bevor()).args(["do", "--bind", &bind, "--", "/usr/bin/python3", "-c", script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "done", "{output:?}");
        for name in ["opened", "node", "fifo", "tmpfile", "tmpfile-later", "copy", "moved", "linked"] {
            let path = dir.path().join(name);
            let bits = if options.is_empty() { 0 } else { 0o6000 };
            assert_eq!((mode(&path) & 0o6000, is_capable(&path)), (bits, false), "{name}{options}");
            std::fs::remove_file(path).unwrap();
        }
        for name in ways {
            let path = dir.path().join(name);
            let kept = name == "kept";
            assert_eq!(is_capable(&path), kept, "{name}");
            assert_eq!(mode(&path) & 0o6000, if kept { 0o6000 } else { 0 }, "{name}");
        }
    }
}

/// Names that the host has given a file before.
#[test]
fn what_is_the_files_is_so_by_each_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a"), "x").unwrap();
    std::fs::copy("/bin/sleep", at("program")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        rustix::fs::makedev(0, 0),
    )
    .unwrap();
    for name in ["a", "program", "fifo"] {
        std::fs::hard_link(at(name), at(&format!("{name}2"))).unwrap();
    }
    let script = r#"
import fcntl, os
os.chdir("/b")
def refused(call):
    try: call()
    except OSError as e: return e.strerror
a, b = (os.open(name, os.O_RDWR) for name in ("a", "a2"))
fcntl.flock(a, fcntl.LOCK_EX | fcntl.LOCK_NB)
print(refused(lambda: fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)))
f, g = (os.open(name, os.O_RDWR | os.O_NONBLOCK) for name in ("fifo", "fifo2"))
os.write(f, b"through")
print(os.read(g, 9))
os.posix_spawn("program", ["sleep", "1000"], {})
while refused(lambda: os.close(os.open("program", os.O_RDWR))) is None: pass
print(refused(lambda: os.open("program2", os.O_RDWR)))
os.rename("a", "c"); os.link("c", "d")
print([refused(lambda: fcntl.flock(os.open(n, os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)) for n in ("c", "d", "a2")])
"#;
    let bind = format!("{}:/b", dir.path().display());
    let output = Command::new(bevor()).args(["do", "--bind", &bind, "--", "/usr/bin/python3", "-c", script]).output().unwrap();
    let locked = "Resource temporarily unavailable";
    let expected = format!("{locked}\nb'through'\nText file busy\n['{locked}', '{locked}', '{locked}']\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
}

#[test]
fn roots_of_host_file_systems_have_numbers_of_their_own() {
    // With as many numbers as directories, no walk takes one for its own root.
    let script = "use strict; my %seen; for my $d ('/', glob('/*'), glob('/dev/*')) { next if -l $d or not -d _;
        my ($dev, $ino) = stat $d; my $id = qq($dev:$ino); print qq($d is $seen{$id}\n) if $id eq join(':', (stat '/')[0, 1]) and $d ne '/';
        $seen{$id} = $d; } print 'end';";
    let output = Command::new(bevor()).args(["do", "--", "perl", "-e", script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "end", "{output:?}");
}

/// The value of a file's access control list with these entries (tag, permissions, id).
fn access_list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        value.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        value.extend(id.to_le_bytes());
    }
    value
}

/// What the lists say beyond the mode counts on a bind, over the root, and for the copy that a change there makes.
#[test]
fn access_control_lists_count_beside_the_mode() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let none = u32::MAX;
    // Refused to nobody alone, granted to nobody alone, and a group's whose bits are the mask.
    let lists = [
        ("refused", 0o644, [(1, 6, none), (2, 0, 65534), (4, 4, none), (0x10, 4, none), (0x20, 4, none)]),
        ("granted", 0o600, [(1, 6, none), (2, 6, 65534), (4, 0, none), (0x10, 6, none), (0x20, 0, none)]),
        ("group", 0o600, [(1, 6, none), (4, 0, none), (8, 4, 77), (0x10, 6, none), (0x20, 0, none)]),
    ];
    for (name, mode, list) in &lists {
        let path = dir.path().join(name);
        file(&path, name, 0, *mode);
        chown(&path, Some(0), Some(65534)).unwrap();
        let list = access_list(list);
        rustix::fs::setxattr(&path, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty()).unwrap();
    }
    let script = |dir: &str| {
        format!(
            r#"sub look {{ for my $f ("refused", "granted", "group") {{
                my $h; my $r = open($h, "<", "{dir}/$f") ? "r" : "-";
                my $w = open($h, "+<", "{dir}/$f") ? "w" : "-";
                print "$r$w ";
            }} print "\n" }}
            sub nobody {{ fork() or do {{ $) = "65534 65534"; $( = 65534; $< = $> = 65534; look(); exit }}; wait }}
            look(); nobody(); chmod 0640, "{dir}/granted"; nobody();
            my $h; open($h, ">>", "{dir}/$_") for "refused", "group"; nobody();"#
        )
    };
    let expected = "rw rw rw \n-- rw -- \n-- r- -- \n-- r- -- \n";
    let here = dir.path().to_str().unwrap();
    let output = Command::new(bevor()).args(["do", "--", "perl", "-e", &script(here)]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "over the root: {output:?}");
    assert_eq!(perl(dir.path(), "", &script("/b")), expected);
    assert_eq!(mode(&dir.path().join("granted")), 0o640);
}

/// A limit of the caller's is the program's, not the kernel's: it neither keeps the sandbox from starting nor ends it.
#[test]
fn the_callers_limits_are_the_programs() {
    let dir = tempfile::tempdir().unwrap();
    let script = r#"ulimit -Sn 77; ulimit "$2" 8; exec "$0" do --bind "$1:/b" -- /bin/sh -c '
        ulimit -Sn; trap "" XFSZ
        for f in /b/f /tmp/f; do head -c 100000 /dev/zero >$f 2>/dev/null; wc -c <$f; truncate -s 1M $f 2>/dev/null || echo no; done'"#;
    let run =
        |limit: &str| Command::new("/bin/sh").args(["-c", script]).arg(bevor()).arg(dir.path()).arg(limit).output().unwrap();
    let output = run("-Sf");
    let text = "77\n4096\nno\n4096\nno\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{output:?}");
    // Who may not raise the hard limit has it in the kernel, too, which says so.
    let output = run("-f");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout == text.as_bytes() || error.contains("limit of file sizes"), "{output:?}");
}
