//! Lookup of header names, exact or by prefix, in one pass over the bytes of a name and without a copy of it.

/// Letters, digits, and one symbol for every separator.
const SYMBOLS: usize = 37;

/// Symbol of each byte: case does not count, and everything that is neither letter nor digit is the same separator, as
/// in the environment of CGI (RFC 3875 section 4.1.18).
const SYMBOL: [u8; 256] = {
    let mut table = [36; 256];
    let mut byte = 0;
    while byte < 256 {
        let lower = (byte as u8).to_ascii_lowercase();
        if lower.is_ascii_lowercase() {
            table[byte] = lower - b'a';
        } else if lower.is_ascii_digit() {
            table[byte] = lower - b'0' + 26;
        }
        byte += 1;
    }
    table
};

/// Whether both names are one to an app that merges separators.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let symbol = |byte: &u8| SYMBOL[usize::from(*byte)];
    one.len() == other.len() && one.iter().map(symbol).eq(other.iter().map(symbol))
}

/// A trie of names: most names leave it at their second or third byte.
#[derive(Debug)]
pub(super) struct Names<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    /// Index of the node for each symbol; 0, the root, is none.
    next: [u16; SYMBOLS],
    /// Of the name that ends here.
    exact: Option<T>,
    /// Of every name that begins so.
    prefix: Option<T>,
}

impl<T> Node<T> {
    const fn new() -> Self {
        Self { next: [0; SYMBOLS], exact: None, prefix: None }
    }
}

impl<T: Copy> Names<T> {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::new()] }
    }

    /// Adds one name. A value that it had before is replaced.
    pub(super) fn add(&mut self, name: &str, value: T) {
        let at = self.node(name);
        self.nodes[at].exact = Some(value);
    }

    /// Adds every name that begins with `prefix`.
    pub(super) fn add_prefix(&mut self, prefix: &str, value: T) {
        let at = self.node(prefix);
        self.nodes[at].prefix = Some(value);
    }

    /// Index of the node of `name`, which is made where there is none.
    fn node(&mut self, name: &str) -> usize {
        let mut at = 0;
        for byte in name.bytes() {
            let symbol = usize::from(SYMBOL[usize::from(byte)]);
            let next = usize::from(self.nodes[at].next[symbol]);
            at = if next > 0 {
                next
            } else {
                let new =
                    u16::try_from(self.nodes.len()).expect("the configuration bounds the length of names");
                self.nodes.push(Node::new());
                self.nodes[at].next[symbol] = new;
                usize::from(new)
            };
        }
        at
    }

    /// Value of the name itself, or of its longest prefix.
    pub(super) fn find(&self, name: &[u8]) -> Option<T> {
        let mut node = &self.nodes[0];
        let mut found = None;
        for byte in name {
            let next = usize::from(node.next[usize::from(SYMBOL[usize::from(*byte)])]);
            if next == 0 {
                return found;
            }
            node = &self.nodes[next];
            if node.prefix.is_some() {
                found = node.prefix;
            }
        }
        node.exact.or(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_itself_comes_before_its_longest_prefix() {
        let mut names = Names::new();
        names.add_prefix("X-Auth-", 0);
        names.add_prefix("X-Auth-Request-", 1);
        names.add("X-Auth-User", 2);
        names.add("Https", 3);
        names.add_prefix("X", 4);
        for (name, value) in [
            ("x-auth-user", Some(2)),
            ("X_AUTH.USER", Some(2)),
            ("x-auth-users", Some(0)),
            ("x-auth-use", Some(0)),
            ("x-auth-", Some(0)),
            ("x-auth", Some(4)),
            ("x-auth-request-user", Some(1)),
            ("https", Some(3)),
            ("https2", None),
            ("http", None),
            ("x", Some(4)),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(names.find(name.as_bytes()), value, "{name}");
        }
    }
}
