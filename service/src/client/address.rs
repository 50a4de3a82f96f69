//! Where a server is: `http://127.0.0.1:8040`, `https://gifts.example.com/ledger`.

use std::{fmt, net::IpAddr, str::FromStr};

use hyper::Uri;
use schemas::visible;

use super::{Error, Result};

/// A server's address, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress(String);

impl ServerAddress {
    /// Whether it is asked over TLS.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Whether what is said to it stays on this machine.
    pub fn is_local(&self) -> bool {
        let uri: Uri = self.0.parse().unwrap_or_default();
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The same with the other scheme.
    pub fn other_scheme(&self) -> String {
        match self.0.strip_prefix("https://") {
            Some(rest) => format!("http://{rest}"),
            None => self.0.replacen("http://", "https://", 1),
        }
    }

    /// A page of it.
    pub(super) fn uri(&self, target: &str) -> Result<Uri> {
        let uri = format!("{}{target}", self.0);
        uri.parse().map_err(|error| Error::Unusable(format!("{} cannot be asked for: {error}", visible(&uri))))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| Err(format!("`{}` {what}; allowed is http://HOST:PORT or https://HOST:PORT", visible(text)));
        let Some((scheme, rest)) = text.split_once("://") else { return wrong("has no scheme") };
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return wrong("has another scheme");
        }
        let address = format!("{scheme}://{}", rest.trim_end_matches('/'));
        let Ok(uri) = address.parse::<Uri>() else { return wrong("is no address") };
        if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return wrong("names no host, or a user: a token says who asks");
        }
        if uri.query().is_some() || address.contains('#') {
            return wrong("has more than a server's address");
        }
        Ok(Self(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_host() {
        let table = [
            ("http://127.0.0.1:8040", "http://127.0.0.1:8040", true),
            ("HTTP://localhost:8040/", "http://localhost:8040", true),
            ("http://[::1]:80", "http://[::1]:80", true),
            ("https://gifts.example.com/ledger/", "https://gifts.example.com/ledger", false),
        ];
        for (text, address, is_local) in table {
            let parsed: ServerAddress = text.parse().unwrap();
            assert_eq!((parsed.to_string(), parsed.is_local()), (address.to_owned(), is_local));
            assert_eq!(parsed.uri("/v1/status").unwrap().to_string(), format!("{address}/v1/status"));
        }
        let wrong =
            ["", "127.0.0.1:8040", "ftp://a", "http://", "http://u:p@a", "http://a/?b=c", "http://a#b", "http://a b"];
        for text in wrong {
            let said = text.parse::<ServerAddress>().unwrap_err();
            assert!(said.contains("allowed is http://HOST:PORT or https://HOST:PORT"), "{text}: {said}");
        }
        let secure: ServerAddress = "https://a:1".parse().unwrap();
        assert_eq!((secure.other_scheme(), secure.is_secure()), ("http://a:1".to_owned(), true));
    }
}
