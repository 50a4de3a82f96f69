//! A ledger behind a server, asked over HTTP.
//!
//! Everything here blocks: a runtime of its own runs while somebody waits, and looks whether the process is to end. What
//! is safe to ask twice is asked again where a connection breaks: questions, and commands, which carry their ids.

mod address;
mod bulk;
mod error;
mod events;
mod stream;

use std::{cell::Cell, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use schemas::{Envelope, Record, Source};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};

use crate::{
    app::{
        Said,
        actions::{reference, support::Preview},
        questions::{Address, Asked},
    },
    signals::{self, Interrupted},
};

pub use address::ServerAddress;
pub use error::{Error, Result, is_fault};

/// How long it takes at most until somebody picks up.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer may take to begin: a question that folds a log of a hundred million records takes minutes.
const ANSWER_PATIENCE: Duration = Duration::from_mins(10);
/// How long an answer that has begun may pause: the feed's heart beats every 15 s, a bulk waits 5 s for the queue.
const PAUSE_PATIENCE: Duration = Duration::from_mins(1);
/// The most bytes of an answer that is no stream: wallets, boards and pages are a few MiB at most.
const MAX_ANSWER_BYTES: usize = 256 << 20;
/// How long is waited before a broken request is asked again: three times, within seconds, as somebody waits.
const AGAIN: [Duration; 3] = [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];
/// The same of what goes on for long, beside which a server may be started again: half a minute.
const AGAIN_FOR_LONG: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
    Duration::from_secs(10),
    Duration::from_secs(10),
];
/// The longest wait that a server may ask for before it is asked again; longer ones are told.
const MOST_ASKED_FOR: Duration = Duration::from_secs(10);
/// Names the service that asks, where no token does.
const SOURCE: HeaderName = HeaderName::from_static("giftledger-source");

/// A server.
#[derive(Debug)]
pub struct Server {
    address: ServerAddress,
    authorization: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Runtime,
}

/// What is sent, but for where to.
#[derive(Debug, Clone)]
struct Asking {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Asking {
    fn get(target: &str) -> Self {
        Self { method: Method::GET, target: target.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    fn post(target: &str, media_type: &'static str, source: Option<&Source>, body: Bytes) -> Self {
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        if let Some(source) = source.and_then(|source| HeaderValue::from_str(source.as_str()).ok()) {
            headers.insert(SOURCE, source);
        }
        Self { method: Method::POST, target: target.to_owned(), headers, body }
    }
}

/// What a check answers.
#[derive(Debug, Deserialize)]
struct CheckedBody {
    would_be: String,
    record: Record,
}

impl Server {
    /// The server at an address, asked with a token, if there is one. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Unusable`] if the token can be none, or the machine's certificates cannot be read.
    pub fn at(address: ServerAddress, token: Option<&str>) -> Result<Self> {
        let bearer = |token: &str| {
            let visible = token.bytes().all(|byte| byte.is_ascii_graphic()) && !token.is_empty();
            let value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| visible);
            let mut value = value.ok_or_else(|| {
                Error::Unusable("the token is none: it has letters and digits only, such as gl_…".to_owned())
            })?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            client: client(&address)?,
            authorization: token.map(bearer).transpose()?,
            address,
            runtime: runtime.map_err(|error| Error::Unusable(format!("no sockets can be used: {error}")))?,
        })
    }

    /// Where it is, as it was named.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Whether a token says who asks, and so which source.
    pub fn has_token(&self) -> bool {
        self.authorization.is_some()
    }

    /// Asks a question.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn ask<Q: Asked>(&self, question: &Q) -> Result<Q::Answer> {
        self.get(&question.address())
    }

    fn get<A: DeserializeOwned>(&self, address: &Address) -> Result<A> {
        let (_, body) = self.insist(&Asking::get(&address.to_string()), || "no answer had come".to_owned())?;
        self.read(&body)
    }

    /// What would come of a command.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn check(&self, source: Option<&Source>, envelope: &Envelope) -> Result<Preview> {
        let asking = self.command("/v1/commands/check", source, envelope);
        let done = || "nothing was done".to_owned();
        let (status, body) = match self.insist(&asking, done) {
            Err(Error::Problem(problem)) => match problem.into_answer() {
                Ok(said) => return Ok(Preview::Nothing(said)),
                Err(problem) => return Err(problem),
            },
            answered => answered?,
        };
        let Ok(checked) = serde_json::from_slice::<CheckedBody>(&body) else {
            return Ok(Preview::Nothing(self.answer(status, &body)?));
        };
        let record = Box::new(checked.record);
        Ok(if checked.would_be == "replayed" { Preview::Known(record) } else { Preview::New(record) })
    }

    /// Sends a command; where the connection breaks before the answer, again with its id.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn send(&self, source: Option<&Source>, envelope: &Envelope) -> Result<Said> {
        let asking = self.command("/v1/commands", source, envelope);
        let done = || "the command may have been taken: ask again with the same id".to_owned();
        match self.insist(&asking, done) {
            Ok((status, body)) => self.answer(status, &body),
            Err(Error::Problem(problem)) => problem.into_answer(),
            Err(error) => Err(error),
        }
    }

    fn command(&self, target: &str, source: Option<&Source>, envelope: &Envelope) -> Asking {
        let body = serde_json::to_vec(envelope).expect("a command has a JSON form");
        Asking::post(target, "application/json", source.filter(|_| !self.has_token()), body.into())
    }

    fn answer(&self, _: StatusCode, body: &[u8]) -> Result<Said> {
        let said: Said = self.read(body)?;
        Ok(said.without(&["id"]))
    }

    /// Publishes a platform file, or says what it would change. Publishing goes on where it broke off, so it may be
    /// asked again.
    ///
    /// # Errors
    /// Why it was not done.
    pub fn publish(
        &self,
        source: Option<&Source>,
        (text, form): (&[u8], reference::Form),
        how: reference::How,
    ) -> Result<reference::Answer> {
        let address = Address::of(&["reference"]).flag("dry_run", how.dry_run).flag("prune", how.prune);
        let media_type = match form {
            reference::Form::Toml => "application/toml",
            reference::Form::Json => "application/json",
        };
        let source = source.filter(|_| !self.has_token());
        let asking = Asking::post(&address.to_string(), media_type, source, Bytes::copy_from_slice(text));
        let done = || "the file may have been published in part: apply it again, which goes on with it".to_owned();
        let (_, body) = self.insist(&asking, done)?;
        self.read(&body)
    }

    fn read<A: DeserializeOwned>(&self, body: &[u8]) -> Result<A> {
        serde_json::from_slice(body).map_err(|source| Error::Unread {
            server: self.address.to_string(),
            own: env!("CARGO_PKG_VERSION"),
            source,
        })
    }

    /// Asks for something that may be asked again, until there is an answer or it has broken off too often.
    fn insist(&self, asking: &Asking, done: impl Fn() -> String) -> Result<(StatusCode, Bytes)> {
        let mut waits = AGAIN.iter();
        loop {
            let error = match self.wait(&done, self.whole(asking.clone())) {
                Ok(answered) => return Ok(answered),
                Err(error) => error,
            };
            let (Some(wait), Some(&usual)) = (error.may_help_after(), waits.next()) else { return Err(error) };
            if wait > MOST_ASKED_FOR {
                return Err(error);
            }
            signals::pause(wait.max(usual), &done)?;
        }
    }

    /// The whole answer to a request.
    async fn whole(&self, asking: Asking) -> Result<(StatusCode, Bytes)> {
        let response = self.begin(asking).await?;
        let status = response.status();
        Ok((status, self.collect(response).await?))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes> {
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect();
        match timeout(ANSWER_PATIENCE, body).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(source)) => Err(self.broken(source)),
            Err(_) => Err(self.silent()),
        }
    }

    /// The beginning of an answer. What says no is an error.
    async fn begin(&self, asking: Asking) -> Result<Response<Incoming>> {
        let Asking { method, target, headers, body } = asking;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.address.uri(&target)?;
        *request.headers_mut() = headers;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let response = match timeout(ANSWER_PATIENCE, self.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(Error::of_request(&self.address, error)),
            Err(_) => return Err(self.silent()),
        };
        let said = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let said = said.unwrap_or("no Content-Type").to_owned();
        let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence == "application/problem+json" {
            let (head, body) = response.into_parts();
            let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = self.collect(Response::new(body)).await?;
            return Err(Error::problem(&self.address, head.status, retry_after.map(Duration::from_secs), &body));
        }
        if response.status().is_success() && (essence.ends_with("json") || essence == "text/event-stream") {
            return Ok(response);
        }
        Err(Error::Stranger { server: self.address.to_string(), status: response.status(), media_type: said })
    }

    /// Lets something happen while nobody asks the process to end; `done` says what was done by then.
    fn wait<T>(&self, done: impl Fn() -> String, what: impl Future<Output = Result<T>>) -> Result<T> {
        self.runtime.block_on(async {
            tokio::select! {
                happened = what => happened,
                interrupted = asked_to_end(done) => Err(interrupted.into()),
            }
        })
    }

    fn broken(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Broken { server: self.address.to_string(), source: source.into() }
    }

    fn silent(&self) -> Error {
        Error::Silent { server: self.address.to_string() }
    }
}

async fn asked_to_end(done: impl Fn() -> String) -> Interrupted {
    loop {
        if let Err(interrupted) = signals::check(&done) {
            return interrupted;
        }
        sleep(signals::NOTICE).await;
    }
}

/// The HTTP client, with the machine's certificates where the address wants TLS.
fn client(address: &ServerAddress) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>> {
    let mut plain = HttpConnector::new();
    plain.enforce_http(false);
    plain.set_connect_timeout(Some(CONNECT_PATIENCE));
    plain.set_nodelay(true);
    let provider = rustls::crypto::ring::default_provider();
    let connector = if address.is_secure() {
        let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
        builder.map_err(|error| Error::Unusable(format!("this machine's certificates cannot be read: {error}")))?
    } else {
        let config =
            rustls::ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
        let config = config.map_err(|error| Error::Unusable(format!("no TLS can be spoken: {error}")))?;
        let nobody = rustls::RootCertStore::empty();
        HttpsConnectorBuilder::new().with_tls_config(config.with_root_certificates(nobody).with_no_client_auth())
    };
    let connector = connector.https_or_http().enable_http1().wrap_connector(plain);
    Ok(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

/// Counts up; for what is told when something breaks off.
#[derive(Debug, Default)]
struct Counter(Cell<u64>);

impl Counter {
    fn get(&self) -> u64 {
        self.0.get()
    }
    fn set(&self, to: u64) {
        self.0.set(to);
    }
}
