//! Downloads from a server that misbehaves on purpose.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use xbuild_fetch::{FetchError, FetchOptions, Fetched, Fetcher, Mirrors, Progress};
use xbuild_store_model::{Hash, HashAlgo};

/// A request's path and its header lines, in lower case.
#[derive(Clone, Debug)]
struct Request {
    target: String,
    headers: Vec<String>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The first byte of the range that is asked for.
    fn from(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// A server that calls a function with each request and its number.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, log, answer) =
                    (stream.unwrap(), Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap())
                        .lines()
                        .map_while(Result::ok);
                    let Some(first) = lines.next() else { return };
                    let target = first.split(' ').nth(1).unwrap().to_owned();
                    let headers = lines
                        .take_while(|line| !line.is_empty())
                        .map(|line| line.to_lowercase())
                        .collect();
                    let request = Request { target, headers };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len()
                    };
                    answer(number, &request, &mut stream);
                });
            }
        });
        Self { address, requests }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    // The client may have gone; that is its right.
    let _ = stream.write_all(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes());
    let _ = stream.write_all(body);
}

fn ok(stream: &mut TcpStream, body: &[u8]) {
    send(
        stream,
        &format!("200 OK\r\nContent-Length: {}", body.len()),
        body,
    );
}

/// A directory to download to, and how.
struct Client {
    dir: tempfile::TempDir,
    fetcher: Fetcher,
    progress: Vec<Progress>,
}

impl Client {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut FetchOptions)) -> Self {
        let mut options = FetchOptions {
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(5),
            first_pause: Duration::from_millis(1),
            attempts: 3,
            proxies_from_env: false,
            mirrors: Mirrors::from_apt_dir("/nonexistent".as_ref()),
            ..FetchOptions::default()
        };
        change(&mut options);
        Self {
            dir: tempfile::tempdir().unwrap(),
            fetcher: Fetcher::new(options),
            progress: Vec::new(),
        }
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    fn fetch(&mut self, url: &str, expected: Option<&[u8]>) -> Result<Fetched, FetchError> {
        let expected = expected.map(|content| Hash::of(HashAlgo::Sha256, content));
        let progress = &mut self.progress;
        let result = self.fetcher.fetch(
            url,
            &self.dir.path().join("dest"),
            expected.as_ref(),
            &mut |now| progress.push(now),
            &AtomicBool::new(false),
        );
        let left: Vec<_> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        if result.is_ok() {
            assert_eq!(left, ["dest"]);
        } else {
            assert!(left.is_empty(), "left behind: {left:?}");
        }
        result
    }

    fn error(&mut self, server: &Server, path: &str, expected: Option<&[u8]>) -> String {
        self.fetch(&server.url(path), expected)
            .unwrap_err()
            .to_string()
            .replace(&server.address, "SERVER")
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.dest()).unwrap()
    }
}

fn large() -> Vec<u8> {
    (0..300_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect()
}

#[test]
fn a_file_arrives() {
    let server = Server::start(|_, _, stream| ok(stream, &large()));
    let mut client = Client::new();
    let fetched = client.fetch(&server.url("x?y=z"), Some(&large())).unwrap();
    assert_eq!(
        fetched,
        Fetched {
            hash: Hash::of(HashAlgo::Sha256, &large()),
            size: 1_200_000
        }
    );
    assert!(client.content() == large());
    let last = *client.progress.last().unwrap();
    assert_eq!(
        last,
        Progress {
            received: 1_200_000,
            total: Some(1_200_000),
            attempt: 1
        }
    );
    assert!(
        client
            .progress
            .is_sorted_by_key(|progress| progress.received)
    );
    let requests = server.requests.lock().unwrap();
    assert_eq!(requests[0].target, "/x?y=z");
    assert_eq!(requests[0].header("accept-encoding"), Some("identity"));
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(
        client.dest().metadata().unwrap().permissions().mode() & 0o7777,
        0o644
    );
}

#[test]
fn a_wrong_hash_names_both_and_the_url_and_is_final() {
    let server = Server::start(|_, _, stream| ok(stream, b"evil"));
    let error = Client::new().error(&server, "hello.tar", Some(b"good"));
    insta::assert_snapshot!(error, @r"
    hash mismatch in file downloaded from 'http://SERVER/hello.tar':
      specified: sha256-dw5gdiTWiSZcpsRIhNCAfZsFTSPEc8EGxyvp3gi3N2w=
      got:       sha256-tcH7Lvxta0Z0wv3MSM4BtDo7fAN2PAwzVd4Ame4PjHM=
    ");
    assert_eq!(server.count(), 1);
}

#[test]
fn a_missing_file_is_not_asked_for_again() {
    let server =
        Server::start(|_, _, stream| send(stream, "404 Not Found\r\nContent-Length: 4", b"nope"));
    insta::assert_snapshot!(Client::new().error(&server, "x", None), @"
    unable to download 'http://SERVER/x': HTTP error 404
    hint: the server has no such file
    ");
    assert_eq!(server.count(), 1);
}

#[test]
fn server_errors_are_tried_again() {
    let server = Server::start(|number, _, stream| {
        if number < 3 {
            send(
                stream,
                "503 Busy\r\nContent-Length: 4\r\nRetry-After: 0",
                b"wait",
            );
        } else {
            ok(stream, b"here");
        }
    });
    let mut client = Client::new();
    client.fetch(&server.url("x"), None).unwrap();
    assert_eq!(client.content(), b"here");
    assert_eq!(client.progress.last().unwrap().attempt, 3);

    let server = Server::start(|_, _, stream| send(stream, "500 Oops\r\nContent-Length: 0", b""));
    insta::assert_snapshot!(Client::new().error(&server, "x", None), @"
    unable to download 'http://SERVER/x': HTTP error 500
    it was tried 3 times
    ");
    assert_eq!(server.count(), 3);
}

#[test]
fn a_broken_transfer_is_resumed() {
    let server = Server::start(|number, request, stream| {
        let (body, tag) = (large(), "Accept-Ranges: bytes\r\nETag: \"v1\"");
        match request.from() {
            None => send(
                stream,
                &format!("200 OK\r\nContent-Length: {}\r\n{tag}", body.len()),
                &body[..400_000],
            ),
            Some(from) => {
                assert_eq!(request.header("if-range"), Some("\"v1\""));
                let until = if number == 2 { from + 1000 } else { body.len() };
                let head = format!(
                    "206 Partial\r\nContent-Length: {}\r\n{tag}\r\nContent-Range: bytes {from}-{}/{}",
                    body.len() - from,
                    body.len() - 1,
                    body.len()
                );
                send(stream, &head, &body[from..until]);
            }
        }
    });
    let mut client = Client::new();
    client.fetch(&server.url("x"), None).unwrap();
    assert!(client.content() == large());
    assert!(
        client
            .progress
            .is_sorted_by_key(|progress| progress.received),
        "nothing was downloaded twice"
    );
    assert_eq!(server.count(), 3);
}

#[test]
fn a_server_that_ignores_ranges_sends_all_again() {
    let server = Server::start(|number, _, stream| {
        let sent = if number == 1 { 400_000 } else { 1_200_000 };
        send(
            stream,
            "200 OK\r\nContent-Length: 1200000\r\nETag: \"v1\"",
            &large()[..sent],
        );
    });
    let mut client = Client::new();
    client.fetch(&server.url("x"), Some(&large())).unwrap();
    assert!(client.content() == large());
}

#[test]
fn parts_of_two_versions_are_not_put_together() {
    // The server has no validators, and another file when it is asked for the rest.
    let server = Server::start(|number, request, stream| match (number, request.from()) {
        (1, _) => send(stream, "200 OK\r\nContent-Length: 1200000", &vec![7; 5000]),
        (_, Some(from)) => {
            let head = format!(
                "206 Partial\r\nContent-Length: {}\r\nContent-Range: bytes {from}-1199999/1200000",
                1_200_000 - from
            );
            send(stream, &head, &large()[from..]);
        }
        _ => ok(stream, &large()),
    });
    let mut client = Client::new();
    client.fetch(&server.url("x"), Some(&large())).unwrap();
    assert!(client.content() == large());
    assert_eq!(server.count(), 3);
}

#[test]
fn a_wrong_range_is_not_used() {
    let server = Server::start(|number, _, stream| match number {
        1 => send(
            stream,
            "200 OK\r\nContent-Length: 8\r\nETag: \"v\"",
            b"1234",
        ),
        2 => send(
            stream,
            "206 Partial\r\nContent-Length: 6\r\nContent-Range: bytes 2-7/8",
            b"345678",
        ),
        _ => ok(stream, b"12345678"),
    });
    let mut client = Client::new();
    client.fetch(&server.url("x"), None).unwrap();
    assert_eq!(client.content(), b"12345678");
}

#[test]
fn a_transfer_that_always_breaks_is_an_error() {
    let server =
        Server::start(|_, _, stream| send(stream, "200 OK\r\nContent-Length: 10", b"12345"));
    insta::assert_snapshot!(Client::new().error(&server, "x", None), @"
    unable to download 'http://SERVER/x': the connection was closed before the file was complete
    it was tried 3 times
    ");
}

#[test]
fn nonsense_is_an_error() {
    let server = Server::start(|_, _, stream| _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n"));
    let error = Client::new().error(&server, "x", None);
    assert!(
        error.starts_with("unable to download 'http://SERVER/x': "),
        "{error}"
    );
}

#[test]
fn redirects_are_followed_and_end() {
    let server = Server::start(|_, request, stream| match request.target.as_str() {
        "/a/start" => send(
            stream,
            "302 Found\r\nContent-Length: 0\r\nLocation: ../b?c",
            b"",
        ),
        "/b?c" => send(
            stream,
            "301 Moved\r\nContent-Length: 4\r\nLocation: /end",
            b"look",
        ),
        "/end" => ok(stream, b"the end"),
        "/loop" => send(
            stream,
            "302 Found\r\nContent-Length: 0\r\nLocation: /loop",
            b"",
        ),
        "/file" => send(
            stream,
            "302 Found\r\nContent-Length: 0\r\nLocation: file:///etc/passwd",
            b"",
        ),
        "/none" => send(stream, "302 Found\r\nContent-Length: 0", b""),
        other => {
            let next: usize = other.trim_start_matches('/').parse().unwrap();
            send(
                stream,
                &format!("302 Found\r\nContent-Length: 0\r\nLocation: /{}", next + 1),
                b"",
            );
        }
    });
    let mut client = Client::new();
    client.fetch(&server.url("a/start"), None).unwrap();
    assert_eq!(client.content(), b"the end");
    let error = |path| Client::new().error(&server, path, None);
    insta::assert_snapshot!(error("loop"), @"unable to download 'http://SERVER/loop': 'http://SERVER/loop' redirects back to 'http://SERVER/loop', in a circle");
    insta::assert_snapshot!(error("1"), @"unable to download 'http://SERVER/1': more than 10 redirects, the last one to 'http://SERVER/12'");
    insta::assert_snapshot!(error("file"), @"unable to download 'http://SERVER/file': 'http://SERVER/file' redirects to 'file:///etc/passwd', which is not a URL that can be fetched");
    insta::assert_snapshot!(error("none"), @"unable to download 'http://SERVER/none': 'http://SERVER/none' redirects to nowhere: the response has no Location");
}

#[test]
fn a_stalled_server_is_given_up() {
    let server = Server::start(|number, _, stream| {
        if number == 1 {
            send(stream, "200 OK\r\nContent-Length: 10", b"12345");
            thread::sleep(Duration::from_secs(20));
        }
        ok(stream, b"1234567890");
    });
    let mut client = Client::with(|options| options.stall_timeout = Duration::from_millis(300));
    client.fetch(&server.url("x"), None).unwrap();
    assert_eq!(client.content(), b"1234567890");
    assert_eq!(server.count(), 2);
}

#[test]
fn a_slow_server_is_not_stalled() {
    let server = Server::start(|_, _, stream| {
        send(stream, "200 OK\r\nContent-Length: 10", b"");
        for byte in b"1234567890" {
            thread::sleep(Duration::from_millis(60));
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let mut client = Client::with(|options| options.stall_timeout = Duration::from_millis(400));
    client.fetch(&server.url("x"), None).unwrap();
    assert_eq!(
        (client.content(), server.count()),
        (b"1234567890".to_vec(), 1)
    );
}

#[test]
fn nobody_listens() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let error = Client::new()
        .fetch(&format!("http://{address}/x"), None)
        .unwrap_err()
        .to_string();
    let error = error.replace(&address, "SERVER");
    insta::assert_snapshot!(error, @"
    unable to download 'http://SERVER/x': Connection refused (os error 111)
    it was tried 3 times
    ");
}

#[test]
fn content_encodings_are_left_alone() {
    let body = b"\x1f\x8b\x08 not to be decoded";
    let server = Server::start(move |_, _, stream| {
        send(
            stream,
            &format!(
                "200 OK\r\nContent-Length: {}\r\nContent-Encoding: gzip",
                body.len()
            ),
            body,
        );
    });
    let mut client = Client::new();
    client.fetch(&server.url("x.gz"), None).unwrap();
    assert_eq!(client.content(), body);
}

#[test]
fn chunks_without_a_length() {
    let server = Server::start(|number, _, stream| {
        let end: &[u8] = if number == 1 {
            b"5\r\nhel"
        } else {
            b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
        };
        send(stream, "200 OK\r\nTransfer-Encoding: chunked", end);
    });
    let mut client = Client::new();
    client.fetch(&server.url("x"), None).unwrap();
    assert_eq!(
        (client.content(), server.count()),
        (b"hello world".to_vec(), 2)
    );
    assert_eq!(client.progress.last().unwrap().total, None);
}

#[test]
fn cancelling_ends_it_soon() {
    let server = Server::start(|_, _, stream| {
        send(stream, "200 OK\r\nContent-Length: 10", b"12345");
        thread::sleep(Duration::from_secs(60));
    });
    let client = Client::with(|options| options.stall_timeout = Duration::from_secs(60));
    let cancel = AtomicBool::new(false);
    let mut progress = |now: Progress| cancel.store(now.received == 5, Ordering::Relaxed);
    let error = client
        .fetcher
        .fetch(
            &server.url("x"),
            &client.dest(),
            None,
            &mut progress,
            &cancel,
        )
        .unwrap_err();
    assert!(matches!(error, FetchError::Cancelled { .. }), "{error}");
    assert_eq!(std::fs::read_dir(client.dir.path()).unwrap().count(), 0);
}

#[test]
fn files_of_this_machine() {
    let mut client = Client::new();
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("a b");
    std::fs::write(&path, b"local").unwrap();
    let url = format!("file://{}/a%20b", source.path().display());
    client.fetch(&url, Some(b"local")).unwrap();
    assert_eq!(client.content(), b"local");
    client.fetch(path.to_str().unwrap(), None).unwrap();
    std::fs::remove_file(client.dest()).unwrap();

    let mut error = |url: &str| client.fetch(url, Some(b"other")).unwrap_err().to_string();
    insta::assert_snapshot!(error("file:///nonexistent"), @"
    unable to download 'file:///nonexistent': Could not read a file:// file (37) Could not open file /nonexistent
    hint: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(error("/"), @"cannot fetch '/': it is not a regular file");
    insta::assert_snapshot!(error("file://host/x"), @"cannot fetch 'file://host/x': a file:// URL must name an absolute path of this machine: file:///PATH");
    insta::assert_snapshot!(error("ftp://host/x"), @"cannot fetch 'ftp://host/x': supported are mirror://, http://, https:// and file://");
    insta::assert_snapshot!(error("x"), @"cannot fetch 'x': it is neither a URL nor an absolute path");
    assert!(error(&url).contains("hash mismatch"));
}

#[test]
fn mirrors_are_named_in_errors() {
    let server = Server::start(|_, _, stream| ok(stream, b"evil"));
    let mirror = server.url("debian");
    let mut client =
        Client::with(|options| options.mirrors = Mirrors::from_settings(Some(&mirror)).unwrap());
    let error = client
        .fetch("mirror://debian/pool/x.deb", Some(b"good"))
        .unwrap_err()
        .to_string();
    let first = error
        .lines()
        .next()
        .unwrap()
        .replace(&server.address, "SERVER");
    insta::assert_snapshot!(first, @"hash mismatch in file downloaded from 'http://SERVER/debian/pool/x.deb' for 'mirror://debian/pool/x.deb':");
}

/// The environment belongs to the whole process, so the fetch is in another one: this test once more, told where to fetch to.
#[test]
fn a_proxy_is_asked_for_the_whole_url() {
    const DEST: &str = "XBUILD_TEST_DEST";
    if let Some(dest) = std::env::var_os(DEST) {
        let fetcher = Fetcher::new(FetchOptions::default());
        let (url, stop) = ("http://server.invalid/x?y", AtomicBool::new(false));
        fetcher
            .fetch(url, Path::new(&dest), None, &mut |_| {}, &stop)
            .unwrap();
        return;
    }
    let proxy = Server::start(|_, request, stream| {
        assert_eq!(request.header("host"), Some("server.invalid"));
        ok(stream, request.target.as_bytes());
    });
    let dir = tempfile::tempdir().unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_proxy_is_asked_for_the_whole_url"])
        .env(
            "http_proxy",
            format!("http://user:secret@{}", proxy.address),
        )
        .env(DEST, dir.path().join("dest"))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .stdout(std::process::Stdio::null())
        .status();
    assert!(status.unwrap().success());
    assert_eq!(
        std::fs::read(dir.path().join("dest")).unwrap(),
        b"http://server.invalid/x?y"
    );
    assert_eq!(
        proxy.requests.lock().unwrap()[0].header("proxy-authorization"),
        Some("basic dxnlcjpzzwnyzxq=")
    );
}

#[test]
fn one_fetcher_serves_many_threads() {
    let server = Server::start(|_, request, stream| ok(stream, request.target.as_bytes()));
    let client = Client::new();
    thread::scope(|scope| {
        for i in 0..20 {
            let (client, server) = (&client, &server);
            scope.spawn(move || {
                let dest = client.dir.path().join(i.to_string());
                let url = server.url(&i.to_string());
                client
                    .fetcher
                    .fetch(&url, &dest, None, &mut |_| {}, &AtomicBool::new(false))
                    .unwrap();
                let mut content = String::new();
                std::fs::File::open(dest)
                    .unwrap()
                    .read_to_string(&mut content)
                    .unwrap();
                assert_eq!(content, format!("/{i}"));
            });
        }
    });
}
