//! Progress on a terminal, and nothing anywhere else.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error if that is a terminal.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar, hidden unless standard error is a terminal.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::no_length();
        if std::io::stderr().is_terminal() {
            if let Ok(style) = ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} {msg}") {
                bar.set_style(style);
            }
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { bar }
    }

    /// `total` probe runs lie ahead.
    pub fn begin(&self, total: usize) {
        self.bar.set_length(u64::try_from(total).unwrap_or(u64::MAX));
        self.bar.set_position(0);
    }

    /// A probe starts.
    pub fn step(&self, column: &str, probe: &str) {
        self.bar.set_message(format!("{column} {probe}"));
        self.bar.inc(1);
    }

    /// The runs are over.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
