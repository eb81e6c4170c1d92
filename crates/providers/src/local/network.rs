//! One neural network: an ONNX file run by rten on the thread that asks.

use super::pool::stand_back;
use crate::{Error, ErrorKind};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView};
use rten_tensor::{NdTensor, Tensor};
use std::path::Path;
use std::sync::Arc;

const PROVIDER: &str = "builtin";

thread_local! {
    /// rten computes on threads of its own. One such thread for each thread of the pool: then an inference takes one
    /// core, and one shared thread does not make all others wait.
    static ONE_THREAD: Arc<ThreadPool> = {
        let pool = ThreadPool::with_num_threads(1);
        pool.run(stand_back);
        Arc::new(pool)
    };
}

/// A loaded network. Shared by all calls: it is never changed.
pub(super) struct Network {
    model: Model,
    name: &'static str,
}

impl Network {
    /// Reads a file; takes some 10 to 100 ms.
    pub(super) fn load(path: &Path, name: &'static str) -> Result<Self, Error> {
        let mut options = ModelOptions::with_all_ops();
        options.prepack_weights(true);
        let model = options.load_file(path).map_err(|e| {
            Error::new(ErrorKind::NotInstalled, PROVIDER, format!("{name} does not load from {}", path.display()))
                .caused_by(e)
        })?;
        Ok(Self { model, name })
    }

    /// The number of an input or output.
    pub(super) fn node(&self, name: &str) -> Result<NodeId, Error> {
        let missing = || Error::new(ErrorKind::Protocol, PROVIDER, format!("{} has no `{name}`", self.name));
        self.model.find_node(name).ok_or_else(missing)
    }

    /// The number of an input or output that not every export of the network has.
    pub(super) fn optional_node(&self, name: &str) -> Option<NodeId> {
        self.model.find_node(name)
    }

    /// The numbers of all outputs, in the order of the file.
    pub(super) fn outputs(&self) -> &[NodeId] {
        self.model.output_ids()
    }

    /// Computes; the values come in the order of `outputs`.
    pub(super) fn run(
        &self,
        inputs: Vec<(NodeId, ValueOrView<'_>)>,
        outputs: &[NodeId],
    ) -> Result<std::vec::IntoIter<Value>, Error> {
        let options = RunOptions::default().with_thread_pool(Some(ONE_THREAD.with(Arc::clone)));
        let values = self.model.run(inputs, outputs, Some(options)).map_err(|e| {
            Error::new(ErrorKind::Protocol, PROVIDER, format!("{} cannot compute this", self.name)).caused_by(e)
        })?;
        Ok(values.into_iter())
    }

    /// The numbers in the next value.
    pub(super) fn floats(&self, values: &mut std::vec::IntoIter<Value>) -> Result<Vec<f32>, Error> {
        let tensor: Tensor<f32> = self.next(values)?;
        Ok(tensor.into_data())
    }

    /// The whole numbers in the next value.
    pub(super) fn integers(&self, values: &mut std::vec::IntoIter<Value>) -> Result<Vec<i32>, Error> {
        let tensor: Tensor<i32> = self.next(values)?;
        Ok(tensor.into_data())
    }

    fn next<T: TryFrom<Value>>(&self, values: &mut std::vec::IntoIter<Value>) -> Result<T, Error> {
        let wrong = || Error::new(ErrorKind::Protocol, PROVIDER, format!("{} gives another type", self.name));
        values.next().and_then(|value| value.try_into().ok()).ok_or_else(wrong)
    }
}

/// A row of numbers as an input of shape `[1, n]`.
pub(super) fn row<T>(values: Vec<T>) -> ValueOrView<'static>
where
    Value: From<NdTensor<T, 2>>,
{
    let n = values.len();
    Value::from(NdTensor::from_data([1, n], values)).into()
}
