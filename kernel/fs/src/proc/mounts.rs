//! /proc/PID/mounts and mountinfo (proc_pid_mountinfo(5)).

use bevor_abi::fs::{major, minor};
use bevor_core::vfs::{FsContext, Mount, Path, display_from, mount_flags};

fn options(mount: &Mount) -> String {
    let flags = mount.flags();
    let mut out = String::from(if flags & mount_flags::RDONLY != 0 { "ro" } else { "rw" });
    for (bit, name) in [
        (mount_flags::NOSUID, "nosuid"),
        (mount_flags::NODEV, "nodev"),
        (mount_flags::NOEXEC, "noexec"),
        (mount_flags::NOATIME, "noatime"),
        (mount_flags::NODIRATIME, "nodiratime"),
        (mount_flags::RELATIME, "relatime"),
        (mount_flags::NOSYMFOLLOW, "nosymfollow"),
    ] {
        if flags & bit != 0 {
            out.push(',');
            out.push_str(name);
        }
    }
    out
}

/// Blanks and backslashes as octal, so that the line stays a line.
fn escape(text: &[u8]) -> String {
    let mut out = String::new();
    for b in text {
        match b {
            b' ' | b'\t' | b'\n' | b'\\' => out.push_str(&format!("\\{b:03o}")),
            _ => out.push(char::from(*b)),
        }
    }
    out
}

fn place(fs: &FsContext, mount: &std::sync::Arc<Mount>) -> String {
    let path = mount
        .parent()
        .unwrap_or_else(|| Path { mount: std::sync::Arc::clone(mount), dentry: std::sync::Arc::clone(&mount.root) });
    escape(&display_from(&path, &fs.root()))
}

/// As fstab(5).
pub(super) fn mounts(fs: &FsContext) -> Vec<u8> {
    let mut out = String::new();
    for mount in fs.ns.list() {
        let kind = mount.root.inode().sb().fs_type;
        let line = format!(
            "{} {} {} {}{} 0 0\n",
            escape(mount.source.as_bytes()),
            place(fs, &mount),
            kind,
            options(&mount),
            mount.options
        );
        out.push_str(&line);
    }
    out.into_bytes()
}

pub(super) fn mountinfo(fs: &FsContext) -> Vec<u8> {
    let mut out = String::new();
    for mount in fs.ns.list() {
        let sb = mount.root.inode().sb();
        let parent = mount.parent().map_or(mount.id, |p| p.mount.id);
        let line = format!(
            "{} {} {}:{} / {} {} - {} {} {}{}\n",
            mount.id,
            parent,
            major(sb.dev),
            minor(sb.dev),
            place(fs, &mount),
            options(&mount),
            sb.fs_type,
            escape(mount.source.as_bytes()),
            if mount.is_read_only() { "ro" } else { "rw" },
            mount.options
        );
        out.push_str(&line);
    }
    out.into_bytes()
}
