//! Flows: what an agent says, pinned down in a file that a manager can read.
//!
//! A flow is TOML: a name, facts of the business, and steps. A step says something, asks for one thing, reads back and
//! has it confirmed, branches, runs a tool, transfers the call or hangs up. [`Flow::parse`] reads a file and reports
//! everything that is wrong with it at once; [`FlowRun`] walks one call through it. No language model is involved: the
//! agent never says what is not in the file.
//!
//! ```toml
//! name = "Clinic"
//! language = "en-IN"
//!
//! [business]                       # facts: {business.name}; opens, closes and closed_on also decide answers
//! name = "Sunrise Clinic"
//! opens = "09:00"
//! closes = "18:00"
//!
//! [listening]
//! reminders = ["Are you there?"]   # said when the caller is silent
//! goodbye = "Goodbye."             # said when silence or failure ends the call
//! not_understood = "Sorry?"        # before a question is asked again, unless the step has `retry`
//!
//! [[step]]
//! id = "day"
//! ask = "Which day suits you?"
//! slot = "day"
//! kind = "date"                    # name phone date time yes-no number choice text
//! accept = { not_past = "That day is over. Which day?" }
//!
//! [[step]]
//! id = "end"
//! hang_up = "See you {day}."
//! ```
//!
//! `next` may be left out: the following step in the file is next.

mod answer;
mod check;
mod file;
mod read;
mod render;
mod run;
mod table;
mod value;

pub use file::{
    Accept, Action, Ask, Branch, Business, Choice, Confirm, FLOW_BYTES_MAX, Flow, FlowError, INTENTS_MAX, Intent,
    IntentAction, Kind, Listening, Problem, STEPS_MAX, Step, Tool,
};
pub use run::{Completeness, Expectation, FlowContext, FlowRun, FlowStep, Line, Then};
pub use value::SlotValue;
