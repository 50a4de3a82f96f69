//! Lines as an editor sees them, whatever they end with.

use std::io::{self, Read};

/// Passes bytes on with LF for every line end, of which there are three kinds: LF, CRLF, and CR alone, as
/// some statements still have them. Leaves the first lines out.
pub(super) struct LineEnds<R> {
    reader: R,
    skip_lines: u64,
    after_cr: bool,
}

impl<R> LineEnds<R> {
    pub fn new(reader: R, skip_lines: u64) -> Self {
        Self { reader, skip_lines, after_cr: false }
    }
}

impl<R: Read> Read for LineEnds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.reader.read(buffer)?;
            let mut kept = 0;
            for at in 0..length {
                let byte = buffer[at];
                let ends_cr = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
                if ends_cr {
                    continue; // the CR was the line end already
                }
                let byte = if byte == b'\r' { b'\n' } else { byte };
                if self.skip_lines > 0 {
                    self.skip_lines -= u64::from(byte == b'\n');
                    continue;
                }
                buffer[kept] = byte;
                kept += 1;
            }
            if kept > 0 || length == 0 {
                return Ok(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_end_is_a_line_feed() {
        for (text, skip, expected) in [
            ("a\nb\r\nc\rd", 0, "a\nb\nc\nd"),
            ("\r\r\n\n\r", 0, "\n\n\n\n"),
            ("a\r\nb\r\nc", 1, "b\nc"),
            ("a\rb\rc", 2, "c"),
            ("\n\r\n\rx", 3, "x"),
            ("a\nb", 9, ""),
        ] {
            // In pieces of every size, so that CR and LF come apart.
            for size in 1..=text.len() {
                let mut reader = LineEnds::new(text.as_bytes(), skip);
                let (mut read, mut piece) = (Vec::new(), vec![0; size]);
                loop {
                    match reader.read(&mut piece).unwrap() {
                        0 => break,
                        length => read.extend_from_slice(&piece[..length]),
                    }
                }
                assert_eq!(String::from_utf8(read).unwrap(), expected, "{text:?} in pieces of {size}");
            }
        }
    }
}
