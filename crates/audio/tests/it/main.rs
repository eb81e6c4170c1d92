//! Sound, from outside: tables of scripted time, properties over random input, and real speech.

mod pace;
mod properties;
mod speech;
