//! Documents and what is found of them.

use crate::database::{TestDatabase, at, both_databases};
use model::{DocumentId, DocumentState, TenantId};
use store::document_chunks::{self, Chunk, NewChunk, VECTORS_MAX, Words};
use store::documents::{self, Document, DocumentFilter, Indexed, NewDocument, TEXT_BYTES_MAX};
use store::jobs::{self, JobState};
use store::{Error, PageRequest};

fn new<'a>(title: &'a str, text: &'a str) -> NewDocument<'a> {
    NewDocument { collection: "clinic", title, source_url: None, text }
}

fn chunk(text: &str) -> NewChunk {
    NewChunk { heading: "Handbook".to_owned(), text: text.to_owned(), embedding: None }
}

impl TestDatabase {
    async fn document(&self, tenant: TenantId, title: &str, text: &str) -> Result<Document, Error> {
        self.write(tenant, async |tx| documents::create(tx, &new(title, text), at(1)).await).await
    }

    /// Indexed as these pieces.
    async fn indexed(&self, tenant: TenantId, title: &str, pieces: &[NewChunk]) -> Result<DocumentId, Error> {
        let made = self.document(tenant, title, title).await?;
        let done = Indexed { content_hash: made.content_hash, chunks: pieces, embedder: Some("e5"), error: None };
        assert!(self.write(tenant, async |tx| documents::indexed(tx, made.id, &done, at(2)).await).await?);
        Ok(made.id)
    }

    async fn found(&self, tenant: TenantId, query: &str, collections: &[&str]) -> Result<Vec<String>, Error> {
        let collections: Vec<String> = collections.iter().map(|name| (*name).to_owned()).collect();
        self.read(tenant, async |tx| {
            let numbers = document_chunks::find(tx, &Words::of(query), &collections).await?;
            let chunks = document_chunks::read(tx, &numbers).await?;
            let text =
                |number: &i64| chunks.iter().find(|chunk| chunk.number == *number).map(|chunk| chunk.text.clone());
            Ok(numbers.iter().filter_map(text).collect())
        })
        .await
    }
}

both_databases! {
    async fn a_document_is_kept_replaced_indexed_and_forgotten(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let made = db.document(tenant, "Prices", "A filling costs 900.").await?;
        assert_eq!((made.state, made.chunks, made.bytes), (DocumentState::Pending, 0, 20));
        assert_eq!(db.read(tenant, async |tx| documents::text(tx, made.id).await).await?, "A filling costs 900.");
        let done = Indexed { content_hash: made.content_hash, chunks: &[chunk("filling 900")], embedder: None, error: None };
        assert!(db.write(tenant, async |tx| documents::indexed(tx, made.id, &done, at(2)).await).await?);
        let ready = db.read(tenant, async |tx| documents::get(tx, made.id).await).await?;
        assert_eq!((ready.state, ready.chunks, ready.indexed_at), (DocumentState::Ready, 1, Some(at(2))));
        assert_eq!(db.found(tenant, "fillings", &[]).await?, ["filling 900"]);
        // In another collection it is indexed anew, so that nothing says any more that it belongs to the first; so is
        // another text, and the old one is found meanwhile.
        let moved = NewDocument { collection: "other", ..new("Prices", "A filling costs 900.") };
        let moved = db.write(tenant, async |tx| documents::replace(tx, made.id, &moved, at(3)).await).await?;
        assert_eq!((moved.state, moved.collection.as_str(), moved.updated_at), (DocumentState::Pending, "other", at(3)));
        let dearer = new("Prices", "A filling costs 950.");
        let changed = db.write(tenant, async |tx| documents::replace(tx, made.id, &dearer, at(4)).await).await?;
        assert_eq!(changed.state, DocumentState::Pending);
        assert_eq!(db.found(tenant, "filling", &[]).await?, ["filling 900"]);
        // Whoever indexed the old text is too late.
        assert!(!db.write(tenant, async |tx| documents::indexed(tx, made.id, &done, at(5)).await).await?);
        let half = Indexed { content_hash: changed.content_hash, chunks: &[chunk("filling 950")], error: Some("away"), ..done };
        assert!(db.write(tenant, async |tx| documents::indexed(tx, made.id, &half, at(5)).await).await?);
        assert_eq!(db.found(tenant, "filling", &[]).await?, ["filling 950"]);
        let pending = db.read(tenant, async |tx| documents::get(tx, made.id).await).await?;
        assert_eq!((pending.state, pending.error.as_deref()), (DocumentState::Pending, Some("away")));
        db.write(tenant, async |tx| documents::not_indexed(tx, made.id).await).await?;
        let failed = db.read(tenant, async |tx| documents::get(tx, made.id).await).await?;
        assert_eq!((failed.state, failed.error.as_deref()), (DocumentState::Failed, Some("away")));
        let again = db.write(tenant, async |tx| documents::reindex(tx, made.id, at(6)).await).await?;
        assert_eq!((again.state, again.error), (DocumentState::Pending, None));
        db.write(tenant, async |tx| documents::delete(tx, made.id).await).await?;
        assert!(db.found(tenant, "filling", &[]).await?.is_empty());
        assert_eq!(db.number("select count(*) from document_chunks").await, 0);
        let gone = db.write(tenant, async |tx| documents::delete(tx, made.id).await).await;
        assert!(matches!(gone, Err(Error::NotFound)), "{gone:?}");
        Ok(())
    }

    async fn each_text_has_one_job_and_what_is_given_up_says_so(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let made = db.document(tenant, "Prices", "one").await?;
        db.write(tenant, async |tx| documents::reindex(tx, made.id, at(1)).await).await?;
        db.write(tenant, async |tx| documents::replace(tx, made.id, &new("Prices", "two"), at(1)).await).await?;
        let all = db.system(async |tx| jobs::claim(tx, &["default"], "a/1", at(2), chrono::Duration::seconds(9), 9).await);
        let all = all.await?;
        assert_eq!(all.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), [documents::INDEX_JOB; 2]);
        assert!(all.iter().all(|job| job.tenant == Some(tenant) && job.payload["document_id"] == made.id.to_string()));
        db.system(async |tx| {
            assert!(jobs::dead(tx, all[1].id, "a/1", "no", at(3)).await?);
            jobs::given_up(tx, &all[1], at(3)).await
        })
        .await?;
        let failed = db.read(tenant, async |tx| documents::get(tx, made.id).await).await?;
        assert_eq!((failed.state, failed.error.as_deref()), (DocumentState::Failed, Some("it could not be indexed")));
        assert_eq!(db.system(async |tx| jobs::get(tx, all[1].id).await).await?.state, JobState::Dead);
        Ok(())
    }

    async fn hindi_is_found_by_its_words_with_their_marks(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let texts = ["हिंदी में सहायता मिलती है।", "हिंदू कॉलेज के सामने", "फ़ीस १,५०० रुपये है।", "डॉक्टरों की सूची", "दाल", "दिल"];
        db.indexed(tenant, "प्रश्न", &texts.map(chunk)).await?;
        for (query, want) in [
            ("हिंदी", &texts[0..1]),
            ("हिन्दी", &texts[0..1]),
            ("हिँदी?", &texts[0..1]),
            ("हिंदू", &texts[1..2]),
            ("फीस कितनी है", &texts[2..3]),
            ("1500", &texts[2..3]),
            ("डॉक्टर", &texts[3..4]),
            ("दाल", &texts[4..5]),
            ("दिल", &texts[5..6]),
            ("दल", &[]),
            ("हद", &[]),
            ("ह", &[]),
        ] {
            assert_eq!(db.found(tenant, query, &[]).await?, want, "{query}");
        }
        Ok(())
    }

    async fn what_is_asked_is_never_syntax(db) {
        let [ours, theirs] = [db.tenant("+918037091588").await?.id, db.tenant("+918037091599").await?.id];
        db.indexed(ours, "Prices", &[chunk("a filling")]).await?;
        db.indexed(theirs, "Prices", &[chunk("their filling is secret")]).await?;
        let lexeme = format!("t{}", theirs.0.simple());
        for query in [
            "filling\" OR tenant : \"t",
            "filling') | ('secret",
            "secret OR filling",
            "NEAR(filling secret, 5)",
            "filling*^ -secret +x",
            "'; drop table documents; --filling",
            "{tenant words} : filling",
            "filling \\' \\\\ ''",
            "filling\u{2028}&!|<->",
            &format!("\"{lexeme}\" filling"),
            &format!("') | '{lexeme}' & ('filling"),
        ] {
            assert_eq!(db.found(ours, query, &[]).await?, ["a filling"], "{query}");
        }
        for query in ["", " ", "\"", "'", "(", "*", "what is the", "AND", "OR NOT", lexeme.as_str()] {
            let found = db.found(ours, query, &[]).await?;
            assert!(found.is_empty(), "{query}: {found:?}");
        }
        let long = "filling ".repeat(100_000);
        assert_eq!(db.found(ours, &long, &[]).await?, ["a filling"]);
        Ok(())
    }

    async fn nobody_finds_what_is_anothers(db) {
        let [ours, theirs] = [db.tenant("+918037091588").await?.id, db.tenant("+918037091599").await?.id];
        db.indexed(theirs, "Prices", &[NewChunk { embedding: Some(vec![1.0, 0.0]), ..chunk("a filling") }]).await?;
        assert!(db.found(ours, "filling", &[]).await?.is_empty());
        let numbers = db.read(theirs, async |tx| document_chunks::find(tx, &Words::of("filling"), &[]).await).await?;
        assert_eq!(numbers.len(), 1);
        let read: Vec<Chunk> = db.read(ours, async |tx| document_chunks::read(tx, &numbers).await).await?;
        assert!(read.is_empty());
        assert!(db.read(ours, async |tx| document_chunks::vectors(tx, "e5").await).await?.is_empty());
        assert_eq!(db.read(theirs, async |tx| document_chunks::vectors(tx, "e5").await).await?.len(), 1);
        Ok(())
    }

    async fn collections_and_states_are_filters(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        for (collection, text) in [("prices", "filling one"), ("policy", "filling two"), ("faq", "filling three")] {
            let new = NewDocument { collection, ..new(text, text) };
            let made = db.write(tenant, async |tx| documents::create(tx, &new, at(1)).await).await?;
            if collection != "faq" {
                let done = Indexed { content_hash: made.content_hash, chunks: &[chunk(text)], embedder: None, error: None };
                db.write(tenant, async |tx| documents::indexed(tx, made.id, &done, at(2)).await).await?;
            }
        }
        assert_eq!(db.found(tenant, "filling", &[]).await?.len(), 2);
        assert_eq!(db.found(tenant, "filling", &["policy", "none"]).await?, ["filling two"]);
        assert!(db.found(tenant, "filling", &["faq"]).await?.is_empty());
        for (collection, state, count) in [
            (None, None, 3),
            (Some("prices"), None, 1),
            (None, Some(DocumentState::Pending), 1),
            (Some("prices"), Some(DocumentState::Pending), 0),
            (None, Some(DocumentState::Ready), 2),
        ] {
            let filter = DocumentFilter { collection, state };
            let page = db.read(tenant, async |tx| documents::list(tx, &filter, PageRequest::default()).await).await?;
            assert_eq!(page.items.len(), count, "{filter:?}");
        }
        Ok(())
    }

    async fn there_are_limits(db) {
        let tenant = db.tenant("+918037091588").await?.id;
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        let refused = db.document(tenant, "Long", &long).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        let made = db.document(tenant, "Big", &long[1..]).await?;
        db.raw("update documents set bytes = 67108864").await;
        assert!(matches!(db.document(tenant, "One more", "x").await, Err(Error::Conflict(_))));
        // Its own bytes are free when it is replaced.
        db.write(tenant, async |tx| documents::replace(tx, made.id, &new("Big", "small"), at(2)).await).await?;
        db.document(tenant, "One more", "x").await?;
        Ok(())
    }

    async fn a_search_over_two_thousand_pieces_takes_the_index(db) {
        let [ours, theirs] = [db.tenant("+918037091588").await?.id, db.tenant("+918037091599").await?.id];
        let rest = "and what else a page of a handbook has to say of it ".repeat(14);
        for tenant in [ours, theirs] {
            for part in 0..4 {
                let pieces: Vec<NewChunk> = (0..500)
                    .map(|n| NewChunk {
                        embedding: Some(vec![1.0; 8]),
                        ..chunk(&format!("piece{n} of part{part} about topic{} {rest}", n % 50))
                    })
                    .collect();
                db.indexed(tenant, &format!("Part {part}"), &pieces).await?;
            }
        }
        db.raw("analyze").await;
        assert_eq!(db.found(ours, "piece77", &[]).await?.len(), 4);
        let first = db.found(ours, "topic7 piece77 part2", &[]).await?.swap_remove(0);
        assert!(first.starts_with("piece77 of part2 about topic27 "), "{first}");
        assert_eq!(db.found(ours, "piece77 topic3", &["clinic"]).await?.len(), 4 + 40);
        assert_eq!(db.read(ours, async |tx| document_chunks::vectors(tx, "e5").await).await?.len(), VECTORS_MAX as usize);
        let totals = db.read(ours, async |tx| documents::totals(tx).await).await?;
        assert_eq!((totals.documents, totals.chunks), (4, 2_000));
        if !db.is_sqlite() {
            // The plan that was really used, in the role that really asked: its figures are there when it has left.
            db.store.close().await;
            let scans = "select coalesce(sum(idx_scan), 0)::bigint from pg_stat_user_indexes
                where indexrelname = 'document_chunks_words'";
            let mut looks = 0;
            while db.number(scans).await < 3 && looks < 100 {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                looks += 1;
            }
            assert!(db.number(scans).await >= 3);
        }
        Ok(())
    }
}
