//! Whether a certificate is due, and whether what certbot made may take the place of what is there.

use chrono::{DateTime, Utc};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use crate::job::work::Certificate;

/// What a bundle of chain and key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// From when on it holds.
    pub not_before: DateTime<Utc>,
    /// Until when.
    pub not_after: DateTime<Utc>,
    /// The names it is for.
    pub names: Vec<String>,
    /// Nobody but itself vouches for it.
    pub is_self_signed: bool,
}

impl Facts {
    /// Whether it is for a name; `*` stands for one part.
    fn covers(&self, name: &str) -> bool {
        let wild = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let is_it = |own: &String| {
            own.eq_ignore_ascii_case(name)
                || wild.as_ref().is_some_and(|wild| own.eq_ignore_ascii_case(wild))
        };
        self.names.iter().any(is_it)
    }
}

/// Reads a bundle: the certificate first, then its chain, and the key anywhere.
///
/// # Errors
///
/// What is wrong with it; nothing of the key.
pub fn read(bundle: &[u8]) -> Result<Facts, String> {
    if bundle.trim_ascii().is_empty() {
        return Err("it is empty".to_owned());
    }
    let chain = X509::stack_from_pem(bundle)
        .map_err(|_| "its certificates cannot be read: expected PEM".to_owned())?;
    let first = chain.first().ok_or("there is no certificate in it")?;
    // An encrypted key would otherwise be asked for at the terminal.
    let key = PKey::private_key_from_pem_callback(bundle, |_| Ok(0))
        .map_err(|_| "there is no private key in it that can be read".to_owned())?;
    let own = first.public_key().map_err(|_| "its public key cannot be read".to_owned())?;
    if !own.public_eq(&key) {
        return Err("its private key belongs to another certificate".to_owned());
    }
    let unreadable = |_| "its dates cannot be read".to_owned();
    Ok(Facts {
        not_before: time(first.not_before()).map_err(unreadable)?,
        not_after: time(first.not_after()).map_err(unreadable)?,
        names: names(first),
        is_self_signed: first.issued(first) == X509VerifyResult::OK,
    })
}

fn time(time: &Asn1TimeRef) -> Result<DateTime<Utc>, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(since.days) * 24 * 3600 + i64::from(since.secs);
    Ok(DateTime::from_timestamp(seconds, 0).unwrap_or_default())
}

fn names(certificate: &X509Ref) -> Vec<String> {
    let alternatives = certificate.subject_alt_names();
    let mut names: Vec<String> =
        alternatives.iter().flatten().filter_map(|it| it.dnsname().map(str::to_owned)).collect();
    if names.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        names.extend(common.filter_map(|it| Some(it.data().to_string().ok()?.as_str().to_owned())));
    }
    names
}

/// Whether something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing before this time.
    NotBefore(DateTime<Utc>, String),
    /// It is renewed, and why.
    Renew(String),
    /// A first one is made, and why.
    First(String),
}

impl Due {
    /// One sentence.
    pub fn text(&self) -> &str {
        match self {
            Self::NotBefore(_, why) | Self::Renew(why) | Self::First(why) => why,
        }
    }
}

/// Decides from the bundle that is there; `None` where there is none.
pub fn due(work: &Certificate, bundle: Option<&[u8]>, now: DateTime<Utc>) -> Due {
    let Some(bundle) = bundle else { return Due::First("there is no bundle yet".to_owned()) };
    let facts = match read(bundle) {
        Ok(facts) => facts,
        Err(why) => return Due::First(format!("the bundle is of no use: {why}")),
    };
    if facts.is_self_signed {
        return Due::First("the certificate is signed by itself".to_owned());
    }
    if let Some(missing) = work.domains.iter().find(|it| !facts.covers(it)) {
        return Due::First(format!("the certificate is not for {missing}"));
    }
    let ends = facts.not_after.format("%Y-%m-%d %H:%M UTC");
    let before = chrono::Duration::from_std(work.renew_before).unwrap_or_default();
    let from = facts.not_after.checked_sub_signed(before).unwrap_or(facts.not_after);
    if now >= from {
        return Due::Renew(format!("the certificate ends at {ends}"));
    }
    let renewed = from.format("%Y-%m-%d");
    Due::NotBefore(
        from,
        format!("the certificate ends at {ends}, and is renewed from {renewed} on"),
    )
}

/// What is done with a bundle that certbot made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one that is there.
    Same,
    /// It takes the place of what is there, until when it holds.
    Replace(DateTime<Utc>),
    /// It does not, and why.
    Refuse(String),
}

/// Decides about a new bundle.
pub fn verdict(old: Option<&[u8]>, new: &[u8], now: DateTime<Utc>) -> Verdict {
    let facts = match read(new) {
        Ok(facts) => facts,
        Err(why) => return Verdict::Refuse(why),
    };
    if now >= facts.not_after {
        let ended = facts.not_after.format("%Y-%m-%d %H:%M UTC");
        return Verdict::Refuse(format!("it ended at {ended}"));
    }
    if now < facts.not_before {
        let begins = facts.not_before.format("%Y-%m-%d %H:%M UTC");
        return Verdict::Refuse(format!("it begins at {begins}: is the clock right?"));
    }
    if old == Some(new) { Verdict::Same } else { Verdict::Replace(facts.not_after) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openssl::hash::MessageDigest;
    use openssl::pkey::Private;
    use openssl::rsa::Rsa;
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509Builder, X509NameBuilder};

    use super::*;
    use crate::job::{Packed, RunContainer};

    const DAY: i64 = 24 * 3600;
    const NOW: i64 = 1_700_000_000;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).unwrap()
    }

    fn key() -> PKey<Private> {
        PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
    }

    fn pem(key: &PKey<Private>) -> Vec<u8> {
        key.private_key_to_pem_pkcs8().unwrap()
    }

    /// A certificate for names, which holds from and until so many days from now.
    fn certificate(names: &[&str], issuer: &str, days: (i64, i64), key: &PKey<Private>) -> Vec<u8> {
        let name = |text: &str| {
            let mut name = X509NameBuilder::new().unwrap();
            name.append_entry_by_text("CN", text).unwrap();
            name.build()
        };
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name(names[0])).unwrap();
        builder.set_issuer_name(&name(issuer)).unwrap();
        let time = |days: i64| Asn1Time::from_unix(NOW + days * DAY).unwrap();
        builder.set_not_before(&time(days.0)).unwrap();
        builder.set_not_after(&time(days.1)).unwrap();
        let mut alternatives = SubjectAlternativeName::new();
        for name in names {
            alternatives.dns(name);
        }
        let alternatives = alternatives.build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(alternatives).unwrap();
        builder.set_pubkey(key).unwrap();
        builder.sign(key, MessageDigest::sha256()).unwrap();
        builder.build().to_pem().unwrap()
    }

    fn work() -> Certificate {
        Certificate {
            bundle: "/b".into(),
            domains: vec!["a.example".to_owned(), "www.a.example".to_owned()],
            email: None,
            renew_before: Duration::from_hours(24 * 30),
            certbot: Packed::of(&RunContainer::default()),
            arguments: Vec::new(),
            stop: None,
            signal: None,
            restart: None,
            dry_run: false,
        }
    }

    #[test]
    fn it_is_due_a_while_before_its_end() {
        let own = key();
        let both = ["a.example", "*.a.example"];
        let bundle = |names: &[&str], issuer: &str, days: (i64, i64)| {
            [certificate(names, issuer, days, &own), pem(&own)].concat()
        };
        let rows: [(&str, Option<Vec<u8>>, &str); 8] = [
            ("none", None, "first: there is no bundle yet"),
            ("empty", Some(b" \n".to_vec()), "first: the bundle is of no use: it is empty"),
            ("noise", Some(b"hello".to_vec()), "first: the bundle is of no use"),
            ("good", Some(bundle(&both, "ca", (-60, 31))), "not: the certificate ends at"),
            ("near its end", Some(bundle(&both, "ca", (-60, 29))), "renew: "),
            ("ended", Some(bundle(&both, "ca", (-90, -1))), "renew: "),
            (
                "of its own",
                Some(bundle(&both, "a.example", (-1, 900))),
                "first: the certificate is signed",
            ),
            (
                "of another",
                Some(bundle(&["a.example"], "ca", (-1, 60))),
                "first: the certificate is not for www",
            ),
        ];
        for (name, bundle, expected) in rows {
            let due = due(&work(), bundle.as_deref(), now());
            let word = match &due {
                Due::NotBefore(..) => "not",
                Due::Renew(_) => "renew",
                Due::First(_) => "first",
            };
            let found = format!("{word}: {}", due.text());
            assert!(found.starts_with(expected), "{name}: {found}");
        }
    }

    #[test]
    fn only_what_is_new_and_valid_takes_the_place_of_what_is_there() {
        let (own, other) = (key(), key());
        let made = |days| certificate(&["a.example"], "ca", days, &own);
        let old = [made((-60, 10)), pem(&own)].concat();
        let good = [made((-1, 90)), made((-900, 900)), pem(&own)].concat();
        let refused = |why: &str| Verdict::Refuse(why.to_owned());
        let until = DateTime::from_timestamp(NOW + 90 * DAY, 0).unwrap();
        let rows: [(&str, Vec<u8>, Verdict); 8] = [
            ("good", good.clone(), Verdict::Replace(until)),
            ("same", old.clone(), Verdict::Same),
            ("empty", Vec::new(), refused("it is empty")),
            ("no key", made((-1, 90)), refused("there is no private key in it that can be read")),
            ("no certificate", pem(&own), refused("there is no certificate in it")),
            (
                "another's key",
                [made((-1, 90)), pem(&other)].concat(),
                refused("its private key belongs to another certificate"),
            ),
            (
                "ended",
                [made((-90, -1)), pem(&own)].concat(),
                refused("it ended at 2023-11-13 22:13 UTC"),
            ),
            (
                "not yet",
                [made((1, 90)), pem(&own)].concat(),
                refused("it begins at 2023-11-15 22:13 UTC: is the clock right?"),
            ),
        ];
        for (name, new, expected) in rows {
            assert_eq!(verdict(Some(&old), &new, now()), expected, "{name}");
        }
        assert_eq!(verdict(None, &good, now()), Verdict::Replace(until));
    }
}
