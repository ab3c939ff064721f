//! Typed values to NDJSON. `c/support/encode.c` is the same in C; `golden/encoder.ndjson` holds both to it.

use std::cmp::Ordering;
use std::fmt::Write;

use crate::errno::errno_name;
use crate::value::Value;

/// Names and values in the order given.
pub(crate) type NamedValues = [(String, Value)];

/// A raw result and how to show it.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    /// Positive error number, 0 if the call succeeded.
    pub(crate) errno: i64,
    /// The value shown on success.
    pub(crate) value: Value,
}

/// The first line.
pub(crate) fn plan(out: &mut Vec<u8>, ids: &[&str]) {
    out.extend_from_slice(b"{\"plan\":[");
    separated(out, ids, |out, id| string(out, id.as_bytes()));
    out.extend_from_slice(b"]}\n");
}

/// The line that says that the set-up failed.
pub(crate) fn broken(out: &mut Vec<u8>, why: &str) {
    out.extend_from_slice(b"{\"broken\":");
    string(out, why.as_bytes());
    out.extend_from_slice(b"}\n");
}

/// The last line.
pub(crate) fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"end\":true}\n");
}

/// One observation.
pub(crate) fn observation(out: &mut Vec<u8>, id: &str, call: &str, outcome: &Outcome, args: &NamedValues, state: &NamedValues) {
    out.extend_from_slice(b"{\"obs\":");
    string(out, id.as_bytes());
    out.extend_from_slice(b",\"call\":");
    string(out, call.as_bytes());
    out.extend_from_slice(b",\"args\":");
    fields(out, args);
    out.extend_from_slice(b",\"ret\":");
    if outcome.errno == 0 {
        value(out, &outcome.value);
        out.extend_from_slice(b",\"errno\":null");
    } else {
        value(out, &Value::Int(-1));
        out.extend_from_slice(b",\"errno\":");
        string(out, errno_name(outcome.errno).as_bytes());
    }
    out.extend_from_slice(b",\"state\":");
    fields(out, state);
    out.extend_from_slice(b"}\n");
}

fn value(out: &mut Vec<u8>, v: &Value) {
    let kind = match v {
        Value::Int(_) => "int",
        Value::Uint(_) => "uint",
        Value::Hex(_) => "hex",
        Value::Bool(_) => "bool",
        Value::Str(_) => "str",
        Value::Bytes(_) => "bytes",
        Value::Errno(_) => "errno",
        Value::Fd(_) => "fd",
        Value::Pid(_) => "pid",
        Value::Ino(_) => "ino",
        Value::Dev(_) => "dev",
        Value::Addr(_) => "addr",
        Value::Time(_) => "time",
        Value::Dur { .. } => "dur",
        Value::Rel(_) => "rel",
        Value::Set(_) => "set",
        Value::List(_) => "list",
        Value::Map(_) => "map",
    };
    print(out, format_args!("{{\"t\":\"{kind}\",\"v\":"));
    match v {
        Value::Int(v) | Value::Fd(v) | Value::Pid(v) | Value::Time(v) => {
            print(out, format_args!("{v}"));
        }
        Value::Uint(v) | Value::Ino(v) | Value::Dev(v) => print(out, format_args!("{v}")),
        Value::Hex(v) | Value::Addr(v) => print(out, format_args!("\"{v:#x}\"")),
        Value::Bool(v) => print(out, format_args!("{v}")),
        Value::Str(v) => string(out, v),
        Value::Bytes(v) => {
            out.push(b'"');
            for b in v {
                print(out, format_args!("{b:02x}"));
            }
            out.push(b'"');
        }
        Value::Errno(v) => string(out, errno_name(*v).as_bytes()),
        Value::Rel(v) => string(
            out,
            match v {
                Ordering::Less => b"lt",
                Ordering::Equal => b"eq",
                Ordering::Greater => b"gt",
            },
        ),
        Value::Dur { v, min, max } => {
            print(out, format_args!("{v},\"min\":{min},\"max\":{max}"));
        }
        Value::Set(v) | Value::List(v) => {
            out.push(b'[');
            separated(out, v, value);
            out.push(b']');
        }
        Value::Map(v) => fields(out, v),
    }
    out.push(b'}');
}

fn fields(out: &mut Vec<u8>, named: &NamedValues) {
    out.push(b'{');
    separated(out, named, |out, (name, v)| {
        string(out, name.as_bytes());
        out.push(b':');
        value(out, v);
    });
    out.push(b'}');
}

fn separated<T>(out: &mut Vec<u8>, items: &[T], mut each: impl FnMut(&mut Vec<u8>, &T)) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        each(out, item);
    }
}

fn print(out: &mut Vec<u8>, args: std::fmt::Arguments<'_>) {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = text.write_fmt(args);
    out.extend_from_slice(text.as_bytes());
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => print(out, format_args!("\\{c}")),
                '\0'..='\x1f' | '\x7f' => print(out, format_args!("\\u{:04x}", u32::from(c))),
                _ => print(out, format_args!("{c}")),
            }
        }
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}
