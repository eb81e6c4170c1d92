//! The tree is tidy, and tidy would say so if it were not: every check fails on a small tree broken in that one way.

mod broken_tree;

use broken_tree::BrokenTree;
use xtask::tidy::{own_root, tidy};

#[test]
fn this_tree_is_tidy() {
    let report = tidy(&own_root()).expect("the tree can be read");
    assert!(report.errors.is_empty(), "\n{}", report.lines(false));
    assert!(report.rooms >= 13, "only {} rooms were looked at", report.rooms);
    assert!(report.files > 50, "only {} files were looked at", report.files);
}

#[test]
fn the_small_tree_is_tidy_before_it_is_broken() {
    let report = tidy(BrokenTree::new().root()).expect("the tree can be read");
    assert!(report.errors.is_empty() && report.warnings.is_empty(), "\n{}", report.lines(false));
    assert_eq!(report.lines(false), "tidy: 0 errors, 0 warnings in 3 rooms, 10 files\n");
    assert!(report.lines(true).starts_with("\u{1b}[32mtidy\u{1b}[0m: 0 errors"), "{}", report.lines(true));
}

/// Breaks a small tree, and expects exactly these lines, each the beginning of a finding.
fn expect(break_it: impl FnOnce(&mut BrokenTree), findings: &[&str]) {
    let mut tree = BrokenTree::new();
    break_it(&mut tree);
    let report = tidy(tree.root()).expect("the tree can be read");
    let lines: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), findings.len(), "{lines:#?}");
    for (line, finding) in lines.iter().zip(findings) {
        assert!(line.starts_with(finding), "{line}\ndoes not begin with\n{finding}");
    }
}

#[test]
fn a_room_may_not_import_upwards() {
    expect(
        |tree| tree.add_dependency("model", "store = { path = \"../store\" }"),
        &["crates/model/Cargo.toml:11: `model` imports `store`: it may import nothing of ours"],
    );
}

#[test]
fn a_build_dependency_counts_as_an_import() {
    expect(
        |tree| tree.append("crates/store/Cargo.toml", "[build-dependencies]\ncall = { path = \"../call\" }\n"),
        &["crates/store/Cargo.toml:11: `store` imports `call`: it may import model"],
    );
}

#[test]
fn tests_may_import_what_they_like() {
    expect(|tree| tree.append("crates/call/Cargo.toml", "[dev-dependencies]\nstore = { path = \"../store\" }\n"), &[]);
}

#[test]
fn a_pure_room_carries_no_runtime() {
    expect(
        |tree| tree.add_dependency("call", "tokio = { path = \"../../../vendor/tokio\" }"),
        &["crates/call/Cargo.toml:11: pure room `call` carries `tokio`: no I/O"],
    );
}

#[test]
fn a_pure_room_carries_no_runtime_through_another_crate() {
    expect(
        |tree| tree.add_dependency("call", "innocent = { path = \"../../../vendor/innocent\" }"),
        &["crates/call/Cargo.toml:11: pure room `call` carries innocent -> tokio: turn the feature off"],
    );
}

#[test]
fn a_doing_room_may_carry_a_runtime() {
    expect(|tree| tree.add_dependency("store", "tokio = { path = \"../../../vendor/tokio\" }"), &[]);
}

#[test]
fn http_stays_at_the_edges() {
    expect(
        |tree| tree.add_dependency("store", "axum = { path = \"../../../vendor/axum\" }"),
        &["crates/store/Cargo.toml:11: `store` depends on `axum`: only the edges know HTTP"],
    );
}

#[test]
fn a_room_without_a_rule_is_refused() {
    expect(
        |tree| {
            tree.add_room("billing", "billing");
            tree.edit("ARCHITECTURE.md", "<!-- /rooms -->", "| `billing` | | bills |\n<!-- /rooms -->");
        },
        &["crates/billing/Cargo.toml:1: no rule for the room `billing`: add it to"],
    );
}

#[test]
fn a_crate_bears_the_name_of_its_folder() {
    expect(
        |tree| {
            tree.add_room("sound", "audio");
            tree.edit("ARCHITECTURE.md", "<!-- /rooms -->", "| `audio` | | sound |\n<!-- /rooms -->");
        },
        &["crates/sound/Cargo.toml:1: crate `audio` lives in `crates/sound`: folder name = crate name"],
    );
}

#[test]
fn a_room_keeps_the_lints_of_the_workspace() {
    expect(
        |tree| tree.edit("crates/call/Cargo.toml", "[lints]\nworkspace = true\n", ""),
        &["crates/call/Cargo.toml:1: workspace lints are off: add `[lints]`"],
    );
}

#[test]
fn a_file_has_at_most_six_hundred_lines_without_tests() {
    let lines = |count: usize| "// filler\n".repeat(count);
    expect(
        |tree| tree.append("crates/call/src/lib.rs", &lines(600)),
        &["crates/call/src/lib.rs:1: 601 lines without tests: split it; at most 600"],
    );
    expect(
        |tree| {
            tree.append("crates/call/src/lib.rs", &format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(700)));
            tree.write("crates/call/tests/it/main.rs", &lines(700));
        },
        &[],
    );
}

#[test]
fn a_long_file_is_warned_about() {
    let mut tree = BrokenTree::new();
    tree.append("crates/call/src/lib.rs", &"// filler\n".repeat(300));
    let report = tidy(tree.root()).expect("the tree can be read");
    assert!(report.errors.is_empty(), "{}", report.lines(false));
    let warnings: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings, ["crates/call/src/lib.rs:1: 301 lines without tests: aim at 300"]);
}

#[test]
fn sql_stays_in_the_store() {
    expect(
        |tree| {
            tree.append("crates/call/src/lib.rs", "fn q() { sqlx::query(\"select 1\"); }\n");
            tree.append("crates/store/src/lib.rs", "fn q() { sqlx::query(\"select 1\"); }\n");
            tree.write("crates/call/src/calls.sql", "select 1;\n");
        },
        &[
            "crates/call/src/calls.sql:1: SQL outside the store: only `store`",
            "crates/call/src/lib.rs:2: `sqlx::` in `call`: only `store` holds SQL",
        ],
    );
}

#[test]
fn only_the_binary_reads_the_environment() {
    expect(
        |tree| tree.append("crates/call/src/lib.rs", "use std::env;\nfn home() { env::var(\"HOME\"); }\n"),
        &["crates/call/src/lib.rs:3: `env::` in `call`: only `caly` reads the environment"],
    );
}

#[test]
fn comments_texts_and_tests_may_name_what_code_may_not() {
    expect(
        |tree| {
            let code = "// not sqlx::query\nconst T: &str = \"env::var\";\n#[cfg(test)]\nmod tests {\n    use std::env::var;\n}\n";
            tree.append("crates/call/src/lib.rs", code);
        },
        &[],
    );
}

#[test]
fn a_crate_says_in_its_first_line_what_it_is() {
    expect(
        |tree| tree.write("crates/call/src/lib.rs", "pub fn f() {}\n"),
        &["crates/call/src/lib.rs:1: no first line: begin with `//!`"],
    );
}

#[test]
fn unfinished_work_is_not_left_as_a_mark() {
    let mark = concat!("TO", "DO");
    expect(
        |tree| {
            tree.append("crates/call/src/lib.rs", &format!("// {mark}: later\n"));
            tree.append("ARCHITECTURE.md", &format!("{mark}\n"));
        },
        &[
            &format!("ARCHITECTURE.md:10: `{mark}`: finish it"),
            &format!("crates/call/src/lib.rs:2: `{mark}`: finish it"),
        ],
    );
}

#[test]
fn a_name_says_what_is_inside() {
    expect(
        |tree| {
            tree.write("crates/call/src/utils.rs", "//! This and that.\n");
            tree.append("crates/store/src/lib.rs", "pub mod helpers {}\n");
        },
        &[
            "crates/call/src/utils.rs:1: the name `utils` says nothing",
            "crates/store/src/lib.rs:2: the name `helpers` says nothing",
        ],
    );
}

#[test]
fn a_migration_has_its_way_back() {
    expect(
        |tree| {
            tree.write("migrations/0002_agents.up.sql", "select 1;\n");
            tree.write("migrations/0003_calls.down.sql", "select 1;\n");
        },
        &[
            "migrations/0002_agents.up.sql:1: no way back: write migrations/0002_agents.down.sql",
            "migrations/0003_calls.down.sql:1: a way back from nowhere: write migrations/0003_calls.up.sql",
        ],
    );
}

#[test]
fn the_list_of_rooms_is_the_tree() {
    expect(
        |tree| tree.edit("ARCHITECTURE.md", "| `store` | model | SQL |\n", "| `attic` | | old things |\n"),
        &["ARCHITECTURE.md:3: the room `store` is missing", "ARCHITECTURE.md:8: there is no room `attic`"],
    );
    expect(
        |tree| tree.edit("ARCHITECTURE.md", "| `store` | model | SQL |", "| `store` | call, model | SQL |"),
        &["ARCHITECTURE.md:8: `store` is said to import \"call, model\": the rule says \"model\""],
    );
    expect(|tree| tree.remove("ARCHITECTURE.md"), &["ARCHITECTURE.md:1: missing: write it"]);
    expect(
        |tree| tree.edit("ARCHITECTURE.md", "<!-- /rooms -->", ""),
        &["ARCHITECTURE.md:1: no list of rooms: put the table"],
    );
}

#[test]
fn a_link_leads_somewhere() {
    expect(
        |tree| tree.write("docs/a.md", "[up](../ARCHITECTURE.md#rooms)\n[gone](b.md)\n"),
        &["docs/a.md:2: the link to `b.md` leads nowhere"],
    );
}

#[test]
fn what_is_no_workspace_is_an_error() {
    let mut tree = BrokenTree::new();
    tree.remove("Cargo.toml");
    assert!(tidy(tree.root()).is_err());
}
