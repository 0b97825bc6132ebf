//! DNS messages: one question out, its answer in. RFC 1035, section 4; RFC 3596 for IPv6 addresses.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// The response code for a name that does not exist.
pub(super) const NO_SUCH_NAME: u8 = 3;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordType {
    /// An IPv4 address.
    A = 1,
    /// An IPv6 address.
    Aaaa = 28,
}

const CLASS_INTERNET: u16 = 1;
const HEADER: usize = 12;

/// A query, ready to be sent.
#[derive(Debug)]
pub(super) struct Question {
    packet: Vec<u8>,
    record_type: RecordType,
}

/// An answer to a [`Question`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The response code; 0 is success.
    pub(super) code: u8,
    /// Not everything fitted into the packet.
    pub(super) truncated: bool,
    pub(super) addresses: Vec<IpAddr>,
}

impl Question {
    /// `None` if `name` is not a host name.
    pub(super) fn new(name: &str, record_type: RecordType) -> Option<Self> {
        // Nobody off the path can guess it, nor the port: the standard library seeds this from the system's random numbers.
        let id = RandomState::new().hash_one(name) as u16;
        let mut packet = id.to_be_bytes().to_vec();
        // Flags: recursion desired. One question, no records.
        packet.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        if name.len() > 253 {
            return None;
        }
        for label in name.split('.') {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            if label.is_empty() || label.len() > 63 || !label.bytes().all(valid) {
                return None;
            }
            packet.push(label.len() as u8);
            packet.extend_from_slice(label.as_bytes());
        }
        packet.push(0);
        packet.extend_from_slice(&(record_type as u16).to_be_bytes());
        packet.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
        Some(Self {
            packet,
            record_type,
        })
    }

    pub(super) fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// What `message` says, if it is well-formed and answers this question. Whose name an address record bears is not looked at: the server
    /// has followed the aliases, and trust comes from TLS and hashes.
    pub(super) fn reply(&self, message: &[u8]) -> Option<Reply> {
        let flags = u16_at(message, 2)?;
        let question = message.get(HEADER..self.packet.len())?;
        let ours = message.get(..2)? == &self.packet[..2]
            && flags >> 15 == 1
            && u16_at(message, 4)? == 1
            && question.eq_ignore_ascii_case(&self.packet[HEADER..]);
        if !ours {
            return None;
        }
        let mut reply = Reply {
            code: (flags & 15) as u8,
            truncated: flags & 0x200 != 0,
            addresses: Vec::new(),
        };
        let mut at = self.packet.len();
        for _ in 0..u16_at(message, 6)? {
            if reply.truncated {
                break;
            }
            at = skip_name(message, at)?;
            let kind = u16_at(message, at)?;
            let class = u16_at(message, at + 2)?;
            let length = usize::from(u16_at(message, at + 8)?);
            let data = message.get(at + 10..at + 10 + length)?;
            at += 10 + length;
            if kind == self.record_type as u16 && class == CLASS_INTERNET {
                reply.addresses.push(match self.record_type {
                    RecordType::A => <[u8; 4]>::try_from(data).ok()?.into(),
                    RecordType::Aaaa => <[u8; 16]>::try_from(data).ok()?.into(),
                });
            }
        }
        Some(reply)
    }
}

/// Where the name at `at` ends. A pointer ends a name, so nothing is followed and nothing can loop.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = *message.get(at)?;
        match length {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(
        message.get(at..at + 2)?.try_into().ok()?,
    ))
}

/// What a response code other than success means.
pub(super) fn code_text(code: u8) -> String {
    match code {
        1 => "it says that our question is malformed".to_owned(),
        2 => "it has failed (SERVFAIL)".to_owned(),
        4 => "it does not support this kind of question".to_owned(),
        5 => "it refuses to answer".to_owned(),
        other => format!("it answers with code {other}"),
    }
}
