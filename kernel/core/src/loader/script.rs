//! Interpreter scripts (execve(2), fs/binfmt_script.c).

use bevor_abi::Errno;

/// How much of the file is looked at.
pub const HEAD_SIZE: usize = 256;
/// How many interpreters may be scripts themselves.
pub const MAX_DEPTH: u32 = 5;

/// The first line of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptLine {
    /// Path of the interpreter.
    pub interpreter: Vec<u8>,
    /// Everything after it, as one argument.
    pub argument: Option<Vec<u8>>,
}

fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// The script line at the start of `head`, or `None` if this is no script.
///
/// # Errors
/// ENOEXEC for a line without an interpreter, or one whose interpreter may be cut off.
pub fn parse(head: &[u8]) -> Result<Option<ScriptLine>, Errno> {
    let Some(rest) = head.strip_prefix(b"#!") else {
        return Ok(None);
    };
    // Linux works on a zero-padded buffer: a NUL ends the line as the end of the file does.
    let nul = rest.iter().position(|b| *b == 0);
    let newline = rest.iter().position(|b| *b == b'\n');
    let (line, truncated) = match (newline, nul) {
        (Some(n), _) => (&rest[..n], false),
        (None, Some(z)) => (&rest[..z], false),
        (None, None) => (rest, head.len() >= HEAD_SIZE),
    };
    let line = line.split(|b| *b == 0).next().unwrap_or(line);
    let start = line.iter().position(|b| !is_blank(*b)).ok_or(Errno::ENOEXEC)?;
    let line = &line[start..];
    let end = line.iter().position(|b| is_blank(*b));
    if truncated && end.is_none() {
        return Err(Errno::ENOEXEC);
    }
    let (interpreter, tail) = line.split_at(end.unwrap_or(line.len()));
    let tail = tail.trim_ascii_start();
    let length = tail.iter().rposition(|b| !is_blank(*b)).map_or(0, |i| i + 1);
    let word = tail.iter().position(|b| is_blank(*b)).unwrap_or(length);
    let length = bevor_abi::mutant!("exec/script-words", length, word.min(length));
    Ok(Some(ScriptLine { interpreter: interpreter.to_vec(), argument: (length > 0).then(|| tail[..length].to_vec()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(interpreter: &str, argument: Option<&str>) -> Result<Option<ScriptLine>, Errno> {
        Ok(Some(ScriptLine { interpreter: interpreter.into(), argument: argument.map(Into::into) }))
    }

    #[test]
    fn the_rest_of_the_line_is_one_argument() {
        assert_eq!(parse(b"#!/bin/sh\n"), line("/bin/sh", None));
        assert_eq!(parse(b"#! \t/usr/bin/env  -S a b \t\nrest"), line("/usr/bin/env", Some("-S a b")));
        assert_eq!(parse(b"#!/bin/sh"), line("/bin/sh", None));
    }

    #[test]
    fn empty_and_cut_off_interpreters_are_refused() {
        assert_eq!(parse(b"\x7fELF"), Ok(None));
        assert_eq!(parse(b"#!  \n/bin/sh"), Err(Errno::ENOEXEC));
        let long = [b"#!/".to_vec(), vec![b'x'; HEAD_SIZE - 3]].concat();
        assert_eq!(parse(&long), Err(Errno::ENOEXEC));
        let arg = [b"#!/bin/sh ".to_vec(), vec![b'x'; HEAD_SIZE - 10]].concat();
        assert_eq!(parse(&arg), line("/bin/sh", Some(&"x".repeat(HEAD_SIZE - 10))));
    }
}
