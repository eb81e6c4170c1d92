//! Amounts of money: "paanch sau rupaye pachas paise", "two and a half lakh", "₹1,200.50".

use super::numbers::number;
use crate::tokens::answer_tokens;

/// Paise in a rupee.
const PAISE: u64 = 100;

/// Reads an amount, in paise. Rupees are meant where no unit is said; "fifty paise" alone is half a rupee. As
/// [`number`], of several the last counts. `None` when there is none or it does not fit 64 bits.
#[must_use]
pub fn paise(text: &str) -> Option<u64> {
    let tokens = answer_tokens(text);
    let coin = tokens.iter().position(|t| matches!(t.as_str(), "paise" | "paisa" | "paisay" | "पैसे" | "पैसा"));
    let note = tokens.iter().rposition(|t| {
        matches!(
            t.as_str(),
            "rupees"
                | "rupee"
                | "rupaye"
                | "rupaya"
                | "rupay"
                | "rupaiye"
                | "rs"
                | "रुपये"
                | "रुपए"
                | "रुपया"
                | "रूपये"
        )
    });
    // "500.50" and "₹1,200.50" carry their paise.
    if coin.is_none()
        && let Some(written) =
            tokens.iter().rev().find(|t| t.contains('.') && t.starts_with(|c: char| c.is_ascii_digit()))
        && !scaled(&tokens, written)
    {
        let (whole, fraction) = written.split_once('.')?;
        let whole: u64 = whole.replace(',', "").parse().ok()?;
        let coins = match fraction.len() {
            1 => fraction.parse::<u64>().ok()? * 10,
            2 => fraction.parse().ok()?,
            _ => return None,
        };
        return whole.checked_mul(PAISE)?.checked_add(coins);
    }
    match (note, coin) {
        (Some(note), Some(coin)) if note < coin => {
            let rupees = number(&tokens.get(..note)?.join(" "))?;
            let coins = number(&tokens.get(note + 1..coin)?.join(" ")).unwrap_or(0);
            rupees.checked_mul(PAISE)?.checked_add(coins)
        }
        (None, Some(coin)) => number(&tokens.get(..coin)?.join(" ")),
        (_, _) => half_scale(&tokens).or_else(|| number(text))?.checked_mul(PAISE),
    }
}

/// Whether a scale stands behind the written number: "2.5 lakh".
fn scaled(tokens: &[String], written: &String) -> bool {
    tokens.iter().rposition(|t| t == written).and_then(|at| tokens.get(at + 1)).is_some_and(|next| {
        matches!(
            next.as_str(),
            "lakh"
                | "lakhs"
                | "lac"
                | "crore"
                | "crores"
                | "karod"
                | "hazaar"
                | "thousand"
                | "hundred"
                | "million"
                | "लाख"
                | "करोड"
                | "हजार"
        )
    })
}

/// "two and a half lakh", "half a crore".
pub(super) fn half_scale(tokens: &[String]) -> Option<u64> {
    let at = tokens.iter().position(|t| t == "half")?;
    let article = usize::from(tokens.get(at + 1).is_some_and(|t| t == "a"));
    let scale = number(tokens.get(at + 1 + article)?).filter(|s| matches!(s, 1_000 | 100_000 | 10_000_000))?;
    let whole = match tokens.get(..at)? {
        [head @ .., and, a] if and == "and" && a == "a" => number(&head.join(" "))?,
        _ => 0,
    };
    whole.checked_mul(scale)?.checked_add(scale / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts() {
        for (text, want) in [
            ("five hundred rupees", Some(50_000)),
            ("paanch sau rupaye pachas paise", Some(50_050)),
            ("₹1,200.50", Some(120_050)),
            ("two and a half lakh", Some(25_000_000)),
            ("fifty paise", Some(50)),
            ("many", None),
        ] {
            assert_eq!(paise(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".{0,60}") {
            let _ = paise(&text);
        }
    }
}
