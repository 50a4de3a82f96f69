//! Answers on their way to a client that may read them late: some wait in memory, more in a file that nobody else can
//! see. So a client may send everything before it reads anything, and costs no more memory than one that reads.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};

/// So many bytes wait in memory.
const IN_MEMORY: usize = 256 << 10;
/// So much is read back from the file at once.
const READ_BACK: usize = 64 << 10;

/// The end that is written to.
#[derive(Debug)]
pub struct Writer(Arc<Mutex<Spool>>);

/// The end that a response is made of.
#[derive(Debug)]
pub struct Reader(Arc<Mutex<Spool>>);

#[derive(Debug, Default)]
struct Spool {
    /// First in, first out; what is in the file comes behind.
    memory: VecDeque<Bytes>,
    bytes: usize,
    file: Option<Spilled>,
    ended: Option<End>,
    /// The client has gone.
    deserted: bool,
    waker: Option<Waker>,
}

#[derive(Debug)]
struct Spilled {
    file: File,
    read: u64,
    written: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// It breaks off: whoever reads must not take it for whole.
    Broken,
}

/// Both ends of a new spool.
pub fn spool() -> (Writer, Reader) {
    let spool = Arc::new(Mutex::new(Spool::default()));
    (Writer(Arc::clone(&spool)), Reader(spool))
}

fn lock(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// Puts some answers behind the others.
    ///
    /// # Errors
    /// What the disk says, if memory was not enough.
    pub fn write(&self, answers: Vec<u8>) -> io::Result<()> {
        let mut spool = lock(&self.0);
        if spool.deserted || answers.is_empty() {
            return Ok(());
        }
        if spool.file.is_none() && spool.bytes + answers.len() > IN_MEMORY && spool.bytes > 0 {
            spool.file = Some(Spilled { file: tempfile::tempfile()?, read: 0, written: 0 });
        }
        if let Some(spilled) = &mut spool.file {
            spilled.file.write_all_at(&answers, spilled.written)?;
            spilled.written += answers.len() as u64;
        } else {
            spool.bytes += answers.len();
            spool.memory.push_back(answers.into());
        }
        spool.wake();
        Ok(())
    }

    /// Whether nobody reads any more.
    pub fn is_deserted(&self) -> bool {
        lock(&self.0).deserted
    }

    /// All is said.
    pub fn finish(self) {
        lock(&self.0).end(End::Whole);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        lock(&self.0).end(End::Broken);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut spool = lock(&self.0);
        *spool = Spool { deserted: true, ..Spool::default() };
    }
}

impl Spool {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn end(&mut self, end: End) {
        self.ended.get_or_insert(end);
        self.wake();
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(bytes) = self.memory.pop_front() {
            self.bytes -= bytes.len();
            return Ok(Some(bytes));
        }
        let Some(spilled) = &mut self.file else { return Ok(None) };
        let left = usize::try_from(spilled.written - spilled.read).unwrap_or(READ_BACK);
        if left == 0 {
            self.file = None; // the client has caught up
            return Ok(None);
        }
        let mut bytes = vec![0; left.min(READ_BACK)];
        spilled.file.read_exact_at(&mut bytes, spilled.read)?;
        spilled.read += bytes.len() as u64;
        Ok(Some(bytes.into()))
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut spool = lock(&self.0);
        match spool.next() {
            Ok(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Err(error) => Poll::Ready(Some(Err(error))),
            Ok(None) => match spool.ended {
                Some(End::Whole) => Poll::Ready(None),
                Some(End::Broken) => Poll::Ready(Some(Err(io::Error::other("the answers break off")))),
                None => {
                    spool.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn what_is_written_is_read_in_its_order_however_late() {
        run(async {
            let (writer, mut reader) = spool();
            let mut expected = Vec::new();
            let mut read = Vec::new();
            for n in 0..4_000_u32 {
                let answer = format!("{n}:{}\n", "x".repeat(300)).into_bytes();
                expected.extend_from_slice(&answer);
                writer.write(answer).unwrap();
                if n % 1_500 == 0 {
                    read.extend_from_slice(&reader.frame().await.unwrap().unwrap().into_data().unwrap());
                }
            }
            assert!(lock(&reader.0).bytes <= IN_MEMORY);
            writer.finish();
            read.extend_from_slice(&reader.collect().await.unwrap().to_bytes());
            assert!(read == expected);
        });
    }

    #[test]
    fn a_writer_that_is_dropped_breaks_it_off() {
        run(async {
            let (writer, reader) = spool();
            writer.write(b"a\n".to_vec()).unwrap();
            drop(writer);
            assert!(reader.collect().await.is_err());
        });
    }

    #[test]
    fn nothing_is_kept_for_a_client_that_has_gone() {
        let (writer, reader) = spool();
        drop(reader);
        writer.write(vec![0; 10 * IN_MEMORY]).unwrap();
        assert!(writer.is_deserted() && lock(&writer.0).bytes == 0 && lock(&writer.0).file.is_none());
    }
}
