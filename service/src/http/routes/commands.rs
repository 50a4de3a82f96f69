//! What is done.

use axum::http::Method;
use schemas::{CommandId, Envelope, Source};

use super::{ANY, WITH_BODY};
use crate::{
    app::actions::reference,
    http::{
        bulk, commands,
        docs::{
            examples,
            shapes::{
                BulkLine, CommandChecked, CommandConflict, CommandRefused, CommandTaken, CommandUndecided, either,
                malformed_or_not, problem_and,
            },
        },
        operation::{Content, Operation, Tag, of},
        reference as apply,
    },
    platform_file::Sections,
};

/// The routes.
pub fn routes() -> Vec<Operation> {
    vec![publish(), append(), bulk(), check(), outcome()]
}

fn publish() -> Operation {
    Operation::new(
        (Method::POST, "/v1/reference", "applyPlatformFile"),
        apply::apply,
        (Tag::Reference, "Publish a platform file"),
        "Makes the reference data what the file says: what differs becomes one version, which holds once every shard has \
         taken it. What the file does not name stays as it is. Sent again it changes nothing; interrupted, it goes on \
         where it was. `dry_run=true` only says what would change. The entity (currency, zone, worth of a coin) can be \
         published once and never changes.",
    )
    .asks::<reference::How>()
    .takes(Content::json::<Sections>().example("A small platform", examples::platform_json()))
    .takes(Content::as_is("application/toml", of::<String>).example("A small platform", examples::PLATFORM_TOML))
    .answers(
        200,
        "What differed, and the version that holds now: `applied` is null for a dry run.",
        Content::json::<reference::Answer>().example("The first version", examples::applied()),
    )
    .answers(422, "A part of it was refused, for ever: `refused`.", Content::problem(of::<crate::http::docs::shapes::Problem>))
    .problems(ANY)
    .problems(WITH_BODY)
    .problems(&[429, 507])
}

/// One command in a body.
fn command() -> Content {
    examples::commands()
        .into_iter()
        .fold(Content::json::<Envelope>(), |content, (name, command)| content.example(name, command))
}

/// What all say of a command's id and source.
fn of_a_command(operation: Operation) -> Operation {
    operation
        .header::<CommandId>(
            "Idempotency-Key",
            "The command's id, in the place of `id` in the body. Both, and different, is 400.",
        )
        .header::<Source>(
            "Giftledger-Source",
            "The service that sends it, where no token is needed; a token fixes it. `http` where absent.",
        )
}

fn append() -> Operation {
    of_a_command(Operation::new(
        (Method::POST, "/v1/commands", "append"),
        commands::append,
        (Tag::Commands, "Append one command, or an atomic group"),
        "Decides the command and records what comes of it; answered once that is durable. Branch on `state`, then on \
         `code`, never on the HTTP status. Sent again with the same id it is not done again: the first answer comes, \
         with `replayed` and the header `Idempotent-Replayed: true`.",
    ))
    .takes(command())
    .answers(
        200,
        "Taken, now or when it came first.",
        Content::json::<CommandTaken>().example("Taken", examples::taken()),
    )
    .answers(202, "Recorded and not finished: `pending`.", Content::json::<CommandUndecided>())
    .answers(
        400,
        "No command (`malformed`: `path`, `found`, `allowed` say what is wrong), or no request.",
        Content::problem(malformed_or_not).example("Malformed", examples::malformed()),
    )
    .answers(
        409,
        "The id stands for another command of this subject and source: what differs, and where the first stands.",
        Content::problem(problem_and::<CommandConflict>).example("Conflict", examples::conflict()),
    )
    .answers(
        422,
        "Refused, now or when it came first. It is recorded, and final under this id.",
        Content::problem(problem_and::<CommandRefused>).example("Refused", examples::refused()),
    )
    .problems(&[401, 403, 429, 500, 503, 507])
    .problems(WITH_BODY)
}

fn bulk() -> Operation {
    let lines = Content::lines("application/x-ndjson", of::<Envelope>).example("Two lines", examples::bulk());
    Operation::new(
        (Method::POST, "/v1/commands/bulk", "appendBulk"),
        bulk::append,
        (Tag::Commands, "Append many commands"),
        "A command each line, at most 100,000 lines or 32 MiB; an answer each line, in order, as they are decided: the \
         answer of one command with its `line`. The lines of one user happen in their order, unless `order=none`. The \
         status is 200 once the first line is read; without the last line, `{\"end\":true,…}`, the answer is incomplete: \
         ask for the rest by id, or send it again.",
    )
    .header::<Source>("Giftledger-Source", "The service that sends it, where no token is needed.")
    .asks::<bulk::How>()
    .takes(lines)
    .answers(
        200,
        "An answer each line, then the end.",
        Content::lines("application/x-ndjson", either::<BulkLine, bulk::End>)
            .example("One taken, one refused", examples::bulk_answer()),
    )
    .problems(ANY)
    .problems(WITH_BODY)
}

fn check() -> Operation {
    of_a_command(Operation::new(
        (Method::POST, "/v1/commands/check", "check"),
        commands::check,
        (Tag::Commands, "Say what would come of a command"),
        "The decision with its effects, and nothing is recorded: the id stays free. When the command is sent, it is \
         decided anew.",
    ))
    .takes(command())
    .answers(200, "What would be recorded, or is already.", Content::json::<CommandChecked>())
    .answers(400, "No command, or no request.", Content::problem(malformed_or_not))
    .answers(409, "The id stands for another command.", Content::problem(problem_and::<CommandConflict>))
    .answers(422, "Refused already.", Content::problem(problem_and::<CommandRefused>))
    .problems(&[401, 403, 429, 500, 503, 507])
    .problems(WITH_BODY)
}

fn outcome() -> Operation {
    Operation::new(
        (Method::GET, "/v1/outcomes", "outcome"),
        commands::outcome,
        (Tag::Commands, "Ask what became of a command"),
        "The answer of a command, without sending it again, with the status that it had. 404 says as of which position \
         it is not known, which is not final: it may still be on its way.",
    )
    .asks::<commands::Named>()
    .example("subject", "user:u1")
    .example("id", "g-1")
    .answers(200, "Taken.", Content::json::<CommandTaken>().example("Taken", examples::taken()))
    .answers(202, "Recorded and not finished: `pending`.", Content::json::<CommandUndecided>())
    .answers(422, "Refused.", Content::problem(problem_and::<CommandRefused>))
    .problems(ANY)
    .problems(&[404])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_commands_are_commands() {
        for (name, command) in examples::commands() {
            let read = Envelope::read(command.to_string().as_bytes());
            assert!(read.is_ok(), "{name}: {read:?}");
        }
    }
}
