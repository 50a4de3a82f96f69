//! Lines of a body as it arrives: those that lie in one piece are read where they lie, only what is cut is put together.

use bytes::Bytes;

/// The longest line: twice what a record may have.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Without its end.
    Whole(&'a [u8]),
    /// The beginning of one that is longer than lines may be.
    TooLong(&'a [u8]),
}

/// Cuts what arrives into lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of the line that is not whole yet.
    begun: Vec<u8>,
    /// The rest of a line that is too long is passed over.
    passes_over: bool,
}

impl Lines {
    /// Takes what has arrived, and gives each line that is whole by now to `visit`, until that says stop.
    pub fn take(&mut self, piece: &Bytes, mut visit: impl FnMut(Line<'_>) -> bool) -> bool {
        let mut rest = &piece[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            rest = behind;
            if std::mem::take(&mut self.passes_over) {
                continue;
            }
            let goes_on = if self.begun.is_empty() {
                visit(measured(line))
            } else {
                self.begun.extend_from_slice(line);
                let goes_on = visit(measured(&self.begun));
                self.begun.clear();
                goes_on
            };
            if !goes_on {
                return false;
            }
        }
        if self.passes_over {
            return true;
        }
        self.begun.extend_from_slice(rest);
        if self.begun.len() > MAX_LINE_BYTES {
            let goes_on = visit(Line::TooLong(&self.begun));
            self.begun = Vec::new();
            self.passes_over = true;
            return goes_on;
        }
        true
    }

    /// Nothing more comes: the last line needs no end.
    pub fn finish(&mut self, mut visit: impl FnMut(Line<'_>) -> bool) {
        if !self.begun.is_empty() {
            visit(measured(&self.begun));
            self.begun.clear();
        }
    }
}

fn measured(line: &[u8]) -> Line<'_> {
    if line.len() > MAX_LINE_BYTES { Line::TooLong(line) } else { Line::Whole(line) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(text: &[u8], pieces: &[usize]) -> Vec<String> {
        let (mut lines, mut found, mut rest) = (Lines::default(), Vec::new(), text);
        let mut note = |line: Line<'_>| {
            found.push(match line {
                Line::Whole(line) => String::from_utf8_lossy(line).into_owned(),
                Line::TooLong(line) => format!("too long {}", line.len()),
            });
            true
        };
        for &piece in pieces {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            lines.take(&Bytes::copy_from_slice(now), &mut note);
            rest = later;
        }
        lines.take(&Bytes::copy_from_slice(rest), &mut note);
        lines.finish(&mut note);
        found
    }

    proptest! {
        /// However a text is cut into pieces, its lines are its lines.
        #[test]
        fn pieces_make_no_difference(text in "[ab\n]{0,60}", pieces in prop::collection::vec(0_usize..9, 0..20)) {
            let mut expected: Vec<&str> = text.split('\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            prop_assert_eq!(lines_of(text.as_bytes(), &pieces), expected);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_said_once_and_passed_over() {
        let text = format!("a\n{}\nb\n", "x".repeat(3 * MAX_LINE_BYTES));
        for pieces in [vec![], vec![1000; 10], vec![1 << 19; 7]] {
            let found = lines_of(text.as_bytes(), &pieces);
            assert_eq!((found[0].as_str(), found[2].as_str(), found.len()), ("a", "b", 3), "{pieces:?}");
            assert!(found[1].starts_with("too long"), "{pieces:?}");
        }
    }
}
