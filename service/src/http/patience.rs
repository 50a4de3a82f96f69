//! A connection with a clock on it. Its client must send the head of a request in time, must not be idle for too long,
//! and must read what is answered. Whoever is too slow with a head is told so; and one whose request was refused before
//! it was read gets to see the answer, which a reset would take from it.
//!
//! hyper reads only while it waits for a head or hands on a body. The time of a body is kept by whoever reads it (see
//! `body`), so the stream must know which of the two it is: [`Turn`] says.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::config::Limits;

/// How long the rest of a request that is not wanted is read and thrown away, so that its client reads the answer.
const LINGER: Duration = Duration::from_secs(2);
/// How much of it.
const LINGER_BYTES: usize = 64 << 20;
/// What is said to whoever is too slow with the head of a request.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What a connection's requests tell its stream.
#[derive(Debug, Default)]
pub struct Turn {
    /// Requests whose head has come.
    requests: AtomicU64,
    /// The body of the last one is being read.
    in_body: AtomicBool,
    /// The body of the last one was not read to its end.
    is_left: AtomicBool,
}

impl Turn {
    /// The head of a request has come; its body.
    pub fn begin(self: &Arc<Self>, body: Incoming) -> Counted {
        let has_body = !body.is_end_stream();
        self.in_body.store(has_body, Relaxed);
        self.is_left.store(false, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        Counted { body, turn: has_body.then(|| Arc::clone(self)) }
    }

    fn end(&self, is_whole: bool) {
        self.is_left.store(!is_whole, Relaxed);
        self.in_body.store(false, Relaxed);
    }
}

/// A body that says when it has ended.
#[derive(Debug)]
pub struct Counted {
    body: Incoming,
    /// None once it has.
    turn: Option<Arc<Turn>>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_)))
            && let Some(turn) = self.turn.take()
        {
            turn.end(frame.is_none());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.end(self.body.is_end_stream());
        }
    }
}

/// A stream that ends where its client lets it wait for too long.
#[derive(Debug)]
pub struct Patient<S> {
    stream: S,
    turn: Arc<Turn>,
    /// For the head of a request, between two requests, for a write that waits.
    times: [Duration; 3],
    /// As many requests had come when the head that is read now was begun.
    requests: u64,
    /// Something of that head has come.
    has_begun: bool,
    reads_until: Option<Pin<Box<Sleep>>>,
    writes_until: Option<Pin<Box<Sleep>>>,
    lingers_until: Option<Pin<Box<Sleep>>>,
    lingered: usize,
}

impl<S> Patient<S> {
    pub fn new(stream: S, turn: Arc<Turn>, limits: &Limits) -> Self {
        let times = [limits.head_timeout_ms, limits.idle_timeout_ms, limits.read_timeout_ms].map(Duration::from_millis);
        Self {
            stream,
            turn,
            times,
            requests: 0,
            has_begun: false,
            reads_until: None,
            writes_until: None,
            lingers_until: None,
            lingered: 0,
        }
    }

    /// Looks whether a write has waited for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writes_until = None;
            return polled;
        }
        let patience = self.times[2];
        if is_over(&mut self.writes_until, patience, cx) {
            Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
        } else {
            Poll::Pending
        }
    }
}

/// Whether a time is over that begins when this is asked first.
fn is_over(until: &mut Option<Pin<Box<Sleep>>>, time: Duration, cx: &mut Context<'_>) -> bool {
    until.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx).is_ready()
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.turn.in_body.load(Relaxed) {
            return polled;
        }
        let requests = self.turn.requests.load(Relaxed);
        if requests != self.requests {
            (self.requests, self.has_begun, self.reads_until) = (requests, false, None);
        }
        if polled.is_ready() {
            if !self.has_begun && buf.filled().len() > before {
                (self.has_begun, self.reads_until) = (true, None);
            }
            return polled;
        }
        let patience = self.times[usize::from(!self.has_begun && requests > 0)];
        if !is_over(&mut self.reads_until, patience, cx) {
            return Poll::Pending;
        }
        if !self.has_begun {
            return Poll::Ready(Ok(())); // idle: it ends as if the client had ended it
        }
        // Nothing else waits to be written. If this cannot be, nobody is there to read it.
        let _ = Pin::new(&mut self.stream).poll_write(cx, TOO_SLOW);
        let _ = Pin::new(&mut self.stream).poll_flush(cx);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the head of a request did not come in time")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, polled)
    }

    /// Ends what is written. Where something of the client's is not read, it is read and thrown away for a while:
    /// closing over it would be a reset, which may come before the answer is read.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingers_until.is_none() {
            let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
            ready!(self.judge(cx, polled))?;
            let refused_head = self.has_begun && self.requests == self.turn.requests.load(Relaxed);
            if !refused_head && !self.turn.is_left.load(Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let mut thrown_away = [0; 8 << 10];
        loop {
            if is_over(&mut self.lingers_until, LINGER, cx) || self.lingered > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.lingered += buf.filled().len(),
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        time::Instant,
    };

    use super::*;

    fn pair() -> (Patient<DuplexStream>, DuplexStream) {
        let (near, far) = tokio::io::duplex(64);
        (Patient::new(near, Arc::default(), &Limits::default()), far)
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_is_left_and_who_reads_slowly_is_not() {
        let patience = Duration::from_millis(Limits::default().read_timeout_ms);
        let (mut near, mut far) = pair();
        let begun = Instant::now();
        let error = near.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, patience.as_secs()));

        let (mut slow, mut reader) = pair();
        let reading = tokio::spawn(async move {
            let mut read = vec![0; 64];
            for _ in 0..10 {
                tokio::time::sleep(patience / 2).await;
                reader.read_exact(&mut read).await.unwrap();
            }
        });
        slow.write_all(&[0; 640]).await.unwrap();
        reading.await.unwrap();
        far.shutdown().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_is_told_so_and_an_idle_connection_just_ends() {
        let (mut near, mut far) = pair();
        let begun = Instant::now();
        far.write_all(b"GET").await.unwrap();
        let mut read = [0; 64];
        assert_eq!(near.read(&mut read).await.unwrap(), 3);
        assert_eq!(near.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed(), Duration::from_millis(Limits::default().head_timeout_ms));
        far.read_exact(&mut read[..12]).await.unwrap();
        assert_eq!(&read[..12], b"HTTP/1.1 408");

        let (mut near, _far) = pair();
        near.turn.requests.fetch_add(1, Relaxed);
        let begun = Instant::now();
        assert_eq!(near.read(&mut read).await.unwrap(), 0);
        assert_eq!(begun.elapsed(), Duration::from_millis(Limits::default().idle_timeout_ms));
    }
}
