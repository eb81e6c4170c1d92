//! `caly doctor exotel`: which addresses to paste where at Exotel, what has arrived of each number, what was refused, and
//! whether the account's credentials work. For whoever stands before Exotel's dashboard and a telephone that is silent.

use crate::config::Config;
use crate::terminal::{bold, say};
use crate::{clock, node, services};
use anyhow::Context;
use api::{Author, replace_webhook_address};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use identity::PathToken;
use model::{CallDirection, CarrierKind, E164, EndedReason, TenantId};
use providers::exotel::{ExotelAccount, ExotelClient};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::process::ExitCode;
use store::calls::{self, Call, CallFilter};
use store::phone_numbers::{self, PhoneNumber};
use store::sightings::{self, ConnectedNumber, Seen};
use store::{PageRequest, Store, carrier_accounts};
use wire::exotel::rest::{ActiveStreams, ExoPhone};

/// Refused webhooks are looked at this far back.
const REFUSED_SINCE: TimeDelta = TimeDelta::hours(24);
/// Stands where the unguessable part is not known any more: only its hash is kept.
const TOKEN_UNKNOWN: &str = "TOKEN";

/// What `caly doctor exotel` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only this number, `+918047491899`.
    #[arg(long)]
    number: Option<String>,
    /// Give the number new addresses and show them whole; the ones before stop working at once.
    #[arg(long, requires = "number")]
    new_address: bool,
}

/// What was found wrong. Printed as it is found.
#[derive(Default)]
struct Findings(u32);

impl Findings {
    fn problem(&mut self, what: impl AsRef<str>) {
        self.0 += 1;
        say(format!("  PROBLEM  {}", what.as_ref()));
    }
}

/// Looks at every number at Exotel.
///
/// # Errors
/// When the database cannot be read. What is wrong with Exotel is printed, and makes the exit status 1.
pub(crate) async fn run(config: &Config, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let only = arguments.number.as_deref().map(E164::parse).transpose()?;
    let store = node::open_store(config).await?;
    let outcome = look(config, &store, only.as_ref(), arguments.new_address).await;
    store.close().await;
    Ok(if outcome? == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn look(config: &Config, store: &Store, only: Option<&E164>, new_address: bool) -> anyhow::Result<u32> {
    let mut findings = Findings::default();
    let now = clock::now();
    say(bold("This installation"));
    installation(config, &mut findings);
    let exotel = CarrierKind::Exotel;
    let numbers = store.system_read("sightings.numbers", async |tx| sightings::numbers(tx, exotel, only).await).await?;
    if numbers.is_empty() {
        say("");
        findings.problem(match only {
            Some(_) => "this number is not connected: POST /api/phone-numbers, or `caly connect`",
            None => "no number is connected: POST /api/phone-numbers, or `caly connect`",
        });
    }
    let mut accounts = Accounts::new(config)?;
    for number in &numbers {
        say("");
        say(bold(&format!("{} ({}, agent «{}»)", number.number.as_str(), number.organisation, number.agent)));
        let token = if new_address { Some(renew(store, number, now).await?) } else { None };
        one_number(config, store, number, token.as_ref(), now, &mut findings).await?;
        accounts.of(store, number.tenant).await?.tell(&number.number, &mut findings);
    }
    say("");
    refused(store, now, &mut findings).await?;
    Ok(findings.0)
}

fn installation(config: &Config, findings: &mut Findings) {
    match &config.public_url {
        None => findings.problem("CALY_PUBLIC_URL is not set: Exotel cannot reach this machine"),
        Some(url) if url.starts_with("https://") => {
            say(format!("  address  {url}; its certificate must be publicly valid"))
        }
        Some(url) => {
            findings.problem(format!("CALY_PUBLIC_URL is {url}: Exotel opens wss:// only, so it must be https://"))
        }
    }
}

/// New addresses; who did it is on record.
async fn renew(store: &Store, number: &ConnectedNumber, now: DateTime<Utc>) -> anyhow::Result<PathToken> {
    let token = PathToken::random()?;
    let hash = token.hash();
    store
        .write(number.tenant, "doctor.new_address", async |tx| {
            replace_webhook_address(tx, &Author::command("doctor exotel"), number.id, hash, now).await
        })
        .await
        .context("the address could not be changed")?;
    Ok(token)
}

async fn one_number(
    config: &Config,
    store: &Store,
    connected: &ConnectedNumber,
    token: Option<&PathToken>,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let (number, newest, reports) = store
        .read(connected.tenant, "doctor.number", async |tx| {
            let number = phone_numbers::get(tx, connected.id).await?;
            let filter = CallFilter { phone_number: Some(connected.id), ..CallFilter::default() };
            let newest = calls::list(tx, &filter, PageRequest { after: None, limit: 1 }).await?.items.pop();
            Ok::<_, store::Error>((number, newest, sightings::reports(tx, connected.id).await?))
        })
        .await?;
    proofs(config, &number, findings);
    addresses(config, &number, token, findings);
    arrivals(newest.as_ref(), &reports, now, findings);
    Ok(())
}

fn proofs(config: &Config, number: &PhoneNumber, findings: &mut Findings) {
    let proofs = &number.webhook_proofs;
    let mut taken = Vec::new();
    if proofs.path_token {
        taken.push("the address itself".to_owned());
    }
    if let Some(basic) = &proofs.basic {
        taken.push(format!("HTTP Basic as «{}»: paste https://{}:PASSWORD@…", basic.username, basic.username));
    }
    if !proofs.addresses.is_empty() {
        taken.push(format!("from {}", proofs.addresses.join(", ")));
    }
    if proofs.signature {
        taken.push("x-exotel-signature".to_owned());
    }
    say(format!("  proofs   any of: {}", taken.join("; ")));
    if proofs.signature && !proofs.path_token && proofs.basic.is_none() && proofs.addresses.is_empty() {
        findings.problem("only a signature counts, and Exotel is not known to sign: let the address count, too");
    } else if proofs.signature && taken.len() == 1 && config.exotel_webhook_secret.is_none() {
        findings.problem("EXOTEL_WEBHOOK_SECRET is not set: no signature is right");
    }
}

fn addresses(config: &Config, number: &PhoneNumber, token: Option<&PathToken>, findings: &mut Findings) {
    let base = config.base_url();
    let shown = token.map_or(TOKEN_UNKNOWN, PathToken::expose);
    say("  In App Bazaar, in the flow of this number:");
    for (applet, path) in [
        ("Voicebot applet, URL (not Stream)", "voicebot"),
        ("Passthru applet behind it, asynchronous", "passthru"),
        ("Connect applet behind that, dynamic URL: transfers", "connect"),
        ("Passthru applet behind Connect: how a transfer went", "passthru"),
    ] {
        say(format!("    {applet:<52} {base}/webhooks/exotel/{path}/{shown}"));
    }
    say("    Hangup applet at the end of the flow");
    if token.is_some() {
        say("  These addresses are shown only now; the ones before have stopped working.");
    } else if number.path_token_hash.is_none() {
        findings.problem("the number has no address of its own yet: run this again with --number … --new-address");
    } else {
        say(format!(
            "  {TOKEN_UNKNOWN} was shown when it was made, and is not kept; --number … --new-address makes another"
        ));
    }
}

fn arrivals(newest: Option<&Call>, reports: &[Seen], now: DateTime<Utc>, findings: &mut Findings) {
    let Some(call) = newest else {
        findings.problem("no call has arrived of this number: is the flow assigned to it, with the address above?");
        return;
    };
    let direction = if call.direction == CallDirection::Incoming { "incoming" } else { "outgoing" };
    say(format!("  seen     last call {}, {direction}: {}", ago(now, call.created_at), how_it_went(call)));
    if let Some(problem) = never_opened(call) {
        findings.problem(problem);
    }
    for seen in reports {
        say(format!("           {} × {}, last {}", seen.count, seen.what, ago(now, seen.last_at)));
    }
    if !reports.iter().any(|seen| seen.what == "passthru") && call.direction == CallDirection::Incoming {
        say("  note     no Passthru has arrived: ends of calls are known from their media alone, recordings are not");
    }
}

/// What is wrong when the carrier had a call and no media came.
fn never_opened(call: &Call) -> Option<&'static str> {
    if call.started_at.is_some() || !call.status.is_final() {
        return None;
    }
    match call.direction {
        CallDirection::Incoming => {
            Some("Exotel was told where the media goes and did not open it: can it reach wss:// here?")
        }
        CallDirection::Outgoing if call.ended_reason == Some(EndedReason::CarrierNoStart) => {
            Some("the call was taken and Exotel did not open its media: can it reach wss:// here?")
        }
        CallDirection::Outgoing => None,
    }
}

fn how_it_went(call: &Call) -> String {
    match (call.ended_reason, call.duration_ms) {
        (Some(reason), Some(ms)) => format!("{} s, {reason}", ms / 1_000),
        (Some(reason), None) => reason.to_string(),
        (None, _) => call.status.to_string(),
    }
}

/// The accounts that place calls and name recordings. One client asks for all: Exotel counts the requests of an account.
struct Accounts {
    client: ExotelClient,
    known: HashMap<TenantId, Account>,
}

/// What an account says of itself, asked once however many numbers it has.
enum Account {
    None,
    Incomplete,
    Asked { streams: Result<ActiveStreams, String>, phones: Result<Vec<ExoPhone>, String> },
}

impl Accounts {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let client = ExotelClient::new(&services::http()?, config.exotel_url.clone())?;
        Ok(Self { client, known: HashMap::new() })
    }

    async fn of(&mut self, store: &Store, tenant: TenantId) -> anyhow::Result<&Account> {
        Ok(match self.known.entry(tenant) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Account::ask(&self.client, store, tenant).await?),
        })
    }
}

impl Account {
    async fn ask(client: &ExotelClient, store: &Store, tenant: TenantId) -> anyhow::Result<Self> {
        let found = store
            .read(tenant, "doctor.account", async |tx| carrier_accounts::reveal(tx, CarrierKind::Exotel).await)
            .await?;
        let Some((account, token)) = found else { return Ok(Self::None) };
        let (Some(region), Some(api_key)) = (account.region.as_deref().and_then(|r| r.parse().ok()), account.api_key)
        else {
            return Ok(Self::Incomplete);
        };
        let account = ExotelAccount { account_id: account.account_id, api_key, token, region };
        let streams = client.active_streams(&account).await.map_err(|error| error.to_string());
        let phones = client.exophones(&account).await.map_err(|error| error.to_string());
        Ok(Self::Asked { streams, phones })
    }

    fn tell(&self, number: &E164, findings: &mut Findings) {
        match self {
            Self::None => say(
                "  account  none: calls can be answered, not placed, and recordings behind a password cannot be fetched",
            ),
            Self::Incomplete => {
                findings.problem("the account has no region or API key: PATCH /api/carrier-accounts/{id}");
            }
            Self::Asked { streams, phones } => {
                match streams {
                    Ok(streams) => {
                        say(format!("  account  answers; {} of {} media streams in use", streams.active, streams.max));
                    }
                    Err(error) => findings.problem(format!("the account cannot be used: {error}")),
                }
                match phones {
                    Ok(phones) if phones.iter().any(|phone| phone.number.as_ref() == Some(number)) => {}
                    Ok(_) => findings.problem("the account does not have this number: calls cannot be placed from it"),
                    Err(error) => say(format!("  note     the account's numbers are not told: {error}")),
                }
            }
        }
    }
}

async fn refused(store: &Store, now: DateTime<Utc>, findings: &mut Findings) -> anyhow::Result<()> {
    let since = now - REFUSED_SINCE;
    let refused = store
        .system_read("sightings.refused", async |tx| sightings::refused(tx, CarrierKind::Exotel, since).await)
        .await?;
    say(bold("Refused in the last 24 hours"));
    if refused.is_empty() {
        say("  nothing");
    }
    for seen in &refused {
        let from = seen.ip.as_deref().unwrap_or("an unknown address");
        let last = ago(now, seen.last_at);
        findings.problem(format!("{} × {} from {from}, last {last}: {}", seen.count, seen.what, advice(&seen.what)));
    }
    Ok(())
}

/// What to do about a refusal.
fn advice(reason: &str) -> &'static str {
    match reason {
        "signature_missing" => "this address wants a signature, which Exotel does not send: paste the ones above",
        "signature_wrong" => "the secret here is not the one there, or somebody is guessing",
        "signature_expired" => "the clocks differ by more than five minutes",
        "signature_replayed" => "the same signed request came twice",
        "not_found" => "an old address is still pasted at Exotel, or somebody is guessing",
        _ => "see docs/troubleshooting.md",
    }
}

fn ago(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(400);
        for (seconds, want) in [
            (-5, "0 s ago"),
            (59, "59 s ago"),
            (60, "1 min ago"),
            (3_599, "59 min ago"),
            (3_600, "1 h ago"),
            (172_800, "2 days ago"),
        ] {
            assert_eq!(ago(now, now - TimeDelta::seconds(seconds)), want);
        }
    }

    fn call(direction: CallDirection, reason: EndedReason, media: bool) -> Call {
        let at = DateTime::UNIX_EPOCH;
        Call {
            id: uuid::Uuid::nil().into(),
            tenant: uuid::Uuid::nil().into(),
            agent: uuid::Uuid::nil().into(),
            phone_number: None,
            carrier: CarrierKind::Exotel,
            carrier_call_id: Some("sid-1".to_owned()),
            direction,
            from: None,
            to: None,
            status: reason.status(),
            ended_reason: Some(reason),
            created_at: at,
            started_at: media.then_some(at),
            ended_at: Some(at),
            duration_ms: Some(0),
            carrier_duration_s: None,
            carrier_status: None,
            carrier_ended_at: None,
            carrier_recording_url: None,
            carrier_recording_due_at: None,
            data: serde_json::json!({}),
            summary: None,
            owner_node: None,
            variables: serde_json::Map::new(),
            dialed_at: None,
            transfer_to: None,
            transferred_at: None,
            outcome: store::call_records::Outcome::default(),
        }
    }

    #[test]
    fn media_that_never_came_is_a_problem_of_calls_in_both_directions() {
        use CallDirection::{Incoming, Outgoing};
        for (direction, reason, media, want) in [
            (Incoming, EndedReason::CallerNeverJoined, false, true),
            (Incoming, EndedReason::CallerHungUp, true, false),
            (Outgoing, EndedReason::CarrierNoStart, false, true),
            // The socket was there.
            (Outgoing, EndedReason::CarrierNoStart, true, false),
            (Outgoing, EndedReason::CallerNoAnswer, false, false),
            (Outgoing, EndedReason::CallerHungUp, true, false),
        ] {
            let call = call(direction, reason, media);
            assert_eq!(never_opened(&call).is_some(), want, "{direction} {reason}, media: {media}");
        }
        let rings =
            Call { status: model::CallStatus::Ringing, ..call(Incoming, EndedReason::CallerNeverJoined, false) };
        assert_eq!(never_opened(&rings), None);
    }
}
