//! The output of the measuring programs (described at the head of `c/microbench.c`).

use anyhow::{Context, Result, bail, ensure};

/// One line of output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// `microbench VERSION`.
    Version(u32),
    /// `tmpdir DIR`: where the scratch file of the tmpfs rows is.
    TmpDir(String),
    /// `begin ROW ITERATIONS BATCHES`: the timed part starts.
    Begin {
        /// The row's name.
        row: String,
        /// Operations in each batch.
        iterations: u64,
        /// Number of batches.
        batches: u64,
    },
    /// `end ROW`: the timed part is over.
    End(String),
    /// `sample ROW NANOSECONDS`: mean time of one operation in one batch.
    Sample(String, f64),
    /// `skip ROW REASON…`.
    Skip(String, String),
}

/// Parses one line without its newline.
pub(crate) fn parse_line(line: &str) -> Result<Record> {
    let parse = || -> Result<Record> {
        let (word, rest) = line.split_once(' ').context("no space")?;
        Ok(match word {
            "microbench" => Record::Version(rest.parse()?),
            "tmpdir" => Record::TmpDir(rest.to_owned()),
            "begin" => {
                let mut fields = rest.split(' ');
                let mut next = || fields.next().context("a field is missing");
                Record::Begin { row: next()?.to_owned(), iterations: next()?.parse()?, batches: next()?.parse()? }
            }
            "end" => Record::End(rest.to_owned()),
            "sample" => {
                let (row, value) = rest.split_once(' ').context("no value")?;
                let value: f64 = value.parse()?;
                ensure!(value.is_finite() && value >= 0.0, "a time must be a positive number");
                Record::Sample(row.to_owned(), value)
            }
            "skip" => {
                let (row, reason) = rest.split_once(' ').context("no reason")?;
                Record::Skip(row.to_owned(), reason.to_owned())
            }
            other => bail!("unknown record {other:?}"),
        })
    };
    parse().with_context(|| format!("bad line {line:?} from the measuring program"))
}

/// Splits a stream of bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    /// Adds bytes and returns the lines that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.pending.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_parses() {
        let text = "microbench 1\ntmpdir /dev/shm\nbegin stat_root 100 5\nend stat_root\nsample stat_root 12.500\nskip x no program was given";
        let records: Vec<Record> = text.lines().map(|line| parse_line(line).unwrap()).collect();
        insta::assert_debug_snapshot!(records);
    }

    #[test]
    fn malformed_lines_are_refused_and_quoted() {
        for line in ["", "hello", "begin a 1", "begin a x 2", "sample a", "sample a -1", "sample a nan", "end", "warp a 1"] {
            let error = parse_line(line).unwrap_err();
            assert!(error.to_string().contains(&format!("{line:?}")), "{line:?}: {error}");
        }
    }

    #[test]
    fn lines_survive_any_split_of_the_stream() {
        let text = b"one\ntwo\n\nthree";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut got = lines.push(&text[..cut]);
            got.extend(lines.push(&text[cut..]));
            assert_eq!(got, ["one", "two", ""]);
        }
    }
}
