//! The keys that are not for the guest: after Ctrl-A, as in QEMU's own `-nographic`.

/// Ctrl-A.
const CONTROL_A: u8 = 1;

/// What the keys mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// These bytes are for the guest.
    Type(Vec<u8>),
    /// `x`: end the machine.
    Quit,
    /// `h`: say which keys there are.
    Help,
}

/// What [`Key::Help`] is answered with.
pub const HELP: &str = "Ctrl-A X: end the machine; Ctrl-A Ctrl-A: type Ctrl-A; Ctrl-A H: this help";

/// Finds the keys in what is typed.
#[derive(Debug, Default)]
pub struct Keys {
    after_escape: bool,
}

impl Keys {
    /// Understands what was typed.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut text = Vec::new();
        for &byte in bytes {
            if !self.after_escape {
                match byte {
                    CONTROL_A => self.after_escape = true,
                    _ => text.push(byte),
                }
                continue;
            }
            self.after_escape = false;
            let key = match byte {
                b'x' | b'X' => Key::Quit,
                b'h' | b'H' | b'?' => Key::Help,
                CONTROL_A | b'a' | b'A' => {
                    text.push(CONTROL_A);
                    continue;
                }
                // Another key: it was not meant for us.
                _ => {
                    text.extend([CONTROL_A, byte]);
                    continue;
                }
            };
            if !text.is_empty() {
                keys.push(Key::Type(std::mem::take(&mut text)));
            }
            keys.push(key);
        }
        if !text.is_empty() {
            keys.push(Key::Type(text));
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let mut keys = Keys::default();
        let typed = |text: &[u8]| Key::Type(text.to_vec());
        assert_eq!(keys.feed(b"ls\r\x03"), [typed(b"ls\r\x03")]);
        assert_eq!(keys.feed(b"a\x01"), [typed(b"a")]);
        assert_eq!(keys.feed(b"h"), [Key::Help]);
        assert_eq!(keys.feed(b"\x01\x01b\x01c"), [typed(b"\x01b\x01c")]);
        assert_eq!(keys.feed(b"q\x01X"), [typed(b"q"), Key::Quit]);
        assert_eq!(keys.feed(b""), []);
    }
}
