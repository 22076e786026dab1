//! Through proxies: plain requests, tunnels, SOCKS.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use trustroot::client::{DefaultFetcher, Fetcher as _, HttpSettings, Proxies, ProxyUrl, SafeUrl};

use crate::server::{NAME, Server, answer, hello, read_head, run};

/// A proxy that leads every tunnel to one server, and keeps what it was asked.
struct Tunnels {
    address: std::net::SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    /// Speaks HTTP; answers `reply` to `CONNECT`.
    async fn http(to: std::net::SocketAddr, reply: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tunnels = Self { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = Arc::clone(&tunnels.heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let heads = Arc::clone(&heads);
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await;
                    heads.lock().unwrap().push(head);
                    stream.write_all(reply.as_bytes()).await.unwrap();
                    if reply.contains(" 200 ") {
                        let mut server = TcpStream::connect(to).await.unwrap();
                        let _ = copy_bidirectional(&mut stream, &mut server).await;
                    }
                });
            }
        });
        tunnels
    }

    /// Speaks SOCKS 5 (RFC 1928) with names.
    async fn socks(to: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tunnels = Self { address: listener.local_addr().unwrap(), heads: Arc::default() };
        let heads = Arc::clone(&tunnels.heads);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut greeting = [0; 2];
                stream.read_exact(&mut greeting).await.unwrap();
                let mut methods = vec![0; usize::from(greeting[1])];
                stream.read_exact(&mut methods).await.unwrap();
                stream.write_all(&[5, 0]).await.unwrap();
                let mut request = [0; 5];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(request[..4], [5, 1, 0, 3], "connect to a name");
                let mut name = vec![0; usize::from(request[4]) + 2];
                stream.read_exact(&mut name).await.unwrap();
                heads.lock().unwrap().push(String::from_utf8_lossy(&name[..name.len() - 2]).into_owned());
                stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
                let mut server = TcpStream::connect(to).await.unwrap();
                tokio::spawn(async move { copy_bidirectional(&mut stream, &mut server).await.map(drop) });
            }
        });
        tunnels
    }

    fn url(&self, scheme: &str, credentials: &str) -> ProxyUrl {
        ProxyUrl::parse(&format!("{scheme}://{credentials}{}", self.address)).unwrap()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

const AGREED: &str = "HTTP/1.1 200 OK\r\n\r\n";

fn through(server: &Server, proxies: Proxies) -> DefaultFetcher {
    DefaultFetcher::new(HttpSettings { proxies, ..server.settings() })
}

/// A URL that leads to the server only through a proxy.
fn url(scheme: &str) -> SafeUrl {
    SafeUrl::parse(&format!("{scheme}://{NAME}/hello")).unwrap()
}

/// A URL of the server that a proxy is asked for: with `http`, none is for loopback addresses.
fn proxied_url(server: &Server) -> SafeUrl {
    match server.url("hello") {
        url if url.scheme() == "http" => {
            SafeUrl::parse(&format!("http://0.0.0.0:{}/hello", server.address.port())).unwrap()
        }
        url => url,
    }
}

#[test]
fn https_goes_through_a_tunnel_that_sees_nothing_of_it() {
    run(async {
        let server = Server::https().await;
        let proxy = Tunnels::http(server.address, AGREED).await;
        let https = Some(proxy.url("http", "user:secret@"));
        let fetcher = through(&server, Proxies { https, ..Proxies::default() });
        for _ in 0..2 {
            let content = fetcher.fetch(&url("https")).await.unwrap().bytes(1_000_000).await.unwrap();
            assert!(content == hello());
        }
        let [head] = proxy.heads().try_into().unwrap();
        assert!(head.starts_with(&format!("CONNECT {NAME}:443 HTTP/1.1\r\n")), "{head}");
        assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpzzwnyzxq="), "{head}");
        assert!(!head.contains("hello"));
        // The server learns nothing of the proxy's password.
        assert!(server.asked().iter().all(|asked| asked.header("proxy-authorization").is_none()));
    });
}

#[test]
fn http_is_asked_of_the_proxy() {
    run(async {
        let proxy = Server::answering("http", |asked| match asked.uri.as_str() {
            "http://repository.example/hello" => answer(200, &[], "through the proxy"),
            _ => answer(404, &[], ""),
        })
        .await;
        let text = proxy.url("").expose().replace("http://", "http://user:secret@");
        let http = Some(ProxyUrl::parse(&text).unwrap());
        let fetcher = through(&proxy, Proxies { http, ..Proxies::default() });
        let content = fetcher.fetch(&url("http")).await.unwrap().bytes(100).await.unwrap();
        assert_eq!(content, b"through the proxy");
        assert_eq!(proxy.asked()[0].header("proxy-authorization"), Some("Basic dXNlcjpzZWNyZXQ="));
    });
}

#[test]
fn socks_is_spoken_too() {
    run(async {
        for server in [Server::http().await, Server::https().await] {
            let proxy = Tunnels::socks(server.address).await;
            let all = Some(proxy.url("socks5h", ""));
            let fetcher = through(&server, Proxies { http: all.clone(), https: all, ..Proxies::default() });
            let scheme = server.url("").scheme().to_owned();
            let content = fetcher.fetch(&url(&scheme)).await.unwrap().bytes(1_000_000).await.unwrap();
            assert!(content == hello(), "{scheme}");
            assert_eq!(proxy.heads(), [NAME]);
        }
    });
}

#[test]
fn hosts_that_are_excepted_are_reached_directly() {
    run(async {
        for server in [Server::http().await, Server::https().await] {
            let proxy = Tunnels::http(server.address, AGREED).await;
            // Plain loopback addresses are reached directly anyway.
            let (url, host) = match server.url("hello").scheme() {
                "http" => (format!("http://0.0.0.0:{}/hello", server.address.port()), "0.0.0"),
                _ => (server.url("hello").expose().to_owned(), "127.0.0"),
            };
            let last = url.split([':', '/', '.']).nth(6).unwrap();
            for except in [format!("{host}.{last}"), format!("example.org,{host}.0/24"), format!(" {host}.{last} , x")]
            {
                let (http, https) = (Some(proxy.url("http", "")), Some(proxy.url("http", "")));
                let fetcher = through(&server, Proxies { http, https, except });
                fetcher.fetch(&SafeUrl::parse(&url).unwrap()).await.unwrap();
            }
            assert!(proxy.heads().is_empty());
        }
    });
}

/// Example keys are let in from this machine alone, and what a proxy answers may come from anywhere.
#[test]
fn no_proxy_answers_for_this_machine() {
    run(async {
        let server = Server::http().await;
        let proxy = Server::answering("http", |_| answer(200, &[], "from elsewhere")).await;
        let http = Some(ProxyUrl::parse(proxy.url("").expose()).unwrap());
        let fetcher = through(&server, Proxies { http, ..Proxies::default() });
        for host in ["127.0.0.1", "localhost"] {
            let url = SafeUrl::parse(&format!("http://{host}:{}/hello", server.address.port())).unwrap();
            assert!(url.is_of_this_machine());
            let content = fetcher.fetch(&url).await.unwrap().bytes(1_000_000).await.unwrap();
            assert!(content == hello(), "{host}");
        }
        assert!(proxy.asked().is_empty());
    });
}

#[test]
fn a_proxy_that_refuses_is_an_error_of_the_transport_and_its_password_does_not_show() {
    run(async {
        let server = Server::https().await;
        for reply in ["HTTP/1.1 407 No\r\n\r\n", "HTTP/1.1 502 No\r\n\r\n", "nonsense", ""] {
            let proxy = Tunnels::http(server.address, reply).await;
            let https = Some(proxy.url("http", "user:secret@"));
            let fetcher = through(&server, Proxies { https, ..Proxies::default() });
            let error = fetcher.fetch(&url("https")).await.unwrap_err();
            assert_eq!(error.code(), "transport", "{reply}");
            assert!(!format!("{error} {error:?} {fetcher:?}").contains("secret"), "{error:?}");
        }
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_proxy_that_is_not_there_is_not_gone_round() {
    run(async {
        for server in [Server::http().await, Server::https().await] {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let all = Some(ProxyUrl::parse(&format!("http://user:secret@{gone}")).unwrap());
            let fetcher = through(&server, Proxies { http: all.clone(), https: all, ..Proxies::default() });
            let error = fetcher.fetch(&proxied_url(&server)).await.unwrap_err();
            assert_eq!(error.code(), "transport");
            assert!(!format!("{error} {error:?} {fetcher:?}").contains("secret"), "{error:?}");
            assert_eq!(server.connections(), 0);
        }
    });
}
