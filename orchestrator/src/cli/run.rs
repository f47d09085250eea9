//! From arguments to a command, from its answer to an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use super::answer::Answer;
use super::args::{Cli, Command, ConfigCommand, DeadLettersCommand, Global};
use super::args_kafka::{GroupsCommand, RecordsCommand, TopicsCommand};
use super::context::Context;
use super::error::{CliError, Exit};
use super::{
    act, bench, broker, check, config, dead_letters, decide, demo, explain, graph, groups,
    groups_change, list, new, publish, records, serve, show, start, test, topics, topics_change,
    topics_show, worker,
};
use crate::config::{Loaded, Origin, Sources, load};
use crate::telemetry;

/// Runs the command line of this process to its end, and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let as_json = cli.global.json;
    match run(cli) {
        Ok(answer) => match answer.print(as_json) {
            Ok(()) if answer.is_bad => Exit::Failed.into(),
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&CliError::failed(format!(
                "cannot write to stdout: {error}"
            ))),
        },
        Err(error) => complain(&error),
    }
}

fn complain(error: &CliError) -> ExitCode {
    // Nobody is left to tell if stderr is closed.
    let _ = writeln!(
        std::io::stderr(),
        "{}",
        super::text::harmless(&error.to_string())
    );
    error.exit.into()
}

fn run(cli: Cli) -> Result<Answer, CliError> {
    let mut loaded = load(&sources(&cli.global, &cli.command)?)?;
    if !stays(&cli.command) && loaded.origin("telemetry.log") == Origin::Default {
        "warn".clone_into(&mut loaded.config.telemetry.log);
    }
    // Before any thread is started, and ended after the last: what is buffered leaves then.
    let telemetry =
        telemetry::init(&loaded.config.telemetry).map_err(|error| CliError::of(&error))?;
    let answer = dispatch(cli.command, loaded, &telemetry, cli.global.json);
    telemetry.shutdown();
    answer
}

/// Whether a command runs until it is asked to end.
fn stays(command: &Command) -> bool {
    matches!(
        command,
        Command::Serve(_) | Command::Dev(_) | Command::Worker(_)
    )
}

fn dispatch(
    command: Command,
    loaded: Loaded,
    telemetry: &telemetry::Telemetry,
    as_json: bool,
) -> Result<Answer, CliError> {
    let context = || Context::new(loaded.clone());
    match command {
        Command::Demo(args) => demo::demo(&context()?, &args, as_json),
        Command::Bench(args) => bench::bench(&context()?, &args),
        Command::Serve(args) => serve::serve(&context()?, &args, telemetry),
        Command::Dev(args) => serve::dev(&context()?, &args, telemetry),
        Command::Worker(args) => worker::run(&context()?, args),
        Command::Broker(args) => broker::broker(&context()?, &args, as_json),
        Command::Topics(command) => about_topics(&context()?, command),
        Command::Records(command) => about_records(&context()?, command, as_json),
        Command::Groups(command) => about_groups(&context()?, command),
        Command::Publish(args) => publish::publish(&context()?, &args),
        Command::Start(args) => start::start(&context()?, &args),
        Command::List(args) => list::list(&context()?, args),
        Command::Show(args) => show::show(&context()?, &args),
        Command::Cancel(args) => act::act(&context()?, args.into()),
        Command::Resume(args) => act::act(&context()?, args.into()),
        Command::Retry(args) => act::act(&context()?, args.into()),
        Command::Waive(args) => act::act(&context()?, args.into()),
        Command::Terminate(args) => act::act(&context()?, args.into()),
        Command::Approve(args) => decide::decide(&context()?, args.into()),
        Command::Refuse(args) => decide::decide(&context()?, args.into()),
        Command::DeadLetters(DeadLettersCommand::List(args)) => {
            dead_letters::list(&context()?, &args)
        }
        Command::DeadLetters(DeadLettersCommand::Show(args)) => {
            dead_letters::show(&context()?, &args)
        }
        Command::Check(args) => check::check(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Graph(args) => graph::graph(&args),
        Command::Test(args) => test::test(&args),
        Command::New(args) => new::new(&args),
        Command::Config(ConfigCommand::Show) => Ok(config::show(&loaded)),
        Command::Config(ConfigCommand::Keys) => Ok(config::keys()),
        Command::Config(ConfigCommand::Docs) => Ok(config::docs()),
    }
}

fn about_topics(context: &Context, command: TopicsCommand) -> Result<Answer, CliError> {
    match command {
        TopicsCommand::Apply(args) => topics::apply(context, &args),
        TopicsCommand::List(args) => topics_show::list(context, &args),
        TopicsCommand::Show(args) => topics_show::show(context, &args),
        TopicsCommand::Create(args) => topics_change::create(context, &args),
        TopicsCommand::Delete(args) => topics_change::delete(context, &args),
    }
}

fn about_records(
    context: &Context,
    command: RecordsCommand,
    as_json: bool,
) -> Result<Answer, CliError> {
    match command {
        RecordsCommand::List(args) => records::list(context, &args, as_json),
        RecordsCommand::Show(args) => records::show(context, &args, as_json),
        RecordsCommand::Tail(args) => records::tail(context, &args, as_json),
    }
}

fn about_groups(context: &Context, command: GroupsCommand) -> Result<Answer, CliError> {
    match command {
        GroupsCommand::List(args) => groups::list(context, &args),
        GroupsCommand::Show(args) => groups::show(context, &args),
        GroupsCommand::Reset(args) => groups_change::reset(context, &args),
        GroupsCommand::Delete(args) => groups_change::delete(context, &args),
    }
}

/// File, environment and the flags that stand for keys.
fn sources(global: &Global, command: &Command) -> Result<Sources, CliError> {
    let mut sources = Sources::of_process();
    sources.file.clone_from(&global.config);
    for given in &global.set {
        sources.set(given)?;
    }
    let (instance_id, data_dir) = if let Command::Serve(args) = command {
        (args.instance_id.as_deref(), None)
    } else if let Command::Worker(args) = command {
        (args.instance_id.as_deref(), args.data_dir.as_deref())
    } else {
        (None, None)
    };
    let data_dir = data_dir.map(|path| path.display().to_string());
    let own: [(&str, Option<&str>, &str); 5] = [
        (
            "kafka.bootstrap_servers",
            global.bootstrap_servers.as_deref(),
            "--bootstrap-servers",
        ),
        ("store.url", global.store.as_deref(), "--store"),
        ("kafka.prefix", global.prefix.as_deref(), "--prefix"),
        ("kafka.instance_id", instance_id, "--instance-id"),
        ("workers.data_dir", data_dir.as_deref(), "--data-dir"),
    ];
    for (key, value, flag) in own {
        if let Some(value) = value {
            sources.flag(key, value, flag);
        }
    }
    Ok(sources)
}
