//! Lookup of header names, exact or by prefix, in one pass and without a copy.

/// Number of symbols: letters, digits, and one for all separators.
const SYMBOLS: usize = 37;

/// Symbol of each byte, without regard to case. Every byte that is neither letter nor digit is the same separator, as
/// in the CGI environment (RFC 3875 section 4.1.18).
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

/// Returns whether an app that merges separators takes both names for the same.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let symbol = |byte: &u8| SYMBOL[usize::from(*byte)];
    one.len() == other.len() && one.iter().map(symbol).eq(other.iter().map(symbol))
}

/// A trie of names. The search for most names ends at their second or third byte.
#[derive(Debug)]
pub(super) struct Names<T> {
    nodes: Vec<Node<T>>,
}

#[derive(Debug)]
struct Node<T> {
    /// Index of the next node for each symbol; 0, the root, means no node.
    next: [u16; SYMBOLS],
    /// Value of the name that ends here.
    exact: Option<T>,
    /// Value of every name with this prefix.
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

    /// Adds one name and replaces its earlier value.
    pub(super) fn add(&mut self, name: &str, value: T) {
        let at = self.node(name);
        self.nodes[at].exact = Some(value);
    }

    /// Adds every name that starts with `prefix`.
    pub(super) fn add_prefix(&mut self, prefix: &str, value: T) {
        let at = self.node(prefix);
        self.nodes[at].prefix = Some(value);
    }

    /// Returns the index of the node of `name`, and creates it if needed.
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

    /// Returns the value of the name itself, or of its longest prefix.
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
    fn exact_name_wins_over_its_longest_prefix() {
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
