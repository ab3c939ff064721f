//! `--hide`: what the caller keeps from the program stays hidden, whatever way is taken to it.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use duct::cmd;

mod common;
use common::bevor;

const SECRET: &str = "TOP-SECRET";

/// A tree with a secret file and a secret directory, and other ways to both. Not in /tmp: a sandbox has its own.
fn tree() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let home = dir.path().join("home");
    std::fs::create_dir_all(home.join("keys/deep")).unwrap();
    for file in ["shadow", "keys/id", "keys/deep/id", "keys/NAME-OF-A-SECRET", "plain"] {
        std::fs::write(home.join(file), if file == "plain" { "plain" } else { SECRET }).unwrap();
    }
    std::fs::hard_link(home.join("shadow"), home.join("other-name")).unwrap();
    symlink("shadow", home.join("link")).unwrap();
    symlink(home.join("keys"), home.join("linked-keys")).unwrap();
    for path in [dir.path(), &home] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    (dir, home)
}

/// Runs `script` in $0 = the tree's home (as a path inside); its output with the errors.
fn run(options: &[&str], hidden: &[PathBuf], home: &str, script: &str) -> String {
    let mut args: Vec<&str> = [&["do"], options].concat();
    for path in hidden {
        args.extend(["--hide", path.to_str().unwrap()]);
    }
    args.extend(["--", "/bin/sh", "-c", script, home]);
    cmd(bevor(), args).stdin_null().stderr_to_stdout().unchecked().read().unwrap()
}

/// Every way to a secret that a program may think of; prints what it finds.
const LOOK: &str = r#"cd "$0" 2>/dev/null
for at in "/proc/self/root$0" /proc/self/cwd "../$(basename "$0")"; do
    for name in shadow other-name link keys/deep/id linked-keys/id keys/../shadow; do
        cat "$at/$name"; dd if="$at/$name" bs=4; cp "$at/$name" /tmp/copy && cat /tmp/copy
        perl -e 'open(F, "+<", shift) and print <F>' "$at/$name"
        mv "$at/$name" /tmp/moved && cat /tmp/moved; ln "$at/$name" "$at/new" && cat "$at/new"
    done
    grep -rh . "$at"; find "$at" -size +0 -type f -exec cat {} +; ls -R "$at/keys"; tar -cf - "$at"
    mv "$at/keys" "$at/moved-keys" && cat "$at/moved-keys/id"
done 2>&1"#;

#[test]
fn no_way_leads_to_what_is_hidden() {
    for ways in 0..5 {
        // Through a writable bind the program changes what is not hidden.
        let (_dir, home) = tree();
        let inside = home.to_str().unwrap();
        let around = home.parent().unwrap().to_str().unwrap();
        let hidden = [home.join("link"), home.join("keys")];
        let bind = format!("{inside}:/bound");
        let parent = format!("{around}:/parent");
        let read_only = format!("{bind}:ro");
        let root = ["--root", around, "--bind", "/bin:/bin:ro", "--bind", "/lib:/lib:ro", "--bind", "/lib64:/lib64:ro"];
        let (options, at) = match ways {
            0 => (&[][..], inside),
            1 => (&["--bind", &read_only][..], "/bound"),
            2 => (&["--bind", &bind][..], "/bound"),
            3 => (&["--bind", &parent][..], "/parent/home"),
            _ => (&root[..], "/home"),
        };
        let plain = run(options, &hidden, at, r#"cat "$0/plain""#);
        assert_eq!(plain, "plain", "{options:?}: what is beside them is there");
        let found = run(options, &hidden, at, LOOK);
        assert!(!found.contains(SECRET) && !found.contains("NAME-OF-A-SECRET"), "{options:?}: {found}");
        // The host has all that it had.
        assert_eq!(std::fs::read_to_string(home.join("shadow")).unwrap(), SECRET, "{options:?}");
        assert_eq!(std::fs::read_to_string(home.join("keys/deep/id")).unwrap(), SECRET, "{options:?}");
        // The same look finds it where it is not hidden.
        assert!(run(options, &[], at, LOOK).contains(SECRET), "{options:?}");
    }
}

#[test]
fn what_is_hidden_is_empty_and_tells_nothing() {
    let (_dir, home) = tree();
    let inside = home.to_str().unwrap();
    let hidden = [home.join("shadow"), home.join("keys")];
    let look = r#"cd "$0"; stat -c '%n %F %a %u %g %s %Y' shadow keys; ls -A keys; wc -c <shadow"#;
    let empty = "shadow regular empty file 444 0 0 0 0\nkeys directory 755 0 0 4096 0\n0";
    assert_eq!(run(&[], &hidden, inside, look).replace("keys directory 755 0 0 0 0", "keys directory 755 0 0 4096 0"), empty);
    // Over the root it can be written like all else, in memory; through a bind it cannot.
    let write = r#"cd "$0"; echo x >shadow && mkdir keys/mine && echo y >keys/mine/id && cat shadow keys/mine/id"#;
    assert_eq!(run(&[], &hidden, inside, write), "x\ny");
    let bind = format!("{inside}:/bound");
    let change = r#"cd "$0"
for change in "rm -f shadow" "mv plain shadow" "mv shadow x" "ln shadow x" "rmdir keys" "touch keys/x" "truncate -s 9 shadow" \
    "chmod 777 shadow" "chown 1 keys" "mkdir keys/x" "ln -sf plain shadow" "rm -rf keys" "rm -f other-name" "mv -T plain other-name"; do
    sh -c "$change" 2>/dev/null && echo "did $change"
done; ls"#;
    assert_eq!(run(&["--bind", &bind], &hidden, "/bound", change), "keys\nlink\nlinked-keys\nother-name\nplain\nshadow");
    assert_eq!(std::fs::read_to_string(home.join("shadow")).unwrap(), SECRET);
}

/// /etc/shadow is written anew for every change.
#[test]
fn what_the_host_replaces_stays_hidden() {
    let (_dir, home) = tree();
    let inside = home.to_str().unwrap();
    let (go, went) = (home.join("go"), home.join("went"));
    let bind = format!("{inside}:/bound");
    let script =
        r#"cat "$0/shadow"; : >"$0/went"; until [ -e "$0/go" ]; do :; done; cat "$0/shadow"; ls -l "$0/shadow" | cut -c1-10"#;
    let host = std::thread::spawn({
        let home = home.clone();
        move || {
            while !went.exists() {
                std::thread::yield_now();
            }
            std::fs::write(home.join("shadow.new"), SECRET).unwrap();
            std::fs::rename(home.join("shadow.new"), home.join("shadow")).unwrap();
            std::fs::write(go, "").unwrap();
        }
    });
    assert_eq!(run(&["--bind", &bind], &[home.join("shadow")], "/bound", script), "-r--r--r--");
    host.join().unwrap();
    assert_eq!(std::fs::read_to_string(Path::new(inside).join("shadow")).unwrap(), SECRET);
}

/// The folder that holds it is replaced as a whole, or goes for a while; the program cannot take it elsewhere.
#[test]
fn what_is_above_is_replaced_and_not_moved() {
    for whole in [false, true] {
        let (dir, home) = tree();
        let (go, went) = (dir.path().join("go"), dir.path().join("went"));
        let bind = format!("{}:/bound", dir.path().display());
        let script = r#"cd /bound; mv home away && echo moved; mkdir away; mv -T away home && echo replaced
            perl -e '($a, $b) = @ARGV; syscall(316, -100, $a, -100, $b, 2) == 0 and print "exchanged\n"' home away
            : >went; until [ -e go ]; do :; done
            cat home/shadow home/keys/id home/new/../keys/deep/id /proc/self/cwd/home/shadow; cd home && cat shadow; ls -A keys; cat plain"#;
        let host = std::thread::spawn({
            let home = home.clone();
            move || {
                while !went.exists() {
                    std::thread::yield_now();
                }
                let other = home.with_file_name("other");
                std::fs::create_dir_all(other.join("keys/deep")).unwrap();
                for file in ["shadow", "keys/id", "keys/deep/id"] {
                    std::fs::write(other.join(file), SECRET).unwrap();
                }
                std::fs::write(other.join("plain"), "plain").unwrap();
                if whole {
                    std::fs::rename(&home, home.with_file_name("old")).unwrap();
                } else {
                    std::fs::remove_dir_all(&home).unwrap();
                }
                std::fs::rename(&other, &home).unwrap();
                std::fs::write(go, "").unwrap();
            }
        });
        let out = run(&["--bind", &bind], &[home.join("shadow"), home.join("keys")], "/", script);
        host.join().unwrap();
        let said: Vec<_> = out.lines().filter(|line| !line.starts_with("mv:") && !line.starts_with("cat:")).collect();
        assert_eq!(said, ["plain"], "{whole}: {out}");
        assert_eq!(std::fs::read_to_string(home.join("shadow")).unwrap(), SECRET);
    }
}

/// A folder can be shown out of one that is hidden, by saying so.
#[test]
fn a_bind_shows_a_part_of_what_is_hidden() {
    let (_dir, home) = tree();
    let bind = format!("{}:/deep:ro", home.join("keys/deep").display());
    let out = run(&["--bind", &bind], &[home.join("keys")], home.to_str().unwrap(), r#"cat /deep/id; ls -A "$0/keys" /deep/.."#);
    assert!(out.starts_with(SECRET) && !out.contains("keys/id"), "{out}");
}
