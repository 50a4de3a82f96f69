//! The server: connections, each with limits of its own, until it is asked to end. Then it takes no more, answers what
//! was accepted, and closes the ledger.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};

use super::{asker::Remote, door::Door, patience::Patient, router};
use crate::signals;

/// How long a client may take for the head of a request.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// What a connection reads ahead at most.
const READ_AHEAD: usize = 256 << 10;
/// The most connections at once; whoever comes behind them is told so.
const MOST_CONNECTIONS: usize = 10_000;
/// How long requests may go on once the server is asked to end.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// How long an accept that failed is waited after: the process has no more files, and closes some meanwhile.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A server that listens.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
    /// Where.
    pub address: SocketAddr,
}

impl Listening {
    /// Listens.
    ///
    /// # Errors
    /// What the system says.
    pub async fn on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }
}

/// Serves until it is asked to end, then until what was accepted is answered.
pub async fn serve(listening: Listening, door: &Door) {
    let router = router(door.clone());
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let (close, closing) = watch::channel(false);
    let mut under_way = JoinSet::new();
    let mut asked_to_end = std::pin::pin!(asked_to_end());
    loop {
        let accepted = tokio::select! {
            accepted = listening.listener.accept() => accepted,
            () = &mut asked_to_end => break,
        };
        while under_way.try_join_next().is_some() {}
        let Ok((stream, remote)) = accepted else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        match Arc::clone(&connections).try_acquire_owned() {
            Ok(permit) => {
                let (router, closing, door) = (router.clone(), closing.clone(), door.clone());
                under_way.spawn(async move {
                    door.metrics.connections.inc();
                    connection(stream, Remote(remote), router, closing).await;
                    door.metrics.connections.dec();
                    drop(permit);
                });
            }
            Err(_) => drop(tokio::spawn(turn_away(stream))),
        }
    }
    drop(listening);
    door.subscriptions.close().await;
    door.feed.stop();
    // Nobody listens where nothing is under way.
    let _ = close.send(true);
    let all = async { while under_way.join_next().await.is_some() {} };
    if timeout(LAST_WORDS, all).await.is_err() {
        tracing::warn!("some requests did not end in time; their connections are closed");
    }
}

async fn connection(stream: TcpStream, remote: Remote, router: Router, mut closing: watch::Receiver<bool>) {
    // An answer is one small packet, and waits for no other.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(remote);
        TowerToHyperService::new(router.clone()).call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(READ_AHEAD)
        .half_close(true)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async { drop(closing.wait_for(|closing| *closing).await) } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Tells a client that there are too many.
async fn turn_away(mut stream: TcpStream) {
    let body = format!(
        r#"{{"type":"/docs/problems/too_many_connections","title":"Too many connections","status":503,"detail":"there are {MOST_CONNECTIONS} connections already; try again later","code":"too_many_connections","state":"undecided"}}"#
    );
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let said = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await
    };
    // Who does not even read that is left.
    let _ = timeout(Duration::from_secs(1), said).await;
}

async fn asked_to_end() {
    while signals::check(String::new).is_ok() {
        tokio::time::sleep(signals::NOTICE).await;
    }
}
