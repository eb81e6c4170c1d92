//! What a call cost, by a table of list prices. Pure: the table is a text, the built-in one or the operator's.
//!
//! Amounts are whole millionths of a currency. What the table does not name has no price, which is not a price of 0.

use chrono::NaiveDate;
use model::{CallUsage, Stage, UsageLine};
use serde::Deserialize;
use store::call_records::{COST_LINES_MAX, Cost, CostLine, CostPart, Currency};

/// The list that comes with the program.
const BUILT_IN: &str = include_str!("prices.toml");
/// Most prices in a table: every model of every vendor fits ten times over.
const PRICES_MAX: usize = 2_000;
/// Largest amount in a table, in millionths: nothing is sold at a million rupees a minute, and sums stay far from their
/// limits.
const AMOUNT_MAX: u64 = 1_000_000_000_000;
/// Decimals of an amount.
const DECIMALS: usize = 6;
/// Millionths in one.
const MICROS: u128 = 1_000_000;

/// A table that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PriceError {
    /// It is not TOML of this form.
    #[error("the price table cannot be read: {0}")]
    Syntax(String),
    /// An entry has no sense.
    #[error("the price of {vendor} ({stage}): {fault}")]
    Entry {
        /// Whose.
        vendor: String,
        /// In which stage.
        stage: Stage,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The rate has no sense.
    #[error("the rate inr_per_usd must be a decimal above 0, such as \"90.40\"")]
    Rate,
    /// There are too many entries.
    #[error("a price table has at most {PRICES_MAX} entries")]
    TooMany,
}

/// A table of prices.
#[derive(Clone, Debug)]
pub struct Prices {
    currency: Currency,
    /// Millionths of a rupee for a dollar.
    rate: u64,
    /// The first that fits holds.
    prices: Vec<Price>,
}

#[derive(Clone, Debug)]
struct Price {
    vendor: String,
    stage: Stage,
    models: Vec<String>,
    currency: Currency,
    per: Per,
}

/// Millionths for a unit.
#[derive(Clone, Copy, Debug)]
enum Per {
    Minute(u64),
    ThousandCharacters(u64),
    MillionTokens { input: u64, cached: u64, output: u64 },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    currency: Option<Currency>,
    rate: Option<Rate>,
    #[serde(default)]
    price: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    inr_per_usd: String,
    #[serde(rename = "as_of")]
    _as_of: NaiveDate,
    #[serde(rename = "source")]
    _source: String,
}

/// One entry. The date and the source are for who reads the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    vendor: String,
    stage: Stage,
    models: Vec<String>,
    currency: Currency,
    minute: Option<String>,
    thousand_characters: Option<String>,
    million_tokens_in: Option<String>,
    million_tokens_cached: Option<String>,
    million_tokens_out: Option<String>,
    #[serde(rename = "as_of")]
    _as_of: NaiveDate,
    #[serde(rename = "source")]
    _source: String,
}

impl Prices {
    /// The built-in table.
    ///
    /// # Errors
    /// Never, as a test shows; the text is read like any other.
    pub fn built_in() -> Result<Self, PriceError> {
        let none = Self { currency: Currency::Inr, rate: 0, prices: Vec::new() };
        let table = none.with(BUILT_IN)?;
        if table.rate == 0 { Err(PriceError::Rate) } else { Ok(table) }
    }

    /// With the entries of this text before its own, and its currency and rate where it has some.
    ///
    /// # Errors
    /// When the text cannot be used.
    pub fn with(mut self, text: &str) -> Result<Self, PriceError> {
        // The library's message shows the line, which is a price and no secret.
        let table: Table = toml::from_str(text).map_err(|error| PriceError::Syntax(error.message().to_owned()))?;
        if table.price.len() + self.prices.len() > PRICES_MAX {
            return Err(PriceError::TooMany);
        }
        if let Some(currency) = table.currency {
            self.currency = currency;
        }
        if let Some(rate) = table.rate {
            self.rate = amount(&rate.inr_per_usd).filter(|rate| *rate > 0).ok_or(PriceError::Rate)?;
        }
        let mut prices = table.price.into_iter().map(Entry::price).collect::<Result<Vec<_>, _>>()?;
        prices.append(&mut self.prices);
        self.prices = prices;
        Ok(self)
    }

    /// What a conversation cost; none when it used nothing of anybody.
    #[must_use]
    pub fn cost(&self, usage: &CallUsage) -> Option<Cost> {
        let lines: Vec<CostLine> =
            usage.lines.iter().take(COST_LINES_MAX).map(|line| self.line(CostPart::Call, line)).collect();
        (!lines.is_empty()).then_some(Cost { currency: self.currency, lines })
    }

    /// The same with what an analysis used on top. What an earlier table said stays, unless it told another currency: sums
    /// of two currencies have no sense, so that a cost in the old one is left as it is.
    #[must_use]
    pub fn with_analysis(&self, cost: Option<Cost>, used: &UsageLine) -> Cost {
        let mut cost = cost.unwrap_or(Cost { currency: self.currency, lines: Vec::new() });
        let mut line = self.line(CostPart::Analysis, used);
        if cost.currency != self.currency {
            line.micros = None;
        }
        let same =
            |known: &CostLine| known.part == line.part && known.provider == line.provider && known.model == line.model;
        match cost.lines.iter().position(same) {
            Some(at) => {
                let known = &mut cost.lines[at];
                known.micros = known.micros.zip(line.micros).map(|(one, other)| one.saturating_add(other));
            }
            None if cost.lines.len() < COST_LINES_MAX => cost.lines.push(line),
            None => {}
        }
        cost
    }

    fn line(&self, part: CostPart, line: &UsageLine) -> CostLine {
        let micros = self.find(line).and_then(|price| self.micros(price, line));
        let (provider, model) = (line.provider.clone(), line.model.clone());
        CostLine { part, stage: line.stage, provider, model, micros }
    }

    fn find(&self, line: &UsageLine) -> Option<&Price> {
        let fits = |price: &&Price, model: &str| {
            price.stage == line.stage
                && price.vendor == line.provider
                && price.models.iter().any(|pattern| is_model(pattern, model))
        };
        let named = self.prices.iter().find(|price| fits(price, &line.model));
        named.or_else(|| self.prices.iter().find(|price| fits(price, without_date(&line.model))))
    }

    /// Millionths of the table's currency, rounded; none when the quantity that is priced is not known.
    fn micros(&self, price: &Price, line: &UsageLine) -> Option<u64> {
        let (product, units) = match price.per {
            Per::Minute(each) => (u128::from(each) * u128::from(line.audio_ms), 60_000),
            Per::ThousandCharacters(each) => (u128::from(each) * u128::from(line.characters), 1_000),
            Per::MillionTokens { input, cached, output } => {
                // Servers that do not count tell 0: that is no free answer.
                if line.requests > 0 && line.prompt_tokens == 0 && input > 0 {
                    return None;
                }
                let from_cache = line.cached_tokens.min(line.prompt_tokens);
                let read = u128::from(input) * u128::from(line.prompt_tokens - from_cache);
                let sum = read
                    + u128::from(cached) * u128::from(from_cache)
                    + u128::from(output) * u128::from(line.completion_tokens);
                (sum, MICROS)
            }
        };
        let rate = u128::from(self.rate);
        let (times, by) = match (price.currency, self.currency) {
            (Currency::Usd, Currency::Inr) => (rate, MICROS),
            (Currency::Inr, Currency::Usd) => (MICROS, rate),
            (Currency::Inr, Currency::Inr) | (Currency::Usd, Currency::Usd) => (1, 1),
        };
        let (above, below) = (product.checked_mul(times)?, units * by);
        u64::try_from((above + below / 2) / below).ok()
    }
}

impl Entry {
    fn price(self) -> Result<Price, PriceError> {
        let Self { vendor, stage, models, currency, .. } = self;
        let fail = |fault| PriceError::Entry { vendor: vendor.clone(), stage, fault };
        if models.is_empty() {
            return Err(fail("names no models"));
        }
        let read = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => {
                amount(text).map(Some).ok_or_else(|| fail("has an amount that is no decimal such as \"0.0058\""))
            }
        };
        let (minute, characters) = (read(&self.minute)?, read(&self.thousand_characters)?);
        let (input, output) = (read(&self.million_tokens_in)?, read(&self.million_tokens_out)?);
        let cached = read(&self.million_tokens_cached)?;
        let per = match (minute, characters, input, output, cached) {
            (Some(each), None, None, None, None) => Per::Minute(each),
            (None, Some(each), None, None, None) => Per::ThousandCharacters(each),
            (None, None, Some(input), Some(output), cached) => {
                Per::MillionTokens { input, cached: cached.unwrap_or(input), output }
            }
            _ => return Err(fail("needs a minute, or thousand_characters, or million_tokens_in and _out")),
        };
        Ok(Price { vendor, stage, models, currency, per })
    }
}

/// `nova-3*` is every name that begins so.
fn is_model(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => model.starts_with(beginning),
        None => pattern == model,
    }
}

/// `gpt-4o-2024-08-06` and `claude-haiku-4-5-20251001` are dated issues of what is listed without a date.
fn without_date(model: &str) -> &str {
    for form in ["-dddd-dd-dd", "-dddddddd"] {
        let Some(at) = model.len().checked_sub(form.len()).filter(|at| model.is_char_boundary(*at)) else { continue };
        let (name, date) = model.split_at(at);
        let fits =
            date.bytes().zip(form.bytes()).all(|(c, want)| if want == b'd' { c.is_ascii_digit() } else { c == want });
        if fits && !name.is_empty() {
            return name;
        }
    }
    model
}

/// A decimal in millionths.
fn amount(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_number(whole) || !is_number(decimals) || decimals.len() > DECIMALS {
        return None;
    }
    let padded = format!("{whole}{decimals:0<DECIMALS$}");
    padded.parse().ok().filter(|amount| *amount <= AMOUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stage: Stage, provider: &str, model: &str, change: impl FnOnce(&mut UsageLine)) -> UsageLine {
        let mut usage = CallUsage::default();
        let line = usage.line(stage, provider, model).expect("room");
        line.requests = 1;
        change(line);
        line.clone()
    }

    fn cost(prices: &Prices, line: UsageLine) -> Option<u64> {
        let cost = prices.cost(&CallUsage { lines: vec![line], ..CallUsage::default() }).expect("a line");
        cost.micros()
    }

    fn table(text: &str) -> Prices {
        Prices::built_in().expect("reads").with(text).expect("reads")
    }

    #[test]
    fn the_built_in_list_is_priced_in_rupees() {
        let prices = Prices::built_in().expect("it reads");
        let (hear, think, speak) = (Stage::Transcribing, Stage::Thinking, Stage::Speaking);
        let audio = |ms: u64| move |line: &mut UsageLine| line.audio_ms = ms;
        let text = |count: u64| move |line: &mut UsageLine| line.characters = count;
        let tokens = |read: u64, cached: u64, written: u64| {
            move |line: &mut UsageLine| {
                (line.prompt_tokens, line.cached_tokens, line.completion_tokens) = (read, cached, written);
            }
        };
        for (line, want) in [
            // 0.5 rupees a minute.
            (line(hear, "sarvam", "saaras:v3", audio(60_000)), Some(500_000)),
            (line(hear, "sarvam", "saaras:v3", audio(90_000)), Some(750_000)),
            (line(hear, "sarvam", "", audio(1)), Some(8)),
            // $0.0058 a minute at 90.3957.
            (line(hear, "deepgram", "nova-3", audio(60_000)), Some(524_295)),
            (line(hear, "deepgram", "nova-3-general", audio(60_000)), Some(524_295)),
            (line(hear, "deepgram", "nova-9", audio(60_000)), None),
            (line(hear, "builtin", "", audio(60_000)), Some(0)),
            (line(hear, "nobody", "", audio(60_000)), None),
            (line(speak, "sarvam", "bulbul:v3", text(1_000)), Some(3_000_000)),
            (line(speak, "sarvam", "bulbul:v9", text(1_000)), None),
            // The same vendor in another stage has another price.
            (line(speak, "deepgram", "nova-3", audio(60_000)), None),
            (line(speak, "openai", "tts-1", text(1_000)), Some(1_355_936)),
            (line(speak, "cartesia", "sonic-3.5", audio(60_000)), Some(3_615_828)),
            // 29.28, 10.98 and 73.20 rupees for a million.
            (line(think, "openai", "sarvam-105b", tokens(1_000, 0, 100)), Some(36_600)),
            (line(think, "openai", "sarvam-105b", tokens(1_000, 1_000, 0)), Some(10_980)),
            (line(think, "openai", "sarvam-105b", tokens(1_000, 9_000, 0)), Some(10_980)),
            (line(think, "openai", "gpt-4o-mini", tokens(1_000_000, 0, 0)), Some(13_559_355)),
            (line(think, "openai", "gpt-4o-mini-2024-07-18", tokens(1_000_000, 0, 0)), Some(13_559_355)),
            (line(think, "anthropic", "claude-haiku-4-5-20251001", tokens(1_000_000, 0, 0)), Some(90_395_700)),
            // Without a price of their own, cached tokens cost as others.
            (line(think, "openai", "llama-3.1-8b-instant", tokens(1_000_000, 1_000_000, 0)), Some(4_519_785)),
            // A server that does not count.
            (line(think, "openai", "gpt-4o", tokens(0, 0, 0)), None),
            (line(think, "openai", "my-own", tokens(1_000, 0, 100)), None),
            (line(think, "openai", "", tokens(1_000, 0, 100)), None),
        ] {
            let what = format!("{line:?}");
            assert_eq!(cost(&prices, line), want, "{what}");
        }
    }

    #[test]
    fn nothing_used_costs_nothing_to_tell() {
        assert_eq!(Prices::built_in().expect("reads").cost(&CallUsage::default()), None);
    }

    #[test]
    fn the_operators_entries_come_first() {
        let prices = table(
            "currency = 'USD'
            [rate]
            inr_per_usd = '100'
            as_of = '2026-11-21'
            source = 'the bank'
            [[price]]
            vendor = 'deepgram'
            stage = 'transcribing'
            models = ['nova-3']
            currency = 'INR'
            minute = '0.25'
            as_of = '2026-11-21'
            source = 'our contract'",
        );
        let minute = |model: &str| line(Stage::Transcribing, "deepgram", model, |line| line.audio_ms = 60_000);
        assert_eq!(cost(&prices, minute("nova-3")), Some(2_500), "a quarter of a rupee is 0.25 cents");
        assert_eq!(cost(&prices, minute("nova-3-medical")), Some(5_800), "the rest of the list stays");
    }

    #[test]
    fn an_analysis_is_a_line_of_its_own() {
        let prices = Prices::built_in().expect("reads");
        let used = line(Stage::Thinking, "openai", "sarvam-105b", |line| line.prompt_tokens = 1_000);
        let unknown = line(Stage::Thinking, "openai", "my-own", |line| line.prompt_tokens = 1_000);
        let call = CallUsage { lines: vec![used.clone()], ..CallUsage::default() };
        let first = prices.with_analysis(prices.cost(&call), &used);
        assert_eq!((first.lines.len(), first.micros(), first.is_complete()), (2, Some(58_560), true));
        let second = prices.with_analysis(Some(first), &used);
        assert_eq!((second.lines.len(), second.micros()), (2, Some(87_840)), "analyses of one model are added");
        let third = prices.with_analysis(Some(second), &unknown);
        assert_eq!((third.lines.len(), third.micros(), third.is_complete()), (3, Some(87_840), false));
        let alone = prices.with_analysis(None, &unknown);
        assert_eq!((alone.micros(), alone.lines[0].part), (None, CostPart::Analysis));
        let dollars = Cost { currency: Currency::Usd, lines: Vec::new() };
        assert_eq!(prices.with_analysis(Some(dollars), &used).micros(), None, "currencies are not added up");
    }

    #[test]
    fn tables_that_make_no_sense_are_refused() {
        let price = |body: &str| {
            format!(
                "[[price]]\nvendor = 'v'\nstage = 'thinking'\ncurrency = 'INR'\nas_of = '2026-11-21'\nsource = 's'\n{body}"
            )
        };
        for (what, text) in [
            ("no TOML", "price = [".to_owned()),
            ("an unknown field", "colour = 'red'".to_owned()),
            ("an unknown currency", "currency = 'EUR'".to_owned()),
            ("no rate", "[rate]\ninr_per_usd = '0'\nas_of = '2026-11-21'\nsource = 's'".to_owned()),
            ("no date", "[rate]\ninr_per_usd = '90'\nsource = 's'".to_owned()),
            ("no amount", price("models = ['m']")),
            ("no models", price("models = []\nminute = '1'")),
            ("two units", price("models = ['m']\nminute = '1'\nthousand_characters = '1'")),
            ("half of the tokens", price("models = ['m']\nmillion_tokens_in = '1'")),
            ("cached alone", price("models = ['m']\nmillion_tokens_cached = '1'")),
            ("a number", price("models = ['m']\nminute = 1.5")),
            ("below nothing", price("models = ['m']\nminute = '-1'")),
            ("not a decimal", price("models = ['m']\nminute = '1,5'")),
            ("too fine", price("models = ['m']\nminute = '0.0000001'")),
            ("too much", price("models = ['m']\nminute = '1000001'")),
            ("too many", price("models = ['m']\nminute = '1'").repeat(PRICES_MAX)),
        ] {
            assert!(Prices::built_in().expect("reads").with(&text).is_err(), "{what}");
        }
    }

    #[test]
    fn amounts_and_dates_are_read() {
        for (text, want) in [
            ("0", Some(0)),
            ("1", Some(1_000_000)),
            ("0.0058", Some(5_800)),
            ("90.3957", Some(90_395_700)),
            ("1.", Some(1_000_000)),
            (".5", None),
            ("", None),
            ("1e3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(amount(text), want, "{text}");
        }
        for (model, want) in [
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
            ("gpt-4o", "gpt-4o"),
            ("-20251001", "-20251001"),
            ("मॉडल-2024-08-06", "मॉडल"),
            ("ॉ", "ॉ"),
        ] {
            assert_eq!(without_date(model), want);
        }
    }
}
