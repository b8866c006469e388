//! Commands as Ofelia splits them (github.com/gobs/args): no shell, and quotes only where a word begins.

/// Splits a command into arguments.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, used) = match first {
            '|' | '>' | '<' | '#' => (rest.trim_end().to_owned(), rest.len()),
            '\'' | '"' | '`' => quoted(rest, first),
            '(' | '{' | '[' => bracketed(rest, first),
            _ => plain(rest),
        };
        words.push(word);
        rest = rest[used..].trim_start();
    }
    words
}

/// A word in quotes, without them; one that does not close goes on to the end.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut word = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => word.extend(chars.next().map(|(_, next)| next)),
            c if c == quote => return (word, at + 1),
            c => word.push(c),
        }
    }
    (word, text.len())
}

/// A word in brackets, with them.
fn bracketed(text: &str, open: char) -> (String, usize) {
    let close = match open {
        '(' => ')',
        '{' => '}',
        _ => ']',
    };
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return (text[..=at].to_owned(), at + 1);
            }
        }
    }
    (text.to_owned(), text.len())
}

fn plain(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => word.extend(chars.next().map(|(_, next)| next)),
            c if c.is_whitespace() => return (word, at),
            c => word.push(c),
        }
    }
    (word, text.len())
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn splits_as_ofelia_does() {
        let rows: [(&str, &[&str]); 10] = [
            ("a b  c", &["a", "b", "c"]),
            ("sh -c 'a && b'", &["sh", "-c", "a && b"]),
            ("sh -c \"a \\\"b\\\" c\"", &["sh", "-c", "a \"b\" c"]),
            ("a --x='b c'", &["a", "--x='b", "c'"]),
            ("a b\\ c", &["a", "b c"]),
            ("a (b c) d", &["a", "(b c)", "d"]),
            ("a {\"b\": {\"c\": 1}} d", &["a", "{\"b\": {\"c\": 1}}", "d"]),
            ("a | b c", &["a", "| b c"]),
            ("a > b c", &["a", "> b c"]),
            ("", &[]),
        ];
        for (text, expected) in rows {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
