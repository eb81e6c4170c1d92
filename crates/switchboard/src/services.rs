//! The services a call can use, by the names agents are configured with.

use model::{AgentConfig, Brain, LanguageModelConfig};
use providers::language_model::LanguageModel;
use providers::local::BuiltinVoiceActivity;
use providers::speaker::Speaker;
use providers::transcriber::Transcriber;
use providers::turn::TurnDetector;
use providers::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes the client of an agent's language model.
pub type ThinkerFactory = Arc<dyn Fn(&LanguageModelConfig) -> Result<Arc<dyn LanguageModel>, Error> + Send + Sync>;

/// Everything that can listen, judge, think and speak on this node.
#[derive(Clone)]
pub struct Services {
    /// Speech to text.
    pub transcribers: BTreeMap<String, Arc<dyn Transcriber>>,
    /// Text to speech.
    pub speakers: BTreeMap<String, Arc<dyn Speaker>>,
    /// End of turn from the sound.
    pub turn: Option<Arc<dyn TurnDetector>>,
    /// Voice activity on noisy lines.
    pub silero: Option<Arc<BuiltinVoiceActivity>>,
    /// Language models.
    pub thinker: ThinkerFactory,
}

/// What one call uses.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) transcriber: Arc<dyn Transcriber>,
    pub(crate) speaker: Arc<dyn Speaker>,
    pub(crate) turn: Option<Arc<dyn TurnDetector>>,
    pub(crate) silero: Option<Arc<BuiltinVoiceActivity>>,
    pub(crate) thinker: Option<Arc<dyn LanguageModel>>,
}

impl Services {
    /// The services of an agent.
    pub(crate) fn choose(&self, agent: &AgentConfig) -> Result<Chosen, Error> {
        let thinker = match &agent.brain {
            Brain::Flow { .. } => None,
            Brain::LanguageModel(model) => Some((self.thinker)(model)?),
        };
        Ok(Chosen {
            transcriber: find(&self.transcribers, &agent.speech.transcriber, "transcriber")?,
            speaker: find(&self.speakers, &agent.speech.speaker, "speaker")?,
            turn: self.turn.clone(),
            silero: self.silero.clone(),
            thinker,
        })
    }
}

fn find<T: ?Sized>(all: &BTreeMap<String, Arc<T>>, name: &str, what: &'static str) -> Result<Arc<T>, Error> {
    all.get(name).cloned().ok_or_else(|| {
        Error::new(ErrorKind::NotInstalled, what, format!("«{name}» is not available on this node; see `caly doctor`"))
    })
}
