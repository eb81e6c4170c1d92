use super::{http, key, nobody};
use providers::ErrorKind;
use providers::embedding::{EmbeddingSettings, INPUTS_MAX, OpenAiEmbedder, TEXT_BYTES_MAX};
use providers::recall::Embedder;
use std::time::Duration;
use testkit::vendors::embeddings::{
    EMBEDDINGS_DIMENSIONS, EMBEDDINGS_KEY, EMBEDDINGS_MODEL, EmbeddingFault, FakeEmbeddings,
};

async fn fake() -> FakeEmbeddings {
    FakeEmbeddings::start(&[&["tooth", "दाँत"], &["car"]]).await.expect("a free port")
}

fn settings(url: &str) -> EmbeddingSettings {
    EmbeddingSettings {
        timeout: Duration::from_millis(500),
        ..EmbeddingSettings::new(url, EMBEDDINGS_MODEL, Some(key(EMBEDDINGS_KEY)))
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn vectors_have_length_one_and_the_order_of_the_texts() {
    let fake = fake().await;
    let embedder = OpenAiEmbedder::new(http(), settings(&format!("{}/", fake.url())));
    assert_eq!(embedder.name(), format!("{EMBEDDINGS_MODEL} at {}", fake.url()));
    assert_eq!(embedder.dimensions(), 0);
    for fault in [None, Some(EmbeddingFault::Shuffled)] {
        if let Some(fault) = fault {
            fake.break_it(fault, 1);
        }
        let vectors = embedder.embed(&texts(&["tooth", "car", "दाँत"])).await.expect("vectors");
        assert!(vectors.iter().all(|vector| (cosine(vector, vector) - 1.0).abs() < 1e-4));
        assert!(cosine(&vectors[0], &vectors[2]) > 0.9 && cosine(&vectors[0], &vectors[1]) < 0.1);
    }
    assert_eq!(embedder.dimensions(), EMBEDDINGS_DIMENSIONS);
    assert!(embedder.embed(&[]).await.expect("none").is_empty());
    assert_eq!((fake.requests(), fake.refused()), (2, 0));
}

#[tokio::test]
async fn many_texts_are_sent_in_batches_and_long_ones_cut() {
    let fake = fake().await;
    let embedder = OpenAiEmbedder::new(http(), settings(&fake.url()));
    let many: Vec<String> = (0..2 * INPUTS_MAX + 1).map(|n| format!("text {n}")).collect();
    assert_eq!(embedder.embed(&many).await.expect("vectors").len(), many.len());
    assert_eq!((fake.requests(), fake.inputs()), (3, many));
    let long = "अ".repeat(TEXT_BYTES_MAX);
    embedder.embed(&[long]).await.expect("a vector");
    assert_eq!(fake.inputs().last().map(String::len), Some(TEXT_BYTES_MAX - TEXT_BYTES_MAX % 3));
}

#[tokio::test]
async fn every_failure_has_its_kind() {
    let fake = fake().await;
    let embedder = OpenAiEmbedder::new(http(), settings(&fake.url()));
    embedder.embed(&texts(&["tooth"])).await.expect("a vector");
    for (fault, kind) in [
        (EmbeddingFault::Status(401), ErrorKind::Unauthorized),
        (EmbeddingFault::Status(429), ErrorKind::Overloaded),
        (EmbeddingFault::Status(500), ErrorKind::Unavailable),
        (EmbeddingFault::Status(400), ErrorKind::Rejected),
        (EmbeddingFault::Hang, ErrorKind::TimedOut),
        (EmbeddingFault::Html, ErrorKind::Protocol),
        (EmbeddingFault::Malformed, ErrorKind::Protocol),
        (EmbeddingFault::Short, ErrorKind::Protocol),
        (EmbeddingFault::Twice, ErrorKind::Protocol),
        (EmbeddingFault::OtherDimensions, ErrorKind::Protocol),
        (EmbeddingFault::Zero, ErrorKind::Protocol),
        (EmbeddingFault::Endless, ErrorKind::Protocol),
    ] {
        fake.break_it(fault, 1);
        let error = embedder.embed(&texts(&["secret tooth", "car"])).await.expect_err("fails");
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains(EMBEDDINGS_KEY), "{error}");
    }
    embedder.embed(&texts(&["tooth"])).await.expect("well again");
}

#[tokio::test]
async fn a_wrong_key_a_wrong_model_and_nobody_are_told_apart() {
    let fake = fake().await;
    let wrong = |settings: EmbeddingSettings| async move {
        OpenAiEmbedder::new(http(), settings).embed(&texts(&["x"])).await.expect_err("fails").kind
    };
    let right = settings(&fake.url());
    assert_eq!(wrong(EmbeddingSettings { key: Some(key("other")), ..right.clone() }).await, ErrorKind::Unauthorized);
    assert_eq!(wrong(EmbeddingSettings { key: None, ..right.clone() }).await, ErrorKind::Unauthorized);
    assert_eq!(wrong(EmbeddingSettings { key: Some(key("a\nb")), ..right.clone() }).await, ErrorKind::Unauthorized);
    assert_eq!(wrong(EmbeddingSettings { model: "other".to_owned(), ..right.clone() }).await, ErrorKind::Rejected);
    assert_eq!(
        wrong(EmbeddingSettings { base_url: format!("http://{}/v1", nobody()), ..right }).await,
        ErrorKind::Unavailable
    );
    assert_eq!(fake.requests(), 0);
}
