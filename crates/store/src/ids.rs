//! UUID version 7 (RFC 9562): time first, so that new rows land together in the index; the rest is random.

use crate::Error;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Most ids made at once: the 12 bits after the time that [`batch`] counts in.
pub(crate) const BATCH_MAX: usize = 4_096;

pub(crate) fn new(now: DateTime<Utc>) -> Result<Uuid, Error> {
    Ok(make(now, random()?))
}

/// Ids that sort in the order they are returned. At most [`BATCH_MAX`].
pub(crate) fn batch(now: DateTime<Utc>, count: usize) -> Result<Vec<Uuid>, Error> {
    if count > BATCH_MAX {
        return Err(Error::Conflict("too many rows at once"));
    }
    let mut ids = Vec::with_capacity(count);
    for index in 0..count {
        let mut bytes = random()?;
        let counter = u16::try_from(index).unwrap_or(u16::MAX).to_be_bytes();
        bytes[..2].copy_from_slice(&counter);
        ids.push(make(now, bytes));
    }
    Ok(ids)
}

fn make(now: DateTime<Utc>, random: [u8; 10]) -> Uuid {
    let ms = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()
}

fn random() -> Result<[u8; 10], Error> {
    let mut bytes = [0; 10];
    getrandom::fill(&mut bytes).map_err(Error::broken)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_a_batch_keeps_its_order() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let ids = batch(now, BATCH_MAX).expect("ids");
        assert!(ids.is_sorted());
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), BATCH_MAX);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert!(new(now + chrono::Duration::milliseconds(1)).expect("an id") > ids[BATCH_MAX - 1]);
        assert!(matches!(batch(now, BATCH_MAX + 1), Err(Error::Conflict(_))));
    }
}
