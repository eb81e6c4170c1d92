//! Exotel's REST API: placing calls, and asking about them. What is sent and read is `wire::exotel::rest`; here is how.
//!
//! Placing a call is one request, never repeated, on a connection of its own: what is known of a failure decides whether
//! it may be tried again ([`DialError`]). Questions are tried again. Credentials go to the account's region only;
//! nothing is redirected.

mod budget;
mod retry_after;

use crate::http::{Http, join_url, kind_of_status, transport_error};
use crate::resilience::{RetryPolicy, random01};
use crate::{Error, ErrorKind};
use budget::{BudgetKey, Budgets, KEPT_FOR_DIALING};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response};
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use url::Url;
use url::form_urlencoded::Serializer;
use wire::exotel::rest::{self, BODY_BYTES_MAX, RestError, RestFault};

pub use wire::exotel::rest::{
    ActiveStreams, CallDetails, CallsQuery, Connect, ExoPhone, Region, RestException, Target,
};

/// Name of this provider.
const NAME: &str = "exotel";
/// Longest wait for a connection: name, TCP and TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request takes no longer, from its first byte to the last of its answer. Longer than connecting may take, so that
/// it never ends a request that was not sent.
pub const DEADLINE: Duration = Duration::from_secs(15);
/// A question waits so long for room in the account's budget.
pub const ASK_PATIENCE: Duration = Duration::from_secs(10);
/// Placing a call waits so long for room: it has a job behind it that comes back.
pub const DIAL_PATIENCE: Duration = Duration::from_secs(2);
/// After a 429 that does not say how long, the account pauses.
pub const PAUSE_AFTER_429: Duration = Duration::from_secs(5);
/// A question is tried again after what Exotel asks for, when that is no longer.
pub const RETRY_AFTER_PATIENCE: Duration = Duration::from_secs(10);

/// An account at Exotel, with what opens it. Debug does not show the token.
#[derive(Clone)]
pub struct ExotelAccount {
    /// The account's name, in every path.
    pub account_id: String,
    /// API key: the user of HTTP Basic. No secret by itself.
    pub api_key: String,
    /// API token: the password.
    pub token: SecretString,
    /// Where the account lives.
    pub region: Region,
}

impl fmt::Debug for ExotelAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExotelAccount")
            .field("account_id", &self.account_id)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Why a call was not placed, sorted by what is known of it. Shows no number and no token.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Exotel refused: surely not dialled. When to come back, if it says so (429).
    #[error("exotel refused to place the call: {0}")]
    Refused(RestException, Option<Duration>),
    /// The request never left: surely not dialled. Worth another try when the error is transient; otherwise the order or
    /// the account cannot work.
    #[error("the call was not placed: {0}")]
    NotSent(#[source] Error),
    /// The request may have arrived: perhaps dialled. Only a look at the account's calls, or a callback, can tell.
    #[error("nobody knows whether the call was placed: {0}")]
    Unknown(#[source] Error),
}

/// The client. Cloning is cheap; clones share the budgets of the accounts.
#[derive(Clone, Debug)]
pub struct ExotelClient {
    client: reqwest::Client,
    base_url: Option<Arc<str>>,
    budgets: Arc<Budgets>,
}

/// What came back: the status and the whole body, at most [`BODY_BYTES_MAX`] bytes of it.
struct Answer {
    status: u16,
    content_type: Option<String>,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// A question that failed, and how long Exotel wants to be left alone.
struct Failed {
    error: Error,
    retry_after: Option<Duration>,
}

type Reader<T> = fn(u16, Option<&str>, &[u8]) -> Result<T, RestFault>;

impl ExotelClient {
    /// With the roots of trust that `http` has. `base_url` stands in for the hosts of all regions, for development and
    /// tests: credentials go there.
    ///
    /// # Errors
    /// `Rejected` when the base URL is none, or the client cannot be built.
    pub fn new(http: &Http, base_url: Option<String>) -> Result<Self, Error> {
        let base_url = base_url.map(|text| base(&text)).transpose()?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(rustls::ClientConfig::clone(http.tls()))
            .user_agent(concat!("caly/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(DEADLINE)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            // A kept connection may be closed at the other end while a request is on its way: then nobody knows whether
            // it arrived. On a fresh one, what fails before the request failed while connecting.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| Error::new(ErrorKind::Rejected, NAME, "the HTTP client cannot be built").caused_by(e))?;
        Ok(Self { client, base_url, budgets: Arc::default() })
    }

    /// How long an order would wait now for room in the account's budget; zero: it would leave at once. Takes nothing.
    #[must_use]
    pub fn room_in(&self, account: &ExotelAccount) -> Duration {
        self.budgets.room_in(self.budget_of(account))
    }

    /// Places a call. One request, never repeated. Not to be dropped halfway by who wants to know what became of it.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect(&self, account: &ExotelAccount, order: &Connect<'_>) -> Result<CallDetails, DialError> {
        let not_sent = |error: RestError| DialError::NotSent(rejected(error));
        let path = rest::connect(&account.account_id).map_err(not_sent)?;
        let form = order.form().map_err(not_sent)?;
        let request = self.client.post(self.url(account, &path)).body(encoded(&form));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = authorised(request, account).map_err(DialError::NotSent)?;
        self.room(account, 0, DIAL_PATIENCE).await.map_err(DialError::NotSent)?;
        let response = request.send().await.map_err(|error| {
            let (sent, error) = (!(error.is_connect() || error.is_builder()), transport_error(NAME, error));
            if sent { DialError::Unknown(error) } else { DialError::NotSent(error) }
        })?;
        self.dialled(account, response).await
    }

    /// What the answer to an order says about the call.
    async fn dialled(&self, account: &ExotelAccount, response: Response) -> Result<CallDetails, DialError> {
        let status = response.status().as_u16();
        let answer = match self.whole(account, response).await {
            Ok(answer) => answer,
            // The status alone says that it was refused.
            Err(failed) if is_refusal(status) => return Err(DialError::Refused(bare(status), failed.retry_after)),
            Err(failed) => return Err(DialError::Unknown(failed.error)),
        };
        let fault = match rest::read_call(answer.status, answer.content_type.as_deref(), &answer.body) {
            Ok(call) => return Ok(call),
            Err(fault) => fault,
        };
        match fault {
            RestFault::Exception(said) if is_refusal(said.status) => Err(DialError::Refused(said, answer.retry_after)),
            RestFault::Status(status) if is_refusal(status) => {
                Err(DialError::Refused(bare(status), answer.retry_after))
            }
            fault => Err(DialError::Unknown(error_of(&fault))),
        }
    }

    /// The details of a call.
    ///
    /// # Errors
    /// What stands in the way; `Rejected` also when Exotel knows no such call.
    pub async fn call(&self, account: &ExotelAccount, call_id: &str) -> Result<CallDetails, Error> {
        let path = rest::call(&account.account_id, call_id).map_err(rejected)?;
        about(call_id, self.get(account, &path, rest::read_call).await?)
    }

    /// The calls that were made to a number since a moment, at most 100 of them.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn find_calls(&self, account: &ExotelAccount, query: &CallsQuery<'_>) -> Result<Vec<CallDetails>, Error> {
        let path = rest::calls(&account.account_id, query).map_err(rejected)?;
        self.get(account, &path, rest::read_calls).await
    }

    /// Where a call's recording is: an address that works for an hour when Exotel gives one, else the lasting one, which
    /// may want credentials. `None` when there is no recording, or not yet.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn recording_url(&self, account: &ExotelAccount, call_id: &str) -> Result<Option<String>, Error> {
        let path = rest::calls_recording(&account.account_id, call_id).map_err(rejected)?;
        let found = match self.get(account, &path, rest::read_calls).await {
            Ok(calls) => calls.into_iter().find(|call| call.call_id == call_id).and_then(|call| call.recording_url),
            Err(error) if error.is_transient() => return Err(error),
            // An account without this list has the details all the same.
            Err(_) => None,
        };
        if found.is_some() {
            return Ok(found);
        }
        let path = rest::call_recording(&account.account_id, call_id).map_err(rejected)?;
        Ok(about(call_id, self.get(account, &path, rest::read_call).await?)?.recording_url)
    }

    /// The account's numbers.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn exophones(&self, account: &ExotelAccount) -> Result<Vec<ExoPhone>, Error> {
        let path = rest::exophones(&account.account_id).map_err(rejected)?;
        self.get(account, &path, rest::read_exophones).await
    }

    /// How many media streams are open, and how many may be. Also the cheapest question that needs working credentials.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn active_streams(&self, account: &ExotelAccount) -> Result<ActiveStreams, Error> {
        let path = rest::active_streams(&account.account_id).map_err(rejected)?;
        self.get(account, &path, rest::read_active_streams).await
    }

    /// Asks, and asks again when that may help.
    async fn get<T>(&self, account: &ExotelAccount, path: &str, read: Reader<T>) -> Result<T, Error> {
        let policy = RetryPolicy::default();
        let mut attempt = 1;
        loop {
            self.room(account, KEPT_FOR_DIALING, ASK_PATIENCE).await?;
            let Failed { error, retry_after } = match self.get_once(account, path, read).await {
                Ok(read) => return Ok(read),
                Err(failed) => failed,
            };
            let asked = retry_after.unwrap_or_default();
            let Some(wait) = policy.after(&error, attempt, random01()).filter(|_| asked <= RETRY_AFTER_PATIENCE) else {
                return Err(error);
            };
            sleep(wait.max(asked)).await;
            attempt += 1;
        }
    }

    async fn get_once<T>(&self, account: &ExotelAccount, path: &str, read: Reader<T>) -> Result<T, Failed> {
        let failed = |error| Failed { error, retry_after: None };
        let request = authorised(self.client.get(self.url(account, path)), account).map_err(failed)?;
        let response = request.send().await.map_err(|error| failed(transport_error(NAME, error)))?;
        let answer = self.whole(account, response).await?;
        read(answer.status, answer.content_type.as_deref(), &answer.body)
            .map_err(|fault| Failed { error: error_of(&fault), retry_after: answer.retry_after })
    }

    /// A place in the account's budget.
    async fn room(&self, account: &ExotelAccount, keep: u32, patience: Duration) -> Result<(), Error> {
        self.budgets.take(self.budget_of(account), keep, patience).await.map_err(|wait| {
            let seconds = wait.as_secs() + 1;
            Error::new(
                ErrorKind::Overloaded,
                NAME,
                format!("the account made all its requests: room in about {seconds} s"),
            )
        })
    }

    /// Reads the body. A 429 makes the account pause, whatever else it says.
    async fn whole(&self, account: &ExotelAccount, mut response: Response) -> Result<Answer, Failed> {
        let status = response.status().as_u16();
        let retry_after = retry_after::read(response.headers());
        if status == 429 {
            self.budgets.pause(self.budget_of(account), retry_after.unwrap_or(PAUSE_AFTER_429));
        }
        let content_type = text_of(response.headers());
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(None) => return Ok(Answer { status, content_type, retry_after, body }),
                Ok(Some(piece)) if body.len() + piece.len() <= BODY_BYTES_MAX => body.extend_from_slice(&piece),
                Ok(Some(_)) => return Err(Failed { error: error_of(&RestFault::TooLarge), retry_after }),
                Err(error) => return Err(Failed { error: transport_error(NAME, error), retry_after }),
            }
        }
    }

    fn budget_of(&self, account: &ExotelAccount) -> BudgetKey {
        BudgetKey::new(self.base_url.as_deref().unwrap_or_else(|| account.region.host()), account)
    }

    fn url(&self, account: &ExotelAccount, path: &str) -> String {
        match &self.base_url {
            Some(base) => join_url(base, path),
            None => format!("https://{}{path}", account.region.host()),
        }
    }
}

/// A base URL that may stand in for Exotel's hosts.
fn base(text: &str) -> Result<Arc<str>, Error> {
    let fits = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    match Url::parse(text.trim()).ok().filter(fits) {
        Some(url) => Ok(url.as_str().into()),
        None => {
            let detail = "the base URL is no http(s) URL, or holds credentials, a query or a fragment";
            Err(Error::new(ErrorKind::Rejected, NAME, detail))
        }
    }
}

/// HTTP Basic: the API key is the user, the token the password. The header is marked as not to be shown.
fn authorised(request: RequestBuilder, account: &ExotelAccount) -> Result<RequestBuilder, Error> {
    let key = account.api_key.trim();
    if key.is_empty() || key.contains(':') || key.contains(char::is_control) {
        return Err(Error::new(ErrorKind::Unauthorized, NAME, "the API key has characters no key has, or none"));
    }
    Ok(request.basic_auth(key, Some(account.token.expose_secret().trim())))
}

fn encoded(form: &[(String, String)]) -> String {
    Serializer::new(String::new()).extend_pairs(form).finish()
}

fn text_of(headers: &HeaderMap) -> Option<String> {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Surely not done. 408 is left out: what stands before Exotel says it, too, about a request that it passed on.
const fn is_refusal(status: u16) -> bool {
    matches!(status, 400..=499) && status != 408
}

/// A refusal without words.
const fn bare(status: u16) -> RestException {
    RestException { status, code: None, message: String::new() }
}

fn rejected(error: RestError) -> Error {
    Error::new(ErrorKind::Rejected, NAME, error.to_string())
}

fn error_of(fault: &RestFault) -> Error {
    let kind = match (fault, fault.status()) {
        (_, Some(status)) => kind_of_status(status),
        // Seen in production, and gone with the next request.
        (RestFault::Empty, None) => ErrorKind::Unavailable,
        (_, None) => ErrorKind::Protocol,
    };
    Error::new(kind, NAME, fault.to_string())
}

fn about(call_id: &str, call: CallDetails) -> Result<CallDetails, Error> {
    if call.call_id == call_id {
        Ok(call)
    } else {
        Err(Error::new(ErrorKind::Protocol, NAME, "the answer is about another call"))
    }
}
