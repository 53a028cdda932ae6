//! Linking for macOS without an SDK: text stubs of the system's libraries, and the account of every symbol that is
//! only looked up when the program starts.
