//! A service that is pushed to, and answers as the test says.

use std::{convert::Infallible, net::SocketAddr};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

/// What came.
#[derive(Debug, Clone)]
pub struct Came {
    pub headers: HashMap<String, String>,
    pub body: Bytes,
    pub path: String,
}

impl Came {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn subject(&self) -> String {
        subject(&self.body)
    }
}

/// How it answers.
#[derive(Debug, Clone)]
pub enum Says {
    Status(u16),
    With(u16, &'static str, String),
    Nothing,
}

type Answer = Arc<dyn Fn(&Came, usize) -> Says + Send + Sync>;

/// A service that listens.
pub struct Receiver {
    pub address: SocketAddr,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    /// `answer` is asked with what came and how often that id had come before.
    pub async fn new(answer: impl Fn(&Came, usize) -> Says + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (came, answer): (Arc<Mutex<Vec<Came>>>, Answer) = (Arc::default(), Arc::new(answer));
        let own = Arc::clone(&came);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (came, answer) = (Arc::clone(&own), Arc::clone(&answer));
                let serve = service_fn(move |request| serve(request, Arc::clone(&came), Arc::clone(&answer)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), serve));
            }
        });
        Self { address, came }
    }

    pub fn wanted(&self) -> Wanted {
        Wanted { push: Some(WantedPush { url: format!("http://{}/hook?x=1", self.address) }), ..from_start() }
    }

    pub fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

async fn serve(
    request: Request<Incoming>,
    came: Arc<Mutex<Vec<Came>>>,
    answer: Answer,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let text = |value: &hyper::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let one = Came { headers, body: body.collect().await.unwrap().to_bytes(), path: head.uri.to_string() };
    let before = {
        let mut came = came.lock().unwrap();
        let before = came.iter().filter(|had| had.header("webhook-id") == one.header("webhook-id")).count();
        came.push(one.clone());
        before
    };
    let response = Response::builder();
    let response = match answer(&one, before) {
        Says::Status(status) => response.status(status),
        Says::With(status, name, value) => response.status(status).header(name, value),
        Says::Nothing => std::future::pending().await,
    };
    Ok(response.body(Full::default()).unwrap())
}
