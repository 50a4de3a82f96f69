//! Opens the files of others: plain or compressed with gzip, in whatever encoding they are, as UTF-8.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::MultiGzDecoder;

/// Bytes of a file, decompressed where it is compressed.
pub type Source = Box<dyn Read + Send>;

/// How many of a file's bytes were read, as they lie on disk; a clone shows the same count.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    read: Arc<AtomicU64>,
    total: u64,
}

/// Opens a file that may be compressed with gzip, which its first two bytes tell, not its name.
pub fn open_source(path: &Path) -> Result<(Source, Progress)> {
    let opening = || format!("opening {}", path.display());
    let file = File::open(path).with_context(opening)?;
    let total = file.metadata().with_context(opening)?.len();
    let progress = Progress { read: Arc::default(), total };
    let source = uncompressed(Counted { file, progress: progress.clone() });
    Ok((source.with_context(|| format!("reading {}", path.display()))?, progress))
}

pub(super) fn uncompressed(reader: impl Read + Send + 'static) -> io::Result<Source> {
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let mut first = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut first)?;
    let is_gzip = first == [0x1f, 0x8b];
    let whole = io::Cursor::new(first).chain(reader);
    Ok(if is_gzip { Box::new(Gunzip(MultiGzDecoder::new(whole))) } else { Box::new(whole) })
}

/// Decompresses, and says in words what the decoder's errors mean for whoever has the file.
struct Gunzip<R>(MultiGzDecoder<R>);

impl<R: io::BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(e.kind(), "its gzip data ends before its end: the file is cut off, get it whole")
            }
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                io::Error::new(e.kind(), format!("its gzip data is damaged ({e}): get the file again"))
            }
            _ => e,
        })
    }
}

impl Progress {
    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of the file when it was opened.
    pub fn total(&self) -> u64 {
        self.total
    }
}

struct Counted {
    file: File,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.progress.read.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// What is read and decoded at once.
const BUFFER_BYTES: usize = 1 << 16;
/// Stands in UTF-8 for bytes that are not of the file's encoding: whoever reads it finds the place.
const WRONG_BYTE: u8 = 0xff;

/// A file's text in UTF-8, and the encoding that it was in. A byte-order mark says that better than anybody.
///
/// # Errors
/// If it is UTF-16 and nobody says so.
pub fn decoded(mut source: Source, encoding: Option<&'static Encoding>) -> Result<(Source, &'static Encoding)> {
    let mut first = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut first).context("reading its first bytes")?;
    let encoding = match (Encoding::for_bom(&first), encoding, &first[..]) {
        (Some((marked, _)), ..) => marked,
        (None, Some(named), _) => named,
        (None, None, [byte, 0, ..]) if *byte != 0 => bail!("{}", looks_like(UTF_16LE)),
        (None, None, [0, byte, ..]) if *byte != 0 => bail!("{}", looks_like(UTF_16BE)),
        (None, None, _) => UTF_8,
    };
    let whole = Box::new(io::Cursor::new(first).chain(source));
    if encoding == UTF_8 {
        return Ok((whole, encoding));
    }
    let decoder = encoding.new_decoder_with_bom_removal();
    let (input, text) = (Vec::new(), io::Cursor::new(Vec::new()));
    Ok((Box::new(Decoded { source: whole, decoder, input, text, ended: false }), encoding))
}

fn looks_like(encoding: &'static Encoding) -> String {
    let name = encoding.name();
    format!("it looks like {name} without a byte-order mark; say so in the mapping: [file] encoding = {name:?}")
}

struct Decoded {
    source: Source,
    decoder: Decoder,
    /// What was read and not decoded yet.
    input: Vec<u8>,
    text: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.text.read(buffer)?;
            if length > 0 || buffer.is_empty() || self.ended {
                return Ok(length);
            }
            self.decode()?;
        }
    }
}

impl Decoded {
    /// Decodes the next bytes.
    fn decode(&mut self) -> io::Result<()> {
        let is_last = (&mut self.source).take(BUFFER_BYTES as u64).read_to_end(&mut self.input)? == 0;
        let mut text = std::mem::take(&mut self.text).into_inner();
        text.clear();
        let (mut read, mut room) = (0, vec![0; 4 * BUFFER_BYTES]);
        loop {
            let (result, more, written) =
                self.decoder.decode_to_utf8_without_replacement(&self.input[read..], &mut room, is_last);
            read += more;
            text.extend_from_slice(&room[..written]);
            match result {
                DecoderResult::Malformed(..) => text.push(WRONG_BYTE),
                DecoderResult::OutputFull => {}
                DecoderResult::InputEmpty => break,
            }
        }
        self.input.clear();
        self.text = io::Cursor::new(text);
        self.ended = is_last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], label: &str) -> Result<(Vec<u8>, &'static str)> {
        let named = (!label.is_empty()).then(|| Encoding::for_label(label.as_bytes()).unwrap());
        let (mut source, encoding) = decoded(Box::new(io::Cursor::new(bytes.to_vec())), named)?;
        let mut text = Vec::new();
        source.read_to_end(&mut text)?;
        Ok((text, encoding.name()))
    }

    #[test]
    fn a_file_reads_as_utf_8_whatever_it_is_in() {
        let said = "时间,金额\n1,¥2\n";
        let wide = |bytes: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
            format!("{mark}{said}").encode_utf16().flat_map(bytes).collect()
        };
        let gbk = b"\xca\xb1\xbc\xe4,\xbd\xf0\xb6\xee\n1,\xa3\xa42\n";
        for (bytes, label, name) in [
            (said.as_bytes().to_vec(), "", "UTF-8"),
            (said.as_bytes().to_vec(), "utf-8", "UTF-8"),
            (wide(u16::to_le_bytes, "\u{feff}"), "", "UTF-16LE"),
            (wide(u16::to_be_bytes, "\u{feff}"), "", "UTF-16BE"),
            (wide(u16::to_be_bytes, "\u{feff}"), "utf-8", "UTF-16BE"),
            (wide(u16::to_le_bytes, ""), "utf-16le", "UTF-16LE"),
            (wide(u16::to_be_bytes, ""), "utf-16be", "UTF-16BE"),
        ] {
            assert_eq!(text(&bytes, label).unwrap(), (said.as_bytes().to_vec(), name), "{label} {name}");
        }
        for label in ["gbk", "gb18030", "gb2312"] {
            let (read, _) = text(gbk, label).unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), "时间,金额\n1,￥2\n", "{label}");
        }
        let error = text(&wide(u16::to_le_bytes, ""), "").map(drop);
        assert!(error.is_ok(), "its first character is no ASCII, so its columns will not be found");
        let ascii: Vec<u8> = "id,a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let error = text(&ascii, "").unwrap_err().to_string();
        assert!(error.contains("[file] encoding = \"UTF-16LE\""), "{error}");
    }

    #[test]
    fn what_is_not_of_the_encoding_is_marked_where_it_stands() {
        let (read, _) = text(b"a,\x81\n\xca\xb1", "gbk").unwrap();
        assert_eq!(read, [&b"a,\xff\n"[..], "时".as_bytes()].concat());
        let (read, _) = text(b"a\xca", "gbk").unwrap();
        assert_eq!(read, b"a\xff");
        // Beyond what is read at once, and with characters across its borders.
        let long = "时".repeat(100_001);
        let (gbk, _, _) = Encoding::for_label(b"gbk").unwrap().encode(&long);
        assert_eq!(String::from_utf8(text(&gbk, "gbk").unwrap().0).unwrap(), long);
    }
}
