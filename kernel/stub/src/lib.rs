//! The stub: the freestanding program that runs the application inside its own host process.
#![allow(unsafe_code)]
