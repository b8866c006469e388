//! Who may call a webhook: the tokens of a file, sent as they are or as the key of a signature.

use std::path::Path;

use anyhow::{Context, Result, bail};
use hmac::{Hmac, Mac};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::Sha256;

/// Shorter ones are guessed.
const SHORTEST_TOKEN: usize = 16;
/// Headers with a token as it is.
const TOKEN_HEADERS: [&str; 1] = ["x-gitlab-token"];
/// Headers with the HMAC-SHA256 of the body in hexadecimal digits, maybe after `sha256=`: GitHub's, and
/// that of Gitea and Forgejo.
const SIGNATURE_HEADERS: [&str; 2] = ["x-hub-signature-256", "x-gitea-signature"];

/// The tokens that may call; none of them is ever printed.
pub(super) struct Tokens(Vec<String>);

impl Tokens {
    /// Reads a file of one token a line; empty lines and those that start with `#` say nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be read, has no token, or one that is too short.
    pub(super) async fn read(path: &Path) -> Result<Self> {
        let describe =
            || format!("read the tokens of `AUTODEPLOY_TOKENS_FILE` in `{}`", path.display());
        let text = tokio::fs::read_to_string(path).await.with_context(describe)?;
        Self::parse(&text).with_context(describe)
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let mut tokens = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            if line.len() < SHORTEST_TOKEN || line.contains(char::is_whitespace) {
                bail!(
                    "line {number}: a token has at least {SHORTEST_TOKEN} characters and no blanks: make \
                     one with `openssl rand -hex 32`"
                );
            }
            tokens.push(line.to_owned());
        }
        if tokens.is_empty() {
            bail!("there is no token: make one with `openssl rand -hex 32`");
        }
        Ok(Self(tokens))
    }
}

/// Whether one request may pass; the body is looked at as it comes.
pub(super) struct Check {
    has_token: bool,
    /// What the body's signature must be equal to, and one signature for each token in the making.
    signature: Option<(Vec<u8>, Vec<Hmac<Sha256>>)>,
}

impl Check {
    /// Looks at the head of a request.
    pub(super) fn new(Tokens(tokens): &Tokens, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(AUTHORIZATION.as_str()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let given = bearer.into_iter().chain(TOKEN_HEADERS.into_iter().filter_map(text));
        let has_token = given.fold(false, |has, it| {
            has | tokens.iter().fold(false, |any, token| any | same(it, token))
        });
        let signature = SIGNATURE_HEADERS.into_iter().find_map(text).and_then(|value| {
            let wanted = bytes(value.strip_prefix("sha256=").unwrap_or(value))?;
            let keyed = |token: &String| Hmac::new_from_slice(token.as_bytes()).ok();
            Some((wanted, tokens.iter().filter_map(keyed).collect()))
        });
        Self { has_token, signature }
    }

    /// Looks at a piece of the body.
    pub(super) fn update(&mut self, data: &[u8]) {
        if let Some((_, keyed)) = &mut self.signature {
            for it in keyed {
                it.update(data);
            }
        }
    }

    /// Decides, once the body has ended.
    pub(super) fn passes(self) -> bool {
        let signed = self.signature.is_some_and(|(wanted, keyed)| {
            keyed.into_iter().fold(false, |any, it| any | it.verify_slice(&wanted).is_ok())
        });
        self.has_token | signed
    }
}

/// Compares in a time that does not tell how much of a token was right.
fn same(given: &str, token: &str) -> bool {
    given.len() == token.len()
        && given.bytes().zip(token.bytes()).fold(0, |differs, (one, other)| differs | (one ^ other))
            == 0
}

/// Hexadecimal digits as bytes.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2).map(|pair| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
        u8::from_str_radix(text, 16).ok()
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123";

    /// The example of GitHub's documentation ("Validating webhook deliveries").
    const GITHUB: (&str, &str, &str) = (
        "It's a Secret to Everybody",
        "Hello, World!",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    );

    #[test]
    fn lets_in_who_has_a_token() {
        let (secret, body, signature) = GITHUB;
        let gitea = signature.trim_start_matches("sha256=");
        let bearer = format!("Bearer {TOKEN}");
        let rows: [(&str, &str, &str, &str, bool); 11] = [
            (TOKEN, "authorization", &bearer, "", true),
            (TOKEN, "authorization", "bearer 0123456789abcdef0123", "x", true),
            (TOKEN, "authorization", "Bearer 0123456789abcdef0124", "", false),
            (TOKEN, "authorization", "Basic 0123456789abcdef0123", "", false),
            (TOKEN, "x-gitlab-token", TOKEN, "", true),
            (TOKEN, "x-gitlab-token", "0123", "", false),
            (TOKEN, "x-other", TOKEN, "", false),
            (secret, "x-hub-signature-256", signature, body, true),
            (secret, "x-gitea-signature", gitea, body, true),
            (secret, "x-hub-signature-256", signature, "Hello, World", false),
            (TOKEN, "x-hub-signature-256", "sha256=zz", "", false),
        ];
        for (token, name, value, body, expected) in rows {
            let tokens = Tokens(vec!["another-token-0123".to_owned(), token.to_owned()]);
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            let mut check = Check::new(&tokens, &headers);
            // In pieces, as a network has them.
            body.as_bytes().chunks(3).for_each(|piece| check.update(piece));
            assert_eq!(check.passes(), expected, "{name}: {value}");
        }
        assert!(!Check::new(&Tokens(vec![TOKEN.to_owned()]), &HeaderMap::new()).passes());
    }

    #[test]
    fn reads_tokens_and_refuses_weak_ones() {
        let good = Tokens::parse("# ci\n\n0123456789abcdef\r\n  fedcba9876543210  \n");
        assert_eq!(good.expect("valid").0, ["0123456789abcdef", "fedcba9876543210"]);
        for (text, expected) in [
            ("", "there is no token"),
            ("# only\n", "there is no token"),
            ("0123456789abcdef\nshort\n", "line 2: a token has at least 16"),
            ("two words of a token", "line 1"),
        ] {
            let error = Tokens::parse(text).err().expect(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
