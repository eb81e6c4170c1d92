//! Amounts of money as a voice says them.

use crate::Tongue;
use crate::numbers::{cardinal, decimal};

/// Rupees as written (`1,200.50`, `500`, `1.5` with `scale` "lakh"): "one thousand two hundred rupees and fifty paise",
/// "one point five lakh rupees". `None` when `written` is no number.
#[must_use]
pub fn rupees(written: &str, scale: Option<&str>, tongue: Tongue) -> Option<String> {
    if let Some(scale) = scale {
        return Some(format!("{} {scale} {}", decimal(written, tongue)?, rupee_word(2, tongue)));
    }
    let (whole, fraction) = written.split_once('.').unwrap_or((written, ""));
    let whole: u64 = whole.replace(',', "").parse().ok()?;
    if fraction.len() > 2 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("{} {}", decimal(written, tongue)?, rupee_word(2, tongue)));
    }
    let paise: u64 = match fraction.len() {
        0 => 0,
        1 => fraction.parse::<u64>().ok()? * 10,
        _ => fraction.parse().ok()?,
    };
    let said = format!("{} {}", cardinal(whole, tongue), rupee_word(whole, tongue));
    if paise == 0 {
        return Some(said);
    }
    let coins = cardinal(paise, tongue);
    Some(match tongue {
        Tongue::English => {
            let word = if paise == 1 { "paisa" } else { "paise" };
            if whole == 0 { format!("{coins} {word}") } else { format!("{said} and {coins} {word}") }
        }
        Tongue::Hindi => {
            if whole == 0 {
                format!("{coins} पैसे")
            } else {
                format!("{said} {coins} पैसे")
            }
        }
    })
}

/// The unit for an amount of rupees.
pub(crate) fn rupee_word(amount: u64, tongue: Tongue) -> &'static str {
    match (tongue, amount) {
        (Tongue::English, 1) => "rupee",
        (Tongue::English, _) => "rupees",
        (Tongue::Hindi, 1) => "रुपया",
        (Tongue::Hindi, _) => "रुपये",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (written, scale, want) in [
            ("500", None, "five hundred rupees"),
            ("1", None, "one rupee"),
            ("1,200.50", None, "one thousand two hundred rupees and fifty paise"),
            ("1,20,000", None, "one lakh twenty thousand rupees"),
            ("99.9", None, "ninety-nine rupees and ninety paise"),
            ("0.01", None, "one paisa"),
            ("2.00", None, "two rupees"),
            ("1.5", Some("lakh"), "one point five lakh rupees"),
            ("5", Some("crore"), "five crore rupees"),
            ("1.234", None, "one point two three four rupees"),
        ] {
            assert_eq!(rupees(written, scale, Tongue::English).as_deref(), Some(want), "{written}");
        }
        assert_eq!(rupees("1200.50", None, Tongue::Hindi).as_deref(), Some("एक हज़ार दो सौ रुपये पचास पैसे"));
        assert_eq!(rupees("many", None, Tongue::English), None);
    }
}
