//! Settings that say who may do what: secrets, mail, limits, proxies.

use super::Reader;
use ipnet::IpNet;
use limiter::Policies;
use providers::mail::{SmtpSettings, SmtpTls};
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::time::Duration;

/// Shortest secret that signs access tokens, bytes: as long as the hash it is used with.
const JWT_SECRET_BYTES_MIN: usize = 32;
/// Shortest token that opens what belongs to the installation, bytes.
const TOKEN_BYTES_MIN: usize = 24;
/// Hexadecimal digits of a key of 256 bits.
const KEY_DIGITS: usize = 64;

/// What protects the installation.
#[derive(Clone, Debug)]
pub(crate) struct Security {
    /// Signs access tokens; none in development = made once and kept with the data.
    pub jwt_secret: Option<SecretString>,
    /// Signed them before; those still count until they are over.
    pub jwt_secret_previous: Option<SecretString>,
    /// Wraps the keys of secrets at rest, 64 hexadecimal digits; none in development as above.
    pub encryption_key: Option<SecretString>,
    /// Wrapped them before, until `caly keys rotate` has run.
    pub encryption_key_previous: Option<SecretString>,
    /// How mail leaves; none in development = into a folder.
    pub smtp: Option<SmtpSettings>,
    /// Counts requests of all nodes; none = each node for itself.
    pub redis_url: Option<SecretString>,
    /// Opens `/api/monitoring/*`.
    pub operator_token: Option<SecretString>,
    /// Opens `/api/test/*` in development.
    pub dev_test_token: Option<SecretString>,
    /// Whose forwarded headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How often who may do what.
    pub policies: Policies,
}

impl Reader<'_> {
    pub(super) fn security(&mut self, production: bool) -> Security {
        Security {
            jwt_secret: self.jwt_secret("JWT_SECRET", production),
            jwt_secret_previous: self.jwt_secret("CALY_JWT_SECRET_PREVIOUS", false),
            encryption_key: self.key("ENCRYPTION_KEY", production),
            encryption_key_previous: self.key("CALY_ENCRYPTION_KEY_PREVIOUS", false),
            smtp: self.smtp(production),
            redis_url: self.redis(),
            operator_token: self.token("CALY_OPERATOR_TOKEN"),
            dev_test_token: self.token("DEV_TEST_TOKEN"),
            trusted_proxies: self.proxies(),
            policies: self.policies(),
        }
    }

    fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    fn jwt_secret(&mut self, name: &str, needed: bool) -> Option<SecretString> {
        let secret = self.secret(name);
        match &secret {
            None if needed => self.problems.push(format!(
                "{name} is missing: in production it signs access tokens; make one with `openssl rand -hex 32`"
            )),
            Some(secret) if secret.expose_secret().len() < JWT_SECRET_BYTES_MIN => {
                self.problems.push(format!("{name} must have at least {JWT_SECRET_BYTES_MIN} characters"));
            }
            Some(_) | None => {}
        }
        secret
    }

    fn key(&mut self, name: &str, needed: bool) -> Option<SecretString> {
        let key = self.secret(name);
        match &key {
            None if needed => self.problems.push(format!(
                "{name} is missing: in production it protects the keys at rest; make one with `openssl rand -hex 32` \
                 and keep a copy apart from the database"
            )),
            Some(key)
                if key.expose_secret().len() != KEY_DIGITS
                    || !key.expose_secret().chars().all(|c| c.is_ascii_hexdigit()) =>
            {
                self.problems.push(format!("{name} must be {KEY_DIGITS} hexadecimal digits"));
            }
            Some(_) | None => {}
        }
        key
    }

    fn token(&mut self, name: &str) -> Option<SecretString> {
        let token = self.secret(name);
        if token.as_ref().is_some_and(|token| token.expose_secret().len() < TOKEN_BYTES_MIN) {
            self.problems.push(format!("{name} must have at least {TOKEN_BYTES_MIN} characters"));
        }
        token
    }

    fn smtp(&mut self, production: bool) -> Option<SmtpSettings> {
        let (host, from) = (self.text("SMTP_HOST"), self.text("SMTP_FROM"));
        let tls = match self.text("SMTP_TLS").as_deref() {
            None | Some("starttls") => SmtpTls::Required,
            Some("tls") => SmtpTls::Wrapper,
            Some("none") => SmtpTls::None,
            Some(_) => {
                self.problems.push("SMTP_TLS must be starttls, tls or none".to_owned());
                SmtpTls::Required
            }
        };
        let port_usual = match tls {
            SmtpTls::Required => 587,
            SmtpTls::Wrapper => 465,
            SmtpTls::None => 25,
        };
        let port = self.parsed("SMTP_PORT", "a port number").unwrap_or(port_usual);
        let (user, password) = (self.text("SMTP_USER"), self.secret("SMTP_PASSWORD"));
        match (host, from) {
            (Some(host), Some(from)) => {
                Some(SmtpSettings { host, port, user, password, from, tls, extra_roots_pem: None, timeout: None })
            }
            (None, None) if !production && user.is_none() => None,
            (host, from) => {
                for (name, given) in [("SMTP_HOST", host.is_some()), ("SMTP_FROM", from.is_some())] {
                    if !given {
                        self.problems
                            .push(format!("{name} is missing: codes and links for people's accounts go by mail"));
                    }
                }
                None
            }
        }
    }

    fn redis(&mut self) -> Option<SecretString> {
        let url = self.text("REDIS_URL")?;
        let fine = url::Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss" | "unix"));
        if !fine {
            self.problems.push("REDIS_URL must be like redis://host:6379".to_owned());
        }
        Some(SecretString::from(url))
    }

    fn proxies(&mut self) -> Vec<IpNet> {
        let Some(text) = self.text("CALY_TRUSTED_PROXIES") else { return Vec::new() };
        let mut proxies = Vec::new();
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            match one.parse::<IpNet>().or_else(|_| one.parse::<IpAddr>().map(IpNet::from)) {
                // Everybody would be believed.
                Ok(net) if net.prefix_len() == 0 => {
                    self.problems.push("CALY_TRUSTED_PROXIES must name proxies, not the whole internet".to_owned());
                }
                Ok(net) => proxies.push(net),
                Err(_) => self.problems.push("CALY_TRUSTED_PROXIES must be like 10.0.0.0/8, 192.0.2.7".to_owned()),
            }
        }
        proxies
    }

    fn policies(&mut self) -> Policies {
        let mut policies = Policies::default();
        let Some(text) = self.text("CALY_RATE_LIMITS") else { return policies };
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let parts = one.split_once('=').and_then(|(name, rate)| {
                let (quota, window) = rate.split_once('/')?;
                Some((name.trim(), quota.trim().parse().ok()?, seconds(window.trim())?))
            });
            let set = parts.map(|(name, quota, window)| policies.set(name, quota, window));
            match set {
                Some(Ok(())) => {}
                Some(Err(error)) => self.problems.push(format!("CALY_RATE_LIMITS: {error}")),
                None => self
                    .problems
                    .push("CALY_RATE_LIMITS must be like login=6/15m, organisation=600/1m (s, m or h)".to_owned()),
            }
        }
        policies
    }
}

/// `90s`, `15m`, `1h`, or plain seconds.
fn seconds(text: &str) -> Option<Duration> {
    let (digits, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        None => (text, 1),
        Some(digits) if text.ends_with('m') => (digits, 60),
        Some(digits) if text.ends_with('h') => (digits, 3_600),
        Some(digits) => (digits, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_in_three_units() {
        for (text, want) in
            [("90", Some(90)), ("90s", Some(90)), ("15m", Some(900)), ("1h", Some(3_600)), ("x", None), ("", None)]
        {
            assert_eq!(seconds(text).map(|duration| duration.as_secs()), want, "{text}");
        }
    }
}
