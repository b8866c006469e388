//! Remote URLs: which ones we dare to use, and how they look in a message.

/// Protocols we speak; `ext::` and the like run programs and are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Https,
    Http,
    Ssh,
    Git,
    Local,
}

/// The parts of a remote URL that decide how to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) protocol: Protocol,
    /// Empty for local ones.
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Address {
    /// Reads a URL, `user@host:path` or a path.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, with a password left out.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        if url.is_empty() {
            return Err("the remote URL is empty".to_owned());
        }
        if url.starts_with('-') || url.chars().any(char::is_control) {
            let shown = redact(&url.escape_debug().to_string());
            let message =
                "begins with `-` or holds control characters, which is how options are smuggled in";
            return Err(format!("the remote URL `{shown}` {message}: refused"));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Ok(Self::without_scheme(url)?.unwrap_or_else(Self::local));
        };
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "https" => Protocol::Https,
            "http" => Protocol::Http,
            "ssh" | "git+ssh" | "ssh+git" => Protocol::Ssh,
            "git" => Protocol::Git,
            "file" => return Ok(Self::local()),
            _ => {
                let shown = redact(url);
                return Err(format!(
                    "the remote URL `{shown}` has an unknown protocol: use https, ssh, http, git or file"
                ));
            }
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, port) = split_port(place);
        let port =
            match port {
                None | Some("") => None,
                Some(digits) => Some(digits.parse().map_err(|_| {
                    format!("the remote URL `{}` has an impossible port", redact(url))
                })?),
            };
        Self::at(protocol, host, port, url)
    }

    /// `user@host:path`; `None` where it is a path.
    fn without_scheme(url: &str) -> Result<Option<Self>, String> {
        let Some((place, _)) = url.split_once(':').filter(|(place, _)| !place.contains('/')) else {
            return Ok(None);
        };
        if url.split_once("::").is_some_and(|(before, _)| before == place) {
            let message = "names a remote helper, which would run a program";
            return Err(format!("the remote URL `{}` {message}: refused", redact(url)));
        }
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        Self::at(Protocol::Ssh, host, None, url).map(Some)
    }

    fn at(protocol: Protocol, host: &str, port: Option<u16>, url: &str) -> Result<Self, String> {
        if host.is_empty() || host.starts_with('-') {
            return Err(format!("the remote URL `{}` names no usable host", redact(url)));
        }
        Ok(Self { protocol, host: host.to_owned(), port })
    }

    fn local() -> Self {
        Self { protocol: Protocol::Local, host: String::new(), port: None }
    }
}

fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some((host, after)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, after.strip_prefix(':'));
    }
    place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)))
}

/// Takes the user part out of every URL in a text, which may be a token or hold a password.
pub(super) fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        redacted.push_str(before);
        redacted.push_str("://");
        let end = after.find(|letter: char| letter == '/' || letter.is_whitespace());
        let authority = &after[..end.unwrap_or(after.len())];
        rest = after;
        if let Some((user, _)) = authority.rsplit_once('@') {
            // A bare user name such as `git` tells how one logs in; over http it may be a token.
            if user.contains(':') || !before.ends_with("ssh") {
                redacted.push_str("***");
                rest = &after[user.len()..];
            }
        }
    }
    redacted.push_str(rest);
    redacted
}

/// The name of the repository a URL or directory leads to: its last part, without `.git`.
pub(super) fn repository_name(url: &str) -> &str {
    let trimmed = url.trim_end_matches('/');
    let last = trimmed.rsplit(['/', ':']).next().unwrap_or(trimmed);
    last.strip_suffix(".git").unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_protocols_and_places() {
        let rows = [
            ("https://git.example/a.git", Protocol::Https, "git.example", None),
            ("https://user:pass@git.example:8443/a", Protocol::Https, "git.example", Some(8443)),
            ("http://[::1]:80/a", Protocol::Http, "::1", Some(80)),
            ("ssh://git@git.example:2222/a", Protocol::Ssh, "git.example", Some(2222)),
            ("git@git.example:group/a.git", Protocol::Ssh, "git.example", None),
            ("git://git.example/a", Protocol::Git, "git.example", None),
            ("file:///srv/a.git", Protocol::Local, "", None),
            ("/srv/a:b.git", Protocol::Local, "", None),
            ("./a", Protocol::Local, "", None),
        ];
        for (url, protocol, host, port) in rows {
            let expected = Address { protocol, host: host.to_owned(), port };
            assert_eq!(Address::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn refuses_hostile_addresses() {
        let rows = [
            ("", "empty"),
            ("-oProxyCommand=x", "smuggled"),
            ("ssh://-oProxyCommand=x/a", "no usable host"),
            ("-x@host:a", "smuggled"),
            ("git@-host:a", "no usable host"),
            ("https://git.example/a\nb", "control characters"),
            ("ext::sh -c x", "would run a program"),
            ("ftp://git.example/a", "unknown protocol"),
            ("https://git.example:99999/a", "impossible port"),
            ("https://u:secret@/a", "no usable host"),
        ];
        for (url, expected) in rows {
            let message = Address::parse(url).unwrap_err();
            assert!(message.contains(expected) && !message.contains("secret"), "{url}: {message}");
        }
    }

    #[test]
    fn keeps_passwords_out_of_messages() {
        let rows = [
            ("get `https://u:p@h/a` failed", "get `https://***@h/a` failed"),
            ("https://token@h/a", "https://***@h/a"),
            ("ssh://git@h/a and http://a:b@c:1/d", "ssh://git@h/a and http://***@c:1/d"),
            ("https://h/a@b", "https://h/a@b"),
            ("nothing here", "nothing here"),
        ];
        for (text, expected) in rows {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn names_a_repository_after_its_last_part() {
        for url in ["https://h/g/app.git", "git@h:app.git", "/srv/app", "/srv/app/", "h:app"] {
            assert_eq!(repository_name(url), "app", "{url}");
        }
    }
}
