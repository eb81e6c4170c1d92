//! Data keys under another key of the installation.

use super::keyring::{Kek, hex};
use super::{VERSION, encrypt, key_associated_data, unwrap, wrapped_key};
use crate::row_security::Identity;
use crate::sql::{sql, statements};
use crate::tx::Acting;
use crate::{Error, MigrateError, Store};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use uuid::Uuid;

/// Data keys wrapped anew in one transaction: their rows are locked until it ends.
const REWRAP_ROWS: i64 = 50;

statements! {
    OTHERS = "vault.others" ["select id, tenant_id, kek_id, wrapped from data_keys
        where kek_id <> $1 and id > $2 order by id limit $3"];
    REWRAP = "vault.rewrap" ["update data_keys set kek_id = $3, wrapped = $4, updated_at = $5
        where id = $1 and kek_id = $2"];
    COUNT_OF = "vault.count_of" ["select count(*) as n from data_keys where kek_id = $1"];
    STRANGE = "vault.strange" ["select kek_id, count(*) as n from data_keys where kek_id <> $1 and kek_id <> $2
        group by kek_id order by kek_id"];
}

/// What [`Store::rotate_keys`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Data keys that are now wrapped by the current key.
    pub rewrapped: u64,
    /// Data keys that were before.
    pub already: u64,
}

impl Store {
    /// Wraps every data key by the current key, a few per transaction, while others work: all nodes hold both keys until
    /// this is done. Sealed values stay as they are. May be stopped at any time and repeated.
    ///
    /// # Errors
    /// [`Error::Broken`] when a data key is wrapped by a key that is neither the current nor the previous one; those
    /// before it in the order of ids are done then.
    pub async fn rotate_keys(&self, now: DateTime<Utc>) -> Result<Rotated, Error> {
        let current = Arc::clone(&self.vault.keys.current);
        let mut raw = self.begin_write("store.rotate_keys").await?;
        let counted = sql(&COUNT_OF)
            .bind(current.id.to_vec())
            .required(&mut raw.acting(Identity::System), |row| row.unsigned("n"))
            .await;
        let mut rotated = Rotated { rewrapped: 0, already: raw.end(counted).await? };
        let mut last = Uuid::nil();
        loop {
            let mut raw = self.begin_write("store.rotate_keys").await?;
            let outcome = self.rewrap(&mut raw.acting(Identity::System), &current, last, now).await;
            let Some((count, end)) = raw.end(outcome).await? else {
                return Ok(rotated);
            };
            rotated.rewrapped += count;
            last = end;
        }
    }

    /// Some data keys after `last`: how many were wrapped anew, and the last that was looked at.
    async fn rewrap(
        &self,
        tx: &mut Acting<'_>,
        current: &Kek,
        last: Uuid,
        now: DateTime<Utc>,
    ) -> Result<Option<(u64, Uuid)>, Error> {
        let others = sql(&OTHERS).bind(current.id.to_vec()).bind(last).bind(REWRAP_ROWS).all(tx, wrapped_key).await?;
        let mut count = 0;
        for row in &others {
            let kek = self.vault.keys.by_id(&row.kek_id).ok_or_else(|| {
                Error::broken(format!(
                    "the data key {} is wrapped by the key {}, which is not given",
                    row.id,
                    hex(&row.kek_id)
                ))
            })?;
            let key = unwrap(kek, row)?;
            let associated = key_associated_data(row.id, row.tenant, &current.id);
            let wrapped = [&[VERSION], encrypt(&current.key, key.expose_secret(), &associated)?.as_slice()].concat();
            count += sql(&REWRAP)
                .bind(row.id)
                .bind(row.kek_id.clone())
                .bind(current.id.to_vec())
                .bind(wrapped)
                .bind(now)
                .run(tx)
                .await?;
        }
        Ok(others.last().map(|row| (count, row.id)))
    }

    /// That every data key is wrapped by a key that this program was given.
    pub(crate) async fn check_keys(&self) -> Result<(), MigrateError> {
        let keys = &self.vault.keys;
        let previous = keys.previous.as_ref().unwrap_or(&keys.current);
        let mut raw = self.begin_read("store.check_keys").await?;
        let found = sql(&STRANGE)
            .bind(keys.current.id.to_vec())
            .bind(previous.id.to_vec())
            .one(&mut raw.acting(Identity::System), |row| {
                Ok((row.unsigned::<u64>("n")?, hex(&row.get::<Vec<u8>>("kek_id")?)))
            })
            .await;
        match raw.end(found).await? {
            None => Ok(()),
            Some((count, kek_id)) => Err(MigrateError::UnknownKey { count, kek_id }),
        }
    }
}
