//! Text of others as people may see it. An id may be any text: a line break in it would forge a line, an
//! escape code would steer the terminal, a bidirectional control would show it in another order.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// Text with nothing in it that a reader cannot see: line breaks, tabs, escape codes, bidirectional
/// controls and characters without width are shown as `\n`, `\t`, `\u{1b}`. For cells of tables, and for
/// ids in sentences and errors.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, is_unseen)
}

/// As [`visible`], for text of several lines: its line breaks stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_unseen(c))
}

fn escaped(text: &str, is_unseen: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            _ if !is_unseen(c) => escaped.push(c),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            c => write!(escaped, "\\u{{{:x}}}", u32::from(c)).expect("a string takes everything"),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a character moves the cursor, reorders its neighbours, or shows nothing.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' // zero-width, and marks of direction
            | '\u{2028}'..='\u{202e}' // separators of lines and paragraphs, embeddings, overrides
            | '\u{2060}'..='\u{206f}' // joiners and isolates
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' // tags
        )
}

/// Writes `value` as JSON that is safe to look at: what [`visible`] would escape stands as `\u202e`,
/// which is the same text to every reader of JSON.
///
/// # Errors
/// What the writer says.
pub fn write_json(writer: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut serializer = Serializer::with_formatter(writer, Visible);
    value.serialize(&mut serializer).map_err(io::Error::from)
}

/// Compact JSON; its strings hold nothing unseen.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Control characters of ASCII are escaped by then, but for the last one.
        if fragment.bytes().all(|byte| byte < 0x7f) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut units = [0; 2];
        for c in fragment.chars() {
            if is_unseen(c) {
                c.encode_utf16(&mut units).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
            } else {
                writer.write_all(c.encode_utf8(&mut [0; 4]).as_bytes())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        for (text, expected) in [
            ("g-1", "g-1"),
            ("送礼 🌹", "送礼 🌹"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("x\u{202e}y\u{2066}z\u{200f}", "x\\u{202e}y\\u{2066}z\\u{200f}"),
            ("\u{2028}\u{feff}", "\\u{2028}\\u{feff}"),
        ] {
            assert_eq!(visible(text), expected);
        }
        assert_eq!(visible_lines("a\n\u{1b}b"), "a\n\\u{1b}b");
    }

    proptest! {
        #[test]
        fn json_that_is_safe_to_look_at_is_the_same_json(text in any::<String>(), stray in "[\u{0}-\u{ff}\u{200b}-\u{206f}\u{e0000}-\u{e007f}]{0,8}") {
            let text = text + &stray;
            let mut json = Vec::new();
            write_json(&mut json, &text).unwrap();
            let json = String::from_utf8(json).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            prop_assert!(!json.chars().any(is_unseen), "{:?}", json);
        }
    }
}
