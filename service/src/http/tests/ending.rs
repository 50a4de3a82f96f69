//! A server that is asked to end answers what it accepted.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_answered_and_the_rest_ends() {
    let server = Server::start(Limits::default()).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until(&mut idle, "ok\n").await;
    let silent = server.connect().await;

    let mut follower = server.connect().await;
    follower.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until(&mut follower, "\r\n\r\n").await;
    eventually("it follows", || server.door.metrics.followers.get() == 1).await;

    let line = "{\"id\":\"a\"}\n";
    let mut bulk = server.connect().await;
    bulk.write_all(post("/v1/commands/bulk", NDJSON, &line.repeat(2)).strip_suffix(line).unwrap().as_bytes())
        .await
        .unwrap();
    until(&mut bulk, "\"line\":1").await;

    let (address, door) = (server.address, server.door.clone());
    let ending = tokio::spawn(server.end());
    eventually("nobody is accepted any more", || std::net::TcpStream::connect(address).is_err()).await;
    let last = rest(&mut follower).await;
    assert!(
        last.contains("\"end\":true") && last.contains("\"code\":\"closing\"") && last.contains("\"cursor\":"),
        "{last}"
    );
    assert_eq!(rest(&mut idle).await, "");
    drop(silent);
    drop(door);
    bulk.write_all(line.as_bytes()).await.unwrap();
    let answers = rest(&mut bulk).await;
    assert!(answers.contains("\"line\":2") && answers.contains("\"end\":true,\"lines\":2"), "{answers}");
    timeout(LONG, ending).await.expect("it ends").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_end_is_left() {
    let server = Server::start(Limits { end_timeout_ms: 100, ..Limits::default() }).await;
    let mut stalled = server.connect().await;
    stalled.write_all(b"POST /v1/commands HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    eventually("it is open", || server.door.metrics.connections.get() == 1).await;
    server.end().await;
}
