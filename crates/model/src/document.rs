//! Documents that agents look things up in.

use crate::words::words;

words! {
    /// Where a document stands.
    DocumentState {
        /// Its text is not in the index yet, or not all of it.
        Pending = "pending",
        /// Agents find what it says.
        Ready = "ready",
        /// Indexing was given up; what was indexed before is still found.
        Failed = "failed",
    }
}
