//! A web server on this machine, with the faults that downloads meet.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Starts a server; returns its port and the number of its connections so far.
///
/// `/missing` is not there, `/stalled` stops after three bytes, `/cut` ends after three bytes, anything else is "hello\n".
pub fn web_server() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let port = listener.local_addr().expect("an address").port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || answer(connection));
        }
    });
    (port, count)
}

fn answer(mut connection: TcpStream) {
    let mut request = [0; 4096];
    let length = connection.read(&mut request).unwrap_or(0);
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = request.split(' ').nth(1).unwrap_or("/");
    let response: &[u8] = match path {
        "/missing" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "/stalled" | "/cut" => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhel"
        }
        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n",
    };
    // Whoever asked may be gone.
    let _ = connection.write_all(response);
    if path == "/stalled" {
        // Until the other side closes, or this process ends.
        let _ = connection.set_read_timeout(Some(Duration::from_secs(600)));
        let _ = connection.read(&mut [0; 1]);
    }
}
