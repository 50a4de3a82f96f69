//! One request, and what came of it.

use std::{error::Error as _, io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, USER_AGENT},
};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use ledger::Clock;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use schemas::Timestamp;
use std::sync::Arc;
use tokio::time::timeout;

use super::{super::definition::Secret, Address, TIMEOUT, address::Resolver, signature::signature};
use crate::feed::Position;

/// How long it may take until there is a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// What of an answer is read, so that its connection can be used again.
const MOST_ANSWER_BYTES: usize = 64 << 10;
/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

/// Sends requests, for all subscriptions.
#[derive(Debug, Clone)]
pub(in super::super) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    lineage: uuid::Uuid,
    clock: Arc<dyn Clock>,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// 2xx.
    Done,
    /// Anything else; `after` is what its answer asks for.
    Failed { reason: String, after: Option<Duration> },
}

impl Client {
    /// Trusts the certificates of the system.
    pub fn new(lineage: uuid::Uuid, clock: Arc<dyn Clock>) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let mut builder = HyperClient::builder(TokioExecutor::new());
        let http = builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).build(connector);
        Self { http, lineage, clock }
    }

    /// Pushes an entry.
    pub(super) fn push(
        &self,
        address: &Address,
        secret: &Secret,
        position: Position,
        json: Bytes,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        let now = self.clock.now();
        let id = format!("{}-{position}", self.lineage);
        let seconds = now.nanos().div_euclid(1_000_000_000);
        let request = Request::builder()
            .method(Method::POST)
            .uri(address.uri())
            .header(CONTENT_TYPE, "application/cloudevents+json")
            .header(USER_AGENT, concat!("giftledger/", env!("CARGO_PKG_VERSION")))
            .header("webhook-signature", signature(secret, &id, seconds, &json))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .body(Full::new(json))
            .expect("its parts were checked");
        let http = self.http.clone();
        async move {
            let answered = async {
                let response = http.request(request).await?;
                let (head, body) = response.into_parts();
                let _ = Limited::new(body, MOST_ANSWER_BYTES).collect().await; // what it says is nobody's concern
                Ok(head)
            };
            match timeout(TIMEOUT, answered).await {
                Err(_) => failed(format!("no answer within {} s", TIMEOUT.as_secs())),
                Ok(Err(error)) => failed(described(&error)),
                Ok(Ok(head)) if head.status.is_success() => Outcome::Done,
                Ok(Ok(head)) => Outcome::Failed {
                    reason: answer(head.status, &head.headers),
                    after: retry_after(&head.headers, now),
                },
            }
        }
    }
}

fn tls() -> ClientConfig {
    let builder = || {
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need")
    };
    let native: io::Result<_> = builder().with_native_roots();
    match native {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "the system has no certificates to trust: nothing can be pushed over https");
            builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth()
        }
    }
}

fn failed(reason: String) -> Outcome {
    Outcome::Failed { reason, after: None }
}

fn answer(status: StatusCode, headers: &HeaderMap) -> String {
    match headers.get(LOCATION).filter(|_| status.is_redirection()) {
        Some(to) => format!(
            "answered {status} to {:?}, and redirects are not followed",
            to.as_bytes().escape_ascii().to_string()
        ),
        None => format!("answered {status}"),
    }
}

/// What `Retry-After` asks for: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    let nanos = date.timestamp_nanos_opt()?.saturating_sub(now.nanos());
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

/// An error with its causes, the last of which mostly says it.
fn described(error: &hyper_util::client::legacy::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
