//! Axes with round ticks.

/// How many ticks an axis should have, about.
const TICKS: usize = 5;
/// Beyond this ratio of the largest value to the smallest, numbers of calls stand on a logarithmic axis.
const LOG_FROM: f64 = 20.0;

/// Values to places from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    from: f64,
    to: f64,
    log: bool,
    pub(super) ticks: Vec<f64>,
}

/// 1, 2, 5, 10, 20, …: the smallest of them that is not less than this.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= value * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

impl Axis {
    /// From zero to a round number that holds all values.
    pub(super) fn from_zero(largest: f64) -> Self {
        let step = round_up(largest / TICKS as f64);
        let count = (largest / step - 1e-9).ceil().max(1.0) as usize;
        Self { from: 0.0, to: count as f64 * step, log: false, ticks: (0..=count).map(|n| n as f64 * step).collect() }
    }

    /// For values that span much or little, all above zero.
    pub(super) fn of(values: &[f64]) -> Self {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(0.0, f64::max);
        if !least.is_finite() || least <= 0.0 || most / least < LOG_FROM {
            return Self::from_zero(most.max(1.0));
        }
        let (from, to) = (least.log10().floor(), most.log10().ceil());
        let decades: Vec<f64> = (from as i32..=to as i32).map(|power| 10_f64.powi(power)).collect();
        // Room beyond the last value, not up to the next power of ten.
        let to = (most * 1.25).log10().min(to.max(from + 1.0));
        let ticks = decades.into_iter().filter(|tick| tick.log10() <= to + 1e-9).collect();
        Self { from, to, log: true, ticks }
    }

    /// It stands at the upper edge, since it is larger than what the axis holds.
    pub(super) fn is_beyond(&self, value: f64) -> bool {
        let value = if self.log { value.log10() } else { value };
        value > self.to * (1.0 + 1e-9)
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let value = if self.log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        ((value - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }
}

/// A tick as people write it: no more digits than it has.
pub(super) fn label(value: f64) -> String {
    if value >= 10_000.0 {
        let thousands = value / 1_000.0;
        return format!("{}k", label(thousands));
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_largest() {
        for (largest, want) in [
            (0.7, vec![0.0, 0.2, 0.4, 0.6, 0.8]),
            (1.0, vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
            (23.0, vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0]),
            (1_900.0, vec![0.0, 500.0, 1_000.0, 1_500.0, 2_000.0]),
        ] {
            let axis = Axis::from_zero(largest);
            assert_eq!(axis.ticks.len(), want.len(), "{largest}: {:?}", axis.ticks);
            assert!(axis.ticks.iter().zip(&want).all(|(got, want)| (got - want).abs() < 1e-9), "{:?}", axis.ticks);
            assert!(axis.to >= largest);
        }
        for largest in [0.0, -1.0, f64::NAN] {
            assert!(!Axis::from_zero(largest).ticks.is_empty());
        }
    }

    #[test]
    fn calls_stand_on_a_logarithmic_axis_when_they_span_much() {
        let axis = Axis::of(&[1.0, 10.0, 1_000.0]);
        assert_eq!(axis.ticks, [1.0, 10.0, 100.0, 1_000.0]);
        assert!((axis.place(1.0)).abs() < 1e-9);
        let step = axis.place(10.0) - axis.place(1.0);
        assert!((axis.place(1_000.0) - axis.place(100.0) - step).abs() < 1e-9);
        assert!(axis.place(1_000.0) > 0.9);
        let narrow = Axis::of(&[100.0, 300.0, 500.0]);
        assert_eq!((narrow.ticks.first(), narrow.ticks.last()), (Some(&0.0), Some(&500.0)));
        assert!((narrow.place(250.0) - 0.5).abs() < 1e-9);
        assert!(!Axis::of(&[]).ticks.is_empty());
    }

    #[test]
    fn labels_have_no_idle_digits() {
        for (value, want) in [
            (0.0, "0"),
            (0.2, "0.2"),
            (0.25, "0.25"),
            (5.0, "5"),
            (1_000.0, "1000"),
            (20_000.0, "20k"),
            (12_500.0, "12.5k"),
        ] {
            assert_eq!(label(value), want);
        }
    }
}
