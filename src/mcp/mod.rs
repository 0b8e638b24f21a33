//! `mcp`: the commands as tools of a Model Context Protocol server over standard input and output, on one dump.
//!
//! Whoever is at the other end is as untrusted as the dump. It can run what a shell on the dump can run, and nothing that
//! writes a file, opens another one, starts a program or evaluates code: tools are made from the commands' own arguments,
//! without those that name files or are every command's; a value never begins an option of its own.
//!
//! ```text
//! stdin -> rmcp (its own thread) -> Request -> this thread, which has the dump -> answer -> rmcp -> stdout
//! ```

mod answer;
mod server;
mod tools;

use std::sync::mpsc;
use std::thread;

use clap::CommandFactory;
use serde_json::Value;

use crate::cli::{self, Cli};
use crate::context::Context;
use crate::failure::Failure;
use crate::status::Status;
use answer::Answer;
use server::Server;

/// A call of a tool, and where its answer goes.
struct Request {
    tool: String,
    arguments: serde_json::Map<String, Value>,
    reply: tokio::sync::oneshot::Sender<Answer>,
}

/// Requests that wait: more than a client that waits for answers ever has.
const MAX_WAITING: usize = 64;

/// Runs a command on the dump that is open.
type Dispatch = fn(&Cli, &Context) -> Result<Status, Failure>;

/// Serves until the client closes standard input.
pub(crate) fn run(arguments: &cli::Mcp, context: &Context, dispatch: Dispatch) -> Result<Status, Failure> {
    let session = context.session_for_lines(&arguments.input)?;
    session.snapshot(&context.run);
    let (sender, requests) = mpsc::sync_channel::<Request>(MAX_WAITING);
    let tools = tools::all(&Cli::command());
    let server = thread::spawn(move || Server::new(tools, sender).serve());
    for request in requests {
        let answer = answer::to(&request.tool, &request.arguments, (context, dispatch), arguments.max_answer);
        // A client that has gone needs no answer.
        let _ = request.reply.send(answer);
    }
    let ended = server.join().map_err(|_| Failure::new("the server ended without saying why"))?;
    ended.map_err(|why| Failure::new(format_args!("cannot go on as a server: {why}")))?;
    Ok(Status::NothingFound)
}
