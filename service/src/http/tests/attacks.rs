//! Clients that are slow, many, too long, or not quite HTTP. Each gets a clear answer, and leaves nothing behind.

use tokio::time::{Instant, sleep};

use super::*;

const SHORT: Duration = Duration::from_millis(300);

fn short() -> Limits {
    Limits { head_timeout_ms: 300, idle_timeout_ms: 300, body_timeout_ms: 300, ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_silence_end() {
    let server = Server::start(short()).await;
    let begun = Instant::now();
    assert_eq!(status(&server.exchange("GET /healthz HTTP/1.1\r\nhost: local").await), 408);
    assert!(begun.elapsed() >= SHORT);
    assert_eq!(server.exchange("").await, "", "who says nothing hears nothing");

    // A byte now and then is no faster.
    let mut stream = server.connect().await;
    let (mut reading, mut writing) = stream.split();
    let slowly = async {
        for byte in b"GET /healthz HTTP/1.1\r\nx-slow: ".iter().chain([b'x'; 1_000].iter()) {
            if writing.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(SHORT / 10).await;
        }
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! { answer = rest(&mut reading) => answer, () = slowly => unreachable!() };
    assert_eq!(status(&answer), 408);

    // Who is idle behind an answer is closed without another one.
    let answer = server.exchange("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!((status(&answer), answer.matches("HTTP/1.1").count()), (200, 1));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_end() {
    let server = Server::start(Limits { body_bytes_per_s: 1_000_000, ..short() }).await;
    let head = |path: &str, media_type: &str| post(path, media_type, "").replace("length: 0", "length: 100000");
    let stalled = server.exchange(head("/v1/commands", "application/json") + "{").await;
    assert!(status(&stalled) == 408 && stalled.contains("\"code\":\"body_timeout\""), "{stalled}");
    assert!(stalled.contains("\"state\":\"undecided\""), "{stalled}");

    // A piece in time each, and yet too slow: it would take for ever.
    let mut stream = server.connect().await;
    stream.write_all(head("/v1/commands/bulk", NDJSON).as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let slowly = async {
        while writing.write_all(b"{\"id\":1}\n").await.is_ok() {
            sleep(SHORT / 10).await;
        }
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! { answer = rest(&mut reading) => answer, () = slowly => unreachable!() };
    assert!(status(&answer) == 200 && answer.contains("\"malformed\":"), "{answer}");
    assert!(answer.contains("\"end\":true") && answer.contains("\"code\":\"body_timeout\""), "{answer}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_told_so() {
    let server = Server::start(Limits { connections: 2, ..Limits::default() }).await;
    let (first, second) = (server.connect().await, server.connect().await);
    eventually("two are open", || server.door.metrics.connections.get() == 2).await;
    let answer = server.exchange("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(
        status(&answer) == 503 && answer.contains("too_many_connections") && answer.contains("retry-after"),
        "{answer}"
    );
    drop(first);
    eventually("one is left", || server.door.metrics.connections.get() == 1).await;
    let answer = server.exchange("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(status(&answer), 200);
    drop(second);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_connections_come_and_go() {
    let server = Server::start(Limits::default()).await;
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(server.connect().await);
    }
    for stream in &mut open {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    }
    for stream in &mut open {
        assert_eq!(status(&rest(stream).await), 200);
    }
    drop(open);
    eventually("all have gone", || server.door.metrics.connections.get() == 0).await;
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_all_answered() {
    const REQUESTS: usize = 2_000;
    let server = Server::start(Limits::default()).await;
    let mut stream = server.connect().await;
    let (mut reading, mut writing) = stream.split();
    let sending = async {
        let many = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(REQUESTS);
        writing.write_all(many.as_bytes()).await.unwrap();
        writing.shutdown().await.unwrap(); // half closed: what was asked for is still answered
    };
    let ((), answers) = tokio::join!(sending, rest(&mut reading));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), REQUESTS);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_no_http_is_refused() {
    let server = Server::start(Limits { head_bytes: 16 << 10, ..short() }).await;
    let long = "x".repeat(200 << 10);
    let many = "x: y\r\n".repeat(200);
    for (sent, expected) in [
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), 431),
        (format!("GET /healthz HTTP/1.1\r\nx: {long}\r\n\r\n"), 431),
        (format!("GET /healthz HTTP/1.1\r\n{many}\r\n"), 431),
        ("hello\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}".to_owned() + &long, 400),
        ("GET /healthz HTTP/3.0\r\n\r\n".to_owned(), 400),
        ("GET /healthz HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 200),
        ("GET /healthz HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(), 400),
    ] {
        let answer = server.exchange(&sent).await;
        assert_eq!(status(&answer), expected, "{:?}: {answer}", &sent[..sent.len().min(80)]);
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_request_gets_an_answer() {
    let server = Server::start(short()).await;
    for (sent, expected, said) in [
        ("GET /healthz HTTP/1.0\r\n\r\n", 200, "ok"),
        ("GET http://localhost/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n", 200, "lineage"),
        ("GET http://evil.example/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n", 403, "foreign_host"),
        ("CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example\r\n\r\n", 404, "not_found"),
        ("TRACE /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", 405, "method_not_allowed"),
        ("MADEUP /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", 405, "method_not_allowed"),
        ("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n", 404, "not_found"),
        ("HEAD /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", 200, "content-length: 3"),
    ] {
        let answer = server.exchange(sent).await;
        assert!(status(&answer) == expected && answer.contains(said), "{sent:?}: {answer}");
    }
    let metrics = server.exchange("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(metrics.contains("method=\"other\"") && !metrics.contains("MADEUP"), "no label of a client's own making");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_wanted_is_refused_and_the_answer_arrives() {
    let server = Server::start(short()).await;
    // More than the sockets hold, and sent before anything is read.
    let large = post("/v1/commands", "application/json", &"x".repeat(8 << 20));
    let answer = server.exchange(&large).await;
    assert!(status(&answer) == 413 && answer.contains("body_too_large"), "{answer}");
    let unknown = post("/nowhere", "application/json", &"x".repeat(8 << 20));
    assert_eq!(status(&server.exchange(&unknown).await), 404);

    let expecting = |length: usize| {
        post("/v1/commands", "application/json", "")
            .replace("content-length: 0", &format!("expect: 100-continue\r\ncontent-length: {length}"))
    };
    let answer = server.exchange(expecting(8 << 20)).await;
    assert_eq!(status(&answer), 413, "before the body is sent");
    let mut stream = server.connect().await;
    stream.write_all(expecting(2).as_bytes()).await.unwrap();
    assert_eq!(status(&until(&mut stream, "\r\n\r\n").await), 100);
    stream.write_all(b"{}").await.unwrap();
    assert_eq!(status(&rest(&mut stream).await), 400, "an empty object is no command");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_read_and_their_extensions_bounded() {
    let server = Server::start(short()).await;
    let head = "POST /v1/commands HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let answer = server.exchange(format!("{head}1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n")).await;
    assert!(answer.contains("\"state\":\"malformed\""), "{answer}");
    for wrong in
        [format!("1;{}\r\n{{\r\n0\r\n\r\n", "e".repeat(64 << 10)), "xyz\r\n".into(), "ffffffffffffffffff\r\n".into()]
    {
        let answer = server.exchange(format!("{head}{wrong}")).await;
        assert!(status(&answer) == 400 && answer.contains("breaks off"), "{answer}");
    }
    // No announced length: what is too much is counted.
    let endless = format!("{head}{}", format!("10000\r\n{}\r\n", "x".repeat(0x1_0000)).repeat(64));
    assert_eq!(status(&server.exchange(endless).await), 413);
    server.end().await;
}
