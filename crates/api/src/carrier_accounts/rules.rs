//! What each carrier's accounts look like. The description knows every field; which of them belong to which carrier is
//! said here, for new accounts and changed ones alike.

use crate::Problem;
use crate::problem::FieldFault;
use model::CarrierKind;

/// Longest name of an account at a carrier.
const ACCOUNT_CHARS_MAX: usize = 64;
/// What follows `AC` in the name of an account at Twilio.
const TWILIO_HEX_CHARS: usize = 32;

/// An account as it would be.
pub(super) struct Settings<'a> {
    pub(super) carrier: CarrierKind,
    pub(super) account_id: &'a str,
    pub(super) region: Option<&'a str>,
    pub(super) api_key: Option<&'a str>,
    pub(super) flow_id: Option<&'a str>,
}

/// That the account is one of its carrier's.
///
/// # Errors
/// Every field that is not.
pub(super) fn check(settings: &Settings<'_>) -> Result<(), Problem> {
    let mut faults = Vec::new();
    if let Some(wanted) = wrong_account_id(settings.carrier, settings.account_id) {
        faults.push(fault("account_id", wanted));
    }
    for (field, given, needed) in [
        ("region", settings.region.is_some(), true),
        ("api_key", settings.api_key.is_some(), true),
        ("flow_id", settings.flow_id.is_some(), false),
    ] {
        match settings.carrier {
            CarrierKind::Exotel => {
                if needed && !given {
                    faults.push(fault(field, "is missing: Exotel's accounts have it"));
                }
            }
            CarrierKind::Twilio | CarrierKind::Plivo | CarrierKind::Vobiz | CarrierKind::Smartflo => {
                if given {
                    faults.push(fault(field, "is for Exotel's accounts only"));
                }
            }
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Problem::fields(faults)) }
}

/// What the carrier's name for an account must be, when this is none.
fn wrong_account_id(carrier: CarrierKind, id: &str) -> Option<&'static str> {
    let short = (1..=ACCOUNT_CHARS_MAX).contains(&id.len());
    let (right, wanted) = match carrier {
        CarrierKind::Exotel => (
            short && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')),
            "must be Exotel's account SID: letters, digits, _ and -",
        ),
        CarrierKind::Twilio => (
            id.strip_prefix("AC").is_some_and(|rest| {
                rest.len() == TWILIO_HEX_CHARS && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
            }),
            "must be Twilio's account SID: AC and 32 hexadecimal digits",
        ),
        CarrierKind::Plivo | CarrierKind::Vobiz => {
            (short && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "must be the auth id: letters and digits")
        }
        CarrierKind::Smartflo => {
            (short && id.bytes().all(|byte| byte.is_ascii_graphic()), "must be the account's id, without spaces")
        }
    };
    (!right).then_some(wanted)
}

fn fault(field: &str, message: &str) -> FieldFault {
    FieldFault { field: field.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields at fault.
    fn faults(settings: &Settings<'_>) -> Vec<String> {
        match check(settings) {
            Ok(()) => Vec::new(),
            Err(problem) => problem.faults().iter().map(|fault| fault.field.clone()).collect(),
        }
    }

    #[test]
    fn account_ids_are_their_carriers() {
        let long = "a".repeat(64);
        let longer = "a".repeat(65);
        for (carrier, id, right) in [
            (CarrierKind::Exotel, "clinic_1-IN", true),
            (CarrierKind::Exotel, long.as_str(), true),
            (CarrierKind::Exotel, longer.as_str(), false),
            (CarrierKind::Exotel, "", false),
            (CarrierKind::Exotel, "../x", false),
            (CarrierKind::Exotel, "a.b", false),
            (CarrierKind::Exotel, "क्लिनिक", false),
            (CarrierKind::Twilio, "AC0123456789abcdef0123456789ABCDEF", true),
            (CarrierKind::Twilio, "AC0123456789abcdef0123456789abcde", false),
            (CarrierKind::Twilio, "AC0123456789abcdef0123456789abcdef0", false),
            (CarrierKind::Twilio, "SK0123456789abcdef0123456789abcdef", false),
            (CarrierKind::Twilio, "AC0123456789abcdef0123456789abcdeg", false),
            (CarrierKind::Plivo, "MAXXXXXXXXXXXXXXXXXX", true),
            (CarrierKind::Plivo, "MA-XX", false),
            (CarrierKind::Vobiz, long.as_str(), true),
            (CarrierKind::Vobiz, longer.as_str(), false),
            (CarrierKind::Smartflo, "team/7@tata", true),
            (CarrierKind::Smartflo, "team 7", false),
            (CarrierKind::Smartflo, longer.as_str(), false),
        ] {
            let exotel = carrier == CarrierKind::Exotel;
            let settings = Settings {
                carrier,
                account_id: id,
                region: exotel.then_some("mumbai"),
                api_key: exotel.then_some("key"),
                flow_id: None,
            };
            let want: &[&str] = if right { &[] } else { &["account_id"] };
            assert_eq!(faults(&settings), want, "{carrier}: {id}");
        }
    }

    #[test]
    fn fields_belong_to_their_carrier() {
        let of = |carrier, account_id| Settings { carrier, account_id, region: None, api_key: None, flow_id: None };
        assert_eq!(faults(&of(CarrierKind::Exotel, "clinic1")), ["region", "api_key"]);
        for carrier in CarrierKind::ALL.iter().copied().filter(|carrier| *carrier != CarrierKind::Exotel) {
            let id = if carrier == CarrierKind::Twilio { "AC0123456789abcdef0123456789abcdef" } else { "abc" };
            assert!(faults(&of(carrier, id)).is_empty(), "{carrier}");
            let all = Settings { region: Some("mumbai"), api_key: Some("k"), flow_id: Some("1"), ..of(carrier, id) };
            assert_eq!(faults(&all), ["region", "api_key", "flow_id"], "{carrier}");
        }
    }
}
