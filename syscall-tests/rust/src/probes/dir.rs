//! Directories and names: mkdir, rmdir, unlink, rename, link, symlink, readlink, getdents, chdir.

use libc::{AT_FDCWD, AT_REMOVEDIR, O_DIRECTORY, O_RDONLY, O_RDWR};

use super::prelude::*;

pub(super) const PROBES: &[Probe] = &[
    probe("dir/mkdir", &["create", "at", "exists", "parent", "below_file", "slash"], mkdir),
    probe("dir/rmdir", &["empty", "full", "file", "dot", "removedir"], rmdir),
    probe("dir/unlink", &["open_file", "reads_on", "one_of_two", "directory", "missing", "symlink", "flags"], unlink),
    probe("dir/rename", &["replaces", "same_inode", "directory", "over_full", "into_itself", "kinds", "missing"], rename),
    probe("dir/renameat2", &["noreplace", "noreplace_free", "exchange", "exchange_missing", "both"], renameat2),
    probe("dir/link", &["link", "exists", "directory", "symlink", "follow", "missing"], link),
    probe("dir/symlink", &["create", "read", "short", "not_link", "zero", "exists", "dangling"], symlink),
    probe("dir/getdents", &["entries", "end", "rewound", "small", "file", "unlinked_seen"], getdents),
    probe(
        "dir/mknod",
        &["fifo", "regular", "untyped", "socket", "umask", "exists", "directory", "bad_type", "missing", "denied"],
        mknod,
    ),
    probe("dir/getdents_old", &["entries", "types", "end", "small", "file", "ebadf"], getdents_old),
    probe("dir/chdir", &["chdir", "fchdir", "file", "range", "removed", "efault"], chdir),
];

fn mkdir() {
    sys!(umask, 0o026).must();
    let r = sys!(mkdir, c"d", 0o1777);
    let st = lstat(c"d");
    obs("create", r)
        .arg("mode", hex(0o1777))
        .state("mode", hex(st.st_mode))
        .state("uid", rel(i64::from(st.st_uid), sys!(geteuid).raw));
    let d = open(c"d", O_RDONLY | O_DIRECTORY);
    let r = sys!(mkdirat, d, c"sub", 0o755);
    obs("at", r).arg("dirfd", fd(d)).state("mode", hex(lstat(c"d/sub").st_mode));
    let r = sys!(mkdir, c"d", 0o700);
    obs("exists", r).state("mode", hex(lstat(c"d").st_mode));
    obs("parent", sys!(mkdir, c"no/d", 0o700)).state("parent", errno(lstat_errno(c"no")));
    put(c"f", b"");
    obs("below_file", sys!(mkdir, c"f/d", 0o700));
    let r = sys!(mkdir, c"s/", 0o700);
    obs("slash", r).state("mode", hex(lstat(c"s").st_mode));
}

fn rmdir() {
    for d in [c"a", c"b", c"b/in", c"c"] {
        sys!(mkdir, d, 0o755).must();
    }
    put(c"f", b"");
    let r = sys!(rmdir, c"a");
    obs("empty", r).state("gone", errno(lstat_errno(c"a")));
    let r = sys!(rmdir, c"b");
    obs("full", r).state("kept", errno(lstat_errno(c"b/in")));
    let r = sys!(rmdir, c"f");
    obs("file", r).state("kept", errno(lstat_errno(c"f")));
    obs("dot", sys!(rmdir, c"b/in/.")).state("kept", errno(lstat_errno(c"b/in")));
    let r = sys!(unlinkat, AT_FDCWD, c"c", AT_REMOVEDIR);
    obs("removedir", r).arg("flags", hex(AT_REMOVEDIR)).state("gone", errno(lstat_errno(c"c")));
}

fn unlink() {
    put(c"f", b"still here");
    let f = open(c"f", O_RDWR);
    let r = sys!(unlink, c"f");
    obs("open_file", r).state("gone", errno(lstat_errno(c"f"))).state("nlink", uint(fstat(f).st_nlink));
    let mut data = [0_u8; 5];
    let r = sys!(read, f, &mut data, 5);
    obs("reads_on", r).state("data", bytes(data));
    put(c"a", b"x");
    sys!(link, c"a", c"b").must();
    let r = sys!(unlinkat, AT_FDCWD, c"a", 0);
    obs("one_of_two", r)
        .state("gone", errno(lstat_errno(c"a")))
        .state("nlink", uint(lstat(c"b").st_nlink))
        .state("data", bytes(get(c"b")));
    sys!(mkdir, c"d", 0o755).must();
    let r = sys!(unlink, c"d");
    obs("directory", r).state("kept", errno(lstat_errno(c"d")));
    obs("missing", sys!(unlink, c"nothing"));
    sys!(symlink, c"b", c"link").must();
    let r = sys!(unlink, c"link");
    obs("symlink", r).state("gone", errno(lstat_errno(c"link"))).state("target", errno(lstat_errno(c"b")));
    let r = sys!(unlinkat, AT_FDCWD, c"b", 0x4000);
    obs("flags", r).arg("flags", hex(0x4000)).state("kept", errno(lstat_errno(c"b")));
}

fn rename() {
    put(c"a", b"new");
    put(c"b", b"old one");
    let before = lstat(c"a").st_ino;
    let old = open(c"b", O_RDONLY);
    let r = sys!(rename, c"a", c"b");
    obs("replaces", r)
        .state("gone", errno(lstat_errno(c"a")))
        .state("data", bytes(get(c"b")))
        .state("same_inode", yes(lstat(c"b").st_ino == before))
        .state("old_nlink", uint(fstat(old).st_nlink));
    sys!(link, c"b", c"hard").must();
    let r = sys!(rename, c"b", c"hard");
    obs("same_inode", r).state("first", errno(lstat_errno(c"b"))).state("second", errno(lstat_errno(c"hard")));
    for d in [c"d", c"e", c"full"] {
        sys!(mkdir, d, 0o755).must();
    }
    put(c"d/in", b"in");
    put(c"full/x", b"x");
    let r = sys!(renameat, AT_FDCWD, c"d", AT_FDCWD, c"e");
    obs("directory", r).state("data", bytes(get(c"e/in"))).state("gone", errno(lstat_errno(c"d")));
    let r = sys!(rename, c"e", c"full");
    obs("over_full", r).state("kept", errno(lstat_errno(c"full/x")));
    obs("into_itself", sys!(rename, c"e", c"e/below")).state("kept", errno(lstat_errno(c"e/in")));
    obs("kinds", sys!(rename, c"b", c"e")).state("kept", errno(lstat_errno(c"b")));
    obs("missing", sys!(rename, c"nothing", c"b")).state("kept", errno(lstat_errno(c"b")));
}

fn renameat2() {
    let (noreplace, exchange) = (1, 2);
    put(c"a", b"a");
    put(c"b", b"b");
    let r = sys!(renameat2, AT_FDCWD, c"a", AT_FDCWD, c"b", noreplace);
    obs("noreplace", r).arg("flags", hex(noreplace)).state("a", bytes(get(c"a"))).state("b", bytes(get(c"b")));
    let r = sys!(renameat2, AT_FDCWD, c"a", AT_FDCWD, c"c", noreplace);
    obs("noreplace_free", r).arg("flags", hex(noreplace)).state("c", bytes(get(c"c"))).state("gone", errno(lstat_errno(c"a")));
    let r = sys!(renameat2, AT_FDCWD, c"b", AT_FDCWD, c"c", exchange);
    obs("exchange", r).arg("flags", hex(exchange)).state("b", bytes(get(c"b"))).state("c", bytes(get(c"c")));
    let r = sys!(renameat2, AT_FDCWD, c"b", AT_FDCWD, c"nothing", exchange);
    obs("exchange_missing", r).arg("flags", hex(exchange)).state("b", bytes(get(c"b")));
    let r = sys!(renameat2, AT_FDCWD, c"b", AT_FDCWD, c"c", noreplace | exchange);
    obs("both", r).arg("flags", hex(noreplace | exchange)).state("b", bytes(get(c"b")));
}

fn link() {
    put(c"f", b"data");
    sys!(mkdir, c"d", 0o755).must();
    sys!(symlink, c"f", c"s").must();
    let r = sys!(link, c"f", c"g");
    let (f, g) = (lstat(c"f"), lstat(c"g"));
    obs("link", r).state("nlink", uint(f.st_nlink)).state("same", yes(f.st_ino == g.st_ino));
    obs("exists", sys!(link, c"f", c"g")).state("nlink", uint(lstat(c"f").st_nlink));
    obs("directory", sys!(link, c"d", c"d2")).state("made", errno(lstat_errno(c"d2")));
    let r = sys!(linkat, AT_FDCWD, c"s", AT_FDCWD, c"s2", 0);
    obs("symlink", r).arg("flags", hex(0)).state("type", hex(lstat(c"s2").st_mode & libc::S_IFMT));
    let r = sys!(linkat, AT_FDCWD, c"s", AT_FDCWD, c"s3", libc::AT_SYMLINK_FOLLOW);
    obs("follow", r).arg("flags", hex(libc::AT_SYMLINK_FOLLOW)).state("same", yes(lstat(c"s3").st_ino == f.st_ino));
    obs("missing", sys!(link, c"nothing", c"x")).state("made", errno(lstat_errno(c"x")));
}

fn symlink() {
    let r = sys!(symlink, c"some/where", c"l");
    let st = lstat(c"l");
    obs("create", r).state("mode", hex(st.st_mode)).state("size", int(st.st_size));
    let mut buffer = [b'.'; 16];
    let r = sys!(readlink, c"l", &mut buffer, 16);
    obs("read", r).state("buffer", text(buffer));
    let mut buffer = [b'.'; 16];
    let r = sys!(readlinkat, AT_FDCWD, c"l", &mut buffer, 4);
    obs("short", r).arg("size", int(4)).state("buffer", text(buffer));
    put(c"f", b"");
    obs("not_link", sys!(readlink, c"f", &mut buffer, 16));
    obs("zero", sys!(readlink, c"l", &mut buffer, 0)).arg("size", int(0));
    let r = sys!(symlinkat, c"other", AT_FDCWD, c"l");
    let n = sys!(readlink, c"l", &mut buffer, 16).count();
    obs("exists", r).state("target", text(&buffer[..n]));
    obs("dangling", sys!(openat, AT_FDCWD, c"l", O_RDONLY)).fd();
}

/// Names and types from getdents64's buffer.
fn entries(buffer: &[u8]) -> Vec<(String, u8)> {
    let mut found = Vec::new();
    let mut rest = buffer;
    while rest.len() > 19 {
        let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
        let Some(entry) = rest.get(..len).filter(|e| e.len() > 19) else {
            break;
        };
        let name = entry[19..].split(|b| *b == 0).next().unwrap_or_default();
        found.push((String::from_utf8_lossy(name).into_owned(), entry[18]));
        rest = &rest[len..];
    }
    found
}

fn names(buffer: &[u8]) -> Value {
    set(entries(buffer).into_iter().map(|(name, kind)| list([text(name), uint(kind)])))
}

fn getdents() {
    sys!(mkdir, c"d", 0o755).must();
    sys!(mkdir, c"d/sub", 0o755).must();
    put(c"d/file", b"");
    sys!(symlink, c"x", c"d/link").must();
    let d = open(c"d", O_RDONLY | O_DIRECTORY);
    let mut buffer = vec![0_u8; 4096];
    let r = sys!(getdents64, d, buffer.as_mut_slice(), 4096);
    obs("entries", r).ret(yes(r.raw > 0)).state("names", names(&buffer[..r.count()]));
    obs("end", sys!(getdents64, d, buffer.as_mut_slice(), 4096));
    put(c"d/late", b"");
    let r = sys!(lseek, d, 0, libc::SEEK_SET);
    let n = sys!(getdents64, d, buffer.as_mut_slice(), 4096).count();
    obs("rewound", r).state("names", names(&buffer[..n]));
    sys!(lseek, d, 0, libc::SEEK_SET).must();
    obs("small", sys!(getdents64, d, buffer.as_mut_slice(), 8)).arg("count", int(8));
    let f = open(c"d/file", O_RDONLY);
    obs("file", sys!(getdents64, f, buffer.as_mut_slice(), 4096));
    for name in [c"d/late", c"d/file", c"d/link"] {
        sys!(unlink, name).must();
    }
    sys!(rmdir, c"d/sub").must();
    sys!(rmdir, c"d").must();
    obs("unlinked_seen", sys!(getdents64, d, buffer.as_mut_slice(), 4096)).state("nlink", uint(fstat(d).st_nlink));
}

/// The last component of the working directory, or the error.
fn cwd_tail() -> Value {
    let mut path = [0_u8; 4096];
    let r = sys!(getcwd, &mut path, 4096);
    let path = String::from_utf8_lossy(&path[..r.count().saturating_sub(1)]).into_owned();
    match path.rsplit('/').next() {
        Some(tail) if r.errno() == 0 => text(tail),
        _ => errno(r.errno()),
    }
}

fn chdir() {
    sys!(mkdir, c"one", 0o755).must();
    sys!(mkdir, c"one/two", 0o755).must();
    put(c"f", b"");
    let home = open(c".", O_RDONLY | O_DIRECTORY);
    let r = sys!(chdir, c"one/two");
    obs("chdir", r).state("cwd", cwd_tail()).state("up", errno(lstat_errno(c"../two")));
    let r = sys!(fchdir, home);
    obs("fchdir", r).arg("fd", fd(home)).state("file", errno(lstat_errno(c"f")));
    obs("file", sys!(chdir, c"f")).state("file", errno(lstat_errno(c"f")));
    let mut tiny = [0_u8; 2];
    obs("range", sys!(getcwd, &mut tiny, 2)).arg("size", int(2));
    sys!(chdir, c"one/two").must();
    sys!(rmdir, c"../two").must();
    let mut path = [0_u8; 4096];
    obs("removed", sys!(getcwd, &mut path, 4096)).state("create", errno(sys!(mkdir, c"x", 0o755).errno()));
    obs("efault", sys!(chdir, NOWHERE));
}

fn mknod() {
    sys!(umask, 0).must();
    let mode = |name| hex(lstat(name).st_mode);
    let r = sys!(mknod, c"fifo", libc::S_IFIFO | 0o640, 0);
    obs("fifo", r).arg("mode", hex(libc::S_IFIFO | 0o640)).state("mode", mode(c"fifo"));
    let r = sys!(mknod, c"regular", libc::S_IFREG | 0o4711, 0);
    obs("regular", r).arg("mode", hex(libc::S_IFREG | 0o4711)).state("mode", mode(c"regular"));
    let r = sys!(mknod, c"untyped", 0o600, 0);
    obs("untyped", r).arg("mode", hex(0o600)).state("mode", mode(c"untyped"));
    let r = sys!(mknod, c"socket", libc::S_IFSOCK | 0o755, 0);
    obs("socket", r).arg("mode", hex(libc::S_IFSOCK | 0o755)).state("mode", mode(c"socket"));
    sys!(umask, 0o077).must();
    let r = sys!(mknod, c"masked", libc::S_IFIFO | 0o666, 0);
    obs("umask", r).arg("mode", hex(libc::S_IFIFO | 0o666)).state("mode", mode(c"masked"));
    obs("exists", sys!(mknod, c"fifo", libc::S_IFREG | 0o600, 0)).state("mode", mode(c"fifo"));
    obs("directory", sys!(mknod, c"d", libc::S_IFDIR | 0o755, 0)).state("made", errno(lstat_errno(c"d")));
    obs("bad_type", sys!(mknod, c"b", 0o030_600, 0)).arg("mode", hex(0o030_600)).state("made", errno(lstat_errno(c"b")));
    obs("missing", sys!(mknod, c"no/fifo", libc::S_IFIFO | 0o600, 0));
    sys!(chmod, c".", 0o755).must();
    let page = shared();
    in_child(|| {
        sys!(setresuid, 1000, 1000, 1000).must();
        store(page, 0, sys!(mknod, c"theirs", libc::S_IFIFO | 0o600, 0).raw);
        0
    });
    obs("denied", answer("mknod", load(page, 0))).state("made", errno(lstat_errno(c"theirs")));
}

/// Names and types of getdents's records: inode, offset, length, name, NUL, and the type in the last byte.
fn old_records(data: &[u8]) -> Vec<(Vec<u8>, u8)> {
    let mut out = Vec::new();
    let mut rest = data;
    while rest.len() > 18 {
        let len = usize::from(u16::from_ne_bytes([rest[16], rest[17]])).clamp(19, rest.len());
        let name = rest[18..len].split(|b| *b == 0).next().unwrap_or_default().to_vec();
        out.push((name, rest[len - 1]));
        rest = &rest[len..];
    }
    out.sort();
    out
}

fn getdents_old() {
    sys!(mkdir, c"d", 0o755).must();
    put(c"d/file", b"x");
    sys!(mkdir, c"d/sub", 0o755).must();
    sys!(symlink, c"file", c"d/link").must();
    let d = open(c"d", O_RDONLY | O_DIRECTORY);
    let mut data = vec![0_u8; 1024];
    let r = sys!(getdents, d, data.as_mut_slice(), 1024);
    let records = old_records(&data[..r.count().min(1024)]);
    obs("entries", r).arg("count", int(1024)).state("names", list(records.iter().map(|(name, _)| text(name))));
    obs("types", answer("getdents", 0)).state("types", list(records.iter().map(|(_, kind)| uint(*kind))));
    obs("end", sys!(getdents, d, data.as_mut_slice(), 1024));
    sys!(lseek, d, 0, libc::SEEK_SET).must();
    obs("small", sys!(getdents, d, data.as_mut_slice(), 10)).arg("count", int(10));
    let f = open(c"d/file", O_RDONLY);
    obs("file", sys!(getdents, f, data.as_mut_slice(), 1024));
    obs("ebadf", sys!(getdents, 4000, data.as_mut_slice(), 1024));
}
