//! Where the weights are. `make models` brings the ones we know; who has others names them by path.

use crate::{Error, ErrorKind};
use std::path::{Path, PathBuf};

const PROVIDER: &str = "builtin";

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelPaths {
    /// The folder that `make models` fills.
    pub folder: PathBuf,
    /// Another folder for speech recognition: `encoder_model.onnx`, `decoder_model_merged.onnx`, `tokenizer.bin`.
    pub moonshine: Option<PathBuf>,
    /// Another folder for speech synthesis: `hibari.onnx`, `vocab.json`, `oov.onnx`, `oov.json`.
    pub hibari: Option<PathBuf>,
    /// Another file for the end of turn.
    pub smart_turn: Option<PathBuf>,
    /// Another file for voice activity.
    pub silero: Option<PathBuf>,
}

impl ModelPaths {
    /// Everything in one folder, as `make models` lays it out.
    #[must_use]
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), ..Self::default() }
    }
}

/// The files of the speech recognition model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoonshineFiles {
    /// The encoder.
    pub encoder: PathBuf,
    /// The decoder, with and without cached keys in one graph.
    pub decoder: PathBuf,
    /// The words of its tokens.
    pub tokenizer: PathBuf,
}

/// The files of the speech synthesis model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HibariFiles {
    /// The acoustic model.
    pub acoustic: PathBuf,
    /// The numbers of its phonemes.
    pub vocabulary: PathBuf,
    /// The model that reads words no dictionary knows.
    pub unknown_words: PathBuf,
    /// The letters and phonemes of that model.
    pub unknown_words_letters: PathBuf,
}

/// Which models are on this machine.
#[derive(Debug)]
pub struct Models {
    /// Speech recognition.
    pub moonshine: Result<MoonshineFiles, Error>,
    /// Speech synthesis.
    pub hibari: Result<HibariFiles, Error>,
    /// End of turn.
    pub smart_turn: Result<PathBuf, Error>,
    /// Voice activity.
    pub silero: Result<PathBuf, Error>,
}

impl Models {
    /// Looks for each.
    #[must_use]
    pub fn locate(paths: &ModelPaths) -> Self {
        let folder = |other: &Option<PathBuf>, name: &str| other.clone().unwrap_or_else(|| paths.folder.join(name));
        let moonshine = folder(&paths.moonshine, "moonshine");
        let hibari = folder(&paths.hibari, "hibari");
        let smart_turn = folder(&paths.smart_turn, "smart-turn/smart-turn-v3.2-cpu.onnx");
        let silero = folder(&paths.silero, "silero/silero_vad_op18_ifless.onnx");
        Self {
            moonshine: moonshine_in(&moonshine),
            hibari: hibari_in(&hibari),
            smart_turn: existing(smart_turn, "the end of a turn"),
            silero: existing(silero, "voice activity"),
        }
    }
}

fn moonshine_in(folder: &Path) -> Result<MoonshineFiles, Error> {
    let file = |name| existing(folder.join(name), "speech recognition");
    Ok(MoonshineFiles {
        encoder: file("encoder_model.onnx")?,
        decoder: file("decoder_model_merged.onnx")?,
        tokenizer: file("tokenizer.bin")?,
    })
}

fn hibari_in(folder: &Path) -> Result<HibariFiles, Error> {
    let file = |name| existing(folder.join(name), "speech synthesis");
    Ok(HibariFiles {
        acoustic: file("hibari.onnx")?,
        vocabulary: file("vocab.json")?,
        unknown_words: file("oov.onnx")?,
        unknown_words_letters: file("oov.json")?,
    })
}

fn existing(path: PathBuf, what: &str) -> Result<PathBuf, Error> {
    if path.is_file() {
        return Ok(path);
    }
    let detail = format!("the model for {what} is not there ({}): run `make models`", path.display());
    Err(Error::new(ErrorKind::NotInstalled, PROVIDER, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn each_model_is_found_or_named_on_its_own() {
        let folder = tempfile::tempdir().unwrap();
        touch(&folder.path().join("silero/silero_vad_op18_ifless.onnx"));
        touch(&folder.path().join("moonshine/encoder_model.onnx"));
        touch(&folder.path().join("moonshine/tokenizer.bin"));
        let models = Models::locate(&ModelPaths::in_folder(folder.path()));
        assert!(models.silero.is_ok());
        for (error, file) in [
            (models.moonshine.unwrap_err(), "decoder_model_merged.onnx"),
            (models.hibari.unwrap_err(), "hibari.onnx"),
            (models.smart_turn.unwrap_err(), "smart-turn-v3.2-cpu.onnx"),
        ] {
            assert_eq!(error.kind, ErrorKind::NotInstalled);
            assert!(error.detail.contains(file), "{error}");
            assert!(error.detail.contains("run `make models`"), "{error}");
        }
    }

    #[test]
    fn a_path_of_the_user_goes_before_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        touch(&folder.path().join("silero/silero_vad_op18_ifless.onnx"));
        let other = folder.path().join("mine.onnx");
        let mut paths = ModelPaths::in_folder(folder.path());
        paths.silero = Some(other.clone());
        assert_eq!(Models::locate(&paths).silero.unwrap_err().kind, ErrorKind::NotInstalled);
        touch(&other);
        assert_eq!(Models::locate(&paths).silero.unwrap(), other);
    }
}
