//! `certificate`: the bundle of a web server, renewed by certbot.

use std::path::PathBuf;
use std::time::Duration;

use super::{SignalTo, Target};
use crate::job::{Packed, RunContainer};

/// Has certbot renew a certificate when that is due, and puts it where the proxy reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// The file of chain and key together, as our own container sees it.
    pub bundle: PathBuf,
    /// The names it is for; the first one names it at certbot, too.
    pub domains: Vec<String>,
    /// Whom the authority writes to; asked for at the first issue.
    pub email: Option<String>,
    /// It is renewed when it ends within this time.
    pub renew_before: Duration,
    /// The container that certbot runs in; its command is ours.
    pub certbot: Packed<RunContainer>,
    /// Further arguments of certbot.
    pub arguments: Vec<String>,
    /// Who has certbot's ports, and is stopped while it runs.
    pub stop: Option<Target>,
    /// Who is told once the bundle is another one.
    pub signal: Option<SignalTo>,
    /// Who is restarted once the bundle is another one.
    pub restart: Option<Target>,
    /// Says what it would do, and does nothing.
    pub dry_run: bool,
}

impl Certificate {
    /// What certbot is run with; `is_first` where it is to make the certificate, and not to renew it.
    pub fn command(&self, is_first: bool) -> Vec<String> {
        let name = self.domains.first().map_or("", String::as_str);
        let mut command: Vec<String> = Vec::new();
        let mut say = |words: &[&str]| command.extend(words.iter().map(|it| (*it).to_owned()));
        if is_first {
            say(&["certonly", "--standalone", "--keep-until-expiring", "--expand", "--agree-tos"]);
            for domain in &self.domains {
                say(&["-d", domain]);
            }
            match &self.email {
                Some(email) => say(&["--email", email]),
                None => say(&["--register-unsafely-without-email"]),
            }
        } else {
            say(&["renew", "--no-random-sleep-on-renew"]);
        }
        say(&["--cert-name", name, "--non-interactive"]);
        command.extend(self.arguments.iter().cloned());
        command
    }

    /// Where certbot puts a file of the certificate, in its container.
    pub fn live(&self, file: &str) -> String {
        let name = self.domains.first().map_or("", String::as_str);
        format!("/etc/letsencrypt/live/{name}/{file}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certbot_is_asked_for_a_first_certificate_and_for_another() {
        let mut work = Certificate {
            bundle: "/b.pem".into(),
            domains: vec!["a.example".to_owned(), "b.example".to_owned()],
            email: Some("me@a.example".to_owned()),
            renew_before: Duration::from_hours(1),
            certbot: Packed::of(&RunContainer::default()),
            arguments: vec!["--test-cert".to_owned()],
            stop: None,
            signal: None,
            restart: None,
            dry_run: false,
        };
        assert_eq!(
            work.command(true).join(" "),
            "certonly --standalone --keep-until-expiring --expand --agree-tos -d a.example \
             -d b.example --email me@a.example --cert-name a.example --non-interactive --test-cert"
        );
        assert_eq!(
            work.command(false).join(" "),
            "renew --no-random-sleep-on-renew --cert-name a.example --non-interactive --test-cert"
        );
        work.email = None;
        assert!(work.command(true).contains(&"--register-unsafely-without-email".to_owned()));
        assert_eq!(work.live("privkey.pem"), "/etc/letsencrypt/live/a.example/privkey.pem");
    }
}
