//! Names under which a language model is offered the tools of MCP servers.

use super::repeats::hex;
use sha2::{Digest, Sha256};

/// Longest name that all models take.
const NAME_CHARS_MAX: usize = 64;
/// Bytes of the hash at the end of a name that had to be cut.
const HASH_BYTES: usize = 4;

/// `SERVER_TOOL` in letters, digits, `_` and `-`; with a hash at its end when it is too long or `is_taken`.
pub(super) fn offered(server: &str, tool: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let whole = format!("{server}_{tool}");
    let plain: String =
        whole.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect();
    if plain.len() <= NAME_CHARS_MAX && !is_taken(&plain) {
        return plain;
    }
    let hash = hex(&Sha256::digest(whole.as_bytes())[..HASH_BYTES]);
    format!("{}_{hash}", &plain[..plain.len().min(NAME_CHARS_MAX - 2 * HASH_BYTES - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay_apart() {
        let free = |_: &str| false;
        assert_eq!(offered("crm", "find", free), "crm_find");
        assert_eq!(offered("crm", "admin.tools/list", free), "crm_admin_tools_list");
        assert_eq!(offered("crm", "खोज", free), "crm____");
        let long = [offered("crm", &"a".repeat(128), free), offered("crm", &format!("{}b", "a".repeat(127)), free)];
        assert!(long.iter().all(|name| name.len() == 64) && long[0] != long[1], "{long:?}");
        let taken = offered("crm", "find", |name| name == "crm_find");
        assert!(taken.starts_with("crm_find_") && taken.len() == "crm_find_".len() + 8, "{taken}");
        assert_ne!(offered("crm", "a.b", |_| true), offered("crm", "a_b", |_| true));
    }
}
