//! Two texts, word by word: what is in both, and what is in one of them only.

/// Most pairs of words that are compared; beyond it the texts count as wholly different. Two answers of 1000 words.
const PAIRS_MAX: usize = 1_000_000;

/// A run of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// In both.
    Both,
    /// Only in the old text.
    Old,
    /// Only in the new text.
    New,
}

/// The texts as runs of words, in order.
pub(super) fn compare(old: &str, new: &str) -> Vec<(Side, String)> {
    let old: Vec<&str> = old.split_whitespace().collect();
    let new: Vec<&str> = new.split_whitespace().collect();
    let mut runs: Vec<(Side, String)> = Vec::new();
    let mut push = |side: Side, word: &str| match runs.last_mut() {
        Some((last, text)) if *last == side => {
            text.push(' ');
            text.push_str(word);
        }
        Some(_) | None => runs.push((side, word.to_owned())),
    };
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        old.iter().for_each(|word| push(Side::Old, word));
        new.iter().for_each(|word| push(Side::New, word));
        return runs;
    }
    let common = common(&old, &new);
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (old.get(i), new.get(j)) {
        if alike(a, b) {
            push(Side::Both, b);
            (i, j) = (i + 1, j + 1);
        } else if length(&common, i + 1, j) >= length(&common, i, j + 1) {
            push(Side::Old, a);
            i += 1;
        } else {
            push(Side::New, b);
            j += 1;
        }
    }
    old.iter().skip(i).for_each(|word| push(Side::Old, word));
    new.iter().skip(j).for_each(|word| push(Side::New, word));
    runs
}

fn alike(a: &str, b: &str) -> bool {
    a == b
}

fn length(common: &[Vec<u32>], i: usize, j: usize) -> u32 {
    common.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0)
}

/// For every pair of places: how many words the rests have in common, in order.
fn common(old: &[&str], new: &[&str]) -> Vec<Vec<u32>> {
    let mut table = vec![vec![0u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            let value = if alike(old[i], new[j]) {
                length(&table, i + 1, j + 1) + 1
            } else {
                length(&table, i + 1, j).max(length(&table, i, j + 1))
            };
            table[i][j] = value;
        }
    }
    table
}

/// One side of the comparison, with what is only there in marks.
pub(super) fn marked(runs: &[(Side, String)], side: Side, open: &str, close: &str) -> String {
    let parts: Vec<String> = runs
        .iter()
        .filter(|(of, _)| *of == Side::Both || *of == side)
        .map(|(of, text)| if *of == side { format!("{open}{text}{close}") } else { text.clone() })
        .collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_marked() {
        for (old, new, was, now) in [
            ("a b c", "a b c", "a b c", "a b c"),
            ("a b c", "a x c", "a [b] c", "a {x} c"),
            ("a b", "a b c d", "a b", "a b {c d}"),
            ("a b c d", "d", "[a b c] d", "d"),
            ("", "a", "", "{a}"),
            ("a", "", "[a]", ""),
            ("एक दो", "एक तीन", "एक [दो]", "एक {तीन}"),
        ] {
            let runs = compare(old, new);
            assert_eq!(marked(&runs, Side::Old, "[", "]"), was, "{old} / {new}");
            assert_eq!(marked(&runs, Side::New, "{", "}"), now, "{old} / {new}");
        }
    }

    #[test]
    fn very_long_texts_are_different_as_a_whole() {
        let (old, new) = ("a ".repeat(2_000), "a ".repeat(2_001));
        assert_eq!(compare(&old, &new).len(), 2);
    }
}
