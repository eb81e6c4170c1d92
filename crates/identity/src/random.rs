//! Randomness from the operating system: the one place of this crate that draws it.

/// The operating system gave no randomness. Nothing secret can be made; the caller answers with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no randomness")]
pub struct NoRandomness;

/// Random bytes, fit for keys.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// A number below `bound` (at least 1), each equally likely.
pub(crate) fn below(bound: u32) -> Result<u32, NoRandomness> {
    below_from(bound, || bytes().map(u32::from_le_bytes))
}

/// Draws again when the number lies in the last, incomplete run of `bound` numbers: taking the remainder of all would
/// make small ones likelier.
fn below_from(bound: u32, mut draw: impl FnMut() -> Result<u32, NoRandomness>) -> Result<u32, NoRandomness> {
    let bound = bound.max(1);
    let beyond = (1_u64 << 32) - (1_u64 << 32) % u64::from(bound);
    loop {
        let drawn = draw()?;
        if u64::from(drawn) < beyond {
            return Ok(drawn % bound);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ() {
        assert_ne!(bytes::<32>().unwrap(), bytes::<32>().unwrap());
    }

    #[test]
    fn the_incomplete_run_at_the_end_is_drawn_again() {
        // 2^32 = 4294 * 10^6 + 967_296: 4_294_000_000 and above are refused.
        for (drawn, want) in [
            (vec![0], 0),
            (vec![999_999], 999_999),
            (vec![1_000_000], 0),
            (vec![4_293_999_999], 999_999),
            (vec![4_294_000_000, 7], 7),
            (vec![u32::MAX, 4_294_967_000, 1_000_003], 3),
        ] {
            let mut left = drawn.iter().copied();
            assert_eq!(below_from(1_000_000, || Ok(left.next().expect("drew too often"))), Ok(want), "{drawn:?}");
            assert_eq!(left.next(), None, "{drawn:?}: drew too seldom");
        }
        assert_eq!(below_from(0, || Ok(5)), Ok(0));
        assert_eq!(below_from(10, || Err(NoRandomness)), Err(NoRandomness));
    }

    #[test]
    fn every_tenth_of_the_range_is_met() {
        let mut met = [0_u32; 10];
        for _ in 0..2_000 {
            met[below(1_000_000).unwrap() as usize / 100_000] += 1;
        }
        // Each is expected 200 times; 100 is seven standard deviations away.
        assert!(met.iter().all(|count| (100..300).contains(count)), "{met:?}");
    }
}
