//! The rules as tables. A new room, edge or exception is a line here and a line in ARCHITECTURE.md; `architecture.rs`
//! holds the two together.

/// A room and the rooms it may import, by normal or build dependency.
pub(super) struct Room {
    pub(super) name: &'static str,
    pub(super) may_import: &'static [&'static str],
    /// No I/O, no clock, no randomness: see [`IMPURE`].
    pub(super) pure: bool,
}

const fn pure(name: &'static str, may_import: &'static [&'static str]) -> Room {
    Room { name, may_import, pure: true }
}

const fn doing(name: &'static str, may_import: &'static [&'static str]) -> Room {
    Room { name, may_import, pure: false }
}

/// Every room. Tests may import what they like, except `xtask`.
pub(super) const ROOMS: &[Room] = &[
    pure("model", &[]),
    pure("audio", &[]),
    pure("language", &[]),
    pure("wire", &["audio", "model"]),
    pure("call", &["audio", "language", "model"]),
    doing("providers", &["audio", "language", "model", "wire"]),
    doing("identity", &["model"]),
    doing("limiter", &["model"]),
    doing("store", &["model"]),
    doing("jobs", &["audio", "identity", "language", "model", "providers", "store", "wire"]),
    doing("switchboard", &["audio", "call", "model", "providers", "store", "wire"]),
    doing("api", &["identity", "limiter", "model", "store", "wire"]),
    doing(
        "caly",
        &[
            "api",
            "audio",
            "call",
            "identity",
            "jobs",
            "language",
            "limiter",
            "model",
            "providers",
            "store",
            "switchboard",
            "testkit",
            "wire",
        ],
    ),
    doing("testkit", &["audio", "language", "model", "wire"]),
    doing("xtask", &[]),
];

/// What a pure room must not carry, directly or through another crate.
pub(super) const IMPURE: &[&str] = &["tokio", "axum", "hyper", "sqlx", "reqwest", "rand", "getrandom", "object_store"];

/// A crate of others that only some rooms may depend on.
pub(super) struct Reserved {
    pub(super) dependency: &'static str,
    pub(super) rooms: &'static [&'static str],
    pub(super) remedy: &'static str,
}

pub(super) const RESERVED: &[Reserved] = &[
    Reserved { dependency: "sqlx", rooms: &["store"], remedy: "only `store` holds SQL; add a verb there" },
    Reserved {
        dependency: "axum",
        rooms: &["api", "switchboard", "caly", "testkit"],
        remedy: "only the edges know HTTP; hand in plain values",
    },
];

/// A path that only some rooms may use outside their tests.
pub(super) struct ReservedPath {
    pub(super) path: &'static str,
    pub(super) rooms: &'static [&'static str],
    pub(super) remedy: &'static str,
}

pub(super) const RESERVED_PATHS: &[ReservedPath] = &[
    ReservedPath { path: "sqlx::", rooms: &["store"], remedy: "only `store` holds SQL; add a verb there" },
    ReservedPath {
        path: "env::",
        rooms: &["caly", "xtask"],
        remedy: "only `caly` reads the environment; take the value as a parameter",
    },
];

/// Lines of a source file, tests not counted, that call for a split soon.
pub(super) const FILE_LINES_AIM: usize = 300;
/// Lines of a source file, tests not counted, that are too many: nobody holds more in the head.
pub(super) const FILE_LINES_MAX: usize = 600;

/// File and module names that say nothing about what is inside.
pub(super) const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

/// Marks of unfinished work. Spelt in halves, so that this file passes its own check.
pub(super) const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
