//! The door over real sockets: a ledger in a folder, a server before it, and clients that behave badly.

mod attacks;
mod ending;
mod logs;
mod metrics;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ledger::SystemClock;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::{Door, Listening, Tls, serve};
use crate::{config::Limits, ledger_dir::LedgerDir};

/// Longer than anything here takes on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);

/// A server of a new ledger.
struct Server {
    address: SocketAddr,
    door: Door,
    ends: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    folder: TempDir,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::start_with(limits, None).await
    }

    async fn start_with(limits: Limits, tls: Option<Arc<Tls>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = LedgerDir::new(&folder.path().join("ledger"));
        let engine = Arc::new(ledger.make(Some(2)).unwrap());
        let door = crate::http::run::door(&ledger, &engine, limits).await.unwrap();
        let listening = Listening::on(([127, 0, 0, 1], 0).into(), tls).unwrap();
        let (ends, asked_to) = oneshot::channel();
        let (address, own) = (listening.address, door.clone());
        let serving = tokio::spawn(async move { serve(listening, &own, async { drop(asked_to.await) }).await });
        Self { address, door, ends: Some(ends), serving, folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends something, and reads all that comes until the server closes.
    async fn exchange(&self, sent: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // It may be closed before all is sent.
        let _ = stream.write_all(sent.as_ref()).await;
        rest(&mut stream).await
    }

    /// Asks it to end; proves that all does, and that nothing of any connection or task is left.
    async fn end(mut self) {
        drop(self.ends.take());
        timeout(LONG, self.serving).await.expect("the server ends").unwrap();
        let door = self.door;
        assert_eq!((door.metrics.connections.get(), door.metrics.followers.get()), (0, 0));
        let running = door.alone(LONG).await.expect("no task has the door any more");
        running.refusals.close().await;
        running.store.close().await;
        drop(self.folder);
    }
}

/// All that comes until the other side closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("it is closed").expect("and not reset");
    String::from_utf8(bytes).unwrap()
}

/// What comes until a text has come.
async fn until(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(text) {
        let mut piece = [0; 4 << 10];
        let count = timeout(LONG, stream.read(&mut piece)).await.expect("it comes").unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(bytes).unwrap()
}

/// The status of the first answer.
fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:?}"))
}

/// Waits until something is so.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(LONG, looking).await.is_ok(), "{what}");
}

/// A request whose body is JSON.
fn post(path: &str, media_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

const NDJSON: &str = "application/x-ndjson";
