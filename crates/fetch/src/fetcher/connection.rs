//! One request, on a thread of its own, so that the download can be cancelled while a lookup, a connection or a read blocks, and hashing
//! and writing go on while the network is waited for.
//!
//! A thread that nobody listens to any more ends with its next event, at the latest when its timeouts are over.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use ureq::http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED, RETRY_AFTER,
};

use crate::http::{Client, Failure, Question};

/// The most bytes that are passed on at once.
pub(super) const CHUNK: usize = 64 * 1024;

/// How many chunks may wait to be written.
const QUEUE: usize = 8;

/// The longest time that a server may make us wait for another attempt.
const MAX_RETRY_AFTER: u64 = 60;

/// What happens on a connection: a head, data, and the end, or a failure at any time.
pub(super) enum Event {
    Head(Head),
    Data(Vec<u8>),
    End,
    Failed(Failure),
}

/// What we need of a response's head.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// Where it came from, after redirects.
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) length: Option<u64>,
    pub(super) range_start: Option<u64>,
    pub(super) range_total: Option<u64>,
    /// A strong entity tag, or the date of the last change.
    pub(super) validator: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// The entity tag, weak or strong.
    pub(super) etag: Option<String>,
    pub(super) immutable_url: Option<String>,
}

pub(super) fn start(
    client: &Arc<Client>,
    url: &str,
    question: Question,
) -> io::Result<Receiver<Event>> {
    let (sender, receiver) = sync_channel(QUEUE);
    let client = Arc::clone(client);
    let url = url.to_owned();
    thread::Builder::new()
        .name("download".to_owned())
        .spawn(move || {
            let last =
                run(&client, &url, &question, &sender).map_or_else(Event::Failed, |()| Event::End);
            // If nobody listens any more, nobody needs to know.
            let _ = sender.send(last);
        })?;
    Ok(receiver)
}

fn run(
    client: &Client,
    url: &str,
    question: &Question,
    events: &SyncSender<Event>,
) -> Result<(), Failure> {
    let reply = client.get(url, question)?;
    let response = reply.response;
    let status = response.status().as_u16();
    let head = Head {
        immutable_url: reply.immutable_url,
        ..Head::new(reply.url, status, response.headers())
    };
    if events.send(Event::Head(head)).is_err() || !matches!(status, 200 | 206) {
        return Ok(());
    }
    let mut body = response.into_body().into_reader();
    loop {
        let mut data = vec![0; CHUNK];
        match body.read(&mut data) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                data.truncate(length);
                if events.send(Event::Data(data)).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(client.failure(error.into())),
        }
    }
}

impl Head {
    fn new(url: String, status: u16, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
        };
        let (range_start, range_total) = text(CONTENT_RANGE).map_or((None, None), content_range);
        let tag = text(ETAG).filter(|tag| tag.starts_with('"'));
        Self {
            url,
            status,
            etag: text(ETAG).map(str::to_owned),
            immutable_url: None,
            length: text(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            range_start,
            range_total,
            validator: tag.or(text(LAST_MODIFIED)).map(str::to_owned),
            retry_after: text(RETRY_AFTER)
                .and_then(|seconds| seconds.parse::<u64>().ok())
                .map(|seconds| Duration::from_secs(seconds.min(MAX_RETRY_AFTER))),
        }
    }
}

/// `bytes 5-9/10` or `bytes 5-9/*` (RFC 9110, section 14.4): the first byte's offset and the file's size.
fn content_range(text: &str) -> (Option<u64>, Option<u64>) {
    let Some((range, total)) = text
        .strip_prefix("bytes ")
        .and_then(|rest| rest.split_once('/'))
    else {
        return (None, None);
    };
    let start = range
        .split_once('-')
        .and_then(|(start, _)| start.trim().parse().ok());
    (start, total.trim().parse().ok())
}
