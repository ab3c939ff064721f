//! Where in the sources a probe makes an observation, by its id.

use std::path::{Path, PathBuf};

/// `file:line` of observation `obs` of `probe` below `repository`, as far as the sources are there.
#[must_use]
pub fn find(repository: &Path, lang: &str, probe: &str, obs: &str) -> Option<String> {
    let c = lang == "c";
    let dir = repository.join(if c { "syscall-tests/c/probes" } else { "syscall-tests/rust/src/probes" });
    let named = dir.join(format!("{probe}.c"));
    let files = if c && named.is_file() { vec![named] } else { files(&dir) };
    let registered = format!("\"{probe}\"");
    files.into_iter().find_map(|path| {
        let text = std::fs::read_to_string(&path).ok()?;
        let lines: Vec<&str> = text.lines().collect();
        let entry = lines.iter().position(|l| l.contains(&registered))?;
        let start = if c { 0 } else { function(&lines, entry).unwrap_or(entry) };
        let at =
            |wanted: &str| lines.iter().enumerate().skip(start).find(|(i, l)| *i != entry && l.contains(wanted)).map(|(i, _)| i);
        let calls = [format!("observe(\"{obs}\""), format!("obs(\"{obs}\""), format!("\"{obs}\"")];
        let line = calls.iter().find_map(|call| at(call)).unwrap_or(entry) + 1;
        let path = path.strip_prefix(repository).unwrap_or(&path);
        Some(format!("{}:{line}", path.display()))
    })
}

/// The line of the function that a Rust probe's entry names last.
fn function(lines: &[&str], entry: usize) -> Option<usize> {
    let words = lines.iter().skip(entry).take(4).find(|l| l.contains("),"))?;
    let name = words.trim_end().trim_end_matches("),").rsplit([' ', ',', '(']).next()?;
    lines.iter().position(|l| l.contains(&format!("fn {name}(")))
}

/// All files below `dir`, two folders deep.
fn files(dir: &Path) -> Vec<PathBuf> {
    let list =
        |dir: &Path| -> Vec<PathBuf> { std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect() };
    let mut out = list(dir);
    let below: Vec<PathBuf> = out.iter().filter(|p| p.is_dir()).flat_map(|p| list(p)).collect();
    out.extend(below);
    out.retain(|p| p.is_file());
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn observations_are_found_in_both_languages() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let line = |at: &str| -> String {
            let (path, line) = at.split_once(':').unwrap();
            let text = std::fs::read_to_string(root.join(path)).unwrap();
            text.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap().to_owned()
        };
        let at = find(root, "c", "futex/interrupted", "timed").unwrap();
        assert!(at.starts_with("syscall-tests/c/probes/futex/interrupted.c:"), "{at}");
        assert!(line(&at).contains("observe(\"timed\""), "{at}");
        // `same` is also an observation of a probe above it.
        let at = find(root, "rust", "dup/dup3_cloexec", "same").unwrap();
        let earlier = find(root, "rust", "dup/dup2_replaces", "same").unwrap();
        assert!(line(&at).contains("obs(\"same\"") && at != earlier, "{at} {earlier}");
        assert_eq!(find(root, "c", "none/such", "x"), None);
    }
}
