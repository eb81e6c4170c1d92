//! Which hosts recordings are fetched from, and which of them get the tenant's key.
//!
//! facts of the carriers: recordings.exotel.com and S3 by Exotel's call details; api.twilio.com by
//! twilio.com/docs/voice/api/recording; media.plivo.com by plivo.com/docs/voice/api/recording.

use model::CarrierKind;
use url::Url;
use wire::destination::{self, Allowed, Refused};

/// Hosts of the operator's own choice; more are a mistake.
pub const HOSTS_MAX: usize = 100;

/// Domains whose hosts, themselves and below, belong to carriers and give recordings.
const DOMAINS: [&str; 4] = ["exotel.com", "api.twilio.com", "media.twiliocdn.com", "media.plivo.com"];
/// Where Amazon's hosts are.
const AMAZON: &str = "amazonaws.com";

/// Why an address is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no address that may be sent to.
    #[error("the address {0}")]
    Address(Refused),
    /// Its host is none of those that recordings come from.
    #[error("{0} is no host that recordings are fetched from; the operator may add it to CALY_RECORDING_HOSTS")]
    Host(String),
}

/// The hosts that may be asked.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// As `files.example.org`, or `.example.org` for everything below.
    own: Vec<String>,
    allowed: Allowed,
}

impl Hosts {
    /// With the operator's own, as `files.example.org` or `*.example.org`.
    pub(super) fn new(own: &[String], allowed: Allowed) -> Self {
        let own = own.iter().take(HOSTS_MAX).map(|host| host.trim().trim_start_matches('*').to_lowercase());
        Self { own: own.filter(|host| !host.is_empty()).collect(), allowed }
    }

    /// The address, if it may be asked.
    pub(super) fn check(&self, text: &str) -> Result<Url, Refusal> {
        let url = destination::parse(text, self.allowed).map_err(Refusal::Address)?;
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
        let here = self.allowed == Allowed::LoopbackToo && is_loopback(&url);
        // Plain http only to this machine, whatever else development allows.
        if url.scheme() != "https" && !here {
            return Err(Refusal::Address(Refused::Scheme));
        }
        let known = here
            || DOMAINS.iter().any(|domain| is_in(&host, domain))
            || is_s3(&host)
            || self.own.iter().any(|own| host == *own || (own.starts_with('.') && host.ends_with(own.as_str())));
        if known { Ok(url) } else { Err(Refusal::Host(host)) }
    }

    /// Whether this address, which was checked, is of a host that knows the carrier's keys.
    pub(super) fn knows_key(&self, url: &Url, carrier: CarrierKind) -> bool {
        let host = url.host_str().unwrap_or_default().trim_end_matches('.');
        let own = match carrier {
            CarrierKind::Exotel => is_in(host, "exotel.com"),
            CarrierKind::Twilio => is_in(host, "api.twilio.com"),
            CarrierKind::Plivo => is_in(host, "media.plivo.com"),
            CarrierKind::Vobiz | CarrierKind::Smartflo => false,
        };
        own || (self.allowed == Allowed::LoopbackToo && is_loopback(url))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_in(host: &str, domain: &str) -> bool {
    host == domain || host.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
}

/// Amazon's object stores in all their spellings: `s3.…`, `s3-region.…`, `s3.region.…`, `s3.dualstack.region.…`, each with
/// or without a bucket before it (docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html).
fn is_s3(host: &str) -> bool {
    let Some(before) = host.strip_suffix(AMAZON).and_then(|before| before.strip_suffix('.')) else { return false };
    let mut labels = before.rsplit('.');
    let is_service = |label: &str| label == "s3" || label.starts_with("s3-");
    // The service's name is the last label, or before a region, or before `dualstack` and a region.
    match labels.next() {
        Some(last) if is_service(last) => true,
        Some(region) if is_region(region) => match labels.next() {
            Some("dualstack") => labels.next().is_some_and(is_service),
            Some(label) => is_service(label),
            None => false,
        },
        Some(_) | None => false,
    }
}

/// `ap-southeast-1`, `us-gov-east-1`.
fn is_region(label: &str) -> bool {
    label.contains('-') && label.ends_with(|last: char| last.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(own: &[&str], allowed: Allowed) -> Hosts {
        let own: Vec<String> = own.iter().map(|host| (*host).to_owned()).collect();
        Hosts::new(&own, allowed)
    }

    #[test]
    fn the_carriers_hosts_and_s3_are_asked_and_nobody_else() {
        let hosts = hosts(&["Files.Example.net", "*.cdn.example.org"], Allowed::PublicOnly);
        for host in [
            "recordings.exotel.com",
            "api.in.exotel.com",
            "RECORDINGS.EXOTEL.COM",
            "recordings.exotel.com.",
            "s3.amazonaws.com",
            "s3-ap-southeast-1.amazonaws.com",
            "s3-external-1.amazonaws.com",
            "s3.ap-south-1.amazonaws.com",
            "s3.dualstack.ap-south-1.amazonaws.com",
            "bucket.s3.amazonaws.com",
            "a.bucket.s3-ap-southeast-1.amazonaws.com",
            "bucket.s3.us-gov-east-1.amazonaws.com",
            "bucket.s3.dualstack.ap-south-1.amazonaws.com",
            "api.twilio.com",
            "media.plivo.com",
            "aps1.media.plivo.com",
            "files.example.net",
            "eu.cdn.example.org",
        ] {
            let checked = hosts.check(&format!("https://{host}/a.mp3?X-Amz-Signature=b"));
            assert!(checked.is_ok(), "{host}: {checked:?}");
        }
        for host in [
            "exotel.com.evil.example",
            "evilexotel.com",
            "recordings.exotel.com.evil.example",
            "amazonaws.com",
            "s3.evil.example",
            "ec2.ap-south-1.amazonaws.com",
            "s3evil.amazonaws.com",
            "lambda.amazonaws.com",
            "s3.evil.amazonaws.com",
            "s3.elb-1.elb.amazonaws.com",
            "bucket.s3.amazonaws.com.evil.example",
            "twilio.com.evil.example",
            "demo.twilio.com.evil.example",
            "plivo.com.evil.example",
            "other.example.net",
            "x.files.example.net",
            "cdn.example.org",
            "8.8.8.8",
        ] {
            let refused = hosts.check(&format!("https://{host}/a.mp3"));
            assert_eq!(refused, Err(Refusal::Host(host.to_owned())), "{host}");
        }
    }

    #[test]
    fn what_may_not_be_reached_is_not_reached_by_any_name() {
        let own = ["10.0.0.1", "localhost", "*.internal", "files.example.net"];
        let hosts = hosts(&own, Allowed::PublicOnly);
        for (url, want) in [
            ("http://recordings.exotel.com/a.mp3", Refused::Scheme),
            ("ftp://recordings.exotel.com/a.mp3", Refused::Scheme),
            ("https://recordings.exotel.com:22/a.mp3", Refused::Port),
            ("https://key:token@api.exotel.com/a.mp3", Refused::Credentials),
            ("https://10.0.0.1/a.mp3", Refused::NotPublic),
            ("https://localhost/a.mp3", Refused::NotPublic),
            ("https://files.internal/a.mp3", Refused::NotPublic),
            ("https://169.254.169.254/latest", Refused::NotPublic),
            ("not an address", Refused::Unreadable),
            ("", Refused::Unreadable),
        ] {
            assert_eq!(hosts.check(url), Err(Refusal::Address(want)), "{url}");
        }
    }

    #[test]
    fn development_asks_this_machine_too_and_over_http_only_it() {
        let hosts = hosts(&[], Allowed::LoopbackToo);
        for url in ["http://127.0.0.1:9/a", "http://localhost:9/a", "http://[::1]:9/a", "https://127.0.0.1/a"] {
            assert!(hosts.check(url).is_ok(), "{url}");
        }
        assert_eq!(hosts.check("http://recordings.exotel.com/a"), Err(Refusal::Address(Refused::Scheme)));
        assert_eq!(hosts.check("https://evil.example/a"), Err(Refusal::Host("evil.example".to_owned())));
        assert_eq!(hosts.check("http://10.0.0.1/a"), Err(Refusal::Address(Refused::NotPublic)));
    }

    #[test]
    fn keys_are_for_their_own_carriers_hosts() {
        let hosts = hosts(&["files.example.net"], Allowed::PublicOnly);
        for (url, knows) in [
            ("https://recordings.exotel.com/a.mp3", true),
            ("https://api.in.exotel.com/a.mp3", true),
            ("https://bucket.s3.amazonaws.com/a.mp3", false),
            ("https://files.example.net/a.mp3", false),
            ("https://api.twilio.com/a.mp3", false),
        ] {
            let checked = hosts.check(url).expect("asked");
            assert_eq!(hosts.knows_key(&checked, CarrierKind::Exotel), knows, "{url}");
        }
    }
}
