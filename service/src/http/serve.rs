//! The server: connections, each with limits of its own, until it is asked to end. Then it takes no more, answers what
//! was accepted, and closes.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{
    asker::Remote,
    door::Door,
    patience::{Patient, Turn},
    router,
    tls::Tls,
};
use crate::{
    config::{Limits, size},
    signals,
};

/// What a connection reads ahead at most.
const READ_AHEAD: usize = 256 << 10;
/// So many are told at once that there are too many; whoever comes behind them is only closed.
const TURNED_AWAY_AT_ONCE: usize = 256;
/// How long an accept that failed is waited after: the process has no more files, and closes some meanwhile.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);
/// How often it is said that accepting fails.
const SAID_AGAIN: Duration = Duration::from_secs(10);
/// How often the files of a certificate are looked at.
const LOOK_AT_FILES: Duration = Duration::from_secs(5);
/// The first byte of every TLS connection: a record of the handshake.
const HANDSHAKE: u8 = 0x16;

/// How many connections may wait to be accepted, when all clients come back at once. The system may allow fewer.
const BACKLOG: u32 = 4_096;

/// A server that listens.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    /// Where.
    pub address: SocketAddr,
}

impl Listening {
    /// Listens, with TLS or without.
    ///
    /// # Errors
    /// What the system says.
    pub fn on(address: SocketAddr, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, tls, address })
    }
}

/// Serves until it is asked to end, then until what was accepted is answered.
pub async fn serve(listening: Listening, door: &Door, ends: impl Future<Output = ()>) {
    let Listening { listener, tls, .. } = listening;
    let limits = door.limits;
    let connections = Arc::new(Semaphore::new(size(limits.connections)));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    let (close, closing) = watch::channel(false);
    let served = Served { router: router(door.clone()), limits, tls: tls.clone(), closing };
    let reading_again = tls.map(|tls| tokio::spawn(read_again(tls)));
    let mut under_way = JoinSet::new();
    let mut said: Option<Instant> = None;
    let mut ends = std::pin::pin!(ends);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut ends => break,
        };
        while under_way.try_join_next().is_some() {}
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() > SAID_AGAIN) {
                    tracing::error!(%error, "no connection can be accepted now");
                    said = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
            let (served, counted) = (served.clone(), Counted::new(&door.metrics.connections));
            under_way.spawn(async move {
                served.connection(stream, Remote(remote)).await;
                drop((counted, permit));
            });
        } else if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned()
            && served.tls.is_none()
        {
            tokio::spawn(async move {
                turn_away(stream, limits.connections).await;
                drop(permit);
            });
        }
    }
    drop(listener);
    door.subscriptions.close().await;
    door.feed.stop();
    // Nobody listens where nothing is under way.
    let _ = close.send(true);
    let all = async { while under_way.join_next().await.is_some() {} };
    if timeout(Duration::from_millis(limits.end_timeout_ms), all).await.is_err() {
        tracing::warn!("some requests did not end in time; their connections are closed");
        under_way.shutdown().await;
    }
    if let Some(reading) = reading_again {
        reading.abort();
    }
}

/// What every connection is served with.
#[derive(Debug, Clone)]
struct Served {
    router: Router,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    closing: watch::Receiver<bool>,
}

impl Served {
    async fn connection(self, stream: TcpStream, remote: Remote) {
        // An answer is one small packet, and waits for no other.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.requests(stream, remote).await };
        let mut closing = self.closing.clone();
        let shaken = tokio::select! {
            shaken = timeout(Duration::from_millis(self.limits.handshake_timeout_ms), shake_hands(tls, stream)) => shaken,
            () = is_closing(&mut closing) => return,
        };
        match shaken {
            Ok(Ok(Some(stream))) => self.requests(stream, remote).await,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn requests<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S, remote: Remote) {
        let Self { router, limits, mut closing, .. } = self;
        let turn = Arc::<Turn>::default();
        let stream = Patient::new(stream, Arc::clone(&turn), &limits);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(|body| turn.begin(body));
            request.extensions_mut().insert(remote);
            TowerToHyperService::new(router.clone()).call(request)
        });
        let connection = http1::Builder::new()
            .header_read_timeout(None) // the stream keeps the time, and tells a slow head from an idle connection
            .max_header_size(size(limits.head_bytes))
            .max_buf_size(READ_AHEAD)
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = is_closing(&mut closing) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke off");
        }
    }
}

/// Counts a connection as long as it is there, whatever ends it.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Comes when the server ends.
async fn is_closing(closing: &mut watch::Receiver<bool>) {
    drop(closing.wait_for(|closing| *closing).await);
}

/// Whether an accept failed because the one that was accepted has gone already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused)
}

/// A stream that is encrypted; none where the client speaks plain HTTP, which it is told.
async fn shake_hands(
    tls: &Tls,
    mut stream: TcpStream,
) -> io::Result<Option<tokio_rustls::server::TlsStream<TcpStream>>> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
        let detail = "this port speaks TLS only: use https://";
        say(&mut stream, "400 Bad Request", "tls_only", &[], detail).await?;
        return Ok(None);
    }
    tls.acceptor().accept(stream).await.map(Some)
}

/// Looks after the files of a certificate: when they change, and when it is asked to.
async fn read_again(tls: Arc<Tls>) {
    let asked = signals::on_hang_up();
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(signals::NOTICE * 5).await;
        let is_asked = asked.swap(false, std::sync::atomic::Ordering::Relaxed);
        if !is_asked && looked.elapsed() < LOOK_AT_FILES {
            continue;
        }
        looked = Instant::now();
        let tls = Arc::clone(&tls);
        match tokio::task::spawn_blocking(move || tls.read_again(is_asked)).await {
            Ok(Ok(true)) => tracing::info!("a new certificate serves from now on"),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => tracing::error!("the certificate stays as it was: {error:#}"),
        }
    }
}

/// Tells a client that there are too many.
async fn turn_away(mut stream: TcpStream, most: u64) {
    let detail = format!("there are {most} connections already; try again later");
    let more = [("state", "undecided")];
    let said = say(&mut stream, "503 Service Unavailable", "too_many_connections", &more, &detail);
    // Who does not even read that is left.
    let _ = timeout(Duration::from_secs(1), said).await;
}

/// A problem, said by hand to whoever is not served.
async fn say(stream: &mut TcpStream, status: &str, code: &str, more: &[(&str, &str)], detail: &str) -> io::Result<()> {
    let number: u16 = status[..3].parse().unwrap_or_default();
    let page = super::problem::page(code);
    let mut body =
        serde_json::json!({ "type": page, "title": &status[4..], "status": number, "detail": detail, "code": code });
    for (name, value) in more {
        body[name] = (*value).into();
    }
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nretry-after: 1\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await?;
    // What was sent is read, or closing would be a reset that takes the answer from the client.
    let mut thrown_away = [0; 4 << 10];
    while tokio::io::AsyncReadExt::read(stream, &mut thrown_away).await? > 0 {}
    Ok(())
}
