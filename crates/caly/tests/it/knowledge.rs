//! Documents from outside: uploaded, found, forgotten; on both databases, by words alone and with an embedding service.

use crate::account::{NO_LIMITS, Person, ask};
use crate::place::{Place, both_databases, eventually};
use crate::program::Server;
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::vendors::embeddings::{EMBEDDINGS_KEY, EMBEDDINGS_MODEL, FakeEmbeddings};

/// A document is indexed within this time, whatever else the machine does.
const INDEXED_WITHIN: Duration = Duration::from_secs(30);
/// Questions of [`QUESTIONS`] that words alone must answer.
const RIGHT_MIN: usize = 27;

const PRICES: &str = "# Consultation

First consultation with a dentist costs ₹500 and takes twenty minutes. A follow-up visit within seven days is free.

# Treatments

| Treatment | Price | Visits |
|---|---|---|
| Teeth cleaning (scaling) | ₹1,200 | 1 |
| Composite filling | ₹900 | 1 |
| Root canal, front tooth | ₹3,500 | 2 |
| Root canal, molar | ₹4,500 | 3 |
| Zirconia crown | ₹8,000 | 2 |
| Wisdom tooth extraction | ₹5,000 | 1 |
| Teeth whitening | ₹6,500 | 1 |

# Braces

Metal braces cost ₹35,000 for the whole treatment, ceramic braces ₹48,000. Clear aligners begin at ₹1,10,000. You can \
pay in twelve monthly instalments without interest.

# X-ray

A single X-ray is ₹200. A full-mouth X-ray (OPG) is ₹600 and the picture is sent to you by e-mail.

# Insurance

We accept cashless claims of Star Health and HDFC Ergo. Bring your insurance card and a photo identity document.
";

const FAQ: &str = "# समय

क्लिनिक सोमवार से शनिवार सुबह नौ बजे से शाम सात बजे तक खुला रहता है। रविवार को क्लिनिक बंद रहता है।

# पता

हमारा क्लिनिक एमजी रोड पर मेट्रो स्टेशन के सामने दूसरी मंज़िल पर है। लिफ्ट की सुविधा है।

# पार्किंग

इमारत के पीछे गाड़ी खड़ी करने की जगह है। पार्किंग मुफ़्त है।

# दर्द

रूट कैनाल में दर्द नहीं होता, क्योंकि पहले सुन्न करने का इंजेक्शन दिया जाता है।

# बच्चे

बच्चों के दाँतों के लिए अलग डॉक्टर हैं। डॉ. मीरा बच्चों को मंगलवार और गुरुवार को देखती हैं।

# भुगतान

आप नकद, कार्ड या यूपीआई से भुगतान कर सकते हैं। किस्तों की सुविधा केवल ब्रेसेस के लिए है।

# भाषा

हमारे डॉक्टर हिंदी, अंग्रेज़ी और कन्नड़ बोलते हैं।

# गर्भावस्था

गर्भवती महिलाओं का एक्स-रे नहीं किया जाता। इलाज से पहले डॉक्टर को ज़रूर बताएँ।
";

const POLICY: &str = "Cancellation
============

Cancel or move an appointment at least four hours before it begins. After that a fee of ₹250 is added to the next bill.

Late arrival
------------

If you come more than fifteen minutes late, we may have to give your slot to the next patient.

Refunds
-------

Advance payments are refunded to the same card or account within seven working days.

Privacy
=======

Your medical records are kept for three years. Nobody outside the clinic sees them without your written consent.

Emergencies
===========

For bleeding that does not stop, swelling of the face or a knocked-out tooth call 98450 12345 at any hour, also at \
night.

Medicines
=========

- Take antibiotics for all the days that the doctor wrote down.
- Do not take aspirin before an extraction.
- Tell us about allergies to penicillin.

Complaints
==========

Write to care@sunrise.example.org. The manager answers within two working days.
";

/// What a caller asks, and what the first passage must say.
const QUESTIONS: &[(&str, &str)] = &[
    ("How much is a first consultation?", "₹500"),
    ("Is the follow-up visit free?", "follow-up visit within seven days is free"),
    ("what does root canal for a molar cost", "Root canal, molar | ₹4,500"),
    ("price of teeth cleaning please", "Teeth cleaning (scaling) | ₹1,200"),
    ("How much do you charge for a filling?", "Composite filling | ₹900"),
    ("I need a crown, what will it cost?", "Zirconia crown"),
    ("wisdom tooth extraction price", "Wisdom tooth extraction"),
    ("Do you do whitening?", "Teeth whitening"),
    ("how much are metal braces", "Metal braces cost ₹35,000"),
    ("Can I pay for the aligners in instalments?", "twelve monthly instalments"),
    ("What is the price of an X-ray?", "single X-ray is ₹200"),
    ("do you take Star Health insurance", "Star Health"),
    ("Which documents do I bring for the insurance claim?", "insurance card"),
    ("क्लिनिक कब खुलता है, समय क्या है?", "सोमवार से शनिवार"),
    ("क्या रविवार को क्लिनिक खुला है?", "रविवार को क्लिनिक बंद"),
    ("आपका पता क्या है?", "एमजी रोड"),
    ("क्या लिफ्ट है?", "लिफ्ट की सुविधा"),
    ("गाड़ी की पार्किंग कहाँ है", "पार्किंग मुफ़्त"),
    ("क्या रूट कैनाल में दर्द होता है?", "सुन्न करने का इंजेक्शन"),
    ("बच्चों के डॉक्टर कौन से दिन आते हैं", "मंगलवार और गुरुवार"),
    ("क्या यूपीआई से भुगतान कर सकते हैं?", "यूपीआई"),
    ("डॉक्टर कौन सी भाषा बोलते हैं", "हिंदी, अंग्रेज़ी और कन्नड़"),
    ("मैं गर्भवती हूँ, क्या एक्स-रे होगा?", "गर्भवती महिलाओं"),
    ("How do I cancel my appointment?", "at least four hours before"),
    ("I will be twenty minutes late", "fifteen minutes late"),
    ("When do I get my refund?", "seven working days"),
    ("How long do you keep my medical records?", "three years"),
    ("My gum is bleeding and does not stop", "98450 12345"),
    ("Can I take aspirin before the extraction?", "Do not take aspirin"),
    ("I want to make a complaint", "care@sunrise.example.org"),
];

async fn upload(server: &Server, person: &Person, title: &str, collection: &str, text: &str) -> String {
    let body = json!({ "title": title, "collection": collection, "text": text });
    person.make(server, "/api/documents", body).await
}

async fn indexed(server: &Server, person: &Person, id: &str) -> Value {
    let path = format!("/api/documents/{id}");
    eventually("the document is indexed", INDEXED_WITHIN, async || {
        let answer = person.get(server, &path).await;
        (answer.body["state"] == "ready").then_some(answer.body)
    })
    .await
}

async fn found(server: &Server, person: &Person, body: Value) -> Vec<Value> {
    let answer = person.post(server, "/api/documents/search", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["items"].as_array().expect("a list").clone()
}

both_databases! {
    async fn three_documents_answer_thirty_questions(place) {
        let server = Server::start(place, &[NO_LIMITS]).await;
        let asha = Person::sign_up(&server, place, "asha").await;
        let mut ids = Vec::new();
        for (title, collection, text) in
            [("Price list", "prices", PRICES), ("अक्सर पूछे जाने वाले सवाल", "faq", FAQ), ("Clinic policy", "policy", POLICY)]
        {
            ids.push(upload(&server, &asha, title, collection, text).await);
        }
        for id in &ids {
            let document = indexed(&server, &asha, id).await;
            assert!(document["chunks"].as_u64().is_some_and(|chunks| chunks >= 5), "{document}");
            assert_eq!((&document["error"], &document["embedder"]), (&Value::Null, &Value::Null));
        }
        let mut wrong = Vec::new();
        for (question, answer) in QUESTIONS {
            let items = found(&server, &asha, json!({ "query": question, "limit": 3 })).await;
            let first = items.first().and_then(|item| item["text"].as_str()).unwrap_or_default();
            if !first.contains(answer) {
                wrong.push(format!("{question}: {first}"));
            }
        }
        assert_eq!(QUESTIONS.len(), 30);
        assert!(QUESTIONS.len() - wrong.len() >= RIGHT_MIN, "{wrong:#?}");

        // Collections, and what is no word.
        let asked = json!({ "query": "root canal", "collections": ["faq"] });
        let items = found(&server, &asha, asked).await;
        assert!(items.iter().all(|item| item["collection"] == "faq"), "{items:?}");
        for query in ["\" OR words : *", "') | ('x", "?!", "what is the"] {
            found(&server, &asha, json!({ "query": query })).await;
        }

        // Nobody else finds it.
        let sara = Person::sign_up(&server, place, "sara").await;
        for (question, _) in QUESTIONS.iter().take(5) {
            assert!(found(&server, &sara, json!({ "query": question })).await.is_empty(), "{question}");
        }

        // What is deleted is forgotten at once.
        let asked = json!({ "query": "price of a zirconia crown", "limit": 20 });
        assert!(found(&server, &asha, asked.clone()).await.iter().any(|item| item["document_id"] == ids[0].as_str()));
        let path = format!("/api/documents/{}", ids[0]);
        assert_eq!(ask(&server, Method::DELETE, &path, Some(&asha.access), None).await.status, 204);
        assert!(found(&server, &asha, asked).await.iter().all(|item| item["document_id"] != ids[0].as_str()));
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_embedding_service_the_meaning_is_found_and_without_it_the_words() {
    let fake =
        FakeEmbeddings::start(&[&["automobile", "car", "गाड़ी", "vehicle"], &["dog", "puppy"]]).await.expect("a port");
    let place = Place::sqlite();
    let url = fake.url();
    let settings = [
        NO_LIMITS,
        ("CALY_EMBEDDING_URL", url.as_str()),
        ("CALY_EMBEDDING_MODEL", EMBEDDINGS_MODEL),
        ("CALY_EMBEDDING_KEY", EMBEDDINGS_KEY),
    ];
    let server = Server::start(&place, &settings).await;
    let asha = Person::sign_up(&server, &place, "asha").await;
    let text = "# A\nLeave your automobile behind the building.\n# B\nA puppy may come along.\n# C\nBring a pen.";
    let id = upload(&server, &asha, "House rules", "rules", text).await;
    let document = indexed(&server, &asha, &id).await;
    assert!(document["embedder"].as_str().is_some_and(|name| name.starts_with(EMBEDDINGS_MODEL)), "{document}");
    for (question, answer) in [("where is my गाड़ी", "automobile"), ("dog", "puppy"), ("a pen", "pen")] {
        let items = found(&server, &asha, json!({ "query": question })).await;
        assert!(items[0]["text"].as_str().is_some_and(|text| text.contains(answer)), "{question}: {items:?}");
    }
    // A deleted one is forgotten although its vectors are in memory.
    let path = format!("/api/documents/{id}");
    assert_eq!(ask(&server, Method::DELETE, &path, Some(&asha.access), None).await.status, 204);
    assert!(found(&server, &asha, json!({ "query": "dog" })).await.is_empty());
    // The service is away: words go on.
    let id = upload(&server, &asha, "House rules", "rules", text).await;
    indexed(&server, &asha, &id).await;
    drop(fake);
    let items = found(&server, &asha, json!({ "query": "puppy" })).await;
    assert!(items[0]["text"].as_str().is_some_and(|text| text.contains("puppy")), "{items:?}");
    server.stop().await;
}
