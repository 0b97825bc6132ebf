//! The resolver against a name server on a local socket.

use std::net::{TcpListener, UdpSocket};
use std::thread;

use proptest::prelude::*;

use super::*;

/// What the server does with a question: its name and record type → response code, flags to set, addresses.
type Zone = fn(&str, u16) -> Option<(u8, bool, Vec<IpAddr>)>;

/// A server that answers over UDP by `udp` and over TCP by `tcp`, and a resolver that asks it.
fn resolver(udp: Zone, tcp: Zone, hosts: &str, options: &str) -> (Dns, tempfile::TempDir) {
    let (socket, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            break (socket, listener);
        }
    };
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length], udp) {
                socket.send_to(&answer, peer).unwrap();
            }
        }
    });
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let answer = answer(&question, tcp).unwrap();
            stream
                .write_all(&(answer.len() as u16).to_be_bytes())
                .unwrap();
            stream.write_all(&answer).unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("hosts"), hosts).unwrap();
    std::fs::write(
        dir.path().join("resolv.conf"),
        format!("nameserver 127.0.0.1\n{options}\n"),
    )
    .unwrap();
    (
        Dns::new(
            dir.path().join("hosts"),
            dir.path().join("resolv.conf"),
            port,
        ),
        dir,
    )
}

fn answer(question: &[u8], zone: Zone) -> Option<Vec<u8>> {
    let mut name = String::new();
    let mut at = 12;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(&question[at + 1..end]).unwrap());
        at = end;
    }
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let (code, truncated, addresses) = zone(&name, kind)?;
    let mut message = question.to_vec();
    message[2] = 0x81 | if truncated { 2 } else { 0 };
    message[3] = 0x80 | code;
    message[7] = addresses.len() as u8 + 1;
    // An alias first, as real servers send it; names by pointer.
    message.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
    for address in addresses {
        let data = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        message.extend_from_slice(&[0xc0, 12]);
        message.extend_from_slice(&kind.to_be_bytes());
        message.extend_from_slice(&[0, 1, 0, 0, 0, 9, 0, data.len() as u8]);
        message.extend_from_slice(&data);
    }
    Some(message)
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const A: u16 = 1;

fn zone(name: &str, kind: u16) -> Option<(u8, bool, Vec<IpAddr>)> {
    match (name, kind) {
        ("one.example", A) => Some((0, false, ips(&["127.0.0.1", "127.0.0.2"]))),
        ("one.example", _) => Some((0, false, vec![])),
        ("short.corp.example", A) => Some((0, false, ips(&["127.0.0.3"]))),
        ("large.example", A) => Some((0, true, vec![])),
        ("broken.example", _) => Some((2, false, vec![])),
        ("silent.example", _) => None,
        ("deaf.example", A) => Some((0, false, ips(&["127.0.0.5"]))),
        ("deaf.example", _) => None,
        _ => Some((3, false, vec![])),
    }
}

fn zone_by_tcp(_: &str, _: u16) -> Option<(u8, bool, Vec<IpAddr>)> {
    Some((0, false, ips(&["127.0.0.4"])))
}

#[test]
fn names_are_found() {
    let hosts = "127.1.1.1 Box box.example # x.example\n::1 box\nnonsense y.example\n";
    let (dns, _dir) = resolver(
        zone,
        zone_by_tcp,
        hosts,
        "search corp.example\noptions timeout:1 attempts:1",
    );
    let find = |name: &str| dns.resolve(name, None).unwrap();
    assert_eq!(find("one.example"), ips(&["127.0.0.1", "127.0.0.2"]));
    assert_eq!(find("One.Example."), ips(&["127.0.0.1", "127.0.0.2"]));
    assert_eq!(find("short"), ips(&["127.0.0.3"]), "by the search domain");
    assert_eq!(find("large.example"), ips(&["127.0.0.4"]), "over TCP");
    assert_eq!(
        find("deaf.example"),
        ips(&["127.0.0.5"]),
        "without the answer for IPv6"
    );
    assert_eq!(find("BOX"), ips(&["127.1.1.1", "::1"]));
    assert_eq!(find("192.0.2.1"), ips(&["192.0.2.1"]));
    assert_eq!(find("[2001:db8::1]"), ips(&["2001:db8::1"]));
    assert_eq!(find("localhost"), ips(&["127.0.0.1", "::1"]));
}

#[test]
fn errors_say_what_is_wrong() {
    let (dns, _dir) = resolver(zone, zone_by_tcp, "", "options timeout:1 attempts:1");
    let error = |name: &str| dns.resolve(name, None).unwrap_err().to_string();
    insta::assert_snapshot!(error("nowhere.example"), @"the host name 'nowhere.example' is not known: check its spelling, and /etc/resolv.conf and /etc/hosts");
    insta::assert_snapshot!(error("broken.example"), @"the host name 'broken.example' could not be looked up: name server 127.0.0.1: it has failed (SERVFAIL)");
    insta::assert_snapshot!(error("silent.example"), @"the host name 'silent.example' could not be looked up: name server 127.0.0.1: no answer in time");
    insta::assert_snapshot!(error("a..example"), @"'a..example' is not a host name: it has characters other than ASCII letters, digits, '-', '_' and '.', or a component that is empty or too long");
    assert_eq!(
        dns.resolve("bücher.example", None),
        Err(DnsError::BadName {
            name: "bücher.example".into()
        })
    );
    let past = Instant::now();
    assert!(matches!(
        dns.resolve("x.example", Some(past)),
        Err(DnsError::Unanswered { .. })
    ));
}

#[test]
fn resolv_conf() {
    let conf = ResolvConf::parse(
        "# x\nnameserver 192.0.2.1 ; y\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\nsearch a.example. b.example\noptions ndots:2 rotate timeout:99 attempts:0\n",
    );
    assert_eq!(conf.servers, ips(&["192.0.2.1", "2001:db8::1"]));
    assert_eq!(
        (conf.ndots, conf.timeout, conf.attempts),
        (2, Duration::from_secs(30), 1)
    );
    assert_eq!(
        conf.candidates("x.y", false),
        ["x.y.a.example", "x.y.b.example", "x.y"]
    );
    assert_eq!(
        conf.candidates("x.y.z", false),
        ["x.y.z", "x.y.z.a.example", "x.y.z.b.example"]
    );
    assert_eq!(conf.candidates("x", true), ["x"]);
    assert_eq!(ResolvConf::parse("").servers, ips(&["127.0.0.1"]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_answers_are_read_or_refused(tail in proptest::collection::vec(any::<u8>(), 0..200), flags: u16, cut in 0_usize..300) {
        let question = Question::new("host.example", RecordType::Aaaa).unwrap();
        let mut message = question.packet().to_vec();
        message[2..4].copy_from_slice(&(flags | 0x8000).to_be_bytes());
        message[7] = 3;
        message.extend(tail);
        message.truncate(cut);
        if let Some(reply) = question.reply(&message) {
            prop_assert!(reply.addresses.len() <= 3);
        }
    }

    #[test]
    fn config_files_of_any_content_are_read(text: String) {
        prop_assert!(!ResolvConf::parse(&text).servers.is_empty());
        in_hosts_is_total(&text);
    }
}

fn in_hosts_is_total(text: &str) {
    assert!(config::in_hosts(text, "a name that nobody has").is_empty());
}
