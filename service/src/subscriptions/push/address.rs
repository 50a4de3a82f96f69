//! Where may be pushed: any `http` or `https` address without credentials in it, save what would make the server a
//! proxy into its own host's cloud.
//!
//! Refused are link-local addresses (`169.254.0.0/16`, `fe80::/10`), where clouds serve a machine's credentials, and
//! the two of that kind outside of those (`100.100.100.200`, `fd00:ec2::254`), in any notation and by any name that
//! resolves to them, each time that it is resolved. Loopback and private addresses are allowed: services live there.
//! Whoever may make subscriptions can so reach what this server can reach, with a `POST` whose body the ledger writes
//! and whose answer is not shown but for its status.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use hyper::Uri;
use hyper_util::client::legacy::connect::dns::Name as HostName;
use schemas::visible;
use tower::Service;

use super::super::{Error, Result};

/// The longest address.
const MOST_BYTES: usize = 2_000;

/// An address to push to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Address(Uri);

impl Address {
    /// Reads one.
    ///
    /// # Errors
    /// [`Error::BadSetting`] says why it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let shown: String = visible(text).chars().take(100).collect();
            Error::BadSetting { path: "push.url", what: format!("{shown:?} {why}") }
        };
        if text.len() > MOST_BYTES {
            return Err(wrong("is longer than 2,000 bytes"));
        }
        if text.contains('#') {
            return Err(wrong("has a fragment, which is never sent"));
        }
        let uri: Uri = text.parse().map_err(|_| wrong("is no address such as https://host/path"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(wrong("is neither http nor https"));
        }
        let (Some(host), Some(authority)) = (uri.host().filter(|host| !host.is_empty()), uri.authority()) else {
            return Err(wrong("names no host"));
        };
        if authority.as_str().contains('@') {
            return Err(wrong("has credentials in it; what is pushed is signed instead"));
        }
        if host.trim_matches(['[', ']']).parse().is_ok_and(is_refused) {
            return Err(wrong("is link-local, which belongs to this host alone"));
        }
        Ok(Self(uri))
    }

    /// For a request.
    pub fn uri(&self) -> Uri {
        self.0.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether nothing is pushed there.
fn is_refused(ip: IpAddr) -> bool {
    const ALIBABA_METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    const AWS_METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == ALIBABA_METADATA,
        IpAddr::V6(v6) => {
            // 64:ff9b::/96 leads to the IPv4 address in its last four bytes.
            let leads_to = match v6.segments() {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(u32::from(high) << 16 | u32::from(low)),
                _ => None,
            };
            v6.is_unicast_link_local()
                || v6 == AWS_METADATA
                || leads_to.is_some_and(|v4| is_refused(Ipv4Addr::from_bits(v4).into()))
        }
    }
}

/// Resolves names to addresses where may be pushed.
#[derive(Debug, Clone)]
pub(super) struct Resolver;

type Resolved = Pin<Box<dyn Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

impl Service<HostName> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Resolved;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: HostName) -> Resolved {
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let (refused, allowed): (Vec<_>, Vec<_>) = all.into_iter().partition(|address| is_refused(address.ip()));
            if let (Some(address), true) = (refused.first(), allowed.is_empty()) {
                return Err(io::Error::other(format!("{} is link-local", address.ip())));
            }
            Ok(allowed.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_push_to_services_and_not_into_the_host() {
        for well in [
            "https://hooks.example.com/gifts?x=1",
            "http://127.0.0.1:8080/",
            "http://[::1]:9/",
            "http://10.0.0.1",
            "http://localhost/",
        ] {
            Address::parse(well).unwrap_or_else(|error| panic!("{well}: {error}"));
        }
        for wrong in [
            "",
            "/hooks",
            "hooks.example.com/x",
            "ftp://example.com/",
            "http://",
            "http://u:p@example.com/",
            "http://example.com/#x",
            "http://169.254.169.254/latest/meta-data",
            "http://[fe80::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://[64:ff9b::169.254.169.254]/",
            "http://100.100.100.200/",
            "http://[fd00:ec2::254]/",
            &format!("http://example.com/{}", "x".repeat(2_000)),
        ] {
            assert!(matches!(Address::parse(wrong), Err(Error::BadSetting { .. })), "{wrong}");
        }
    }

    #[tokio::test]
    async fn subscriptions_resolve_no_name_to_a_refused_address() {
        let resolve = async |name: &str| Resolver.call(name.parse().unwrap()).await.map(Iterator::collect::<Vec<_>>);
        assert!(!resolve("localhost").await.unwrap().is_empty());
        // Old notations of 169.254.169.254, which the system's resolver reads.
        for name in ["0xa9fea9fe", "2852039166", "169.254.43518"] {
            resolve(name).await.unwrap_err();
        }
    }
}
