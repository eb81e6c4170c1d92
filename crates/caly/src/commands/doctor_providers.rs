//! `caly doctor providers`: each vendor that a key is set for, asked the cheapest question there is.

use crate::config::Config;
use crate::services;
use crate::terminal::say;
use crate::vendors::VendorClients;
use providers::Error;
use providers::anthropic::{AnthropicModel, AnthropicSettings};
use providers::openai::{ModelSettings, OpenAiModel};
use std::process::ExitCode;
use std::time::Instant;

/// Asks them one after the other, so that their times say something.
///
/// # Errors
/// When no client can be made. What a vendor says is printed, and makes the exit status 1 when it is a refusal.
pub(crate) async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let http = services::http()?;
    let mut asked = Asked::default();
    for (name, question) in VendorClients::checks(config, &http) {
        asked.ask(&name, question).await;
    }
    if let Some(key) = config.vendors.anthropic.key.clone() {
        let mut settings = AnthropicSettings::new("", Some(key));
        if let Some(url) = &config.vendors.anthropic.url {
            settings.base_url.clone_from(url);
        }
        asked.ask("anthropic", AnthropicModel::new(http.clone(), settings).check()).await;
    }
    if let Some(key) = config.openai_key.clone() {
        let model = OpenAiModel::new(http, ModelSettings::new("", Some(key)));
        asked.ask("openai, language models", model.check()).await;
    }
    if asked.all == 0 {
        say("No vendor has a key here; the built-in models need none. `caly check-config --list` names the keys.");
    }
    Ok(if asked.refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Default)]
struct Asked {
    all: u32,
    refused: u32,
}

impl Asked {
    async fn ask(&mut self, name: &str, question: impl Future<Output = Result<(), Error>>) {
        self.all += 1;
        let begun = Instant::now();
        let answer = question.await;
        let took_ms = begun.elapsed().as_millis();
        match answer {
            Ok(()) => say(format!("ok       {name}: answered after {took_ms} ms, connection included")),
            Err(error) => {
                self.refused += 1;
                say(format!("PROBLEM  {name}: {error} (after {took_ms} ms)"));
            }
        }
    }
}
