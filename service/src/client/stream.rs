//! An answer that comes line by line.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{Asking, PAUSE_PATIENCE, Result, Server};

/// The lines of an answer, as they come.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    server: &'a Server,
    body: Incoming,
    piece: Bytes,
    /// The beginning of a line that is not whole.
    begun: Vec<u8>,
}

impl Server {
    /// Asks for an answer of lines.
    pub(super) fn stream(&self, asking: Asking, done: impl Fn() -> String) -> Result<Stream<'_>> {
        let response = self.wait(done, self.begin(asking))?;
        Ok(Stream { server: self, body: response.into_body(), piece: Bytes::new(), begun: Vec::new() })
    }
}

impl Stream<'_> {
    /// The next whole line, without its end; nothing at the end, where what is not whole is left out.
    pub fn line(&mut self, done: impl Fn() -> String) -> Result<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.piece.iter().position(|byte| *byte == b'\n') {
                let mut line = std::mem::take(&mut self.begun);
                line.extend_from_slice(&self.piece.split_to(end + 1)[..end]);
                return Ok(Some(line));
            }
            self.begun.extend_from_slice(&self.piece);
            self.piece = Bytes::new();
            let body = &mut self.body;
            let next = async {
                match timeout(PAUSE_PATIENCE, body.frame()).await {
                    Err(_) => Err(self.server.silent()),
                    Ok(None) => Ok(None),
                    Ok(Some(Err(source))) => Err(self.server.broken(source)),
                    Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
                }
            };
            match self.server.wait(&done, next)? {
                Some(piece) => self.piece = piece,
                None => return Ok(None),
            }
        }
    }

    /// Whether the next line is here already.
    pub fn is_ready(&self) -> bool {
        self.piece.contains(&b'\n')
    }
}
